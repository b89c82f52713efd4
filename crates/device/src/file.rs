//! Regular files as sources.

use crate::direct::{Alignment, Direct, End};
use crate::positional::read_full;
use crate::{extents, fault};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Advice, FileType, Mode, OFlags, Stat, fadvise, fstat, fsync, open as open_fd, stat};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use tintype_core::{Aligned, Error, Extent, Facts, Result, Shape, Source, in_range};

/// A regular file, read through the page cache; its holes are known zeros.
pub struct FileSource {
    fd: OwnedFd,
    path: PathBuf,
    len: u64,
    stamp: Stamp,
    facts: Facts,
}

/// The regular file at `path`, opened for reading only. Its length is fixed now.
///
/// `Usage` for anything that is no regular file, `Io` where it cannot be opened.
pub fn open(path: &Path) -> Result<FileSource> {
    // Asked before opening: to open a FIFO or a serial line already does something to it.
    let stat = stat(path).map_err(|e| fault::preparing(path, "open for reading", e))?;
    regular(path, &stat)?;
    let fd = open_reading(path, OFlags::empty())?;
    from_fd(fd, path)
}

/// A regular file that is already open.
pub(crate) fn from_fd(fd: OwnedFd, path: &Path) -> Result<FileSource> {
    let stat = fstat(&fd).map_err(|e| fault::preparing(path, "ask the size of", e))?;
    regular(path, &stat)?;
    // Only advice: reading works without it.
    let _ = fadvise(&fd, 0, None, Advice::Sequential);
    let mut facts = Facts::default();
    facts.identity.transport = "file".into();
    Ok(FileSource { fd, path: path.to_path_buf(), len: size(&stat), stamp: Stamp::of(&stat), facts })
}

/// Refuses what is no regular file, and says what it is.
pub(crate) fn regular(path: &Path, stat: &Stat) -> Result<()> {
    let what = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "is a folder, not a file",
        FileType::Fifo => "is a pipe; read it as a stream, with - as the source",
        FileType::CharacterDevice => "is a character device, which has no size to image",
        FileType::BlockDevice => "is a drive, not a file",
        FileType::Socket => "is a socket, not a file",
        _ => "is not a regular file",
    };
    Err(Error::usage(what).in_path(path))
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Opens for reading without touching the access time where that is permitted.
pub(crate) fn open_reading(path: &Path, more: OFlags) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK | more;
    let opened = match open_fd(path, flags | OFlags::NOATIME, Mode::empty()) {
        // Only the owner may leave the access time alone.
        Err(Errno::PERM) => open_fd(path, flags, Mode::empty()),
        other => other,
    };
    opened.map_err(|e| fault::preparing(path, "open for reading", e))
}

/// The existing regular file at `path`, to be written in place.
pub(crate) fn open_regular_for_writing(path: &Path) -> Result<OwnedFd> {
    let failed = |e| fault::preparing(path, "open for writing", e);
    regular(path, &stat(path).map_err(failed)?)?;
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let fd = open_fd(path, flags, Mode::empty()).map_err(failed)?;
    regular(path, &fstat(&fd).map_err(failed)?)?;
    Ok(fd)
}

/// What changes when somebody writes to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: (i64, u64),
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Stamp { len: size(stat), modified: (stat.st_mtime, stat.st_mtime_nsec) }
    }
}

impl FileSource {
    /// What has happened to the file since it was opened, as a sentence; none if it is the same.
    pub fn changed(&self) -> Result<Option<String>> {
        let stat = fstat(&self.fd).map_err(|e| fault::reading(&self.path, 0, 0, e))?;
        let now = Stamp::of(&stat);
        Ok(if now.len > self.len {
            Some(format!(
                "has grown from {} to {} bytes while it was read; the rest is not in the image",
                self.len, now.len
            ))
        } else if now.len < self.len {
            Some(format!("has shrunk from {} to {} bytes while it was read", self.len, now.len))
        } else if now != self.stamp {
            Some(
                "was written to while it was read; the image may hold some of it from before and some from after"
                    .into(),
            )
        } else {
            None
        })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Source for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        read_full(&self.fd, &self.path, buf, offset)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        extents::extent_at(&self.fd, &self.path, self.len, offset)
    }

