//! ext2, ext3 and ext4, on any mixture of features that Linux and e2fsprogs 1.47 make.
//!
//! ```text
//!  superblock | group descriptors | per group: [copies] bitmap of blocks, bitmap of inodes, inode table, blocks
//!                                   (flex_bg puts the tables of several groups together, meta_bg spreads the descriptors)
//! ```
//!
//! Sources: Linux, Documentation/filesystems/ext4 and fs/ext4; the file formats manual of e2fsprogs.

mod checksum;
mod folder;
mod groups;
mod inode;
mod mapping;
mod metadata;
mod superblock;
mod used;

use super::{About, Entry, FileSystem, Followed, Known, Lead, Node, NodeId, Place, Row, Run, Trace, Visit};
use crate::field::le16;
use folder::Room;
use groups::Groups;
use inode::Inode;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use superblock::{Superblock, incompat};
use tintype_core::{Error, Kind, RangeMap, Result, Source};
use uuid::Uuid;

pub(super) const ROW: Row = Row { names: &["ext2", "ext3", "ext4"], heads, spares, open };

const ROOT: u64 = 2;

/// Longest target of a link; Linux takes a page.
const LONGEST_LINK: u64 = 64 << 10;

fn heads(_len: u64) -> Vec<Range<u64>> {
    std::iter::once(0..4096).collect()
}

/// Copies in groups 1 and 3, for blocks of 1, 2 and 4 KiB in groups as large as they can be.
fn spares(len: u64) -> Vec<Range<u64>> {
    let places = [8193 << 10, 16384 << 11, 32768 << 12, 24577 << 10, 49152 << 11, 98304 << 12];
    places.into_iter().map(|at: u64| at..at + superblock::LEN as u64).filter(|r| r.end <= len).collect()
}

/// An opened file system.
pub(super) struct Ext {
    known: Known,
    sb: Superblock,
    about: About,
    // True if the first superblock is lost and another is used.
    spare: bool,
}

fn open(source: &Arc<dyn Source>) -> super::Opened {
    let known = Known::new(source);
    if known.len() < superblock::AT + superblock::LEN as u64 {
        return Ok(None);
    }
    let first = known
        .read(superblock::AT, superblock::LEN)
        .and_then(|bytes| Ok(Superblock::parse(&bytes)?.map(|sb| (sb, bytes))));
    let (sb, bytes, spare) = match first {
        Ok(None) => return Ok(None),
        Ok(Some((sb, bytes))) => (sb, bytes, false),
        Err(e) if matches!(e.kind(), Kind::Unreadable { .. } | Kind::Corrupt | Kind::Io) => match from_spare(&known) {
            Some((sb, bytes)) => (sb, bytes, true),
            None if e.kind() == Kind::Corrupt => return Err(e),
            None => return Ok(None),
        },
        Err(e) => return Err(e),
    };
    let mut warnings = Vec::new();
    let mut warn = |on: bool, what: &str| warnings.extend(on.then(|| what.to_owned()));
    warn(spare, "the first superblock is lost; a copy was used");
    warn(sb.has_incompat(incompat::RECOVER), "it was not closed: its journal holds changes that are not made yet");
    warn(sb.state & 1 == 0, "it was not closed");
    warn(sb.state & 2 != 0, "it is marked as having errors");
    warn(sb.len() > known.len(), "it is longer than what it lies on");
    let about = About {
        name: crate::recognise::ext(&bytes).unwrap_or("ext4"),
        label: sb.label.clone(),
        id: Uuid::from_bytes(sb.uuid).hyphenated().to_string(),
        block: sb.block * sb.cluster,
        len: sb.len(),
        warnings,
    };
    Ok(Some(Box::new(Ext { known, sb, about, spare })))
}

fn from_spare(known: &Known) -> Option<(Superblock, Vec<u8>)> {
    spares(known.len()).into_iter().find_map(|range| {
        let bytes = known.read(range.start, superblock::LEN).ok()?;
        let sb = Superblock::parse(&bytes).ok()??;
        (sb.group_start(sb.group).checked_mul(sb.block) == Some(range.start)).then_some((sb, bytes))
    })
}

impl Ext {
    /// Where an inode is.
    fn place(&self, number: u64) -> Result<u64> {
        if number == 0 || number > self.sb.inodes {
            return Err(Error::corrupt(format!("there is no inode {number}")));
        }
        let (group, i) = ((number - 1) / self.sb.inodes_per_group, (number - 1) % self.sb.inodes_per_group);
        let group = Groups::new(&self.known, &self.sb).get(group)?;
        Ok(group.table * self.sb.block + i * self.sb.inode_size)
    }

