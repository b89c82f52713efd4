//! The structures on disk. All numbers are little-endian; every checksum is CRC-32C with the field itself zero.
//!
//! Source: Microsoft, [MS-VHDX] "Virtual Hard Disk v2 (VHDX) File Format".

use tintype_codec::checksum::Crc32c;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What the file begins with.
pub(super) const MAGIC: [u8; 8] = *b"vhdxfile";
/// Where the headers are.
pub(super) const HEADERS: [u64; 2] = [64 << 10, 128 << 10];
/// Where the region tables are.
pub(super) const REGIONS: [u64; 2] = [192 << 10, 256 << 10];
/// Bytes of a region table, and of the table of metadata.
pub(super) const TABLE: usize = 64 << 10;
/// Most entries of either.
pub(super) const MOST_ENTRIES: u32 = 2047;
/// What places in the file are multiples of.
pub(super) const MIB: u64 = 1 << 20;
/// Sectors that one map of sectors tells of.
pub(super) const CHUNK_SECTORS: u64 = 1 << 23;
/// Most bytes of a disk.
pub(super) const MOST: u64 = 64 << 40;

/// An identifier as it is stored, from the way it is written.
const fn guid(a: u32, b: u16, c: u16, d: [u8; 8]) -> [u8; 16] {
    let (a, b, c) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

/// The region with the block table.
pub(super) const BAT: [u8; 16] = guid(0x2DC2_7766, 0xF623, 0x4200, [0x9D, 0x64, 0x11, 0x5E, 0x9B, 0xFD, 0x4A, 0x08]);
/// The region with the metadata.
pub(super) const METADATA: [u8; 16] =
    guid(0x8B7C_A206, 0x4790, 0x4B9A, [0xB8, 0xFE, 0x57, 0x5F, 0x05, 0x0F, 0x88, 0x6E]);
/// Block size and kind.
pub(super) const FILE_PARAMETERS: [u8; 16] =
    guid(0xCAA1_6737, 0xFA36, 0x4D43, [0xB3, 0xB6, 0x33, 0xF0, 0xAA, 0x44, 0xE7, 0x6B]);
/// Bytes of the disk.
pub(super) const DISK_SIZE: [u8; 16] =
    guid(0x2FA5_4224, 0xCD1B, 0x4876, [0xB2, 0x11, 0x5D, 0xBE, 0xD8, 0x3B, 0xF4, 0xB8]);
/// The disk's identifier.
pub(super) const DISK_ID: [u8; 16] =
    guid(0xBECA_12AB, 0xB2E6, 0x4523, [0x93, 0xEF, 0xC3, 0x09, 0xE0, 0x00, 0xC7, 0x46]);
/// Bytes of a logical sector.
pub(super) const LOGICAL: [u8; 16] =
    guid(0x8141_BF1D, 0xA96F, 0x4709, [0xBA, 0x47, 0xF2, 0x33, 0xA8, 0xFA, 0xAB, 0x5F]);
/// Bytes of a physical sector.
pub(super) const PHYSICAL: [u8; 16] =
    guid(0xCDA3_48C7, 0x445D, 0x4471, [0x9C, 0xC9, 0xE9, 0x88, 0x52, 0x51, 0xC5, 0x56]);
/// The way to the parent.
pub(super) const PARENT: [u8; 16] = guid(0xA8D3_5F2D, 0xB30B, 0x454D, [0xAB, 0xF7, 0xD3, 0xD8, 0x48, 0x34, 0xAB, 0x0C]);
/// The only kind of way to a parent.
pub(super) const PARENT_KIND: [u8; 16] =
    guid(0xB04A_EFB7, 0xD19E, 0x4A81, [0xB7, 0x89, 0x25, 0xB8, 0xE9, 0x44, 0x59, 0x13]);

/// The checksum of a structure whose second four bytes are its place.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = Crc32c::new();
    sum.update(&bytes[..4]);
    sum.update(&[0; 4]);
    sum.update(&bytes[8..]);
    sum.value()
}

#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) signature: [u8; 4],
    pub(super) checksum: U32,
    pub(super) sequence_number: U64,
    pub(super) file_write_guid: [u8; 16],
    pub(super) data_write_guid: [u8; 16],
    pub(super) log_guid: [u8; 16],
    pub(super) log_version: U16,
    pub(super) version: U16,
    pub(super) log_length: U32,
    pub(super) log_offset: U64,
    pub(super) reserved: [u8; 4016],
}

impl Header {
    pub(super) const SIGNATURE: [u8; 4] = *b"head";

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (header, _) = Self::read_from_prefix(bytes).ok()?;
        (header.signature == Self::SIGNATURE && header.checksum.get() == checksum(header.as_bytes())).then_some(header)
    }

    pub(super) fn sealed(mut self) -> Self {
        self.checksum = U32::new(checksum(self.as_bytes()));
        self
    }
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RegionHead {
    pub(super) signature: [u8; 4],
    pub(super) checksum: U32,
    pub(super) entry_count: U32,
    pub(super) reserved: U32,
}

impl RegionHead {
    pub(super) const SIGNATURE: [u8; 4] = *b"regi";
}

#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Region {
    pub(super) guid: [u8; 16],
    pub(super) file_offset: U64,
    pub(super) length: U32,
    pub(super) required: U32,
}

impl Region {
    pub(super) fn end(&self) -> u64 {
        self.file_offset.get().saturating_add(self.length.get().into())
    }
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct MetadataHead {
    pub(super) signature: [u8; 8],
    pub(super) reserved: U16,
    pub(super) entry_count: U16,
    pub(super) reserved_2: [u8; 20],
}

impl MetadataHead {
    pub(super) const SIGNATURE: [u8; 8] = *b"metadata";
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Item {
    pub(super) id: [u8; 16],
    pub(super) offset: U32,
    pub(super) length: U32,
    pub(super) flags: U32,
    pub(super) reserved: U32,
}

impl Item {
    /// Belongs to the person, and to no reader.
    pub(super) const USER: u32 = 1;
    /// Belongs to the disk, not to the file.
    pub(super) const VIRTUAL_DISK: u32 = 2;
    /// Who does not know it must not open the file.
    pub(super) const REQUIRED: u32 = 4;
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct LogEntry {
    pub(super) signature: [u8; 4],
    pub(super) checksum: U32,
    pub(super) entry_length: U32,
    pub(super) tail: U32,
    pub(super) sequence_number: U64,
    pub(super) descriptor_count: U32,
    pub(super) reserved: U32,
    pub(super) log_guid: [u8; 16],
    pub(super) flushed_file_offset: U64,
    pub(super) last_file_offset: U64,
}

impl LogEntry {
    pub(super) const SIGNATURE: [u8; 4] = *b"loge";
}

/// A descriptor of an entry: a sector of data, or a range of zeros.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Descriptor {
    pub(super) signature: [u8; 4],
    pub(super) trailing_bytes: [u8; 4],
    /// Of data, the first eight bytes; of zeros, how many.
    pub(super) leading_bytes: [u8; 8],
    pub(super) file_offset: U64,
    pub(super) sequence_number: U64,
}

impl Descriptor {
    pub(super) const DATA: [u8; 4] = *b"desc";
    pub(super) const ZERO: [u8; 4] = *b"zero";
}

/// What a sector of data in the log begins with.
pub(super) const DATA_SECTOR: [u8; 4] = *b"data";
