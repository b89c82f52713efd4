//! The reader.

use super::chunk::{Broken, decode};
use super::header::Shape as Kind94;
use super::index::{Index, Loaded, Stored};
use super::layout::guid_text;
use super::scan::{Medium, Scan, Table, Weight, scan};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tintype_codec::deflate::Decompressor;
use tintype_core::mapfile::{Gaps, Mapfile, Status};
use tintype_core::{
    Care, Checksums, Covers, Detail, Error, Extent, Facts, Image, Kind, Limits, OpenRequest, Result, Shape, Source,
    State, StoredDigest, in_range,
};

/// Most host bytes of one read.
const GATHER: u64 = 4 << 20;
/// Decoded chunks that are kept for reads that take only a part of one.
const KEEP: usize = 8;
/// Most bytes of those.
const KEEP_BYTES: usize = 16 << 20;
/// Tables with together no more entries than this are proved when the image is opened.
const PROVE_ENTRIES: u64 = 4 << 20;
/// Units of reads that are worth it.
const UNIT: u64 = 1 << 20;
/// Most bytes of a side-car mapfile.
const MOST_MAP: u64 = 64 << 20;
/// What the name of the side-car with ranges beyond the error table ends in.
pub(super) const MAP: &str = ".map";

/// How the medium is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Bytes of a chunk.
    pub(super) chunk: u64,
    /// Bytes of a sector.
    pub(super) sector: u32,
    /// Bytes of the medium.
    pub(super) len: u64,
}

impl Geometry {
    /// What the volume section says; `Corrupt` if it is nonsense.
    pub(super) fn of(medium: &Medium, limits: &Limits, warnings: &mut Vec<String>) -> Result<Self> {
        let volume = &medium.volume;
        let (spc, sector) = (volume.sectors_per_chunk.get(), volume.bytes_per_sector.get());
        if spc == 0 || sector == 0 {
            return Err(Error::corrupt("the volume section says that chunks or sectors have no bytes"));
        }
        let chunk = u64::from(spc) * u64::from(sector);
        limits.allocate("a chunk", chunk)?;
        let mut sectors = volume.sectors.get();
        let room = u64::from(volume.chunks.get()) * u64::from(spc);
        // Programs before EnCase 6 used only the low half of the field.
        if sectors > u64::from(u32::MAX) && room > 0 && sectors > room && sectors & 0xffff_ffff <= room {
            warnings.push("the upper half of the sector count makes no sense and was ignored".into());
            sectors &= 0xffff_ffff;
        }
        let len = sectors.checked_mul(sector.into()).filter(|len| *len <= i64::MAX as u64);
        let len =
            len.ok_or_else(|| Error::corrupt(format!("the volume section says {sectors} sectors of {sector} bytes")))?;
        Ok(Geometry { chunk, sector, len })
    }

    pub(super) fn chunks(&self) -> u64 {
        self.len.div_ceil(self.chunk)
    }

    /// Bytes of the medium that `chunk` stands for.
    pub(super) fn plain_len(&self, chunk: u64) -> u64 {
        self.len.saturating_sub(chunk.saturating_mul(self.chunk)).min(self.chunk)
    }
}

/// What one reading thread works with.
struct Worker {
    decoder: Decompressor,
    host: Vec<u8>,
    room: Vec<u8>,
}

/// Reads the medium of an E01 image.
pub(super) struct Reader {
    index: Index,
    geometry: Geometry,
    /// Ranges that are lost, ascending.
    lost: Vec<Extent>,
    facts: Facts,
    care: Care,
    idle: Mutex<Vec<Worker>>,
    kept: Mutex<VecDeque<(u64, Arc<Vec<u8>>)>>,
    /// How a whole chunk of zeros was found to be stored.
    zeros: RwLock<Option<Arc<Vec<u8>>>>,
}

impl Reader {
    /// A reader of the chunks that `index` knows.
    pub(super) fn new(index: Index, geometry: Geometry, lost: Vec<Extent>, facts: Facts, care: Care) -> Self {
        Reader {
            index,
            geometry,
            lost,
            facts,
            care,
            idle: Mutex::default(),
            kept: Mutex::default(),
            zeros: RwLock::default(),
        }
    }

