//! What L2 tables refer to.

use super::super::counts::Count;
use super::super::layout::{COMPRESSED, COPIED, OFFSET, SECTOR, SUBCLUSTERS, ZERO};
use super::Check;
use crate::blocks::{Entry, nonzero};
use std::sync::Arc;
use tintype_core::Result;

/// Most compressed clusters that end in the last sector of a file, and are unpacked for it: entries that lie all lead there.
const AT_THE_END: u32 = 64;

/// An L1 table, and the length of the disk that it maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct L1 {
    pub(super) offset: u64,
    pub(super) entries: u64,
    pub(super) disk: u64,
}

impl L1 {
    pub(super) fn of(offset: u64, entries: u64, disk: u64) -> Self {
        L1 { offset, entries, disk }
    }
}

/// What an L2 table maps: what is at `from` of a disk of `disk` bytes; `active` if that is the disk of the image, no snapshot's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece {
    pub(super) from: u64,
    pub(super) disk: u64,
    pub(super) active: bool,
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

    /// Counts what the L2 table at `table` refers to, which is itself referred to so many times.
    pub(super) fn l2(&mut self, table: u64, times: u32, piece: Piece) -> Result<()> {
        let geometry = self.opened.header.geometry;
        let file = Arc::clone(self.opened.file());
        let (cluster, size) = (geometry.cluster(), geometry.entry());
        let entry = if geometry.extended { Entry::Pair } else { Entry::Be64 };
        nonzero(&*file, table, cluster, entry, &mut |index, entry, bitmap| {
            let piece = Piece { from: piece.from.saturating_add(index * cluster), ..piece };
            self.entry((entry, bitmap), times, table + index * size, piece)
        })
    }

    /// Counts what an entry of an L2 table refers to; `piece` is what it maps.
    fn entry(&mut self, (entry, bitmap): (u64, u64), times: u32, at: u64, piece: Piece) -> Result<()> {
        let header = &self.opened.header;
        let geometry = header.geometry;
        let (cluster, external, version) = (geometry.cluster(), header.data_file_is_used(), header.version);
        let guest = piece.active.then_some(piece.from);
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
            let whole = self.claim(from, offset + len - from, times)
                && (self.holds(offset, len) || self.unpacks(offset, entry)?);
            if !whole {
                self.beyond("a compressed cluster does not end in the file", at, touches);
            }
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
        }
        // The bytes that are read from there: none of zeros, none beyond the end of the disk.
        let written = match (extended, zero) {
            (true, _) => u64::from(32 - (bitmap as u32).leading_zeros()) * (cluster / SUBCLUSTERS),
            (false, true) => 0,
            (false, false) => cluster,
        };
        let needed = written.min(piece.disk.saturating_sub(piece.from));
        if let Some(data_len) = self.data_len {
            if needed > 0 && host.checked_add(needed).is_none_or(|end| end > data_len) {
                let what = format!("a cluster at {host} does not end in the data file, which has {data_len} bytes");
                self.beyond(&what, at, touches);
            }
            return Ok(());
        }
        if !self.claim(host, cluster, times) || !self.holds(host, needed) {
            self.beyond(&format!("a cluster of the disk at {host} does not end in the file"), at, touches);
        }
        match touches {
            Some(touches) => self.copied(entry, host, "a cluster", at, touches),
            None => Ok(()),
        }
    }

    fn beyond(&mut self, what: &str, at: u64, touches: Option<(u64, u64)>) {
        self.findings.each("clusters beyond the end of the file", || what.to_owned(), at, touches);
    }

    /// Whether the compressed cluster at `offset` that `entry` describes is whole although its last sector is not: writers need not fill
    /// that.
    fn unpacks(&mut self, offset: u64, entry: u64) -> Result<bool> {
        // Told only once, however often the tables are gone through.
        if self.findings.quiet {
            return Ok(true);
        }
        self.unpacked += 1;
        if self.unpacked > AT_THE_END {
            return Ok(false);
        }
        let header = &self.opened.header;
        let file = self.opened.file();
        let (_, len) = header.geometry.unpacked(entry);
        let Some(held) = file.len().checked_sub(offset).filter(|held| held + SECTOR > len) else { return Ok(false) };
        let mut stored = vec![0; held as usize];
        file.read_at(&mut stored, offset).map_err(|e| e.at(offset))?;
        let mut plain = vec![0; header.geometry.cluster() as usize];
        Ok(header.codec.coding().decode_all(&stored, &mut plain).is_ok())
    }
}
