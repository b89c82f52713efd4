//! Where the bytes of a disk lie: one L1 table with its L2 tables.

use super::layout::{Header, OFFSET};
use super::open::Opened;
use crate::clusters::{Cluster, Map, Run, Tables};
use std::sync::Arc;
use tintype_core::{Error, Result};

/// An L1 table of a file: that of the disk, or of a snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapping {
    pub(super) l1_offset: u64,
    pub(super) l1_entries: u64,
}

impl Mapping {
    fn run_at(&self, header: &Header, tables: &Tables, offset: u64, most: u64) -> Result<Run> {
        let geometry = header.geometry;
        let span = geometry.l2_span();
        let index = offset / span;
        let into = offset % span;
        if index >= self.l1_entries {
            return Ok(Run { cluster: Cluster::Absent, len: most });
        }
        let l1 = tables.at("the L1 table", self.l1_offset + index * 8, (self.l1_entries - index) * 8, 8)?;
        let l2_offset = l1.get(0) & OFFSET;
        if l2_offset == 0 {
            let (entries, _) = l1.bytes().as_chunks::<8>();
            let absent = entries.iter().take_while(|e| u64::from_be_bytes(**e) & OFFSET == 0).count() as u64;
            return Ok(Run { cluster: Cluster::Absent, len: (absent.saturating_mul(span) - into).min(most) });
        }
        if !l2_offset.is_multiple_of(geometry.cluster()) {
            let what = format!("entry {index} of the L1 table points to {l2_offset}, which is no cluster");
            return Err(Error::corrupt(what).at(self.l1_offset + index * 8));
        }
        let place = into >> geometry.cluster_bits;
        let (size, cluster, grain) = (geometry.entry(), geometry.cluster(), geometry.grain());
        let at = l2_offset + place * size;
        let l2 = tables.at("an L2 table", at, (geometry.l2_entries() - place) * size, size)?;
        let count = l2.bytes().len() as u64 / size;
        let end = (offset - offset % cluster + count * cluster).min(offset.saturating_add(most));
        let look = |offset: u64| -> Result<Cluster> {
            let i = (offset / cluster - index * geometry.l2_entries() - place) as usize;
            let entry = l2.get(i * size as usize);
            let bitmap = if geometry.extended { l2.get(i * 16 + 8) } else { 0 };
            header.cluster(entry, bitmap, offset % cluster / grain).map_err(|what| {
                let what = format!("the cluster at {} of the disk {what}", offset - offset % cluster);
                Error::corrupt(what).at(at + i as u64 * size)
            })
        };
        let first = match look(offset)? {
            Cluster::At(host) => Cluster::At(host + offset % grain),
            other => other,
        };
        let mut reached = offset - offset % grain + grain;
        if let Cluster::Packed { .. } = first {
            // A compressed cluster is looked at alone, and it has no subclusters.
            reached = offset - offset % cluster + cluster;
        }
        while reached < end && !matches!(first, Cluster::Packed { .. }) {
            // What is wrong further on is told to whoever gets there.
            let Ok(next) = look(reached) else { break };
            let goes_on = match (first, next) {
                (Cluster::At(start), Cluster::At(host)) => start + (reached - offset) == host,
                (first, next) => first == next,
            };
            if !goes_on {
                break;
            }
            reached += grain;
        }
        Ok(Run { cluster: first, len: reached.min(end) - offset })
    }
}

/// The table of a disk, with what it takes to read it.
pub(super) struct Mapped {
    pub(super) opened: Arc<Opened>,
    pub(super) mapping: Mapping,
}

impl Map for Mapped {
    fn run_at(&self, offset: u64, most: u64) -> Result<Run> {
        self.mapping.run_at(&self.opened.header, &self.opened.tables, offset, most)
    }
}
