//! Several sources in a row.

use crate::{Detail, Error, Extent, Facts, Result, Shape, Source, in_range};
use std::sync::Arc;

/// Several sources, one after the other, as one: the parts of a split image.
pub struct Concat {
    // Ascending starts; no part is empty.
    parts: Vec<(u64, Arc<dyn Source>)>,
    len: u64,
    shape: Shape,
}

impl Concat {
    /// The parts in this order. Empty parts vanish; `Limit` if the total exceeds 2^63 bytes.
    pub fn new(parts: impl IntoIterator<Item = Arc<dyn Source>>) -> Result<Self> {
        let mut list: Vec<(u64, Arc<dyn Source>)> = Vec::new();
        let mut len = 0u64;
        let mut shape: Option<Shape> = None;
        for part in parts {
            if part.is_empty() {
                continue;
            }
            let theirs = part.shape();
            shape = Some(match shape {
                None => theirs,
                Some(ours) => Shape { in_flight: ours.in_flight.min(theirs.in_flight), direct: false, ..ours },
            });
            let start = len;
            len = len
                .checked_add(part.len())
                .filter(|&l| l <= i64::MAX as u64)
                .ok_or_else(|| Error::limit("the parts together are longer than 2^63 bytes"))?;
            list.push((start, part));
        }
        Ok(Concat { parts: list, len, shape: shape.unwrap_or_default() })
    }

    fn part_at(&self, offset: u64) -> (u64, &Arc<dyn Source>) {
        let i = self.parts.partition_point(|(start, _)| *start <= offset) - 1;
        (self.parts[i].0, &self.parts[i].1)
    }
}

impl Source for Concat {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, mut buf: &mut [u8], mut offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        let mut before = 0;
        while !buf.is_empty() {
            let (start, part) = self.part_at(offset);
            let room = (start + part.len() - offset).min(buf.len() as u64);
            let (now, later) = buf.split_at_mut(room as usize);
            part.read_at(now, offset - start).map_err(|e| match e.kind() {
                crate::Kind::Unreadable { good, first_bad } => e.into_kind(crate::Kind::Unreadable {
                    good: good + before,
                    first_bad: first_bad.map(|b| b + start),
                }),
                _ => e,
            })?;
            buf = later;
            offset += room;
            before += room;
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.len, offset, 1)?;
        let (start, part) = self.part_at(offset);
        let found = part.extent_at(offset - start)?;
        Ok(Extent::new(found.offset + start, found.len, found.state))
    }

    fn detail_at(&self, offset: u64) -> Result<Option<Detail>> {
        in_range(self.len, offset, 1)?;
        let (start, part) = self.part_at(offset);
        part.detail_at(offset - start)
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn facts(&self) -> &Facts {
        self.parts.first().map_or_else(|| Facts::none(), |(_, p)| p.facts())
    }
}
