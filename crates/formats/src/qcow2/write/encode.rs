//! What workers do: find out which clusters are needed, and write them where they belong.

use super::super::layout::{COPIED, Geometry, SUBCLUSTERS, ZERO};
use super::plan::{Area, Zeros};
use crate::blocks::{Content, Judge, Known};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tintype_core::{Coded, CodedChunk, Encoder, Extent, File, Result, Source, State};

/// Where clusters go.
#[derive(Clone)]
pub(super) struct Target {
    /// The file that gets them.
    pub(super) file: Arc<dyn File>,
    pub(super) geometry: Geometry,
    pub(super) version: u32,
    /// Where their place is known from the start.
    pub(super) area: Option<Area>,
    /// The next cluster of the image's own file that nobody has.
    pub(super) next: Arc<AtomicU64>,
    pub(super) backing: Option<Arc<dyn Source>>,
}

impl Target {
    /// Takes clusters of the image's own file; returns the number of the first.
    pub(super) fn take(&self, clusters: u64) -> u64 {
        self.next.fetch_add(clusters, Ordering::Relaxed)
    }
}

impl Target {
    /// What becomes of a piece in this version of the format.
    fn told(&self, content: Content) -> Content {
        // The second version has no way to say it.
        if content == Content::Zero && self.version < 3 { Content::Data } else { content }
    }
}

/// Writes clusters in place; what it gives its sink are the entries of L2 tables.
pub(super) struct InPlace {
    target: Target,
    judge: Judge,
    /// Of each cluster of a call: the subclusters that are data, and those that are zeros over something else.
    masks: Vec<(u32, u32)>,
}

impl InPlace {
    pub(super) fn new(target: Target) -> Self {
        InPlace { judge: Judge::new(target.backing.clone()), target, masks: Vec::new() }
    }

    fn look(&mut self, plain: &[u8], offset: u64, marks: &[Extent]) -> Result<()> {
        let geometry = self.target.geometry;
        let (cluster, subcluster) = (geometry.cluster() as usize, geometry.subcluster() as usize);
        let mut known = Known::new(marks);
        self.masks.clear();
        for (i, bytes) in plain.chunks(cluster).enumerate() {
            let start = offset + (i * cluster) as u64;
            let mut mask = (0, 0);
            for (j, bytes) in bytes.chunks(subcluster).enumerate() {
                let at = start + (j * subcluster) as u64;
                let content = self.judge.content(bytes, at, known.zero(at, at + bytes.len() as u64))?;
                match self.target.told(content) {
                    Content::Same => {}
                    Content::Zero => mask.1 |= 1 << j,
                    Content::Data => mask.0 |= 1 << j,
                }
            }
            self.masks.push(mask);
        }
        Ok(())
    }
}

/// A stretch of plain bytes and where it goes.
#[derive(Clone, Copy)]
struct Stretch {
    from: usize,
    to: usize,
    host: u64,
}

impl Encoder for InPlace {
    fn encode(&mut self, plain: &[u8], offset: u64, marks: &[Extent], out: &mut Coded) -> Result<()> {
        self.look(plain, offset, marks)?;
        let geometry = self.target.geometry;
        let (cluster, subcluster) = (geometry.cluster(), geometry.subcluster());
        let needed = self.masks.iter().filter(|(data, _)| *data != 0).count() as u64;
        let mut own = match self.target.area {
            None if needed > 0 => self.target.take(needed),
            _ => 0,
        };
        let mut stretch: Option<Stretch> = None;
        let all = u32::MAX >> (32 - (cluster / subcluster).min(SUBCLUSTERS) as u32);
        for (i, (data, zeros)) in self.masks.iter().enumerate() {
            let start = i * cluster as usize;
            let host = match self.target.area {
                Some(area) => {
                    let maps = *data != 0 || area.zeros != Zeros::Absent;
                    maps.then_some(area.base + offset + start as u64)
                }
                None if *data != 0 => {
                    own += 1;
                    Some((own - 1) * cluster)
                }
                None => None,
            };
            let full = self.target.area.is_some_and(|area| area.zeros != Zeros::Absent);
            let mapped = if full { all } else { *data };
            entry(&mut out.bytes, geometry, host, mapped, *zeros);
            let written = match self.target.area {
                Some(Area { zeros: Zeros::Written, .. }) => all,
                _ => *data,
            };
            for j in (0..SUBCLUSTERS as usize).filter(|j| written >> j & 1 != 0) {
                let from = start + j * subcluster as usize;
                let to = (from + subcluster as usize).min(plain.len());
                let Some(host) = host.map(|host| host + (j as u64) * subcluster).filter(|_| from < to) else {
                    continue;
                };
                match &mut stretch {
                    Some(s) if s.to == from && s.host + (from - s.from) as u64 == host => s.to = to,
                    other => {
                        if let Some(s) = other.replace(Stretch { from, to, host }) {
                            self.target.write(plain, s)?;
                        }
                    }
                }
            }
        }
        stretch.map_or(Ok(()), |s| self.target.write(plain, s))
    }
}

