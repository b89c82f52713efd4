//! Random access for writing.

use crate::{Result, Source};

/// A source that can be written in place: a drive, a raw file, an overlay.
pub trait Disk: Source {
    /// Writes `buf` at `offset`. The range lies inside the disk.
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()>;

    /// Makes `len` bytes from `offset` read as zeros, in the cheapest way that is proved to do so.
    fn zero(&self, offset: u64, len: u64) -> Result<()>;

    /// Returns when everything written before the call is on the medium.
    fn flush(&self) -> Result<()>;
}
