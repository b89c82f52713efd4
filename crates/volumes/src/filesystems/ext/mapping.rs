//! Where the blocks of an inode are: extent trees, and the maps of blocks of ext2 and ext3.

use super::checksum::crc32c;
use super::inode::{self, Inode, POINTERS};
use super::superblock::Superblock;
use crate::field::{le16, le32};
use crate::filesystems::{Followed, Kind, Known, Place, Run};
use std::collections::HashSet;
use tintype_core::{Error, Result, Source};

/// Most runs that are kept of one file.
const MOST_RUNS: usize = 1 << 21;

/// An extent tree is never deeper (Linux, fs/ext4).
const DEEPEST: u16 = 5;

/// What the mapping of an inode came to.
#[derive(Default)]
pub(super) struct Mapped {
    /// Runs of content, ascending.
    pub runs: Vec<Run>,
    /// Blocks that hold the mapping itself.
    pub blocks: Vec<u64>,
    /// The first thing that is lost or wrong, if anything is.
    pub trouble: Option<Error>,
    /// True if some of it may come in yet.
    pub is_lost: bool,
}

/// Goes through the mapping of `inode`; what is lost or damaged of it is left out, and told.
pub(super) fn map(known: &Known, sb: &Superblock, inode: &Inode) -> Mapped {
    let mut walk = Walk {
        known,
        sb,
        seed: inode.seed(sb),
        number: inode.number,
        seen: HashSet::new(),
        total: 0,
        mapped: Mapped::default(),
    };
    if !matches!(inode.kind(), Kind::File | Kind::Folder | Kind::Link) || inode.is_fast_link() {
        return walk.mapped;
    }
    let done = if inode.flags() & inode::INLINE != 0 {
        walk.inline(inode)
    } else if inode.flags() & inode::EXTENTS != 0 {
        walk.extents(inode.pointers(), None, 0, 1 << 32)
    } else {
        walk.pointers(inode.pointers())
    };
    if let Err(e) = done {
        walk.mapped.trouble.get_or_insert(e);
    }
    walk.mapped
}

struct Walk<'a> {
    known: &'a Known,
    sb: &'a Superblock,
    seed: u32,
    number: u64,
    seen: HashSet<u64>,
    // Bytes of all runs.
    total: u64,
    mapped: Mapped,
}

