//! What QEMU's own formats share: a disk in clusters that two levels of tables find.
//!
//! A format has a [`Map`], which says where a run of the disk lies; [`Disk`] reads it from there, from what lies below, or from a
//! compressed or encrypted cluster. All numbers are bytes.

mod backing;
mod disk;
mod findings;
mod found;
mod judge;
mod levels;
mod scan;
mod tables;
mod unpack;

pub(crate) use backing::backing;
pub(crate) use disk::{Cipher, Disk, Map, Run, Volume};
pub(crate) use findings::Findings;
pub(crate) use found::Found;
pub(crate) use judge::{Grain, Judge, Known, blank_to};
pub(crate) use levels::{Levels, Order};
pub(crate) use scan::nonzero;
pub(crate) use tables::{Entries, Tables};
pub(crate) use unpack::Unpacker;

use tintype_core::{Error, Result, Source, in_range};

/// Bytes of a sector: lengths of disks are whole numbers of them.
pub(crate) const SECTOR: u64 = 512;

/// How compressed clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Zlib,
    Zstd,
}

impl Codec {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Codec::Zlib => "zlib",
            Codec::Zstd => "zstd",
        }
    }
}

/// What an L2 table says of one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cluster {
    Absent,
    /// Zeros; perhaps with room taken for later.
    Zero,
    At(u64),
    Packed {
        offset: u64,
        len: u64,
    },
}

/// The big-endian number at `at`; 0 beyond the end.
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_be_bytes(*b))
}

/// As [`be32`].
pub(crate) fn be64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_be_bytes(*b))
}

/// As [`be32`].
pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.first_chunk()).map_or(0, |b| u16::from_be_bytes(*b))
}

/// Refuses `len` bytes at `offset` of a file that lie beyond its end: `what` is what should be there.
pub(crate) fn holds(file: &dyn Source, what: &str, offset: u64, len: u64) -> Result<()> {
    in_range(file.len(), offset, len).map_err(|e| cut(file, e, what, offset))
}

/// An error of reading `what`, or rather what it means if the file ends before.
pub(crate) fn cut(source: &dyn Source, error: Error, what: &str, offset: u64) -> Error {
    if error.kind() == tintype_core::Kind::Usage {
        let what = format!("{what} lies beyond the end of the file, which has {} bytes", source.len());
        return Error::corrupt(what).at(offset);
    }
    error
}
