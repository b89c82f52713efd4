//! Checking the structure: whether every cluster of the file is referred to as often as its reference count says.

mod walk;

use super::bitmap;
use super::counts::{Count, Stored, get};
use super::layout::{BITMAPS, COPIED, CORRUPT, Header, OFFSET};
use super::open::{CORRUPT_MEANS, Opened, data_file, structure};
use super::parts;
use crate::blocks::{Entry, Findings, References, nonzero};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tintype_core::{Error, Finding, OpenRequest, Result};
use walk::{L1, Piece};

/// Most times that all tables are gone through, for a file with more clusters than can be counted at once.
const PASSES: u32 = 64;
/// The same, where next to nothing is counted each time.
const SCATTERED: u32 = 2;
/// Most entries of L1 tables that are looked at.
const L1_ENTRIES: u64 = 1 << 28;
/// Most entries of tables of bitmaps: one of a disk of 64 TiB, with a bit for 4 KiB in clusters of 64 KiB, has 32768.
const BITMAP_ENTRIES: u64 = 1 << 24;
/// Most different L2 tables.
const L2_TABLES: usize = 2 << 20;
/// Most bytes of a refcount table, as in QEMU.
const REFCOUNT_TABLE: u64 = 8 << 20;

/// A check as it goes on.
pub(super) struct Check {
    opened: Arc<Opened>,
    clusters: u64,
    /// Bytes of the data file, where clusters lie in one.
    data_len: Option<u64>,
    stored: Stored,
    found: References,
    findings: Findings,
    /// How many compressed clusters at the end of the file were unpacked to see whether they are whole.
    unpacked: u32,
}

pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let opened = structure(request)?;
    let data = data_file(request, &opened.header)?;
    run(opened, data.map(|data| data.source.len())).map_err(|e| e.met_in(&request.entry.name))
}

fn run(opened: Arc<Opened>, data_len: Option<u64>) -> Result<Vec<Finding>> {
    let header = opened.header.clone();
    let mut check = Check {
        clusters: opened.file().len().div_ceil(header.geometry.cluster()),
        data_len,
        stored: Stored::new(&opened.tables, &header),
        found: References::from(0),
        findings: Findings::new(opened.name()),
        unpacked: 0,
        opened,
    };
    if header.incompatible & CORRUPT != 0 {
        check.findings.damage(format!("{} {CORRUPT_MEANS}", check.opened.name()), 72);
    }
    if bitmap::missing(&check.opened) {
        check.findings.damage("the header says that there are bitmaps, but not where", 88);
    }
    if check.stored.table_len() * 8 > REFCOUNT_TABLE {
        return Err(Error::limit("a refcount table longer than 8 MiB").at(56));
    }
    for pass in 0..PASSES {
        check.findings.quiet = pass > 0;
        check.references(&header)?;
        check.findings.quiet = false;
        check.compare(&header)?;
        match check.found.next() {
            Some(_) if pass >= SCATTERED && check.found.is_scattered() => break,
            None => return Ok(check.findings.finish()),
            Some(next) => check.found = References::from(next),
        }
    }
    Err(Error::limit("the image refers to clusters too far from each other to be checked"))
}

impl Check {
    /// Counts every reference in the image.
    fn references(&mut self, header: &Header) -> Result<()> {
        let cluster = header.geometry.cluster();
        self.region(0, 1, "the header", 1);
        let (snapshots, table_len) = parts::snapshots(&self.opened)?;
        let mut all = vec![L1::of(header.l1_table_offset, header.l1_size.into(), header.size)];
        for snapshot in &snapshots {
            if header.version > 2 && snapshot.extra < 16 {
                let what = || format!("the entry of snapshot {:?} is not complete", snapshot.name);
                self.findings.each("entries of snapshots that are not complete", what, header.snapshots_offset, None);
            }
            all.push(L1::of(snapshot.l1_offset, snapshot.l1_entries.into(), snapshot.len.unwrap_or(header.size)));
        }
        self.mappings(&all)?;
        if table_len > 0 {
            self.region(header.snapshots_offset, table_len, "the snapshot table", 1);
        }
        if let Some((at, len)) = header.encryption_at.filter(|(_, len)| *len > 0) {
            self.region(at, len, "the LUKS header", 1);
        }
        self.bitmaps(header)?;
        let table_bytes = self.stored.table_len() * 8;
        if table_bytes > 0 {
            self.region(header.refcount_table_offset, table_bytes, "the refcount table", 1);
        }
        let file = Arc::clone(self.opened.file());
        nonzero(&*file, header.refcount_table_offset, table_bytes, Entry::Be64, &mut |index, entry, _| {
            let at = header.refcount_table_offset + index * 8;
            let (block, reserved) = (entry & !0x1ff, entry & 0x1ff);
            let wrong = if reserved != 0 {
                "has reserved bits set"
            } else if !block.is_multiple_of(cluster) {
                "is at no cluster"
            } else if block.checked_add(cluster).is_none_or(|end| end > file.len()) {
                "is not whole in the file"
            } else if self.found.add(block / cluster, 1) > 1 {
                "is where something else is too"
            } else {
                return Ok(());
            };
            let what = || format!("entry {index} of the refcount table leads to a block at {block}, which {wrong}");
            self.findings.each("wrong entries of the refcount table", what, at, None);
            Ok(())
        })
    }

