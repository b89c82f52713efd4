//! Writing a stream: every byte once, from start to end. Also the disk inside an OVA.

use super::layout::{AT_END, FLAG_COMPRESSED, FLAG_MARKERS, GrainMarker, Header, Marker, MarkerKind, SECTOR};
use super::{ENTRIES, GRAIN};
use std::sync::Arc;
use tintype_codec::checksum::adler32;
use tintype_codec::deflate::{Compressor, Level};
use tintype_codec::digest::{Digest, Hasher};
use tintype_codec::looks_incompressible;
use tintype_core::{Coded, CodedChunk, Encoder, Error, Extent, Feed, File, Piece, PieceBody, Result, State, States};
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

/// Sectors for the descriptor.
const DESCRIPTOR: u64 = 20;
/// The first grain begins here, whatever stands before it.
const OVERHEAD: u64 = 128;

/// A stream on its way into a file, from some place in it on.
pub(crate) struct StreamWriter {
    file: Arc<dyn File>,
    /// Where the stream begins in the file.
    base: u64,
    /// Bytes of the stream so far.
    written: u64,
    header: Header,
    len: u64,
    level: Level,
    done: u64,
    // The table that grains go into now, and its number.
    table: Vec<u32>,
    number: u64,
    // Where the tables are that have been written.
    directory: Vec<u32>,
    // Of everything written, if somebody wants it.
    hasher: Option<Hasher>,
    grains: u64,
}

impl StreamWriter {
    /// Begins a stream at `base` of `file` for a disk of `len` bytes.
    pub(super) fn new(
        file: Arc<dyn File>,
        base: u64,
        len: u64,
        descriptor: &str,
        level: Level,
        hasher: Option<Hasher>,
    ) -> Result<Self> {
        let capacity = len.div_ceil(SECTOR);
        let mut header = Header::new(3, FLAG_COMPRESSED | FLAG_MARKERS, capacity);
        header.descriptor_offset = U64::new(1);
        header.descriptor_size = U64::new(DESCRIPTOR);
        header.gd_offset = U64::new(AT_END);
        header.over_head = U64::new(OVERHEAD);
        header.check().map_err(|e| Error::usage(e.what()))?;
        let mut head = header.as_bytes().to_vec();
        head.extend_from_slice(descriptor.as_bytes());
        if head.len() as u64 > (1 + DESCRIPTOR) * SECTOR {
            return Err(Error::usage("the name is too long for the descriptor of a VMDK"));
        }
        head.resize((OVERHEAD * SECTOR) as usize, 0);
        let mut this = StreamWriter {
            file,
            base,
            written: 0,
            header,
            len,
            level,
            done: 0,
            table: vec![0; ENTRIES as usize],
            number: 0,
            directory: Vec::new(),
            hasher,
            grains: 0,
        };
        this.append(&head)?;
        Ok(this)
    }

    pub(crate) fn feed(&self) -> Feed {
        Feed {
            chunk: GRAIN as u32,
            carries: States::of(&[State::Data, State::Zero]),
            zeros: GRAIN as u32,
            digests: Vec::new(),
        }
    }

    pub(crate) fn encoder(&self) -> Box<dyn Encoder> {
        Box::new(Packer { compressor: Compressor::new(self.level) })
    }

    /// The digest of everything written, and the bytes of the disk that are no zeros, in whole grains.
    pub(crate) fn sums(&mut self) -> (Option<Digest>, u64) {
        (self.hasher.take().map(Hasher::finish), (self.grains * GRAIN).min(self.len))
    }

