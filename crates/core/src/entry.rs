//! What a format opens: a named source or a folder, and the way to further files.

use crate::{Error, Result, Source};
use std::sync::Arc;

/// What a format is opened on.
#[derive(Clone)]
pub struct Entry {
    /// Its name inside the opener, without folders.
    pub name: String,
    /// What it is.
    pub body: Body,
}

/// What an [`Entry`] is.
#[derive(Clone)]
pub enum Body {
    /// A file, a drive, or anything else that is bytes.
    Bytes(Arc<dyn Source>),
    /// A folder that is one image; its files come from the opener.
    Folder,
}

impl Entry {
    /// The entry `name` that is the bytes of `source`.
    pub fn bytes(name: impl Into<String>, source: Arc<dyn Source>) -> Self {
        Entry { name: name.into(), body: Body::Bytes(source) }
    }

    /// The entry `name` that is a folder.
    pub fn folder(name: impl Into<String>) -> Self {
        Entry { name: name.into(), body: Body::Folder }
    }

    /// Its bytes, or `Unsupported` for a folder.
    pub fn source(&self) -> Result<&Arc<dyn Source>> {
        match &self.body {
            Body::Bytes(source) => Ok(source),
            Body::Folder => Err(Error::unsupported(format!("{} is a folder, not a file", self.name))),
        }
    }
}

/// The only way from one file of an image to another. Policy lives here: which files may be touched, and how deep.
pub trait Opener: Send + Sync {
    /// The file `name` beside the image. Fails with `Denied` where policy forbids it, with `Io` where it is missing.
    fn open(&self, name: &str) -> Result<Arc<dyn Source>>;

    /// The names of all files beside the image, in no order.
    fn list(&self) -> Result<Vec<String>>;
}

/// An opener that has no further files.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Opener for NoFiles {
    fn open(&self, name: &str) -> Result<Arc<dyn Source>> {
        Err(Error::denied(format!("{name}: there are no further files here")))
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
