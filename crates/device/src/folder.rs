//! A folder: where an image's further files are found, and where writers put theirs.

use crate::fault;
use crate::file::{self, FileSource, Uncached};
use crate::target::FileTarget;
use rustix::fd::OwnedFd;
use rustix::fs::{
    Access, AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, accessat, fstat, fstatvfs, fsync,
    openat, openat2, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tintype_core::{Error, File, Opener, Outlet, Result, Source, TAKEN};

/// Which files an image may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Files in the same folder and below it; links only where they stay inside it.
    Beside,
    /// Any file, also by a path that is relative to the folder or absolute, and through any link.
    Anywhere,
}

/// How the files of a folder are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Through the page cache.
    Cached,
    /// From the medium, to prove what was written.
    Uncached,
}

/// A folder, held open: it stays the same one when it is renamed.
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    reach: Reach,
    reading: Reading,
}

impl Folder {
    /// The folder at `path`.
    pub fn open(path: &Path, reach: Reach) -> Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = match openat(CWD, path, OFlags::RDONLY | flags, Mode::empty()) {
            // A folder that may not be listed may still hold files that can be opened.
            Err(Errno::ACCESS) => openat(CWD, path, OFlags::PATH | flags, Mode::empty()),
            other => other,
        };
        let fd = fd.map_err(|e| fault::preparing(path, "open the folder", e))?;
        Ok(Folder { fd, path: path.to_path_buf(), reach, reading: Reading::Cached })
    }

    /// The folder that the file at `path` lies in, or would lie in, and the file's name in it.
    pub fn of(path: &Path, reach: Reach) -> Result<(Self, String)> {
        let name = path.file_name().ok_or_else(|| Error::usage("is no file name").in_path(path))?;
        let name = name.to_str().ok_or_else(|| {
            Error::usage("the file name is not valid UTF-8; rename it, or make a link to it with another name")
                .in_path(path)
        })?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Ok((Folder::open(parent, reach)?, name.to_owned()))
    }

    /// The same folder with its files read in another way.
    pub fn reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Most bytes that the name of a file may have here.
    pub fn longest_name(&self) -> Result<usize> {
        let found = fstatvfs(&self.fd).map_err(|e| fault::preparing(&self.path, "ask for the longest name", e))?;
        // Zero is what a file system says that does not tell.
        Ok(if found.f_namemax == 0 { 255 } else { usize::try_from(found.f_namemax).unwrap_or(usize::MAX) })
    }

    /// Refuses, without making anything, a folder in which no files can be made.
    pub fn check_writable(&self) -> Result<()> {
        // By name, since a folder that may not be listed is held by a handle that some kernels ask nothing of.
        accessat(&self.fd, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
            .map_err(|e| fault::preparing(&self.path, "make files in this folder", e))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn open_reading(&self, name: &str) -> Result<OwnedFd> {
        let path = self.at(name);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let opened = match self.reach {
            Reach::Anywhere => {
                // Asked before opening: to open a FIFO or a tape already does something to it.
                let stat = statat(&self.fd, name, AtFlags::empty());
                file::regular(&path, &stat.map_err(|e| fault::preparing(&path, "open for reading", e))?)?;
                openat(&self.fd, name, flags, Mode::empty())
            }
            Reach::Beside => {
                let inside = self.inside(name)?;
                let name = inside.as_ref();
                let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
                // A handle that touches nothing first, for the same reason.
                let peek = openat2(&self.fd, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), how);
                match peek {
                    Ok(peek) => {
                        file::regular(
                            &path,
                            &fstat(&peek).map_err(|e| fault::preparing(&path, "open for reading", e))?,
                        )?;
                        openat2(&self.fd, name, flags, Mode::empty(), how)
                    }
                    // Linux before 5.6, or a sandbox: no links at all then.
                    Err(Errno::NOSYS | Errno::PERM) => {
                        plain(name)?;
                        let stat = statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
                        file::regular(&path, &stat.map_err(|e| fault::preparing(&path, "open for reading", e))?)?;
                        openat(&self.fd, name, flags | OFlags::NOFOLLOW, Mode::empty())
                    }
                    Err(e) => Err(e),
                }
            }
        };
        opened.map_err(|e| match e {
            Errno::XDEV if self.reach == Reach::Beside => {
                Error::denied("leads out of the image's folder; use --allow-outside if you trust it").in_path(&path)
            }
            e => fault::preparing(&path, "open for reading", e),
        })
    }

    /// `name` as seen from this folder: an absolute path that leads into it is as good as a relative one.
    fn inside<'n>(&self, name: &'n str) -> Result<Cow<'n, str>> {
        if matches!(name, "" | "." | "..") || name.contains('\0') {
            return Err(outside(name));
        }
        if !name.starts_with('/') {
            return Ok(Cow::Borrowed(name));
        }
        let own = std::fs::canonicalize(&self.path).ok();
        let path = Path::new(name);
        let rest =
            own.as_deref().and_then(|own| path.strip_prefix(own).ok().or_else(|| path.strip_prefix(&self.path).ok()));
        match rest.and_then(Path::to_str) {
            Some(rest) if !rest.is_empty() => Ok(Cow::Owned(rest.to_owned())),
            _ => Err(outside(name)),
        }
    }

    fn target(&self, name: &str, flags: OFlags, what: &str) -> Result<Arc<dyn File>> {
        plain(name)?;
        let path = self.at(name);
        let flags = flags | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::NONBLOCK;
        let mode = Mode::from_raw_mode(0o666);
        let fd = openat(&self.fd, name, flags, mode).map_err(|e| match e {
            Errno::LOOP => Error::denied("is a link; name the file it leads to instead").in_path(&path),
            e => fault::preparing(&path, what, e),
        })?;
        Ok(Arc::new(FileTarget::new(fd, path)?))
    }
}