    fn worker(&self) -> Worker {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| {
            let decoder = crate::decoder::decompressor(self.care);
            Worker { decoder, host: Vec::new(), room: Vec::new() }
        })
    }

    fn rest(&self, worker: Worker) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < 16 {
            idle.push(worker);
        }
    }

    fn is_last(&self, chunk: u64) -> bool {
        chunk + 1 == self.geometry.chunks()
    }

    fn broken(&self, why: Broken, table: &Table, stored: Stored, chunk: u64) -> Error {
        let kind = if why == Broken::Zstd { Kind::Unsupported } else { Kind::Corrupt };
        let file = &self.index.segment(table).name;
        Error::new(kind, format!("{} (chunk {chunk}, stored in {file} at {})", why.text(), stored.at))
            .at(chunk * self.geometry.chunk)
    }

    /// Decodes a stored chunk into `out`, as long as the part of the medium that it stands for.
    fn decode(
        &self,
        worker: &mut Worker,
        bytes: (usize, usize),
        compressed: bool,
        chunk: u64,
        out: &mut [u8],
    ) -> Result<usize, Broken> {
        let Worker { decoder, host, room } = worker;
        let stored = &host[bytes.0..bytes.1];
        let whole = out.len() as u64 == self.geometry.chunk;
        let small = compressed && whole && stored.len() as u64 <= self.zeros_at_most();
        if small && self.known_zeros().is_some_and(|z| z[..] == *stored) {
            out.fill(0);
            return Ok(out.len());
        }
        let room = if self.is_last(chunk) && compressed {
            room.resize(self.geometry.chunk as usize, 0);
            Some(room)
        } else {
            None
        };
        let len = decode(decoder, stored, compressed, out, room)?;
        if small && out.iter().all(|b| *b == 0) {
            *self.zeros.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(stored.to_vec()));
        }
        Ok(len)
    }

    fn known_zeros(&self) -> Option<Arc<Vec<u8>>> {
        self.zeros.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stored chunks that are longer than this are no zeros: every deflate encoder makes them smaller.
    fn zeros_at_most(&self) -> u64 {
        self.geometry.chunk / 128 + 64
    }

    fn host(&self, table: &Table, worker: &mut Worker, at: u64, len: u64) -> Result<()> {
        let segment = self.index.segment(table);
        worker.host.resize(len as usize, 0);
        segment.source.read_at(&mut worker.host, at).map_err(|e| e.in_path(&segment.name).at(at))
    }

    /// The bytes of one chunk, for reads that take a part of it.
    fn whole(&self, worker: &mut Worker, chunk: u64) -> Result<Arc<Vec<u8>>> {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = lock().iter().find(|(n, _)| *n == chunk) {
            return Ok(Arc::clone(bytes));
        }
        let (table, loaded) = self.index.find(chunk)?;
        let stored = self.index.stored(table, &loaded, (chunk - table.first) as usize);
        self.host(table, worker, stored.at, stored.len)?;
        let mut bytes = vec![0; self.geometry.plain_len(chunk) as usize];
        self.decode(worker, (0, stored.len as usize), stored.compressed, chunk, &mut bytes)
            .map_err(|why| self.broken(why, table, stored, chunk))?;
        let bytes = Arc::new(bytes);
        let mut kept = lock();
        kept.push_front((chunk, Arc::clone(&bytes)));
        kept.truncate(KEEP.min(KEEP_BYTES / self.geometry.chunk as usize).max(1));
        Ok(bytes)
    }

    /// Reads from `chunk` on, whose first byte is the first of `buf`, as many whole chunks as lie together. Returns their bytes.
    fn together(&self, worker: &mut Worker, chunk: u64, buf: &mut [u8]) -> Result<usize> {
        let (table, loaded) = self.index.find(chunk)?;
        let start = (chunk - table.first) as usize;
        let first = self.index.stored(table, &loaded, start);
        let (mut run, mut plain, mut host) = (Vec::with_capacity(64), 0, 0);
        for i in start..loaded.len() {
            let stored = self.index.stored(table, &loaded, i);
            let len = self.geometry.plain_len(table.first + i as u64) as usize;
            let fits = len > 0 && plain + len <= buf.len() && stored.at == first.at + host;
            if !fits || !run.is_empty() && host + stored.len > GATHER {
                break;
            }
            run.push((stored, len));
            plain += len;
            host += stored.len;
        }
        self.host(table, worker, first.at, host)?;
        let mut done = 0;
        for (n, (stored, len)) in run.into_iter().enumerate() {
            let from = (stored.at - first.at) as usize;
            let number = chunk + n as u64;
            let out = &mut buf[done..done + len];
            self.decode(worker, (from, from + stored.len as usize), stored.compressed, number, out)
                .map_err(|why| self.broken(why, table, stored, number))?;
            done += len;
        }
        Ok(done)
    }

    fn fill(&self, worker: &mut Worker, buf: &mut [u8], offset: u64, done: &mut usize) -> Result<()> {
        while *done < buf.len() {
            let at = offset + *done as u64;
            let chunk = at / self.geometry.chunk;
            let inside = (at % self.geometry.chunk) as usize;
            let left = buf.len() - *done;
            let len = self.geometry.plain_len(chunk) as usize;
            *done += if inside == 0 && left >= len {
                self.together(worker, chunk, &mut buf[*done..])?
            } else {
                let bytes = self.whole(worker, chunk)?;
                let take = left.min(len - inside);
                buf[*done..*done + take].copy_from_slice(&bytes[inside..inside + take]);
                take
            };
        }
        Ok(())
    }

    /// How many chunks from `start` on, up to `end`, are stored as zeros. Reads their stored form, all in one.
    fn zero_run(&self, table: &Table, loaded: &Loaded, start: usize, end: usize) -> Result<usize> {
        let first = self.index.stored(table, loaded, start);
        let mut host = 0;
        let mut run = 0;
        for i in start..end {
            let stored = self.index.stored(table, loaded, i);
            if !self.may_be_zeros(stored, table.first + i as u64)
                || stored.at != first.at + host
                || host + stored.len > GATHER / 16
            {
                break;
            }
            host += stored.len;
            run += 1;
        }
        let mut worker = self.worker();
        self.host(table, &mut worker, first.at, host)?;
        let mut found = 0;
        for i in start..start + run {
            let stored = self.index.stored(table, loaded, i);
            let from = (stored.at - first.at) as usize;
            let bytes = &worker.host[from..from + stored.len as usize];
            if self.known_zeros().is_none_or(|z| z[..] != *bytes) {
                let mut out = vec![0; self.geometry.chunk as usize];
                let range = (from, from + stored.len as usize);
                let good = self.decode(&mut worker, range, true, table.first + i as u64, &mut out);
                if good.is_err() || out.iter().any(|b| *b != 0) {
                    break;
                }
            }
            found += 1;
        }
        self.rest(worker);
        Ok(found)
    }

    fn may_be_zeros(&self, stored: Stored, chunk: u64) -> bool {
        stored.compressed && stored.len <= self.zeros_at_most() && self.geometry.plain_len(chunk) == self.geometry.chunk
    }
}

