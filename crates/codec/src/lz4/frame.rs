//! Headers of the LZ4 frame format 1.6.

use crate::checksum::xxh32;
use crate::error::{Error, Result};

pub(crate) const MAGIC: u32 = 0x184d_2204;
pub(crate) const LEGACY_MAGIC: u32 = 0x184c_2102;
/// What every block of a legacy frame but the last decodes to.
pub(crate) const LEGACY_BLOCK: usize = 8 << 20;
/// The longest frame header.
pub(crate) const MAX_HEADER: usize = 19;

/// Whether blocks refer back to those before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// Every block stands alone.
    Independent,
    /// A block refers to the 64 KiB before it.
    Linked,
}

/// What a frame says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Length of the header, magic number included.
    pub len: usize,
    /// Whether blocks can be decoded one by one.
    pub linkage: Linkage,
    /// The most a block decodes to: 64 KiB, 256 KiB, 1 MiB or 4 MiB.
    pub max_block: usize,
    /// Whether a checksum follows every block.
    pub block_checksums: bool,
    /// Whether a checksum of the content ends the frame.
    pub content_checksum: bool,
    /// The length of the content, if the frame says it.
    pub content: Option<u64>,
    /// The dictionary needed, if any.
    pub dictionary: Option<u32>,
}

/// Parses the header of a frame that is neither legacy nor skippable.
///
/// [`Error::Truncated`] when it does not end within `bytes`.
pub fn parse_frame_header(bytes: &[u8]) -> Result<FrameHeader> {
    if u32::from_le_bytes(*bytes.first_chunk().ok_or(Error::Truncated)?) != MAGIC {
        return Err(Error::corrupt("lz4: not a frame"));
    }
    let [flags, block] = *bytes[4..].first_chunk().ok_or(Error::Truncated)?;
    let mut header = from_descriptor(flags, block)?;
    let mut len = 6;
    if flags & 8 != 0 {
        header.content = Some(u64::from_le_bytes(*bytes[len..].first_chunk().ok_or(Error::Truncated)?));
        len += 8;
    }
    if flags & 1 != 0 {
        header.dictionary = Some(u32::from_le_bytes(*bytes[len..].first_chunk().ok_or(Error::Truncated)?));
        len += 4;
    }
    let check = *bytes.get(len).ok_or(Error::Truncated)?;
    if check != (xxh32(&bytes[4..len]) >> 8) as u8 {
        return Err(Error::corrupt("lz4: frame header's checksum does not match"));
    }
    header.len = len + 1;
    Ok(header)
}

fn from_descriptor(flags: u8, block: u8) -> Result<FrameHeader> {
    if flags >> 6 != 1 || flags & 2 != 0 || block & 0x8f != 0 || block >> 4 < 4 {
        return Err(Error::unsupported("lz4: unknown version or flags"));
    }
    Ok(FrameHeader {
        len: 0,
        linkage: if flags & 0x20 != 0 { Linkage::Independent } else { Linkage::Linked },
        max_block: 1 << (8 + 2 * (block >> 4)),
        block_checksums: flags & 0x10 != 0,
        content_checksum: flags & 4 != 0,
        content: None,
        dictionary: None,
    })
}

impl FrameHeader {
    /// The two bytes a header is made of, without its optional fields.
    pub(crate) fn descriptor(&self) -> [u8; 2] {
        let flags = 0x40
            | u8::from(self.linkage == Linkage::Independent) << 5
            | u8::from(self.block_checksums) << 4
            | u8::from(self.content_checksum) << 2;
        [flags, ((self.max_block.trailing_zeros() as u8 - 8) / 2) << 4]
    }

    /// The header these two bytes describe.
    pub(crate) fn from_descriptor([flags, block]: [u8; 2]) -> Result<Self> {
        from_descriptor(flags, block)
    }
}

/// What stands before a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockSize {
    EndMark,
    Stored(usize),
    Compressed(usize),
}

/// Reads a block's size field; no block is larger than its content may be.
pub(crate) fn parse_block_size(field: [u8; 4], max_block: usize) -> Result<BlockSize> {
    let field = u32::from_le_bytes(field);
    let len = (field & 0x7fff_ffff) as usize;
    if len > max_block {
        return Err(Error::corrupt("lz4: block larger than the frame allows"));
    }
    Ok(match field {
        0 => BlockSize::EndMark,
        _ if field >> 31 == 1 => BlockSize::Stored(len),
        _ => BlockSize::Compressed(len),
    })
}
