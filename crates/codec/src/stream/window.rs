//! The history that a checkpoint carries.

use crate::error::{Error, Result};
use crate::zstd::{Decompressor, error};
use std::sync::Arc;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

/// The output just before a place, packed. Copies share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    len: u32,
    packed: Arc<[u8]>,
}

impl Window {
    /// The most bytes of output that one holds.
    pub const LARGEST: usize = 64 << 20;
    /// The most bytes that one takes; a place that would take more is none.
    pub const LONGEST: usize = 16 << 20;

    /// Packs the output `head` followed by `tail`; `None` if that is more than a window holds or takes.
    pub(crate) fn pack(head: &[u8], tail: &[u8]) -> Option<Self> {
        let len = head.len() + tail.len();
        if len == 0 || len > Self::LARGEST {
            return (len == 0).then(Self::default);
        }
        let mut packed = vec![0; zstd_safe::compress_bound(len).min(Self::LONGEST)];
        let n = packed_into(&mut packed, head, tail)?;
        Some(Self { len: len as u32, packed: Arc::from(&packed[..n]) })
    }

    /// A window of `len` bytes from what [`packed`](Self::packed) gave; [`Error::Corrupt`] when it cannot be one.
    ///
    /// What is in it is looked at when decoding is taken up.
    pub fn from_packed(len: u32, packed: Vec<u8>) -> Result<Self> {
        if len as usize > Self::LARGEST || packed.len() > Self::LONGEST || (len == 0) != packed.is_empty() {
            return Err(broken());
        }
        Ok(Self { len, packed: packed.into() })
    }

    /// Bytes of output in it.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the format refers back to nothing here.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What it is kept as.
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// Unpacks it into `out`, which has exactly its length.
    pub(crate) fn unpack(&self, out: &mut [u8]) -> Result<()> {
        if self.is_empty() && out.is_empty() {
            return Ok(());
        }
        match Decompressor::new()?.frame(&self.packed, out) {
            Ok(n) if n == self.len() && n == out.len() => Ok(()),
            _ => Err(broken()),
        }
    }
}

fn broken() -> Error {
    Error::corrupt("the window of a checkpoint cannot be unpacked")
}

/// Packs into `out` and says how much of it that took; `None` if it is too small.
fn packed_into(out: &mut [u8], head: &[u8], tail: &[u8]) -> Option<usize> {
    let mut context = CCtx::try_create()?;
    context.set_parameter(CParameter::CompressionLevel(1)).map_err(error).ok()?;
    context.set_pledged_src_size(Some((head.len() + tail.len()) as u64)).map_err(error).ok()?;
    let mut dst = OutBuffer::around(out);
    for part in [head, tail] {
        let mut src = InBuffer::around(part);
        while src.pos() < part.len() {
            let before = (src.pos(), dst.pos());
            context.compress_stream(&mut dst, &mut src).map_err(error).ok()?;
            if (src.pos(), dst.pos()) == before {
                return None;
            }
        }
    }
    loop {
        let before = dst.pos();
        match context.end_stream(&mut dst).map_err(error).ok()? {
            0 => return Some(dst.pos()),
            _ if dst.pos() == before => return None,
            _ => {}
        }
    }
}
