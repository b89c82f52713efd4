//! Where a rescue puts what it read.

use super::begin::There;
use super::keeper::Zeros;
use crate::identity::SourceId;
use crate::map::Domain;
use crate::map::algebra::Shift;
use crate::open::{Medium, medium_of};
use crate::target::Lock;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tintype_core::{Disk, Error, Extent, Facts, Result, Shape, Source};
use tintype_device::disk::{BlockDisk, FileDisk};

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
    pub(super) fn place(&self, offset: u64) -> Result<u64> {
        match self.shift {
            Shift::Up(by) => offset.checked_add(by).filter(|o| *o <= i64::MAX as u64),
            Shift::Down(by) => offset.checked_sub(by),
        }
        .ok_or_else(|| Error::usage("there is no such place in the target").at(offset).in_path(&self.path))
    }

    /// What stands there now.
    pub(super) fn there(&self) -> Result<There> {
        match medium_of(&self.path) {
            Ok(Medium::File) => {
                let meta =
                    std::fs::metadata(&self.path).map_err(|e| Error::io("cannot look at", e).in_path(&self.path))?;
                Ok(There::File(meta.len()))
            }
            Ok(Medium::Drive) => Ok(There::Drive),
            Ok(Medium::Folder) => Err(Error::usage("is a folder; name the image inside it").in_path(&self.path)),
            Err(e) if e.io_kind() == Some(std::io::ErrorKind::NotFound) => Ok(There::Nothing),
            Err(e) => Err(e),
        }
    }
}

/// A target that no other run writes meanwhile.
pub(super) struct Held {
    target: Target,
    medium: Writable,
    // An image is so long, at least.
    needed: u64,
}

enum Writable {
    Drive(Arc<BlockDisk>),
    File(#[expect(dead_code, reason = "it is held")] Lock),
}

impl Held {
    /// Holds the target of a drive of `len` bytes of which `domain` is meant; a file that was not there is empty.
    pub fn of(target: &Target, len: u64, domain: &Domain) -> Result<Self> {
        target.place(domain.start())?;
        let end = target.place(domain.end())?;
        // An image of a drive is as long as the drive, whatever is meant of it.
        let needed = if target.is_in_place() { len } else { end };
        let path = &target.path;
        let medium = if matches!(medium_of(path), Ok(Medium::Drive)) {
            let disk = BlockDisk::open(path)?;
            if disk.len() < needed {
                let why = format!("has {} bytes, {needed} are needed; use a larger one", disk.len());
                return Err(Error::denied(why).in_path(path));
            }
            Writable::Drive(Arc::new(disk))
        } else {
            let file = File::options().create(true).truncate(false).write(true).read(true).open(path);
            let there = file.and_then(|f| f.metadata()).map_err(|e| cannot_make(e, path))?.len();
            let as_it_is = target.is_in_place() && target.at_least == 0 && target.old == Old::Refuse;
            if as_it_is && there > needed {
                return Err(
                    Error::denied(format!("has {there} bytes, more than the {needed} of the drive")).in_path(path)
                );
            }
            Lock::take(path).map(Writable::File)?
        };
        Ok(Held { target: target.clone(), medium, needed: needed.max(target.at_least) })
    }

    /// Which drive it is, if it is one.
    pub fn medium(&self) -> Option<SourceId> {
        let path = &self.target.path;
        match &self.medium {
            Writable::Drive(disk) => Some(SourceId::of(&path.to_string_lossy(), Some(path), Some(&**disk))),
            Writable::File(_) => None,
        }
    }

    /// Opens it, an image with the length that it needs.
    pub fn disk(&self, start: Start) -> Result<Arc<dyn Disk>> {
        let path = &self.target.path;
        let inner: Arc<dyn Disk> = match &self.medium {
            Writable::Drive(disk) => Arc::clone(disk) as _,
            Writable::File(_) => {
                let file = File::options().write(true).open(path).map_err(|e| cannot_make(e, path))?;
                if start == Start::Anew && self.target.old == Old::Truncate {
                    file.set_len(0).map_err(|e| cannot_make(e, path))?;
                }
                let there = file.metadata().map_err(|e| cannot_make(e, path))?.len();
                let len = self.needed.max(there);
                file.set_len(len).and_then(|()| file.sync_all()).map_err(|e| cannot_make(e, path))?;
                if self.target.space == Space::Reserved {
                    tintype_device::disk::reserve(path, len)?;
                }
                Arc::new(FileDisk::past_cache(path)?)
            }
        };
        match self.target.is_in_place() && self.target.writes == Writes::All {
            true => Ok(inner),
            false => Ok(Arc::new(Placed { inner, target: self.target.clone() })),
        }
    }

    /// What becomes of zeros in it.
    pub fn zeros(&self) -> Zeros {
        match (&self.medium, self.target.space) {
            (Writable::File(_), Space::Sparse) => Zeros::Holes,
            _ => Zeros::Written,
        }
    }
}

/// Whether a rescue begins or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Anew,
    GoingOn,
}

fn cannot_make(e: std::io::Error, image: &Path) -> Error {
    Error::io("cannot make the image", e).in_path(image)
}

/// A target as a disk with the places of the drive.
struct Placed {
    inner: Arc<dyn Disk>,
    target: Target,
}

impl Source for Placed {
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

impl Disk for Placed {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let at = self.target.place(offset)?;
        if self.target.writes == Writes::Different {
            let mut there = vec![0; buf.len()];
            if self.inner.read_at(&mut there, at).is_ok() && there == buf {
                return Ok(());
            }
        }
        self.inner.write_at(buf, at)
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
    fn bytes_go_to_their_places_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        let shift = Shift::Down(1000);
        let target = Target { old: Old::Keep, shift, writes: Writes::Different, ..Target::new(&path) };
        let held = Held::of(&target, 2 << 20, &Domain::of(std::iter::once(1000..(1 << 20) + 1000))).unwrap();
        let disk = held.disk(Start::Anew).unwrap();
        disk.write_at(&vec![9; 600_000], 2000).unwrap();
        disk.zero(602_000, 1000).unwrap();
        disk.flush().unwrap();
        let there = std::fs::read(&path).unwrap();
        assert_eq!(there.len(), 1 << 20);
        assert!(there[..1000].iter().chain(&there[602_000..]).all(|b| *b == 7));
        assert!(there[1000..601_000].iter().all(|b| *b == 9) && there[601_000..602_000].iter().all(|b| *b == 0));
        assert!(disk.write_at(&[1], 0).is_err(), "before the begin of the target");
    }
}
