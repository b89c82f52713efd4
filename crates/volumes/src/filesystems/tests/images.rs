//! Small file systems made by hand, so that they can be made wrong.

use std::sync::Arc;
use tintype_core::Source;
use tintype_core::testing::Bytes;

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// FAT32 with clusters of one sector and one table (Microsoft, "FAT: General Overview of On-Disk Format", 1.03). Cluster 2 is the root.
pub struct Fat {
    pub bytes: Vec<u8>,
    data: usize,
}

impl Fat {
    pub const END: u32 = 0x0fff_ffff;

    pub fn new(clusters: usize) -> Self {
        let table = ((clusters + 2) * 4).div_ceil(512);
        let sectors = 1 + table + clusters;
        let mut bytes = vec![0; sectors * 512];
        put(&mut bytes, 0, &[0xeb, 0x3c, 0x90]);
        put(&mut bytes, 11, &512u16.to_le_bytes());
        put(&mut bytes, 13, &[1]);
        put(&mut bytes, 14, &1u16.to_le_bytes());
        put(&mut bytes, 16, &[1]);
        put(&mut bytes, 21, &[0xf8]);
        put(&mut bytes, 32, &(sectors as u32).to_le_bytes());
        put(&mut bytes, 36, &(table as u32).to_le_bytes());
        put(&mut bytes, 44, &2u32.to_le_bytes());
        put(&mut bytes, 510, &[0x55, 0xaa]);
        let mut fat = Fat { bytes, data: (1 + table) * 512 };
        fat.chain(&[0], 0x0fff_fff8);
        fat.chain(&[1], Fat::END);
        fat.chain(&[2], Fat::END);
        fat
    }

    /// Each cluster leads to the next, the last one to `end`.
    pub fn chain(&mut self, clusters: &[u32], end: u32) {
        for (i, cluster) in clusters.iter().enumerate() {
            let next = clusters.get(i + 1).copied().unwrap_or(end);
            put(&mut self.bytes, 512 + *cluster as usize * 4, &next.to_le_bytes());
        }
    }

    /// The place of a cluster.
    pub fn place(&self, cluster: u32) -> usize {
        self.data + (cluster as usize - 2) * 512
    }

    /// Entry `i` of the folder whose first cluster this is.
    pub fn entry(&mut self, folder: u32, i: usize, name: &str, is_folder: bool, first: u32, len: u32) {
        let at = self.place(folder) + i * 32;
        put(&mut self.bytes, at, format!("{name:<11}").as_bytes());
        put(&mut self.bytes, at + 11, &[if is_folder { 0x10 } else { 0x20 }]);
        put(&mut self.bytes, at + 20, &((first >> 16) as u16).to_le_bytes());
        put(&mut self.bytes, at + 26, &(first as u16).to_le_bytes());
        put(&mut self.bytes, at + 28, &len.to_le_bytes());
    }

    pub fn source(&self) -> Arc<dyn Source> {
        Arc::new(Bytes(self.bytes.clone()))
    }
}

/// ext in one group of blocks of 1 KiB, without checksums (Linux, Documentation/filesystems/ext4). The root lies in block 40.
pub struct Ext {
    pub bytes: Vec<u8>,
}

impl Ext {
    const TABLE: usize = 5;
    const INODES: usize = 128;

    pub fn new(blocks: usize) -> Self {
        let mut ext = Ext { bytes: vec![0; blocks * 1024] };
        let numbers: [(usize, u32); 12] = [
            (0x0, Self::INODES as u32),
            (0x4, blocks as u32),
            (0x14, 1),
            (0x18, 0),
            (0x1c, 0),
            (0x20, 8192),
            (0x24, 8192),
            (0x28, Self::INODES as u32),
            (0x4c, 1),
            (0x54, 11),
            (0x58, 128),
            // File types and extents.
            (0x60, 0x42),
        ];
        for (at, value) in numbers {
            ext.superblock(at, value);
        }
        put(&mut ext.bytes, 1024 + 0x38, &[0x53, 0xef, 1, 0]);
        for (i, block) in [3u32, 4, Self::TABLE as u32].into_iter().enumerate() {
            put(&mut ext.bytes, 2048 + i * 4, &block.to_le_bytes());
        }
        // All inodes count as used; those of zeros are none.
        put(&mut ext.bytes, 4096, &[0xff; Self::INODES / 8]);
        ext.inode(2, 0x41ed, 1024);
        ext.extents(2, &[(0, 1, 40)]);
        ext
    }

    pub fn superblock(&mut self, at: usize, value: u32) {
        put(&mut self.bytes, 1024 + at, &value.to_le_bytes());
    }

