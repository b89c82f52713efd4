//! The disk of an image, or of one of its snapshots.

use super::{Cluster, SECTOR, Unpacker, holds};
use std::sync::Arc;
use tintype_codec::encryption::SectorCipher;
use tintype_core::{Detail, Error, Extent, Facts, Kind, Result, Shape, Source, State, in_range};

/// What lies at a place of the disk, and for how many bytes it goes on so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// For [`Cluster::At`] the place of the first byte that was asked for, others following; for [`Cluster::Packed`] that of the cluster.
    pub(crate) cluster: Cluster,
    /// At least 1.
    pub(crate) len: u64,
}

/// Where the bytes of a disk lie. Called from several threads.
pub(crate) trait Map: Send + Sync {
    /// The run that begins at `offset`, of at most `most` bytes; as long as a look into one window of each table shows. Absent beyond
    /// the end of the tables.
    fn run_at(&self, offset: u64, most: u64) -> Result<Run>;
}

/// What decrypts clusters.
pub(crate) struct Cipher {
    pub(crate) cipher: SectorCipher,
    /// Which number a sector has: that of its place in the file, or that of its place on the disk.
    pub(crate) by_host: bool,
}

impl Cipher {
    /// Decrypts whole sectors that lie at `host` of the file and at `offset` of the disk.
    fn decrypt(&self, sectors: &mut [u8], host: u64, offset: u64) {
        let place = if self.by_host { host } else { offset };
        self.cipher.decrypt(sectors, place / SECTOR);
    }
}

/// An open image: what its disk and its snapshots share.
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) file: Arc<dyn Source>,
    /// Bytes of a cluster.
    pub(crate) cluster: u64,
    pub(crate) unpacker: Unpacker,
    /// The file that holds clusters, and its name: the image itself, or its data file.
    pub(crate) data: (String, Arc<dyn Source>),
    pub(crate) backing: Option<Arc<dyn Source>>,
    pub(crate) cipher: Option<Cipher>,
}

/// A disk in an image.
pub(crate) struct Disk<M> {
    volume: Arc<Volume>,
    map: M,
    len: u64,
    facts: Facts,
}

impl<M: Map> Disk<M> {
    /// `len` bytes that `map` finds.
    pub(crate) fn new(volume: Arc<Volume>, map: M, len: u64, facts: Facts) -> Self {
        Disk { volume, map, len, facts }
    }

    fn run_at(&self, offset: u64, most: u64) -> Result<Run> {
        self.map.run_at(offset, most).map_err(|e| e.met_in(&self.volume.name))
    }
}

impl Volume {
    /// Reads `buf` from `host` of the file with the clusters; `offset` is its place on the disk.
    fn clusters(&self, buf: &mut [u8], host: u64, offset: u64) -> Result<()> {
        let Some(cipher) = &self.cipher else { return self.stored(buf, host, offset) };
        // Whole sectors are decrypted; a part of one is cut out.
        let (before, len) = (offset % SECTOR, buf.len() as u64);
        if before == 0 && len.is_multiple_of(SECTOR) {
            self.stored(buf, host, offset)?;
            cipher.decrypt(buf, host, offset);
            return Ok(());
        }
        let (host, offset) = (host - before, offset - before);
        let mut sectors = vec![0; (before + len).next_multiple_of(SECTOR) as usize];
        self.stored(&mut sectors, host, offset).map_err(as_a_whole)?;
        cipher.decrypt(&mut sectors, host, offset);
        buf.copy_from_slice(&sectors[before as usize..][..buf.len()]);
        Ok(())
    }

    /// The same as it is stored.
    fn stored(&self, buf: &mut [u8], host: u64, offset: u64) -> Result<()> {
        let (name, data) = &self.data;
        if in_range(data.len(), host, buf.len() as u64).is_err() {
            let what = format!(
                "the {} bytes at {offset} of the disk lie beyond the end of the file, which has {} bytes",
                buf.len(),
                data.len()
            );
            return Err(Error::corrupt(what).in_path(name).at(host));
        }
        data.read_at(buf, host).map_err(|e| moved(e, host, offset).met_in(name))
    }

    /// The compressed bytes of a cluster; fewer at the end of the file, where the last sector need not be whole.
    fn packed(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        let held = len.min(self.file.len().saturating_sub(offset));
        let mut packed = vec![0; held as usize];
        if held == 0 {
            holds(&*self.file, "a compressed cluster", offset, 1).map_err(|e| e.in_path(&self.name))?;
        }
        self.file.read_at(&mut packed, offset).map_err(|e| as_a_whole(e).met_in(&self.name))?;
        Ok(packed)
    }