impl Source for Reader {
    fn len(&self) -> u64 {
        self.geometry.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len(), offset, buf.len() as u64)?;
        let mut worker = self.worker();
        let mut done = 0;
        let result = self.fill(&mut worker, buf, offset, &mut done);
        self.rest(worker);
        result.map_err(|e| match e.kind() {
            // The segment file itself lies on something that gave no bytes.
            Kind::Unreadable { .. } => {
                Error::unreadable("a part of the segment file could not be read", done as u64, None).because(e)
            }
            _ => e,
        })
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.len(), offset, 1)?;
        let i = self.lost.partition_point(|e| e.end() <= offset);
        let end = match self.lost.get(i) {
            Some(lost) if lost.offset <= offset => return Ok(Extent::new(offset, lost.end() - offset, lost.state)),
            Some(lost) => lost.offset,
            None => self.len(),
        };
        let size = self.geometry.chunk;
        let chunk = offset / size;
        let (table, loaded) = self.index.find(chunk)?;
        let start = (chunk - table.first) as usize;
        let beyond = end.div_ceil(size).saturating_sub(table.first).min(loaded.len() as u64) as usize;
        let maybe = |i: usize| self.may_be_zeros(self.index.stored(table, &loaded, i), table.first + i as u64);
        let (run, state) = match maybe(start) {
            true => match self.zero_run(table, &loaded, start, beyond) {
                Ok(run) if run > 0 => (run, State::Zero),
                // What cannot be read or decoded here is told by whoever reads it.
                _ => (1, State::Data),
            },
            false => (1, State::Data),
        };
        let mut next = start + run;
        while state == State::Data && next < beyond && !maybe(next) {
            next += 1;
        }
        let to = ((table.first + next as u64).saturating_mul(size)).min(end);
        Ok(Extent::new(offset, to - offset, state))
    }

    fn detail_at(&self, offset: u64) -> Result<Option<Detail>> {
        in_range(self.len(), offset, 1)?;
        let chunk = offset / self.geometry.chunk;
        let (table, loaded) = self.index.find(chunk)?;
        let stored = self.index.stored(table, &loaded, (chunk - table.first) as usize);
        Ok(Some(Detail {
            file: Some(self.index.segment(table).name.clone()),
            host_offset: Some(stored.at),
            stored_len: Some(stored.len),
            compressed: stored.compressed,
            depth: 0,
        }))
    }

    fn shape(&self) -> Shape {
        let sector = self.geometry.sector;
        // A medium whose size is no multiple of 512 is written with smaller sectors; no drive has those.
        let sector = if sector.is_power_of_two() && sector >= 512 { sector } else { 512 };
        let chunk = self.geometry.chunk;
        let unit = UNIT.div_ceil(chunk) * chunk;
        let unit = u32::try_from(unit).unwrap_or(1 << 30);
        Shape { sector, physical: sector, unit, in_flight: 64, direct: false }
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// Opens an image.
pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let mut scan = scan(request)?;
    if let Some(fatal) = scan.problems.iter().find(|p| p.weight == Weight::Fatal) {
        let e = Error::corrupt(&fatal.what).in_path(&fatal.file);
        // A file that is missing has no offset.
        return Err(if fatal.offset == 0 { e } else { e.at(fatal.offset) });
    }
    let first = scan.segments[0].name.clone();
    let mut warnings: Vec<String> =
        scan.problems.iter().map(|p| format!("{}: {} (at offset {})", p.file, p.what, p.offset)).collect();
    let medium =
        scan.medium.take().ok_or_else(|| Error::corrupt("no section says how large the medium is").in_path(&first))?;
    let mut geometry = Geometry::of(&medium, &request.limits, &mut warnings).map_err(|e| e.in_path(&first))?;
    let index = Index::new(std::mem::take(&mut scan.segments), std::mem::take(&mut scan.tables), geometry.chunk);
    settle_len(&mut geometry, scan.chunks, &index, &mut warnings).map_err(|e| e.in_path(&first))?;
    let compressed = prove_tables(&index, &mut warnings);
    let lost = lost(&scan, &geometry, request, &first, &mut warnings);
    let facts = facts(&scan, &medium, &geometry);
    let compression = match (medium.volume.compression, compressed) {
        (1, _) => "zlib, fast".to_owned(),
        (2, _) => "zlib, best".to_owned(),
        (_, true) => "zlib".to_owned(),
        (_, false) => String::new(),
    };
    let variant = scan.headers.variant(medium.shape);
    let files = index.segments().iter().map(|s| s.name.clone()).collect();
    let disk = Arc::new(Reader::new(index, geometry, lost, facts, request.care));
    Ok(Image { compression, warnings, checksums: Checksums::Every, ..Image::new(variant, disk, files) })
}

