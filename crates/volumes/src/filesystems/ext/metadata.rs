//! What is worth reading first.

use super::groups::{Group, Groups};
use super::inode::Inode;
use super::{Ext, inode, mapping};
use crate::filesystems::{Followed, Kind, Lead, NodeId, Part, Rank, Trace};
use std::ops::{ControlFlow, Range};
use tintype_core::{Source, State, extents};

/// Leads go from the superblock to the groups, and to those inodes whose mapping is not there as a whole.
pub(super) fn follow(ext: &Ext, lead: Lead, give: &mut dyn FnMut(Trace) -> ControlFlow<()>) -> Followed {
    let mut found = Found { block: ext.sb.block, len: ext.known.len(), give, flow: ControlFlow::Continue(()) };
    match lead {
        Lead::Start => start(ext, &mut found),
        Lead::Group(number) => group(ext, number, &mut found),
        Lead::Node(id) => match ext.inode(id) {
            Ok(inode) => of_inode(ext, &inode, &mut found),
            Err(e) => Followed::after(&e),
        },
    }
}

fn start(ext: &Ext, found: &mut Found<'_>) -> Followed {
    let sb = &ext.sb;
    let first = sb.copy_block(0).unwrap_or(0);
    found.add(Rank::Head, "superblock", None, first..first + 1);
    let mut followed = Followed::Whole;
    let mut failed = false;
    for i in 0..sb.descriptor_blocks() {
        let block = sb.descriptor_block(i, 0);
        if block * sb.block >= ext.known.len() {
            break;
        }
        found.add(Rank::Head, "group descriptors", None, block..block + 1);
        failed |= has_failed(ext, block);
        if ext.known.first_lost(block * sb.block..(block + 1) * sb.block).map_or(true, |lost| lost.is_some()) {
            followed = Followed::Open;
        }
    }
    // Copies of what cannot be read any more count as much as it did; one is enough.
    let mut wanted = failed || ext.spare;
    for number in 0..sb.groups_within(ext.known.len()) {
        if found.flow.is_break() {
            return Followed::Open;
        }
        for (i, (block, count)) in sb.head_blocks(number).into_iter().enumerate() {
            let what =
                if i == 0 && sb.has_copy(number) { "copy of the superblock" } else { "copy of the group descriptors" };
            // In the first group these are the ones that are used, and room for more behind them.
            if number > 0 && sb.descriptor_block_of(number) != Some(block) {
                let rank = if wanted { Rank::Head } else { Rank::Spare };
                found.add(rank, what, None, block..block + count);
            } else if number == 0 && i == 1 {
                found.add(
                    Rank::Spare,
                    "room for group descriptors",
                    None,
                    block + sb.descriptor_blocks().min(count)..block + count,
                );
            }
        }
        if number > 0 && sb.has_copy(number) {
            wanted = false;
        }
        found.lead(Lead::Group(number));
    }
    if sb.mmp > 0 && sb.mmp < sb.blocks {
        found.add(Rank::Spare, "protection against being mounted twice", None, sb.mmp..sb.mmp + 1);
    }
    followed
}

fn has_failed(ext: &Ext, block: u64) -> bool {
    let (from, to) = (block * ext.sb.block, (block + 1) * ext.sb.block);
    extents(&**ext.known.source(), from, to).any(|e| e.is_ok_and(|e| e.state == State::Bad))
}

fn group(ext: &Ext, number: u64, found: &mut Found<'_>) -> Followed {
    let group = match Groups::new(&ext.known, &ext.sb).get(number) {
        Ok(group) => group,
        Err(e) => return Followed::after(&e),
    };
    tables(ext, &group, found);
    let mut followed = Followed::Whole;
    let flow = ext.inodes_of(&group, &mut |inode| {
        match inode {
            Ok(inode) => {
                if of_inode(ext, &inode, found) == Followed::Open {
                    found.lead(Lead::Node(NodeId(inode.number)));
                }
            }
            Err(e) => followed = followed.and(Followed::after(&e)),
        }
        found.flow
    });
    if flow.is_break() { Followed::Open } else { followed }
}

