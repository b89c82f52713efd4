//! Where a rescue puts what it read.

use crate::map::Domain;
use crate::map::algebra::Shift;
use crate::open::{Medium, medium_of};
use std::path::PathBuf;
use std::sync::Arc;
use tintype_core::{Disk, Error, Extent, Facts, Result, Shape, Source};

/// A raw image or a drive, and how it is written.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its path.
    pub path: PathBuf,
    /// How much further on, or back, than on the drive bytes lie in it.
    pub shift: Shift,
    /// An image is at least this long.
    pub at_least: u64,
    /// What becomes of an image that is there and that no map speaks of.
    pub old: Old,
    /// Where the space of an image comes from.
    pub space: Space,
    /// What is written.
    pub writes: Writes,
}

/// What becomes of an image that no map speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Old {
    /// It is refused.
    Refuse,
    /// What was there stays where nothing is rescued to.
    Keep,
    /// Its content goes.
    Truncate,
}

/// Where the space of an image comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// It is taken when it is needed; zeros take none.
    Sparse,
    /// It is taken before the first read.
    Reserved,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Everything that was read.
    All,
    /// What is not there already.
    Different,
}

impl Target {
    /// A target at `path` that holds every byte at its place, sparse where it can be.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Target {
            path: path.into(),
            shift: Shift::Up(0),
            at_least: 0,
            old: Old::Refuse,
            space: Space::Sparse,
            writes: Writes::All,
        }
    }

    fn is_in_place(&self) -> bool {
        matches!(self.shift, Shift::Up(0) | Shift::Down(0))
    }

    /// Where the byte at `offset` of the drive lies in it.
    fn place(&self, offset: u64) -> Result<u64> {
        match self.shift {
            Shift::Up(by) => offset.checked_add(by).filter(|o| *o <= i64::MAX as u64),
            Shift::Down(by) => offset.checked_sub(by),
        }
        .ok_or_else(|| Error::usage("there is no such place in the target").at(offset).in_path(&self.path))
    }

    /// Opens it for a drive of `len` bytes of which `domain` is meant; an image is made, or made longer.
    pub(super) fn open(&self, len: u64, domain: &Domain) -> Result<Arc<dyn Disk>> {
        self.place(domain.start())?;
        let end = self.place(domain.end())?;
        let inner: Arc<dyn Disk> = match medium_of(&self.path) {
            Ok(Medium::Drive) => {
                let disk = tintype_device::disk::BlockDisk::open(&self.path)?;
                let needed = if self.is_in_place() { len } else { end };
                if disk.len() < needed {
                    return Err(Error::denied(format!(
                        "has {} bytes, {needed} are needed; use a larger one",
                        disk.len()
                    ))
                    .in_path(&self.path));
                }
                Arc::new(disk)
            }
            _ => self.open_file(len, end)?,
        };
        let holes = self.space == Space::Sparse && !matches!(medium_of(&self.path), Ok(Medium::Drive));
        let zeros = if holes { Zeros::Holes } else { Zeros::Bytes };
        Ok(Arc::new(Shifted { inner, target: self.clone(), zeros }))
    }

    fn open_file(&self, len: u64, end: u64) -> Result<Arc<dyn Disk>> {
        let failed = |e| Error::io("cannot make the image", e).in_path(&self.path);
        let file = std::fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .open(&self.path)
            .map_err(failed)?;
        let there = file.metadata().map_err(failed)?.len();
        // An image of a drive is as long as the drive, whatever is meant of it.
        let needed = if self.is_in_place() { len } else { end };
        if self.is_in_place() && self.at_least == 0 && self.old != Old::Keep && there > needed {
            return Err(
                Error::denied(format!("has {there} bytes, more than the {needed} of the drive")).in_path(&self.path)
            );
        }
        let needed = needed.max(self.at_least).max(there);
        file.set_len(needed).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        drop(file);
        if self.space == Space::Reserved {
            tintype_device::disk::reserve(&self.path, needed)?;
        }
        Ok(Arc::new(tintype_device::disk::FileDisk::open(&self.path)?))
    }
}

/// What zeros are in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zeros {
    Bytes,
    Holes,
}

/// A target as a disk with the places of the drive.
struct Shifted {
    inner: Arc<dyn Disk>,
    target: Target,
    zeros: Zeros,
}

/// Zeros shorter than this are written.
const HOLE: usize = 64 << 10;

impl Shifted {
    fn put(&self, buf: &[u8], at: u64) -> Result<()> {
        if self.target.writes == Writes::Different {
            let mut there = vec![0; buf.len()];
            if self.inner.read_at(&mut there, at).is_ok() && there == buf {
                return Ok(());
            }
        }
        self.inner.write_at(buf, at)
    }

    /// Writes pieces that begin and end at multiples of [`HOLE`]; those of zeros become holes.
    fn put_sparse(&self, buf: &[u8], at: u64) -> Result<()> {
        let (mut from, mut done, mut zero) = (0, 0, false);
        while done < buf.len() {
            let place = at + done as u64;
            let len = (HOLE - (place % HOLE as u64) as usize).min(buf.len() - done);
            let now = len == HOLE && is_zero(&buf[done..done + len]);
            if now != zero {
                self.run(&buf[from..done], at + from as u64, zero)?;
                (from, zero) = (done, now);
            }
            done += len;
        }
        self.run(&buf[from..], at + from as u64, zero)
    }

    fn run(&self, buf: &[u8], at: u64, zero: bool) -> Result<()> {
        match zero {
            _ if buf.is_empty() => Ok(()),
            true => self.inner.zero(at, buf.len() as u64),
            false => self.put(buf, at),
        }
    }
}

pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|w| u128::from_ne_bytes(*w) == 0) && rest.iter().all(|b| *b == 0)
}

impl Source for Shifted {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.inner.read_at(buf, self.target.place(offset)?)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let found = self.inner.extent_at(self.target.place(offset)?)?;
        Ok(Extent { offset, ..found })
    }

    fn shape(&self) -> Shape {
        self.inner.shape()
    }

    fn facts(&self) -> &Facts {
        self.inner.facts()
    }
}

impl Disk for Shifted {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let at = self.target.place(offset)?;
        match self.zeros {
            Zeros::Holes => self.put_sparse(buf, at),
            Zeros::Bytes => self.put(buf, at),
        }
    }

    fn zero(&self, offset: u64, len: u64) -> Result<()> {
        self.inner.zero(self.target.place(offset)?, len)
    }

    fn flush(&self) -> Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_become_holes_and_everything_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        let target = Target { old: Old::Keep, shift: Shift::Down(1000), ..Target::new(&path) };
        let disk = target.open(2 << 20, &Domain::of(std::iter::once(1000..(1 << 20) + 1000))).unwrap();
        let mut bytes = vec![0; 600_000];
        bytes[300_000..300_010].fill(9);
        disk.write_at(&bytes, 2000).unwrap();
        disk.flush().unwrap();
        let there = std::fs::read(&path).unwrap();
        assert_eq!(there.len(), 1 << 20);
        assert!(there[..1000].iter().all(|b| *b == 7) && there[601_000..].iter().all(|b| *b == 7));
        assert!(there[1000..601_000] == bytes);
        assert!(disk.write_at(&bytes, 0).is_err(), "before the begin of the target");
    }
}
