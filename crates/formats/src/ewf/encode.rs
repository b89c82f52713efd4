//! From the bytes of a chunk to its stored form.

use std::sync::Arc;
use tintype_codec::checksum::adler32;
use tintype_codec::deflate::{Compressor, Level};
use tintype_core::{Coded, CodedChunk, Encoder, Extent, Result};

/// [`CodedChunk::tag`] of a zlib stream.
pub(super) const ZLIB: u32 = 1;
/// [`CodedChunk::tag`] of plain bytes with their Adler-32.
pub(super) const PLAIN: u32 = 0;

/// How chunks are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    /// Only chunks of zeros are made small.
    Empty,
    Zlib(Level),
}

impl Packing {
    /// The value of the compression field in the volume section.
    pub(super) fn on_disk(self) -> u8 {
        match self {
            Packing::None | Packing::Empty => 0,
            Packing::Zlib(Level::Fast) => 1,
            Packing::Zlib(_) => 2,
        }
    }
}

/// The stored form of a chunk of zeros.
#[derive(Debug)]
pub(super) struct Zeros {
    pub(super) bytes: Vec<u8>,
    pub(super) tag: u32,
}

/// Encodes chunks, one after the other.
pub(super) struct ChunkEncoder {
    packing: Packing,
    chunk: usize,
    compressor: Option<Compressor>,
    zeros: Arc<Zeros>,
}

impl ChunkEncoder {
    /// An encoder of chunks of `chunk` bytes.
    pub(super) fn new(packing: Packing, chunk: usize) -> Self {
        let none = Arc::new(Zeros { bytes: Vec::new(), tag: PLAIN });
        let mut encoder = ChunkEncoder { packing, chunk, compressor: compressor(packing), zeros: none };
        let mut bytes = Vec::new();
        let tag = encoder.one(&vec![0; chunk], &mut bytes);
        encoder.zeros = Arc::new(Zeros { bytes, tag });
        encoder
    }

    /// Another one of the same kind.
    pub(super) fn again(&self) -> Self {
        let compressor = compressor(self.packing);
        ChunkEncoder { packing: self.packing, chunk: self.chunk, compressor, zeros: Arc::clone(&self.zeros) }
    }

    /// How a whole chunk of zeros is stored.
    pub(super) fn zeros(&self) -> Arc<Zeros> {
        Arc::clone(&self.zeros)
    }

    /// Appends one chunk; returns its tag. Stored as it is unless that saves bytes.
    pub(super) fn one(&mut self, plain: &[u8], out: &mut Vec<u8>) -> u32 {
        let packs = match self.packing {
            Packing::None => false,
            Packing::Empty => is_zero(plain),
            Packing::Zlib(_) => true,
        };
        if let Some(compressor) = self.compressor.as_mut().filter(|_| packs)
            && compressor.zlib_bounded(plain, plain.len().saturating_sub(1), out).is_some()
        {
            return ZLIB;
        }
        out.extend_from_slice(plain);
        out.extend_from_slice(&adler32(plain).to_le_bytes());
        PLAIN
    }
}

fn compressor(packing: Packing) -> Option<Compressor> {
    match packing {
        Packing::None => None,
        Packing::Empty => Some(Compressor::new(Level::Best)),
        Packing::Zlib(level) => Some(Compressor::new(level)),
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<64>();
    blocks.iter().all(|b| b.iter().fold(0, |a, b| a | b) == 0) && rest.iter().all(|b| *b == 0)
}

impl Encoder for ChunkEncoder {
    fn encode(&mut self, plain: &[u8], offset: u64, marks: &[Extent], out: &mut Coded) -> Result<()> {
        let mut marks = marks.iter().filter(|m| m.state.reads_zero()).peekable();
        let mut at = offset;
        for chunk in plain.chunks(self.chunk) {
            let end = at + chunk.len() as u64;
            while marks.next_if(|m| m.end() <= at).is_some() {}
            let zero = marks.peek().is_some_and(|m| m.offset <= at && end <= m.end());
            let before = out.bytes.len();
            let tag = if zero && chunk.len() == self.chunk {
                out.bytes.extend_from_slice(&self.zeros.bytes);
                self.zeros.tag
            } else {
                self.one(chunk, &mut out.bytes)
            };
            let len = u32::try_from(out.bytes.len() - before).expect("a chunk is at most 1 MiB");
            out.chunks.push(CodedChunk { len, tag });
            at = end;
        }
        Ok(())
    }
}
