//! Sparse extents: grains are written by the workers as they come, to the next free place; tables follow in order.

use super::is_zero;
use crate::vmdk::create::{Plan, Subformat};
use crate::vmdk::layout::{FLAG_REDUNDANT, FLAG_ZEROED_GRAIN, Header, SECTOR};
use crate::vmdk::{ENTRIES, FORMAT, GRAIN};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tintype_core::{
    Backing, Coded, CodedChunk, CreateRequest, Encoder, Error, Extent, Feed, File, Piece, PieceBody, Result, Seal,
    Sink, Source, State, Written,
};
use zerocopy::IntoBytes;
use zerocopy::little_endian::U64;

/// Sectors for the descriptor inside an extent.
const DESCRIPTOR: u64 = 20;
const TABLE: u64 = ENTRIES * 4;

/// What becomes of a grain: the tag of its chunk. Anything else is the number of its place plus [`PLACED`].
const ABSENT: u32 = 0;
const ZEROS: u32 = 1;
const PLACED: u32 = 2;

/// One extent on its way.
struct Extended {
    file: Arc<dyn File>,
    name: String,
    /// Where it begins on the disk, and its bytes.
    start: u64,
    len: u64,
    /// Where the tables are: those of the copy, and the others.
    tables: [u64; 2],
    /// Where grains begin.
    data: u64,
    /// Places given out so far.
    next: AtomicU64,
}

/// What workers and the sink share.
struct Shared {
    extents: Vec<Extended>,
    backing: Option<Backing>,
    zeroed: bool,
}

impl Extended {
    /// Makes the extent's file, with its header, directories and room for the tables.
    fn create(
        file: Arc<dyn File>,
        name: &str,
        start: u64,
        len: u64,
        descriptor: Option<&str>,
        zeroed: bool,
    ) -> Result<Self> {
        let flags = FLAG_REDUNDANT | if zeroed { FLAG_ZEROED_GRAIN } else { 0 };
        let mut header = Header::new(if zeroed { 2 } else { 1 }, flags, len / SECTOR);
        let count = len.div_ceil(GRAIN * ENTRIES);
        let directory = (count * 4).div_ceil(SECTOR);
        let both = directory + count * TABLE / SECTOR;
        let copy = 1 + if descriptor.is_some() { DESCRIPTOR } else { 0 };
        let data = (copy + 2 * both).next_multiple_of(GRAIN / SECTOR);
        if data > u64::from(u32::MAX) {
            return Err(Error::usage("the disk is too large for the tables of one VMDK file"));
        }
        if descriptor.is_some() {
            header.descriptor_offset = U64::new(1);
            header.descriptor_size = U64::new(DESCRIPTOR);
        }
        header.rgd_offset = U64::new(copy);
        header.gd_offset = U64::new(copy + both);
        header.over_head = U64::new(data);
        header.check().map_err(|e| Error::usage(e.what()))?;
        file.set_len(data * SECTOR)?;
        file.write_at(header.as_bytes(), 0)?;
        if let Some(text) = descriptor {
            if text.len() as u64 > DESCRIPTOR * SECTOR {
                return Err(Error::usage("the name is too long for the descriptor of a VMDK"));
            }
            file.write_at(text.as_bytes(), SECTOR)?;
        }
        let tables = [copy, copy + both].map(|at| at + directory);
        for (at, tables) in [copy, copy + both].into_iter().zip(tables) {
            const TOGETHER: u64 = 16 << 10;
            for from in (0..count).step_by(TOGETHER as usize) {
                let to = (from + TOGETHER).min(count);
                let entries = from..to;
                let entries: Vec<u8> =
                    entries.flat_map(|i| ((tables + i * TABLE / SECTOR) as u32).to_le_bytes()).collect();
                file.write_at(&entries, at * SECTOR + from * 4)?;
            }
        }
        let tables = tables.map(|at| at * SECTOR);
        let (name, data) = (name.to_owned(), data * SECTOR);
        Ok(Extended { file, name, start, len, tables, data, next: AtomicU64::new(0) })
    }

    /// The entry for a place.
    fn entry(&self, place: u64) -> u32 {
        // Places beyond are never given out.
        ((self.data + place * GRAIN) / SECTOR) as u32
    }

