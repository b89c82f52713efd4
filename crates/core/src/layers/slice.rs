//! A window into another source.

use crate::{Detail, Extent, Facts, Result, Shape, Source, in_range};
use std::sync::Arc;

/// `len` bytes of another source from `start`, such as a partition of a disk.
pub struct Slice {
    inner: Arc<dyn Source>,
    start: u64,
    len: u64,
}

impl Slice {
    /// The window `[start, start + len)` of `inner`; `Usage` if it leaves it.
    pub fn new(inner: Arc<dyn Source>, start: u64, len: u64) -> Result<Self> {
        in_range(inner.len(), start, len)?;
        Ok(Slice { inner, start, len })
    }
}

impl Source for Slice {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        self.inner.read_at(buf, self.start + offset)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.len, offset, 1)?;
        let found = self.inner.extent_at(self.start + offset)?;
        let len = (found.end() - (self.start + offset)).min(self.len - offset);
        Ok(Extent::new(offset, len, found.state))
    }

    fn detail_at(&self, offset: u64) -> Result<Option<Detail>> {
        in_range(self.len, offset, 1)?;
        self.inner.detail_at(self.start + offset)
    }

    fn shape(&self) -> Shape {
        let shape = self.inner.shape();
        // A window that begins inside a physical sector has no sectors of that size of its own.
        if self.start.is_multiple_of(u64::from(shape.physical.max(1))) {
            shape
        } else {
            Shape { physical: shape.sector, direct: false, ..shape }
        }
    }

    fn facts(&self) -> &Facts {
        self.inner.facts()
    }
}
