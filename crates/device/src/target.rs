//! A regular file that is written, and that grows.

use crate::fault;
use crate::file::regular;
use crate::positional::{read_full, write_full};
use crate::writeback::Writeback;
use rustix::fd::OwnedFd;
use rustix::fs::{FallocateFlags, Stat, fallocate, fdatasync, fstat, ftruncate};
use rustix::io::Errno;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tintype_core::{Error, File, Kind, Result};

/// A file that an outlet made or reopened.
pub(crate) struct FileTarget {
    fd: Arc<OwnedFd>,
    path: PathBuf,
    writeback: Writeback,
    // The kernel tells a lost write once; whoever asks later must hear of it too.
    lost: AtomicBool,
}

impl FileTarget {
    pub fn new(fd: OwnedFd, path: PathBuf) -> Result<Self> {
        let stat = fstat(&fd).map_err(|e| fault::preparing(&path, "ask the size of", e))?;
        regular(&path, &stat)?;
        let fd = Arc::new(fd);
        Ok(FileTarget { writeback: Writeback::new(Arc::clone(&fd)), fd, path, lost: AtomicBool::new(false) })
    }

    fn stat(&self) -> Result<Stat> {
        fstat(&*self.fd).map_err(|e| fault::writing(&self.path, 0, e))
    }
}

impl File for FileTarget {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        read_full(&*self.fd, &self.path, buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        write_full(&*self.fd, &self.path, buf, offset)
    }

    fn len(&self) -> Result<u64> {
        Ok(u64::try_from(self.stat()?.st_size).unwrap_or(0))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        ftruncate(&*self.fd, len).map_err(|e| fault::writing(&self.path, len, e))
    }

    fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        match fallocate(&*self.fd, FallocateFlags::empty(), offset, len) {
            // A file system that cannot: the C library writes zeros there, which is as slow as it is useless here.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let end = offset.saturating_add(len);
                if end > self.len()? { self.set_len(end) } else { Ok(()) }
            }
            other => other.map_err(|e| fault::writing(&self.path, offset, e)),
        }
    }

    fn stored(&self) -> Result<u64> {
        // The unit of this field is 512 bytes whatever the file system's blocks are (stat(2)).
        Ok(u64::try_from(self.stat()?.st_blocks).unwrap_or(0).saturating_mul(512))
    }

    fn write_soon(&self, offset: u64, len: u64) {
        self.writeback.note(offset, len);
    }

    fn sync(&self) -> Result<()> {
        let synced = fdatasync(&*self.fd);
        if synced.is_err() {
            self.lost.store(true, Ordering::SeqCst);
        }
        synced.map_err(|e| fault::writing(&self.path, 0, e))?;
        if self.lost.load(Ordering::SeqCst) || self.writeback.has_lost() {
            return Err(Error::new(Kind::Io, "something written earlier never reached the medium").in_path(&self.path));
        }
        Ok(())
    }
}
