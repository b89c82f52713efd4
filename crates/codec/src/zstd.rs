//! zstd: frames encoded and decoded whole, and frames found without decoding.
//!
//! Streams of frames are decoded by [`stream`](crate::stream), with a decoder of our own that can be taken up after every block; whole
//! frames are encoded and decoded by libzstd. A table of frames for random access is in [`zstd_seekable`](crate::zstd_seekable).

mod bits;
mod block;
mod frame;
mod fse;
mod history;
mod huffman;
mod sequences;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
pub(crate) use block::Blocks;
pub use frame::{Frame, FrameHeader, Frames, parse_frame_header};
pub(crate) use frame::{MAGIC, is_skippable};
pub(crate) use history::{BLOCK, History};
use std::ops::RangeInclusive;
use zstd_safe::{CCtx, CParameter, DCtx, DParameter, get_error_name};

/// Levels that make sense to offer; below 1 lie the ones that trade much size for speed.
pub const LEVELS: RangeInclusive<i32> = 1..=22;

/// Whether a frame ends in a checksum of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Four bytes of XXH64 at the end.
    Written,
    /// None: the container has its own.
    Omitted,
}

/// A reusable encoder of whole frames.
pub struct Compressor(CCtx<'static>);

impl Compressor {
    /// An encoder; the library clamps `level` to what it has.
    pub fn new(level: i32, checksum: Checksum) -> Result<Self> {
        let mut context = CCtx::try_create().ok_or(Error::too_large("zstd: no memory for an encoder"))?;
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(error)?;
        context.set_parameter(CParameter::ChecksumFlag(checksum == Checksum::Written)).map_err(error)?;
        context.set_parameter(CParameter::ContentSizeFlag(true)).map_err(error)?;
        Ok(Self(context))
    }

    /// Appends `plain` as one frame that announces its size; returns the frame's length.
    pub fn frame(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<usize> {
        self.bounded(plain, zstd_safe::compress_bound(plain.len()), out)
    }

    /// Like [`frame`](Self::frame), but gives up, leaving `out` as it was, when the frame would be longer than `max_len`.
    pub fn frame_bounded(&mut self, plain: &[u8], max_len: usize, out: &mut Vec<u8>) -> Result<Option<usize>> {
        match self.bounded(plain, max_len.min(zstd_safe::compress_bound(plain.len())), out) {
            Ok(len) => Ok(Some(len)),
            Err(Error::TooLarge(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn bounded(&mut self, plain: &[u8], max_len: usize, out: &mut Vec<u8>) -> Result<usize> {
        let before = out.len();
        out.resize(before + max_len, 0);
        let result = self.0.compress2(&mut out[before..], plain).map_err(error);
        out.truncate(before + *result.as_ref().unwrap_or(&0));
        result
    }
}

/// A reusable decoder of whole frames.
pub struct Decompressor(DCtx<'static>);

impl Decompressor {
    /// A decoder.
    pub fn new() -> Result<Self> {
        let mut context = DCtx::try_create().ok_or(Error::too_large("zstd: no memory for a decoder"))?;
        // A whole frame is decoded in place: the output is the window, so its size costs nothing.
        context.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG)).map_err(error)?;
        Ok(Self(context))
    }

    /// Decodes `src`, whole frames and nothing else, into the start of `dst`; returns how many bytes there were.
    ///
    /// [`Error::TooLarge`] when they do not fit.
    pub fn frame(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        self.0.decompress(dst, src).map_err(error)
    }

    /// Like [`frame`](Self::frame) for the first frame of `src`, whatever follows it.
    pub fn first_frame(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize> {
        let len = zstd_safe::find_frame_compressed_size(src).map_err(error)?;
        self.frame(src.get(..len).ok_or(Error::Truncated)?, dst)
    }
}

/// The largest the library accepts.
pub(crate) const MAX_WINDOW_LOG: u32 = if usize::BITS == 64 { 31 } else { 30 };

pub(crate) fn error(code: usize) -> Error {
    let name = get_error_name(code);
    // The binding keeps the library's error numbers to itself; the texts are as stable as the numbers.
    match name {
        "Destination buffer is too small" => Error::too_large("zstd: the output does not fit its buffer"),
        "Frame requires too much memory for decoding" | "Allocation error : not enough memory" => {
            Error::too_large("zstd: needs more memory than allowed")
        }
        "Src size is incorrect" => Error::Truncated,
        "Dictionary mismatch" => Error::unsupported("zstd: needs a dictionary"),
        _ => Error::Corrupt(format!("zstd: {name}").into()),
    }
}