/// Compares the number of chunks with the number of sectors, and finds the true length where they disagree by less than a sector.
///
/// Programs that image a file whose size is no multiple of the sector count only whole sectors but store all bytes.
fn settle_len(geometry: &mut Geometry, held: u64, index: &Index, warnings: &mut Vec<String>) -> Result<()> {
    let wanted = geometry.chunks();
    if held < wanted {
        return Err(Error::corrupt(format!(
            "the tables hold {held} of {wanted} chunks: the image was not finished or is cut short"
        )));
    }
    if held == 0 {
        return Ok(());
    }
    let extra = held - wanted;
    let counted = geometry.len;
    let last = if extra == 1 { held - 1 } else { wanted.saturating_sub(1) };
    let before = last * geometry.chunk;
    if extra <= 1 {
        // A geometry in which the last chunk may be anything from nothing to whole.
        let open = Geometry { len: before + 1, ..*geometry };
        let reader = Reader::new(index.borrowed(), open, Vec::new(), Facts::default(), Care::Read);
        let len = match reader.len_of(last) {
            Ok(len) => before + len,
            // A damaged last chunk is told when it is read.
            Err(_) => return Ok(()),
        };
        if len > counted && len - counted < u64::from(geometry.sector) {
            warnings.push(format!(
                "the medium ends with {} bytes that make no whole sector; programs made with libewf leave them out",
                len - counted
            ));
            geometry.len = len;
            return Ok(());
        }
    }
    if extra > 0 {
        warnings.push(format!("the tables hold {held} chunks where the medium has {wanted}; the rest was left aside"));
    }
    Ok(())
}

