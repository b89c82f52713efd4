//! The writer: EnCase 6's layout, as ewfacquire writes it.

use super::encode::{ChunkEncoder, Zeros};
use super::layout::{
    COMPRESSED, Descriptor, Digest, ErrorEntry, Errors, FileHeader, Hash, Sealed, TABLE_ENTRIES, TableHeader, Volume,
    table_len,
};
use super::plan::{Plan, SECTION};
use super::read::MAP;
use super::resume::{Told, state};
use std::sync::Arc;
use tintype_codec::checksum::adler32;
use tintype_core::mapfile::{Heading, Mapfile};
use tintype_core::{
    Checkpoint, CreateRequest, Encoder, Error, Extent, ExtentMap, Feed, File, Outlet, Piece, PieceBody, Result, Seal,
    Sink, State, States, Written,
};
use zerocopy::little_endian::U32;
use zerocopy::{FromZeros, IntoBytes};

/// Bytes that are gathered before they are written.
const BUFFER: usize = 4 << 20;

/// A `sectors` section that is being filled.
#[derive(Clone, Debug, Default)]
pub(super) struct Open {
    /// Where its descriptor is.
    pub(super) at: u64,
    /// The entries of its table.
    pub(super) entries: Vec<u32>,
}

/// The segment file that is being written.
struct Out {
    file: Arc<dyn File>,
    /// What is not written yet, and where it belongs.
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl Out {
    fn new(file: Arc<dyn File>, at: u64) -> Self {
        Out { file, buffer: Vec::with_capacity(BUFFER + BUFFER / 4), buffer_at: at }
    }

    /// Where the next byte goes.
    fn at(&self) -> u64 {
        self.buffer_at + self.buffer.len() as u64
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.file.write_at(&self.buffer, self.buffer_at)?;
            self.file.write_soon(self.buffer_at, self.buffer.len() as u64);
            self.buffer_at = self.at();
            self.buffer.clear();
        }
        Ok(())
    }

    /// Writes over what was written before.
    fn patch(&mut self, bytes: &[u8], at: u64) -> Result<()> {
        match at.checked_sub(self.buffer_at) {
            Some(from) => {
                let from = from as usize;
                self.buffer[from..from + bytes.len()].copy_from_slice(bytes);
                Ok(())
            }
            None => self.file.write_at(bytes, at),
        }
    }

    fn section(&mut self, kind: &str, parts: &[&[u8]]) -> Result<()> {
        let len: usize = parts.iter().map(|p| p.len()).sum();
        self.write(Descriptor::new(kind, self.at(), len as u64).as_bytes())?;
        parts.iter().try_for_each(|p| self.write(p))
    }
}

/// Writes an E01 image.
pub(super) struct Writer {
    outlet: Arc<dyn Outlet>,
    plan: Plan,
    encoder: ChunkEncoder,
    zeros: Arc<Zeros>,
    out: Out,
    /// The number of the segment that is being written, from 1.
    segment: u32,
    open: Option<Open>,
    /// Bytes of the medium so far.
    done: u64,
    lost: ExtentMap,
    /// What the latest checkpoint told.
    told: Told,
}

/// Begins an image.
pub(super) fn create(request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let plan = Plan::new(request)?;
    let name = plan.names.name(1).ok_or_else(|| Error::usage("the first segment has no name"))?;
    let out = Out::new(request.outlet.create(&name)?, 0);
    let mut writer = Writer::at(Arc::clone(&request.outlet), plan, out, Position::default());
    let volume = writer.volume();
    let packed = &writer.plan.packed;
    writer.out.write(FileHeader::new(1).as_bytes())?;
    writer.out.section("header2", &[&packed.wide])?;
    writer.out.section("header2", &[&packed.wide])?;
    writer.out.section("header", &[&packed.narrow])?;
    writer.out.section("volume", &[volume.as_bytes()])?;
    Ok(Box::new(writer))
}

/// How far a writer has come.
pub(super) struct Position {
    pub(super) segment: u32,
    pub(super) open: Option<Open>,
    pub(super) done: u64,
    pub(super) lost: ExtentMap,
}

impl Default for Position {
    fn default() -> Self {
        Position { segment: 1, open: None, done: 0, lost: ExtentMap::new() }
    }
}

