//! The disk that extents make up.

use super::layout::{Packing, Place};
use super::sparse::Sparse;
use std::sync::Arc;
use tintype_core::{Detail, Error, Extent, Facts, Kind, Result, Shape, Source, State, in_range};

/// A disk of one or more extents, perhaps on a parent.
pub(super) struct Disk {
    parts: Vec<Part>,
    len: u64,
    parent: Option<Arc<dyn Source>>,
    facts: Facts,
    unit: u32,
}

/// One extent and where it lies on the disk.
pub(super) struct Part {
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) body: Body,
}

/// What an extent is made of.
pub(super) enum Body {
    Flat { file: Arc<dyn Source>, name: String, offset: u64 },
    Zero,
    Sparse(Sparse),
}

impl Disk {
    /// The disk of these extents, which follow one another and have at least `len` bytes.
    pub(super) fn new(parts: Vec<Part>, len: u64, parent: Option<Arc<dyn Source>>, facts: Facts) -> Self {
        let grains = parts.iter().filter_map(|p| match &p.body {
            Body::Sparse(sparse) => Some(sparse.shape.grain),
            _ => None,
        });
        let unit = grains.max().unwrap_or(64 << 10).clamp(64 << 10, 1 << 20) as u32;
        Disk { parts, len, parent, facts, unit }
    }

    /// The extents that have tables.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Sparse> {
        self.parts.iter().filter_map(|p| match &p.body {
            Body::Sparse(sparse) => Some(sparse),
            _ => None,
        })
    }

    /// The extent that `offset` lies in.
    fn part(&self, offset: u64) -> Result<&Part> {
        let i = self.parts.partition_point(|p| p.start + p.len <= offset);
        self.parts.get(i).ok_or_else(|| Error::corrupt("the disk has fewer extents than bytes").at(offset))
    }

    /// Fills `buf` with what the parent has.
    fn below(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let Some(parent) = &self.parent else {
            buf.fill(0);
            return Ok(());
        };
        let there = parent.len().saturating_sub(offset).min(buf.len() as u64) as usize;
        let (inside, beyond) = buf.split_at_mut(there);
        beyond.fill(0);
        if inside.is_empty() { Ok(()) } else { parent.read_at(inside, offset) }
    }

    /// Fills the start of `buf` from `offset`; returns how much.
    fn some(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let part = self.part(offset)?;
        let inside = offset - part.start;
        let room = (part.len - inside).min(buf.len() as u64);
        let now = &mut buf[..room as usize];
        match &part.body {
            Body::Zero => now.fill(0),
            Body::Flat { file, offset: base, .. } => file.read_at(now, base + inside).map_err(|e| match e.kind() {
                Kind::Unreadable { good, first_bad } => {
                    let first_bad = first_bad.and_then(|b| Some(b.checked_sub(*base)? + part.start));
                    e.into_kind(Kind::Unreadable { good, first_bad })
                }
                _ => e,
            })?,
            Body::Sparse(sparse) => {
                let run = sparse.run_at(inside, room)?;
                let now = &mut now[..run.len.min(room) as usize];
                match run.place {
                    Place::Absent => self.below(now, offset)?,
                    _ => sparse.read(now, inside, run).map_err(|e| match e.kind() {
                        Kind::Unreadable { good, .. } => e.into_kind(Kind::Unreadable { good, first_bad: None }),
                        _ => e,
                    })?,
                }
                return Ok(now.len());
            }
        }
        Ok(now.len())
    }
}

impl Source for Disk {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        let mut done = 0;
        while done < buf.len() {
            match self.some(&mut buf[done..], offset + done as u64) {
                Ok(0) => return Err(Error::corrupt("an extent ends before it should").at(offset + done as u64)),
                Ok(n) => done += n,
                Err(e) => {
                    return Err(match e.kind() {
                        Kind::Unreadable { good, first_bad } => {
                            e.into_kind(Kind::Unreadable { good: good + done as u64, first_bad })
                        }
                        _ => e,
                    });
                }
            }
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.len, offset, 1)?;
        let part = self.part(offset)?;
        let inside = offset - part.start;
        let end = (part.start + part.len).min(self.len);
        let found = match &part.body {
            Body::Zero => Extent::new(offset, end - offset, State::Zero),
            Body::Flat { file, offset: base, .. } => {
                let found = file.extent_at(base + inside)?;
                Extent::new(offset, found.end() - (base + inside), found.state)
            }
            Body::Sparse(sparse) => {
                let run = sparse.run_at(inside, u64::MAX)?;
                let whole = Extent::new(offset, run.len, State::Zero);
                match (run.place, &self.parent) {
                    (Place::At(_), _) => Extent { state: State::Data, ..whole },
                    (Place::Absent, Some(parent)) if offset < parent.len() => {
                        let found = parent.extent_at(offset)?;
                        found.clip(offset, whole.end()).unwrap_or(whole)
                    }
                    _ => whole,
                }
            }
        };
        found.clip(offset, end).ok_or_else(|| Error::corrupt("an extent ends before it should").at(offset))
    }

    fn detail_at(&self, offset: u64) -> Result<Option<Detail>> {
        in_range(self.len, offset, 1)?;
        let part = self.part(offset)?;
        let inside = offset - part.start;
        let at = |name: &str, at: u64, compressed: bool| Detail {
            file: Some(name.to_owned()),
            host_offset: Some(at),
            compressed,
            ..Detail::default()
        };
        Ok(match &part.body {
            Body::Zero => None,
            Body::Flat { name, offset: base, .. } => Some(at(name, base + inside, false)),
            Body::Sparse(sparse) => match (sparse.run_at(inside, 1)?.place, &self.parent) {
                (Place::At(place), _) => Some(at(sparse.name(), place, sparse.shape.packing() != Packing::Plain)),
                (Place::Absent, Some(parent)) if offset < parent.len() => {
                    parent.detail_at(offset)?.map(|d| Detail { depth: d.depth + 1, ..d })
                }
                _ => None,
            },
        })
    }

    fn shape(&self) -> Shape {
        Shape { unit: self.unit, ..Shape::default() }
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}
