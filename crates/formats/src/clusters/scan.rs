//! Going through tables from start to end.

use super::be64;
use tintype_core::{Result, Source};

/// Bytes of a table that are read at once.
const CHUNK: u64 = 64 << 10;

/// Calls `each` with the index and the halves of every entry that is not zero, as big-endian numbers, of a table of `len` bytes with entries of `size`
/// bytes, 8 or 16. Ends at the end of the file; holes cost nothing.
pub(crate) fn nonzero(
    file: &dyn Source,
    offset: u64,
    len: u64,
    size: u64,
    each: &mut dyn FnMut(u64, u64, u64) -> Result<()>,
) -> Result<()> {
    let end = offset.saturating_add(len).min(file.len());
    let mut buf = vec![0; CHUNK.min(len) as usize];
    let mut at = offset;
    while at < end {
        let extent = file.extent_at(at)?;
        if extent.state.reads_zero() {
            // Up to the entry that the hole ends in.
            let skip = (extent.end().min(end) - at) / size * size;
            if skip > 0 {
                at += skip;
                continue;
            }
        }
        let now = (end - at).min(CHUNK) as usize;
        let bytes = &mut buf[..now];
        file.read_at(bytes, at)?;
        for (i, group) in bytes.chunks(64).enumerate() {
            if group.iter().fold(0, |all, b| all | b) == 0 {
                continue;
            }
            for (j, entry) in group.chunks_exact(size as usize).enumerate() {
                let (high, low) = (be64(entry, 0), if size == 16 { be64(entry, 8) } else { 0 });
                if high | low != 0 {
                    each((at - offset + (i * 64) as u64) / size + j as u64, high, low)?;
                }
            }
        }
        at += now as u64;
    }
    Ok(())
}