    /// The file that it goes into.
    pub(crate) fn file(&self) -> &dyn File {
        &*self.file
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        let at = self.base + self.written;
        self.file.write_at(bytes, at)?;
        self.file.write_soon(at, bytes.len() as u64);
        self.written += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn put(&mut self, piece: Piece<'_>) -> Result<()> {
        if piece.offset != self.done {
            return Err(Error::usage("pieces out of order").at(piece.offset));
        }
        match piece.body {
            PieceBody::Bytes { coded, .. } => self.grains(piece.offset / GRAIN, coded)?,
            PieceBody::Run(State::Zero) => {}
            PieceBody::Run(state) => {
                return Err(Error::usage(format!("VMDK cannot carry {state}")).at(piece.offset));
            }
        }
        self.done += piece.len;
        Ok(())
    }

    /// Takes grains from the one with number `first` on; those without bytes are zeros.
    fn grains(&mut self, first: u64, coded: &Coded) -> Result<()> {
        // Grains of one table go out together.
        let (mut from, mut to) = (0, 0);
        for (i, chunk) in coded.chunks.iter().enumerate().filter(|(_, c)| c.len > 0) {
            let grain = first + i as u64;
            if grain / ENTRIES != self.number {
                self.append(&coded.bytes[from..to])?;
                from = to;
                self.end_table()?;
                self.number = grain / ENTRIES;
            }
            self.table[(grain % ENTRIES) as usize] = self.sector(self.written + (to - from) as u64)?;
            to += chunk.len as usize;
            self.grains += 1;
        }
        self.append(&coded.bytes[from..to])
    }

    /// The sector at `offset` of the stream, as entries have it.
    fn sector(&self, offset: u64) -> Result<u32> {
        u32::try_from(offset / SECTOR).map_err(|_| {
            Error::limit("a VMDK file holds no more than 2 TiB; choose --option subformat=twoGbMaxExtentSparse")
        })
    }

    /// Writes the table that is being filled, unless there is nothing in it.
    fn end_table(&mut self) -> Result<()> {
        if self.table.iter().all(|e| *e == 0) {
            return Ok(());
        }
        let table: Vec<u8> = self.table.iter().flat_map(|e| e.to_le_bytes()).collect();
        self.append(Marker::new(MarkerKind::GrainTable, table.len() as u64 / SECTOR).as_bytes())?;
        let place = self.sector(self.written)?;
        self.append(&table)?;
        self.directory.resize(self.number as usize, 0);
        self.directory.push(place);
        self.table.fill(0);
        Ok(())
    }

    /// Writes what comes last; the bytes of the stream. Makes nothing durable.
    pub(crate) fn finish(&mut self, len: u64) -> Result<u64> {
        if len != self.done || len != self.len {
            return Err(Error::usage(format!("{} bytes were put, {} were announced", self.done, self.len)));
        }
        self.end_table()?;
        let tables = self.len.div_ceil(GRAIN * ENTRIES);
        self.directory.resize(tables as usize, 0);
        let mut directory: Vec<u8> = self.directory.iter().flat_map(|e| e.to_le_bytes()).collect();
        directory.resize(directory.len().next_multiple_of(SECTOR as usize), 0);
        self.append(Marker::new(MarkerKind::GrainDirectory, directory.len() as u64 / SECTOR).as_bytes())?;
        let place = self.sector(self.written)?;
        self.append(&directory)?;
        self.append(Marker::new(MarkerKind::Footer, 1).as_bytes())?;
        let footer = Header { gd_offset: U64::new(u64::from(place)), ..self.header };
        self.append(footer.as_bytes())?;
        self.append(Marker::new(MarkerKind::EndOfStream, 0).as_bytes())?;
        Ok(self.written)
    }
}

/// Compresses grains, each with its marker and filled up to a sector.
struct Packer {
    compressor: Compressor,
}

impl Packer {
    /// Appends `grain` as zlib; returns its length.
    fn pack(&mut self, grain: &[u8], out: &mut Vec<u8>) -> usize {
        if looks_incompressible(grain) { stored(grain, out) } else { self.compressor.zlib(grain, out) }
    }
}

/// Appends `plain` as zlib that is not compressed; returns its length.
fn stored(plain: &[u8], out: &mut Vec<u8>) -> usize {
    const BLOCK: usize = 32 << 10;
    let start = out.len();
    out.extend_from_slice(&[0x78, 0x01]);
    let count = plain.len().div_ceil(BLOCK);
    for (i, block) in plain.chunks(BLOCK).enumerate() {
        let len = block.len() as u16;
        out.push(u8::from(i + 1 == count));
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&adler32(plain).to_be_bytes());
    out.len() - start
}

impl Encoder for Packer {
    fn encode(&mut self, plain: &[u8], offset: u64, marks: &[Extent], out: &mut Coded) -> Result<()> {
        for (i, grain) in plain.chunks(GRAIN as usize).enumerate() {
            let at = offset + i as u64 * GRAIN;
            if super::write::is_zero(at, grain.len() as u64, marks) {
                out.chunks.push(CodedChunk { len: 0, tag: 0 });
                continue;
            }
            let start = out.bytes.len();
            out.bytes.extend_from_slice(&[0; GrainMarker::LEN]);
            // A disk that ends inside a sector ends in zeros.
            let size = match grain.len() % SECTOR as usize {
                0 => self.pack(grain, &mut out.bytes),
                over => {
                    let mut whole = grain.to_vec();
                    whole.resize(grain.len() + SECTOR as usize - over, 0);
                    self.pack(&whole, &mut out.bytes)
                }
            };
            let marker = GrainMarker { lba: U64::new(at / SECTOR), size: U32::new(size as u32) };
            out.bytes[start..start + GrainMarker::LEN].copy_from_slice(marker.as_bytes());
            out.bytes.resize(start + (out.bytes.len() - start).next_multiple_of(SECTOR as usize), 0);
            out.chunks.push(CodedChunk { len: (out.bytes.len() - start) as u32, tag: 0 });
        }
        Ok(())
    }
}
