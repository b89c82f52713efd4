//! Writing BGZF.

use super::layout::{Bgzf, Scan};
use crate::packed::{Blocks, Input};
use std::sync::Arc;
use tintype_codec::deflate::{Compressor, Level};
use tintype_codec::{bgzf, checksum, looks_incompressible};
use tintype_core::{
    Care, Checkpoint, Coded, Compression, CreateRequest, Encoder, Error, Extent, Feed, File, Piece, PieceBody, Result,
    Resumed, Seal, Silent, Sink, Source, State, Stored, Written,
};

/// Bytes of content in a block: all that readers have room for.
const CHUNK: usize = 64 << 10;
/// Bytes of content in each of the two blocks that hold a chunk that cannot be made smaller.
const HALF: usize = CHUNK / 2;
const HEADER: usize = 18;
const TRAILER: usize = 8;
/// Bytes of deflate that fit a block.
const ROOM: usize = (64 << 10) - HEADER - TRAILER;

/// What becomes of chunks.
#[derive(Clone, Copy)]
enum Method {
    Store,
    /// Zeros are made small, everything else is stored.
    Zeros,
    Deflate(Level),
}

fn method(compression: Option<&Compression>) -> Result<Method> {
    Ok(match compression {
        None | Some(Compression::Fast) => Method::Deflate(Level::Fast),
        Some(Compression::Best) => Method::Deflate(Level::Best),
        Some(Compression::None) => Method::Store,
        Some(Compression::Empty) => Method::Zeros,
        Some(Compression::Codec { name, level }) if matches!(&name[..], "gzip" | "zlib" | "deflate") => {
            let level = match level {
                None => Some(Level::Fast),
                Some(n) => u8::try_from(*n).ok().and_then(Level::number),
            };
            Method::Deflate(level.ok_or_else(|| Error::usage("--compression gzip:N takes levels 1 to 12"))?)
        }
        Some(Compression::Codec { name, .. }) => {
            return Err(Error::usage(format!(
                "gzip files cannot be compressed with {name}; give fast, best or gzip:N"
            )));
        }
    })
}

/// What is in a chunk.
#[derive(Clone, Copy)]
enum Content {
    Zeros,
    Mixed,
}

struct Blocked {
    method: Method,
    compressor: Compressor,
    zeros: Vec<u8>,
}

impl Blocked {
    fn new(method: Method) -> Self {
        let level = match method {
            Method::Deflate(level) => level,
            Method::Store | Method::Zeros => Level::Fast,
        };
        let mut this = Blocked { method, compressor: Compressor::new(level), zeros: Vec::new() };
        let mut zeros = Vec::new();
        this.packed(&[0; CHUNK], Content::Zeros, &mut zeros);
        this.zeros = zeros;
        this
    }

    /// Appends `chunk`, at most [`CHUNK`] bytes, as one block, or as two if one does not hold it.
    fn chunk(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let zeros = chunk.iter().all(|b| *b == 0);
        if zeros && chunk.len() == CHUNK {
            out.extend_from_slice(&self.zeros);
        } else {
            self.packed(chunk, if zeros { Content::Zeros } else { Content::Mixed }, out);
        }
    }

    fn packed(&mut self, chunk: &[u8], content: Content, out: &mut Vec<u8>) {
        let worth_trying = match (self.method, content) {
            (Method::Store, _) | (Method::Zeros, Content::Mixed) => false,
            (_, Content::Zeros) => true,
            (Method::Deflate(_), Content::Mixed) => !looks_incompressible(chunk),
        };
        if !worth_trying || !self.deflated(chunk, out) {
            for half in chunk.chunks(HALF) {
                stored(half, out);
            }
        }
    }

    /// Appends one compressed block, unless it would be no smaller than stored ones.
    fn deflated(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        out.extend_from_slice(&bgzf::END[..HEADER]);
        if self.compressor.raw_bounded(chunk, chunk.len().min(ROOM), out).is_none() {
            out.truncate(start);
            return false;
        }
        close(chunk, start, out);
        true
    }
}

fn stored(half: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&bgzf::END[..HEADER]);
    out.push(1);
    out.extend_from_slice(&(half.len() as u16).to_le_bytes());
    out.extend_from_slice(&(!(half.len() as u16)).to_le_bytes());
    out.extend_from_slice(half);
    close(half, start, out);
}

/// Ends the block that begins at `start` of `out`.
fn close(plain: &[u8], start: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&checksum::crc32(plain).to_le_bytes());
    out.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    let len = out.len() - start;
    out[start + 16..start + HEADER].copy_from_slice(&((len - 1) as u16).to_le_bytes());
}

