//! lzop files: headers, and blocks found without decoding.
//!
//! Streams are decoded by [`stream`](crate::stream), single blocks by [`lzo1x`](crate::lzo1x).
//!
//! ```text
//!   magic | header, checksum | (length, packed length, checksums, data) ... | 0 | magic ...
//! ```

use crate::checksum::{Adler32, Crc32};
use crate::error::{Error, Result};
use crate::stream::{Feed, Input};

/// The first nine bytes.
pub const MAGIC: &[u8; 9] = b"\x89LZO\0\r\n\x1a\n";

/// lzop itself goes no further.
pub(crate) const MAX_BLOCK: u32 = 64 << 20;

const ADLER_PLAIN: u32 = 0x0001;
const ADLER_PACKED: u32 = 0x0002;
const EXTRA_FIELD: u32 = 0x0040;
const CRC_PLAIN: u32 = 0x0100;
const CRC_PACKED: u32 = 0x0200;
const MULTIPART: u32 = 0x0400;
const FILTER: u32 = 0x0800;
const CRC_HEADER: u32 = 0x1000;

/// Which checksums stand before a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(u32);

impl Flags {
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// What stands before a block.
pub(crate) struct BlockHeader {
    pub(crate) len: u32,
    pub(crate) packed_len: u32,
    plain: Sums,
    packed: Sums,
}

/// The checksums there are of one thing.
#[derive(Default)]
pub(crate) struct Sums {
    adler: Option<u32>,
    crc: Option<u32>,
}

impl Sums {
    fn matches(&self, bytes: &[u8]) -> bool {
        self.adler.is_none_or(|sum| sum == crate::checksum::adler32(bytes))
            && self.crc.is_none_or(|sum| sum == crate::checksum::crc32(bytes))
    }
}

impl BlockHeader {
    /// Reads the header of the next block; `None` at the end mark.
    pub(crate) fn read(feed: &mut Feed, flags: Flags) -> Result<Option<Self>> {
        let len = u32::from_be_bytes(feed.take()?);
        if len == 0 {
            return Ok(None);
        }
        let packed_len = u32::from_be_bytes(feed.take()?);
        if len > MAX_BLOCK || packed_len == 0 || packed_len > len {
            return Err(Error::corrupt("lzop: impossible block"));
        }
        let mut sum = |bit: u32| -> Result<Option<u32>> {
            if flags.0 & bit != 0 { Ok(Some(u32::from_be_bytes(feed.take()?))) } else { Ok(None) }
        };
        let plain = Sums { adler: sum(ADLER_PLAIN)?, crc: sum(CRC_PLAIN)? };
        let packed =
            if packed_len < len { Sums { adler: sum(ADLER_PACKED)?, crc: sum(CRC_PACKED)? } } else { Sums::default() };
        Ok(Some(Self { len, packed_len, plain, packed }))
    }

    /// Whether there is a checksum of the content; one of the packed bytes alone is left out where those are the content.
    pub(crate) fn is_checked(&self) -> bool {
        self.plain.adler.is_some() || self.plain.crc.is_some()
    }

