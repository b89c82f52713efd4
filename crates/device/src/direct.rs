//! Reads past the page cache at any offset into any buffer.

use crate::fault;
use crate::positional::read_full;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::io::{Errno, pread};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tintype_core::{Aligned, Error, Kind, Result, in_range};

/// Most bytes that go through one bounce buffer.
const WINDOW: u64 = 1 << 20;

/// What direct I/O on one file or drive asks of its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alignment {
    /// Buffer addresses are multiples of this.
    pub memory: u64,
    /// Offsets and lengths are multiples of this.
    pub offset: u64,
}

impl Alignment {
    /// What the kernel says (`STATX_DIOALIGN`, Linux 6.1), or else `fallback` for both.
    pub fn of(fd: impl AsFd, fallback: u64) -> Self {
        let asked = statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN);
        let sane = |n: u32| n.is_power_of_two() && n as usize <= Aligned::TO;
        match asked {
            Ok(s) if sane(s.stx_dio_mem_align) && sane(s.stx_dio_offset_align) => {
                Alignment { memory: u64::from(s.stx_dio_mem_align), offset: u64::from(s.stx_dio_offset_align) }
            }
            _ => Alignment { memory: fallback, offset: fallback },
        }
    }

    pub fn fits(&self, buf: &[u8], offset: u64) -> bool {
        (buf.as_ptr() as u64).is_multiple_of(self.memory)
            && offset.is_multiple_of(self.offset)
            && (buf.len() as u64).is_multiple_of(self.offset)
    }
}

/// What stands at the end of the readable bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A direct read may go past it and comes back short: regular files.
    Open,
    /// A direct read past it is refused: drives. Bytes after the last whole sector go through the page cache.
    Hard,
}

/// A file or drive opened both past and through the page cache.
pub(crate) struct Direct {
    /// Opened with `O_DIRECT`; none where that is refused.
    pub fd: Option<OwnedFd>,
    /// Opened without.
    pub plain: OwnedFd,
    pub path: PathBuf,
    pub len: u64,
    pub align: Alignment,
    pub end: End,
    // Set when a read had to go through the page cache after all.
    cached: AtomicBool,
}

impl Direct {
    pub fn new(fd: Option<OwnedFd>, plain: OwnedFd, path: &Path, len: u64, align: Alignment, end: End) -> Self {
        let cached = AtomicBool::new(fd.is_none());
        Direct { fd, plain, path: path.to_path_buf(), len, align, end, cached }
    }

    /// True while every read has gone past the page cache.
    pub fn always_direct(&self) -> bool {
        !self.cached.load(Ordering::Relaxed)
    }

    /// The end of what direct reads reach.
    pub fn whole(&self) -> u64 {
        match self.end {
            End::Open => self.len,
            End::Hard => self.len - self.len % self.align.offset,
        }
    }

    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        let Some(fd) = &self.fd else {
            return read_full(&self.plain, &self.path, buf, offset);
        };
        let whole = self.whole();
        let direct = (whole.saturating_sub(offset)).min(buf.len() as u64) as usize;
        let (body, tail) = buf.split_at_mut(direct);
        if self.align.fits(body, offset) {
            let need = body.len();
            self.read_aligned(fd, body, offset, need)?;
        } else {
            self.read_bounced(fd, body, offset)?;
        }
        if !tail.is_empty() {
            let at = offset + direct as u64;
            read_full(&self.plain, &self.path, tail, at).map_err(|e| later(e, direct as u64))?;
        }
        Ok(())
    }

    /// Reads at least `need` bytes into `buf`, all of it aligned.
    fn read_aligned(&self, fd: &OwnedFd, buf: &mut [u8], offset: u64, need: usize) -> Result<()> {
        let unit = self.align.offset as usize;
        let mut good = 0;
        while good < need {
            match pread(fd, &mut buf[good..], offset + good as u64) {
                Ok(0) => return Err(fault::shrunk(&self.path, offset + good as u64)),
                Ok(n) if good + n >= need => return Ok(()),
                // To go on from the middle of a sector would be refused: read that sector again.
                Ok(n) if n >= unit => good += n - n % unit,
                Err(Errno::INTR) => {}
                // Short of one sector, or refused although aligned as the kernel asked: the page cache decides.
                Ok(_) | Err(Errno::INVAL) => {
                    self.cached.store(true, Ordering::Relaxed);
                    return read_full(&self.plain, &self.path, &mut buf[good..need], offset + good as u64)
                        .map_err(|e| later(e, good as u64));
                }
                Err(e) => return Err(fault::reading(&self.path, offset, good, e)),
            }
        }
        Ok(())
    }

    fn read_bounced(&self, fd: &OwnedFd, buf: &mut [u8], offset: u64) -> Result<()> {
        let unit = self.align.offset;
        let end = offset + buf.len() as u64;
        let most = (end.div_ceil(unit) * unit - offset / unit * unit).min(WINDOW);
        let mut bounce = Aligned::new(most as usize);
        let mut at = offset;
        while at < end {
            let from = at / unit * unit;
            let to = (from + most).min(end.div_ceil(unit) * unit);
            let skip = (at - from) as usize;
            let take = (to.min(end) - at) as usize;
            let done = (at - offset) as usize;
            let window = &mut bounce[..(to - from) as usize];
            let read = self.read_aligned(fd, window, from, skip + take);
            let valid = match &read {
                Ok(()) => take,
                Err(e) => match e.kind() {
                    Kind::Unreadable { good, .. } => (good as usize).saturating_sub(skip).min(take),
                    _ => 0,
                },
            };
            buf[done..done + valid].copy_from_slice(&window[skip..skip + valid]);
            if let Err(e) = read {
                return Err(match e.kind() {
                    Kind::Unreadable { first_bad, .. } => {
                        e.into_kind(Kind::Unreadable { good: (done + valid) as u64, first_bad })
                    }
                    _ => e,
                });
            }
            at += take as u64;
        }
        Ok(())
    }
}

/// An error of a read that began `before` bytes into the caller's buffer.
fn later(e: Error, before: u64) -> Error {
    match e.kind() {
        Kind::Unreadable { good, first_bad } => e.into_kind(Kind::Unreadable { good: good + before, first_bad }),
        _ => e,
    }
}