    /// Reads `buf` from the compressed cluster that covers `offset` of the disk.
    fn compressed(&self, buf: &mut [u8], (at, len): (u64, u64), offset: u64) -> Result<()> {
        let named = |e: Error| e.met_in(&self.name).at(at);
        let cluster = self.cluster;
        if buf.len() as u64 == cluster {
            return self.unpacker.unpack(&self.packed(at, len)?, buf).map_err(named);
        }
        let whole = self.unpacker.kept(at, || self.packed(at, len)).map_err(named)?;
        let from = (offset % cluster) as usize;
        buf.copy_from_slice(&whole[from..from + buf.len()]);
        Ok(())
    }

    /// Reads `buf` from the image below, zeros beyond its end or without one.
    fn below(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let held = self.backing.as_ref().map_or(0, |b| b.len()).saturating_sub(offset).min(buf.len() as u64);
        let (from_below, rest) = buf.split_at_mut(held as usize);
        rest.fill(0);
        match &self.backing {
            Some(backing) if held > 0 => backing.read_at(from_below, offset),
            _ => Ok(()),
        }
    }
}

/// A failed read of the file, told as a failed read of the disk.
fn moved(error: Error, host: u64, offset: u64) -> Error {
    match error.kind() {
        Kind::Unreadable { good, first_bad } => {
            let first_bad = first_bad.and_then(|bad| bad.checked_sub(host)).map(|into| offset + into);
            error.into_kind(Kind::Unreadable { good, first_bad })
        }
        _ => error,
    }
}

/// Of what is compressed nothing can be had if one byte is missing.
fn as_a_whole(error: Error) -> Error {
    match error.kind() {
        Kind::Unreadable { .. } => error.into_kind(Kind::Unreadable { good: 0, first_bad: None }),
        _ => error,
    }
}

/// A failed read of a part of a buffer, told as one of the whole, `done` bytes of which are there.
fn after(error: Error, done: usize) -> Error {
    match error.kind() {
        Kind::Unreadable { good, first_bad } => {
            error.into_kind(Kind::Unreadable { good: good + done as u64, first_bad })
        }
        _ => error,
    }
}

impl<M: Map> Source for Disk<M> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let run = self.run_at(at, (buf.len() - done) as u64)?;
            let part = &mut buf[done..done + run.len as usize];
            let read = match run.cluster {
                Cluster::Absent => self.volume.below(part, at),
                Cluster::Zero => {
                    part.fill(0);
                    Ok(())
                }
                Cluster::At(host) => self.volume.clusters(part, host, at),
                Cluster::Packed { offset, len } => self.volume.compressed(part, (offset, len), at),
            };
            read.map_err(|e| after(e, done))?;
            done += run.len as usize;
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.len, offset, 1)?;
        let run = match self.run_at(offset, self.len - offset) {
            // Told by whoever reads it: one bad entry must not hide the rest.
            Err(e) if e.kind() == Kind::Corrupt => {
                let cluster = self.volume.cluster;
                let end = (offset / cluster + 1).saturating_mul(cluster).min(self.len);
                return Ok(Extent::new(offset, end - offset, State::Data));
            }
            run => run?,
        };
        let found = |state| Ok(Extent::new(offset, run.len, state));
        match (run.cluster, &self.volume.backing) {
            (Cluster::Absent, Some(backing)) if offset < backing.len() => {
                let below = backing.extent_at(offset)?;
                Ok(below.clip(offset, offset + run.len).unwrap_or(Extent::new(offset, run.len, State::Data)))
            }
            (Cluster::Absent | Cluster::Zero, _) => found(State::Zero),
            // What lies beyond the end of the file is an error for whoever reads it.
            (Cluster::At(host), _) if host < self.volume.data.1.len() => {
                let stored = self.volume.data.1.extent_at(host)?;
                let len = stored.end().saturating_sub(host).min(run.len).max(1);
                let ciphertext = self.volume.cipher.is_some() && stored.state.reads_zero();
                Ok(Extent::new(offset, len, if ciphertext { State::Data } else { stored.state }))
            }
            (Cluster::At(_) | Cluster::Packed { .. }, _) => found(State::Data),
        }
    }

    fn detail_at(&self, offset: u64) -> Result<Option<Detail>> {
        in_range(self.len, offset, 1)?;
        let run = self.run_at(offset, self.len - offset)?;
        Ok(match (run.cluster, &self.volume.backing) {
            (Cluster::Absent, Some(backing)) if offset < backing.len() => {
                backing.detail_at(offset)?.map(|below| Detail { depth: below.depth + 1, ..below })
            }
            (Cluster::Absent | Cluster::Zero, _) => None,
            (Cluster::At(host), _) => Some(Detail {
                file: Some(self.volume.data.0.clone()),
                host_offset: Some(host),
                stored_len: Some(run.len),
                compressed: false,
                depth: 0,
            }),
            (Cluster::Packed { offset, len }, _) => Some(Detail {
                file: Some(self.volume.name.clone()),
                host_offset: Some(offset),
                stored_len: Some(len),
                compressed: true,
                depth: 0,
            }),
        })
    }

    fn shape(&self) -> Shape {
        let unit = self.volume.cluster.max(64 << 10) as u32;
        Shape { unit, ..Shape::default() }
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}
