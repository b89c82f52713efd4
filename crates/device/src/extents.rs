//! Where the holes of a regular file are.

use crate::fault;
use rustix::fd::AsFd;
use rustix::fs::{SeekFrom, fstat, seek};
use rustix::io::Errno;
use std::path::Path;
use tintype_core::{Error, Extent, Result, State, in_range};

/// The extent at `offset` of a file that had `len` bytes when it was opened. A hole is [`State::Zero`]; where the file
/// system cannot tell, everything is data.
///
/// Moves the position of `fd`, which positional reads and writes neither use nor change; the answer is the value the
/// call returns, so threads may ask at once.
pub(crate) fn extent_at(fd: impl AsFd, path: &Path, len: u64, offset: u64) -> Result<Extent> {
    in_range(len, offset, 1)?;
    let rest = |state| Extent::new(offset, len - offset, state);
    match seek(&fd, SeekFrom::Data(offset)) {
        Ok(data) if data > offset => Ok(Extent::new(offset, data.min(len) - offset, State::Zero)),
        Ok(_) => match seek(&fd, SeekFrom::Hole(offset)) {
            Ok(hole) if hole > offset => Ok(Extent::new(offset, hole.min(len) - offset, State::Data)),
            // Changed between the two calls, or not able to tell: to read is always right.
            Ok(_) | Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(rest(State::Data)),
            Err(e) => Err(asking(path, offset, e)),
        },
        // No data from here to the end; or the end is before here now, which is no evidence of zeros.
        Err(Errno::NXIO) => {
            let now = fstat(&fd).map_err(|e| asking(path, offset, e))?.st_size;
            if u64::try_from(now).is_ok_and(|now| now < len) {
                return Err(fault::shrunk(path, u64::try_from(now).unwrap_or(0).max(offset)));
            }
            Ok(rest(State::Zero))
        }
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(rest(State::Data)),
        Err(e) => Err(asking(path, offset, e)),
    }
}

fn asking(path: &Path, offset: u64, e: Errno) -> Error {
    match fault::trouble(e) {
        fault::Trouble::Gone => fault::gone(path, offset, "was read").because(std::io::Error::from(e)),
        _ => Error::io("cannot tell where the holes of the file are", e.into()).in_path(path).at(offset),
    }
}
