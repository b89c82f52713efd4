//! The structures on disk. All numbers are big-endian.
//!
//! Source: Microsoft, "Virtual Hard Disk Image Format Specification" (October 2006), and libyal's "Virtual Hard Disk (VHD) image
//! format".

use tintype_core::{Error, Result};
use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a footer begins with.
pub(super) const COOKIE: [u8; 8] = *b"conectix";
/// What the header of dynamic disks begins with.
pub(super) const SPARSE: [u8; 8] = *b"cxsparse";
/// Bytes of a sector.
pub(super) const SECTOR: u64 = 512;
/// Bytes of a footer. Those of early versions of Virtual PC lack the last one.
pub(super) const FOOTER: u64 = 512;
/// The block table's entry of a block that is not there.
pub(super) const ABSENT: u64 = 0xFFFF_FFFF;
/// Most bytes of a disk.
pub(super) const MOST: u64 = 2040 << 30;
/// Bytes of a block, as everybody writes them.
pub(super) const BLOCK: u64 = 2 << 20;
/// Where the times of the format begin: 2000-01-01, in seconds of Unix.
pub(super) const EPOCH: u64 = 946_684_800;
/// The version of every structure.
pub(super) const VERSION: u32 = 0x0001_0000;

/// What kind of disk it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fixed = 2,
    Dynamic = 3,
    Differencing = 4,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Fixed => "fixed",
            Kind::Dynamic => "dynamic",
            Kind::Differencing => "differencing",
        }
    }
}

/// The ones' complement of the sum of all bytes, those of the checksum left out.
fn checksum(bytes: &[u8], stored: u32) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().fold(0u32, |sum, b| sum.wrapping_add((*b).into()));
    !sum(bytes).wrapping_sub(sum(&stored.to_be_bytes()))
}

/// The last sector of every file, and the first of those that are not fixed.
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Footer {
    pub(super) cookie: [u8; 8],
    pub(super) features: U32,
    pub(super) file_format_version: U32,
    pub(super) data_offset: U64,
    pub(super) time_stamp: U32,
    pub(super) creator_application: [u8; 4],
    pub(super) creator_version: U32,
    pub(super) creator_host_os: [u8; 4],
    pub(super) original_size: U64,
    pub(super) current_size: U64,
    pub(super) cylinders: U16,
    pub(super) heads: u8,
    pub(super) sectors: u8,
    pub(super) disk_type: U32,
    pub(super) checksum: U32,
    pub(super) unique_id: [u8; 16],
    pub(super) saved_state: u8,
    pub(super) reserved: [u8; 427],
}

impl Footer {
    /// The footer in these bytes, 511 or 512 of them; `None` if there is none.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut footer = Footer::new_zeroed();
        let there = bytes.len().min(size_of::<Self>());
        footer.as_mut_bytes()[..there].copy_from_slice(&bytes[..there]);
        (footer.cookie == COOKIE).then_some(footer)
    }

    pub(super) fn is_intact(&self) -> bool {
        checksum(self.as_bytes(), self.checksum.get()) == self.checksum.get()
    }

    pub(super) fn sealed(mut self) -> Self {
        self.checksum = U32::new(checksum(self.as_bytes(), self.checksum.get()));
        self
    }

    pub(super) fn kind(&self) -> Result<Kind> {
        Ok(match self.disk_type.get() {
            2 => Kind::Fixed,
            3 => Kind::Dynamic,
            4 => Kind::Differencing,
            other => return Err(Error::unsupported(format!("disk type {other} is not known"))),
        })
    }
}

/// What follows the first footer of a disk that is not fixed.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) cookie: [u8; 8],
    pub(super) data_offset: U64,
    pub(super) table_offset: U64,
    pub(super) header_version: U32,
    pub(super) max_table_entries: U32,
    pub(super) block_size: U32,
    pub(super) checksum: U32,
    pub(super) parent_unique_id: [u8; 16],
    pub(super) parent_time_stamp: U32,
    pub(super) reserved: U32,
    pub(super) parent_name: [U16; 256],
    pub(super) parent_locators: [Locator; 8],
    pub(super) reserved_2: [u8; 256],
}

/// One way to the parent.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Locator {
    pub(super) platform_code: [u8; 4],
    pub(super) platform_data_space: U32,
    pub(super) platform_data_length: U32,
    pub(super) reserved: U32,
    pub(super) platform_data_offset: U64,
}

impl Header {
    pub(super) const LEN: u64 = size_of::<Self>() as u64;

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        Self::read_from_prefix(bytes).ok().map(|(header, _)| header).filter(|h| h.cookie == SPARSE)
    }

    pub(super) fn is_intact(&self) -> bool {
        checksum(self.as_bytes(), self.checksum.get()) == self.checksum.get()
    }

    pub(super) fn sealed(mut self) -> Self {
        self.checksum = U32::new(checksum(self.as_bytes(), self.checksum.get()));
        self
    }
}