    fn inode(&self, id: NodeId) -> Result<Inode> {
        let offset = self.place(id.0)?;
        let bytes = self.known.read(offset, self.sb.inode_size as usize)?;
        Inode::parse(&self.sb, id.0, offset, &bytes)
    }

    /// Visits every inode that is in use by the bitmaps, or may be where those are lost; pieces of tables that are lost as errors.
    fn inodes(&self, visit: &mut dyn FnMut(Result<Inode>) -> ControlFlow<()>) {
        let mut groups = Groups::new(&self.known, &self.sb);
        for number in 0..self.sb.groups_within(self.known.len()) {
            let flow = match groups.get(number) {
                Ok(group) => self.inodes_of(&group, visit),
                Err(e) => visit(Err(e)),
            };
            if flow.is_break() {
                return;
            }
        }
    }

    fn inodes_of(
        &self,
        group: &groups::Group,
        visit: &mut dyn FnMut(Result<Inode>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        const PIECE: u64 = 64 << 10;
        let sb = &self.sb;
        if !group.has_inode_bitmap() {
            return ControlFlow::Continue(());
        }
        let bitmap = match group.read_inode_bitmap(&self.known, sb) {
            Ok(bitmap) => Some(bitmap),
            Err(e) => {
                visit(Err(e))?;
                None
            }
        };
        let is_used = |i: u64| {
            bitmap.as_ref().is_none_or(|b| b.get((i / 8) as usize).is_some_and(|byte| byte >> (i % 8) & 1 == 1))
        };
        let start = group.table * sb.block;
        let end = start + (sb.inodes_per_group - group.unused_inodes) * sb.inode_size;
        let mut at = start;
        while at < end {
            let (to, lost) = self.stretch(at..(at + PIECE).min(end), start..end);
            let first = (at - start) / sb.inode_size;
            if (first..(to - start).div_ceil(sb.inode_size)).any(is_used) {
                match lost.map_or_else(|| self.known.read(at, (to - at) as usize), Err) {
                    Ok(bytes) => {
                        for (i, raw) in
                            (first..).zip(bytes.chunks_exact(sb.inode_size as usize)).filter(|(i, _)| is_used(*i))
                        {
                            let number = group.number * sb.inodes_per_group + i + 1;
                            visit(Inode::parse(sb, number, start + i * sb.inode_size, raw))?;
                        }
                    }
                    Err(e) => visit(Err(e))?,
                }
            }
            at = to;
        }
        ControlFlow::Continue(())
    }

    /// Where a piece of an inode table ends that is there as a whole, or is lost and why, from the start of `piece` on: what is around a lost
    /// sector may be there.
    fn stretch(&self, piece: Range<u64>, table: Range<u64>) -> (u64, Option<Error>) {
        let step = self.sb.inode_size.max(512);
        let lost = match self.known.first_lost(piece.clone()) {
            Ok(None) => return (piece.end, None),
            Ok(Some(lost)) => lost,
            Err(e) => return (piece.end, Some(e)),
        };
        let before = piece.start + (lost - piece.start) / step * step;
        if before > piece.start {
            return (before, None);
        }
        let until = self.known.lost_until(lost..table.end).unwrap_or(piece.end);
        let until = piece.start + (until - piece.start).next_multiple_of(step);
        (until.min(table.end), self.known.check(lost..lost + 1).err())
    }

    /// True for inodes that hold what is no file of anybody's.
    fn is_own(&self, number: u64) -> bool {
        number != ROOT && (number < self.sb.first_inode || number == self.sb.journal || self.sb.own.contains(&number))
    }

    /// Gives the names in `bytes`, which stand at `offset`.
    fn give(
        &self,
        inode: &Inode,
        bytes: &[u8],
        room: Room,
        offset: u64,
        visit: &mut Visit<'_, Entry>,
    ) -> ControlFlow<()> {
        // What was deleted from an encrypted folder looks like anything.
        let room = if inode.flags() & inode::ENCRYPTED != 0 { Room::Ignored } else { room };
        let mut flow = ControlFlow::Continue(());
        let parsed = folder::parse(&self.sb, bytes, room, &mut |mut entry| {
            if flow.is_continue() {
                if entry.kind == super::Kind::Unknown && !entry.deleted {
                    // Old folders do not tell.
                    entry.kind = self.inode(entry.id).map_or(entry.kind, |inode| inode.kind());
                }
                flow = visit(Ok(entry));
            }
        });
        flow?;
        match parsed {
            Err(e) => visit(Err(e.at(offset))),
            Ok(()) => ControlFlow::Continue(()),
        }
    }

    fn folder(&self, id: NodeId) -> Result<Inode> {
        let inode = self.inode(id)?;
        if inode.kind() != super::Kind::Folder {
            return Err(Error::usage(format!("inode {} is no folder", id.0)));
        }
        Ok(inode)
    }
}

impl FileSystem for Ext {
    fn about(&self) -> &About {
        &self.about
    }