impl Encoder for Blocked {
    fn encode(&mut self, plain: &[u8], _offset: u64, _marks: &[Extent], out: &mut Coded) -> Result<()> {
        for chunk in plain.chunks(CHUNK) {
            self.chunk(chunk, &mut out.bytes);
        }
        Ok(())
    }
}

struct Writer {
    file: Arc<dyn File>,
    name: String,
    method: Method,
    zeros: Blocked,
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
        const TOGETHER: u64 = 1024;
        let mut blocks = Vec::new();
        while len > 0 {
            let whole = len / CHUNK as u64;
            blocks.clear();
            if whole > 0 {
                let n = whole.min(TOGETHER);
                for _ in 0..n {
                    blocks.extend_from_slice(&self.zeros.zeros);
                }
                len -= n * CHUNK as u64;
            } else {
                self.zeros.chunk(&vec![0; len as usize], &mut blocks);
                len = 0;
            }
            self.append(&blocks)?;
        }
        Ok(())
    }
}

impl Sink for Writer {
    fn feed(&self) -> Feed {
        Feed { chunk: CHUNK as u32, carries: super::FORMAT.caps.states, zeros: 0, digests: Vec::new() }
    }

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        Some(Box::new(Blocked::new(self.method)))
    }

    fn put(&mut self, piece: Piece<'_>) -> Result<()> {
        if piece.offset != self.done {
            return Err(Error::usage("pieces out of order").at(piece.offset));
        }
        match piece.body {
            PieceBody::Bytes { coded, .. } => self.append(&coded.bytes)?,
            PieceBody::Run(State::Zero) => self.run(piece.len)?,
            PieceBody::Run(state) => {
                return Err(Error::usage(format!("gzip cannot carry {state}")).at(piece.offset));
            }
        }
        self.done += piece.len;
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>> {
        self.file.sync()?;
        Ok(Some(Checkpoint { offset: self.done, state: self.written.to_le_bytes().to_vec() }))
    }

    fn finish(mut self: Box<Self>, seal: &Seal) -> Result<Written> {
        if seal.len != self.done {
            return Err(Error::usage(format!("{} bytes were put, {} were announced", self.done, seal.len)));
        }
        self.append(&bgzf::END)?;
        self.file.sync()?;
        Ok(Written { bytes: self.written, files: vec![self.name], notes: Vec::new() })
    }
}

fn writer(request: &CreateRequest, file: Arc<dyn File>, done: u64, written: u64) -> Result<Box<dyn Sink>> {
    let method = method(request.compression.as_ref())?;
    let zeros = Blocked::new(method);
    Ok(Box::new(Writer { file, name: request.name.clone(), method, zeros, done, written }))
}

pub(super) fn create(request: &CreateRequest) -> Result<Box<dyn Sink>> {
    method(request.compression.as_ref())?;
    writer(request, request.outlet.create(&request.name)?, 0, 0)
}

pub(super) fn resume(request: &CreateRequest, checkpoints: &[Checkpoint]) -> Result<Resumed> {
    let last = checkpoints.last().cloned().unwrap_or_default();
    let written = match &last.state[..] {
        [] => 0,
        state => u64::from_le_bytes(
            state.try_into().map_err(|_| Error::corrupt("the checkpoint of the gzip file is not one of its kind"))?,
        ),
    };
    let file = request.outlet.reopen(&request.name)?;
    let wrong = |what: &str| Error::corrupt(format!("the unfinished image {what}")).in_path(&request.name);
    if file.len()? < written {
        return Err(wrong("is shorter than what was written of it"));
    }
    file.set_len(written)?;
    let stored = stored_content(&file, &request.name, written).map_err(|e| wrong("is damaged").because(e))?;
    if stored.len() != last.offset {
        return Err(wrong("does not hold what was written of it"));
    }
    Ok(Resumed { sink: writer(request, file, last.offset, written)?, offset: last.offset, stored })
}

fn stored_content(file: &Arc<dyn File>, name: &str, written: u64) -> Result<Arc<dyn Source>> {
    let source: Arc<dyn Source> = Arc::new(Stored::new(Arc::clone(file), written));
    if written == 0 {
        return Ok(source);
    }
    match Bgzf::scan(&Input { source, start: 0 }, Care::Read, &Silent::default())? {
        Scan::Whole { blocks, foreign: None, .. } => Ok(Arc::new(Blocks::new(blocks, name))),
        _ => Err(Error::corrupt("what it holds are no BGZF blocks")),
    }
}
