//! Drives and existing files that are written in place.

use crate::block::{self, Geometry, Opened, own_handle};
use crate::direct::{Alignment, Direct};
use crate::file::open_regular_for_writing;
use crate::positional::{read_full, write_full};
use crate::presence::Presence;
use crate::writeback::Writeback;
use crate::{extents, fault, ioctl};
use rustix::fd::OwnedFd;
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, fstat, fsync, open};
use rustix::io::{Errno, pwrite};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tintype_core::{Aligned, Disk, Error, Extent, Facts, Kind, Result, Shape, Source, in_range};

/// Most bytes written from one buffer of this module's own.
const WINDOW: u64 = 1 << 20;

/// A drive or partition that is written, past the page cache and to the exclusion of everybody else.
pub struct BlockDisk {
    direct: Direct,
    geometry: Geometry,
    presence: Presence,
    facts: Facts,
    // Two threads that each change a part of one sector would undo each other's work.
    sector: Mutex<()>,
    // The kernel tells a lost write once; whoever flushes later must hear of it too.
    lost: AtomicBool,
}

impl BlockDisk {
    /// The drive at `path`. Fails with `Io` while a file system, a swap area or another program holds it.
    pub fn open(path: &Path) -> Result<Self> {
        let opened = Opened::new(path, OFlags::RDWR | OFlags::EXCL, "open for writing")?;
        if ioctl::read_only(&opened.direct.plain).unwrap_or(false) {
            return Err(Error::new(
                Kind::Denied,
                "the drive is write-protected; remove the write protection or choose another target",
            )
            .in_path(path));
        }
        let facts = Facts { identity: crate::identity::of(opened.device), ..Facts::default() };
        Ok(BlockDisk {
            direct: opened.direct,
            geometry: opened.geometry,
            presence: opened.presence,
            facts,
            sector: Mutex::new(()),
            lost: AtomicBool::new(false),
        })
    }

    /// Makes the kernel read the partition table again. Fails where a partition is in use, or the drive takes none.
    pub fn reread_partitions(&self) -> Result<()> {
        ioctl::reread_partitions(&self.direct.plain)
            .map_err(|e| fault::preparing(&self.direct.path, "have the new partition table read", e))
    }

    fn gone(&self, e: Error) -> Error {
        block::explain(e, &self.presence, &self.direct, "was written")
    }

    /// The part of a range that is whole sectors; the rest goes through [`BlockDisk::patch`].
    fn inner(&self, offset: u64, len: u64) -> (u64, u64) {
        let unit = self.direct.align.offset;
        let to = (offset + len).min(self.direct.whole()) / unit * unit;
        let from = offset.next_multiple_of(unit).min(offset + len);
        if from < to { (from, to) } else { (from, from) }
    }

    fn write(&self, buf: &[u8], offset: u64) -> Result<()> {
        in_range(self.direct.len, offset, buf.len() as u64)?;
        let Some(fd) = &self.direct.fd else {
            return write_full(&self.direct.plain, &self.direct.path, buf, offset);
        };
        let (from, to) = self.inner(offset, buf.len() as u64);
        let part = |a: u64, b: u64| &buf[(a - offset) as usize..(b - offset) as usize];
        self.patch(part(offset, from), offset)?;
        let body = part(from, to);
        if self.direct.align.fits(body, from) {
            self.write_aligned(fd, body, from)?;
        } else {
            let mut bounce = Aligned::new((body.len() as u64).min(WINDOW) as usize);
            for (i, piece) in body.chunks(bounce.len().max(1)).enumerate() {
                let window = &mut bounce[..piece.len()];
                window.copy_from_slice(piece);
                self.write_aligned(fd, window, from + i as u64 * WINDOW)?;
            }
        }
        self.patch(part(to, offset + buf.len() as u64), to)
    }