    /// Decodes the block from its stored bytes into `plain`, which has room for `len`.
    pub(crate) fn decode(&self, stored: &[u8], plain: &mut [u8]) -> Result<()> {
        if !self.packed.matches(stored) {
            return Err(Error::corrupt("lzop: checksum of a compressed block does not match"));
        }
        if self.packed_len == self.len {
            plain.copy_from_slice(stored);
        } else {
            match crate::lzo1x::decode(stored, plain) {
                Ok(n) if n == plain.len() => {}
                Ok(_) => return Err(Error::corrupt("lzop: a block is shorter than announced")),
                Err(Error::TooLarge(_)) => return Err(Error::corrupt("lzop: a block is longer than announced")),
                Err(e) => return Err(e),
            }
        }
        if !self.plain.matches(plain) {
            return Err(Error::corrupt("lzop: checksum of a block does not match"));
        }
        Ok(())
    }
}

/// Reads a file header, from the magic number on.
pub(crate) fn read_header(feed: &mut Feed) -> Result<Flags> {
    if feed.take::<9>()? != *MAGIC {
        return Err(Error::corrupt("lzop: not a file"));
    }
    let mut header = Header { feed, adler: Adler32::new(), crc: Crc32::new() };
    let version = u16::from_be_bytes(header.take()?);
    let _library: [u8; 2] = header.take()?;
    if version < 0x0900 {
        return Err(Error::unsupported("lzop: version before 0.9"));
    }
    // Version 0.940 added three fields.
    let newer = version >= 0x0940;
    if newer && u16::from_be_bytes(header.take()?) > 0x1040 {
        return Err(Error::unsupported("lzop: needs a later version"));
    }
    let [method] = header.take()?;
    if !(1..=3).contains(&method) {
        return Err(Error::Unsupported(format!("lzop: method {method}").into()));
    }
    if newer {
        let _level: [u8; 1] = header.take()?;
    }
    let flags = u32::from_be_bytes(header.take()?);
    if flags & FILTER != 0 && header.take()? != [0; 4] {
        return Err(Error::unsupported("lzop: a filter"));
    }
    if flags & MULTIPART != 0 {
        return Err(Error::unsupported("lzop: an archive of several parts"));
    }
    let _mode_and_time: [u8; 8] = header.take()?;
    if newer {
        let _time_high: [u8; 4] = header.take()?;
    }
    let [name_len] = header.take()?;
    for _ in 0..name_len {
        let _name: [u8; 1] = header.take()?;
    }
    let sum = if flags & CRC_HEADER != 0 { header.crc.value() } else { header.adler.value() };
    if u32::from_be_bytes(feed.take()?) != sum {
        return Err(Error::corrupt("lzop: header's checksum does not match"));
    }
    if flags & EXTRA_FIELD != 0 {
        let len = u32::from_be_bytes(feed.take()?);
        feed.hop(u64::from(len) + 4)?;
    }
    Ok(Flags(flags))
}

struct Header<'a> {
    feed: &'a mut Feed,
    adler: Adler32,
    crc: Crc32,
}

impl Header<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.feed.take()?;
        self.adler.update(&bytes);
        self.crc.update(&bytes);
        Ok(bytes)
    }
}

/// A block in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where its header starts.
    pub in_offset: u64,
    /// Where its content starts in the output.
    pub out_offset: u64,
    /// The length of its content.
    pub len: u32,
    flags: Flags,
}

impl Block {
    /// The place for [`resume`](crate::stream::resume) to decode from this block on.
    pub fn checkpoint(&self) -> crate::stream::Checkpoint {
        crate::stream::Checkpoint {
            in_offset: self.in_offset,
            in_bits: 0,
            out_offset: self.out_offset,
            window: crate::stream::Window::default(),
            extra: self.flags.bits().to_le_bytes().to_vec(),
        }
    }
}

/// All blocks of a file in order, found by hopping from header to header.
///
/// Ends after the first error.
pub struct Blocks {
    feed: Feed,
    flags: Option<Flags>,
    first: bool,
    done: bool,
    out_offset: u64,
}

impl Blocks {
    /// Starts at the beginning of a file.
    pub fn new(input: Box<dyn Input>) -> Self {
        Self { feed: Feed::for_headers(input), flags: None, first: true, done: false, out_offset: 0 }
    }

    fn block(&mut self) -> Result<Option<Block>> {
        loop {
            let Some(flags) = self.flags else {
                if !self.first {
                    let head = self.feed.want(MAGIC.len())?;
                    if head.is_empty() {
                        return Ok(None);
                    }
                    if !head.starts_with(MAGIC) {
                        return Err(self.feed.trailing());
                    }
                }
                self.flags = Some(read_header(&mut self.feed)?);
                self.first = false;
                continue;
            };
            let in_offset = self.feed.offset();
            let Some(header) = BlockHeader::read(&mut self.feed, flags)? else {
                self.flags = None;
                continue;
            };
            self.feed.hop(header.packed_len.into())?;
            let block = Block { in_offset, out_offset: self.out_offset, len: header.len, flags };
            self.out_offset += u64::from(header.len);
            return Ok(Some(block));
        }
    }
}

impl Iterator for Blocks {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let block = self.block().transpose();
        self.done = !matches!(block, Some(Ok(_)));
        block
    }
}
