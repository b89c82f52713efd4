//! The superblock.

use super::checksum::crc32c;
use crate::field::{bytes16, le16, le32, le64};
use tintype_core::{Error, Result};

/// Bytes of it.
pub(super) const LEN: usize = 1024;

/// Where the first one is.
pub(super) const AT: u64 = 1024;

pub(super) mod compat {
    pub const HAS_JOURNAL: u32 = 0x4;
    pub const SPARSE_SUPER2: u32 = 0x200;
}

pub(super) mod incompat {
    pub const FILETYPE: u32 = 0x2;
    pub const RECOVER: u32 = 0x4;
    pub const JOURNAL_DEV: u32 = 0x8;
    pub const META_BG: u32 = 0x10;
    pub const EXTENTS: u32 = 0x40;
    pub const BITS_64: u32 = 0x80;
    pub const MMP: u32 = 0x100;
    pub const FLEX_BG: u32 = 0x200;
    pub const EA_INODE: u32 = 0x400;
    pub const CSUM_SEED: u32 = 0x2000;
    pub const LARGEDIR: u32 = 0x4000;
    pub const INLINE_DATA: u32 = 0x8000;
    pub const ENCRYPT: u32 = 0x1_0000;
    pub const CASEFOLD: u32 = 0x2_0000;
    /// What this reader understands.
    pub const KNOWN: u32 = FILETYPE
        | RECOVER
        | META_BG
        | EXTENTS
        | BITS_64
        | MMP
        | FLEX_BG
        | EA_INODE
        | CSUM_SEED
        | LARGEDIR
        | INLINE_DATA
        | ENCRYPT
        | CASEFOLD;
}

pub(super) mod ro_compat {
    pub const SPARSE_SUPER: u32 = 0x1;
    pub const GDT_CSUM: u32 = 0x10;
    pub const BIGALLOC: u32 = 0x200;
    pub const METADATA_CSUM: u32 = 0x400;
    /// What leaves the bitmaps as they were: sparse superblocks, large files, B-tree folders, huge files, descriptor checksums, many
    /// links, large inodes, quota, bigalloc, metadata checksums, read-only, project quota, shared blocks, verity, an orphan file in use.
    pub const KNOWN: u32 = 0x1
        | 0x2
        | 0x4
        | 0x8
        | 0x10
        | 0x20
        | 0x40
        | 0x100
        | 0x200
        | 0x400
        | 0x1000
        | 0x2000
        | 0x4000
        | 0x8000
        | 0x1_0000;
}

/// What a superblock says, once its numbers fit each other.
#[derive(Clone, Debug)]
pub(super) struct Superblock {
    pub blocks: u64,
    pub inodes: u64,
    pub first_block: u64,
    pub block: u64,
    /// Blocks of a cluster; 1 without bigalloc.
    pub cluster: u64,
    pub blocks_per_group: u64,
    pub inodes_per_group: u64,
    pub inode_size: u64,
    pub descriptor_size: u64,
    pub reserved_descriptors: u64,
    pub first_meta_group: u64,
    pub backup_groups: [u64; 2],
    pub first_inode: u64,
    pub state: u16,
    pub compat: u32,
    pub incompat: u32,
    pub ro_compat: u32,
    pub uuid: [u8; 16],
    pub label: String,
    pub journal: u64,
    pub mmp: u64,
    /// Where every checksum of metadata begins.
    pub seed: u32,
    /// The group whose copy this is.
    pub group: u64,
    /// Inodes of the file system's own, beside the journal: quota, and the list of orphans.
    pub own: [u64; 4],
}

