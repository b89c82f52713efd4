//! The structures on disk. All numbers are little-endian, places are sectors of 512 bytes.
//!
//! Sources: VMware's "Virtual Disk Format 5.0" for sparse extents, libyal's VMDK document for COWD, and for seSparse, which VMware never
//! documented, what qemu and dissect.hypervisor agree on.

use crate::blocks::Place;
use tintype_core::{Error, Result};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a sector.
pub(super) const SECTOR: u64 = 512;

/// What a sparse extent begins with.
pub(super) const MAGIC: [u8; 4] = *b"KDMV";
/// What a copy-on-write extent of ESX begins with.
pub(super) const MAGIC_COWD: [u8; 4] = *b"COWD";
/// What a seSparse extent begins with.
pub(super) const MAGIC_SESPARSE: [u8; 8] = 0xcafe_babe_u64.to_le_bytes();
/// What the changing header of a seSparse extent begins with.
const MAGIC_SESPARSE_VOLATILE: u64 = 0xcafe_cafe;
/// The only version of seSparse.
const VERSION_SESPARSE: u64 = 0x2_0000_0001;

/// The end-of-line bytes in the header tell transfers as text.
pub(super) const FLAG_NEWLINES: u32 = 1;
/// There is a second grain directory.
pub(super) const FLAG_REDUNDANT: u32 = 1 << 1;
/// The entry 1 means: zeros.
pub(super) const FLAG_ZEROED_GRAIN: u32 = 1 << 2;
/// Grains are compressed.
pub(super) const FLAG_COMPRESSED: u32 = 1 << 16;
/// Grains and metadata have markers.
pub(super) const FLAG_MARKERS: u32 = 1 << 17;
/// Flags that a reader may not ignore.
const FLAGS_INCOMPATIBLE: u32 = 0xffff_0000;

/// The grain directory stands at the end, and the footer says where.
pub(super) const AT_END: u64 = u64::MAX;
const DEFLATE: u16 = 1;
const NEWLINES: [u8; 4] = *b"\n \r\n";

/// Most sectors of a grain that are believed: 64 MiB.
const MOST_GRAIN: u64 = 1 << 17;
/// Most sectors of a compressed grain: 1 MiB, of which each thread keeps one and a half. Everybody writes 64 KiB.
const MOST_PACKED: u64 = 1 << 11;
/// Most entries of a grain directory: 64 TiB at the smallest sizes there are.
const MOST_TABLES: u64 = 1 << 25;

/// The header of a sparse extent, and its footer.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) magic_number: [u8; 4],
    pub(super) version: U32,
    pub(super) flags: U32,
    pub(super) capacity: U64,
    pub(super) grain_size: U64,
    pub(super) descriptor_offset: U64,
    pub(super) descriptor_size: U64,
    pub(super) num_gtes_per_gt: U32,
    pub(super) rgd_offset: U64,
    pub(super) gd_offset: U64,
    pub(super) over_head: U64,
    pub(super) unclean_shutdown: u8,
    pub(super) newlines: [u8; 4],
    pub(super) compress_algorithm: U16,
    pub(super) pad: [u8; 433],
}

impl Header {
    pub(super) const LEN: usize = size_of::<Self>();