    fn known(&self) -> &Known {
        &self.known
    }

    fn follow(&self, lead: Lead, give: &mut dyn FnMut(Trace) -> ControlFlow<()>) -> Followed {
        metadata::follow(self, lead, give)
    }

    fn used(&self) -> Result<RangeMap<()>> {
        used::used(self)
    }

    fn likely_used(&self) -> RangeMap<()> {
        used::likely(self)
    }

    fn root(&self) -> NodeId {
        NodeId(ROOT)
    }

    fn node(&self, id: NodeId) -> Result<Node> {
        Ok(self.inode(id)?.node())
    }

    fn entries(&self, folder: NodeId, visit: &mut Visit<'_, Entry>) -> Result<()> {
        let sb = &self.sb;
        let inode = self.folder(folder)?;
        let mut flow = ControlFlow::Continue(());
        if inode.flags() & inode::INLINE != 0 {
            for (i, piece) in inode.inline().into_iter().enumerate() {
                // Before the names stands the number of the folder that it is in.
                let piece = if i == 0 { piece.start + 4..piece.end } else { piece };
                if self
                    .give(&inode, inode.piece(piece.clone()), Room::Searched, inode.offset + piece.start as u64, visit)
                    .is_break()
                {
                    return Ok(());
                }
            }
            return Ok(());
        }
        let mapped = mapping::map(&self.known, sb, &inode);
        let indexed = inode.flags() & inode::INDEX != 0;
        let stored = mapped.runs.iter().filter_map(|run| match run.place {
            Place::Stored(offset) => Some((run.at, offset, run.len)),
            Place::Reserved(_) => None,
        });
        'runs: for (at, offset, len) in stored {
            for i in (0..len).step_by(sb.block as usize) {
                let here = offset + i;
                flow = match self.known.read(here, sb.block as usize) {
                    // Nodes of the tree hold no names, and have their checksums elsewhere.
                    Ok(block) if indexed && (at + i == 0 || usize::from(le16(&block, 4)) + 4 >= block.len()) => {
                        self.give(&inode, &block, Room::Ignored, here, visit)
                    }
                    Ok(block) if !folder::agrees(sb, &inode, &block) => {
                        let why = format!("the checksum of a block of folder {} does not match", folder.0);
                        visit(Err(Error::corrupt(why).at(here)))
                    }
                    Ok(block) => self.give(&inode, &block, Room::Searched, here, visit),
                    Err(e) => visit(Err(e)),
                };
                if flow.is_break() {
                    break 'runs;
                }
            }
        }
        match mapped.trouble {
            Some(e) if flow.is_continue() => Err(e),
            _ => Ok(()),
        }
    }

    fn nodes(&self, visit: &mut Visit<'_, Node>) -> Result<()> {
        self.inodes(&mut |inode| match inode {
            Ok(inode) if inode.is_used() && !self.is_own(inode.number) && inode.flags() & inode::EA_INODE == 0 => {
                visit(Ok(inode.node()))
            }
            Ok(_) => ControlFlow::Continue(()),
            Err(e) => visit(Err(e)),
        });
        Ok(())
    }

    fn extents(&self, id: NodeId) -> Result<Vec<Run>> {
        let mapped = mapping::map(&self.known, &self.sb, &self.inode(id)?);
        match mapped.trouble {
            Some(e) => Err(e),
            None => Ok(mapped.runs),
        }
    }

    fn link(&self, id: NodeId) -> Result<Vec<u8>> {
        let inode = self.inode(id)?;
        if inode.kind() != super::Kind::Link {
            return Err(Error::usage(format!("inode {} is no link", id.0)));
        }
        if inode.flags() & inode::ENCRYPTED != 0 {
            return Err(Error::unsupported("the link is encrypted, which is not supported"));
        }
        if inode.is_fast_link() {
            return Ok(inode.pointers()[..inode.len() as usize].to_vec());
        }
        if inode.len() > LONGEST_LINK {
            return Err(Error::corrupt(format!("inode {} is a link of {} bytes", id.0, inode.len())));
        }
        let mut target = Vec::new();
        for run in self.extents(id)? {
            let len = run.len.min(inode.len().saturating_sub(run.at));
            if let Place::Stored(offset) = run.place {
                target.extend(self.known.read(offset, len as usize)?);
            }
        }
        Ok(target)
    }
}
