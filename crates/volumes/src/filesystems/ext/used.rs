//! Which blocks are in use. In doubt it refuses.

use super::Ext;
use super::groups::{Group, Groups};
use super::superblock::{incompat, ro_compat};
use crate::filesystems::FileSystem;
use std::ops::Range;
use tintype_core::{Error, RangeMap, Result, Source};

const CLEAN: u16 = 1;
const ERRORS: u16 = 2;

/// The blocks in use, and what is behind the last one.
pub(super) fn used(ext: &Ext) -> Result<RangeMap<()>> {
    trusted(ext)?;
    let sb = &ext.sb;
    let known = &ext.known;
    let mut used = RangeMap::new();
    // The boot block, and what is behind the last block.
    used.set(0..sb.first_block * sb.block, ());
    used.set(sb.len()..known.len(), ());
    let mut groups = Groups::new(known, sb);
    let mut own = RangeMap::new();
    let mut uninit = Vec::new();
    for number in 0..sb.groups() {
        let group = groups.get(number)?;
        for (first, count) in sb.head_blocks(number).into_iter().chain(group.own_blocks(sb)) {
            own.set(first..(first + count).min(sb.blocks), ());
        }
        if group.has_block_bitmap() {
            from_bitmap(ext, &group, &mut used)?;
        } else {
            uninit.push(group);
        }
    }
    // What a group without a bitmap holds is only what the file system put there itself.
    for group in &uninit {
        let range = sb.group_start(group.number)..sb.group_end(group.number);
        let mut taken = RangeMap::new();
        for (blocks, ()) in own.within(range.clone()) {
            // Whole clusters, within the group.
            let (start, end) = (blocks.start - sb.first_block, blocks.end - sb.first_block);
            let whole = start / sb.cluster * sb.cluster..end.next_multiple_of(sb.cluster);
            taken.set(whole.start + sb.first_block..(whole.end + sb.first_block).min(range.end), ());
        }
        let clusters = |blocks: u64| blocks.div_ceil(sb.cluster);
        let taken_clusters: u64 = taken.iter().map(|(r, ())| clusters(r.end - r.start)).sum();
        counted(group, clusters(range.end - range.start) - taken_clusters)?;
        for (blocks, ()) in taken.iter() {
            used.set(blocks.start * sb.block..blocks.end * sb.block, ());
        }
    }
    for (blocks, ()) in own.iter() {
        let range = blocks.start * sb.block..blocks.end * sb.block;
        if !covered(&used, &range) {
            return Err(
                Error::corrupt("the bitmap calls blocks free that hold the file system's own tables").at(range.start)
            );
        }
    }
    Ok(used)
}

/// Group by group; those that are not known are all used.
pub(super) fn likely(ext: &Ext) -> RangeMap<()> {
    let sb = &ext.sb;
    let len = ext.known.len();
    let mut all = RangeMap::new();
    all.set(0..sb.first_block * sb.block, ());
    all.set(sb.len().min(len)..len, ());
    let mut groups = Groups::new(&ext.known, sb);
    for number in 0..sb.groups_within(len) {
        let mut add = |from: u64, to: u64| all.set((from * sb.block).min(len)..(to * sb.block).min(len), ());
        let Ok(group) = groups.get(number) else {
            add(sb.group_start(number), sb.group_end(number));
            continue;
        };
        for (first, count) in sb.head_blocks(number).into_iter().chain(group.own_blocks(sb)) {
            add(first, first + count);
        }
        let mut found = RangeMap::new();
        match group.has_block_bitmap() {
            true if from_bitmap(ext, &group, &mut found).is_err() => add(sb.group_start(number), sb.group_end(number)),
            _ => found.iter().for_each(|(range, ())| add(range.start / sb.block, range.end / sb.block)),
        }
    }
    all
}

fn covered(used: &RangeMap<()>, range: &Range<u64>) -> bool {
    used.get(range.start).is_some_and(|(r, ())| r.end >= range.end)
}

/// Refuses what cannot be relied on as a whole.
fn trusted(ext: &Ext) -> Result<()> {
    let sb = &ext.sb;
    let refuse = |why: &str| Err(Error::unsupported(format!("which blocks are free is not certain: {why}")));
    let unknown = sb.ro_compat & !ro_compat::KNOWN;
    if unknown != 0 {
        return refuse(&format!("it has features that are not known (ro_compat {unknown:#x})"));
    }
    if ext.spare {
        return refuse("the first superblock is lost, and its copies do not say what changed since they were made");
    }
    if sb.len() > ext.known.len() {
        return refuse(&format!("it has {} bytes, what it lies on only {}", sb.len(), ext.known.len()));
    }
    if sb.has_incompat(incompat::RECOVER) {
        return refuse("it was not closed, and its journal holds changes that are not made yet");
    }
    if sb.state & CLEAN == 0 {
        return refuse("it was not closed");
    }
    if sb.state & ERRORS != 0 {
        return refuse("it is marked as having errors");
    }
    match ext.journal_start() {
        Ok(None | Some(0)) => Ok(()),
        Ok(Some(_)) => refuse("its journal holds changes that are not made yet"),
        Err(e) => {
            Err(Error::new(e.kind(), "which blocks are free is not certain: its journal cannot be read").because(e))
        }
    }
}

fn from_bitmap(ext: &Ext, group: &Group, used: &mut RangeMap<()>) -> Result<()> {
    let sb = &ext.sb;
    let bitmap = group.read_block_bitmap(&ext.known, sb)?;
    let (start, end) = (sb.group_start(group.number), sb.group_end(group.number));
    let clusters = (end - start).div_ceil(sb.cluster);
    let bit = |i: u64| bitmap.get((i / 8) as usize).is_none_or(|byte| byte >> (i % 8) & 1 == 1);
    let mut at = 0;
    let mut free = 0;
    while at < clusters {
        let value = bit(at);
        let mut to = at + 1;
        while to < clusters && bit(to) == value {
            to += 1;
        }
        if value {
            let blocks = start + at * sb.cluster..(start + to * sb.cluster).min(end);
            used.set(blocks.start * sb.block..blocks.end * sb.block, ());
        } else {
            free += to - at;
        }
        at = to;
    }
    counted(group, free)
}

/// The descriptor knows how many are free.
fn counted(group: &Group, free: u64) -> Result<()> {
    if free != group.free_blocks {
        return Err(Error::corrupt(format!(
            "group {} has {free} free clusters by its bitmap and {} by its descriptor",
            group.number, group.free_blocks
        )));
    }
    Ok(())
}

impl Ext {
    /// Where the journal says that changes begin; 0 for none, `None` without a journal of its own.
    pub(super) fn journal_start(&self) -> Result<Option<u32>> {
        const MAGIC: u32 = 0xc03b_3998;
        if self.sb.journal == 0 {
            return Ok(None);
        }
        let runs = self.extents(crate::filesystems::NodeId(self.sb.journal))?;
        let first =
            runs.first().filter(|r| r.at == 0).ok_or_else(|| Error::corrupt("the journal has no first block"))?;
        let head = self.known.read(first.on_disk().start, 1024)?;
        let be32 = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if be32(0) != MAGIC || !matches!(be32(4), 3 | 4) {
            return Err(Error::corrupt("the journal does not begin like one").at(first.on_disk().start));
        }
        Ok(Some(be32(0x1c)))
    }
}
