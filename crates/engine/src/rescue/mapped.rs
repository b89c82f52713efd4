//! A drive whose bad places are those of a mapfile: to practise and to test.

use std::sync::Arc;
use tintype_core::mapfile::{Mapfile, Status};
use tintype_core::{Error, Facts, Result, Shape, Source, in_range};

/// A source of which only what a map calls finished can be read; it is no longer than the map.
pub struct Mapped {
    inner: Arc<dyn Source>,
    map: Mapfile,
}

impl Mapped {
    /// `inner`, failing wherever `map` is not finished.
    pub fn new(inner: Arc<dyn Source>, map: &Mapfile) -> Self {
        Mapped { inner, map: map.clone() }
    }
}

impl Source for Mapped {
    fn len(&self) -> u64 {
        self.inner.len().min(self.map.range().end)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let len = buf.len() as u64;
        in_range(self.len(), offset, len)?;
        let good = self
            .map
            .blocks()
            .get(offset)
            .filter(|(_, status)| *status == Status::Finished)
            .map_or(0, |(range, _)| range.end.min(offset + len) - offset);
        self.inner.read_at(&mut buf[..good as usize], offset)?;
        if good < len {
            return Err(
                Error::unreadable("the map says that this cannot be read", good, Some(offset + good)).at(offset)
            );
        }
        Ok(())
    }

    fn shape(&self) -> Shape {
        self.inner.shape()
    }

    fn facts(&self) -> &Facts {
        self.inner.facts()
    }
}
