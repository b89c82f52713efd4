//! A source whose errors name files as a person finds them.

use crate::{Detail, Extent, Facts, Result, Shape, Source};
use std::path::PathBuf;
use std::sync::Arc;

/// Another source, unchanged, but for its errors: formats know their files by bare names, and here those get their folder.
pub struct Placed {
    inner: Arc<dyn Source>,
    folder: PathBuf,
}

impl Placed {
    /// `inner`, whose files lie in `folder`.
    pub fn new(inner: Arc<dyn Source>, folder: impl Into<PathBuf>) -> Self {
        Placed { inner, folder: folder.into() }
    }
}

impl Source for Placed {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.inner.read_at(buf, offset).map_err(|e| e.in_folder(&self.folder))
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.inner.extent_at(offset).map_err(|e| e.in_folder(&self.folder))
    }

    fn detail_at(&self, offset: u64) -> Result<Option<Detail>> {
        self.inner.detail_at(offset).map_err(|e| e.in_folder(&self.folder))
    }

    fn shape(&self) -> Shape {
        self.inner.shape()
    }

    fn facts(&self) -> &Facts {
        self.inner.facts()
    }
}