    /// Writes grains that follow one another; the place of the first.
    fn write(&self, grains: &[u8]) -> Result<u64> {
        let count = (grains.len() as u64).div_ceil(GRAIN);
        let place = self.next.fetch_add(count, Ordering::Relaxed);
        let at = self.data + place * GRAIN;
        if (at + count * GRAIN) / SECTOR > u64::from(u32::MAX) {
            let what = "a VMDK file holds no more than 2 TiB; choose --option subformat=twoGbMaxExtentSparse";
            return Err(Error::limit(what).in_path(&self.name));
        }
        self.file.write_at(grains, at)?;
        self.file.write_soon(at, grains.len() as u64);
        Ok(place)
    }
}

impl Shared {
    fn extent(&self, offset: u64) -> Result<(usize, &Extended)> {
        let i = self.extents.partition_point(|e| e.start + e.len <= offset);
        let extent = self.extents.get(i).ok_or_else(|| Error::usage("a grain beyond the last extent").at(offset))?;
        Ok((i, extent))
    }

    /// The bytes that the backing file has in the grain at `offset`.
    fn below(&self, source: &dyn Source, offset: u64, grain: &mut [u8]) -> Result<()> {
        let there = source.len().saturating_sub(offset).min(grain.len() as u64) as usize;
        let (inside, beyond) = grain.split_at_mut(there);
        beyond.fill(0);
        if inside.is_empty() { Ok(()) } else { source.read_at(inside, offset) }
    }
}

struct InPlace {
    shared: Arc<Shared>,
    below: Vec<u8>,
}

impl InPlace {
    /// True if the grain at `offset` need not be kept.
    fn known(&mut self, grain: &[u8], offset: u64, zeros: bool) -> Result<bool> {
        let Some(backing) = &self.shared.backing else { return Ok(zeros) };
        self.below.resize(grain.len(), 0);
        self.shared.below(&*backing.source, offset, &mut self.below)?;
        Ok(self.below == grain)
    }
}

impl Encoder for InPlace {
    fn encode(&mut self, plain: &[u8], offset: u64, marks: &[Extent], out: &mut Coded) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        // Grains that wait to be written together: where they begin in `plain`, and in which extent.
        let mut waiting: Option<(usize, usize)> = None;
        let flush = |waiting: &mut Option<(usize, usize)>, end: usize, out: &mut Coded| -> Result<()> {
            let Some((from, extent)) = waiting.take() else { return Ok(()) };
            let place = shared.extents[extent].write(&plain[from..end])?;
            let count = (end - from).div_ceil(GRAIN as usize) as u64;
            out.chunks.extend((place..place + count).map(|p| CodedChunk { len: 0, tag: p as u32 + PLACED }));
            Ok(())
        };
        let mut at = 0;
        for grain in plain.chunks(GRAIN as usize) {
            let here = offset + at as u64;
            let zeros = is_zero(here, grain.len() as u64, marks);
            let tag = match self.known(grain, here, zeros)? {
                true => Some(ABSENT),
                false if zeros && shared.zeroed => Some(ZEROS),
                false => None,
            };
            let (extent, _) = shared.extent(here)?;
            match (tag, waiting) {
                (Some(tag), _) => {
                    flush(&mut waiting, at, out)?;
                    out.chunks.push(CodedChunk { len: 0, tag });
                }
                (None, Some((_, same))) if same == extent => {}
                (None, _) => {
                    flush(&mut waiting, at, out)?;
                    waiting = Some((at, extent));
                }
            }
            at += grain.len();
        }
        flush(&mut waiting, plain.len(), out)
    }
}

struct Writer {
    shared: Arc<Shared>,
    descriptor: Option<(Arc<dyn File>, String)>,
    len: u64,
    done: u64,
    // The table that is being filled: its extent, its number, its entries.
    table: (usize, u64, Vec<u32>),
}

pub(in crate::vmdk) fn create(request: &CreateRequest, plan: Plan) -> Result<Box<dyn Sink>> {
    let inside = plan.subformat == Subformat::MonolithicSparse;
    let descriptor = match inside {
        true => None,
        false => {
            let file = request.outlet.create(&request.name)?;
            file.write_at(plan.descriptor.as_bytes(), 0)?;
            Some((file, request.name.clone()))
        }
    };
    let mut extents = Vec::new();
    let mut start = 0;
    for (name, len) in &plan.extents {
        let file = request.outlet.create(name)?;
        let text = inside.then_some(&plan.descriptor[..]);
        extents.push(Extended::create(file, name, start, *len, text, plan.zeroed)?);
        start += len;
    }
    let shared = Arc::new(Shared { extents, backing: plan.backing, zeroed: plan.zeroed });
    Ok(Box::new(Writer { shared, descriptor, len: plan.len, done: 0, table: (0, 0, vec![0; ENTRIES as usize]) }))
}

