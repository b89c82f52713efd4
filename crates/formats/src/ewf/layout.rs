//! The structures on disk. All numbers are little-endian; every checksum is plain Adler-32 over what stands before it.
//!
//! Source: libyal's "Expert Witness Compression Format" specification, checked against files of ewfacquire, EnCase 4 and FTK.

use tintype_codec::checksum::adler32;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What every E01 and S01 file begins with.
pub(super) const MAGIC: [u8; 8] = *b"EVF\x09\x0d\x0a\xff\x00";
/// What logical evidence (L01) begins with.
pub(super) const MAGIC_LOGICAL: [u8; 8] = *b"LVF\x09\x0d\x0a\xff\x00";
/// What version 2 evidence (Ex01) begins with.
pub(super) const MAGIC_V2: [u8; 8] = *b"EVF2\x0d\x0a\x81\x00";
/// What version 2 logical evidence (Lx01) begins with.
pub(super) const MAGIC_V2_LOGICAL: [u8; 8] = *b"LEF2\x0d\x0a\x81\x00";
/// What images begin with that FTK Imager encrypted as a whole.
pub(super) const MAGIC_AD: [u8; 8] = *b"ADCRYPT\x00";

/// Most entries of a table that we write; what EnCase 6 takes.
pub(super) const TABLE_ENTRIES: u32 = 65_534;
/// The bit of a table entry that says: compressed.
pub(super) const COMPRESSED: u32 = 1 << 31;

/// A structure that ends in the Adler-32 of all its bytes before that.
pub(super) trait Sealed: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned + Sized {
    /// The checksum it carries.
    fn stored(&self) -> u32;
    /// The place of the checksum.
    fn stored_mut(&mut self) -> &mut U32;

    /// The checksum it should carry.
    fn computed(&self) -> u32 {
        let bytes = self.as_bytes();
        adler32(&bytes[..bytes.len() - 4])
    }

    /// True if it carries the right checksum.
    fn intact(&self) -> bool {
        self.stored() == self.computed()
    }

    /// The same with the right checksum.
    fn sealed(mut self) -> Self {
        *self.stored_mut() = U32::new(self.computed());
        self
    }

    /// The structure at the start of `bytes`; none if they are too few.
    fn parse(bytes: &[u8]) -> Option<Self> {
        Self::read_from_prefix(bytes).ok().map(|(value, _)| value)
    }
}

macro_rules! sealed {
    ($($name:ty),*) => {$(
        impl Sealed for $name {
            fn stored(&self) -> u32 {
                self.checksum.get()
            }
            fn stored_mut(&mut self) -> &mut U32 {
                &mut self.checksum
            }
        }
    )*};
}

/// The start of every segment file.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FileHeader {
    pub(super) magic: [u8; 8],
    pub(super) fields_start: u8,
    pub(super) segment: U16,
    pub(super) fields_end: U16,
}

impl FileHeader {
    pub(super) const LEN: u64 = size_of::<Self>() as u64;

    pub(super) fn new(segment: u16) -> Self {
        FileHeader { magic: MAGIC, fields_start: 1, segment: U16::new(segment), fields_end: U16::ZERO }
    }
}

/// The start of every section.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Descriptor {
    pub(super) kind: [u8; 16],
    pub(super) next: U64,
    pub(super) size: U64,
    pub(super) padding: [u8; 40],
    pub(super) checksum: U32,
}

impl Descriptor {
    pub(super) const LEN: u64 = size_of::<Self>() as u64;

    /// The descriptor of a section that starts at `at` and holds `data` bytes.
    pub(super) fn new(kind: &str, at: u64, data: u64) -> Self {
        let size = Self::LEN + data;
        Self::with(kind, at + size, size)
    }

    /// The descriptor that ends a segment: `next` or `done`, which points to itself.
    pub(super) fn last(kind: &str, at: u64) -> Self {
        Self::with(kind, at, 0)
    }

    fn with(kind: &str, next: u64, size: u64) -> Self {
        let mut descriptor = Descriptor::new_zeroed();
        descriptor.kind[..kind.len()].copy_from_slice(kind.as_bytes());
        descriptor.next = U64::new(next);
        descriptor.size = U64::new(size);
        descriptor.sealed()
    }

    /// The name of the section.
    pub(super) fn name(&self) -> &[u8] {
        let end = self.kind.iter().position(|b| *b == 0).unwrap_or(self.kind.len());
        &self.kind[..end]
    }
}

