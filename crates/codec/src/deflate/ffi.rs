//! The calls into libdeflate, and nothing else.

use super::{Progress, Wrap};
use crate::error::{Error, Result};
use libdeflate_sys as c;
use std::alloc::{Layout, handle_alloc_error};
use std::ptr::NonNull;

pub(super) struct Encoder(NonNull<c::libdeflate_compressor>);

// SAFETY: a libdeflate compressor is plain memory with no ties to the thread that made it.
unsafe impl Send for Encoder {}

impl Encoder {
    /// `level` is 1 to 12.
    pub(super) fn new(level: i32) -> Self {
        // SAFETY: takes a number, returns null or an object that is ours.
        let compressor = unsafe { c::libdeflate_alloc_compressor(level) };
        Self(NonNull::new(compressor).unwrap_or_else(|| handle_alloc_error(Layout::new::<usize>())))
    }

    pub(super) fn bound(&mut self, wrap: Wrap, len: usize) -> usize {
        // SAFETY: the compressor is alive and exclusively ours; only arithmetic is done.
        unsafe {
            match wrap {
                Wrap::Raw => c::libdeflate_deflate_compress_bound(self.0.as_ptr(), len),
                Wrap::Zlib => c::libdeflate_zlib_compress_bound(self.0.as_ptr(), len),
            }
        }
    }

    /// Appends at most `max_len` bytes, or nothing at all.
    pub(super) fn encode(&mut self, wrap: Wrap, plain: &[u8], max_len: usize, out: &mut Vec<u8>) -> Option<usize> {
        let max_len = max_len.min(self.bound(wrap, plain.len()));
        out.reserve(max_len);
        let room = out.spare_capacity_mut();
        let (from, to) = (plain.as_ptr().cast(), room.as_mut_ptr().cast());
        // SAFETY: the compressor is alive and exclusively ours; `plain` is readable for its length and `room`, which does not overlap
        // it, writable for `max_len` bytes, reserved above. libdeflate only writes there.
        let written = unsafe {
            match wrap {
                Wrap::Raw => c::libdeflate_deflate_compress(self.0.as_ptr(), from, plain.len(), to, max_len),
                Wrap::Zlib => c::libdeflate_zlib_compress(self.0.as_ptr(), from, plain.len(), to, max_len),
            }
        };
        if written == 0 {
            return None;
        }
        // SAFETY: libdeflate returns how many bytes it wrote from the start of the spare capacity, at most `max_len`.
        unsafe { out.set_len(out.len() + written) };
        Some(written)
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: allocated by libdeflate, freed once.
        unsafe { c::libdeflate_free_compressor(self.0.as_ptr()) }
    }
}

pub(super) struct Decoder(NonNull<c::libdeflate_decompressor>);

// SAFETY: a libdeflate decompressor is plain memory with no ties to the thread that made it.
unsafe impl Send for Decoder {}

impl Decoder {
    pub(super) fn new() -> Self {
        // SAFETY: returns null or an object that is ours.
        let decompressor = unsafe { c::libdeflate_alloc_decompressor() };
        Self(NonNull::new(decompressor).unwrap_or_else(|| handle_alloc_error(Layout::new::<usize>())))
    }

    pub(super) fn decode(&mut self, wrap: Wrap, src: &[u8], dst: &mut [u8]) -> Result<Progress> {
        let (from, to) = (src.as_ptr().cast(), dst.as_mut_ptr().cast());
        let (mut consumed, mut written) = (0, 0);
        // SAFETY: the decompressor is alive and exclusively ours; `src` is readable and `dst` writable for the lengths given; the two
        // counters outlive the call.
        let status = unsafe {
            match wrap {
                Wrap::Raw => c::libdeflate_deflate_decompress_ex(
                    self.0.as_ptr(),
                    from,
                    src.len(),
                    to,
                    dst.len(),
                    &mut consumed,
                    &mut written,
                ),
                Wrap::Zlib => c::libdeflate_zlib_decompress_ex(
                    self.0.as_ptr(),
                    from,
                    src.len(),
                    to,
                    dst.len(),
                    &mut consumed,
                    &mut written,
                ),
            }
        };
        match status {
            c::libdeflate_result_LIBDEFLATE_SUCCESS => Ok(Progress { consumed, written }),
            c::libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE => {
                Err(Error::too_large("the output does not fit its buffer"))
            }
            _ => Err(Error::corrupt("deflate: broken stream or wrong checksum")),
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: allocated by libdeflate, freed once.
        unsafe { c::libdeflate_free_decompressor(self.0.as_ptr()) }
    }
}