    /// The header at the start of `bytes`, if it is one; believed only once it was [checked](Self::check).
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let header = Self::read_from_prefix(bytes).ok()?.0;
        (header.magic_number == MAGIC).then_some(header)
    }

    /// A header of what we write, to be completed.
    pub(super) fn new(version: u32, flags: u32, capacity: u64) -> Self {
        Header {
            magic_number: MAGIC,
            version: U32::new(version),
            flags: U32::new(flags | FLAG_NEWLINES),
            capacity: U64::new(capacity),
            grain_size: U64::new(super::GRAIN / SECTOR),
            num_gtes_per_gt: U32::new(super::ENTRIES as u32),
            newlines: NEWLINES,
            compress_algorithm: U16::new(if flags & FLAG_COMPRESSED != 0 { DEFLATE } else { 0 }),
            ..Header::new_zeroed()
        }
    }

    /// True for a flag.
    pub(super) fn has(&self, flag: u32) -> bool {
        self.flags.get() & flag != 0
    }

    /// Refuses what cannot be read, by name, and sizes that nobody would write.
    pub(super) fn check(&self) -> Result<()> {
        let version = self.version.get();
        if !(1..=3).contains(&version) {
            return Err(Error::unsupported(format!("a VMDK of version {version}; versions 1 to 3 can be read")));
        }
        let unknown = self.flags.get() & FLAGS_INCOMPATIBLE & !(FLAG_COMPRESSED | FLAG_MARKERS);
        if unknown != 0 {
            return Err(Error::unsupported(format!("the VMDK needs features that are not known: flags {unknown:#x}")));
        }
        if self.has(FLAG_NEWLINES) && self.newlines != NEWLINES {
            return Err(Error::corrupt(
                "the end-of-line bytes of the header are wrong: the file was transferred as text",
            ));
        }
        match (self.compress_algorithm.get(), self.has(FLAG_COMPRESSED)) {
            (0, false) | (DEFLATE, true) => {}
            (DEFLATE, false) | (0, true) => {
                return Err(Error::corrupt("the header is of two minds about whether grains are compressed"));
            }
            (other, _) => return Err(Error::unsupported(format!("the VMDK's compression method {other}"))),
        }
        let grain = self.grain_size.get();
        if self.has(FLAG_COMPRESSED) && grain > MOST_PACKED {
            return Err(Error::limit(format!("compressed grains of {grain} sectors; {MOST_PACKED} are the most")));
        }
        sizes(self.capacity.get(), grain, u64::from(self.num_gtes_per_gt.get()), 1..=512)
    }
}

/// Refuses sizes that contradict the format or that nobody would write.
fn sizes(capacity: u64, grain: u64, entries: u64, range: std::ops::RangeInclusive<u64>) -> Result<()> {
    if capacity > i64::MAX as u64 / SECTOR {
        return Err(Error::corrupt(format!("a capacity of {capacity} sectors")));
    }
    if !grain.is_power_of_two() || grain > MOST_GRAIN {
        return Err(Error::corrupt(format!("a grain of {grain} sectors")));
    }
    if !range.contains(&entries) {
        return Err(Error::corrupt(format!("grain tables of {entries} entries")));
    }
    let tables = capacity.div_ceil(grain * entries);
    if tables > MOST_TABLES {
        return Err(Error::limit(format!("a grain directory of {tables} entries; {MOST_TABLES} are the most")));
    }
    Ok(())
}

/// What stands before metadata in a stream.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Marker {
    /// Sectors of the metadata that follows.
    num_sectors: U64,
    /// 0: this is no grain.
    size: U32,
    kind: U32,
    pad: [u8; 496],
}

/// The kinds of [`Marker`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkerKind {
    EndOfStream = 0,
    GrainTable = 1,
    GrainDirectory = 2,
    Footer = 3,
}

impl Marker {
    pub(super) fn new(kind: MarkerKind, num_sectors: u64) -> Self {
        Marker { num_sectors: U64::new(num_sectors), size: U32::new(0), kind: U32::new(kind as u32), pad: [0; 496] }
    }
}

/// What stands before a compressed grain.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct GrainMarker {
    /// The grain's first sector on the disk.
    pub(super) lba: U64,
    /// Bytes of zlib that follow.
    pub(super) size: U32,
}

impl GrainMarker {
    pub(super) const LEN: usize = size_of::<Self>();
}

/// Where the tables of an extent are, and how their entries are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Bytes of the extent.
    pub(super) len: u64,
    /// Bytes of a grain.
    pub(super) grain: u64,
    /// Entries of a grain table.
    pub(super) entries: u64,
    /// Where the grain directory is.
    pub(super) directory: u64,
    /// Where its copy is.
    pub(super) copy: Option<u64>,
    /// Where the first grain may be.
    pub(super) data: u64,
    pub(super) kind: Kind,
}