/// Goes on with the segment in `file`, which ends at `at`.
pub(super) fn go_on(
    outlet: Arc<dyn Outlet>,
    plan: Plan,
    file: Arc<dyn File>,
    at: u64,
    position: Position,
) -> Box<dyn Sink> {
    let mut writer = Writer::at(outlet, plan, Out::new(file, at), position);
    writer.told = Told::of(writer.segment, writer.open.as_ref(), &writer.lost);
    Box::new(writer)
}

impl Writer {
    fn at(outlet: Arc<dyn Outlet>, plan: Plan, out: Out, position: Position) -> Self {
        let encoder = ChunkEncoder::new(plan.packing, plan.chunk as usize);
        let zeros = encoder.zeros();
        let Position { segment, open, done, lost } = position;
        Writer { outlet, plan, encoder, zeros, out, segment, open, done, lost, told: Told::default() }
    }

    /// The volume section as far as it is known; rewritten in the end if the length was not.
    fn volume(&self) -> Volume {
        self.plan.volume(self.plan.len.unwrap_or(0))
    }

    /// True if a chunk of `len` stored bytes can follow in the open section, in this segment.
    fn fits(&self, open: &Open, len: u64) -> bool {
        let entries = open.entries.len() as u64 + 1;
        let end = self.out.at() + len;
        entries <= u64::from(TABLE_ENTRIES)
            && end - open.at <= SECTION
            && end + 2 * table_len(entries) + self.plan.tail(self.plan.split) <= self.plan.split
    }

    fn chunk(&mut self, bytes: &[u8], tag: u32) -> Result<()> {
        let len = bytes.len() as u64;
        if self.open.as_ref().is_some_and(|open| !self.fits(open, len)) {
            self.close_section()?;
        }
        if self.open.is_none() {
            let end = self.out.at() + Descriptor::LEN + len + 2 * table_len(1) + self.plan.tail(self.plan.split);
            if end > self.plan.split {
                self.next_segment()?;
            }
            self.open = Some(Open { at: self.out.at(), entries: Vec::new() });
            self.out.write(Descriptor::new_zeroed().as_bytes())?;
        }
        let at = self.out.at();
        let open = self.open.as_mut().expect("opened above");
        let offset = u32::try_from(at - open.at).expect("a section ends before 2^31");
        open.entries.push(if tag == 0 { offset } else { offset | COMPRESSED });
        self.out.write(bytes)
    }

    fn close_section(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let data = self.out.at() - open.at - Descriptor::LEN;
        self.out.patch(Descriptor::new("sectors", open.at, data).as_bytes(), open.at)?;
        let count = u32::try_from(open.entries.len()).expect("a table has at most 65,534 entries");
        let header = TableHeader::new(count, open.at);
        let entries: Vec<U32> = open.entries.into_iter().map(U32::new).collect();
        let entries = entries.as_bytes();
        let sum = adler32(entries).to_le_bytes();
        self.out.section("table", &[header.as_bytes(), entries, &sum])?;
        self.out.section("table2", &[header.as_bytes(), entries, &sum])
    }

    fn next_segment(&mut self) -> Result<()> {
        self.close_section()?;
        self.out.write(Descriptor::last("next", self.out.at()).as_bytes())?;
        self.out.flush()?;
        self.out.file.sync()?;
        let number = self.segment + 1;
        let name = self.plan.names.name(number).ok_or_else(|| {
            Error::limit(format!(
                "the image needs more than the {} segments that can be named; give a larger --split",
                self.segment
            ))
        })?;
        self.out = Out::new(self.outlet.create(&name)?, 0);
        self.segment = number;
        let number = u16::try_from(number).expect("fewer names than 2^16");
        let volume = self.volume();
        self.out.write(FileHeader::new(number).as_bytes())?;
        self.out.section("data", &[volume.as_bytes()])
    }

    fn lose(&mut self, range: Extent) {
        if range.state.is_lost() {
            self.lost.set(Extent { state: State::Bad, ..range });
        }
    }

    fn run(&mut self, len: u64) -> Result<()> {
        let zeros = Arc::clone(&self.zeros);
        for _ in 0..len / self.plan.chunk {
            self.chunk(&zeros.bytes, zeros.tag)?;
        }
        let rest = (len % self.plan.chunk) as usize;
        if rest > 0 {
            let mut bytes = Vec::new();
            let tag = self.encoder.one(&vec![0; rest], &mut bytes);
            self.chunk(&bytes, tag)?;
        }
        Ok(())
    }

