//! The header. All numbers are little-endian.
//!
//! Source: qemu's documents "Parallels Expandable Image File Format" and "Parallels Disk Format", and libyal's "Parallels Hard Disk
//! image format".

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What files begin with whose table counts in sectors.
pub(super) const OLD: [u8; 16] = *b"WithoutFreeSpace";
/// What files begin with whose table counts in clusters.
pub(super) const NEW: [u8; 16] = *b"WithouFreSpacExt";
/// Bytes of a sector.
pub(super) const SECTOR: u64 = 512;
/// Who writes to the file says this.
pub(super) const IN_USE: u32 = 0x746F_6E59;
/// The only version.
pub(super) const VERSION: u32 = 2;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) magic: [u8; 16],
    pub(super) version: U32,
    pub(super) heads: U32,
    pub(super) cylinders: U32,
    pub(super) tracks: U32,
    pub(super) bat_entries: U32,
    pub(super) sectors: U64,
    pub(super) in_use: U32,
    pub(super) data_offset: U32,
    pub(super) flags: U32,
    pub(super) extension_offset: U64,
}

impl Header {
    /// Bytes of the header; the block table follows.
    pub(super) const LEN: u64 = size_of::<Self>() as u64;
}
