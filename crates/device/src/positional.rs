//! Reads and writes by position that are whole or fail.

use crate::fault;
use rustix::fd::AsFd;
use rustix::io::{Errno, pread, pwrite};
use std::path::Path;
use tintype_core::{Error, Kind, Result};

/// A read that ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short {
    /// Valid bytes at the start of the buffer.
    pub good: usize,
    pub cause: Cause,
}

/// Why a read ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The file or drive ends there.
    End,
    /// The kernel said so.
    Errno(Errno),
    /// The medium did not give what follows; the kernel gave what came before and kept the reason to itself.
    Untold,
}

impl Short {
    /// The same for a buffer that began `before` bytes earlier.
    pub fn after(self, before: usize) -> Self {
        Short { good: before + self.good, ..self }
    }

    /// The error for a read of `path` at `offset`.
    pub fn error(self, path: &Path, offset: u64) -> Error {
        match self.cause {
            Cause::Errno(e) => fault::reading(path, offset, self.good, e),
            Cause::End => fault::shrunk(path, offset.saturating_add(self.good as u64)),
            Cause::Untold => fault::unreadable(path, offset, self.good),
        }
    }
}

/// Fills `buf` from `offset` of `fd`, or says how far it came.
pub(crate) fn fill(fd: impl AsFd, buf: &mut [u8], offset: u64) -> Result<(), Short> {
    let mut good = 0;
    while good < buf.len() {
        match pread(&fd, &mut buf[good..], offset + good as u64) {
            Ok(0) => return Err(Short { good, cause: Cause::End }),
            Ok(n) => good += n,
            Err(Errno::INTR) => {}
            Err(e) => return Err(Short { good, cause: Cause::Errno(e) }),
        }
    }
    Ok(())
}

/// Fills `buf` from `offset` of `fd`.
pub(crate) fn read_full(fd: impl AsFd, path: &Path, buf: &mut [u8], offset: u64) -> Result<()> {
    fill(fd, buf, offset).map_err(|short| short.error(path, offset))
}

/// Writes all of `buf` at `offset` of `fd`.
pub(crate) fn write_full(fd: impl AsFd, path: &Path, buf: &[u8], offset: u64) -> Result<()> {
    let mut done = 0;
    while done < buf.len() {
        let at = offset + done as u64;
        match pwrite(&fd, &buf[done..], at) {
            Ok(0) => return Err(Error::new(Kind::Io, "takes no more bytes").in_path(path).at(at)),
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            Err(e) => return Err(fault::writing(path, at, e)),
        }
    }
    Ok(())
}
