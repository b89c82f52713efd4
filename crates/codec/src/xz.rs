//! The .xz container: what can be known without decoding, and single blocks by position.
//!
//! ```text
//!   stream header | block block ... | index | stream footer | padding | stream header ...
//! ```
//!
//! [`Index::read`] goes from the end of the file to its start, from footer to index, through all streams; [`Block::decode`] then
//! decodes any one block. Written from the .xz file format specification 1.2.1.

mod block;
mod check;
mod decoder;
mod index;
#[cfg(test)]
mod tests;

pub(crate) use block::BlockHeader;
pub(crate) use check::{Check, Running};
pub(crate) use decoder::BlockDecoder;
pub use index::{Block, Index};

use crate::checksum::crc32;
use crate::error::{Error, Result};

pub(crate) const HEADER_MAGIC: &[u8; 6] = b"\xfd7zXZ\0";
const FOOTER_MAGIC: &[u8; 2] = b"YZ";

/// The stream flags of a header or footer: the kind of check.
fn parse_flags(flags: [u8; 2]) -> Result<Check> {
    match flags {
        [0, kind @ 0..=15] => Ok(Check(kind)),
        _ => Err(Error::unsupported("xz: unknown stream flags")),
    }
}

/// The check a stream header of 12 bytes announces.
pub(crate) fn parse_stream_header(bytes: &[u8; 12]) -> Result<Check> {
    let [magic @ .., f0, f1, c0, c1, c2, c3] = bytes;
    if magic != HEADER_MAGIC {
        return Err(Error::corrupt("xz: not a stream"));
    }
    if u32::from_le_bytes([*c0, *c1, *c2, *c3]) != crc32(&[*f0, *f1]) {
        return Err(Error::corrupt("xz: stream header's checksum does not match"));
    }
    parse_flags([*f0, *f1])
}

/// The check and the length of the index that a stream footer of 12 bytes announces.
pub(crate) fn parse_stream_footer(bytes: &[u8; 12]) -> Result<(Check, u64)> {
    let [c0, c1, c2, c3, rest @ ..] = bytes;
    let [b0, b1, b2, b3, f0, f1, m0, m1] = rest;
    if [*m0, *m1] != *FOOTER_MAGIC {
        return Err(Error::corrupt("xz: no stream footer"));
    }
    if u32::from_le_bytes([*c0, *c1, *c2, *c3]) != crc32(&rest[..6]) {
        return Err(Error::corrupt("xz: stream footer's checksum does not match"));
    }
    let backward = u64::from(u32::from_le_bytes([*b0, *b1, *b2, *b3]));
    Ok((parse_flags([*f0, *f1])?, (backward + 1) * 4))
}

/// A variable-length number at the start of `bytes`, and what follows it.
pub(crate) fn parse_number(bytes: &[u8]) -> Result<(u64, &[u8])> {
    let mut number = 0;
    for (i, byte) in bytes.iter().take(9).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            if *byte == 0 && i > 0 {
                return Err(Error::corrupt("xz: number with superfluous bytes"));
            }
            return Ok((number, &bytes[i + 1..]));
        }
    }
    Err(if bytes.len() < 9 { Error::Truncated } else { Error::corrupt("xz: number too long") })
}