/// Refuses every name that is more than the name of a file in this very folder.
fn plain(name: &str) -> Result<()> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(outside(name));
    }
    Ok(())
}

fn outside(name: &str) -> Error {
    Error::denied(format!(
        "{name:?} is not the name of a file beside the image; use --allow-outside if you trust the image"
    ))
}

impl Opener for Folder {
    fn open(&self, name: &str) -> Result<Arc<dyn Source>> {
        let fd = self.open_reading(name)?;
        let path = self.at(name);
        Ok(match self.reading {
            Reading::Cached => Arc::new(file::from_fd(fd, &path)?) as Arc<FileSource>,
            Reading::Uncached => return Ok(Arc::new(Uncached::from_fd(fd, &path)?)),
        })
    }

    fn list(&self) -> Result<Vec<String>> {
        let failed = |e| fault::preparing(&self.path, "list the folder", e);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // A name that is no UTF-8 cannot be asked for, and no format makes such names.
            if let Ok(name) = entry.file_name().to_str()
                && name != "."
                && name != ".."
                && matches!(entry.file_type(), FileType::RegularFile | FileType::Symlink | FileType::Unknown)
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}

impl Outlet for Folder {
    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        self.target(name, OFlags::CREATE | OFlags::EXCL, "make the file")
    }

    fn reopen(&self, name: &str) -> Result<Arc<dyn File>> {
        self.target(name, OFlags::empty(), "open for writing")
    }

    fn exists(&self, name: &str) -> Result<bool> {
        plain(name)?;
        match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(fault::preparing(&self.at(name), "look for the file", e)),
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        plain(from)?;
        plain(to)?;
        renameat(&self.fd, from, &self.fd, to)
            .map_err(|e| fault::preparing(&self.at(from), &format!("rename to {to}"), e))
    }