    /// Counts references to the clusters that hold `len` bytes at `offset`, all of which have to be there.
    fn region(&mut self, offset: u64, len: u64, what: &str, references: u32) {
        if self.claim(offset, len, references) && self.holds(offset, len) {
            return;
        }
        let what = || format!("{what}, {len} bytes at {offset}, does not end in the file");
        self.findings.each("structures and clusters beyond the end of the file", what, offset, None);
    }

    /// True if the file has `len` bytes at `offset`.
    fn holds(&self, offset: u64, len: u64) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.opened.file().len())
    }

    /// Counts references to the clusters that hold `len` bytes at `offset`, of which the last need not be whole; false if one of them
    /// is not there at all.
    fn claim(&mut self, offset: u64, len: u64, references: u32) -> bool {
        let cluster = self.opened.header.geometry.cluster();
        let last = offset.saturating_add(len - 1) / cluster;
        if last >= self.clusters {
            return false;
        }
        for at in offset / cluster..=last {
            self.found.add(at, references);
        }
        true
    }

    /// Counts what L1 tables refer to; the first of them is that of the disk.
    fn mappings(&mut self, all: &[L1]) -> Result<()> {
        let header = self.opened.header.clone();
        let cluster = header.geometry.cluster();
        let mut distinct: HashMap<L1, u32> = HashMap::new();
        for l1 in all {
            if !l1.offset.is_multiple_of(cluster) {
                let what = || format!("the L1 table at {} does not begin at a cluster", l1.offset);
                self.findings.each("L1 tables that begin at no cluster", what, l1.offset, None);
                continue;
            }
            *distinct.entry(*l1).or_default() += 1;
        }
        if distinct.keys().map(|l1| l1.entries).sum::<u64>() > L1_ENTRIES {
            return Err(Error::limit("more entries in L1 tables than can be checked"));
        }
        // How often each L2 table is referred to, and which part of which disk it has.
        let mut tables: HashMap<u64, (u32, Piece)> = HashMap::new();
        let file = Arc::clone(self.opened.file());
        let mut ordered: Vec<_> = distinct.into_iter().collect();
        ordered.sort();
        for (l1, times) in ordered {
            if l1.entries > 0 {
                self.region(l1.offset, l1.entries * 8, "an L1 table", times);
            }
            nonzero(&*file, l1.offset, l1.entries * 8, Entry::Be64, &mut |index, entry, _| {
                if entry & 0x7f00_0000_0000_01ff != 0 {
                    let what = || format!("entry {index} of an L1 table has reserved bits set");
                    self.findings.each("entries with reserved bits set", what, l1.offset + index * 8, None);
                }
                let table = entry & OFFSET;
                if table == 0 {
                    if entry & COPIED != 0 {
                        let what = || format!("entry {index} of an L1 table has the COPIED flag, but leads nowhere");
                        self.findings.each("entries that lead nowhere", what, l1.offset + index * 8, None);
                    }
                    return Ok(());
                }
                self.region(table, cluster, "an L2 table", times);
                // Such tables lie over each other: there may be far more of them than the file has room for.
                if !table.is_multiple_of(cluster) {
                    let what = || format!("entry {index} of an L1 table points to {table}, which is no cluster");
                    self.findings.each("entries that lead to no cluster", what, l1.offset + index * 8, None);
                    return Ok(());
                }
                let from = index.saturating_mul(header.geometry.l2_span());
                let known = tables.entry(table).or_insert((0, Piece { from, disk: l1.disk, active: false }));
                known.0 += times;
                known.1.disk = known.1.disk.max(l1.disk);
                if tables.len() > L2_TABLES {
                    return Err(Error::limit("more L2 tables than can be checked"));
                }
                Ok(())
            })?;
        }
        // In the order of the disk first, since only there flags are exact.
        if let Some(active) = all.first() {
            nonzero(&*file, active.offset, active.entries * 8, Entry::Be64, &mut |index, entry, _| {
                let table = entry & OFFSET;
                if table == 0 {
                    return Ok(());
                }
                let touched = (index * header.geometry.l2_span(), header.geometry.l2_span());
                self.copied(entry, table, "an L2 table", active.offset + index * 8, touched)?;
                match tables.remove(&table) {
                    Some((times, piece)) => self.l2(table, times, Piece { from: touched.0, active: true, ..piece }),
                    None => Ok(()),
                }
            })?;
        }
        let mut rest: Vec<_> = tables.into_iter().collect();
        rest.sort_unstable();
        rest.into_iter().try_for_each(|(table, (times, piece))| self.l2(table, times, piece))
    }

    /// Counts what the bitmaps refer to.
    fn bitmaps(&mut self, header: &Header) -> Result<()> {
        let cluster = header.geometry.cluster();
        let Some(at) = header.bitmaps.filter(|_| header.autoclear & BITMAPS != 0) else { return Ok(()) };
        if at.len > 0 {
            self.region(at.offset, at.len, "the bitmap directory", 1);
        }
        let file = Arc::clone(self.opened.file());
        let (list, directory_len) = parts::bitmaps(&self.opened)?;
        if directory_len != at.len {
            let what =
                format!("the {} bitmaps have {directory_len} bytes in their directory, not {}", at.count, at.len);
            self.findings.damage(what, at.offset);
        }
        if list.iter().map(|b| u64::from(b.entries)).sum::<u64>() > BITMAP_ENTRIES {
            return Err(Error::limit("more entries in tables of bitmaps than can be checked"));
        }
        for bitmap in list {
            if let Some(why) = bitmap.wrong(cluster, header.size) {
                let what = || format!("the bitmap {:?} {why}", bitmap.name);
                self.findings.each("bitmaps that cannot be", what, at.offset, None);
            }
            if bitmap.entries == 0 {
                continue;
            }
            let len = u64::from(bitmap.entries) * 8;
            self.region(bitmap.table, len, "a bitmap table", 1);
            nonzero(&*file, bitmap.table, len, Entry::Be64, &mut |index, entry, _| {
                let host = entry & OFFSET;
                let reserved = entry & !OFFSET & !bitmap::ONES != 0 || (host != 0 && entry & bitmap::ONES != 0);
                if reserved || !host.is_multiple_of(cluster) {
                    let what = || format!("entry {index} of the table of bitmap {:?} is not valid", bitmap.name);
                    self.findings.each("wrong entries of bitmaps", what, bitmap.table + index * 8, None);
                } else if host != 0 {
                    self.region(host, cluster, "a part of a bitmap", 1);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Compares what was found with what the file counts.
    fn compare(&mut self, header: &Header) -> Result<()> {
        let geometry = header.geometry;
        let cluster = geometry.cluster();
        for (first, counts) in self.found.pages() {
            for (number, found) in (first..self.clusters).zip(counts) {
                match self.stored.of(number)? {
                    Count::Of(stored) => self.findings.counts(number..number + 1, cluster, stored, (*found).into()),
                    Count::Unknown if *found > 0 => {
                        let what = || "the reference count of a cluster cannot be found".to_owned();
                        let kind = "clusters whose reference counts cannot be found";
                        self.findings.each(kind, what, number * cluster, None);
                    }
                    Count::Unknown => {}
                }
            }
        }
        // What is counted elsewhere is not used at all.
        let file = Arc::clone(self.opened.file());
        let table = (header.refcount_table_offset, self.stored.table_len() * 8);
        let per_word = 64 >> geometry.refcount_order;
        let mut seen = HashSet::new();
        nonzero(&*file, table.0, table.1, Entry::Be64, &mut |index, entry, _| {
            let block = entry & !0x1ff;
            let first = index.saturating_mul(geometry.counts());
            let reached = first < self.clusters && self.found.reaches(first, first + geometry.counts());
            // That one block counts for two parts of the file was told; to go through it again would take no end.
            if block == 0 || !block.is_multiple_of(cluster) || !reached || !seen.insert(block) {
                return Ok(());
            }
            nonzero(&*file, block, cluster, Entry::Be64, &mut |word, bits, _| {
                for i in 0..per_word {
                    let number = first + word * per_word + i;
                    let stored = get(&bits.to_be_bytes(), i, geometry.refcount_order);
                    let here = number < self.clusters && self.found.covers(number) && !self.found.has_page_of(number);
                    if stored > 0 && here {
                        self.findings.counts(number..number + 1, cluster, stored, 0);
                    }
                }
                Ok(())
            })
        })
    }
}
