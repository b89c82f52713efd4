//! Reads past the page cache at any offset into any buffer.

use crate::positional::{Cause, Short, fill};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::io::{Errno, pread};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tintype_core::{Aligned, Result, in_range};

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

    /// The same for a regular file opened with `O_DIRECT`: where the kernel does not say, one sector is tried.
    pub fn tried(fd: impl AsFd, fallback: u64) -> Self {
        const SECTOR: usize = 512;
        let asked = Alignment::of(&fd, fallback);
        if kernel_says(&fd) {
            return asked;
        }
        let mut buffer = Aligned::new(SECTOR);
        // A sector that cannot be read was not refused for its place.
        match pread(&fd, &mut buffer[..], SECTOR as u64) {
            Err(Errno::INVAL) => asked,
            _ => Alignment { memory: fallback, offset: SECTOR as u64 },
        }
    }

    pub fn fits(&self, buf: &[u8], offset: u64) -> bool {
        (buf.as_ptr() as u64).is_multiple_of(self.memory)
            && offset.is_multiple_of(self.offset)
            && (buf.len() as u64).is_multiple_of(self.offset)
    }
}

/// True if the kernel says what direct I/O on this file asks for.
fn kernel_says(fd: impl AsFd) -> bool {
    statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).is_ok_and(|s| s.stx_dio_offset_align != 0)
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
    // The longest read that came back whole.
    longest: AtomicUsize,
}

impl Direct {
    pub fn new(fd: Option<OwnedFd>, plain: OwnedFd, path: &Path, len: u64, align: Alignment, end: End) -> Self {
        let cached = AtomicBool::new(fd.is_none());
        Direct { fd, plain, path: path.to_path_buf(), len, align, end, cached, longest: AtomicUsize::new(0) }
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
        self.read(buf, offset).map_err(|short| short.error(&self.path, offset))
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<(), Short> {
        let Some(fd) = &self.fd else {
            return fill(&self.plain, buf, offset);
        };
        let direct = self.whole().saturating_sub(offset).min(buf.len() as u64) as usize;
        let (body, tail) = buf.split_at_mut(direct);
        if self.align.fits(body, offset) {
            let need = body.len();
            self.read_aligned(fd, body, offset, need)?;
        } else {
            self.read_bounced(fd, body, offset)?;
        }
        fill(&self.plain, tail, offset + direct as u64).map_err(|short| short.after(direct))
    }

    /// Reads at least `need` bytes into `buf`, all of it aligned.
    fn read_aligned(&self, fd: &OwnedFd, buf: &mut [u8], offset: u64, need: usize) -> Result<(), Short> {
        let unit = self.align.offset as usize;
        let mut good = 0;
        while good < need {
            match pread(fd, &mut buf[good..], offset + good as u64) {
                Ok(0) => return Err(Short { good, cause: Cause::End }),
                Ok(n) if good + n >= need => {
                    if good + n == buf.len() {
                        self.longest.fetch_max(n, Ordering::Relaxed);
                    }
                    return Ok(());
                }
                Ok(n) if n >= unit => {
                    let asked = buf.len() - good;
                    // To go on from the middle of a sector would be refused: read that sector again.
                    good += n - n % unit;
                    // Where reads as long as this come back whole, only a failure cuts one short. To ask for its reason would make the
                    // drive fail once more.
                    if asked <= self.longest.load(Ordering::Relaxed) {
                        return Err(Short { good, cause: Cause::Untold });
                    }
                }
                Err(Errno::INTR) => {}
                // Short of one sector, or refused although aligned as the kernel asked: the page cache decides.
                Ok(_) | Err(Errno::INVAL) => {
                    self.cached.store(true, Ordering::Relaxed);
                    return fill(&self.plain, &mut buf[good..need], offset + good as u64)
                        .map_err(|short| short.after(good));
                }
                Err(e) => return Err(Short { good, cause: Cause::Errno(e) }),
            }
        }
        Ok(())
    }

    fn read_bounced(&self, fd: &OwnedFd, buf: &mut [u8], offset: u64) -> Result<(), Short> {
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
            let valid = read.err().map_or(take, |short| short.good.saturating_sub(skip).min(take));
            buf[done..done + valid].copy_from_slice(&window[skip..skip + valid]);
            read.map_err(|short| Short { good: done + valid, ..short })?;
            at += take as u64;
        }
        Ok(())
    }
}
