//! A source with a map laid over it.

use crate::{Detail, Extent, ExtentMap, Facts, Result, Shape, Source, State, in_range};
use std::sync::Arc;

/// A source whose states come from a map: a rescued raw image and its mapfile.
///
/// Where the map says nothing, the inner source speaks. Where the map says [`State::Data`], a hole of the inner
/// source stays [`State::Zero`].
pub struct Masked {
    inner: Arc<dyn Source>,
    map: ExtentMap,
}

impl Masked {
    /// `map` over `inner`; what the map says beyond the end of `inner` is ignored.
    pub fn new(inner: Arc<dyn Source>, map: ExtentMap) -> Self {
        Masked { inner, map }
    }
}

impl Source for Masked {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.inner.read_at(buf, offset)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.len(), offset, 1)?;
        let found = self.inner.extent_at(offset)?;
        match self.map.next_from(offset) {
            None => Ok(found),
            Some(run) if run.offset > offset => {
                Ok(Extent::new(offset, run.offset.min(found.end()) - offset, found.state))
            }
            Some(run) if run.state == State::Data => {
                Ok(Extent::new(offset, run.end().min(found.end()) - offset, found.state))
            }
            Some(run) => Ok(Extent::new(offset, run.end().min(self.len()) - offset, run.state)),
        }
    }

    fn detail_at(&self, offset: u64) -> Result<Option<Detail>> {
        self.inner.detail_at(offset)
    }

    fn shape(&self) -> Shape {
        self.inner.shape()
    }

    fn facts(&self) -> &Facts {
        self.inner.facts()
    }
}