    /// Writes whole sectors from an aligned buffer.
    fn write_aligned(&self, fd: &OwnedFd, buf: &[u8], offset: u64) -> Result<()> {
        let unit = self.direct.align.offset as usize;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            match pwrite(fd, &buf[done..], at) {
                Ok(n) if n >= unit => done += n - n % unit,
                Err(Errno::INTR) => {}
                Ok(_) | Err(Errno::INVAL) => {
                    return write_full(&self.direct.plain, &self.direct.path, &buf[done..], at);
                }
                Err(e) => return Err(fault::writing(&self.direct.path, at, e)),
            }
        }
        Ok(())
    }

    /// Changes bytes that are no whole sectors: each sector is read, changed and written.
    fn patch(&self, buf: &[u8], offset: u64) -> Result<()> {
        if buf.is_empty() {
            return Ok(());
        }
        let unit = self.direct.align.offset;
        let _alone = self.sector.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sector = Aligned::new(unit as usize);
        let end = offset + buf.len() as u64;
        let mut at = offset;
        while at < end {
            let from = at / unit * unit;
            let to = (from + unit).min(end);
            let new = &buf[(at - offset) as usize..(to - offset) as usize];
            match &self.direct.fd {
                Some(fd) if from + unit <= self.direct.whole() => {
                    self.direct.read_at(&mut sector, from).map_err(|e| e.into_kind(Kind::Io))?;
                    sector[(at - from) as usize..(to - from) as usize].copy_from_slice(new);
                    self.write_aligned(fd, &sector, from)?;
                }
                // The end of a drive that is no whole number of sectors can only be reached through the page cache.
                _ => write_full(&self.direct.plain, &self.direct.path, new, at)?,
            }
            at = to;
        }
        Ok(())
    }

    fn write_zeros(&self, offset: u64, len: u64) -> Result<()> {
        zeros(offset, len, |buf, at| self.write(buf, at))
    }
}

/// Writes `len` zeros from `offset` in windows.
fn zeros(offset: u64, len: u64, write: impl Fn(&[u8], u64) -> Result<()>) -> Result<()> {
    let buf = Aligned::new(len.min(WINDOW) as usize);
    let mut done = 0;
    while done < len {
        let now = (len - done).min(WINDOW);
        write(&buf[..now as usize], offset + done)?;
        done += now;
    }
    Ok(())
}

impl Source for BlockDisk {
    fn len(&self) -> u64 {
        self.direct.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.direct.read_at(buf, offset).map_err(|e| self.gone(e))
    }

    fn shape(&self) -> Shape {
        block::shape(self.geometry, &self.direct)
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}

impl Disk for BlockDisk {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.write(buf, offset).map_err(|e| self.gone(e))
    }

    fn zero(&self, offset: u64, len: u64) -> Result<()> {
        in_range(self.direct.len, offset, len)?;
        let (from, to) = self.inner(offset, len);
        let ends = || {
            self.write_zeros(offset, from - offset)?;
            self.write_zeros(to, offset + len - to)
        };
        let body = || match from == to {
            true => Ok(()),
            // Not discard: what a drive returns for discarded sectors is its own affair.
            false => match ioctl::zero(&self.direct.plain, from, to - from) {
                Ok(()) => Ok(()),
                Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL) => self.write_zeros(from, to - from),
                Err(e) => Err(fault::writing(&self.direct.path, from, e)),
            },
        };
        ends().and_then(|()| body()).map_err(|e| self.gone(e))
    }

    fn flush(&self) -> Result<()> {
        // Writes past the cache may sit in the drive's own: this sends its flush command too.
        if let Err(e) = fsync(&self.direct.plain) {
            self.lost.store(true, Ordering::SeqCst);
            return Err(self.gone(fault::writing(&self.direct.path, 0, e)));
        }
        if self.lost.load(Ordering::SeqCst) {
            return Err(lost(&self.direct.path));
        }
        Ok(())
    }
}

fn lost(path: &Path) -> Error {
    Error::new(Kind::Io, "something written earlier never reached the medium").in_path(path)
}

impl Drop for BlockDisk {
    fn drop(&mut self) {
        // Others may have read the drive through the page cache before; they are not to see what it held then.
        let _ = ioctl::drop_cache(&self.direct.plain);
    }
}

/// Shorter writes go through the page cache, which gathers them.
const LONG: usize = 256 << 10;

/// An existing regular file that is written in place and keeps its length.
pub struct FileDisk {
    fd: Arc<OwnedFd>,
    path: PathBuf,
    len: u64,
    // Opened with `O_DIRECT`, and what that asks for.
    direct: Option<(OwnedFd, Alignment)>,
    writeback: Option<Writeback>,
    lost: AtomicBool,
}

