//! Walks the sections of all segment files and collects what they say, without judging whether that is enough.
//!
//! What is wrong is collected too: `open` refuses an image for the first [`Weight::Fatal`] of it, `check` lists all.

use super::closing::hex;
use super::header::{Header, Headers, Shape, elements};
use super::layout::{
    Descriptor, FileHeader, MAGIC, MAGIC_AD, MAGIC_LOGICAL, MAGIC_V2, MAGIC_V2_LOGICAL, Sealed, SmallVolume,
    TableHeader, Volume,
};
use super::names::{Names, first_of};
use std::sync::Arc;
use tintype_core::{Error, Kind, Limits, OpenRequest, Result, Source};
use zerocopy::FromZeros;

/// Most sections of one segment file: a table holds at least one of them up, so real files stay far below.
const MOST_SECTIONS: u32 = 1 << 22;
/// Most entries of one table: eight times what the most generous reader takes.
pub(super) const MOST_ENTRIES: u32 = 1 << 22;
/// Most problems that are listed.
const MOST_PROBLEMS: usize = 1000;

/// One segment file.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) source: Arc<dyn Source>,
}

/// Where the entries of a table are.
#[derive(Clone, Debug)]
pub(super) enum Entries {
    /// In the segment file, from this offset; `sealed` says whether their Adler-32 follows.
    File { at: u64, sealed: bool },
    /// In memory: a table that is not written yet.
    Memory(Arc<Vec<u32>>),
}

/// What is known of one table without reading its entries.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Its segment, counted from 0.
    pub(super) segment: u32,
    /// Its entries.
    pub(super) count: u32,
    /// Its first chunk.
    pub(super) first: u64,
    /// What its entries are relative to.
    pub(super) base: u64,
    pub(super) entries: Entries,
    /// The entries of `table2`.
    pub(super) copy: Option<u64>,
    /// Where the chunks begin and end.
    pub(super) data: (u64, u64),
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Odd; nothing is lost.
    Odd,
    /// Something is damaged that no chunk depends on, or that there is a copy of.
    Damage,
    /// The image cannot be read as a whole.
    Fatal,
}

/// Something wrong.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) weight: Weight,
    pub(super) what: String,
    pub(super) file: String,
    pub(super) offset: u64,
}

/// What a volume or data section says, whatever its form.
#[derive(Clone)]
pub(super) struct Medium {
    pub(super) shape: Shape,
    pub(super) volume: Box<Volume>,
}

/// All that the segment files say.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) segments: Vec<Segment>,
    pub(super) medium: Option<Medium>,
    pub(super) headers: Headers,
    pub(super) tables: Vec<Table>,
    /// Chunks in all tables.
    pub(super) chunks: u64,
    /// Start and number of sectors that could not be read.
    pub(super) errors: Vec<(u32, u32)>,
    /// Flags and start sector of tracks.
    pub(super) tracks: Vec<(u32, u32)>,
    pub(super) md5: Option<[u8; 16]>,
    pub(super) sha1: Option<[u8; 20]>,
    pub(super) problems: Vec<Problem>,
    /// True once a `done` section was met.
    pub(super) done: bool,
}

/// A section that is being looked at.
pub(super) struct Section<'a> {
    segment: u32,
    pub(super) file: &'a Segment,
    /// Where its descriptor is.
    pub(super) at: u64,
    /// Where its data are.
    data: (u64, u64),
}

impl Section<'_> {
    pub(super) fn len(&self) -> u64 {
        self.data.1 - self.data.0
    }

    /// The first `want` bytes of its data, or all if there are fewer.
    pub(super) fn head(&self, want: u64) -> Result<Vec<u8>> {
        let want = want.min(self.len());
        let mut bytes =
            vec![0; usize::try_from(want).map_err(|_| Error::limit("a section does not fit this machine"))?];
        self.file.source.read_at(&mut bytes, self.data.0).map_err(|e| e.in_path(&self.file.name).at(self.data.0))?;
        Ok(bytes)
    }
}

/// What carries over from section to section of one segment file.
#[derive(Default)]
struct Carry {
    /// Chunks of the latest `sectors` section.
    sectors: Option<(u64, u64)>,
    /// The latest table, while its copy may still follow.
    table: Option<Met>,
}