impl Superblock {
    /// The superblock in these 1024 bytes; `None` if there is none. Fails with `Corrupt` where it contradicts itself, with `Unsupported` for
    /// features that change what everything else means.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        if bytes.len() < LEN || le16(bytes, 0x38) != 0xef53 {
            return Ok(None);
        }
        let (mut compat, mut incompat, mut ro_compat) = (le32(bytes, 0x5c), le32(bytes, 0x60), le32(bytes, 0x64));
        let old = le32(bytes, 0x4c) == 0;
        if old {
            // Revision 0 has no features; what stands there means nothing.
            (compat, incompat, ro_compat) = (0, 0, 0);
        }
        if incompat & incompat::JOURNAL_DEV != 0 {
            return Ok(None);
        }
        let unknown = incompat & !incompat::KNOWN;
        if unknown != 0 {
            return Err(Error::unsupported(format!(
                "an ext file system with features that are not known (incompat {unknown:#x})"
            )));
        }
        let wrong = |what: &str| Err(Error::corrupt(format!("the superblock is damaged: {what}")));
        if ro_compat & ro_compat::METADATA_CSUM != 0 {
            if bytes[0x175] != 1 {
                return Err(Error::unsupported(format!(
                    "an ext file system with checksums of the unknown kind {}",
                    bytes[0x175]
                )));
            }
            if crc32c(!0, &bytes[..0x3fc]) != le32(bytes, 0x3fc) {
                return wrong("its checksum does not match");
            }
        }
        let wide = |low: u64, high: usize| {
            if incompat & incompat::BITS_64 != 0 { low | u64::from(le32(bytes, high)) << 32 } else { low }
        };
        let (log_block, log_cluster) = (le32(bytes, 0x18), le32(bytes, 0x1c));
        if log_block > 6 {
            return wrong("its blocks have an impossible length");
        }
        let block = 1024u64 << log_block;
        let bigalloc = ro_compat & ro_compat::BIGALLOC != 0;
        let cluster = match log_cluster.checked_sub(log_block) {
            Some(log) if bigalloc && log_cluster <= 20 => 1u64 << log,
            _ if !bigalloc => 1,
            _ => return wrong("its clusters have an impossible length"),
        };
        let blocks_per_group = u64::from(le32(bytes, 0x20));
        let clusters_per_group = if bigalloc { u64::from(le32(bytes, 0x24)) } else { blocks_per_group };
        let inodes_per_group = u64::from(le32(bytes, 0x28));
        let inode_size = if old { 128 } else { u64::from(le16(bytes, 0x58)) };
        let descriptor_size = if incompat & incompat::BITS_64 != 0 { u64::from(le16(bytes, 0xfe)) } else { 32 };
        if clusters_per_group == 0
            || !clusters_per_group.is_multiple_of(8)
            || clusters_per_group > block * 8
            || clusters_per_group.checked_mul(cluster) != Some(blocks_per_group)
        {
            return wrong("its groups have an impossible length");
        }
        if inodes_per_group == 0 || inodes_per_group > block * 8 {
            return wrong("its groups have an impossible number of inodes");
        }
        if !inode_size.is_power_of_two() || !(128..=block).contains(&inode_size) {
            return wrong("its inodes have an impossible length");
        }
        if !descriptor_size.is_power_of_two()
            || !(if incompat & incompat::BITS_64 != 0 { 64 } else { 32 }..=1024).contains(&descriptor_size)
        {
            return wrong("its group descriptors have an impossible length");
        }
        let first_block = u64::from(le32(bytes, 0x14));
        if first_block != u64::from(block == 1024 && !bigalloc) && !(first_block <= 1 && block == 1024) {
            return wrong("its first block is impossible");
        }
        let sb = Superblock {
            blocks: wide(u64::from(le32(bytes, 0x4)), 0x150),
            inodes: u64::from(le32(bytes, 0)),
            first_block,
            block,
            cluster,
            blocks_per_group,
            inodes_per_group,
            inode_size,
            descriptor_size,
            reserved_descriptors: u64::from(le16(bytes, 0xce)),
            first_meta_group: u64::from(le32(bytes, 0x104)),
            backup_groups: [u64::from(le32(bytes, 0x24c)), u64::from(le32(bytes, 0x250))],
            first_inode: if old { 11 } else { u64::from(le32(bytes, 0x54)) },
            state: le16(bytes, 0x3a),
            compat,
            incompat,
            ro_compat,
            uuid: bytes16(bytes, 0x68),
            label: String::from_utf8_lossy(bytes[0x78..0x88].split(|b| *b == 0).next().unwrap_or_default())
                .into_owned(),
            journal: if compat & compat::HAS_JOURNAL != 0 { u64::from(le32(bytes, 0xe0)) } else { 0 },
            mmp: if incompat & incompat::MMP != 0 { le64(bytes, 0x168) } else { 0 },
            seed: match incompat & incompat::CSUM_SEED {
                0 => crc32c(!0, &bytes[0x68..0x78]),
                _ => le32(bytes, 0x270),
            },
            group: u64::from(le16(bytes, 0x5a)),
            own: [0x240, 0x244, 0x26c, 0x280].map(|at| u64::from(le32(bytes, at))),
        };
        if sb.blocks <= sb.first_block || sb.blocks.checked_mul(block).is_none_or(|len| len > i64::MAX as u64) {
            return wrong("it has an impossible number of blocks");
        }
        if sb.groups().checked_mul(inodes_per_group) != Some(sb.inodes) {
            return wrong("its groups and its inodes do not fit each other");
        }
        Ok(Some(sb))
    }

    /// Bytes of the file system.
    pub fn len(&self) -> u64 {
        self.blocks * self.block
    }

    pub fn has_incompat(&self, feature: u32) -> bool {
        self.incompat & feature != 0
    }

    pub fn has_ro_compat(&self, feature: u32) -> bool {
        self.ro_compat & feature != 0
    }

    pub fn has_checksums(&self) -> bool {
        self.has_ro_compat(ro_compat::METADATA_CSUM)
    }

    /// True if groups may be marked as not initialised.
    pub fn has_uninit(&self) -> bool {
        self.has_ro_compat(ro_compat::METADATA_CSUM | ro_compat::GDT_CSUM)
    }

    pub fn groups(&self) -> u64 {
        (self.blocks - self.first_block).div_ceil(self.blocks_per_group)
    }

    /// Groups that begin within `len` bytes.
    pub fn groups_within(&self, len: u64) -> u64 {
        let blocks = (len / self.block).min(self.blocks).saturating_sub(self.first_block);
        blocks.div_ceil(self.blocks_per_group)
    }

    /// Some groups other than the first that have copies, nearest first.
    pub fn copies(&self) -> Vec<u64> {
        let candidates: Vec<u64> = match self.compat & compat::SPARSE_SUPER2 {
            0 => vec![1, 2, 3, 5, 7, 9, 25, 27, 49],
            _ => self.backup_groups.to_vec(),
        };
        candidates.into_iter().filter(|g| (1..self.groups()).contains(g) && self.has_copy(*g)).collect()
    }

    /// The first block of a group.
    pub fn group_start(&self, group: u64) -> u64 {
        self.first_block + group * self.blocks_per_group
    }

    /// The block after the last of a group.
    pub fn group_end(&self, group: u64) -> u64 {
        (self.group_start(group) + self.blocks_per_group).min(self.blocks)
    }

    /// Blocks of a group's inode table.
    pub fn table_blocks(&self) -> u64 {
        (self.inodes_per_group * self.inode_size).div_ceil(self.block)
    }

    pub fn descriptors_per_block(&self) -> u64 {
        self.block / self.descriptor_size
    }

    /// Blocks that the descriptors take in all.
    pub fn descriptor_blocks(&self) -> u64 {
        self.groups().div_ceil(self.descriptors_per_block())
    }

    /// True if a group begins with a copy of the superblock.
    pub fn has_copy(&self, group: u64) -> bool {
        if group == 0 {
            return true;
        }
        if self.compat & compat::SPARSE_SUPER2 != 0 {
            return self.backup_groups.contains(&group);
        }
        let power = |base: u64| {
            let mut n = base;
            while n < group {
                n *= base;
            }
            n == group
        };
        !self.has_ro_compat(ro_compat::SPARSE_SUPER) || group == 1 || power(3) || power(5) || power(7)
    }

    /// The block of a group's copy of the superblock, if it has one.
    pub fn copy_block(&self, group: u64) -> Option<u64> {
        // With blocks of 1 KiB in clusters, block 0 is the boot block and belongs to the group.
        let boot = u64::from(group == 0 && self.block == 1024 && self.first_block == 0);
        self.has_copy(group).then(|| self.group_start(group) + boot)
    }

    /// Descriptor blocks that lie together after every copy of the superblock.
    fn old_descriptor_blocks(&self) -> u64 {
        match self.has_incompat(incompat::META_BG) {
            true => self.first_meta_group.min(self.descriptor_blocks()),
            false => self.descriptor_blocks(),
        }
    }

    /// The block that descriptor block `i` is in, in the copy of group `copy` (0 for the ones that are used).
    pub fn descriptor_block(&self, i: u64, copy: u64) -> u64 {
        if i < self.old_descriptor_blocks() {
            return self.copy_block(copy).unwrap_or(self.group_start(copy)) + 1 + i;
        }
        let group = i * self.descriptors_per_block();
        // The second group of the meta group has the copy.
        let group = if copy == 0 || group + 1 >= self.groups() { group } else { group + 1 };
        self.copy_block(group).map_or(self.group_start(group), |block| block + 1)
    }

    /// The block of descriptors that are used, not a copy, in a group other than the first.
    pub fn descriptor_block_of(&self, group: u64) -> Option<u64> {
        let i = group / self.descriptors_per_block();
        let here = group.is_multiple_of(self.descriptors_per_block()) && group > 0 && i >= self.old_descriptor_blocks();
        here.then(|| self.descriptor_block(i, 0))
    }

    /// The blocks at the start of a group that hold copies of the superblock and of descriptors, and room for more: first, count.
    pub fn head_blocks(&self, group: u64) -> Vec<(u64, u64)> {
        let mut heads = Vec::new();
        let copy = self.copy_block(group);
        heads.extend(copy.map(|block| (block, 1)));
        let meta = self.has_incompat(incompat::META_BG);
        let metagroup = group / self.descriptors_per_block();
        if !meta || metagroup < self.first_meta_group {
            if let Some(block) = copy {
                let room = if meta { 0 } else { self.reserved_descriptors };
                let count = self.old_descriptor_blocks() + room;
                if count > 0 {
                    heads.push((block + 1, count));
                }
            }
        } else {
            let first = metagroup * self.descriptors_per_block();
            if [first, first + 1, first + self.descriptors_per_block() - 1].contains(&group) {
                heads.push((copy.map_or(self.group_start(group), |block| block + 1), 1));
            }
        }
        heads
    }
}