    /// The ranges for the error table in sectors, and those that it cannot hold.
    fn errors(&self, lost: &ExtentMap, sector: u64) -> (Vec<ErrorEntry>, bool) {
        let mut entries = Vec::new();
        let mut beyond = false;
        let mut done = 0;
        for range in lost.iter() {
            let mut start = (range.offset / sector).max(done);
            let end = range.end().div_ceil(sector);
            while start < end {
                let sectors = (end - start).min(u32::MAX.into());
                match (u32::try_from(start), u32::try_from(sectors)) {
                    (Ok(start), Ok(sectors)) => {
                        entries.push(ErrorEntry { start: U32::new(start), sectors: U32::new(sectors) })
                    }
                    _ => beyond = true,
                }
                start += sectors;
            }
            done = end;
        }
        (entries, beyond)
    }

    /// Writes the sections that end the image.
    fn end(&mut self, seal: &Seal, errors: &[ErrorEntry]) -> Result<()> {
        self.close_section()?;
        let errors_len = if errors.is_empty() {
            0
        } else {
            Descriptor::LEN + (size_of::<Errors>() + size_of_val(errors) + 4) as u64
        };
        if self.out.at() + self.plan.tail(0) + errors_len > self.plan.split {
            self.next_segment()?;
        }
        if self.segment == 1 {
            let volume = self.volume();
            self.out.section("data", &[volume.as_bytes()])?;
        }
        if !errors.is_empty() {
            let mut header = Errors::new_zeroed();
            header.entries =
                U32::new(u32::try_from(errors.len()).map_err(|_| Error::limit("too many unreadable ranges"))?);
            let sum = adler32(errors.as_bytes()).to_le_bytes();
            self.out.section("error2", &[header.sealed().as_bytes(), errors.as_bytes(), &sum])?;
        }
        let md5 = stored::<16>(seal, "md5")?;
        if let Some(sha1) = stored::<20>(seal, "sha1")? {
            let mut digest = Digest::new_zeroed();
            digest.md5 = md5.unwrap_or_default();
            digest.sha1 = sha1;
            self.out.section("digest", &[digest.sealed().as_bytes()])?;
        }
        if let Some(md5) = md5 {
            let mut hash = Hash::new_zeroed();
            hash.md5 = md5;
            self.out.section("hash", &[hash.sealed().as_bytes()])?;
        }
        self.out.write(Descriptor::last("done", self.out.at()).as_bytes())?;
        self.out.flush()
    }

    /// Writes the length, known at last, into every segment.
    fn tell_len(&mut self, len: u64) -> Result<()> {
        let volume = self.plan.volume(len);
        for number in 1..=self.segment {
            let name = self.name(number);
            let file = if number == self.segment { Arc::clone(&self.out.file) } else { self.outlet.reopen(&name)? };
            let end = file.len()?;
            let mut at = FileHeader::LEN;
            // Only sections of this very writer lie between here and the end.
            while at + Descriptor::LEN <= end {
                let mut descriptor = Descriptor::new_zeroed();
                file.read_at(descriptor.as_mut_bytes(), at)?;
                if matches!(descriptor.name(), b"volume" | b"data") {
                    file.write_at(volume.as_bytes(), at + Descriptor::LEN)?;
                }
                if descriptor.next.get() <= at {
                    break;
                }
                at = descriptor.next.get();
            }
            file.sync()?;
        }
        Ok(())
    }

    fn name(&self, number: u32) -> String {
        self.plan.names.name(number).expect("every segment was named when it was made")
    }

    /// Writes the ranges that the error table cannot hold, with all others, beside the image.
    fn write_map(&self, lost: &ExtentMap) -> Result<(String, u64)> {
        let name = format!("{}{MAP}", self.name(1));
        if self.outlet.exists(&name)? {
            self.outlet.remove(&name)?;
        }
        let lost: Vec<_> = lost.iter().collect();
        let len = lost.last().map_or(self.done, |last| last.end().max(self.done));
        let text = Mapfile::of_losses(len, &lost).text(&Heading::of("tintype"));
        let file = self.outlet.create(&name)?;
        file.write_at(text.as_bytes(), 0)?;
        file.sync()?;
        Ok((name, text.len() as u64))
    }
}