/// The bitmaps of a group, and its inode table.
fn tables(ext: &Ext, group: &Group, found: &mut Found<'_>) {
    let sb = &ext.sb;
    if group.has_block_bitmap() {
        found.add(Rank::Map, "bitmap of blocks", None, group.block_bitmap..group.block_bitmap + 1);
    }
    if !group.has_inode_bitmap() {
        return;
    }
    found.add(Rank::Map, "bitmap of inodes", None, group.inode_bitmap..group.inode_bitmap + 1);
    let count = sb.inodes_per_group - group.unused_inodes;
    let start = group.table * sb.block;
    match group.read_inode_bitmap(&ext.known, sb) {
        // Blocks of the table that hold nothing in use are worth nothing.
        Ok(bitmap) => {
            let used = |i: u64| bitmap.get((i / 8) as usize).is_some_and(|byte| byte >> (i % 8) & 1 == 1);
            let per_block = (sb.block / sb.inode_size).max(1);
            let mut run: Option<Range<u64>> = None;
            for (block, first) in (group.table..).zip((0..count).step_by(per_block as usize)) {
                if !(first..(first + per_block).min(count)).any(used) {
                    continue;
                }
                match &mut run {
                    Some(run) if run.end == block => run.end += 1,
                    _ => {
                        if let Some(run) = run.replace(block..block + 1) {
                            found.add(Rank::Nodes, "inode table", None, run);
                        }
                    }
                }
            }
            if let Some(run) = run {
                found.add(Rank::Nodes, "inode table", None, run);
            }
        }
        Err(_) => found.bytes(Rank::Nodes, "inode table", None, start..start + count * sb.inode_size),
    }
}

/// Open if a part of its mapping is lost.
fn of_inode(ext: &Ext, inode: &Inode, found: &mut Found<'_>) -> Followed {
    let sb = &ext.sb;
    /// The room that descriptors may grow into; it is listed with them.
    const RESIZE: u64 = 7;
    let journal = inode.number == sb.journal && sb.journal != 0;
    if inode.number == RESIZE || !(inode.is_used() || journal) {
        return Followed::Whole;
    }
    let node = Some(NodeId(inode.number));
    if inode.attributes() > 0 && inode.attributes() < sb.blocks {
        found.add(Rank::Mapping, "extended attributes", node, inode.attributes()..inode.attributes() + 1);
    }
    let whole = match inode.kind() {
        Kind::Folder => Some((Rank::Folder, "folder")),
        Kind::Link => Some((Rank::Folder, "link")),
        _ if journal => Some((Rank::Journal, "journal")),
        _ if sb.own.contains(&inode.number) || ext.is_own(inode.number) => {
            Some((Rank::Mapping, "file of the file system's own"))
        }
        _ if inode.flags() & inode::EA_INODE != 0 => Some((Rank::Mapping, "extended attributes")),
        _ => None,
    };
    let mapped = mapping::map(&ext.known, sb, inode);
    let (rank, what) = whole.map_or((Rank::Mapping, "mapping of a file"), |(rank, _)| (rank, "mapping of a folder"));
    for block in mapped.blocks {
        found.add(rank, what, node, block..block + 1);
    }
    // What is in the inode itself is in the inode table.
    if let Some((rank, what)) = whole
        && inode.flags() & inode::INLINE == 0
    {
        for run in mapped.runs {
            found.bytes(rank, what, node, run.on_disk());
        }
    }
    if mapped.is_lost { Followed::Open } else { Followed::Whole }
}

/// Tells what was found, in bytes of the disk.
struct Found<'a> {
    block: u64,
    len: u64,
    give: &'a mut dyn FnMut(Trace) -> ControlFlow<()>,
    flow: ControlFlow<()>,
}

impl Found<'_> {
    fn add(&mut self, rank: Rank, what: &'static str, node: Option<NodeId>, blocks: Range<u64>) {
        self.bytes(rank, what, node, blocks.start * self.block..blocks.end * self.block);
    }

    fn bytes(&mut self, rank: Rank, what: &'static str, node: Option<NodeId>, range: Range<u64>) {
        let range = range.start.min(self.len)..range.end.min(self.len);
        if !range.is_empty() {
            self.give(Trace::Part(Part { range, rank, what, node }));
        }
    }

    fn lead(&mut self, lead: Lead) {
        self.give(Trace::Lead(lead));
    }

    fn give(&mut self, trace: Trace) {
        if self.flow.is_continue() {
            self.flow = (self.give)(trace);
        }
    }
}
