//! The group descriptors.

use super::checksum::{crc16, crc32c};
use super::superblock::{Superblock, ro_compat};
use crate::field::{le16, le32};
use crate::filesystems::Known;
use tintype_core::{Error, Result};

const INODES_UNINIT: u16 = 1;
const BLOCKS_UNINIT: u16 = 2;

/// What a descriptor says of its group, after its checksum was compared. All positions are blocks inside the file system.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub number: u64,
    pub block_bitmap: u64,
    pub inode_bitmap: u64,
    pub table: u64,
    /// Clusters.
    pub free_blocks: u64,
    /// Inodes at the end of the table that were never used.
    pub unused_inodes: u64,
    blocks_uninit: bool,
    inodes_uninit: bool,
    block_bitmap_checksum: u32,
    inode_bitmap_checksum: u32,
}

/// Reads descriptors, and remembers the block of the last one.
pub(super) struct Groups<'a> {
    known: &'a Known,
    sb: &'a Superblock,
    last: Option<(u64, Vec<u8>)>,
}

impl<'a> Groups<'a> {
    pub fn new(known: &'a Known, sb: &'a Superblock) -> Self {
        Groups { known, sb, last: None }
    }

    /// The descriptor of a group. Where the one that is used is lost, its copies serve, which say where things are but not what is
    /// initialised.
    pub fn get(&mut self, number: u64) -> Result<Group> {
        let sb = self.sb;
        let per_block = sb.descriptors_per_block();
        let (block, i) = (number / per_block, number % per_block);
        if self.last.as_ref().is_none_or(|(b, _)| *b != block) {
            self.last = Some((block, self.block(block)?));
        }
        let bytes = self.last.as_ref().map(|(_, bytes)| &bytes[..]).unwrap_or_default();
        let start = (i * sb.descriptor_size) as usize;
        let bytes = bytes.get(start..start + sb.descriptor_size as usize).unwrap_or_default();
        Group::parse(sb, number, bytes)
    }

    fn block(&self, i: u64) -> Result<Vec<u8>> {
        let sb = self.sb;
        let read = |copy| self.known.read(sb.descriptor_block(i, copy) * sb.block, sb.block as usize);
        let from = if sb.group < sb.groups() && sb.has_copy(sb.group) { sb.group } else { 0 };
        read(from).or_else(|e| {
            let copies = std::iter::once(0).chain(sb.copies()).filter(|g| *g != from);
            copies.map(read).find(Result::is_ok).unwrap_or(Err(e))
        })
    }
}

impl Group {
    fn parse(sb: &Superblock, number: u64, bytes: &[u8]) -> Result<Self> {
        let wrong = |what: &str| Err(Error::corrupt(format!("the descriptor of group {number} is damaged: {what}")));
        if sb.has_uninit() && checksum(sb, number, bytes) != le16(bytes, 0x1e) {
            return wrong("its checksum does not match");
        }
        let large = sb.descriptor_size >= 64;
        let wide = |low: usize, high: usize| {
            u64::from(le32(bytes, low)) | if large { u64::from(le32(bytes, high)) << 32 } else { 0 }
        };
        let wide16 = |low: usize, high: usize| {
            u32::from(le16(bytes, low)) | if large { u32::from(le16(bytes, high)) << 16 } else { 0 }
        };
        let flags = if sb.has_uninit() { le16(bytes, 0x12) } else { 0 };
        let group = Group {
            number,
            block_bitmap: wide(0, 0x20),
            inode_bitmap: wide(4, 0x24),
            table: wide(8, 0x28),
            free_blocks: u64::from(wide16(0xc, 0x2c)),
            unused_inodes: if sb.has_uninit() { u64::from(wide16(0x1c, 0x32)).min(sb.inodes_per_group) } else { 0 },
            blocks_uninit: flags & BLOCKS_UNINIT != 0,
            inodes_uninit: flags & INODES_UNINIT != 0,
            block_bitmap_checksum: wide16(0x18, 0x38),
            inode_bitmap_checksum: wide16(0x1a, 0x3a),
        };
        let inside = |block: u64, count: u64| {
            block >= sb.first_block && block.checked_add(count).is_some_and(|end| end <= sb.blocks)
        };
        if !inside(group.block_bitmap, 1) || !inside(group.inode_bitmap, 1) || !inside(group.table, sb.table_blocks()) {
            return wrong("it points out of the file system");
        }
        Ok(group)
    }

    /// True if the bitmap of blocks stands on the disk.
    pub fn has_block_bitmap(&self) -> bool {
        !self.blocks_uninit
    }

    /// True if the bitmap of inodes stands on the disk.
    pub fn has_inode_bitmap(&self) -> bool {
        !self.inodes_uninit
    }

    /// Its blocks that bitmaps and the inode table take: first, count.
    pub fn own_blocks(&self, sb: &Superblock) -> [(u64, u64); 3] {
        [(self.block_bitmap, 1), (self.inode_bitmap, 1), (self.table, sb.table_blocks())]
    }

    /// The bitmap of its blocks, or clusters, as it stands on the disk, after its checksum was compared.
    pub fn read_block_bitmap(&self, known: &Known, sb: &Superblock) -> Result<Vec<u8>> {
        let bytes = known.read(self.block_bitmap * sb.block, sb.block as usize)?;
        let covered = (sb.blocks_per_group / sb.cluster / 8) as usize;
        self.agrees(sb, &bytes[..covered.min(bytes.len())], self.block_bitmap_checksum, "blocks", self.block_bitmap)?;
        Ok(bytes)
    }

    /// The bitmap of its inodes, after its checksum was compared.
    pub fn read_inode_bitmap(&self, known: &Known, sb: &Superblock) -> Result<Vec<u8>> {
        if !self.has_inode_bitmap() {
            return Ok(vec![0; sb.block as usize]);
        }
        let bytes = known.read(self.inode_bitmap * sb.block, sb.block as usize)?;
        let covered = (sb.inodes_per_group / 8) as usize;
        self.agrees(sb, &bytes[..covered.min(bytes.len())], self.inode_bitmap_checksum, "inodes", self.inode_bitmap)?;
        Ok(bytes)
    }

    fn agrees(&self, sb: &Superblock, covered: &[u8], stored: u32, of: &str, block: u64) -> Result<()> {
        if !sb.has_checksums() {
            return Ok(());
        }
        let mask = if sb.descriptor_size >= 64 { u32::MAX } else { 0xffff };
        if crc32c(sb.seed, covered) & mask != stored & mask {
            return Err(Error::corrupt(format!(
                "the checksum of the bitmap of {of} of group {} does not match",
                self.number
            ))
            .at(block * sb.block));
        }
        Ok(())
    }
}

fn checksum(sb: &Superblock, number: u64, bytes: &[u8]) -> u16 {
    let number = (number as u32).to_le_bytes();
    let (head, tail) = (bytes.get(..0x1e).unwrap_or_default(), bytes.get(0x20..).unwrap_or_default());
    if sb.has_ro_compat(ro_compat::METADATA_CSUM) {
        let crc = crc32c(crc32c(sb.seed, &number), head);
        crc32c(crc32c(crc, &[0, 0]), tail) as u16
    } else {
        let crc = crc16(crc16(crc16(!0, &sb.uuid), &number), head);
        crc16(crc, tail)
    }
}
