//! What a block says about itself.

use super::parse_number;
use crate::checksum::crc32;
use crate::error::{Error, Result};

/// The header of a block.
pub(crate) struct BlockHeader {
    pub(crate) len: usize,
    pub(crate) compressed: Option<u64>,
    pub(crate) uncompressed: Option<u64>,
    /// Bytes of history that LZMA2 refers to.
    pub(crate) dictionary: u32,
    /// What the bytes went through before LZMA2, in that order: numbers and properties.
    pub(crate) filters: Vec<(u64, Vec<u8>)>,
}

impl BlockHeader {
    /// The most a header can take.
    pub(crate) const MAX: usize = 1024;

    /// The length of a header with this first byte, which is not 0.
    pub(crate) fn len_of(first: u8) -> usize {
        (usize::from(first) + 1) * 4
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let len = Self::len_of(*bytes.first().ok_or(Error::Truncated)?);
        let bytes = bytes.get(..len).ok_or(Error::Truncated)?;
        let (body, crc) = bytes.split_last_chunk().ok_or(Error::Truncated)?;
        if u32::from_le_bytes(*crc) != crc32(body) {
            return Err(Error::corrupt("xz: block header's checksum does not match"));
        }
        let flags = body[1];
        if flags & 0x3c != 0 {
            return Err(Error::unsupported("xz: unknown block flags"));
        }
        let mut rest = &body[2..];
        let mut number = || -> Result<u64> {
            let (number, tail) = parse_number(rest)?;
            rest = tail;
            Ok(number)
        };
        let compressed = if flags & 0x40 != 0 { Some(number()?) } else { None };
        let uncompressed = if flags & 0x80 != 0 { Some(number()?) } else { None };
        let mut filters = Vec::new();
        let mut dictionary = 0;
        let count = flags & 3;
        for i in 0..=count {
            let (id, tail) = parse_number(rest)?;
            let (size, tail) = parse_number(tail)?;
            let size = usize::try_from(size).ok().filter(|n| *n <= tail.len());
            let (properties, tail) = tail.split_at(size.ok_or(Error::corrupt("xz: filter too long"))?);
            rest = tail;
            if (id == LZMA2) != (i == count) {
                return Err(Error::unsupported("xz: a chain of filters that does not end in LZMA2"));
            }
            if id == LZMA2 {
                dictionary = parse_dictionary(properties)?;
            } else {
                filters.push((id, properties.to_vec()));
            }
        }
        if rest.iter().any(|b| *b != 0) {
            return Err(Error::unsupported("xz: something unknown in a block header"));
        }
        Ok(Self { len, compressed, uncompressed, dictionary, filters })
    }
}

const LZMA2: u64 = 0x21;

fn parse_dictionary(properties: &[u8]) -> Result<u32> {
    match properties {
        [40] => Ok(u32::MAX),
        [size @ 0..40] => Ok((2 | u32::from(size & 1)) << (size / 2 + 11)),
        _ => Err(Error::unsupported("xz: unknown LZMA2 dictionary size")),
    }
}
