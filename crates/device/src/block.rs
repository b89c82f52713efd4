//! Drives as sources.

use crate::direct::{Alignment, Direct, End};
use crate::presence::Presence;
use crate::{fault, ioctl};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    Advice, FileType, Mode, OFlags, fadvise, fstat, ioctl_blkpbszget, ioctl_blksszget, open as open_fd, stat,
};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use tintype_core::{Error, Facts, Kind, Result, Shape, Source};

/// A drive or partition, read past the page cache; it is never written.
pub struct BlockSource {
    direct: Direct,
    geometry: Geometry,
    presence: Presence,
    facts: Facts,
    device: u64,
}

/// The drive or partition at `path`, opened for reading only.
///
/// `Usage` for anything that is no block device, `Io` where it cannot be opened or has no medium.
pub fn open(path: &Path) -> Result<BlockSource> {
    let opened = Opened::new(path, OFlags::RDONLY, "open for reading")?;
    // A failing sector must not take its neighbours along: the kernel reads ahead only where it is told nothing.
    let _ = fadvise(&opened.direct.plain, 0, None, Advice::Random);
    let facts = Facts { identity: crate::identity::of(opened.device), ..Facts::default() };
    Ok(BlockSource {
        direct: opened.direct,
        geometry: opened.geometry,
        presence: opened.presence,
        facts,
        device: opened.device,
    })
}

/// A drive opened for either use.
pub(crate) struct Opened {
    pub direct: Direct,
    pub geometry: Geometry,
    pub presence: Presence,
    pub device: u64,
}

/// The sectors of a drive, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Logical sector: what the drive addresses.
    pub sector: u32,
    /// Physical sector: what the medium stores.
    pub physical: u32,
}

impl Geometry {
    fn of(fd: impl AsFd) -> rustix::io::Result<Self> {
        let sector = ioctl_blksszget(&fd)?.max(1);
        let physical = ioctl_blkpbszget(&fd).unwrap_or(sector);
        // Some bridges report nonsense here; the contract wants a multiple.
        let physical = if physical.is_multiple_of(sector) { physical.max(sector) } else { sector };
        Ok(Geometry { sector, physical })
    }
}

impl Opened {
    pub fn new(path: &Path, flags: OFlags, what: &str) -> Result<Self> {
        let failed = |e| fault::preparing(path, what, e);
        let stat = stat(path).map_err(failed)?;
        refuse_others(path, FileType::from_raw_mode(stat.st_mode))?;
        let flags = flags | OFlags::CLOEXEC;
        let plain = open_fd(path, flags, Mode::empty()).map_err(failed)?;
        let now = fstat(&plain).map_err(failed)?;
        refuse_others(path, FileType::from_raw_mode(now.st_mode))?;
        // Through the process's own table: the name may lead to another drive by now. The first handle holds any
        // exclusive claim, and a second claim by the same process would be refused.
        let same = own_handle(&plain);
        let fd = match open_fd(&same, (flags - OFlags::EXCL) | OFlags::DIRECT, Mode::empty()) {
            Ok(fd) => Some(fd),
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOENT) => None,
            Err(e) => return Err(failed(e)),
        };
        let len = ioctl::size(&plain).map_err(failed)?;
        let geometry = Geometry::of(&plain).map_err(failed)?;
        let asked = Alignment::of(&plain, u64::from(geometry.sector));
        let align = Alignment { offset: asked.offset.max(u64::from(geometry.sector)), ..asked };
        let device = now.st_rdev;
        let direct = Direct::new(fd, plain, path, len, align, End::Hard);
        Ok(Opened { direct, geometry, presence: Presence::of(device), device })
    }
}

/// A path that opens the same file again, whatever its name leads to by now.
pub(crate) fn own_handle(fd: &OwnedFd) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn refuse_others(path: &Path, kind: FileType) -> Result<()> {
    match kind {
        FileType::BlockDevice => Ok(()),
        _ => Err(Error::usage("is not a drive").in_path(path)),
    }
}

/// The shape of a drive read with or without the page cache.
pub(crate) fn shape(geometry: Geometry, direct: &Direct) -> Shape {
    Shape {
        sector: geometry.sector,
        physical: geometry.physical,
        unit: 1 << 20,
        in_flight: 4,
        direct: direct.fd.is_some(),
    }
}

/// The same error, or the news that the whole drive is gone: to a dying drive the kernel says the same as to a bad
/// sector.
pub(crate) fn explain(e: Error, presence: &Presence, direct: &Direct, done: &str) -> Error {
    let at = e.offset().unwrap_or(0);
    let doubtful = matches!(e.kind(), Kind::Unreadable { .. } | Kind::Io);
    if doubtful && presence.lost(&direct.plain) {
        return fault::gone(&direct.path, at, done).because(e);
    }
    e
}

impl BlockSource {
    /// False if the kernel refused direct I/O: a bad sector then spoils its whole page, and this should be said.
    pub fn is_direct(&self) -> bool {
        self.direct.fd.is_some()
    }

    /// The sectors of the drive.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// True if the kernel refuses to write to the drive, such as one behind a write blocker.
    pub fn is_read_only(&self) -> bool {
        ioctl::read_only(&self.direct.plain).unwrap_or(false)
    }

    /// What has happened to the drive since it was opened, as a sentence; none if it is the same.
    pub fn changed(&self) -> Result<Option<String>> {
        let now = ioctl::size(&self.direct.plain).map_err(|e| fault::reading(&self.direct.path, 0, 0, e))?;
        Ok((now != self.direct.len)
            .then(|| format!("its size has changed from {} to {now} bytes while it was read", self.direct.len)))
    }

    /// Its device number.
    pub(crate) fn device(&self) -> u64 {
        self.device
    }

    /// One more handle to the drive itself, whatever its name leads to by now.
    pub(crate) fn handle(&self) -> std::io::Result<OwnedFd> {
        self.direct.plain.try_clone()
    }

    /// True if the drive was removed, replaced or given up since it was opened.
    pub(crate) fn is_lost(&self) -> bool {
        self.presence.lost(&self.direct.plain)
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.direct.path
    }
}

impl Source for BlockSource {
    fn len(&self) -> u64 {
        self.direct.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.direct.read_at(buf, offset).map_err(|e| explain(e, &self.presence, &self.direct, "was read"))
    }

    fn shape(&self) -> Shape {
        shape(self.geometry, &self.direct)
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_drives_are_drives() {
        for path in ["/dev/null", "/proc/self/status", "/"] {
            let e = open(Path::new(path)).err().unwrap();
            assert_eq!(e.kind(), Kind::Usage, "{e}");
        }
        assert_eq!(open(Path::new("/dev/no such drive")).err().unwrap().kind(), Kind::Io);
    }
}
