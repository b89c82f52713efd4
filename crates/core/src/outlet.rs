//! Where writers put their files.

use crate::{Error, Result, Source, in_range};
use std::sync::{Arc, Mutex, PoisonError};

/// A file that an outlet made: it may grow, and it is read and written by position from several threads.
pub trait File: Send + Sync {
    /// Fills `buf` from `offset`; fails with `Io` beyond the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()>;

    /// Writes all of `buf` at `offset`, growing the file where needed.
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()>;

    /// Bytes in the file now.
    fn len(&self) -> Result<u64>;

    /// True if there is not one byte.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file or extends it with a hole.
    fn set_len(&self, len: u64) -> Result<()>;

    /// Bytes the file takes on its medium, holes not counted, where that can be told.
    fn stored(&self) -> Result<u64> {
        self.len()
    }

    /// Takes room for the range on the medium, without changing what is read there; the file grows where needed. Where the file
    /// system cannot, nothing is taken.
    fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        let end = offset.checked_add(len).ok_or_else(|| Error::usage("a range beyond every file").at(offset))?;
        if end > self.len()? { self.set_len(end) } else { Ok(()) }
    }

    /// Asks for the range to be written to the medium soon, without waiting for it.
    fn write_soon(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }

    /// Returns when everything written before the call is on the medium.
    fn sync(&self) -> Result<()>;
}

/// A place for files, such as the folder a target lies in. Names are plain file names.
pub trait Outlet: Send + Sync {
    /// A new empty file; fails if the name is taken.
    fn create(&self, name: &str) -> Result<Arc<dyn File>>;

    /// An existing file, to go on with it.
    fn reopen(&self, name: &str) -> Result<Arc<dyn File>>;

    /// True if the name is taken.
    fn exists(&self, name: &str) -> Result<bool>;

    /// Gives a file another name, over whatever had that name.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Gives a file a name that nobody has; `Denied` if somebody has it.
    fn rename_new(&self, from: &str, to: &str) -> Result<()> {
        match self.exists(to)? {
            true => Err(Error::denied(TAKEN).in_path(to)),
            false => self.rename(from, to),
        }
    }

    /// Removes a file.
    fn remove(&self, name: &str) -> Result<()>;

    /// Returns when names made, changed and removed before the call are on the medium.
    fn sync(&self) -> Result<()>;

    /// Bytes that still fit, where that can be told.
    fn space(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

/// What is said of a name that was free when the work began.
pub const TAKEN: &str = "has come to exist in the meantime and was left as it is; move it away, and repeat the command";

/// What the name of an unfinished file ends in.
pub const PARTIAL: &str = ".partial";

/// An outlet whose files are called `NAME.partial` until [`Partial::commit`].
pub struct Partial {
    inner: Arc<dyn Outlet>,
    replaces: Vec<String>,
    names: Mutex<Vec<String>>,
}

impl Partial {
    /// Partial files in `inner`, which may take the names in `replaces` but no other that is taken.
    pub fn new(inner: Arc<dyn Outlet>, replaces: &[String]) -> Self {
        Partial { inner, replaces: replaces.to_vec(), names: Mutex::new(Vec::new()) }
    }

    /// The final names of the files made and reopened so far, in that order.
    pub fn names(&self) -> Vec<String> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives the files their names, the first one last, so that a set never looks whole before it is.
    ///
    /// May be called again, with the same names, after it was cut short. `Denied` if a name is taken by a file that is
    /// not in `replaces`.
    pub fn commit(outlet: &dyn Outlet, names: &[String], replaces: &[String]) -> Result<()> {
        for name in names.iter().rev() {
            let partial = format!("{name}{PARTIAL}");
            if outlet.exists(&partial)? {
                match replaces.contains(name) {
                    true => outlet.rename(&partial, name)?,
                    false => outlet.rename_new(&partial, name)?,
                }
            } else if !outlet.exists(name)? {
                return Err(Error::corrupt(format!("{partial} has vanished before it could be given its name")));
            }
        }
        outlet.sync()
    }

    fn remember(&self, name: &str) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }

    fn forget(&self, name: &str) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).retain(|n| n != name);
    }
}

impl Outlet for Partial {
    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        if !self.replaces.iter().any(|r| r == name) && self.inner.exists(name)? {
            let what = "exists already, is no part of this image, and would be overwritten; move it away, or choose another name";
            return Err(Error::denied(what).in_path(name));
        }
        let partial = format!("{name}{PARTIAL}");
        // An older try got this far; whoever makes partial files here has made sure that nobody needs it any more.
        if self.inner.exists(&partial)? {
            self.inner.remove(&partial)?;
        }
        let file = self.inner.create(&partial)?;
        self.remember(name);
        Ok(file)
    }

    fn reopen(&self, name: &str) -> Result<Arc<dyn File>> {
        let file = self.inner.reopen(&format!("{name}{PARTIAL}"))?;
        self.remember(name);
        Ok(file)
    }

    fn exists(&self, name: &str) -> Result<bool> {
        self.inner.exists(&format!("{name}{PARTIAL}"))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.inner.rename(&format!("{from}{PARTIAL}"), &format!("{to}{PARTIAL}"))?;
        self.forget(from);
        self.remember(to);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.inner.remove(&format!("{name}{PARTIAL}"))?;
        self.forget(name);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }

    fn space(&self) -> Result<Option<u64>> {
        self.inner.space()
    }
}

/// The first `len` bytes of a file as a source, to read back what was written.
pub struct Stored {
    file: Arc<dyn File>,
    len: u64,
}

impl Stored {
    /// The first `len` bytes of `file`, which must not get shorter than that.
    pub fn new(file: Arc<dyn File>, len: u64) -> Self {
        Stored { file, len }
    }
}

impl Source for Stored {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        self.file.read_at(buf, offset)
    }
}