/// How entries are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// 32-bit sectors; 1 means zeros where `zeroed` says so.
    Sparse { zeroed: bool, packing: Packing },
    /// 32-bit sectors.
    Cowd,
    /// 64-bit entries with their type in the top bits.
    SeSparse { tables: u64, grains: u64 },
}

/// How grains are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// As they are.
    Plain,
    /// zlib after a length.
    Bare,
    /// zlib after a marker.
    Marked,
}

impl Shape {
    /// The shape of a sparse extent by its header, checked before.
    pub(super) fn of(header: &Header) -> Self {
        let packing = match (header.has(FLAG_COMPRESSED), header.has(FLAG_MARKERS)) {
            (false, _) => Packing::Plain,
            (true, false) => Packing::Bare,
            (true, true) => Packing::Marked,
        };
        let copy = header.rgd_offset.get();
        Shape {
            len: header.capacity.get() * SECTOR,
            grain: header.grain_size.get() * SECTOR,
            entries: u64::from(header.num_gtes_per_gt.get()),
            directory: header.gd_offset.get().saturating_mul(SECTOR),
            copy: (header.has(FLAG_REDUNDANT) && copy > 0).then(|| copy.saturating_mul(SECTOR)),
            data: header.over_head.get().saturating_mul(SECTOR),
            kind: Kind::Sparse { zeroed: header.has(FLAG_ZEROED_GRAIN), packing },
        }
    }

    /// The shape of a COWD extent by its first bytes.
    pub(super) fn cowd(bytes: &[u8]) -> Result<Self> {
        let words: Vec<u64> = bytes.as_chunks().0.iter().map(|b| u64::from(u32::from_le_bytes(*b))).collect();
        let &[_, version, _, capacity, grain, directory, tables, ..] = &words[..] else {
            return Err(Error::corrupt("too short for the header of a COWD extent"));
        };
        if version != 1 {
            return Err(Error::unsupported(format!("a COWD extent of version {version}; only version 1 is known")));
        }
        let entries = 4096;
        sizes(capacity, grain, entries, 4096..=4096)?;
        if tables < capacity.div_ceil(grain * entries) {
            return Err(Error::corrupt(format!("a grain directory of {tables} entries for {capacity} sectors")));
        }
        Ok(Shape {
            len: capacity * SECTOR,
            grain: grain * SECTOR,
            entries,
            directory: directory * SECTOR,
            copy: None,
            data: 2048,
            kind: Kind::Cowd,
        })
    }

