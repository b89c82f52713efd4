//! The reference counts of what is written: one for every cluster of the file, but for those that compressed clusters share.

use super::super::counts::set;
use super::super::layout::Geometry;
use super::encode::Target;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use tintype_core::{Error, File, Result};

/// Longest refcount table, as in QEMU.
const TABLE_BYTES: u64 = 8 << 20;

pub(super) struct References {
    geometry: Geometry,
    /// Where the blocks lie that have been written, in order.
    blocks: Vec<u64>,
    /// Clusters that hold compressed ones, and how many of these.
    shared: BTreeMap<u64, u64>,
}

/// Where the refcount table lies.
pub(super) struct Table {
    pub(super) offset: u64,
    pub(super) clusters: u64,
}

impl References {
    pub(super) fn new(geometry: Geometry) -> Self {
        References { geometry, blocks: Vec::new(), shared: BTreeMap::new() }
    }

    /// Compressed clusters in a cluster of the file.
    pub(super) fn shared(&self, cluster: u64) -> u64 {
        self.shared.get(&cluster).copied().unwrap_or(0)
    }

    /// Adds a compressed cluster to a cluster of the file.
    pub(super) fn share(&mut self, cluster: u64) {
        *self.shared.entry(cluster).or_default() += 1;
    }

    /// The first cluster that no written block counts.
    pub(super) fn from(&self) -> u64 {
        self.blocks.len() as u64 * self.geometry.counts()
    }

    /// Writes the blocks that count nothing but clusters before `settled`, all of which are in use.
    pub(super) fn settle(&mut self, settled: u64, target: &Target, file: &dyn File) -> Result<()> {
        while self.from() + self.geometry.counts() <= settled {
            let at = target.take(1);
            self.block(at, u64::MAX, file)?;
        }
        Ok(())
    }

    /// Writes the next block to cluster `at`; clusters from `end` on are free.
    fn block(&mut self, at: u64, end: u64, file: &dyn File) -> Result<()> {
        let (from, counts, order) = (self.from(), self.geometry.counts(), self.geometry.refcount_order);
        let mut block = vec![0; self.geometry.cluster() as usize];
        for index in 0..counts.min(end.saturating_sub(from)) {
            set(&mut block, index, order, 1);
        }
        let later = self.shared.split_off(&(from + counts));
        for (cluster, count) in std::mem::replace(&mut self.shared, later) {
            set(&mut block, cluster - from, order, count);
        }
        let offset = at * self.geometry.cluster();
        file.write_at(&block, offset)?;
        self.blocks.push(offset);
        Ok(())
    }

    /// Writes what is left, and the table.
    pub(super) fn finish(mut self, target: &Target, file: &dyn File) -> Result<Table> {
        let geometry = self.geometry;
        let cluster = geometry.cluster();
        let used = target.next.load(Ordering::Relaxed);
        let written = self.blocks.len() as u64;
        // Blocks and table count themselves.
        let (mut blocks, mut table) = (written, 0);
        loop {
            let end = used + (blocks - written) + table;
            let needed =
                (end.div_ceil(geometry.counts()).max(blocks), (blocks * 8).div_ceil(cluster).max(table).max(1));
            if needed == (blocks, table) {
                break;
            }
            (blocks, table) = needed;
        }
        if table * cluster > TABLE_BYTES.max(cluster) {
            let what = "the image has come to need more reference counts than can be kept in clusters of this size; \
                        begin again with a larger --option cluster_size";
            return Err(Error::limit(what));
        }
        let first = target.take(blocks - written + table);
        let end = first + (blocks - written) + table;
        for at in first..first + (blocks - written) {
            self.block(at, end, file)?;
        }
        let offset = (end - table) * cluster;
        let mut bytes: Vec<u8> = self.blocks.iter().flat_map(|block| block.to_be_bytes()).collect();
        bytes.resize((table * cluster) as usize, 0);
        file.write_at(&bytes, offset)?;
        Ok(Table { offset, clusters: table })
    }
}
