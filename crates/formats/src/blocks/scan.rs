//! Going through a table from start to end.

use super::Entry;
use tintype_core::{Result, Source, State};

/// Bytes of a table that are read at once; a multiple of every entry.
const CHUNK: u64 = 64 << 10;

/// Entries of a table.
pub(super) enum Piece<'a> {
    /// So many that are zero.
    Hole(u64),
    /// Whole ones.
    Bytes(&'a [u8]),
}

/// Calls `each` with all entries of `width` bytes of the `len` bytes at `offset`: the number of the first, and some of them. Ends at the
/// end of the file; holes cost nothing.
pub(super) fn scan(
    file: &dyn Source,
    offset: u64,
    len: u64,
    width: u64,
    each: &mut dyn FnMut(u64, Piece<'_>) -> Result<()>,
) -> Result<()> {
    let end = offset.saturating_add(len).min(file.len());
    let mut buf = vec![0; CHUNK.min(len) as usize];
    let mut at = offset;
    while at < end {
        let number = (at - offset) / width;
        let hole = file.extent_at(at)?;
        // Up to the entry that the hole ends in.
        let skip = if hole.state == State::Zero { (hole.end().min(end) - at) / width * width } else { 0 };
        if skip > 0 {
            each(number, Piece::Hole(skip / width))?;
            at += skip;
            continue;
        }
        let bytes = &mut buf[..(end - at).min(CHUNK) as usize];
        file.read_at(bytes, at).map_err(|e| e.at(at))?;
        each(number, Piece::Bytes(bytes))?;
        at += bytes.len() as u64;
    }
    Ok(())
}

/// Calls `each` with the number and the value of every entry that is not zero of a table of `len` bytes, the second value of a pair as
/// well. As [`scan`].
pub(crate) fn nonzero(
    file: &dyn Source,
    offset: u64,
    len: u64,
    entry: Entry,
    each: &mut dyn FnMut(u64, u64, u64) -> Result<()>,
) -> Result<()> {
    let width = entry.width() as usize;
    scan(file, offset, len, entry.width(), &mut |first, piece| {
        let Piece::Bytes(bytes) = piece else { return Ok(()) };
        // Most of a table is often nothing.
        for (group, from) in bytes.chunks(64).zip((first..).step_by(64 / width)) {
            if group.iter().fold(0, |all, b| all | b) == 0 {
                continue;
            }
            for (bytes, number) in group.chunks_exact(width).zip(from..) {
                let second = if entry == Entry::Pair { entry.number(&bytes[8..]) } else { 0 };
                let value = entry.number(bytes);
                if value | second != 0 {
                    each(number, value, second)?;
                }
            }
        }
        Ok(())
    })
}
