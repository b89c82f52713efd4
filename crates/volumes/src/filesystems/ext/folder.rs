//! Folders: lists of names, block by block. The blocks of a hash tree look like blocks without names.

use super::checksum::crc32c;
use super::inode::Inode;
use super::superblock::{Superblock, incompat};
use crate::field::{le16, le32};
use crate::filesystems::{Entry, Kind, NodeId};
use tintype_core::{Error, Result};

const HEAD: usize = 8;

/// Where an entry begins, and how long it is with the room behind it.
struct Slot<'a> {
    inode: u64,
    name: &'a [u8],
    kind: Kind,
    taken: usize,
}

fn slot<'a>(sb: &Superblock, bytes: &'a [u8]) -> Option<Slot<'a>> {
    let typed = sb.has_incompat(incompat::FILETYPE);
    let name_len = usize::from(*bytes.get(6)?);
    let kind = match (typed, *bytes.get(7)?) {
        (true, 1) => Kind::File,
        (true, 2) => Kind::Folder,
        (true, 3..=6) => Kind::Special,
        (true, 7) => Kind::Link,
        _ => Kind::Unknown,
    };
    let name = bytes.get(HEAD..HEAD + name_len)?;
    Some(Slot { inode: u64::from(le32(bytes, 0)), name, kind, taken: (HEAD + name_len).next_multiple_of(4) })
}

/// Whether free room is searched for names that were deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Searched,
    /// It holds the inner nodes of a hash tree.
    Ignored,
}

/// The entries of a block of a folder, or of a part of an inode that holds some; deleted ones as well where their names still stand in the
/// room behind others. Fails with `Corrupt` where the list breaks off; what came before was given.
pub(super) fn parse(sb: &Superblock, bytes: &[u8], room: Room, give: &mut dyn FnMut(Entry)) -> Result<()> {
    let mut at = 0;
    while bytes.len() >= at + HEAD {
        let len = record_len(le16(bytes, at + 4), bytes.len());
        if len < HEAD || !len.is_multiple_of(4) || at + len > bytes.len() {
            return Err(Error::corrupt("the list of names of a folder breaks off"));
        }
        let record = &bytes[at..at + len];
        let entry = slot(sb, record).filter(|s| s.taken <= len);
        match &entry {
            Some(slot) if slot.inode != 0 => {
                if slot.inode > sb.inodes || slot.name.is_empty() || slot.name.contains(&0) || slot.name.contains(&b'/')
                {
                    return Err(Error::corrupt("a name in a folder makes no sense"));
                }
                if slot.name != b"." && slot.name != b".." {
                    give(Entry { name: slot.name.to_vec(), id: NodeId(slot.inode), kind: slot.kind, deleted: false });
                }
            }
            // A free slot, or a checksum that looks like one.
            Some(_) => {}
            None => return Err(Error::corrupt("a name in a folder is longer than its room")),
        }
        let used = entry.filter(|s| s.inode != 0).map_or(0, |s| s.taken);
        if room == Room::Searched {
            deleted(sb, &record[used..], give);
        }
        at += len;
    }
    Ok(())
}

/// Names that still stand in free room.
fn deleted(sb: &Superblock, mut room: &[u8], give: &mut dyn FnMut(Entry)) {
    while room.len() > HEAD {
        let len = usize::from(le16(room, 4));
        let plausible = slot(sb, room).filter(|s| {
            let printable = s.name.iter().all(|b| *b >= 0x20 && *b != 0x7f && *b != b'/');
            (1..=sb.inodes).contains(&s.inode)
                && !s.name.is_empty()
                && printable
                && (s.kind != Kind::Unknown || !sb.has_incompat(incompat::FILETYPE))
                && s.taken <= len
                && len <= room.len()
                && len.is_multiple_of(4)
        });
        match plausible {
            Some(s) => {
                if s.name != b"." && s.name != b".." {
                    give(Entry { name: s.name.to_vec(), id: NodeId(s.inode), kind: s.kind, deleted: true });
                }
                room = &room[s.taken..];
            }
            None => room = &room[4..],
        }
    }
}

/// Blocks of 64 KiB are longer than 16 bits can say.
fn record_len(stored: u16, block: usize) -> usize {
    match stored {
        0 | 0xffff if block >= 1 << 16 => block,
        stored if block >= 1 << 16 => usize::from(stored & 0xfffc) | usize::from(stored & 3) << 16,
        stored => usize::from(stored),
    }
}

/// Compares the checksum at the end of a block of names, where there is one. The blocks of hash trees have theirs elsewhere, and hold no
/// names.
pub(super) fn agrees(sb: &Superblock, inode: &Inode, block: &[u8]) -> bool {
    const TAIL: usize = 12;
    let Some((body, tail)) = block.len().checked_sub(TAIL).map(|at| block.split_at(at)) else { return true };
    let is_tail = le32(tail, 0) == 0 && le16(tail, 4) == TAIL as u16 && tail[6] == 0 && tail[7] == 0xde;
    !sb.has_checksums() || !is_tail || crc32c(inode.seed(sb), body) == le32(tail, 8)
}