enum Met {
    /// Its index, and its header.
    Good(usize, TableHeader),
    /// Its header is damaged; where it is.
    Bad(u64),
}

/// Reads the sections of all segment files of the image.
pub(super) fn scan(request: &OpenRequest) -> Result<Scan> {
    let mut scan = Scan::default();
    let name = request.entry.name.clone();
    let first = Segment { source: Arc::clone(request.entry.source()?), name };
    let number = magic(&first)?;
    if number != 1 && Names::of_first(&first.name).is_some() {
        let what =
            format!("its name says that it is the first segment of its set, its header that it is segment {number}");
        return Err(Error::corrupt(what).in_path(&first.name).at(9));
    }
    if number != 1 {
        let hint = first_of(&first.name, &*request.opener).map(|f| format!(", {f}")).unwrap_or_default();
        let what = format!("this is segment {number} of a set; open its first file{hint}");
        return Err(Error::usage(what).in_path(&first.name));
    }
    let names = Names::of_first(&first.name);
    scan.segments.push(first);
    let mut number = 1;
    loop {
        if scan.segment(&request.limits)? != Ending::Next {
            break;
        }
        number += 1;
        let last = scan.segments.last().map_or("", |s| &s.name).to_owned();
        if number > request.limits.files {
            return Err(Error::limit(format!("the image has more than {} segment files", request.limits.files)));
        }
        let Some(name) = names.as_ref().and_then(|n| n.name(number)) else {
            let what = format!(
                "the image goes on in segment {number}, but {last} gives no name to find it by; name the first file as its program did \
                 (.E01)"
            );
            scan.fatal(&last, 0, what);
            break;
        };
        match find(request, &name) {
            Ok(segment) => {
                let found = magic(&segment)?;
                if u32::from(found) != number {
                    let what = format!("it should be segment {number} of the set but says that it is segment {found}");
                    scan.fatal(&segment.name, 9, what);
                    break;
                }
                scan.segments.push(segment);
            }
            Err(e) if matches!(e.kind(), Kind::Io | Kind::Denied) => {
                scan.fatal(
                    &name,
                    0,
                    format!("segment {number} of the image is missing; {last} says that the image goes on ({e})"),
                );
                break;
            }
            Err(e) => return Err(e),
        }
    }
    if scan.done
        && let Some(stranger) = names.as_ref().and_then(|n| n.name(number + 1))
        && request.opener.list().is_ok_and(|l| l.iter().any(|n| n.eq_ignore_ascii_case(&stranger)))
    {
        let last = scan.segments.last().map_or("", |s| &s.name).to_owned();
        scan.odd(&stranger, 0, format!("it does not belong to the image, which ends with {last}"));
    }
    Ok(scan)
}

fn find(request: &OpenRequest, name: &str) -> Result<Segment> {
    let e = match request.opener.open(name) {
        Ok(source) => return Ok(Segment { name: name.to_owned(), source }),
        Err(e) => e,
    };
    let other = request.opener.list().ok().and_then(|l| l.into_iter().find(|n| n.eq_ignore_ascii_case(name)));
    match other {
        Some(other) if other != name => Ok(Segment { source: request.opener.open(&other)?, name: other }),
        _ => Err(e),
    }
}

