//! Numbers out of on-disk structures.

use tintype_core::Source;

/// The array of `N` bytes at `at`; zeros where `bytes` is too short, which no caller lets happen.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|b| b.first_chunk::<N>()).copied().unwrap_or([0; N])
}

pub(crate) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(crate) fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

pub(crate) fn bytes16(bytes: &[u8], at: usize) -> [u8; 16] {
    array(bytes, at)
}

/// `len` bytes from `offset`; none where the source is too short or cannot be read.
pub(crate) fn peek(source: &dyn Source, offset: u64, len: usize) -> Option<Vec<u8>> {
    if offset.checked_add(len as u64)? > source.len() {
        return None;
    }
    let mut buf = vec![0; len];
    source.read_at(&mut buf, offset).ok()?;
    Some(buf)
}
