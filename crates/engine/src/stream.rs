//! Standard output as an outlet.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use tintype_core::{Error, File, Outlet, Result};

/// An outlet whose only file is standard output.
pub(crate) struct StreamOutlet;

struct Stdout {
    written: Mutex<u64>,
}

impl File for Stdout {
    fn read_at(&self, _buf: &mut [u8], _offset: u64) -> Result<()> {
        Err(Error::usage("standard output cannot be read back"))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if *written != offset {
            return Err(Error::usage("a stream takes bytes only in order").at(offset));
        }
        std::io::stdout()
            .lock()
            .write_all(buf)
            .map_err(|e| Error::io("cannot write to standard output", e).at(offset))?;
        *written += buf.len() as u64;
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        Ok(*self.written.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        match self.len()? == len {
            true => Ok(()),
            false => Err(Error::usage("a stream has no length to set")),
        }
    }

    fn sync(&self) -> Result<()> {
        std::io::stdout().lock().flush().map_err(|e| Error::io("cannot write to standard output", e))
    }
}

impl Outlet for StreamOutlet {
    fn create(&self, _name: &str) -> Result<Arc<dyn File>> {
        Ok(Arc::new(Stdout { written: Mutex::new(0) }))
    }

    fn reopen(&self, name: &str) -> Result<Arc<dyn File>> {
        Err(Error::usage("a stream cannot be taken up again").in_path(name))
    }

    fn exists(&self, _name: &str) -> Result<bool> {
        Ok(false)
    }

    fn rename(&self, from: &str, _to: &str) -> Result<()> {
        Err(Error::usage("a stream has no name").in_path(from))
    }

    fn remove(&self, name: &str) -> Result<()> {
        Err(Error::usage("a stream cannot be removed").in_path(name))
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
