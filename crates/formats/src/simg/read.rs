//! The reader.

use super::layout::{CRC, Chunk, FILL, Header, MAGIC, RAW, SKIP};
use crate::blocks::{BlockMap, HostFile, Mapped, Packed, Place, Run, Unpacked};
use std::sync::Arc;
use tintype_core::{Checksums, Error, Facts, Image, OpenRequest, Result, Source};
use zerocopy::FromBytes;

/// Most chunks that are kept: 64 MiB of them.
const MOST: usize = 2 << 20;
/// Most bytes of a fill that are made at once.
const PIECE: u64 = 1 << 20;
/// Bytes of the file that are read at once to find chunks.
const WINDOW: usize = 64 << 10;

/// What the bytes of a chunk are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// In the file, from here on.
    Raw(u64),
    /// These four bytes, which lie here.
    Fill([u8; 4], u64),
    /// Nothing.
    Skip,
}

/// A run of the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// The byte of the disk after it.
    pub(super) end: u64,
    pub(super) content: Content,
}

pub(super) struct Parsed {
    pub(super) block: u64,
    pub(super) len: u64,
    pub(super) pieces: Vec<Piece>,
    pub(super) host: HostFile,
    /// The first byte after the last chunk.
    pub(super) end: u64,
    /// How many chunks hold checksums.
    pub(super) checksums: u64,
}

/// Reads short pieces of a file, one after the other.
struct Ahead<'a> {
    source: &'a dyn Source,
    bytes: Vec<u8>,
    at: u64,
}

impl Ahead<'_> {
    fn get<const N: usize>(&mut self, at: u64, what: &str) -> Result<[u8; N]> {
        if at.checked_add(N as u64).is_none_or(|end| end > self.source.len()) {
            return Err(Error::corrupt(format!("the file ends within {what}")).at(at));
        }
        if at < self.at || at + N as u64 > self.at + self.bytes.len() as u64 {
            self.bytes.resize(WINDOW.min((self.source.len() - at) as usize).max(N), 0);
            self.source.read_at(&mut self.bytes, at)?;
            self.at = at;
        }
        let from = (at - self.at) as usize;
        let found = self.bytes.get(from..).and_then(|b| b.first_chunk::<N>());
        found.copied().ok_or_else(|| Error::corrupt(format!("the file ends within {what}")).at(at))
    }
}

pub(super) fn parse(request: &OpenRequest) -> Result<Parsed> {
    let name = &request.entry.name;
    chunks(request, name, request.entry.source()?).map_err(|e| e.in_path(name))
}

fn chunks(request: &OpenRequest, name: &str, source: &Arc<dyn Source>) -> Result<Parsed> {
    let mut file = Ahead { source: &**source, bytes: Vec::new(), at: 0 };
    let header: [u8; Header::LEN as usize] = file.get(0, "the header")?;
    let header = Header::read_from_bytes(&header).map_err(|_| Error::corrupt("the header is too short"))?;
    if header.magic.get() != MAGIC {
        return Err(Error::corrupt("is no Android sparse image: its signature is missing"));
    }
    if header.major_version.get() != 1 {
        let what = format!("version {}.{} is not known, only 1 is", header.major_version, header.minor_version);
        return Err(Error::unsupported(what).at(4));
    }
    let (first, stride) = (u64::from(header.header_size.get()), u64::from(header.chunk_header_size.get()));
    let block = u64::from(header.block_size.get());
    if first < Header::LEN || stride < Chunk::LEN || block == 0 || !block.is_multiple_of(4) {
        let what = format!("headers of {first} and {stride} bytes with blocks of {block} are none");
        return Err(Error::corrupt(what).at(8));
    }
    let len = block * u64::from(header.blocks.get());
    if len > i64::MAX as u64 {
        return Err(Error::corrupt(format!("a disk of {} blocks of {block} bytes", header.blocks)).at(12));
    }
    let (mut at, mut end, mut checksums) = (first, 0u64, 0);
    let mut pieces: Vec<Piece> = Vec::new();
    for n in 0..header.chunks.get() {
        if n.is_multiple_of(4096) && request.watch.cancelled() {
            return Err(Error::cancelled());
        }
        let chunk: [u8; Chunk::LEN as usize] = file.get(at, "the header of a chunk")?;
        let chunk = Chunk::read_from_bytes(&chunk).map_err(|_| Error::corrupt("a chunk is too short"))?;
        let bytes = u64::from(chunk.blocks.get()) * block;
        let total = u64::from(chunk.total_size.get());
        let body = at + stride;
        let (wanted, content) = match chunk.kind.get() {
            RAW => (bytes, Some(Content::Raw(body))),
            FILL => (4, Some(Content::Fill(file.get(body, "a fill")?, body))),
            SKIP => (0, Some(Content::Skip)),
            CRC => (4, None),
            other => return Err(Error::unsupported(format!("chunks of kind {other:#06x} are not known")).at(at)),
        };
        if total != stride + wanted || at + total > source.len() {
            let what =
                format!("chunk {n} of {total} bytes should have {}, and the file {}", stride + wanted, source.len());
            return Err(Error::corrupt(what).at(at));
        }
        match content {
            None => checksums += 1,
            Some(_) if bytes == 0 => {}
            Some(content) => {
                end += bytes;
                if end > len {
                    let what = format!("the chunks have more bytes than the disk, which has {len}");
                    return Err(Error::corrupt(what).at(at));
                }
                let many = pieces.len() >= MOST;
                match pieces.last_mut() {
                    Some(last) if follows(last.content, content) => last.end = end,
                    _ if many => {
                        return Err(Error::limit(format!("the image has more than {MOST} chunks of different kinds")));
                    }
                    _ => pieces.push(Piece { end, content }),
                }
            }
        }
        at += total;
    }
    if end < len {
        let what =
            format!("the chunks have {end} bytes, the disk {len}: the image was cut off, or is one part of several");
        return Err(Error::corrupt(what).at(at));
    }
    Ok(Parsed { block, len, pieces, host: HostFile::new(name, source), end: at, checksums })
}

