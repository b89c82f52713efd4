//! Writing seekable zstd.

use super::layout::Table;
use crate::packed::{Blocks, Input, Layout};
use std::sync::Arc;
use tintype_codec::zstd::{Checksum, Compressor, LEVELS};
use tintype_codec::zstd_seekable::{Entry, encode_table};
use tintype_core::{
    Checkpoint, Coded, CodedChunk, Compression, CreateRequest, Encoder, Error, Extent, Feed, File, Piece, PieceBody,
    Result, Resumed, Seal, Sink, State, Stored, Written,
};

/// Bytes of content in a frame.
const CHUNK: usize = 4 << 20;
/// The level for zeros: higher ones make them no smaller, but take much memory.
const RUNS: i32 = 1;

fn level(compression: Option<&Compression>) -> Result<i32> {
    match compression {
        None => Ok(3),
        Some(Compression::Fast) => Ok(1),
        Some(Compression::Best) => Ok(12),
        Some(Compression::Codec { name, level }) if name == "zstd" => {
            let level = level.unwrap_or(3);
            if LEVELS.contains(&level) {
                Ok(level)
            } else {
                Err(Error::usage("--compression zstd:N takes levels 1 to 22"))
            }
        }
        Some(_) => Err(Error::usage("zstd files are compressed with fast, best or zstd:N")),
    }
}

struct Framed {
    compressor: Compressor,
    zeros: Vec<u8>,
}

impl Framed {
    fn new(level: i32) -> tintype_codec::Result<Self> {
        let mut zeros = Vec::new();
        Compressor::new(RUNS, Checksum::Written)?.frame(&vec![0; CHUNK], &mut zeros)?;
        Ok(Framed { compressor: Compressor::new(level, Checksum::Written)?, zeros })
    }

    /// Appends `chunk`, at most [`CHUNK`] bytes, as one frame; returns the frame's length.
    fn chunk(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<usize> {
        if chunk.len() == CHUNK && chunk.iter().all(|b| *b == 0) {
            out.extend_from_slice(&self.zeros);
            return Ok(self.zeros.len());
        }
        self.compressor.frame(chunk, out).map_err(failed)
    }
}

fn failed(e: tintype_codec::Error) -> Error {
    Error::limit("cannot compress").because(e)
}

/// An encoder, or why there is none: an encoder cannot be refused once the work has begun.
struct Worker(tintype_codec::Result<Framed>);

impl Encoder for Worker {
    fn encode(&mut self, plain: &[u8], _offset: u64, _marks: &[Extent], out: &mut Coded) -> Result<()> {
        let framed = self.0.as_mut().map_err(|e| Error::limit(format!("no encoder: {e}")))?;
        for chunk in plain.chunks(CHUNK) {
            let len = framed.chunk(chunk, &mut out.bytes)?;
            out.chunks.push(CodedChunk { len: len as u32, tag: chunk.len() as u32 });
        }
        Ok(())
    }
}

struct Writer {
    file: Arc<dyn File>,
    name: String,
    level: i32,
    zeros: Framed,
    frames: Vec<Entry>,
    // Frames that the last checkpoint has told of.
    told: usize,
    done: u64,
    written: u64,
}

impl Writer {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_at(bytes, self.written)?;
        self.file.write_soon(self.written, bytes.len() as u64);
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn run(&mut self, mut len: u64) -> Result<()> {
        let mut frames = Vec::new();
        while len > 0 {
            let n = len.min(CHUNK as u64);
            let packed = self.zeros.chunk(&vec![0; n as usize], &mut frames)?;
            self.frames.push(Entry { packed_len: packed as u32, len: n as u32, checksum: None });
            len -= n;
            if len == 0 || frames.len() > 1 << 20 {
                self.append(&frames)?;
                frames.clear();
            }
        }
        Ok(())
    }
}

impl Sink for Writer {
    fn feed(&self) -> Feed {
        Feed { chunk: CHUNK as u32, carries: super::FORMAT.caps.states, zeros: 0, digests: Vec::new() }
    }

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        Some(Box::new(Worker(Framed::new(self.level))))
    }

