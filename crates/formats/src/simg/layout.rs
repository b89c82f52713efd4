//! The structures on disk. All numbers are little-endian.
//!
//! Source: `sparse_format.h` of the Android Open Source Project (Apache-2.0).

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What the file begins with.
pub(super) const MAGIC: u32 = 0xED26_FF3A;
/// The bytes.
pub(super) const RAW: u16 = 0xCAC1;
/// Four bytes, again and again.
pub(super) const FILL: u16 = 0xCAC2;
/// Nothing that anybody needs.
pub(super) const SKIP: u16 = 0xCAC3;
/// A checksum of all that came before.
pub(super) const CRC: u16 = 0xCAC4;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) magic: U32,
    pub(super) major_version: U16,
    pub(super) minor_version: U16,
    pub(super) header_size: U16,
    pub(super) chunk_header_size: U16,
    pub(super) block_size: U32,
    pub(super) blocks: U32,
    pub(super) chunks: U32,
    pub(super) image_checksum: U32,
}

impl Header {
    pub(super) const LEN: u64 = size_of::<Self>() as u64;
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Chunk {
    pub(super) kind: U16,
    pub(super) reserved: U16,
    pub(super) blocks: U32,
    /// Bytes in the file, those of this header included.
    pub(super) total_size: U32,
}

impl Chunk {
    pub(super) const LEN: u64 = size_of::<Self>() as u64;
}