/// The number that a segment file gives itself.
fn magic(segment: &Segment) -> Result<u16> {
    let mut head = FileHeader::new_zeroed();
    let len = segment.source.len();
    let fail = |what: &str| Err(Error::corrupt(what).in_path(&segment.name).at(0));
    if len < FileHeader::LEN {
        return fail("the file is too short for an E01 segment");
    }
    segment.source.read_at(zerocopy::IntoBytes::as_mut_bytes(&mut head), 0).map_err(|e| e.in_path(&segment.name))?;
    let other = match head.magic {
        MAGIC => None,
        MAGIC_LOGICAL => Some("logical evidence (L01)"),
        MAGIC_V2 => Some("version 2 evidence (Ex01)"),
        MAGIC_V2_LOGICAL => Some("version 2 logical evidence (Lx01)"),
        MAGIC_AD => Some("an image that FTK Imager encrypted (AD encryption)"),
        _ => return fail("the file does not begin as an E01 segment does"),
    };
    match other {
        Some(other) => {
            Err(Error::unsupported(format!("{other} cannot be read by this version")).in_path(&segment.name))
        }
        None => Ok(head.segment.get()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Next,
    Done,
    Broken,
}

impl Scan {
    pub(super) fn note(&mut self, weight: Weight, file: &str, offset: u64, what: impl Into<String>) {
        if self.problems.len() >= MOST_PROBLEMS && weight != Weight::Fatal {
            return;
        }
        self.problems.push(Problem { weight, what: what.into(), file: file.to_owned(), offset });
    }

    fn odd(&mut self, file: &str, offset: u64, what: impl Into<String>) {
        self.note(Weight::Odd, file, offset, what);
    }

    pub(super) fn fatal(&mut self, file: &str, offset: u64, what: impl Into<String>) {
        self.note(Weight::Fatal, file, offset, what);
    }

    /// Walks the latest segment.
    pub(super) fn segment(&mut self, limits: &Limits) -> Result<Ending> {
        let index = self.segments.len() - 1;
        let file = self.segments[index].clone();
        let mut head = FileHeader::new_zeroed();
        file.source.read_at(zerocopy::IntoBytes::as_mut_bytes(&mut head), 0).map_err(|e| e.in_path(&file.name))?;
        if (head.fields_start, head.fields_end.get()) != (1, 0) {
            self.note(Weight::Damage, &file.name, 8, "the marks around the segment number are damaged");
        }
        let segment = u32::try_from(index).map_err(|_| Error::limit("too many segment files"))?;
        let len = file.source.len();
        let mut at = FileHeader::LEN;
        let mut carry = Carry::default();
        for _ in 0..MOST_SECTIONS {
            let mut descriptor = Descriptor::new_zeroed();
            if at.checked_add(Descriptor::LEN).is_none_or(|end| end > len) {
                self.close(&file, &mut carry);
                self.fatal(
                    &file.name,
                    at,
                    format!("the file is cut short: it ends at {len} where a section should follow"),
                );
                return Ok(Ending::Broken);
            }
            file.source
                .read_at(zerocopy::IntoBytes::as_mut_bytes(&mut descriptor), at)
                .map_err(|e| e.in_path(&file.name).at(at))?;
            let name = String::from_utf8_lossy(descriptor.name()).into_owned();
            if !descriptor.intact() {
                self.close(&file, &mut carry);
                self.fatal(&file.name, at, "the checksum of a section descriptor does not match");
                return Ok(Ending::Broken);
            }
            let (next, size) = (descriptor.next.get(), descriptor.size.get());
            if name == "next" || name == "done" {
                self.close(&file, &mut carry);
                let end = at + Descriptor::LEN;
                if end < len {
                    self.odd(&file.name, end, format!("{} bytes follow the last section", len - end));
                }
                self.done = name == "done";
                return Ok(if self.done { Ending::Done } else { Ending::Next });
            }
            // Expert Witness 1.35 leaves the size 0. Two sizes that contradict each other make two images of one file.
            if size != 0 && at.checked_add(size) != Some(next) || next < at + Descriptor::LEN {
                self.close(&file, &mut carry);
                let what =
                    format!("the {name} section says that it is {size} bytes long and that the next one is at {next}");
                self.fatal(&file.name, at, what);
                return Ok(Ending::Broken);
            }
            if next > len {
                self.close(&file, &mut carry);
                let what = format!("the file is cut short: it ends at {len}, its {name} section at {next}");
                self.fatal(&file.name, at, what);
                return Ok(Ending::Broken);
            }
            let section = Section { segment, file: &file, at, data: (at + Descriptor::LEN, next) };
            self.section(&name, &section, &mut carry, limits)?;
            at = next;
        }
        Err(Error::limit(format!("a segment has more than {MOST_SECTIONS} sections")).in_path(&file.name))
    }

    /// No copy of a table can follow any more.
    fn close(&mut self, file: &Segment, carry: &mut Carry) {
        if let Some(Met::Bad(at)) = carry.table.take() {
            self.fatal(&file.name, at, "a table is damaged and there is no copy of it");
        }
    }

    fn section(&mut self, name: &str, section: &Section<'_>, carry: &mut Carry, limits: &Limits) -> Result<()> {
        if name != "table2" {
            self.close(section.file, carry);
        }
        match name {
            "header" | "header2" | "xheader" | "xhash" => self.text(name, section, limits),
            "volume" | "disk" | "data" => self.medium(name, section),
            "sectors" => {
                carry.sectors = Some(section.data);
                Ok(())
            }
            "table" => self.table(section, carry, limits),
            "table2" => self.table2(section, carry, limits),
            "hash" => self.hash(section),
            "digest" => self.digest(section),
            "error2" => self.errors(section, limits),
            "session" => self.sessions(section, limits),
            "ltree" | "ltypes" => {
                Err(Error::unsupported("logical evidence (L01) cannot be read by this version")
                    .in_path(&section.file.name))
            }
            name if name.to_ascii_lowercase().contains("crypt") || name.eq_ignore_ascii_case("aes") => {
                Err(Error::unsupported("the image is encrypted (by X-Ways)").in_path(&section.file.name).at(section.at))
            }
            _ => {
                self.odd(&section.file.name, section.at, format!("a section called {name:?} was left aside"));
                Ok(())
            }
        }
    }

    fn text(&mut self, name: &str, section: &Section<'_>, limits: &Limits) -> Result<()> {
        let packed = section.head(limits.allocate("a header", section.len())? as u64)?;
        let good = match name {
            "header" => keep(&mut self.headers.narrow, Header::narrow(&packed, limits)),
            "header2" => keep(&mut self.headers.wide, Header::wide(&packed, limits)),
            "xheader" => keep(&mut self.headers.extended, elements(&packed, limits)),
            _ => match elements(&packed, limits) {
                Some(found) => {
                    self.md5 = self.md5.or_else(|| found.get("md5").and_then(|h| hex(h)));
                    self.sha1 = self.sha1.or_else(|| found.get("sha1").and_then(|h| hex(h)));
                    true
                }
                None => false,
            },
        };
        if !good {
            self.note(
                Weight::Damage,
                &section.file.name,
                section.at,
                format!("the {name} section cannot be understood"),
            );
        }
        Ok(())
    }

    fn medium(&mut self, name: &str, section: &Section<'_>) -> Result<()> {
        let (file, at) = (&section.file.name, section.at);
        let bytes = section.head(size_of::<Volume>() as u64)?;
        let (medium, intact, unset) = if let Some(volume) = Volume::parse(&bytes) {
            (Medium { shape: Shape::Large, volume: Box::new(volume) }, volume.intact(), volume.stored() == 0)
        } else if let Some(small) = SmallVolume::parse(&bytes) {
            let mut volume = Volume::new_zeroed();
            volume.media_type = small.reserved1.get() as u8;
            volume.chunks = small.chunks;
            volume.sectors_per_chunk = small.sectors_per_chunk;
            volume.bytes_per_sector = small.bytes_per_sector;
            volume.sectors.set(small.sectors.get().into());
            let shape = if small.signature == *b"SMART" { Shape::Smart } else { Shape::Small };
            (Medium { shape, volume: Box::new(volume) }, small.intact(), small.stored() == 0)
        } else {
            self.note(Weight::Damage, file, at, format!("the {name} section is too short"));
            return Ok(());
        };
        if !intact {
            // Logicube's devices never computed it in data sections.
            if name == "data" && unset {
                self.odd(file, at, "the data section carries no checksum, as Logicube wrote them");
            } else {
                self.note(Weight::Damage, file, at, format!("the checksum of the {name} section does not match"));
                return Ok(());
            }
        }
        let Some(known) = &self.medium else {
            self.medium = Some(medium);
            return Ok(());
        };
        let (a, b) = (&known.volume, &medium.volume);
        let unset = [0; 16];
        let what = if a.set != b.set && a.set != unset && b.set != unset {
            "it belongs to another image: its set identifier is not that of the first segment"
        } else if a.sectors_per_chunk != b.sectors_per_chunk || a.bytes_per_sector != b.bytes_per_sector {
            "it belongs to another image: its chunks are of another size than those of the first segment"
        } else if a.sectors != b.sectors && b.sectors.get() != 0 {
            self.odd(file, at, format!("the {name} section gives another number of sectors than the first segment"));
            return Ok(());
        } else {
            return Ok(());
        };
        self.fatal(file, at, what);
        Ok(())
    }

    fn table(&mut self, section: &Section<'_>, carry: &mut Carry, limits: &Limits) -> Result<()> {
        match TableHeader::parse(&section.head(TableHeader::LEN)?).filter(|h| h.intact() && fits(h, section)) {
            Some(header) => self.add_table(section, header, carry, limits),
            None => {
                let what = "the head of a table is damaged";
                self.note(Weight::Damage, &section.file.name, section.at, what);
                carry.table = Some(Met::Bad(section.at));
                Ok(())
            }
        }
    }

    fn add_table(
        &mut self,
        section: &Section<'_>,
        header: TableHeader,
        carry: &mut Carry,
        limits: &Limits,
    ) -> Result<()> {
        let count = header.entries.get();
        let at = section.data.0 + TableHeader::LEN;
        let end = at + 4 * u64::from(count);
        let name = &section.file.name;
        if count == 0 {
            carry.table = Some(Met::Good(self.tables.len(), header));
            return Ok(());
        }
        let mut base = header.base.get();
        if base >= section.file.source.len() {
            self.odd(
                name,
                section.at,
                format!("the base offset {base} of a table is beyond the end of the file and was ignored"),
            );
            base = 0;
        }
        // The first programs kept the chunks in the table's own section, with or without a checksum before them.
        let inside = section.data.1 - end > 4;
        let (data, sealed) = match carry.sectors {
            Some(sectors) if !inside => (sectors, section.data.1 - end == 4),
            _ => {
                let mut first = [0; 4];
                section.file.source.read_at(&mut first, at).map_err(|e| e.in_path(name).at(at))?;
                let first = u64::from(u32::from_le_bytes(first) & !super::layout::COMPRESSED) + base;
                ((end, section.data.1), first == end + 4)
            }
        };
        let used = (self.tables.len() as u64 + 1) * size_of::<Table>() as u64;
        if used > limits.tables {
            return Err(
                Error::limit(format!("the tables take more than {} bytes of memory", limits.tables)).in_path(name)
            );
        }
        carry.table = Some(Met::Good(self.tables.len(), header));
        let entries = Entries::File { at, sealed };
        self.tables.push(Table {
            segment: section.segment,
            count,
            first: self.chunks,
            base,
            entries,
            copy: None,
            data,
        });
        self.chunks += u64::from(count);
        Ok(())
    }

    fn table2(&mut self, section: &Section<'_>, carry: &mut Carry, limits: &Limits) -> Result<()> {
        let (file, at) = (&section.file.name, section.at);
        let header = TableHeader::parse(&section.head(TableHeader::LEN)?).filter(|h| h.intact() && fits(h, section));
        match (carry.table.take(), header) {
            (None, _) => self.odd(file, at, "a table2 section follows no table and was left aside"),
            (Some(Met::Bad(at)), None) => self.fatal(file, at, "a table and its copy are both damaged"),
            (Some(Met::Bad(_)), Some(header)) => {
                self.add_table(section, header, carry, limits)?;
                carry.table = None;
            }
            (Some(Met::Good(..)), None) => {
                self.note(Weight::Damage, file, at, "the head of a table2 section is damaged");
            }
            (Some(Met::Good(index, first)), Some(header)) => {
                if first.entries != header.entries || first.base != header.base {
                    self.note(Weight::Damage, file, at, "a table2 section is no copy of its table");
                } else if let Some(table) = self.tables.get_mut(index) {
                    let end = section.data.0 + TableHeader::LEN + 4 * u64::from(table.count);
                    table.copy = (section.data.1 - end >= 4).then_some(section.data.0 + TableHeader::LEN);
                }
            }
        }
        Ok(())
    }
}

/// True if the entries that the header promises are inside the section.
fn fits(header: &TableHeader, section: &Section<'_>) -> bool {
    let entries = header.entries.get();
    entries <= MOST_ENTRIES && TableHeader::LEN + 4 * u64::from(entries) <= section.len()
}

/// Keeps the first good value; true if the new one is good.
fn keep<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let good = value.is_some();
    if slot.is_none() {
        *slot = value;
    }
    good
}