impl Reader {
    /// Bytes that the last chunk holds, whatever the medium takes of them.
    fn len_of(&self, chunk: u64) -> Result<u64> {
        let mut worker = self.worker();
        let (table, loaded) = self.index.find(chunk)?;
        let stored = self.index.stored(table, &loaded, (chunk - table.first) as usize);
        self.host(table, &mut worker, stored.at, stored.len)?;
        let mut one = [0];
        let len = self
            .decode(&mut worker, (0, stored.len as usize), stored.compressed, chunk, &mut one)
            .map_err(|why| self.broken(why, table, stored, chunk))?;
        Ok((len as u64).min(self.geometry.chunk))
    }
}

/// Proves the checksums of tables while that costs little. True if a chunk of the first table is compressed.
fn prove_tables(index: &Index, warnings: &mut Vec<String>) -> bool {
    let entries: u64 = index.tables().iter().map(|t| u64::from(t.count)).sum();
    let prove = if entries <= PROVE_ENTRIES { index.tables().len() } else { index.tables().len().min(1) };
    let mut compressed = false;
    for (i, table) in index.tables().iter().enumerate().take(prove) {
        let name = &index.segment(table).name;
        match index.load(i) {
            Ok(loaded) => {
                if loaded.from_copy {
                    warnings.push(format!("{name}: a table is damaged; its copy (table2) was used"));
                }
                if i == 0 {
                    compressed = (0..loaded.len()).any(|n| index.stored(table, &loaded, n).compressed);
                }
            }
            Err(e) => warnings.push(format!(
                "{}; chunks {} to {} cannot be read",
                e,
                table.first,
                table.first + u64::from(table.count) - 1
            )),
        }
    }
    compressed
}