impl Walk<'_> {
    fn wrong(&self, what: &str) -> Error {
        Error::corrupt(format!("the mapping of inode {} is damaged: {what}", self.number))
    }

    fn inline(&mut self, inode: &Inode) -> Result<()> {
        let mut at = 0;
        for piece in inode.inline() {
            let len = (piece.len() as u64).min(inode.len().saturating_sub(at));
            if len > 0 {
                self.mapped.runs.push(Run { at, len, place: Place::Stored(inode.offset + piece.start as u64) });
            }
            at += piece.len() as u64;
        }
        // Zeros at its end need not be there.
        if inode.len() > self.sb.inode_size {
            Err(self.wrong("it is kept in the inode, and longer than that"))
        } else {
            Ok(())
        }
    }

    /// Adds a run of blocks.
    fn run(&mut self, logical: u64, count: u64, physical: u64, reserved: bool) -> Result<()> {
        let sb = self.sb;
        if physical < sb.first_block || physical.checked_add(count).is_none_or(|end| end > sb.blocks) {
            return Err(self.wrong("it points out of the file system"));
        }
        self.total = self.total.saturating_add(count * sb.block);
        if self.total > self.known.len().max(sb.block) {
            return Err(self.wrong("its runs are longer than the disk"));
        }
        let offset = physical * sb.block;
        let place = if reserved { Place::Reserved(offset) } else { Place::Stored(offset) };
        let run = Run { at: logical * sb.block, len: count * sb.block, place };
        if let Some(last) = self.mapped.runs.last_mut() {
            let follows = match (last.place, place) {
                (Place::Stored(a), Place::Stored(b)) | (Place::Reserved(a), Place::Reserved(b)) => {
                    a.checked_add(last.len) == Some(b)
                }
                _ => false,
            };
            if follows && last.end() == run.at {
                last.len += run.len;
                return Ok(());
            }
            if run.at < last.end() {
                return Err(self.wrong("its runs overlap"));
            }
        }
        if self.mapped.runs.len() >= MOST_RUNS {
            return Err(Error::limit(format!("inode {} is in more than {MOST_RUNS} pieces", self.number)));
        }
        self.mapped.runs.push(run);
        Ok(())
    }

    /// A block of the mapping itself, which may be met once.
    fn own(&mut self, block: u64) -> Result<Vec<u8>> {
        if block < self.sb.first_block || block >= self.sb.blocks {
            return Err(self.wrong("it points out of the file system"));
        }
        if !self.seen.insert(block) {
            return Err(self.wrong("it leads back to where it was"));
        }
        self.mapped.blocks.push(block);
        let read = self.known.read(block * self.sb.block, self.sb.block as usize);
        self.mapped.is_lost |= read.as_ref().is_err_and(|e| Followed::after(e) == Followed::Open);
        read
    }

    /// A node of an extent tree, for logical blocks from `from` to `to`.
    fn extents(&mut self, node: &[u8], depth: Option<u16>, from: u64, to: u64) -> Result<()> {
        let (magic, count, room, own_depth) = (le16(node, 0), le16(node, 2), le16(node, 4), le16(node, 6));
        let fits = usize::from(room) * 12 + 12 <= node.len();
        if magic != 0xf30a || count > room || !fits || depth.is_some_and(|d| d != own_depth) || own_depth > DEEPEST {
            return Err(self.wrong("a node of its tree makes no sense"));
        }
        if depth.is_some() && self.sb.has_checksums() {
            let end = 12 + usize::from(room) * 12;
            if node.len() < end + 4 || crc32c(self.seed, &node[..end]) != le32(node, end) {
                return Err(self.wrong("the checksum of a node of its tree does not match"));
            }
        }
        let entries: Vec<&[u8]> = node[12..].chunks_exact(12).take(usize::from(count)).collect();
        let mut at = from;
        for (i, entry) in entries.iter().enumerate() {
            let logical = u64::from(le32(entry, 0));
            if logical < at || logical >= to {
                return Err(self.wrong("its extents are not in order"));
            }
            if own_depth == 0 {
                let (len, reserved) = match u64::from(le16(entry, 4)) {
                    len @ 0..=0x8000 => (len, false),
                    len => (len - 0x8000, true),
                };
                let physical = u64::from(le32(entry, 8)) | u64::from(le16(entry, 6)) << 32;
                if len == 0 || logical + len > to {
                    return Err(self.wrong("an extent has an impossible length"));
                }
                self.run(logical, len, physical, reserved)?;
                at = logical + len;
            } else {
                let block = u64::from(le32(entry, 4)) | u64::from(le16(entry, 8)) << 32;
                let end = entries.get(i + 1).map_or(to, |next| u64::from(le32(next, 0))).min(to);
                // What is lost under one entry says nothing of the others.
                let below = self.own(block).and_then(|bytes| self.extents(&bytes, Some(own_depth - 1), logical, end));
                if let Err(e) = below {
                    self.mapped.trouble.get_or_insert(e);
                }
                at = logical + 1;
            }
        }
        Ok(())
    }

    fn pointers(&mut self, pointers: &[u8]) -> Result<()> {
        const DIRECT: usize = (POINTERS.end - POINTERS.start) / 4 - 3;
        for i in 0..DIRECT {
            let block = u64::from(le32(pointers, i * 4));
            if block != 0 {
                self.run(i as u64, 1, block, false)?;
            }
        }
        let per_block = self.sb.block / 4;
        let mut logical = DIRECT as u64;
        for level in 1..=3u32 {
            let block = u64::from(le32(pointers, (DIRECT + level as usize - 1) * 4));
            let covered = per_block.pow(level);
            if block != 0 {
                self.indirect(block, level, logical)?;
            }
            logical += covered;
        }
        Ok(())
    }

    fn indirect(&mut self, block: u64, level: u32, logical: u64) -> Result<()> {
        let bytes = match self.own(block) {
            Ok(bytes) => bytes,
            Err(e) => {
                self.mapped.trouble.get_or_insert(e);
                return Ok(());
            }
        };
        let covered = (self.sb.block / 4).pow(level - 1);
        for (i, pointer) in (0u64..).zip(bytes.as_chunks::<4>().0) {
            let block = u64::from(u32::from_le_bytes(*pointer));
            if block == 0 {
                continue;
            }
            let logical = logical + i * covered;
            if level == 1 {
                self.run(logical, 1, block, false)?;
            } else {
                self.indirect(block, level - 1, logical)?;
            }
        }
        Ok(())
    }
}
