//! Inodes.

use super::checksum::crc32c;
use super::superblock::Superblock;
use crate::field::{le16, le32};
use crate::filesystems::{Kind, Node, NodeId, Time};
use std::ops::Range;
use tintype_core::{Error, Result};

pub(super) const ENCRYPTED: u32 = 0x800;
pub(super) const COMPRESSED: u32 = 0x4;
pub(super) const INDEX: u32 = 0x1000;
pub(super) const EXTENTS: u32 = 0x8_0000;
pub(super) const EA_INODE: u32 = 0x20_0000;
pub(super) const INLINE: u32 = 0x1000_0000;

/// Where the pointers are, or the content of very small files.
pub(super) const POINTERS: Range<usize> = 0x28..0x64;

const FORMAT: u16 = 0xf000;

/// An inode.
#[derive(Clone)]
pub(super) struct Inode {
    pub number: u64,
    /// First byte on the disk.
    pub offset: u64,
    bytes: Vec<u8>,
}

impl Inode {
    /// The inode in `bytes`, after its checksum was compared.
    pub fn parse(sb: &Superblock, number: u64, offset: u64, bytes: &[u8]) -> Result<Self> {
        let inode = Inode { number, offset, bytes: bytes.to_vec() };
        // An inode of zeros was never used; its checksum is not kept.
        if sb.has_checksums() && bytes.iter().any(|b| *b != 0) && !inode.agrees(sb) {
            return Err(Error::corrupt(format!("inode {number} is damaged: its checksum does not match")).at(offset));
        }
        Ok(inode)
    }

    fn agrees(&self, sb: &Superblock) -> bool {
        let mut covered = self.bytes.clone();
        covered[0x7c..0x7e].fill(0);
        let mut stored = u32::from(le16(&self.bytes, 0x7c));
        let mut mask = 0xffff;
        if self.extra() >= 4 {
            covered[0x82..0x84].fill(0);
            stored |= u32::from(le16(&self.bytes, 0x82)) << 16;
            mask = u32::MAX;
        }
        crc32c(self.seed(sb), &covered) & mask == stored
    }

    /// Where the checksums of what belongs to it begin.
    pub fn seed(&self, sb: &Superblock) -> u32 {
        let seed = crc32c(sb.seed, &(self.number as u32).to_le_bytes());
        crc32c(seed, &self.bytes[0x64..0x68])
    }

    /// Bytes of its second half that are fields.
    fn extra(&self) -> usize {
        match self.bytes.len() {
            0..=128 => 0,
            len => usize::from(le16(&self.bytes, 0x80)).min(len - 128),
        }
    }

    pub fn mode(&self) -> u16 {
        le16(&self.bytes, 0)
    }

    pub fn kind(&self) -> Kind {
        match self.mode() & FORMAT {
            0x8000 => Kind::File,
            0x4000 => Kind::Folder,
            0xa000 => Kind::Link,
            0x1000 | 0x2000 | 0x6000 | 0xc000 => Kind::Special,
            _ => Kind::Unknown,
        }
    }

    /// True if some name, or the file system itself, holds it.
    pub fn is_used(&self) -> bool {
        self.mode() & FORMAT != 0 && le16(&self.bytes, 0x1a) > 0
    }

    pub fn flags(&self) -> u32 {
        le32(&self.bytes, 0x20)
    }

    pub fn len(&self) -> u64 {
        // Folders of old file systems keep something else in the upper half; large folders are longer than it says nowhere.
        u64::from(le32(&self.bytes, 4)) | u64::from(le32(&self.bytes, 0x6c)) << 32
    }

    pub fn pointers(&self) -> &[u8] {
        &self.bytes[POINTERS]
    }

    /// The block of its extended attributes; 0 for none.
    pub fn attributes(&self) -> u64 {
        u64::from(le32(&self.bytes, 0x68)) | u64::from(le16(&self.bytes, 0x76)) << 32
    }

    /// True if a link has its target in place of pointers.
    pub fn is_fast_link(&self) -> bool {
        self.kind() == Kind::Link && self.flags() & (EXTENTS | INLINE) == 0 && self.len() < POINTERS.len() as u64
    }

    /// Its content where that is kept in the inode itself: pieces of the inode, in order.
    pub fn inline(&self) -> Vec<Range<usize>> {
        let mut pieces = vec![POINTERS];
        pieces.extend(self.inline_rest());
        pieces
    }

    /// The value of the attribute `system.data`, which holds what does not fit in place of the pointers.
    fn inline_rest(&self) -> Option<Range<usize>> {
        const SYSTEM: u8 = 7;
        let head = 128 + self.extra();
        if self.bytes.len() < head + 4 || le32(&self.bytes, head) != 0xea02_0000 {
            return None;
        }
        let first = head + 4;
        let mut at = first;
        while self.bytes.len() >= at + 16 && le32(&self.bytes, at) != 0 {
            let name_len = usize::from(self.bytes[at]);
            let name = self.bytes.get(at + 16..at + 16 + name_len)?;
            if self.bytes[at + 1] == SYSTEM && name == b"data" {
                let start = first + usize::from(le16(&self.bytes, at + 2));
                let len = le32(&self.bytes, at + 8) as usize;
                return (len > 0 && start + len.min(self.bytes.len()) <= self.bytes.len()).then(|| start..start + len);
            }
            at += (16 + name_len).next_multiple_of(4);
        }
        None
    }

    /// A piece of it.
    pub fn piece(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    fn time(&self, seconds: usize, extra: usize) -> Option<Time> {
        let mut time = Time { seconds: i64::from(le32(&self.bytes, seconds) as i32), nanos: 0 };
        if self.extra() + 128 >= extra + 4 {
            let extra = le32(&self.bytes, extra);
            time.seconds += i64::from(extra & 3) << 32;
            time.nanos = (extra >> 2).min(999_999_999);
        }
        (time != Time { seconds: 0, nanos: 0 }).then_some(time)
    }

    pub fn node(&self) -> Node {
        let half =
            |low: usize, high: usize| u32::from(le16(&self.bytes, low)) | u32::from(le16(&self.bytes, high)) << 16;
        let closed = match self.flags() {
            flags if flags & ENCRYPTED != 0 => Some("encrypted"),
            flags if flags & COMPRESSED != 0 => Some("compressed"),
            _ => None,
        };
        Node {
            id: NodeId(self.number),
            kind: self.kind(),
            len: if self.kind() == Kind::Special { 0 } else { self.len() },
            mode: Some(self.mode() & 0xfff),
            owner: Some((half(2, 0x78), half(0x18, 0x7a))),
            links: u32::from(le16(&self.bytes, 0x1a)),
            modified: self.time(0x10, 0x88),
            accessed: self.time(8, 0x8c),
            changed: self.time(0xc, 0x84),
            created: if self.extra() >= 0x18 { self.time(0x90, 0x94) } else { None },
            closed,
        }
    }
}
