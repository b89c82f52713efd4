//! The writer.

use super::layout::{Chunk, FILL, Header, MAGIC, RAW, SKIP};
use crate::blocks::padding;
use std::sync::Arc;
use tintype_core::{
    CreateRequest, Error, Extent, Feed, File, Piece, PieceBody, Result, Seal, Sink, State, States, Written,
};
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

/// Bytes of a block, as everybody writes them.
const BLOCK: u64 = 4096;
/// Largest block: a disk of 2^44 bytes and more needs larger ones than usual.
const LARGEST: u64 = 64 << 20;
/// Most bytes of a raw chunk: its length has 32 bits, and who reads it may hold it in memory.
const LONGEST: u64 = 64 << 20;
/// The least that lengths are multiples of.
const WORD: u64 = 4;

pub(super) fn losses(request: &CreateRequest) -> Vec<String> {
    padding(request, WORD)
}

/// The largest block up to the usual one that the length is a multiple of, or a larger one where there would be too many.
fn block_of(len: u64) -> Result<u64> {
    let mut block = BLOCK;
    while !len.is_multiple_of(block) && block > WORD {
        block /= 2;
    }
    while len.div_ceil(block) > u32::MAX.into() {
        block *= 2;
    }
    match block <= LARGEST {
        true => Ok(block),
        false => Err(Error::unsupported("an Android sparse image holds at most 2^32 blocks of 64 MiB")),
    }
}

pub(super) fn create(request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let len = request.known_len()?;
    let block = block_of(len)?;
    let file = request.outlet.create(&request.name)?;
    Ok(Box::new(Writer { file, name: request.name.clone(), block, at: Header::LEN, done: 0, chunks: 0, open: None }))
}

/// A chunk that may become longer.
struct Open {
    kind: u16,
    /// Where its header is.
    at: u64,
    /// Bytes of the disk.
    len: u64,
}

struct Writer {
    file: Arc<dyn File>,
    name: String,
    block: u64,
    /// Where the next byte goes.
    at: u64,
    done: u64,
    chunks: u32,
    open: Option<Open>,
}

impl Writer {
    /// Makes room for the header of a chunk of this kind, unless the last one can go on.
    fn begin(&mut self, kind: u16) -> Result<()> {
        let most = if kind == RAW { LONGEST } else { u64::from(u32::MAX) * self.block };
        match &self.open {
            Some(open) if open.kind == kind && open.len < most => Ok(()),
            _ => {
                self.close()?;
                self.open = Some(Open { kind, at: self.at, len: 0 });
                self.at += Chunk::LEN;
                Ok(())
            }
        }
    }

    /// Writes the header of the last chunk.
    fn close(&mut self) -> Result<()> {
        let Some(Open { kind, at, len }) = self.open.take() else { return Ok(()) };
        let blocks = len.div_ceil(self.block);
        if kind == RAW {
            // The last block of the disk may be cut off.
            self.at = at + Chunk::LEN + blocks * self.block;
        } else if kind == FILL {
            self.file.write_at(&[0; 4], self.at)?;
            self.at += 4;
        }
        let chunk = Chunk {
            kind: U16::new(kind),
            reserved: U16::new(0),
            blocks: U32::new(u32::try_from(blocks).map_err(|_| Error::unsupported("a chunk has too many blocks"))?),
            total_size: U32::new((self.at - at) as u32),
        };
        self.file.write_at(chunk.as_bytes(), at)?;
        let many = || Error::unsupported("the image would have more than 2^32 chunks");
        self.chunks = self.chunks.checked_add(1).ok_or_else(many)?;
        Ok(())
    }

    fn add(&mut self, kind: u16, mut len: u64) -> Result<()> {
        while len > 0 {
            self.begin(kind)?;
            let Some(open) = &mut self.open else { break };
            let most = u64::from(u32::MAX) * self.block - open.len;
            let now = len.min(most);
            open.len += now;
            len -= now;
        }
        Ok(())
    }

    fn raw(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            self.begin(RAW)?;
            let Some(open) = &mut self.open else { break };
            let now = (LONGEST - open.len).min(bytes.len() as u64);
            let (part, rest) = bytes.split_at(now as usize);
            self.file.write_at(part, self.at)?;
            self.file.write_soon(self.at, now);
            open.len += now;
            self.at += now;
            bytes = rest;
        }
        Ok(())
    }

    fn run(&mut self, state: State, len: u64) -> Result<()> {
        self.add(if state == State::Unused { SKIP } else { FILL }, len)
    }
}

impl Sink for Writer {
    fn feed(&self) -> Feed {
        // Blocks below the usual size divide it, and those above are multiples of it.
        let chunk = self.block.max(BLOCK) as u32;
        let carries = States::of(&[State::Data, State::Zero, State::Unused]);
        Feed { chunk, carries, zeros: chunk, digests: Vec::new() }
    }

    fn put(&mut self, piece: Piece<'_>) -> Result<()> {
        if piece.offset != self.done {
            return Err(Error::usage("pieces out of order").at(piece.offset));
        }
        self.done += piece.len;
        match piece.body {
            PieceBody::Run(state) => self.run(state, piece.len),
            PieceBody::Bytes { plain, marks, .. } => {
                let end = piece.offset + piece.len;
                let mut at = piece.offset;
                let block = self.block;
                let last = Extent::new(end, 0, State::Zero);
                for mark in marks.iter().filter_map(|m| whole(block, m, end)).chain([last]) {
                    if at < mark.offset {
                        self.raw(&plain[(at - piece.offset) as usize..(mark.offset - piece.offset) as usize])?;
                    }
                    if mark.len > 0 {
                        self.run(mark.state, mark.len)?;
                    }
                    at = mark.end();
                }
                Ok(())
            }
        }
    }

    fn finish(mut self: Box<Self>, _seal: &Seal) -> Result<Written> {
        self.close()?;
        let header = Header {
            magic: U32::new(MAGIC),
            major_version: U16::new(1),
            minor_version: U16::new(0),
            header_size: U16::new(Header::LEN as u16),
            chunk_header_size: U16::new(Chunk::LEN as u16),
            block_size: U32::new(self.block as u32),
            blocks: U32::new(self.done.div_ceil(self.block) as u32),
            chunks: U32::new(self.chunks),
            image_checksum: U32::new(0),
        };
        self.file.write_at(header.as_bytes(), 0)?;
        self.file.set_len(self.at)?;
        self.file.sync()?;
        Ok(Written { bytes: self.file.stored()?, files: vec![self.name], notes: Vec::new() })
    }
}

/// The whole blocks of a mark; at the end of the disk the last one may be cut off.
fn whole(block: u64, mark: &Extent, end: u64) -> Option<Extent> {
    if !mark.state.reads_zero() {
        return None;
    }
    let from = mark.offset.next_multiple_of(block);
    let to = if mark.end() == end { end } else { mark.end() / block * block };
    (from < to).then(|| Extent::new(from, to - from, mark.state))
}
