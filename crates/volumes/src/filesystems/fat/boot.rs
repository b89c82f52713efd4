//! The boot sector.

use crate::field::{le16, le32};
use crate::recognise;
use std::ops::Range;
use tintype_core::{Error, Result};

/// Bytes of a boot sector that are looked at.
pub(super) const LEN: usize = 512;

/// How many bits an entry of the table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Fat12,
    Fat16,
    Fat32,
}

impl Width {
    pub fn name(self) -> &'static str {
        match self {
            Width::Fat12 => "fat12",
            Width::Fat16 => "fat16",
            Width::Fat32 => "fat32",
        }
    }

    /// Bytes of a table of `entries`.
    pub fn table_len(self, entries: u64) -> u64 {
        match self {
            Width::Fat12 => (entries * 3).div_ceil(2),
            Width::Fat16 => entries * 2,
            Width::Fat32 => entries * 4,
        }
    }
}

/// What a boot sector says, once its numbers fit each other. Offsets and lengths in bytes.
#[derive(Clone, Debug)]
pub(super) struct Boot {
    pub width: Width,
    pub sector: u64,
    pub cluster: u64,
    pub reserved: u64,
    pub tables: u64,
    pub table_len: u64,
    pub root_len: u64,
    /// First cluster of the root of FAT32.
    pub root_cluster: u32,
    pub clusters: u64,
    pub len: u64,
    /// The table that counts, where they are not kept alike.
    pub active: Option<u64>,
    pub info: Option<u64>,
    pub copy: Option<u64>,
    /// Set by Windows and Linux while it is mounted.
    pub dirty: bool,
    pub label: String,
    pub id: String,
}

impl Boot {
    /// The boot sector in these bytes; `None` if it is none of FAT. Fails with `Corrupt` where it contradicts itself.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let (Some(name), Some(bytes)) = (bytes.get(..LEN).and_then(recognise::fat), bytes.get(..LEN)) else {
            return Ok(None);
        };
        let pick = |small: u16, large: u32| if small != 0 { u64::from(small) } else { u64::from(large) };
        let sector = u64::from(le16(bytes, 11));
        let cluster = u64::from(bytes[13]) * sector;
        let reserved = u64::from(le16(bytes, 14)) * sector;
        let tables = u64::from(bytes[16]);
        let table_len = pick(le16(bytes, 22), le32(bytes, 36)) * sector;
        let roots = u64::from(le16(bytes, 17));
        let root_len = (roots * 32).next_multiple_of(sector);
        let len = pick(le16(bytes, 19), le32(bytes, 32)) * sector;
        let (width, wide) = match name {
            "fat12" => (Width::Fat12, false),
            "fat16" => (Width::Fat16, false),
            _ => (Width::Fat32, true),
        };
        let data = reserved + tables * table_len + root_len;
        let clusters = len.saturating_sub(data) / cluster;
        let wrong = |what: &str| Err(Error::corrupt(format!("the boot sector is damaged: {what}")));
        if clusters == 0 {
            return wrong("it has no room for files");
        }
        if width.table_len(clusters + 2) > table_len {
            return wrong("its table is too small for its clusters");
        }
        let most = match width {
            Width::Fat12 => 4084,
            Width::Fat16 => 65524,
            Width::Fat32 => 0x0fff_fff5,
        };
        if clusters > most || (wide && roots != 0) {
            return wrong("it has more clusters than its table can name");
        }
        let (flags, root_cluster) = if wide { (le16(bytes, 40), le32(bytes, 44)) } else { (0, 0) };
        if wide && le16(bytes, 42) != 0 {
            return Err(Error::unsupported(format!("FAT32 of the unknown version {:#x}", le16(bytes, 42))));
        }
        let place = |at: usize| match u64::from(le16(bytes, at)) {
            0 | 0xffff => None,
            i if i * sector < reserved => Some(i * sector),
            _ => None,
        };
        let tail = if wide { 64 } else { 36 };
        let signed = matches!(bytes[tail + 2], 0x28 | 0x29);
        let named = bytes[tail + 2] == 0x29;
        let id = le32(bytes, tail + 3);
        Ok(Some(Boot {
            width,
            sector,
            cluster,
            reserved,
            tables,
            table_len,
            root_len,
            root_cluster,
            clusters,
            len,
            active: (flags & 0x80 != 0).then_some(u64::from(flags & 0xf)),
            info: if wide { place(48) } else { None },
            copy: if wide { place(50) } else { None },
            dirty: signed && bytes[tail + 1] & 1 != 0,
            label: if named { label(&bytes[tail + 7..tail + 18]) } else { String::new() },
            id: if signed { format!("{:04X}-{:04X}", id >> 16, id & 0xffff) } else { String::new() },
        }))
    }

    /// A copy of the table.
    pub fn table(&self, i: u64) -> Range<u64> {
        let start = self.reserved + i * self.table_len;
        start..start + self.table_len
    }

    /// The root of FAT12 and FAT16; empty in FAT32.
    pub fn root(&self) -> Range<u64> {
        let start = self.table(self.tables).start;
        start..start + self.root_len
    }

    /// Where the first cluster is, which is number 2.
    pub fn data(&self) -> u64 {
        self.root().end
    }

    /// True for numbers of clusters that there are.
    pub fn has(&self, cluster: u32) -> bool {
        (2..self.clusters + 2).contains(&u64::from(cluster))
    }

    /// The bytes of a cluster that there is.
    pub fn place(&self, cluster: u32) -> u64 {
        self.data() + (u64::from(cluster) - 2) * self.cluster
    }
}

/// A label, without what some programs write for none.
fn label(bytes: &[u8]) -> String {
    let text = super::names::oem(bytes);
    match text.trim_end_matches([' ', '\0']) {
        "NO NAME" => String::new(),
        text => text.to_owned(),
    }
}
