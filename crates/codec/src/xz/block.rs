//! One block: header, filters, the raw decoder.

use super::parse_number;
use crate::checksum::crc32;
use crate::error::{Error, Result};
use liblzma::stream::{Action, Error as LzmaError, Filters, Status, Stream};

/// What a block says about itself.
pub(crate) struct BlockHeader {
    pub(crate) len: usize,
    pub(crate) compressed: Option<u64>,
    pub(crate) uncompressed: Option<u64>,
}

impl BlockHeader {
    /// The most a header can take.
    pub(crate) const MAX: usize = 1024;

    /// The length of a header with this first byte, which is not 0.
    pub(crate) fn len_of(first: u8) -> usize {
        (usize::from(first) + 1) * 4
    }

    /// Parses a whole header and makes the decoder it asks for; `memory` limits the dictionary.
    pub(crate) fn parse(bytes: &[u8], memory: u64) -> Result<(Self, RawDecoder)> {
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
        let mut filters = Filters::new();
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
            push(&mut filters, id, properties, memory)?;
        }
        if rest.iter().any(|b| *b != 0) {
            return Err(Error::unsupported("xz: something unknown in a block header"));
        }
        let decoder = Stream::new_raw_decoder(&filters).map(RawDecoder).map_err(error)?;
        Ok((Self { len, compressed, uncompressed }, decoder))
    }
}

const LZMA2: u64 = 0x21;

fn push(filters: &mut Filters, id: u64, properties: &[u8], memory: u64) -> Result<()> {
    match id {
        0x03 => filters.delta_properties(properties),
        0x04 => filters.x86_properties(properties),
        0x05 => filters.powerpc_properties(properties),
        0x06 => filters.ia64_properties(properties),
        0x07 => filters.arm_properties(properties),
        0x08 => filters.arm_thumb_properties(properties),
        0x09 => filters.sparc_properties(properties),
        0x0a => filters.arm64_properties(properties),
        0x0b => filters.riscv_properties(properties),
        LZMA2 => {
            let [size @ 0..=40] = properties else {
                return Err(Error::unsupported("xz: unknown LZMA2 dictionary size"));
            };
            let dictionary =
                if *size == 40 { u64::from(u32::MAX) } else { (2 | u64::from(size & 1)) << (size / 2 + 11) };
            if dictionary > memory {
                return Err(Error::TooLarge(format!("xz: needs a dictionary of {dictionary} bytes").into()));
            }
            filters.lzma2_properties(properties)
        }
        _ => return Err(Error::Unsupported(format!("xz: filter {id:#x}").into())),
    }
    .map(|_| ())
    .map_err(error)
}

pub(crate) fn error(e: LzmaError) -> Error {
    match e {
        LzmaError::Data | LzmaError::Format => Error::corrupt("lzma: broken data"),
        LzmaError::MemLimit | LzmaError::Mem => Error::too_large("lzma: needs more memory than allowed"),
        LzmaError::Options | LzmaError::NoCheck | LzmaError::UnsupportedCheck => {
            Error::unsupported("lzma: unknown options")
        }
        LzmaError::Program => Error::corrupt("lzma: unusable data"),
    }
}

/// Decodes the filtered data of a block.
pub(crate) struct RawDecoder(Stream);

/// What one call did.
pub(crate) struct Step {
    pub(crate) consumed: usize,
    pub(crate) written: usize,
    pub(crate) ended: bool,
}

impl RawDecoder {
    /// A decoder for a whole .lzma file.
    pub(crate) fn lzma_alone(memory: u64) -> Result<Self> {
        Stream::new_lzma_decoder(memory).map(Self).map_err(error)
    }

    pub(crate) fn step(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Step> {
        let (consumed, written) = (self.0.total_in(), self.0.total_out());
        let status = self.0.process(src, dst, Action::Run).map_err(error)?;
        Ok(Step {
            consumed: (self.0.total_in() - consumed) as usize,
            written: (self.0.total_out() - written) as usize,
            ended: status == Status::StreamEnd,
        })
    }
}
