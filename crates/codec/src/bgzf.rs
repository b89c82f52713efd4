//! BGZF: gzip members of at most 64 KiB that say their own length, so that a file can be entered anywhere.
//!
//! Written from the description in the SAM specification, section 4.1. Any gzip reader reads it.

use crate::checksum::crc32;
use crate::deflate::{Compressor, Decompressor, Level};
use crate::error::{Error, Result};
use crate::gzip;
use crate::stream::{Feed, Input};

/// The most plain bytes one block takes; even incompressible they fit the 64 KiB of a block.
pub const MAX_PLAIN: usize = 65280;

/// The empty block that ends a file.
pub const END: [u8; 28] =
    [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, b'B', b'C', 2, 0, 27, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

const HEADER: usize = 18;
const TRAILER: usize = 8;
const MAX_BLOCK: usize = 65536;

/// A reusable encoder of blocks.
pub struct Encoder(Compressor);

impl Encoder {
    /// An encoder of this level.
    pub fn new(level: Level) -> Self {
        Self(Compressor::new(level))
    }

    /// Appends `plain` as one block, nothing as [`END`]; returns its length. [`Error::TooLarge`] above [`MAX_PLAIN`] bytes.
    pub fn block(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<usize> {
        if plain.len() > MAX_PLAIN {
            return Err(Error::too_large("bgzf: more than one block holds"));
        }
        if plain.is_empty() {
            out.extend_from_slice(&END);
            return Ok(END.len());
        }
        let start = out.len();
        out.extend_from_slice(&END[..HEADER]);
        if self.0.raw_bounded(plain, MAX_BLOCK - HEADER - TRAILER, out).is_none() {
            out.push(1);
            out.extend_from_slice(&(plain.len() as u16).to_le_bytes());
            out.extend_from_slice(&(!(plain.len() as u16)).to_le_bytes());
            out.extend_from_slice(plain);
        }
        out.extend_from_slice(&crc32(plain).to_le_bytes());
        out.extend_from_slice(&(plain.len() as u32).to_le_bytes());
        let len = out.len() - start;
        out[start + 16..start + HEADER].copy_from_slice(&((len - 1) as u16).to_le_bytes());
        Ok(len)
    }
}

/// A block in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it starts.
    pub in_offset: u64,
    /// Its whole length, at most 64 KiB.
    pub in_len: u32,
    /// Where its content starts in the output.
    pub out_offset: u64,
    /// The length of its content, at most 64 KiB.
    pub len: u32,
}

/// Decodes one whole block into `out`, which has exactly the length of its content, and verifies its CRC-32.
pub fn decode_block(decompressor: &mut Decompressor, block: &[u8], out: &mut [u8]) -> Result<()> {
    let (body, trailer) = block.split_last_chunk::<TRAILER>().ok_or(Error::Truncated)?;
    let [c0, c1, c2, c3, ..] = *trailer;
    let header = gzip::parse_header(body)?;
    let progress = decompressor.raw(&body[header.len..], out).map_err(|e| match e {
        Error::TooLarge(_) => Error::corrupt("bgzf: a block holds more than it announces"),
        e => e,
    })?;
    if progress.written != out.len() || u32::from_le_bytes([c0, c1, c2, c3]) != crc32(out) {
        return Err(Error::corrupt("bgzf: length or CRC-32 of a block does not match"));
    }
    Ok(())
}

/// All blocks of a file in order, found by hopping; empty ones are left out.
///
/// Ends after the first error; the first item of a file that is gzip but not BGZF is [`Error::Unsupported`].
pub struct Blocks {
    feed: Feed,
    out_offset: u64,
    done: bool,
}

impl Blocks {
    /// Starts at the beginning of a file.
    pub fn new(input: Box<dyn Input>) -> Self {
        Self { feed: Feed::for_headers(input), out_offset: 0, done: false }
    }

    fn block(&mut self) -> Result<Option<Block>> {
        loop {
            let in_offset = self.feed.offset();
            let head = self.feed.want(HEADER)?;
            if head.is_empty() && in_offset > 0 {
                return Ok(None);
            }
            if in_offset > 0 && !head.starts_with(&[0x1f, 0x8b]) {
                return Err(self.feed.trailing());
            }
            // The field may hide among others, but every writer puts it first.
            let mut header = gzip::parse_header(head);
            if matches!(header, Err(Error::Truncated)) {
                header = gzip::parse_header(self.feed.want(4096)?);
            }
            let header = header?;
            let Some([low, high]) = header.subfield(*b"BC") else {
                return Err(Error::unsupported("bgzf: a gzip member without the length of its block"));
            };
            let in_len = u32::from(u16::from_le_bytes([*low, *high])) + 1;
            let Some(rest) = (in_len as usize).checked_sub(4).filter(|rest| *rest >= header.len + 4) else {
                return Err(Error::corrupt("bgzf: block shorter than its header"));
            };
            self.feed.hop(rest as u64 - 4)?;
            let crc = u32::from_le_bytes(self.feed.take()?);
            let len = u32::from_le_bytes(self.feed.take()?);
            if len as usize > MAX_BLOCK {
                return Err(Error::corrupt("bgzf: block with impossible content"));
            }
            if len == 0 {
                // A block that says it is empty by mistake would be left out.
                if crc != crc32(&[]) {
                    return Err(Error::corrupt("bgzf: an empty block with the CRC-32 of another"));
                }
                continue;
            }
            let block = Block { in_offset, in_len, out_offset: self.out_offset, len };
            self.out_offset += u64::from(len);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Kind, Limits, Memory, open};

    fn noise(len: usize) -> Vec<u8> {
        let mut x = 88172645463325252_u64;
        (0..len)
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                x as u8
            })
            .collect()
    }

    #[test]
    fn blocks_are_gzip_and_can_be_entered() {
        let mut plain = noise(MAX_PLAIN);
        plain.extend(std::iter::repeat_n(b'z', MAX_PLAIN));
        plain.extend_from_slice(b"rest");
        let mut encoder = Encoder::new(Level::Fast);
        let mut file = Vec::new();
        for part in plain.chunks(MAX_PLAIN) {
            assert!(encoder.block(part, &mut file).unwrap() <= MAX_BLOCK);
        }
        file.extend_from_slice(&END);
        assert!(encoder.block(&[0; MAX_PLAIN + 1], &mut Vec::new()).is_err());

        let mut whole = vec![0; plain.len() + 1];
        let mut decoder = open(Kind::Gzip, Box::new(Memory(file.clone())), Limits::default()).unwrap();
        assert_eq!(decoder.read(&mut whole).unwrap(), plain.len());
        assert!(whole[..plain.len()] == plain);

        let blocks: Vec<_> = Blocks::new(Box::new(Memory(file.clone()))).map(|b| b.unwrap()).collect();
        assert_eq!(blocks.len(), 3);
        let mut decompressor = Decompressor::new();
        for block in blocks {
            let stored = &file[block.in_offset as usize..][..block.in_len as usize];
            let mut out = vec![0; block.len as usize];
            decode_block(&mut decompressor, stored, &mut out).unwrap();
            assert!(out == plain[block.out_offset as usize..][..out.len()]);
            assert!(decode_block(&mut decompressor, &stored[..stored.len() - 1], &mut out).is_err());
        }
        let last = Blocks::new(Box::new(Memory(file[..file.len() - 40].to_vec()))).last().unwrap();
        assert!(matches!(last, Err(Error::Truncated)));
    }

    #[test]
    fn the_end_block_is_an_empty_block() {
        let mut empty = Vec::new();
        Encoder::new(Level::Fast).block(b"", &mut empty).unwrap();
        assert_eq!(empty, END);
    }
}