    fn shape(&self) -> Shape {
        Shape { unit: 1 << 20, ..Shape::default() }
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// A regular file read from its medium and not from the page cache, to prove what was written.
pub struct Uncached {
    direct: Direct,
    facts: Facts,
}

impl Uncached {
    /// The regular file at `path`; what is still only in memory of it is written to the medium first.
    pub fn open(path: &Path) -> Result<Self> {
        Self::from_fd(open_reading(path, OFlags::empty())?, path)
    }

    /// The regular file that `plain` was opened on, by way of the process's own table so that no other file can have
    /// taken its name.
    pub(crate) fn from_fd(plain: OwnedFd, path: &Path) -> Result<Self> {
        use std::os::fd::AsRawFd;
        let stat = fstat(&plain).map_err(|e| fault::preparing(path, "ask the size of", e))?;
        regular(path, &stat)?;
        fsync(&plain).map_err(|e| fault::writing(path, 0, e))?;
        // Drops what is in the cache; where direct reads work this is not needed, and does no harm.
        let _ = fadvise(&plain, 0, None, Advice::DontNeed);
        let same = PathBuf::from(format!("/proc/self/fd/{}", plain.as_fd().as_raw_fd()));
        let fd = open_reading(&same, OFlags::DIRECT).ok();
        let align = match &fd {
            Some(direct) => Alignment::tried(direct, Aligned::TO as u64),
            None => Alignment::of(&plain, Aligned::TO as u64),
        };
        let mut facts = Facts::default();
        facts.identity.transport = "file".into();
        Ok(Uncached { direct: Direct::new(fd, plain, path, size(&stat), align, End::Open), facts })
    }

    /// True while every read has come from the medium; otherwise the cache was dropped once, when it was opened.
    pub fn past_cache(&self) -> bool {
        self.direct.always_direct()
    }
}

impl Source for Uncached {
    fn len(&self) -> u64 {
        self.direct.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.direct.read_at(buf, offset)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        extents::extent_at(&self.direct.plain, &self.direct.path, self.direct.len, offset)
    }

    fn shape(&self) -> Shape {
        let sector = self.direct.align.offset as u32;
        Shape { sector, physical: sector, unit: 1 << 20, in_flight: 4, direct: self.direct.fd.is_some() }
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;
    use tintype_core::testing::{Model, check_source};
    use tintype_core::{Kind, State, extents as walk};

    fn sparse(path: &Path, len: u64, data: &[(u64, &[u8])]) -> Vec<u8> {
        let file = File::create(path).unwrap();
        file.set_len(len).unwrap();
        let mut all = vec![0; len as usize];
        for (at, bytes) in data {
            file.write_all_at(bytes, *at).unwrap();
            all[*at as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        all
    }

    #[test]
    fn odd_sizes_with_holes_read_right_in_both_ways() {
        let dir = tempfile::tempdir().unwrap();
        for len in [0u64, 1, 511, 4096, 70_001, (3 << 20) + 17] {
            let path = dir.path().join(format!("{len}"));
            let piece = vec![0xA7; (len / 3) as usize];
            let bytes = sparse(&path, len, &[(len / 2, &piece)]);
            let model = Model { bytes, runs: Vec::new(), sector: 512 };
            check_source(&open(&path).unwrap(), &model);
            check_source(&Uncached::open(&path).unwrap(), &model);
        }
    }

    #[test]
    fn holes_are_known_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        sparse(&path, 64 << 20, &[(32 << 20, &[1; 4096])]);
        let source = open(&path).unwrap();
        let runs: Vec<_> = walk(&source, 0, source.len()).map(Result::unwrap).collect();
        assert!(runs.iter().any(|r| r.state == State::Data && r.offset <= 32 << 20 && r.end() > 32 << 20));
        let zeros: u64 = runs.iter().filter(|r| r.state == State::Zero).map(|r| r.len).sum();
        assert!(zeros >= 63 << 20, "{runs:?}");
    }

    #[test]
    fn what_is_no_file_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for (path, word) in [(dir.path().to_path_buf(), "folder"), ("/dev/null".into(), "character device")] {
            let e = open(&path).err().unwrap();
            assert_eq!(e.kind(), Kind::Usage);
            assert!(e.to_string().contains(word), "{e}");
        }
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(open(&fifo).err().unwrap().what().contains("pipe"));
        let e = open(&dir.path().join("none")).err().unwrap();
        assert_eq!((e.kind(), e.errno()), (Kind::Io, Some(2)));
    }

    #[test]
    fn a_file_that_changes_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, vec![7; 10_000]).unwrap();
        let source = open(&path).unwrap();
        assert_eq!(source.changed().unwrap(), None);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(20_000).unwrap();
        assert_eq!(source.len(), 10_000);
        assert!(source.changed().unwrap().unwrap().contains("grown"));
        file.set_len(5_000).unwrap();
        assert!(source.changed().unwrap().unwrap().contains("shrunk"));
        let e = source.read_at(&mut [0; 100], 4_950).err().unwrap();
        assert_eq!((e.kind(), e.offset()), (Kind::Io, Some(5_000)));
        assert!(e.what().contains("shrunk"));
        // A range that is gone is not a hole.
        assert!(source.extent_at(6_000).is_err());
    }
}
