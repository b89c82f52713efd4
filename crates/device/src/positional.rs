//! Reads and writes by position that are whole or fail.

use crate::fault;
use rustix::fd::AsFd;
use rustix::io::{Errno, pread, pwrite};
use std::path::Path;
use tintype_core::{Error, Kind, Result};

/// Fills `buf` from `offset` of `fd`.
pub(crate) fn read_full(fd: impl AsFd, path: &Path, buf: &mut [u8], offset: u64) -> Result<()> {
    let mut good = 0;
    while good < buf.len() {
        match pread(&fd, &mut buf[good..], offset + good as u64) {
            Ok(0) => return Err(fault::shrunk(path, offset + good as u64)),
            Ok(n) => good += n,
            Err(Errno::INTR) => {}
            Err(e) => return Err(fault::reading(path, offset, good, e)),
        }
    }
    Ok(())
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