/// The ranges that were lost when the image was made, from the error table and from the side-car beyond its reach.
fn lost(
    scan: &Scan,
    geometry: &Geometry,
    request: &OpenRequest,
    first: &str,
    warnings: &mut Vec<String>,
) -> Vec<Extent> {
    let sector = u64::from(geometry.sector);
    let mut lost: Vec<Extent> = Vec::with_capacity(scan.errors.len());
    for (start, sectors) in &scan.errors {
        let range = Extent::new(u64::from(*start) * sector, u64::from(*sectors) * sector, State::Bad);
        match range.clip(0, geometry.len) {
            Some(inside) => lost.push(inside),
            None => warnings.push(format!("the error table names sector {start}, which the medium does not have")),
        }
    }
    if geometry.len > sector << 32 {
        let name = format!("{first}{MAP}");
        match sidecar(request, &name) {
            Ok(Some(map)) => lost.extend(map.within(0, geometry.len).filter(|e| e.state.is_lost())),
            Ok(None) => {}
            Err(e) => warnings.push(format!("{name}: unreadable ranges beyond the error table are not known ({e})")),
        }
    }
    lost.sort_by_key(|e| (e.offset, e.len));
    let mut merged: Vec<Extent> = Vec::with_capacity(lost.len());
    for next in lost {
        match merged.last_mut() {
            Some(last) if next.offset < last.end() || next.offset == last.end() && next.state == last.state => {
                last.len = last.end().max(next.end()) - last.offset;
            }
            _ => merged.push(next),
        }
    }
    merged
}

fn sidecar(request: &OpenRequest, name: &str) -> Result<Option<tintype_core::ExtentMap>> {
    if !request.opener.list()?.iter().any(|n| n == name) {
        return Ok(None);
    }
    let source = request.opener.open(name)?;
    if source.len() > MOST_MAP {
        return Err(Error::limit("the mapfile is too long"));
    }
    // Earlier versions wrote only what is lost.
    let mut bytes = vec![0; request.limits.allocate("a mapfile", source.len())?];
    source.read_at(&mut bytes, 0)?;
    Ok(Some(Mapfile::parse(&bytes, Gaps::Filled(Status::Finished))?.extents()))
}

fn facts(scan: &Scan, medium: &Medium, geometry: &Geometry) -> Facts {
    let mut facts = Facts::default();
    scan.headers.tell(&mut facts);
    let mut digest = |algorithm: &str, value: Option<&[u8]>| {
        if let Some(value) = value {
            let digest = StoredDigest { algorithm: algorithm.into(), value: value.to_vec(), covers: Covers::Whole };
            facts.digests.push(digest);
        }
    };
    digest("md5", scan.md5.as_ref().map(|d| &d[..]));
    digest("sha1", scan.sha1.as_ref().map(|d| &d[..]));
    let volume = &medium.volume;
    let mut field = |name: &str, value: String| {
        if !value.is_empty() {
            facts.fields.insert(name.to_owned(), value);
        }
    };
    field("chunk_size", geometry.chunk.to_string());
    field("sector_size", geometry.sector.to_string());
    field("sectors", volume.sectors.get().to_string());
    if medium.shape == Kind94::Large {
        let kind = match volume.media_type {
            0 => "removable".to_owned(),
            1 => "fixed".to_owned(),
            3 => "optical".to_owned(),
            0x0e => "logical evidence".to_owned(),
            0x10 => "memory".to_owned(),
            other => format!("unknown ({other})"),
        };
        field("media_type", kind);
        field("physical", if volume.media_flags & 2 != 0 { "yes" } else { "no" }.to_owned());
        let blocker = match volume.media_flags & 0x0c {
            0 => "",
            8 => "tableau",
            _ => "fastbloc",
        };
        field("write_blocker", blocker.to_owned());
        field("set_identifier", guid_text(&volume.set));
        let number = |n: u32| if n == 0 { String::new() } else { n.to_string() };
        field("error_granularity", number(volume.granularity.get()));
        field("palm_start_sector", number(volume.palm_start.get()));
        field("smart_log_start_sector", number(volume.smart_start.get()));
        if volume.cylinders.get() != 0 {
            let chs = [volume.cylinders, volume.heads, volume.sectors_per_track].map(|n| n.get().to_string());
            field("geometry", chs.join("/"));
        }
    }
    for (n, (flags, start)) in scan.tracks.iter().enumerate() {
        // EnCase gives 16 as the start of the first track, which starts at 0.
        let start = if n == 0 { 0 } else { *start };
        field(
            &format!("track_{:02}", n + 1),
            format!("{} from sector {start}", if flags & 1 != 0 { "audio" } else { "data" }),
        );
    }
    facts
}