    fn rename_new(&self, from: &str, to: &str) -> Result<()> {
        plain(from)?;
        plain(to)?;
        match renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(Error::denied(TAKEN).in_path(self.at(to))),
            // File systems that cannot do both in one step: then in two.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match self.exists(to)? {
                true => Err(Error::denied(TAKEN).in_path(self.at(to))),
                false => self.rename(from, to),
            },
            Err(e) => Err(fault::preparing(&self.at(from), &format!("rename to {to}"), e)),
        }
    }

    fn remove(&self, name: &str) -> Result<()> {
        plain(name)?;
        unlinkat(&self.fd, name, AtFlags::empty()).map_err(|e| fault::preparing(&self.at(name), "remove", e))
    }

    fn sync(&self) -> Result<()> {
        match fsync(&self.fd) {
            Ok(()) => Ok(()),
            // Some network file systems cannot, and one that may not be listed was not opened for it.
            Err(Errno::INVAL | Errno::BADF | Errno::OPNOTSUPP) => Ok(()),
            Err(e) => Err(fault::writing(&self.path, 0, e)),
        }
    }

    fn space(&self) -> Result<Option<u64>> {
        let found = fstatvfs(&self.fd).map_err(|e| fault::preparing(&self.path, "ask for the free space", e))?;
        Ok(Some(found.f_bavail.saturating_mul(found.f_frsize)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tintype_core::Kind;

    fn folder(dir: &Path, reach: Reach) -> Folder {
        Folder::open(dir, reach).unwrap()
    }

    #[test]
    fn writers_and_readers_meet() {
        let dir = tempfile::tempdir().unwrap();
        let f = folder(dir.path(), Reach::Beside);
        let file = f.create("a.img").unwrap();
        file.write_at(b"hello", 3).unwrap();
        file.write_soon(0, 8);
        file.sync().unwrap();
        Outlet::sync(&f).unwrap();
        assert_eq!(file.len().unwrap(), 8);
        assert!(f.space().unwrap().unwrap() > 0);
        let e = f.create("a.img").err().unwrap();
        assert_eq!((e.kind(), e.io_kind()), (Kind::Io, Some(std::io::ErrorKind::AlreadyExists)));
        f.rename("a.img", "b.img").unwrap();
        assert!(!f.exists("a.img").unwrap() && f.exists("b.img").unwrap());
        assert_eq!(f.list().unwrap(), ["b.img"]);
        for reading in [Reading::Cached, Reading::Uncached] {
            let source = folder(dir.path(), Reach::Beside).reading(reading).open("b.img").unwrap();
            let mut buf = [1; 8];
            source.read_at(&mut buf, 0).unwrap();
            assert_eq!(&buf, b"\0\0\0hello");
        }
        let again = f.reopen("b.img").unwrap();
        again.set_len(4).unwrap();
        assert_eq!(again.len().unwrap(), 4);
        assert!(again.read_at(&mut [0; 5], 0).is_err());
        f.remove("b.img").unwrap();
        assert!(f.reopen("b.img").is_err());
    }

    #[test]
    fn an_image_names_only_its_neighbours() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        std::fs::create_dir_all(inner.join("deep")).unwrap();
        std::fs::write(dir.path().join("secret"), b"s").unwrap();
        std::fs::write(inner.join("real"), b"r").unwrap();
        symlink("real", inner.join("fine")).unwrap();
        symlink("../secret", inner.join("leads_out")).unwrap();
        symlink("/etc/passwd", inner.join("absolute")).unwrap();
        symlink("/dev/null", inner.join("device")).unwrap();
        let f = folder(&inner, Reach::Beside);
        for name in ["../secret", "/etc/passwd", "..", ".", "", "deep/../../secret", "leads_out", "absolute", "device"]
        {
            assert_eq!(f.open(name).err().unwrap().kind(), Kind::Denied, "{name}");
        }
        std::fs::write(inner.join("deep/down"), b"d").unwrap();
        let absolute = inner.join("real").canonicalize().unwrap();
        for name in ["fine", "real", "deep/down", "deep/../real", absolute.to_str().unwrap()] {
            f.open(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        let f = folder(&inner, Reach::Anywhere);
        for name in ["../secret", "leads_out", "absolute", "fine"] {
            f.open(name).unwrap();
        }
        assert_eq!(f.open("device").err().unwrap().kind(), Kind::Usage);
        // Nothing is ever written through a link or outside the folder, whatever may be read.
        for name in ["fine", "leads_out", "../secret"] {
            assert_eq!(f.reopen(name).err().unwrap().kind(), Kind::Denied, "{name}");
        }
        assert_eq!(f.create("../new").err().unwrap().kind(), Kind::Denied);
    }

    #[test]
    fn a_name_that_is_taken_stays_with_whoever_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let f = folder(dir.path(), Reach::Beside);
        std::fs::write(dir.path().join("new"), b"new").unwrap();
        std::fs::write(dir.path().join("old"), b"old").unwrap();
        let e = f.rename_new("new", "old").unwrap_err();
        assert_eq!((e.kind(), e.path()), (Kind::Denied, Some(&*dir.path().join("old"))));
        assert_eq!(std::fs::read(dir.path().join("old")).unwrap(), b"old");
        f.rename_new("new", "free").unwrap();
        assert_eq!(std::fs::read(dir.path().join("free")).unwrap(), b"new");
    }

    #[test]
    fn what_a_folder_takes_is_known_before() {
        let dir = tempfile::tempdir().unwrap();
        let f = folder(dir.path(), Reach::Beside);
        f.check_writable().unwrap();
        let most = f.longest_name().unwrap();
        f.create(&"x".repeat(most)).unwrap();
        assert!(f.create(&"x".repeat(most + 1)).is_err());
        assert!(folder(Path::new("/proc/self"), Reach::Beside).check_writable().is_err());
    }

    #[test]
    fn a_path_is_a_folder_and_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let (_, name) = Folder::of(&dir.path().join("x.E01"), Reach::Beside).unwrap();
        assert_eq!(name, "x.E01");
        assert_eq!(Folder::of(Path::new("x"), Reach::Beside).unwrap().0.path(), Path::new("."));
        assert!(Folder::of(&dir.path().join("none/x"), Reach::Beside).is_err());
        assert_eq!(Folder::of(Path::new("/"), Reach::Beside).err().unwrap().kind(), Kind::Usage);
    }
}
