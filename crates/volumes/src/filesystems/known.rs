//! A source of which only what is known counts.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tintype_core::{Error, Extent, Result, Shape, Source, extents, in_range};

/// Reads of metadata: what was not read from the medium is never taken for its bytes. As a source it fails where its inner one is lost.
#[derive(Clone)]
pub struct Known {
    source: Arc<dyn Source>,
    // Of all clones.
    spent: Arc<AtomicU64>,
}

impl Known {
    /// What is known of `source`.
    pub fn new(source: &Arc<dyn Source>) -> Self {
        Known { source: Arc::clone(source), spent: Arc::default() }
    }

    /// The source.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// `len` bytes from `offset`, which the caller has bounded. Fails with `Corrupt` where they leave the source, with `Unreadable` where
    /// any of them is lost.
    pub fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        in_range(self.len(), offset, len as u64).map_err(|_| {
            Error::corrupt(format!("points to {len} bytes beyond the end of {} bytes", self.len())).at(offset)
        })?;
        let mut bytes = vec![0; len];
        self.read_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Bytes that were looked at so far: what a hostile image makes one read again and again is measured by it.
    pub fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Counts bytes that were looked at once more without being read.
    pub(super) fn spend(&self, bytes: u64) {
        self.spent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Fails as a read of that range would.
    pub fn check(&self, range: Range<u64>) -> Result<()> {
        match self.first_lost(range.clone())? {
            Some(lost) => {
                Err(Error::unreadable("what lies here was not read", lost - range.start, Some(lost)).at(lost))
            }
            None => Ok(()),
        }
    }

    /// Where the lost bytes end that a range begins with; its begin if it begins with none.
    pub fn lost_until(&self, range: Range<u64>) -> Result<u64> {
        for extent in extents(&*self.source, range.start, range.end) {
            let extent = extent?;
            if !extent.state.is_lost() {
                return Ok(extent.offset);
            }
        }
        Ok(range.end)
    }

    /// The first lost byte of a range.
    pub fn first_lost(&self, range: Range<u64>) -> Result<Option<u64>> {
        for extent in extents(&*self.source, range.start, range.end) {
            let extent = extent?;
            if extent.state.is_lost() {
                return Ok(Some(extent.offset));
            }
        }
        Ok(None)
    }
}

impl Source for Known {
    fn len(&self) -> u64 {
        self.source.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len(), offset, buf.len() as u64)?;
        self.check(offset..offset + buf.len() as u64)?;
        self.spend(buf.len() as u64);
        self.source.read_at(buf, offset)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.source.extent_at(offset)
    }

    fn shape(&self) -> Shape {
        self.source.shape()
    }
}
