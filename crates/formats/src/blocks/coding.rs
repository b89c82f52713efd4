//! How packed blocks are unpacked, by tools that are lent.

use super::Unpacked;
use std::sync::{Mutex, PoisonError};
use tintype_codec::{deflate, zstd};
use tintype_core::{Care, Error, Result};

/// Tools that take a while to make, lent to one thread at a time.
pub(super) struct Tools<T>(Mutex<Vec<T>>);

impl<T> Tools<T> {
    pub(super) const fn new() -> Self {
        Tools(Mutex::new(Vec::new()))
    }

    /// One that lay idle, or a new one.
    pub(super) fn take(&self, make: impl FnOnce() -> Result<T>) -> Result<T> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(make, Ok)
    }

    pub(super) fn put(&self, tool: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(tool);
    }
}

static ZLIB: Tools<deflate::Decompressor> = Tools::new();
static EXACT: Tools<deflate::Decompressor> = Tools::new();
static ZSTD: Tools<zstd::Decompressor> = Tools::new();

/// How blocks are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Bare deflate.
    Deflate,
    /// Deflate with a header and a checksum.
    Zlib,
    /// The same, and what other programs refuse is refused.
    ExactZlib,
    /// A frame of zstd.
    Zstd,
}

impl Coding {
    /// Zlib, for images that are opened for this.
    pub(crate) fn zlib(care: Care) -> Self {
        match care {
            Care::Read => Coding::Zlib,
            Care::Prove => Coding::ExactZlib,
        }
    }

    /// Decodes what stands at the start of `stored` into `out`: the bytes that it had. `Corrupt` if it has more.
    pub(crate) fn decode(self, stored: &[u8], out: &mut [u8]) -> Result<usize> {
        let broken = |e: tintype_codec::Error| Error::corrupt("a compressed block cannot be unpacked").because(e);
        if self == Coding::Zstd {
            let mut decoder = ZSTD.take(|| zstd::Decompressor::new().map_err(broken))?;
            let written = decoder.first_frame(stored, out);
            ZSTD.put(decoder);
            return written.map_err(broken);
        }
        let (tools, make): (_, fn() -> deflate::Decompressor) = match self {
            Coding::ExactZlib => (&EXACT, deflate::Decompressor::exact),
            _ => (&ZLIB, deflate::Decompressor::new),
        };
        let mut decoder = tools.take(|| Ok(make()))?;
        let progress = match self {
            Coding::Deflate => decoder.raw(stored, out),
            _ => decoder.zlib(stored, out),
        };
        tools.put(decoder);
        Ok(progress.map_err(broken)?.written)
    }

    /// Decodes what stands at the start of `stored` into `out`, which it has to fill.
    pub(crate) fn decode_all(self, stored: &[u8], out: &mut [u8]) -> Result<Unpacked> {
        match self.decode(stored, out)? {
            written if written == out.len() => Ok(Unpacked::Whole),
            written => Err(Error::corrupt(format!("a compressed block has {written} bytes, not {}", out.len()))),
        }
    }
}
