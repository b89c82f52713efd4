//! The seek table of seekable zstd files: independent frames, and at the end a skippable frame that lists them.
//!
//! ```text
//!   frame frame ... | magic 184D2A5E, length | entry entry ... | frames u32, descriptor u8, magic 8F92EAB1
//! ```
//!
//! Written from zstd's `contrib/seekable_format` description, version 0.1.0. All numbers are little-endian.

use crate::error::{Error, Result};
use crate::stream::Input;

const TABLE_MAGIC: u32 = 0x184d_2a5e;
const FOOTER_MAGIC: u32 = 0x8f92_eab1;
const HEADER: usize = 8;
/// The length of the footer, the last bytes of a seekable file.
pub const FOOTER: usize = 9;
/// The format allows no more frames.
const MAX_FRAMES: usize = 0x0800_0000;

/// One frame, as the table lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The frame's length.
    pub packed_len: u32,
    /// The length of its content.
    pub len: u32,
    /// The lower half of the XXH64 of its content, if the table has checksums.
    pub checksum: Option<u32>,
}

/// Appends the seek table for these frames; checksums are written if the first entry has one, 0 where one is missing.
///
/// [`Error::TooLarge`] above 2^27 frames.
pub fn encode_table(entries: &[Entry], out: &mut Vec<u8>) -> Result<()> {
    let checksums = entries.first().is_some_and(|entry| entry.checksum.is_some());
    let size = entry_size(checksums);
    if entries.len() > MAX_FRAMES {
        return Err(Error::too_large("seekable zstd: more frames than a table can list"));
    }
    let len = (entries.len() * size + FOOTER) as u32;
    out.extend_from_slice(&TABLE_MAGIC.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    for entry in entries {
        out.extend_from_slice(&entry.packed_len.to_le_bytes());
        out.extend_from_slice(&entry.len.to_le_bytes());
        if checksums {
            out.extend_from_slice(&entry.checksum.unwrap_or(0).to_le_bytes());
        }
    }
    out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    out.push(u8::from(checksums) << 7);
    out.extend_from_slice(&FOOTER_MAGIC.to_le_bytes());
    Ok(())
}

const fn entry_size(checksums: bool) -> usize {
    if checksums { 12 } else { 8 }
}

/// Reads the seek table at the end of a file of `file_len` bytes; `None` when there is none.
///
/// [`Error::TooLarge`] when it lists more than `max_frames`; [`Error::Corrupt`] unless the frames exactly fill the file.
pub fn read_table(input: &mut dyn Input, file_len: u64, max_frames: usize) -> Result<Option<Vec<Entry>>> {
    let Some(footer_at) = file_len.checked_sub(FOOTER as u64) else { return Ok(None) };
    let mut footer = [0; FOOTER];
    read_exact(input, footer_at, &mut footer)?;
    let [n0, n1, n2, n3, descriptor, m0, m1, m2, m3] = footer;
    if u32::from_le_bytes([m0, m1, m2, m3]) != FOOTER_MAGIC {
        return Ok(None);
    }
    if descriptor & 0x7c != 0 {
        return Err(Error::unsupported("seekable zstd: a reserved bit is set"));
    }
    let checksums = descriptor >> 7 == 1;
    let frames = u32::from_le_bytes([n0, n1, n2, n3]) as usize;
    if frames > max_frames.min(MAX_FRAMES) {
        return Err(Error::too_large("seekable zstd: more frames than allowed"));
    }
    let size = entry_size(checksums);
    let table_len = (frames * size) as u64;
    let inconsistent = || Error::corrupt("seekable zstd: the table does not fit the file");
    let entries_at = footer_at.checked_sub(table_len).ok_or_else(inconsistent)?;
    let table_at = entries_at.checked_sub(HEADER as u64).ok_or_else(inconsistent)?;
    let mut header = [0; HEADER];
    read_exact(input, table_at, &mut header)?;
    let [m0, m1, m2, m3, l0, l1, l2, l3] = header;
    if u32::from_le_bytes([m0, m1, m2, m3]) != TABLE_MAGIC
        || u64::from(u32::from_le_bytes([l0, l1, l2, l3])) != table_len + FOOTER as u64
    {
        return Err(inconsistent());
    }
    let mut entries = Vec::new();
    let mut end = 0_u64;
    let mut buf = [0; 12 * 256];
    let piece = buf.len() / size * size;
    while entries.len() < frames {
        let n = ((frames - entries.len()) * size).min(piece);
        read_exact(input, entries_at + (entries.len() * size) as u64, &mut buf[..n])?;
        for bytes in buf[..n].chunks_exact(size) {
            let word = |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk).map(|w| u32::from_le_bytes(*w));
            let (Some(packed_len), Some(len)) = (word(0), word(4)) else { return Err(inconsistent()) };
            end += u64::from(packed_len);
            entries.push(Entry { packed_len, len, checksum: word(8) });
        }
    }
    if end != table_at {
        return Err(inconsistent());
    }
    Ok(Some(entries))
}

fn read_exact(input: &mut dyn Input, offset: u64, buf: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    while filled < buf.len() {
        match input.read_at(&mut buf[filled..], offset + filled as u64) {
            Ok(0) => return Err(Error::Truncated),
            Ok(n) => filled += n.min(buf.len() - filled),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::Io(e)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Memory;

    fn file(entries: &[Entry]) -> Vec<u8> {
        let mut file = vec![7; entries.iter().map(|e| e.packed_len as usize).sum()];
        encode_table(entries, &mut file).unwrap();
        file
    }

    fn read(file: &[u8], max: usize) -> Result<Option<Vec<Entry>>> {
        read_table(&mut Memory(file), file.len() as u64, max)
    }

    #[test]
    fn what_is_written_is_read() {
        for checksum in [None, Some(0xdead_beef)] {
            for count in [0, 1, 255, 256, 257, 1000] {
                let checksum = checksum.filter(|_| count > 0);
                let entries: Vec<_> = (0..count).map(|i| Entry { packed_len: i % 7, len: i, checksum }).collect();
                let file = file(&entries);
                assert_eq!(read(&file, 1000).unwrap(), Some(entries));
            }
        }
    }

    #[test]
    fn the_layout_is_the_published_one() {
        let mut table = Vec::new();
        encode_table(&[Entry { packed_len: 1, len: 2, checksum: Some(3) }], &mut table).unwrap();
        let mut want = vec![0x5e, 0x2a, 0x4d, 0x18, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0x80];
        want.extend_from_slice(&[0xb1, 0xea, 0x92, 0x8f]);
        assert_eq!(table, want);
    }

    #[test]
    fn damage_is_noticed() {
        let entries = [Entry { packed_len: 10, len: 20, checksum: None }; 3];
        let good = file(&entries);
        assert!(matches!(read(&good, 2), Err(Error::TooLarge(_))));
        assert_eq!(read(&good[..good.len() - 1], 9).unwrap(), None);
        assert!(matches!(read(&good[1..], 9), Err(Error::Corrupt(_))));
        assert_eq!(read(b"short", 9).unwrap(), None);
        let mut huge = good.clone();
        let at = huge.len() - FOOTER;
        huge[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read(&huge, usize::MAX).is_err());
    }
}