fn stored<const N: usize>(seal: &Seal, name: &str) -> Result<Option<[u8; N]>> {
    let Some(value) = seal.digest(name) else { return Ok(None) };
    let value = value.try_into().map_err(|_| Error::usage(format!("the {name} has {} bytes, not {N}", value.len())))?;
    Ok(Some(value))
}

impl Sink for Writer {
    fn feed(&self) -> Feed {
        let chunk = self.plan.chunk as u32;
        let carries = States::of(&[State::Data, State::Zero, State::Bad]);
        Feed { chunk, carries, zeros: chunk, digests: self.plan.digests.clone() }
    }

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        Some(Box::new(self.encoder.again()))
    }

    fn put(&mut self, piece: Piece<'_>) -> Result<()> {
        let chunk = self.plan.chunk;
        let end = piece.offset.saturating_add(piece.len);
        if piece.offset != self.done || !self.done.is_multiple_of(chunk) || self.plan.len.is_some_and(|len| end > len) {
            return Err(Error::usage("a piece does not follow the one before it").at(piece.offset));
        }
        if end.div_ceil(chunk) > u64::from(u32::MAX) {
            return Err(Error::limit(format!(
                "the image has more than 2^32 chunks of {chunk} bytes; give a larger --option chunk="
            )));
        }
        match piece.body {
            PieceBody::Run(state) => {
                self.run(piece.len)?;
                self.lose(Extent::new(piece.offset, piece.len, state));
            }
            PieceBody::Bytes { coded, marks, .. } => {
                let whole: u64 = coded.chunks.iter().map(|c| u64::from(c.len)).sum();
                if coded.chunks.len() as u64 != piece.len.div_ceil(chunk) || whole != coded.bytes.len() as u64 {
                    return Err(Error::usage("a piece was not encoded by this format's encoder").at(piece.offset));
                }
                let mut rest = &coded.bytes[..];
                for one in &coded.chunks {
                    let (bytes, after) = rest.split_at(one.len as usize);
                    self.chunk(bytes, one.tag)?;
                    rest = after;
                }
                marks.iter().for_each(|m| self.lose(*m));
            }
        }
        self.done = end;
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>> {
        if !self.done.is_multiple_of(self.plan.chunk) {
            return Ok(None);
        }
        self.out.flush()?;
        self.out.file.sync()?;
        self.outlet.sync()?;
        let now = Told::of(self.segment, self.open.as_ref(), &self.lost);
        let state = state(&self.told, &now, self.out.at(), self.open.as_ref(), &self.lost);
        self.told = now;
        Ok(Some(Checkpoint { offset: self.done, state }))
    }

    fn finish(mut self: Box<Self>, seal: &Seal) -> Result<Written> {
        if seal.len != self.done || self.plan.len.is_some_and(|len| len != seal.len) {
            return Err(Error::usage(format!("the image is sealed with {} bytes but has {}", seal.len, self.done)));
        }
        for range in &seal.lost {
            self.lost.set(*range);
        }
        let lost = std::mem::take(&mut self.lost);
        let bad: ExtentMap = lost.iter().map(|e| Extent { state: State::Bad, ..e }).collect();
        let sector = self.plan.sector(seal.len);
        let (errors, beyond) = self.errors(&bad, sector.into());
        self.end(seal, &errors)?;
        if self.plan.len.is_none() {
            self.tell_len(seal.len)?;
        }
        self.out.file.sync()?;
        let mut written = Written { files: (1..=self.segment).map(|n| self.name(n)).collect(), ..Written::default() };
        for name in &written.files[..written.files.len() - 1] {
            written.bytes += self.outlet.reopen(name)?.len()?;
        }
        written.bytes += self.out.file.len()?;
        if beyond {
            let (name, len) = self.write_map(&lost)?;
            written.notes.push(format!("unreadable ranges beyond the reach of the error table are in {name}"));
            written.files.push(name);
            written.bytes += len;
        }
        if sector < 512 {
            written.notes.push(format!(
                "the size is no multiple of 512 bytes, so the image counts in sectors of {sector} bytes"
            ));
        }
        self.outlet.sync()?;
        Ok(written)
    }
}
