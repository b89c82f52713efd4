//! Where the bytes of a disk lie: one L1 table with its L2 tables.

use super::layout::{OFFSET, SUBCLUSTERS};
use super::open::Opened;
use crate::blocks::{BlockMap, Entry, Levels, Meaning, Packed, Place, Run, Step, Unpacked};
use std::sync::Arc;
use tintype_core::{Error, Result};

/// An L1 table of a file: that of the disk, or of a snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapping {
    pub(super) l1_offset: u64,
    pub(super) l1_entries: u64,
}

/// What entries of the tables mean.
pub(super) struct Entries(Arc<Opened>);

impl Meaning for Entries {
    const FIRST: &'static str = "the L1 table";
    const FURTHER: &'static str = "an L2 table";

    fn table(&self, n: u64, entry: u64) -> Result<Place> {
        match entry & OFFSET {
            0 => Ok(Place::Absent),
            table if !table.is_multiple_of(self.0.header.geometry.cluster()) => {
                Err(Error::corrupt(format!("entry {n} of the L1 table points to {table}, which is no cluster")))
            }
            table => Ok(Place::At(table)),
        }
    }

    fn block(&self, offset: u64, entry: u64) -> Result<Place> {
        self.0.header.cluster(offset, entry)
    }

    fn unpack(&self, _packed: &Packed, stored: &[u8], out: &mut [u8]) -> Result<Unpacked> {
        self.0.header.codec.coding().decode_all(stored, out)
    }
}

/// The tables of a disk.
pub(super) struct Clusters(Levels<Entries>);

impl Clusters {
    pub(super) fn new(opened: &Arc<Opened>, mapping: Mapping) -> Self {
        let geometry = opened.header.geometry;
        Clusters(Levels {
            tables: opened.tables.clone(),
            at: mapping.l1_offset,
            entries: mapping.l1_entries,
            first: Entry::Be64,
            further: if geometry.extended { Entry::Pair } else { Entry::Be64 },
            blocks: geometry.l2_entries(),
            block: geometry.cluster(),
            meaning: Entries(Arc::clone(opened)),
        })
    }

    /// The run at `offset` where the entry of a cluster says of each of its subclusters where it is: those of one cluster may be in
    /// several states, so that entries cannot be compared as a whole.
    fn subclusters(&self, offset: u64, most: u64) -> Result<Run> {
        let (at, entries) = match self.0.step(offset, most)? {
            Step::Run(run) => return Ok(run),
            Step::Entry { at, entries } => (at, entries),
        };
        let header = &self.0.meaning.0.header;
        let (cluster, size) = (self.0.block, self.0.block / SUBCLUSTERS);
        let start = offset - offset % cluster;
        let entries = self.0.tables.at(Entries::FURTHER, at, entries, Entry::Pair)?;
        let look = |offset: u64| {
            let n = (offset - start) / cluster;
            let sub = offset % cluster / size;
            header
                .subcluster(start + n * cluster, (entries.get(n), entries.second(n)), sub)
                .map_err(|e| e.at(at + n * 16))
        };
        let first = look(offset)?;
        if let Place::Packed(_) = first {
            return Ok(Run::new(start + cluster - offset, first));
        }
        let end = start.saturating_add(entries.len().saturating_mul(cluster)).min(offset.saturating_add(most));
        let here = offset - offset % size;
        let mut reached = here + size;
        while reached < end {
            // What is wrong further on is told to whoever gets there.
            let next = look(reached).ok();
            let goes_on = match first {
                Place::At(host) => next == Some(Place::At(host + (reached - here))),
                first => next == Some(first),
            };
            if !goes_on {
                break;
            }
            reached += size;
        }
        let place = match first {
            Place::At(host) => Place::At(host + offset % size),
            other => other,
        };
        Ok(Run::new(reached - offset, place))
    }
}

impl BlockMap for Clusters {
    fn run_at(&self, offset: u64, most: u64) -> Result<Run> {
        match self.0.further {
            Entry::Pair => {
                let name = &self.0.tables.file().name;
                self.subclusters(offset, most).map_err(|e| e.met_in(name))
            }
            _ => self.0.run_at(offset, most),
        }
    }

    fn unpack(&self, packed: &Packed, stored: &[u8], out: &mut [u8]) -> Result<Unpacked> {
        self.0.unpack(packed, stored, out)
    }
}