    /// The shape of a seSparse extent by its first sector.
    pub(super) fn sesparse(bytes: &[u8]) -> Result<(Self, SeSparse)> {
        let words: Vec<u64> = bytes.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b)).collect();
        let Some((fields, pad)) = words.split_at_checked(26) else {
            return Err(Error::corrupt("too short for the header of a seSparse extent"));
        };
        let (version, capacity, grain, table, flags) = (fields[1], fields[2], fields[3], fields[4], fields[5]);
        if version != VERSION_SESPARSE {
            return Err(Error::unsupported(format!("a seSparse extent of version {version:#x}")));
        }
        if flags != 0 || fields[6..10].iter().chain(pad).any(|w| *w != 0) {
            return Err(Error::unsupported(format!(
                "the seSparse extent has features that are not known: flags {flags:#x}"
            )));
        }
        if grain != 8 || table != 64 {
            return Err(Error::unsupported(format!(
                "a seSparse extent with grains of {grain} and tables of {table} sectors"
            )));
        }
        let entries = table * SECTOR / 8;
        sizes(capacity, grain, entries, entries..=entries)?;
        if fields[17].saturating_mul(SECTOR) / 8 < capacity.div_ceil(grain * entries) {
            return Err(Error::corrupt(format!("a grain directory of {} sectors for {capacity} sectors", fields[17])));
        }
        let bytes_at = |i: usize| fields[i].saturating_mul(SECTOR);
        let shape = Shape {
            len: capacity * SECTOR,
            grain: grain * SECTOR,
            entries,
            directory: bytes_at(16),
            copy: None,
            data: bytes_at(24),
            kind: Kind::SeSparse { tables: bytes_at(18), grains: bytes_at(24) },
        };
        Ok((shape, SeSparse { volatile: bytes_at(10) }))
    }

    /// Bytes of an entry.
    pub(super) fn width(&self) -> u64 {
        match self.kind {
            Kind::Sparse { .. } | Kind::Cowd => 4,
            Kind::SeSparse { .. } => 8,
        }
    }

    /// Entries of the grain directory.
    pub(super) fn tables(&self) -> u64 {
        self.len.div_ceil(self.grain * self.entries)
    }

    /// Bytes of a grain table.
    pub(super) fn table_len(&self) -> u64 {
        self.entries * self.width()
    }

    /// Bytes that the grain with this number has on the disk: the last one may have fewer.
    pub(super) fn grain_len(&self, grain: u64) -> u64 {
        self.grain.min(self.len.saturating_sub(grain * self.grain))
    }

    /// How grains are stored.
    pub(super) fn packing(&self) -> Packing {
        match self.kind {
            Kind::Sparse { packing, .. } => packing,
            Kind::Cowd | Kind::SeSparse { .. } => Packing::Plain,
        }
    }

    /// What an entry of the grain directory says.
    pub(super) fn table(&self, entry: u64) -> Result<Place> {
        Ok(match self.kind {
            _ if entry == 0 => Place::Absent,
            Kind::Sparse { zeroed: true, .. } if entry == 1 => Place::Zero,
            Kind::Sparse { .. } | Kind::Cowd => Place::At(entry * SECTOR),
            Kind::SeSparse { tables, .. } if entry >> 32 == 0x1000_0000 => {
                Place::At(tables.saturating_add((entry & 0xffff_ffff) * self.table_len()))
            }
            Kind::SeSparse { .. } => {
                return Err(Error::corrupt(format!("the entry {entry:#x} of the grain directory has no known type")));
            }
        })
    }

    /// What an entry of a grain table says.
    pub(super) fn grain(&self, entry: u64) -> Result<Place> {
        Ok(match self.kind {
            _ if entry == 0 => Place::Absent,
            Kind::Sparse { zeroed: true, .. } if entry == 1 => Place::Zero,
            Kind::Sparse { .. } | Kind::Cowd => Place::At(entry * SECTOR),
            Kind::SeSparse { grains, .. } => match entry >> 60 {
                // Given back by the guest, or zeroed: reads as zeros either way.
                1 | 2 => Place::Zero,
                3 => {
                    let index = (entry & 0x0fff_0000_0000_0000) >> 48 | (entry & 0xffff_ffff_ffff) << 12;
                    Place::At(grains.saturating_add(index.saturating_mul(self.grain)))
                }
                _ => return Err(Error::corrupt(format!("the entry {entry:#x} of a grain table has no known type"))),
            },
        })
    }
}

/// What else there is to a seSparse extent.
pub(super) struct SeSparse {
    /// Where the changing header is.
    pub(super) volatile: u64,
}

impl SeSparse {
    /// Refuses an extent whose journal has to be replayed first; `sector` is its changing header.
    pub(super) fn check_volatile(sector: &[u8]) -> Result<()> {
        let words: Vec<u64> = sector.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b)).collect();
        match words[..] {
            [MAGIC_SESPARSE_VOLATILE, _, _, 0, ..] => Ok(()),
            [MAGIC_SESPARSE_VOLATILE, ..] => Err(Error::unsupported(
                "the seSparse extent was not closed: its journal would have to be replayed first, and its form is not documented",
            )),
            _ => Err(Error::corrupt("the second header of the seSparse extent is none")),
        }
    }
}
