//! Files that blocks and tables lie in.

use std::sync::Arc;
use tintype_core::{Error, Kind, Result, Source};

/// A file, and what it is called.
#[derive(Clone)]
pub(crate) struct HostFile {
    /// Its name, as the opener knows it.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) source: Arc<dyn Source>,
}

impl HostFile {
    /// The file `name`.
    pub(crate) fn new(name: &str, source: &Arc<dyn Source>) -> Self {
        HostFile { name: name.to_owned(), source: Arc::clone(source) }
    }

    /// As [`holds`], and the error has the name.
    pub(crate) fn holds(&self, what: &str, at: u64, len: u64) -> Result<()> {
        holds(&*self.source, what, at, len).map_err(|e| e.in_path(&self.name))
    }
}

/// Refuses bytes that are not in the file, with `Corrupt`: `what` is what should be there.
pub(crate) fn holds(file: &dyn Source, what: &str, at: u64, len: u64) -> Result<()> {
    match at.checked_add(len) {
        Some(end) if end <= file.len() => Ok(()),
        _ => {
            let what = format!("{what}: {len} bytes at {at} lie outside the file, which has {}", file.len());
            Err(Error::corrupt(what).at(at))
        }
    }
}

/// Fills `buf` with what is at `at`: `what` is what should be there. `Corrupt` where the file has it not.
pub(crate) fn read(file: &dyn Source, what: &str, buf: &mut [u8], at: u64) -> Result<()> {
    holds(file, what, at, buf.len() as u64)?;
    file.read_at(buf, at).map_err(|e| e.at(at))
}

/// Of what is read as a whole nothing can be had if one byte is missing.
pub(super) fn as_a_whole(e: Error) -> Error {
    match e.kind() {
        Kind::Unreadable { .. } => e.into_kind(Kind::Unreadable { good: 0, first_bad: None }),
        _ => e,
    }
}
