//! A place where nothing is kept: a format tries there whether it would begin an image at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tintype_core::{Error, File, Outlet, Result};

/// An outlet that remembers names and lengths, and forgets bytes.
#[derive(Default)]
pub(super) struct Nowhere {
    files: Mutex<BTreeMap<String, Arc<Length>>>,
}

#[derive(Default)]
struct Length(Mutex<u64>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl File for Length {
    fn read_at(&self, _buf: &mut [u8], offset: u64) -> Result<()> {
        Err(Error::usage("nothing is kept here that could be read").at(offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let end = offset.saturating_add(buf.len() as u64);
        let mut len = lock(&self.0);
        *len = end.max(*len);
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        Ok(*lock(&self.0))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        *lock(&self.0) = len;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

impl Outlet for Nowhere {
    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        let file = Arc::new(Length::default());
        lock(&self.files).insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn reopen(&self, name: &str) -> Result<Arc<dyn File>> {
        match lock(&self.files).get(name) {
            Some(file) => Ok(Arc::clone(file) as _),
            None => Err(Error::io("cannot open", std::io::ErrorKind::NotFound.into()).in_path(name)),
        }
    }

    fn exists(&self, name: &str) -> Result<bool> {
        Ok(lock(&self.files).contains_key(name))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut files = lock(&self.files);
        let file = files.remove(from);
        files.extend(file.map(|file| (to.to_owned(), file)));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        lock(&self.files).remove(name);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
