//! The structures on disk. All numbers are little-endian.
//!
//! Source: the published layout of VirtualBox (VDICore.h), as described in forum posts of its authors, and files of VirtualBox and
//! qemu-img looked at byte by byte.

use tintype_core::{Error, Result};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What follows the text at the start.
pub(super) const MAGIC: u32 = 0xBEDA_107F;
/// The only version there is.
pub(super) const VERSION: u32 = 0x0001_0001;
/// The map's entry of a block that is not there.
pub(super) const ABSENT: u64 = 0xFFFF_FFFF;
/// The map's entry of a block of zeros.
pub(super) const ZERO: u64 = 0xFFFF_FFFE;
/// Bytes of a block, as everybody writes them.
pub(super) const BLOCK: u64 = 1 << 20;
/// Most bytes of a block that are believed, with what stands in front of it.
const MOST_BLOCK: u64 = 1 << 30;
/// What sectors have: nothing else was ever seen.
pub(super) const SECTOR: u64 = 512;
/// Least bytes of the header that we need: up to the parent's identifiers.
const SHORT: u32 = 0x180;
/// Bytes of the header that we write.
pub(super) const LONG: u32 = 0x190;

/// What kind of image it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Dynamic = 1,
    Static = 2,
    Undo = 3,
    Differencing = 4,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Dynamic => "dynamic",
            Kind::Static => "static",
            Kind::Undo => "undo",
            Kind::Differencing => "differencing",
        }
    }

    pub(super) fn stands_on_another(self) -> bool {
        matches!(self, Kind::Undo | Kind::Differencing)
    }
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Geometry {
    pub(super) cylinders: U32,
    pub(super) heads: U32,
    pub(super) sectors: U32,
    pub(super) sector: U32,
}

/// The first bytes of the file.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) text: [u8; 64],
    pub(super) magic: U32,
    pub(super) version: U32,
    pub(super) header_size: U32,
    pub(super) image_type: U32,
    pub(super) flags: U32,
    pub(super) comment: [u8; 256],
    pub(super) offset_blocks: U32,
    pub(super) offset_data: U32,
    pub(super) legacy_geometry: Geometry,
    pub(super) dummy: U32,
    pub(super) disk_size: U64,
    pub(super) block_size: U32,
    pub(super) block_extra: U32,
    pub(super) blocks: U32,
    pub(super) blocks_allocated: U32,
    pub(super) uuid_create: [u8; 16],
    pub(super) uuid_modify: [u8; 16],
    pub(super) uuid_parent: [u8; 16],
    pub(super) uuid_parent_modify: [u8; 16],
    pub(super) geometry: Geometry,
}

impl Header {
    /// The header at the start of a file. `Corrupt` or `Unsupported` if it cannot be believed.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut whole = Header::new_zeroed();
        // Older headers lack the last geometry.
        let there = bytes.len().min(size_of::<Self>());
        whole.as_mut_bytes()[..there].copy_from_slice(&bytes[..there]);
        if there < 0x48 + SHORT as usize || whole.magic.get() != MAGIC {
            return Err(Error::corrupt("is no VDI: it is too short, or its signature is missing"));
        }
        let version = whole.version.get();
        if version != VERSION {
            let (major, minor) = (version >> 16, version & 0xffff);
            return Err(Error::unsupported(format!("VDI version {major}.{minor} is not known, only 1.1 is")).at(0x44));
        }
        if whole.header_size.get() < SHORT {
            let what = format!("the header has {} bytes, at least {SHORT} are needed", whole.header_size);
            return Err(Error::corrupt(what).at(0x48));
        }
        whole.kind()?;
        let block = u64::from(whole.block_size.get());
        if block == 0 || !block.is_multiple_of(SECTOR) || !u64::from(whole.block_extra.get()).is_multiple_of(SECTOR) {
            let what = format!("blocks of {block} bytes and {} more are no whole sectors", whole.block_extra);
            return Err(Error::corrupt(what).at(0x178));
        }
        if block + u64::from(whole.block_extra.get()) > MOST_BLOCK {
            let what = format!("blocks of {block} bytes and {} more are longer than anybody writes", whole.block_extra);
            return Err(Error::limit(what).at(0x178));
        }
        let room = block * u64::from(whole.blocks.get());
        if whole.disk_size.get() > room {
            let what = format!("the disk of {} bytes is larger than its {} blocks", whole.disk_size, whole.blocks);
            return Err(Error::corrupt(what).at(0x170));
        }
        let sector = whole.legacy_geometry.sector.get();
        if sector != 0 && u64::from(sector) != SECTOR {
            return Err(Error::unsupported(format!("sectors of {sector} bytes are not known, only 512 are")).at(0x168));
        }
        if whole.uuid_parent != [0; 16] && !whole.kind()?.stands_on_another() {
            return Err(Error::corrupt("the image names a parent although it is of a kind that has none").at(0x1a8));
        }
        Ok(whole)
    }

    /// What kind of image it is.
    pub(super) fn kind(&self) -> Result<Kind> {
        Ok(match self.image_type.get() {
            1 => Kind::Dynamic,
            2 => Kind::Static,
            3 => Kind::Undo,
            4 => Kind::Differencing,
            other => return Err(Error::unsupported(format!("image type {other} is not known")).at(0x4c)),
        })
    }

    /// A new header of a disk of `len` bytes, without offsets and counts.
    pub(super) fn new(kind: Kind, len: u64) -> Self {
        let mut header = Header::new_zeroed();
        let text = b"<<< Oracle VM VirtualBox Disk Image >>>\n";
        header.text[..text.len()].copy_from_slice(text);
        header.magic = U32::new(MAGIC);
        header.version = U32::new(VERSION);
        header.header_size = U32::new(LONG);
        header.image_type = U32::new(kind as u32);
        header.legacy_geometry.sector = U32::new(SECTOR as u32);
        header.disk_size = U64::new(len);
        header.block_size = U32::new(BLOCK as u32);
        header
    }
}