    fn put(&mut self, piece: Piece<'_>) -> Result<()> {
        if piece.offset != self.done {
            return Err(Error::usage("pieces out of order").at(piece.offset));
        }
        match piece.body {
            PieceBody::Bytes { coded, .. } => {
                self.append(&coded.bytes)?;
                let frames = coded.chunks.iter().map(|c| Entry { packed_len: c.len, len: c.tag, checksum: None });
                self.frames.extend(frames);
            }
            PieceBody::Run(State::Zero) => self.run(piece.len)?,
            PieceBody::Run(state) => {
                return Err(Error::usage(format!("zstd cannot carry {state}")).at(piece.offset));
            }
        }
        self.done += piece.len;
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>> {
        self.file.sync()?;
        let mut state = Vec::new();
        for frame in &self.frames[self.told..] {
            state.extend_from_slice(&frame.packed_len.to_le_bytes());
            state.extend_from_slice(&frame.len.to_le_bytes());
        }
        self.told = self.frames.len();
        Ok(Some(Checkpoint { offset: self.done, state }))
    }

    fn finish(mut self: Box<Self>, seal: &Seal) -> Result<Written> {
        if seal.len != self.done {
            return Err(Error::usage(format!("{} bytes were put, {} were announced", self.done, seal.len)));
        }
        if self.frames.is_empty() {
            // A table alone is no content to some readers; an empty frame is.
            let mut empty = Vec::new();
            let packed_len = self.zeros.chunk(&[], &mut empty)? as u32;
            self.append(&empty)?;
            self.frames.push(Entry { packed_len, len: 0, checksum: None });
        }
        let mut table = Vec::new();
        encode_table(&self.frames, &mut table).map_err(failed)?;
        self.append(&table)?;
        self.file.sync()?;
        Ok(Written { bytes: self.written, files: vec![self.name], notes: Vec::new() })
    }
}

fn writer(request: &CreateRequest, file: Arc<dyn File>, frames: Vec<Entry>) -> Result<Box<dyn Sink>> {
    let level = level(request.compression.as_ref())?;
    let zeros = Framed::new(RUNS).map_err(failed)?;
    let done = frames.iter().map(|f| u64::from(f.len)).sum();
    let written = frames.iter().map(|f| u64::from(f.packed_len)).sum();
    let told = frames.len();
    Ok(Box::new(Writer { file, name: request.name.clone(), level, zeros, frames, told, done, written }))
}

pub(super) fn create(request: &CreateRequest) -> Result<Box<dyn Sink>> {
    level(request.compression.as_ref())?;
    writer(request, request.outlet.create(&request.name)?, Vec::new())
}

pub(super) fn resume(request: &CreateRequest, checkpoints: &[Checkpoint]) -> Result<Resumed> {
    let wrong = |what: &str| Error::corrupt(format!("the unfinished image {what}")).in_path(&request.name);
    let mut frames = Vec::new();
    for checkpoint in checkpoints {
        let (entries, rest) = checkpoint.state.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(wrong("has a checkpoint of another kind"));
        }
        frames.extend(entries.iter().map(|[a, b, c, d, rest @ ..]| Entry {
            packed_len: u32::from_le_bytes([*a, *b, *c, *d]),
            len: u32::from_le_bytes(*rest),
            checksum: None,
        }));
    }
    let offset = checkpoints.last().map_or(0, |c| c.offset);
    let file = request.outlet.reopen(&request.name)?;
    let held = file.len()?;
    let mut table = Table::new(Input { source: Arc::new(Stored::new(Arc::clone(&file), held)), start: 0 });
    for frame in &frames {
        table.push(frame.packed_len, frame.len)?;
    }
    if table.len() != offset {
        return Err(wrong("has checkpoints that do not fit together"));
    }
    if table.packed_len() > held {
        return Err(wrong("is shorter than what was written of it"));
    }
    file.set_len(table.packed_len())?;
    let stored = Arc::new(Blocks::new(table, &request.name));
    Ok(Resumed { sink: writer(request, file, frames)?, offset, stored })
}
