//! What L2 tables refer to.

use super::super::counts::Count;
use super::super::layout::{COMPRESSED, COPIED, OFFSET, SECTOR, ZERO};
use super::Check;
use crate::blocks::{Entry, nonzero};
use std::sync::Arc;
use tintype_core::Result;

/// An L1 table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct L1 {
    pub(super) offset: u64,
    pub(super) entries: u64,
}

impl L1 {
    pub(super) fn of(offset: u64, entries: u64) -> Self {
        L1 { offset, entries }
    }
}

impl Check {
    /// Whether the flag of an entry that refers to `host` says what the reference count does.
    pub(super) fn copied(&mut self, entry: u64, host: u64, what: &str, at: u64, touches: (u64, u64)) -> Result<()> {
        let cluster = host / self.opened.header.geometry.cluster();
        // Told only once, however often the tables are gone through.
        if self.findings.quiet || cluster >= self.clusters {
            return Ok(());
        }
        let Count::Of(count) = self.stored.of(cluster)? else { return Ok(()) };
        if (count == 1) != (entry & COPIED != 0) {
            let flag = if entry & COPIED != 0 { "set" } else { "not set" };
            let what = || format!("{what} at {host} is counted {count} times, but its COPIED flag is {flag}");
            self.findings.each("COPIED flags that do not fit the counts", what, at, Some(touches));
        }
        Ok(())
    }

    /// Counts what the L2 table at `table` refers to, which is itself referred to so many times; `guest` is where its part of
    /// the disk begins, for tables of the disk itself.
    pub(super) fn l2(&mut self, table: u64, times: u32, guest: Option<u64>) -> Result<()> {
        let geometry = self.opened.header.geometry;
        let file = Arc::clone(self.opened.file());
        let (cluster, size) = (geometry.cluster(), geometry.entry());
        let entry = if geometry.extended { Entry::Pair } else { Entry::Be64 };
        nonzero(&*file, table, cluster, entry, &mut |index, entry, bitmap| {
            self.entry(entry, bitmap, times, table + index * size, guest.map(|g| g + index * cluster))
        })
    }

    fn entry(&mut self, entry: u64, bitmap: u64, times: u32, at: u64, guest: Option<u64>) -> Result<()> {
        let header = &self.opened.header;
        let geometry = header.geometry;
        let (cluster, external, version) = (geometry.cluster(), header.data_file_is_used(), header.version);
        let touches = guest.map(|guest| (guest, cluster));
        let extended = geometry.extended;
        let mut wrong = |what: &str| {
            self.findings.each("wrong entries of L2 tables", || what.to_owned(), at, touches);
        };
        if entry & COMPRESSED != 0 {
            if entry & COPIED != 0 {
                wrong("a compressed cluster has the COPIED flag");
            }
            if external {
                wrong("a compressed cluster in an image with a data file");
                return Ok(());
            }
            if bitmap != 0 {
                wrong("a compressed cluster has subclusters");
                return Ok(());
            }
            let (offset, len) = geometry.unpacked(entry);
            // Whole sectors, as the writer counted them.
            let from = offset / SECTOR * SECTOR;
            self.region(from, offset + len - from, "a compressed cluster", times);
            return Ok(());
        }
        if entry & 0x3f00_0000_0000_01fe != 0 {
            wrong("an entry of an L2 table has reserved bits set");
        }
        let host = entry & OFFSET;
        let zero = entry & ZERO != 0;
        if zero && version < 3 {
            wrong("an entry of an L2 table has the flag for zeros, which this image cannot have");
        }
        if extended && (bitmap >> 32) & bitmap != 0 {
            wrong("a subcluster is both data and zeros");
        }
        let held = host != 0 || (external && entry & COPIED != 0);
        if !held {
            if extended && bitmap & 0xffff_ffff != 0 {
                wrong("a cluster that lies nowhere has subclusters with data");
            }
            return Ok(());
        }
        if !host.is_multiple_of(cluster) {
            wrong(&format!("a cluster of the disk lies at {host}, which is no cluster of the file"));
        }
        if external {
            if guest.is_some_and(|guest| guest != host) {
                wrong(&format!("a cluster lies at {host} of the data file, not where it belongs"));
            }
            if guest.is_some() && entry & COPIED == 0 {
                wrong("a cluster of the data file lacks the COPIED flag");
            }
            return Ok(());
        }
        self.region(host, cluster, "a cluster of the disk", times);
        match touches {
            Some(touches) => self.copied(entry, host, "a cluster", at, touches),
            None => Ok(()),
        }
    }
}
