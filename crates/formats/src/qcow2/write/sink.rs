//! The sink: takes pieces in order and keeps the tables.

use super::super::layout::{COPIED, ZERO};
use super::encode::{Compressing, InPlace, Kind, Target, all_zero, entry};
use super::head;
use super::pack::{Packed, packer};
use super::plan::Plan;
use super::references::References;
use crate::blocks::blank_to;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tintype_core::{Coded, Encoder, Error, Feed, File, Piece, PieceBody, Result, Seal, Sink, Written};

/// Zeros that are handed to an encoder at once.
const ZEROS: u64 = 1 << 20;

pub(super) struct Writer {
    plan: Plan,
    file: Arc<dyn File>,
    target: Target,
    name: String,
    /// The next cluster of the disk.
    cluster: u64,
    done: u64,
    l1: Vec<u64>,
    /// The L2 table that `cluster` belongs to, as far as it has entries.
    l2: Vec<u8>,
    packed: Packed,
    references: References,
}

impl Writer {
    pub(super) fn new(plan: Plan, file: Arc<dyn File>, target: Target, name: String) -> Self {
        let l1 = vec![0; plan.l1_entries() as usize];
        let references = References::new(plan.geometry);
        let packed = Packed::new();
        Writer { plan, file, target, name, cluster: 0, done: 0, l1, l2: Vec::new(), packed, references }
    }

    /// Takes the entries of the next clusters.
    fn entries(&mut self, mut entries: &[u8]) -> Result<()> {
        let size = self.plan.geometry.entry();
        while !entries.is_empty() {
            let (now, rest) = entries.split_at(entries.len().min(self.room() as usize * size as usize));
            let start = (self.cluster % self.plan.geometry.l2_entries() * size) as usize;
            self.l2.resize(start, 0);
            self.l2.extend_from_slice(now);
            self.cluster += now.len() as u64 / size;
            entries = rest;
            self.close_l2()?;
        }
        Ok(())
    }

    /// Entries of the open L2 table that are still to come.
    fn room(&self) -> u64 {
        let entries = self.plan.geometry.l2_entries();
        entries - self.cluster % entries
    }

    /// Leaves the next clusters without entries.
    fn skip(&mut self, mut clusters: u64) -> Result<()> {
        while clusters > 0 {
            // Without a table open, whole ones need not be looked at.
            let now = match self.l2.is_empty() {
                true => clusters,
                false => clusters.min(self.room()),
            };
            self.cluster += now;
            clusters -= now;
            self.close_l2()?;
        }
        Ok(())
    }

    /// Writes the L2 table if the next cluster belongs to another one.
    fn close_l2(&mut self) -> Result<()> {
        let entries = self.plan.geometry.l2_entries();
        if self.cluster.is_multiple_of(entries) { self.write_l2() } else { Ok(()) }
    }

    fn write_l2(&mut self) -> Result<()> {
        if self.l2.iter().any(|b| *b != 0) {
            let index = (self.cluster - 1) / self.plan.geometry.l2_entries();
            let cluster = self.plan.geometry.cluster();
            let at = self.target.take(1) * cluster;
            self.l2.resize(cluster as usize, 0);
            self.file.write_at(&self.l2, at)?;
            let slot = self.l1.get_mut(index as usize).ok_or_else(|| Error::usage("more was put than announced"))?;
            *slot = at | COPIED;
        }
        self.l2.clear();
        Ok(())
    }

    /// Takes compressed clusters of `plain`.
    fn packed(&mut self, plain: &[u8], coded: &Coded) -> Result<()> {
        let geometry = self.plan.geometry;
        let cluster = geometry.cluster();
        let mut bytes = &coded.bytes[..];
        let mut entries = Vec::new();
        for (chunk, plain) in coded.chunks.iter().zip(plain.chunks(cluster as usize)) {
            let short = || Error::corrupt("an encoder said more than it did");
            let (packed, rest) = bytes.split_at_checked(chunk.len as usize).ok_or_else(short)?;
            bytes = rest;
            let mut kind = Kind::of(chunk).ok_or_else(short)?;
            if kind == Kind::Packed {
                match self.packed.place(packed.len() as u64, &self.target, &mut self.references) {
                    Some(at) => {
                        self.packed.write(&*self.file, at, packed)?;
                        entry_of(&mut entries, self.plan.geometry.extended, geometry.packed(at, packed.len() as u64));
                    }
                    None => kind = Kind::Plain,
                }
            }
            match kind {
                Kind::Packed => {}
                Kind::Same => entry(&mut entries, geometry, None, 0, 0),
                Kind::Zero if geometry.extended => entry(&mut entries, geometry, None, 0, u32::MAX),
                Kind::Zero => entry_of(&mut entries, false, ZERO),
                Kind::Plain => {
                    let at = self.target.take(1) * cluster;
                    self.packed.write(&*self.file, at, plain)?;
                    entry(&mut entries, geometry, Some(at), u32::MAX, 0);
                }
            }
        }
        self.entries(&entries)?;
        self.settle()
    }