/// What `volume`, `disk` and `data` sections hold, as EnCase writes it.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Volume {
    pub(super) media_type: u8,
    pub(super) unknown1: [u8; 3],
    pub(super) chunks: U32,
    pub(super) sectors_per_chunk: U32,
    pub(super) bytes_per_sector: U32,
    pub(super) sectors: U64,
    pub(super) cylinders: U32,
    pub(super) heads: U32,
    pub(super) sectors_per_track: U32,
    pub(super) media_flags: u8,
    pub(super) unknown2: [u8; 3],
    pub(super) palm_start: U32,
    pub(super) unknown3: [u8; 4],
    pub(super) smart_start: U32,
    pub(super) compression: u8,
    pub(super) unknown4: [u8; 3],
    pub(super) granularity: U32,
    pub(super) unknown5: [u8; 4],
    pub(super) set: [u8; 16],
    pub(super) unknown6: [u8; 963],
    pub(super) signature: [u8; 5],
    pub(super) checksum: U32,
}

/// What a `volume` section holds by the first specification, in SMART's files above all.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SmallVolume {
    pub(super) reserved1: U32,
    pub(super) chunks: U32,
    pub(super) sectors_per_chunk: U32,
    pub(super) bytes_per_sector: U32,
    pub(super) sectors: U32,
    pub(super) reserved2: [u8; 65],
    pub(super) signature: [u8; 5],
    pub(super) checksum: U32,
}

/// The head of a table.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct TableHeader {
    pub(super) entries: U32,
    pub(super) padding1: U32,
    pub(super) base: U64,
    pub(super) padding2: U32,
    pub(super) checksum: U32,
}

impl TableHeader {
    pub(super) const LEN: u64 = size_of::<Self>() as u64;

    pub(super) fn new(entries: u32, base: u64) -> Self {
        let zero = U32::ZERO;
        TableHeader { entries: U32::new(entries), padding1: zero, base: U64::new(base), padding2: zero, checksum: zero }
            .sealed()
    }
}

/// Bytes of a section that holds a table of `entries`, its descriptor included.
pub(super) fn table_len(entries: u64) -> u64 {
    Descriptor::LEN + TableHeader::LEN + 4 * entries + 4
}

/// What a `hash` section holds.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Hash {
    pub(super) md5: [u8; 16],
    pub(super) unknown: [u8; 16],
    pub(super) checksum: U32,
}

/// What a `digest` section holds.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Digest {
    pub(super) md5: [u8; 16],
    pub(super) sha1: [u8; 20],
    pub(super) padding: [u8; 40],
    pub(super) checksum: U32,
}

/// The head of an `error2` section; its entries and their Adler-32 follow.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Errors {
    pub(super) entries: U32,
    pub(super) unknown: [u8; 512],
    pub(super) checksum: U32,
}

/// One range of an `error2` section.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ErrorEntry {
    pub(super) start: U32,
    pub(super) sectors: U32,
}

/// The head of a `session` section; its entries and their Adler-32 follow.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Sessions {
    pub(super) entries: U32,
    pub(super) unknown: [u8; 28],
    pub(super) checksum: U32,
}

/// One track of a `session` section.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SessionEntry {
    pub(super) flags: U32,
    pub(super) start: U32,
    pub(super) unknown: [u8; 24],
}

sealed!(Descriptor, Volume, SmallVolume, TableHeader, Hash, Digest, Errors, Sessions);

const _: () = {
    assert!(size_of::<FileHeader>() == 13);
    assert!(size_of::<Descriptor>() == 76);
    assert!(size_of::<Volume>() == 1052);
    assert!(size_of::<SmallVolume>() == 94);
    assert!(size_of::<TableHeader>() == 24);
    assert!(size_of::<Hash>() == 36);
    assert!(size_of::<Digest>() == 80);
    assert!(size_of::<Errors>() == 520);
    assert!(size_of::<Sessions>() == 36);
    assert!(size_of::<SessionEntry>() == 32);
};

/// A set identifier as text, in the mixed byte order of Windows GUIDs; empty if it is not set.
pub(super) fn guid_text(set: &[u8; 16]) -> String {
    if *set == [0; 16] {
        return String::new();
    }
    let [a, b, c, d, e, f, g, h, rest @ ..] = set;
    let head = format!("{d:02x}{c:02x}{b:02x}{a:02x}-{f:02x}{e:02x}-{h:02x}{g:02x}-");
    let tail: String = rest.iter().map(|b| format!("{b:02x}")).collect();
    format!("{head}{}-{}", &tail[..4], &tail[4..])
}