impl Writer {
    fn set(&mut self, offset: u64, entry: impl FnOnce(&Extended) -> u32) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let (i, extent) = shared.extent(offset)?;
        let grain = (offset - extent.start) / GRAIN;
        if (self.table.0, self.table.1) != (i, grain / ENTRIES) {
            self.end_table()?;
            (self.table.0, self.table.1) = (i, grain / ENTRIES);
        }
        self.table.2[(grain % ENTRIES) as usize] = entry(extent);
        Ok(())
    }

    /// Writes the table that is being filled, unless there is nothing in it.
    fn end_table(&mut self) -> Result<()> {
        let (extent, number, entries) = &mut self.table;
        if entries.iter().any(|e| *e != 0) {
            let extent = &self.shared.extents[*extent];
            let bytes: Vec<u8> = entries.iter().flat_map(|e| e.to_le_bytes()).collect();
            for tables in extent.tables {
                extent.file.write_at(&bytes, tables + *number * TABLE)?;
            }
            entries.fill(0);
        }
        Ok(())
    }

    /// Zeros over a backing file: where that has something else, they have to be said.
    fn zeros(&mut self, offset: u64, len: u64) -> Result<()> {
        let Some(backing) = self.shared.backing.clone() else { return Ok(()) };
        let end = (offset + len).min(backing.source.len());
        let mut at = offset;
        let mut room = vec![0; GRAIN as usize];
        while at < end {
            let now = GRAIN.min(offset + len - at);
            let extent = backing.source.extent_at(at)?;
            if extent.state.reads_zero() && extent.end() >= end.min(at + now) {
                // The grain that the zeros end in may have something behind them.
                at = if extent.end() >= end { end } else { extent.end() / GRAIN * GRAIN };
                continue;
            }
            let grain = &mut room[..now as usize];
            self.shared.below(&*backing.source, at, grain)?;
            if grain.iter().any(|b| *b != 0) {
                let tag = match self.shared.zeroed {
                    true => ZEROS,
                    false => self.shared.extent(at)?.1.write(&vec![0; now as usize])? as u32 + PLACED,
                };
                self.place(at, tag)?;
            }
            at += now;
        }
        Ok(())
    }

    fn place(&mut self, offset: u64, tag: u32) -> Result<()> {
        match tag {
            ABSENT => Ok(()),
            ZEROS => self.set(offset, |_| 1),
            tag => self.set(offset, |extent| extent.entry(u64::from(tag - PLACED))),
        }
    }
}

impl Sink for Writer {
    fn feed(&self) -> Feed {
        Feed { chunk: GRAIN as u32, carries: FORMAT.caps.states, zeros: GRAIN as u32, digests: Vec::new() }
    }

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        Some(Box::new(InPlace { shared: Arc::clone(&self.shared), below: Vec::new() }))
    }

    fn put(&mut self, piece: Piece<'_>) -> Result<()> {
        if piece.offset != self.done {
            return Err(Error::usage("pieces out of order").at(piece.offset));
        }
        match piece.body {
            PieceBody::Bytes { coded, .. } => {
                for (i, chunk) in coded.chunks.iter().enumerate() {
                    self.place(piece.offset + i as u64 * GRAIN, chunk.tag)?;
                }
            }
            PieceBody::Run(State::Zero) => self.zeros(piece.offset, piece.len)?,
            PieceBody::Run(state) => {
                return Err(Error::usage(format!("VMDK cannot carry {state}")).at(piece.offset));
            }
        }
        self.done += piece.len;
        Ok(())
    }

    fn finish(mut self: Box<Self>, seal: &Seal) -> Result<Written> {
        let nothing = self.done == 0 && self.shared.backing.is_some();
        if seal.len != self.len || (self.done != self.len && !nothing) {
            return Err(Error::usage(format!("{} bytes were put, {} were announced", self.done, self.len)));
        }
        self.end_table()?;
        let mut written = Written::default();
        if let Some((file, name)) = &self.descriptor {
            file.sync()?;
            written.files.push(name.clone());
            written.bytes += file.stored()?;
        }
        for extent in &self.shared.extents {
            // The last grain may have been a short one.
            extent.file.set_len(extent.data + extent.next.load(Ordering::Relaxed) * GRAIN)?;
            extent.file.sync()?;
            written.files.push(extent.name.clone());
            written.bytes += extent.file.stored()?;
        }
        Ok(written)
    }
}