/// Whether a chunk only makes the piece before it longer.
fn follows(last: Content, content: Content) -> bool {
    match (last, content) {
        (Content::Fill(a, _), Content::Fill(b, _)) => a == b,
        (Content::Skip, Content::Skip) => true,
        _ => false,
    }
}

impl Parsed {
    /// The piece that `offset` lies in, and where it begins.
    pub(super) fn piece_at(&self, offset: u64) -> Result<(&Piece, u64)> {
        let i = self.pieces.partition_point(|p| p.end <= offset);
        let piece = self.pieces.get(i).ok_or_else(|| Error::corrupt("the chunks end before the disk"))?;
        Ok((piece, if i == 0 { 0 } else { self.pieces[i - 1].end }))
    }
}

impl BlockMap for Parsed {
    fn run_at(&self, offset: u64, _most: u64) -> Result<Run> {
        let (piece, start) = self.piece_at(offset)?;
        let len = piece.end - offset;
        Ok(match piece.content {
            Content::Raw(at) => Run::new(len, Place::At(at + (offset - start))),
            Content::Skip => Run::new(len, Place::Unused),
            Content::Fill([0, 0, 0, 0], _) => Run::new(len, Place::Zero),
            Content::Fill(_, at) => {
                let block = start + (offset - start) / PIECE * PIECE;
                let plain = PIECE.min(piece.end - block);
                Run::new(block + plain - offset, Place::Packed(Packed { at, stored: 4, block, plain }))
            }
        })
    }

    fn unpack(&self, _packed: &Packed, stored: &[u8], out: &mut [u8]) -> Result<Unpacked> {
        let word = stored.first_chunk::<4>().ok_or_else(|| Error::corrupt("a fill is too short"))?;
        for part in out.chunks_mut(4) {
            part.copy_from_slice(&word[..part.len()]);
        }
        Ok(Unpacked::Whole)
    }
}

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let parsed = parse(request)?;
    let (host, len, block) = (parsed.host.clone(), parsed.len, parsed.block);
    let mut facts = Facts::default();
    facts.fields.insert("block_size".into(), block.to_string());
    let mut warnings = Vec::new();
    if parsed.host.source.len() > parsed.end {
        let more = parsed.host.source.len() - parsed.end;
        warnings.push(format!("{more} bytes after the last chunk belong to nothing"));
    }
    let disk = Arc::new(Mapped::new(parsed, host, len, block).with_facts(facts));
    Ok(Image {
        warnings,
        checksums: Checksums::Structure,
        ..Image::new("version 1.0", disk, vec![request.entry.name.clone()])
    })
}
