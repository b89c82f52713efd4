//! The disk that extents make up.

use super::layout::Shape;
use super::sparse::tables;
use crate::blocks::{HostFile, Mapped, Straight, Zeros};
use std::sync::Arc;
use tintype_core::layers::{Concat, Slice};
use tintype_core::{Care, Detail, Error, Extent, Facts, Result, Source};

/// One extent.
pub(super) struct Part {
    /// Bytes of the disk that it makes up.
    pub(super) len: u64,
    pub(super) body: Body,
}

/// What an extent is made of.
#[derive(Clone)]
pub(super) enum Body {
    Flat { file: HostFile, offset: u64 },
    Zero,
    Sparse(Sparse),
}

/// An extent with tables.
#[derive(Clone)]
pub(super) struct Sparse {
    pub(super) file: HostFile,
    pub(super) shape: Shape,
}

impl Part {
    /// The bytes of the extent, which begins at `start` of the disk, on top of `parent`, if the disk has one.
    fn source(&self, start: u64, parent: Option<&Arc<dyn Source>>, care: Care) -> Result<Arc<dyn Source>> {
        let source: Arc<dyn Source> = match &self.body {
            Body::Zero => Arc::new(Zeros(self.len)),
            Body::Flat { file, offset } => {
                Arc::new(Mapped::new(Straight { at: *offset }, file.clone(), self.len, 1 << 20))
            }
            Body::Sparse(Sparse { file, shape }) => {
                let below = parent.filter(|parent| start < parent.len()).map(|parent| {
                    let len = shape.len.min(parent.len() - start);
                    Slice::new(Arc::clone(parent), start, len).map(|slice| Arc::new(slice) as Arc<dyn Source>)
                });
                let mapped = Mapped::new(tables(file.clone(), *shape, care), file.clone(), shape.len, shape.grain);
                Arc::new(mapped.standing_on(below.transpose()?))
            }
        };
        // A descriptor may take less of an extent than there is.
        match source.len() == self.len {
            true => Ok(source),
            false => Ok(Arc::new(Slice::new(source, 0, self.len)?)),
        }
    }
}

/// A disk of one or more extents, perhaps on a parent.
pub(super) struct Disk {
    inner: Arc<dyn Source>,
    facts: Facts,
}

impl Disk {
    /// The disk of these extents, which follow one another and have at least `len` bytes.
    pub(super) fn new(
        parts: &[Part],
        len: u64,
        parent: Option<&Arc<dyn Source>>,
        facts: Facts,
        care: Care,
    ) -> Result<Self> {
        let mut start = 0;
        let mut list = Vec::new();
        for part in parts {
            list.push(part.source(start, parent, care)?);
            start += part.len;
        }
        if start < len {
            return Err(Error::corrupt("the disk has fewer extents than bytes"));
        }
        let all: Arc<dyn Source> = match list.len() {
            1 => list.remove(0),
            _ => Arc::new(Concat::new(list)?),
        };
        let inner = if all.len() == len { all } else { Arc::new(Slice::new(all, 0, len)?) };
        Ok(Disk { inner, facts })
    }
}

impl Source for Disk {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.inner.read_at(buf, offset)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.inner.extent_at(offset)
    }

    fn detail_at(&self, offset: u64) -> Result<Option<Detail>> {
        self.inner.detail_at(offset)
    }

    fn shape(&self) -> tintype_core::Shape {
        self.inner.shape()
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}
