//! LZ4: single blocks both ways, and the frame format's headers.
//!
//! Streams of frames are decoded by [`stream`](crate::stream).

mod frame;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
pub(crate) use frame::{BlockSize, LEGACY_BLOCK, LEGACY_MAGIC, MAGIC, MAX_HEADER, parse_block_size};
pub use frame::{FrameHeader, Linkage, parse_frame_header};

/// Appends `plain` as one bare block; returns its length.
pub fn block_encode(plain: &[u8], out: &mut Vec<u8>) -> usize {
    let before = out.len();
    out.resize(before + lz4_flex::block::get_maximum_output_size(plain.len()), 0);
    let len = lz4_flex::block::compress_into(plain, &mut out[before..])
        .expect("the buffer has the size the encoder asks for");
    out.truncate(before + len);
    len
}

/// Decodes one bare block into the start of `dst`; returns how many bytes there were.
pub fn block_decode(src: &[u8], dst: &mut [u8]) -> Result<usize> {
    lz4_flex::block::decompress_into(src, dst).map_err(error)
}

/// Like [`block_decode`], for a block that refers back to what came before it, at most the last 64 KiB of which matter.
pub(crate) fn block_decode_after(history: &[u8], src: &[u8], dst: &mut [u8]) -> Result<usize> {
    lz4_flex::block::decompress_into_with_dict(src, dst, history).map_err(error)
}

fn error(e: lz4_flex::block::DecompressError) -> Error {
    use lz4_flex::block::DecompressError as E;
    match e {
        E::OutputTooSmall { .. } => Error::too_large("lz4: the output does not fit its buffer"),
        _ => Error::corrupt("lz4: broken block"),
    }
}
