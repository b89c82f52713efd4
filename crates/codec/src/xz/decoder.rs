//! The data of one block, through LZMA2 and what other filters there are.

use super::BlockHeader;
use crate::error::{Error, Result};
use crate::lzma::{Lzma2, Step};
use liblzma::stream::{Action, Error as LzmaError, Filters, Status, Stream};

/// Decodes the data of a block.
pub(crate) enum BlockDecoder {
    /// LZMA2 alone: can be taken up between chunks.
    Plain(Lzma2),
    /// More filters after it.
    Filtered(Box<Filtered>),
}

impl BlockDecoder {
    /// Input offered in pieces of this size always brings the decoder forward.
    pub(crate) const ENOUGH_INPUT: usize = Lzma2::ENOUGH_INPUT;

    /// A decoder for the block of this header, which holds no more than `len` bytes; it keeps no more than `memory` bytes of
    /// history.
    pub(crate) fn new(header: &BlockHeader, len: u64, memory: u64) -> Result<Self> {
        // Nothing refers back further than the whole content.
        let len = header.uncompressed.map_or(len, |n| n.min(len));
        let lzma2 = Lzma2::new(u64::from(header.dictionary).min(len), memory);
        if header.filters.is_empty() {
            return Ok(Self::Plain(lzma2));
        }
        Ok(Self::Filtered(Box::new(Filtered::new(lzma2, &header.filters)?)))
    }

    /// Decodes up to `most` bytes from `src`, which has [`ENOUGH_INPUT`](Self::ENOUGH_INPUT) unless the input ends in it.
    pub(crate) fn step(&mut self, src: &[u8], most: usize) -> Result<Step> {
        match self {
            Self::Plain(lzma2) => lzma2.step(src, most),
            Self::Filtered(filtered) => filtered.step(src, most),
        }
    }

    /// The last `n` bytes of output, no more than the last step's.
    pub(crate) fn tail(&self, n: usize) -> &[u8] {
        match self {
            Self::Plain(lzma2) => lzma2.tail(n),
            Self::Filtered(filtered) => &filtered.out[filtered.written - n..filtered.written],
        }
    }
}

/// LZMA2 here, the other filters by liblzma: it gets what was decoded as LZMA2 data that is not packed, and needs no memory for it.
pub(crate) struct Filtered {
    lzma2: Lzma2,
    filters: Stream,
    is_first: bool,
    out: Vec<u8>,
    written: usize,
}

/// The most that one unpacked chunk holds.
const CHUNK: usize = 1 << 16;
/// No filter keeps more bytes back.
const KEPT_BACK: usize = 4096;

impl Filtered {
    fn new(lzma2: Lzma2, chain: &[(u64, Vec<u8>)]) -> Result<Self> {
        let mut filters = Filters::new();
        for (id, properties) in chain {
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
                _ => return Err(Error::Unsupported(format!("xz: filter {id:#x}").into())),
            }
            .map_err(error)?;
        }
        // The smallest dictionary: nothing refers to it.
        filters.lzma2_properties(&[0]).map_err(error)?;
        let filters = Stream::new_raw_decoder(&filters).map_err(error)?;
        Ok(Self { lzma2, filters, is_first: true, out: vec![0; CHUNK + KEPT_BACK], written: 0 })
    }

    fn step(&mut self, src: &[u8], most: usize) -> Result<Step> {
        let step = self.lzma2.step(src, most.min(CHUNK))?;
        self.written = 0;
        if step.written > 0 {
            let [high, low] = ((step.written - 1) as u16).to_be_bytes();
            push(&mut self.filters, &[if self.is_first { 1 } else { 2 }, high, low], &mut self.out, &mut self.written)?;
            push(&mut self.filters, self.lzma2.tail(step.written), &mut self.out, &mut self.written)?;
            self.is_first = false;
        }
        if step.ended {
            push(&mut self.filters, &[0], &mut self.out, &mut self.written)?;
        }
        Ok(Step { written: self.written, ..step })
    }
}

/// Lets the filters take in all of `src`, and at its end give out all they have.
fn push(filters: &mut Stream, mut src: &[u8], out: &mut [u8], written: &mut usize) -> Result<()> {
    let ends = src == [0];
    loop {
        let (consumed, produced) = (filters.total_in(), filters.total_out());
        let status = filters.process(src, &mut out[*written..], Action::Run).map_err(error)?;
        let (consumed, produced) =
            ((filters.total_in() - consumed) as usize, (filters.total_out() - produced) as usize);
        *written += produced;
        src = &src[consumed..];
        if status == Status::StreamEnd || (src.is_empty() && !ends) {
            return Ok(());
        }
        if consumed == 0 && produced == 0 {
            return Err(Error::corrupt("xz: a filter does not go on"));
        }
    }
}

fn error(e: LzmaError) -> Error {
    match e {
        LzmaError::Data | LzmaError::Format | LzmaError::Program => Error::corrupt("xz: unusable data for a filter"),
        LzmaError::MemLimit | LzmaError::Mem => Error::too_large("xz: no memory for a filter"),
        LzmaError::Options | LzmaError::NoCheck | LzmaError::UnsupportedCheck => {
            Error::unsupported("xz: unknown options of a filter")
        }
    }
}
