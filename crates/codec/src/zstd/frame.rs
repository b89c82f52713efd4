//! Frames and their headers (RFC 8878), found without decoding.

use crate::error::{Error, Result};
use crate::stream::{Feed, Input};

pub(crate) const MAGIC: u32 = 0xfd2f_b528;

/// Whether a frame with this magic number is one to be skipped.
pub(crate) const fn is_skippable(magic: u32) -> bool {
    magic & 0xffff_fff0 == 0x184d_2a50
}

/// What a frame says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Length of the header, magic number included.
    pub len: usize,
    /// How much memory decoding needs.
    pub window: u64,
    /// The length of the content, if the frame says it.
    pub content: Option<u64>,
    /// The dictionary needed, or 0.
    pub dictionary: u32,
    /// Whether a checksum of four bytes ends the frame.
    pub checksum: bool,
}

/// The longest frame header.
pub(crate) const MAX_HEADER: usize = 18;

/// Parses the header of a frame that is no skippable one; [`Error::Truncated`] when it does not end within `bytes`.
pub fn parse_frame_header(bytes: &[u8]) -> Result<FrameHeader> {
    let magic = u32::from_le_bytes(*bytes.first_chunk().ok_or(Error::Truncated)?);
    if magic != MAGIC {
        return Err(Error::corrupt("zstd: not a frame"));
    }
    let descriptor = *bytes.get(4).ok_or(Error::Truncated)?;
    if descriptor & 8 != 0 {
        return Err(Error::unsupported("zstd: a reserved bit is set"));
    }
    let mut len = 5;
    let mut number = |size: usize| -> Result<u64> {
        let field = bytes.get(len..len + size).ok_or(Error::Truncated)?;
        len += size;
        Ok(field.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    };
    let single_segment = descriptor & 0x20 != 0;
    let window = if single_segment {
        None
    } else {
        let byte = number(1)?;
        let base = 1_u64 << (10 + (byte >> 3));
        Some(base + base / 8 * (byte & 7))
    };
    let dictionary = number([0, 1, 2, 4][usize::from(descriptor & 3)])? as u32;
    let content = match (descriptor >> 6, single_segment) {
        (0, false) => None,
        (0, true) => Some(number(1)?),
        (1, _) => Some(number(2)? + 256),
        (2, _) => Some(number(4)?),
        _ => Some(number(8)?),
    };
    let window = window.or(content).unwrap_or(0);
    Ok(FrameHeader { len, window, content, dictionary, checksum: descriptor & 4 != 0 })
}

/// A frame in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it starts.
    pub offset: u64,
    /// Its whole length.
    pub len: u64,
    /// Its header; `None` for a skippable frame.
    pub header: Option<FrameHeader>,
    /// The most its content can be, from the number of blocks.
    pub content_bound: u64,
}

/// All frames of a file in order, found by hopping from block header to block header.
///
/// Ends after the first error.
pub struct Frames {
    feed: Feed,
    first: bool,
    done: bool,
}

impl Frames {
    /// Starts at the beginning of a file.
    pub fn new(input: Box<dyn Input>) -> Self {
        Self { feed: Feed::for_headers(input), first: true, done: false }
    }

    fn frame(&mut self) -> Result<Option<Frame>> {
        let offset = self.feed.offset();
        let head = self.feed.want(MAX_HEADER)?;
        if head.is_empty() && !self.first {
            return Ok(None);
        }
        let magic = u32::from_le_bytes(*head.first_chunk().ok_or(Error::Truncated)?);
        if is_skippable(magic) {
            let len = u64::from(u32::from_le_bytes(*head[4..].first_chunk().ok_or(Error::Truncated)?));
            self.feed.hop(8 + len)?;
            return Ok(Some(Frame { offset, len: 8 + len, header: None, content_bound: 0 }));
        }
        if magic != MAGIC && !self.first {
            return Err(self.feed.trailing());
        }
        let header = parse_frame_header(head)?;
        self.feed.skip(header.len);
        let largest_block = header.window.min(128 * 1024);
        let mut content_bound = 0;
        loop {
            let [a, b, c] = self.feed.take()?;
            let block = u32::from_le_bytes([a, b, c, 0]);
            let size = u64::from(block >> 3);
            let (stored, content) = match (block >> 1) & 3 {
                0 => (size, size),
                1 => (1, size),
                2 => (size, largest_block),
                _ => return Err(Error::corrupt("zstd: unknown type of block")),
            };
            self.feed.hop(stored)?;
            content_bound += content;
            if block & 1 == 1 {
                break;
            }
        }
        if header.checksum {
            self.feed.hop(4)?;
        }
        Ok(Some(Frame { offset, len: self.feed.offset() - offset, header: Some(header), content_bound }))
    }
}

impl Iterator for Frames {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let frame = self.frame().transpose();
        self.first = false;
        self.done = !matches!(frame, Some(Ok(_)));
        frame
    }
}