    fn place(number: usize) -> usize {
        Self::TABLE * 1024 + (number - 1) * 128
    }

    /// An inode with its mode; it has block pointers.
    pub fn inode(&mut self, number: usize, mode: u16, len: u32) {
        let at = Self::place(number);
        put(&mut self.bytes, at, &mode.to_le_bytes());
        put(&mut self.bytes, at + 4, &len.to_le_bytes());
        put(&mut self.bytes, at + 0x1a, &1u16.to_le_bytes());
    }

    /// Its pointer `i`: the last three are to blocks of pointers, to blocks of these, and once more.
    pub fn pointer(&mut self, number: usize, i: usize, block: u32) {
        put(&mut self.bytes, Self::place(number) + 0x28 + i * 4, &block.to_le_bytes());
    }

    /// A block of nothing but pointers to one block.
    pub fn pointers(&mut self, at: usize, block: u32) {
        for i in 0..256 {
            put(&mut self.bytes, at * 1024 + i * 4, &block.to_le_bytes());
        }
    }

    fn node(&mut self, at: usize, room: u16, depth: u16, entries: &[[u8; 12]]) {
        let mut head = [0; 12];
        put(&mut head, 0, &0xf30au16.to_le_bytes());
        put(&mut head, 2, &(entries.len() as u16).to_le_bytes());
        put(&mut head, 4, &room.to_le_bytes());
        put(&mut head, 6, &depth.to_le_bytes());
        put(&mut self.bytes, at, &head);
        for (i, entry) in entries.iter().enumerate() {
            put(&mut self.bytes, at + 12 + i * 12, entry);
        }
    }

    fn leaf(logical: u32, count: u16, block: u32) -> [u8; 12] {
        let mut entry = [0; 12];
        put(&mut entry, 0, &logical.to_le_bytes());
        put(&mut entry, 4, &count.to_le_bytes());
        put(&mut entry, 8, &block.to_le_bytes());
        entry
    }

    fn index(logical: u32, block: u32) -> [u8; 12] {
        let mut entry = [0; 12];
        put(&mut entry, 0, &logical.to_le_bytes());
        put(&mut entry, 4, &block.to_le_bytes());
        entry
    }

    fn has_extents(&mut self, number: usize) -> usize {
        put(&mut self.bytes, Self::place(number) + 0x20, &0x8_0000u32.to_le_bytes());
        Self::place(number) + 0x28
    }

    /// Its extents: logical block, count, block.
    pub fn extents(&mut self, number: usize, extents: &[(u32, u16, u32)]) {
        let at = self.has_extents(number);
        let entries: Vec<_> = extents.iter().map(|(l, c, b)| Self::leaf(*l, *c, *b)).collect();
        self.node(at, 4, 0, &entries);
    }

    /// The root of its tree: logical block, block of the next node.
    pub fn tree(&mut self, number: usize, depth: u16, below: &[(u32, u32)]) {
        let at = self.has_extents(number);
        let entries: Vec<_> = below.iter().map(|(l, b)| Self::index(*l, *b)).collect();
        self.node(at, 4, depth, &entries);
    }

    /// A node of a tree in a block of its own.
    pub fn inner(&mut self, block: usize, depth: u16, below: &[(u32, u32)]) {
        let entries: Vec<_> = below.iter().map(|(l, b)| Self::index(*l, *b)).collect();
        self.node(block * 1024, 84, depth, &entries);
    }

    /// A leaf of a tree in a block of its own.
    pub fn leaves(&mut self, block: usize, extents: &[(u32, u16, u32)]) {
        let entries: Vec<_> = extents.iter().map(|(l, c, b)| Self::leaf(*l, *c, *b)).collect();
        self.node(block * 1024, 84, 0, &entries);
    }

    /// Names in a block of a folder: inode, kind as folders keep it, name.
    pub fn names(&mut self, block: usize, names: &[(u32, u8, &str)]) {
        let mut at = block * 1024;
        for (i, (inode, kind, name)) in names.iter().enumerate() {
            let end = block * 1024 + 1024;
            let len = if i + 1 == names.len() { end - at } else { (8 + name.len()).next_multiple_of(4) };
            put(&mut self.bytes, at, &inode.to_le_bytes());
            put(&mut self.bytes, at + 4, &(len as u16).to_le_bytes());
            put(&mut self.bytes, at + 6, &[name.len() as u8, *kind]);
            put(&mut self.bytes, at + 8, name.as_bytes());
            at += len;
        }
    }

    pub fn source(&self) -> Arc<dyn Source> {
        Arc::new(Bytes(self.bytes.clone()))
    }
}