impl Target {
    fn write(&self, plain: &[u8], stretch: Stretch) -> Result<()> {
        let bytes = &plain[stretch.from..stretch.to];
        self.file.write_at(bytes, stretch.host)?;
        self.file.write_soon(stretch.host, bytes.len() as u64);
        Ok(())
    }
}

/// Appends the L2 entry of a cluster at `host` that holds the subclusters `data`, and of which others are zeros.
pub(super) fn entry(out: &mut Vec<u8>, geometry: Geometry, host: Option<u64>, data: u32, zeros: u32) {
    let place = host.map_or(0, |host| host | COPIED);
    if geometry.extended {
        out.extend_from_slice(&place.to_be_bytes());
        out.extend_from_slice(&(u64::from(zeros) << 32 | u64::from(data)).to_be_bytes());
    } else {
        let zero = if zeros != 0 { ZERO } else { 0 };
        out.extend_from_slice(&(place | zero).to_be_bytes());
    }
}

/// What became of a cluster that might be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Same,
    Zero,
    Packed,
    Plain,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Same, Kind::Zero, Kind::Packed, Kind::Plain];

    pub(super) fn of(chunk: &CodedChunk) -> Option<Kind> {
        Kind::ALL.get(chunk.tag as usize).copied()
    }
}

/// Compresses one cluster.
pub(super) trait Pack: Send {
    /// Appends `cluster`, compressed to at most `most` bytes, or says that this is not possible.
    fn pack(&mut self, cluster: &[u8], most: usize, out: &mut Vec<u8>) -> Result<Option<usize>>;
}

/// Compresses clusters, whose place their sink finds.
pub(super) struct Compressing {
    target: Target,
    judge: Judge,
    pack: Box<dyn Pack>,
    last: Vec<u8>,
}

impl Compressing {
    pub(super) fn new(target: Target, pack: Box<dyn Pack>) -> Self {
        Compressing { judge: Judge::new(target.backing.clone()), target, pack, last: Vec::new() }
    }
}

impl Encoder for Compressing {
    fn encode(&mut self, plain: &[u8], offset: u64, marks: &[Extent], out: &mut Coded) -> Result<()> {
        let cluster = self.target.geometry.cluster() as usize;
        let mut known = Known::new(marks);
        for (i, mut bytes) in plain.chunks(cluster).enumerate() {
            let at = offset + (i * cluster) as u64;
            let content = self.judge.content(bytes, at, known.zero(at, at + bytes.len() as u64))?;
            if bytes.len() < cluster {
                // The last cluster is compressed whole, with zeros behind the end of the disk.
                self.last.clear();
                self.last.extend_from_slice(bytes);
                self.last.resize(cluster, 0);
                bytes = &self.last;
            }
            let (kind, len) = match self.target.told(content) {
                Content::Same => (Kind::Same, 0),
                Content::Zero => (Kind::Zero, 0),
                Content::Data if tintype_codec::looks_incompressible(bytes) => (Kind::Plain, 0),
                Content::Data => match self.pack.pack(bytes, cluster - 1, &mut out.bytes)? {
                    Some(len) => (Kind::Packed, len),
                    None => (Kind::Plain, 0),
                },
            };
            out.chunks.push(CodedChunk { len: len as u32, tag: kind as u32 });
        }
        Ok(())
    }
}

/// The state of a range that a sink is told is zeros.
pub(super) fn all_zero(offset: u64, len: u64) -> Extent {
    Extent::new(offset, len, State::Zero)
}