impl FileDisk {
    /// The regular file at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let fd = open_regular_for_writing(path)?;
        let stat = fstat(&fd).map_err(|e| fault::preparing(path, "ask the size of", e))?;
        let len = u64::try_from(stat.st_size).unwrap_or(0);
        let (fd, path) = (Arc::new(fd), path.to_path_buf());
        Ok(FileDisk { fd, path, len, direct: None, writeback: None, lost: AtomicBool::new(false) })
    }

    /// The same for more than fits into memory: long writes from aligned buffers go past the page cache where the file system
    /// takes them, and what goes through it is soon on its way to the medium.
    pub fn past_cache(path: &Path) -> Result<Self> {
        let disk = FileDisk::open(path)?;
        let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
        let direct = open(own_handle(&disk.fd), flags, Mode::empty()).ok();
        let direct = direct.map(|fd| {
            let align = Alignment::of(&fd, Aligned::TO as u64);
            (fd, align)
        });
        let writeback = Some(Writeback::new(Arc::clone(&disk.fd)));
        Ok(FileDisk { direct, writeback, ..disk })
    }

    /// Writes as much from the start of `buf` past the page cache as the file system takes; returns how much that was.
    fn write_direct(&self, buf: &[u8], offset: u64) -> Result<usize> {
        let Some((fd, align)) = self.direct.as_ref().filter(|(_, align)| buf.len() >= LONG && align.fits(buf, offset))
        else {
            return Ok(0);
        };
        let unit = align.offset as usize;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            match pwrite(fd, &buf[done..], at) {
                Ok(n) if n >= unit => done += n - n % unit,
                Err(Errno::INTR) => {}
                // The page cache takes it, or says what is wrong.
                Ok(_) | Err(Errno::INVAL | Errno::OPNOTSUPP) => break,
                Err(e) => return Err(fault::writing(&self.path, at, e)),
            }
        }
        Ok(done)
    }
}

/// Takes the space for the first `len` bytes of the regular file at `path`, so that writing them cannot fail for want of it.
pub fn reserve(path: &Path, len: u64) -> Result<()> {
    if len == 0 {
        return Ok(());
    }
    let fd = open_regular_for_writing(path)?;
    fallocate(&fd, FallocateFlags::empty(), 0, len).map_err(|e| fault::preparing(path, "reserve space for", e))
}

impl Source for FileDisk {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        read_full(&*self.fd, &self.path, buf, offset)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        extents::extent_at(&*self.fd, &self.path, self.len, offset)
    }
}

impl Disk for FileDisk {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        let done = self.write_direct(buf, offset)?;
        let (rest, at) = (&buf[done..], offset + done as u64);
        write_full(&*self.fd, &self.path, rest, at)?;
        if let Some(writeback) = self.writeback.as_ref().filter(|_| !rest.is_empty()) {
            writeback.note(at, rest.len() as u64);
        }
        Ok(())
    }

    fn zero(&self, offset: u64, len: u64) -> Result<()> {
        in_range(self.len, offset, len)?;
        if len == 0 {
            return Ok(());
        }
        let keep = FallocateFlags::KEEP_SIZE;
        for how in [FallocateFlags::PUNCH_HOLE | keep, FallocateFlags::ZERO_RANGE | keep] {
            match fallocate(&*self.fd, how, offset, len) {
                Ok(()) => return Ok(()),
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::INTR) => {}
                Err(e) => return Err(fault::writing(&self.path, offset, e)),
            }
        }
        zeros(offset, len, |buf, at| write_full(&*self.fd, &self.path, buf, at))
    }

    fn flush(&self) -> Result<()> {
        if let Err(e) = fsync(&*self.fd) {
            self.lost.store(true, Ordering::SeqCst);
            return Err(fault::writing(&self.path, 0, e));
        }
        if self.lost.load(Ordering::SeqCst) {
            return Err(lost(&self.path));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_and_zeroed_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, vec![9; 100_001]).unwrap();
        let disk = FileDisk::open(&path).unwrap();
        let mut want = vec![9; 100_001];
        for (at, len) in [(0, 1), (4095, 2), (8192, 4096), (50_000, 50_001)] {
            disk.zero(at, len).unwrap();
            want[at as usize..(at + len) as usize].fill(0);
        }
        disk.write_at(b"end", 99_998).unwrap();
        want[99_998..].copy_from_slice(b"end");
        disk.flush().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), want);
        assert_eq!(disk.write_at(b"more", 99_998).err().unwrap().kind(), Kind::Usage);
        assert_eq!(disk.zero(100_000, 2).err().unwrap().kind(), Kind::Usage);
    }

    #[test]
    fn a_folder_or_a_missing_file_is_no_disk() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(FileDisk::open(dir.path()).err().unwrap().kind(), Kind::Usage);
        assert_eq!(FileDisk::open(&dir.path().join("x")).err().unwrap().kind(), Kind::Io);
        assert_eq!(BlockDisk::open(dir.path()).err().unwrap().kind(), Kind::Usage);
    }
}
