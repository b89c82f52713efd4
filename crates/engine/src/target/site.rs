//! The place of an image in the making: a name in a folder, and what else lies there.

use crate::journal::JOURNAL;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_core::{Error, Format, Opener, Outlet, PARTIAL, Result};
use tintype_device::folder::{Folder, Reach};

/// Where an image is made.
pub(super) struct Site {
    /// The path of its first file.
    pub path: PathBuf,
    /// The folder.
    pub folder: PathBuf,
    /// The folder, to write to.
    pub outlet: Arc<dyn Outlet>,
    /// The name of its first file.
    pub name: String,
}

impl Site {
    /// The place that `path` names for an image of `format`; `Denied` or `Usage` where no image may be made.
    pub fn of(path: &Path, format: &Format) -> Result<Self> {
        if let Ok(meta) = std::fs::metadata(path) {
            use std::os::unix::fs::FileTypeExt;
            if meta.file_type().is_block_device() {
                let what = "is a drive; an image goes into a file, and restore or clone write drives";
                return Err(Error::denied(what).in_path(path));
            }
            if meta.is_dir() {
                return Err(Error::usage("is a folder; name the image inside it").in_path(path));
            }
            if !meta.is_file() {
                return Err(Error::denied("is no regular file and is left alone; name a new file").in_path(path));
            }
        } else if tintype_device::guard::names_a_device(path) {
            return Err(Error::denied("there is no such drive, and images do not belong in /dev").in_path(path));
        }
        let (folder, name) = Folder::of(path, Reach::Beside)?;
        let name = format.first_name.map_or_else(|| name.clone(), |first| first(&name));
        Ok(Site {
            path: path.with_file_name(&name),
            folder: folder.path().to_path_buf(),
            outlet: Arc::new(folder),
            name,
        })
    }

    /// The path of its first file, the same however it was named.
    pub fn real_path(&self) -> PathBuf {
        self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone()).join(&self.name)
    }

    /// Refuses a folder in which nothing can be made.
    pub fn check_writable(&self) -> Result<()> {
        Folder::open(&self.folder, Reach::Beside)?.check_writable()
    }

    /// The name of its journal.
    pub fn journal(&self) -> String {
        format!("{}{JOURNAL}", self.name)
    }

    /// Keeps other runs away, by its journal, which exists.
    pub fn lock(&self) -> Result<Lock> {
        Lock::take(&self.folder.join(self.journal()))
    }

    fn list(&self) -> Result<Vec<String>> {
        Opener::list(&Folder::open(&self.folder, Reach::Beside)?)
    }

    /// A file that would be taken for a part of the set that begins here: the same name but for the digits of its ending.
    pub fn same_set(&self) -> Result<Option<String>> {
        let Some((stem, ending)) = self.name.rsplit_once('.') else { return Ok(None) };
        let alike = |other: &String| {
            other.rsplit_once('.').is_some_and(|(s, e)| {
                s == stem
                    && e != ending
                    && e.len() == ending.len()
                    && e.bytes().zip(ending.bytes()).all(|(x, y)| x == y || (x.is_ascii_digit() && y.is_ascii_digit()))
            })
        };
        Ok(self.list()?.into_iter().find(alike))
    }

    /// Removes the unfinished image: its files, as far as their names tell, and its journal.
    pub fn discard(&self) -> Result<()> {
        let mut stale = vec![format!("{}{PARTIAL}", self.name), self.journal()];
        if let Some((stem, ending)) = self.name.rsplit_once('.') {
            let of_set = |file: &String| {
                let inner = file.strip_suffix(PARTIAL).and_then(|n| n.rsplit_once('.'));
                inner.is_some_and(|(s, e)| s == stem && (ending.len()..=ending.len() + 3).contains(&e.len()))
            };
            stale.extend(self.list()?.into_iter().filter(of_set));
        }
        for file in stale {
            if self.outlet.exists(&file)? {
                self.outlet.remove(&file)?;
            }
        }
        Ok(())
    }

    /// The files of the image that lies here and is about to be replaced; only the first if it cannot be opened.
    pub fn older_files(&self) -> Vec<String> {
        let inputs = crate::open::Inputs {
            from: None,
            reach: Reach::Beside,
            in_use: crate::open::InUse::Allowed,
            map: None,
            sidecars: None,
            watch: Arc::new(tintype_core::Silent::default()),
            secrets: Arc::new(tintype_core::NoSecrets),
            care: tintype_core::Care::Read,
        };
        let locator = self.folder.join(&self.name);
        let locator = if locator.is_absolute() { locator } else { Path::new(".").join(locator) };
        match crate::open::open(&locator.to_string_lossy(), &inputs) {
            Ok(opened) if opened.image.files.len() > 1 => opened.image.files,
            _ => vec![self.name.clone()],
        }
    }
}

/// Refuses an image at `path` where one of the files beside it, or a report called `prefix`, would have a longer name
/// than the file system takes.
pub fn check_name(path: &Path, format: &Format, prefix: Option<&str>) -> Result<()> {
    let (folder, name) = Folder::of(path, Reach::Beside)?;
    let first = format.first_name.map_or_else(|| name.clone(), |first| first(&name));
    // Counts in the names of parts may get longer than that of the first.
    let more = if format.first_name.is_some() { 3 } else { 0 };
    let longest = [PARTIAL, crate::journal::JOURNAL].map(str::len).into_iter().max().unwrap_or(0);
    let most = folder.longest_name()?;
    let need = first.len() + more + longest;
    if need > most {
        let what = format!(
            "the name is too long: with the endings of the files beside it while it is made it has {need} bytes, and {most} \
             are possible here; choose a name that is {} bytes shorter",
            need - most
        );
        return Err(Error::usage(what).in_path(path));
    }
    prefix.map_or(Ok(()), crate::report::check_name)
}

/// A lock that ends with the process.
pub struct Lock {
    _file: std::fs::File,
}

/// How long a run that was killed may take to go: its threads may be in the middle of a write.
const GOING: Duration = Duration::from_secs(5);

impl Lock {
    /// Locks the file at `path`, or says that another run has it.
    pub fn take(path: &Path) -> Result<Lock> {
        let file = std::fs::File::open(path).map_err(|e| Error::io("cannot open", e).in_path(path))?;
        let since = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(std::fs::TryLockError::WouldBlock) if since.elapsed() < GOING => {
                    std::thread::park_timeout(Duration::from_millis(50));
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    let what = "another run of tintype is working on this target; wait for it, or stop it";
                    return Err(Error::denied(what).in_path(path));
                }
                // A file system without locks cannot keep a second run away; that is no reason to refuse the first.
                Err(std::fs::TryLockError::Error(_)) => return Ok(Lock { _file: file }),
            }
        }
    }
}