    /// Writes the refcount blocks that are complete.
    fn settle(&mut self) -> Result<()> {
        let cluster = self.plan.geometry.cluster();
        let next = self.target.next.load(Ordering::Relaxed);
        let due = self.references.from() + 2 * self.plan.geometry.counts();
        if next >= due {
            if self.packed.settled(next, cluster) < due {
                // A cluster that is not filled must not hold up all others.
                self.packed.leave();
            }
            let settled = self.packed.settled(next, cluster);
            self.references.settle(settled, &self.target, &*self.file)?;
        }
        Ok(())
    }

    /// Takes zeros.
    fn run(&mut self, offset: u64, len: u64) -> Result<()> {
        let cluster = self.plan.geometry.cluster();
        if self.plan.backing.is_none() && self.target.area.is_none_or(|a| a.zeros == super::plan::Zeros::Absent) {
            return self.skip(len.div_ceil(cluster));
        }
        let mut encoder = InPlace::new(self.target.clone());
        let zeros = vec![0; len.min(ZEROS.max(cluster)) as usize];
        let (mut at, end) = (offset, offset + len);
        let mut coded = Coded::default();
        while at < end {
            if let Some(clusters) = self.blank(at, end)? {
                self.skip(clusters)?;
                at = (at + clusters * cluster).min(end);
                continue;
            }
            let now = (end - at).min(zeros.len() as u64);
            coded.clear();
            encoder.encode(&zeros[..now as usize], at, &[all_zero(at, now)], &mut coded)?;
            self.entries(&coded.bytes)?;
            at += now;
        }
        Ok(())
    }

    /// Clusters from `at` on, which begins one, that are zeros in what lies below.
    fn blank(&self, at: u64, end: u64) -> Result<Option<u64>> {
        let Some(backing) = &self.plan.backing else { return Ok(None) };
        let cluster = self.plan.geometry.cluster();
        let blank_to = blank_to(Some(&*backing.source), at)?;
        let clusters = match blank_to >= end {
            true => (end - at).div_ceil(cluster),
            false => (blank_to - at) / cluster,
        };
        Ok((clusters > 0).then_some(clusters))
    }
}

/// Appends an entry that is no cluster of its own.
fn entry_of(out: &mut Vec<u8>, extended: bool, entry: u64) {
    out.extend_from_slice(&entry.to_be_bytes());
    if extended {
        out.extend_from_slice(&[0; 8]);
    }
}

impl Sink for Writer {
    fn feed(&self) -> Feed {
        let geometry = self.plan.geometry;
        Feed {
            chunk: geometry.cluster() as u32,
            carries: super::super::FORMAT.caps.states,
            zeros: if self.plan.packing.is_some() { geometry.cluster() } else { geometry.subcluster() } as u32,
            digests: Vec::new(),
        }
    }

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        let target = self.target.clone();
        Some(match self.plan.packing {
            Some(packing) => Box::new(Compressing::new(target, packer(packing))),
            None => Box::new(InPlace::new(target)),
        })
    }

    fn put(&mut self, piece: Piece<'_>) -> Result<()> {
        if piece.offset != self.done {
            return Err(Error::usage("pieces out of order").at(piece.offset));
        }
        match piece.body {
            PieceBody::Bytes { plain, coded, .. } if self.plan.packing.is_some() => self.packed(plain, coded)?,
            PieceBody::Bytes { coded, .. } => self.entries(&coded.bytes)?,
            PieceBody::Run(_) => self.run(piece.offset, piece.len)?,
        }
        self.done += piece.len;
        Ok(())
    }

    fn finish(mut self: Box<Self>, seal: &Seal) -> Result<Written> {
        let untouched = self.done == 0 && self.plan.backing.is_some();
        if seal.len != self.plan.len || (self.done != seal.len && !untouched) {
            let what = format!("{} bytes were put, {} were announced", self.done, self.plan.len);
            return Err(Error::usage(what));
        }
        self.write_l2()?;
        self.packed.flush(&*self.file)?;
        let cluster = self.plan.geometry.cluster();
        let l1: Vec<u8> = self.l1.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        if !l1.is_empty() {
            self.file.write_at(&l1, cluster)?;
        }
        let table = self.references.finish(&self.target, &*self.file)?;
        self.file.write_at(&head::encode(&self.plan, &table), 0)?;
        self.file.set_len(self.target.next.load(Ordering::Relaxed) * cluster)?;
        self.file.sync()?;
        let mut written = Written { bytes: self.file.stored()?, files: vec![self.name], notes: Vec::new() };
        if let Some(name) = self.plan.data_file {
            self.target.file.sync()?;
            written.bytes += self.target.file.stored()?;
            written.files.push(name);
        }
        Ok(written)
    }
}
