//! What is worth reading first.

use super::groups::{Group, Groups};
use super::inode::Inode;
use super::{Ext, inode, mapping};
use crate::filesystems::{Kind, NodeId, Part, Rank};
use std::ops::{ControlFlow, Range};
use tintype_core::{Source, State, extents};

/// Everything that is no file's content, as far as it is known.
pub(super) fn parts(ext: &Ext) -> Vec<Part> {
    let sb = &ext.sb;
    let mut parts = Parts { block: sb.block, len: ext.known.len(), all: Vec::new() };
    let first = sb.copy_block(0).unwrap_or(0);
    parts.add(Rank::Head, "superblock", None, first..first + 1);
    let mut failed = false;
    for i in 0..sb.descriptor_blocks() {
        let block = sb.descriptor_block(i, 0);
        if block * sb.block >= ext.known.len() {
            break;
        }
        parts.add(Rank::Head, "group descriptors", None, block..block + 1);
        failed |= has_failed(ext, block);
    }
    // Copies of what cannot be read any more count as much as it did; one is enough.
    let mut wanted = failed || ext.spare;
    let mut groups = Groups::new(&ext.known, sb);
    for number in 0..sb.groups_within(ext.known.len()) {
        for (i, (block, count)) in sb.head_blocks(number).into_iter().enumerate() {
            let what =
                if i == 0 && sb.has_copy(number) { "copy of the superblock" } else { "copy of the group descriptors" };
            // In the first group these are the ones that are used, and room for more behind them.
            if number > 0 && sb.descriptor_block_of(number) != Some(block) {
                let rank = if wanted { Rank::Head } else { Rank::Spare };
                parts.add(rank, what, None, block..block + count);
            } else if number == 0 && i == 1 {
                parts.add(
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
        if let Ok(group) = groups.get(number) {
            of_group(ext, &group, &mut parts);
        }
    }
    ext.inodes(&mut |inode| {
        if let Ok(inode) = inode {
            of_inode(ext, &inode, &mut parts);
        }
        ControlFlow::Continue(())
    });
    if sb.mmp > 0 && sb.mmp < sb.blocks {
        parts.add(Rank::Spare, "protection against being mounted twice", None, sb.mmp..sb.mmp + 1);
    }
    parts.done()
}

fn has_failed(ext: &Ext, block: u64) -> bool {
    let (from, to) = (block * ext.sb.block, (block + 1) * ext.sb.block);
    extents(&**ext.known.source(), from, to).any(|e| e.is_ok_and(|e| e.state == State::Bad))
}

fn of_group(ext: &Ext, group: &Group, parts: &mut Parts) {
    let sb = &ext.sb;
    if group.has_block_bitmap() {
        parts.add(Rank::Map, "bitmap of blocks", None, group.block_bitmap..group.block_bitmap + 1);
    }
    if !group.has_inode_bitmap() {
        return;
    }
    parts.add(Rank::Map, "bitmap of inodes", None, group.inode_bitmap..group.inode_bitmap + 1);
    let count = sb.inodes_per_group - group.unused_inodes;
    let start = group.table * sb.block;
    match group.read_inode_bitmap(&ext.known, sb) {
        // Blocks of the table that hold nothing in use are worth nothing.
        Ok(bitmap) => {
            let used = |i: u64| bitmap.get((i / 8) as usize).is_some_and(|byte| byte >> (i % 8) & 1 == 1);
            let per_block = (sb.block / sb.inode_size).max(1);
            for (block, first) in (group.table..).zip((0..count).step_by(per_block as usize)) {
                if (first..(first + per_block).min(count)).any(used) {
                    parts.add(Rank::Nodes, "inode table", None, block..block + 1);
                }
            }
        }
        Err(_) => parts.bytes(Rank::Nodes, "inode table", None, start..start + count * sb.inode_size),
    }
}

fn of_inode(ext: &Ext, inode: &Inode, parts: &mut Parts) {
    let sb = &ext.sb;
    /// The room that descriptors may grow into; it is listed with them.
    const RESIZE: u64 = 7;
    let journal = inode.number == sb.journal && sb.journal != 0;
    if inode.number == RESIZE || !(inode.is_used() || journal) {
        return;
    }
    let node = Some(NodeId(inode.number));
    if inode.attributes() > 0 && inode.attributes() < sb.blocks {
        parts.add(Rank::Mapping, "extended attributes", node, inode.attributes()..inode.attributes() + 1);
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
        parts.add(rank, what, node, block..block + 1);
    }
    // What is in the inode itself is in the inode table.
    if let Some((rank, what)) = whole
        && inode.flags() & inode::INLINE == 0
    {
        for run in mapped.runs {
            parts.bytes(rank, what, node, run.on_disk());
        }
    }
}

struct Parts {
    block: u64,
    len: u64,
    all: Vec<Part>,
}

impl Parts {
    fn add(&mut self, rank: Rank, what: &'static str, node: Option<NodeId>, blocks: Range<u64>) {
        self.bytes(rank, what, node, blocks.start * self.block..blocks.end * self.block);
    }

    fn bytes(&mut self, rank: Rank, what: &'static str, node: Option<NodeId>, range: Range<u64>) {
        let range = range.start.min(self.len)..range.end.min(self.len);
        if !range.is_empty() {
            self.all.push(Part { range, rank, what, node });
        }
    }

    /// In the order of value, neighbours of one kind joined.
    fn done(mut self) -> Vec<Part> {
        self.all.sort_by_key(|part| (part.rank, part.range.start));
        let mut joined: Vec<Part> = Vec::new();
        for part in self.all {
            match joined.last_mut() {
                Some(last)
                    if last.range.end == part.range.start
                        && (last.rank, last.what, last.node) == (part.rank, part.what, part.node) =>
                {
                    last.range.end = part.range.end;
                }
                _ => joined.push(part),
            }
        }
        joined
    }
}
