//! FAT12, FAT16 and FAT32 with long names.
//!
//! ```text
//!  boot sector, reserved sectors | table | copy of the table | root (not FAT32) | clusters from number 2
//! ```
//!
//! A node is known by the place of its entry in a folder; the root, which has none, by 0. Sources: Microsoft, "FAT: General Overview of
//! On-Disk Format", 1.03; Linux, fs/fat.

mod boot;
mod names;
mod table;

use super::{
    About, Entry, FileSystem, Followed, Kind, Known, Lead, Node, NodeId, Part, Place, Rank, Row, Run, Time, Trace,
    Visit,
};
use crate::field::{le16, le32};
use boot::{Boot, Width};
use names::Long;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use table::{Next, Table};
use tintype_core::{Error, RangeMap, Result, Source};

pub(super) const ROW: Row = Row { names: &["fat12", "fat16", "fat32"], heads, spares, open };

const ENTRY: usize = 32;

/// Folders are never longer.
const LONGEST_FOLDER: u64 = 65536 * ENTRY as u64;

/// Most runs that are kept of one file.
const MOST_RUNS: usize = 1 << 21;

/// Bytes of a folder that are read at once.
const PIECE: u64 = 64 << 10;

const FOLDER: u8 = 0x10;
const LABEL: u8 = 0x08;
const LONG_NAME: u8 = 0x0f;
const DELETED: u8 = 0xe5;

fn heads(_len: u64) -> Vec<Range<u64>> {
    std::iter::once(0..4096).collect()
}

/// FAT32 keeps a copy of its boot sector in sector 6.
fn spares(len: u64) -> Vec<Range<u64>> {
    [512, 4096].into_iter().map(|sector| sector * 6..sector * 7).filter(|r| r.end <= len).collect()
}

/// An opened file system.
struct Fat {
    known: Known,
    boot: Boot,
    table: Table,
    about: About,
    // True if the boot sector is lost and its copy is used.
    spare: bool,
}

fn open(source: &Arc<dyn Source>) -> super::Opened {
    let known = Known::new(source);
    if known.len() < boot::LEN as u64 {
        return Ok(None);
    }
    let from = |at: u64| -> Result<Option<Boot>> { Boot::parse(&known.read(at, boot::LEN)?) };
    let (boot, spare) = match from(0) {
        Ok(None) => return Ok(None),
        Ok(Some(boot)) => (boot, false),
        Err(e) => {
            let copy = spares(known.len()).into_iter().find_map(|r| {
                let boot = from(r.start).ok()??;
                (boot.width == Width::Fat32 && boot.sector * 6 == r.start).then_some(boot)
            });
            match copy {
                Some(boot) => (boot, true),
                None if matches!(e.kind(), tintype_core::Kind::Corrupt | tintype_core::Kind::Unsupported) => {
                    return Err(e);
                }
                None => return Ok(None),
            }
        }
    };
    let mut warnings = Vec::new();
    if spare {
        warnings.push("the boot sector is lost; its copy was used".into());
    }
    if boot.len > known.len() {
        warnings.push("it is longer than what it lies on".into());
    }
    let about = About {
        name: boot.width.name(),
        label: boot.label.clone(),
        id: boot.id.clone(),
        block: boot.cluster,
        len: boot.len,
        warnings,
    };
    let table = Table::new(known.clone(), boot.clone());
    let mut fat = Fat { known, boot, table, about, spare };
    if fat.clean() == Ok(false) || fat.boot.dirty {
        fat.about.warnings.push("it was not closed".into());
    }
    Ok(Some(Box::new(fat)))
}

/// Whether a folder has more names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    GoOn,
    End,
}

/// An entry of a folder, without its long name.
struct Raw<'a>(&'a [u8]);

impl Raw<'_> {
    fn short(&self) -> [u8; 11] {
        self.0.first_chunk().copied().unwrap_or([0; 11])
    }

    fn attributes(&self) -> u8 {
        self.0[11]
    }

    fn is_folder(&self) -> bool {
        self.attributes() & FOLDER != 0
    }

    fn first(&self, width: Width) -> u32 {
        let high = if width == Width::Fat32 { u32::from(le16(self.0, 20)) << 16 } else { 0 };
        u32::from(le16(self.0, 26)) | high
    }

    fn len(&self) -> u64 {
        u64::from(le32(self.0, 28))
    }
}

/// Days since 1970 of a day of the Gregorian calendar (the algorithm is days_from_civil of "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn time(date: u16, time: u16, hundredths: u8) -> Option<Time> {
    let (year, month, day) = (1980 + i64::from(date >> 9), i64::from(date >> 5 & 15), i64::from(date & 31));
    let (hour, minute, second) = (i64::from(time >> 11), i64::from(time >> 5 & 63), i64::from(time & 31) * 2);
    let sane = (1..=12).contains(&month) && day >= 1 && hour < 24 && minute < 60 && second < 60 && hundredths < 200;
    sane.then(|| Time {
        seconds: days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second + i64::from(hundredths / 100),
        nanos: u32::from(hundredths % 100) * 10_000_000,
    })
}

impl Fat {
    /// False if the table says that it was not closed; FAT12 has no such mark.
    fn clean(&self) -> std::result::Result<bool, ()> {
        let mark = |closed: u32, sound: u32| {
            self.table.raw(1).map(|raw| raw & closed != 0 && raw & sound != 0).map_err(|_| ())
        };
        match self.boot.width {
            Width::Fat12 => Ok(true),
            Width::Fat16 => mark(0x8000, 0x4000),
            Width::Fat32 => mark(0x0800_0000, 0x0400_0000),
        }
    }

    fn entry(&self, id: NodeId) -> Result<Vec<u8>> {
        let inside = |range: Range<u64>| range.start <= id.0 && id.0 + ENTRY as u64 <= range.end;
        if !id.0.is_multiple_of(ENTRY as u64) || !(inside(self.boot.root()) || inside(self.boot.data()..self.boot.len))
        {
            return Err(Error::usage(format!("there is no entry of a folder at {}", id.0)));
        }
        self.known.read(id.0, ENTRY)
    }

    /// The runs of a chain, at most `most` bytes; the clusters that were found, and what is wrong after them.
    fn runs(&self, first: u32, most: u64) -> (Vec<Run>, Result<()>) {
        let mut runs: Vec<Run> = Vec::new();
        let cluster = self.boot.cluster;
        let chain = self.table.chain(first, most.div_ceil(cluster), &mut |number| {
            let offset = self.boot.place(number);
            let (at, full) = (runs.last().map_or(0, Run::end), runs.len() >= MOST_RUNS);
            match runs.last_mut() {
                Some(last) if last.on_disk().end == offset => last.len += cluster,
                _ if full => {
                    return Err(Error::limit(format!("the file is in more than {MOST_RUNS} pieces")));
                }
                _ => runs.push(Run { at, len: cluster, place: Place::Stored(offset) }),
            }
            Ok(())
        });
        // A chain that comes back to where it was goes on in what it had before.
        let mut met = RangeMap::new();
        for (i, run) in runs.iter().enumerate() {
            if met.within(run.on_disk()).next().is_some() {
                runs.truncate(i);
                let what = format!("the chain of clusters from {first} on leads back to where it was");
                return (runs, Err(Error::corrupt(what)));
            }
            met.set(run.on_disk(), ());
        }
        (runs, chain)
    }

    /// Where the entries of a folder are, and what is wrong after them.
    fn folder(&self, id: NodeId) -> Result<(Vec<Run>, Result<()>)> {
        if id.0 == 0 {
            return Ok(match self.boot.width {
                Width::Fat32 => self.runs(self.boot.root_cluster, LONGEST_FOLDER),
                _ => {
                    let root = self.boot.root();
                    (vec![Run { at: 0, len: root.end - root.start, place: Place::Stored(root.start) }], Ok(()))
                }
            });
        }
        let bytes = self.entry(id)?;
        let raw = Raw(&bytes);
        if !raw.is_folder() || raw.attributes() & LABEL != 0 {
            return Err(Error::usage("it is no folder"));
        }
        Ok(self.runs(raw.first(self.boot.width), LONGEST_FOLDER))
    }

    /// What does not lie in any folder.
    fn heads(&self) -> Vec<Part> {
        let boot = &self.boot;
        let part = |rank: Rank, what: &'static str, range: Range<u64>| Part { range, rank, what, node: None };
        let mut parts = vec![
            part(Rank::Head, "boot sector", 0..boot.sector),
            part(Rank::Spare, "reserved sectors", boot.sector..boot.reserved),
        ];
        let active = boot.active.unwrap_or(0).min(boot.tables - 1);
        // What the entries beyond the last cluster say means nothing.
        let used = boot.width.table_len(boot.clusters + 2);
        for i in 0..boot.tables {
            let start = boot.table(i).start;
            let what = if i == active { "file allocation table" } else { "copy of the file allocation table" };
            parts.push(part(Rank::Map, what, start..start + used));
        }
        let info = boot.info.map(|info| part(Rank::Spare, "count of free clusters", info..info + boot.sector));
        let rank = if self.spare { Rank::Head } else { Rank::Spare };
        let copy = boot.copy.map(|copy| part(rank, "copy of the boot sector", copy..copy + boot.sector));
        parts.extend(info.into_iter().chain(copy));
        parts
    }

    /// Where a folder lies, and the folders in it.
    fn branch(&self, id: NodeId, give: &mut dyn FnMut(Trace) -> ControlFlow<()>) -> Followed {
        let (runs, chain) = match self.folder(id) {
            Ok(folder) => folder,
            Err(e) => return Followed::after(&e),
        };
        let mut followed = chain.as_ref().err().map_or(Followed::Whole, Followed::after);
        let (what, node) = if id == self.root() { ("root folder", None) } else { ("folder", Some(id)) };
        for run in &runs {
            if give(Trace::Part(Part { range: run.on_disk(), rank: Rank::Folder, what, node })).is_break() {
                return Followed::Open;
            }
        }
        let flow = self.list(&runs, &mut |entry| match entry {
            Ok(entry) if entry.kind == Kind::Folder && !entry.deleted => give(Trace::Lead(Lead::Node(entry.id))),
            Ok(_) => ControlFlow::Continue(()),
            Err(e) => {
                followed = followed.and(Followed::after(&e));
                ControlFlow::Continue(())
            }
        });
        if flow.is_break() { Followed::Open } else { followed }
    }

    /// The entries in the runs of a folder.
    fn list(&self, runs: &[Run], visit: &mut Visit<'_, Entry>) -> ControlFlow<()> {
        let mut long = Long::default();
        for run in runs {
            let place = run.on_disk();
            for start in place.clone().step_by(PIECE as usize) {
                let end = (start + PIECE).min(place.end);
                // As a whole, or what is there of it.
                let len = if self.known.check(start..end).is_ok() { end - start } else { self.boot.sector };
                for at in (start..end).step_by(len as usize) {
                    match self.known.read(at, len.min(end - at) as usize) {
                        Ok(bytes) => {
                            if self.names(&bytes, at, &mut long, visit)? == Names::End {
                                return ControlFlow::Continue(());
                            }
                        }
                        Err(e) => {
                            long = Long::default();
                            visit(Err(e))?;
                        }
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// The entries in a piece of a folder, which stands at `at`.
    fn names(&self, bytes: &[u8], at: u64, long: &mut Long, visit: &mut Visit<'_, Entry>) -> ControlFlow<(), Names> {
        for (i, bytes) in bytes.as_chunks::<ENTRY>().0.iter().enumerate() {
            let raw = Raw(bytes);
            if bytes[0] == 0 {
                return ControlFlow::Continue(Names::End);
            }
            if raw.attributes() & 0x3f == LONG_NAME {
                long.take(bytes);
                continue;
            }
            let short = raw.short();
            let found = long.finish(&short);
            if raw.attributes() & LABEL != 0 || short == *b".          " || short == *b"..         " {
                continue;
            }
            let deleted = bytes[0] == DELETED;
            let name = found.unwrap_or_else(|| {
                let mut short = short;
                if deleted {
                    short[0] = b'_';
                }
                names::short(&short, bytes[12])
            });
            let kind = if raw.is_folder() { Kind::Folder } else { Kind::File };
            let id = NodeId(at + (i * ENTRY) as u64);
            if name.is_empty() || name.contains(['/', '\0']) {
                visit(Err(Error::corrupt("a name in a folder makes no sense").at(id.0)))?;
                continue;
            }
            visit(Ok(Entry { name: name.into_bytes(), id, kind, deleted }))?;
        }
        ControlFlow::Continue(Names::GoOn)
    }
}

impl FileSystem for Fat {
    fn about(&self) -> &About {
        &self.about
    }

    fn known(&self) -> &Known {
        &self.known
    }

    fn follow(&self, lead: Lead, give: &mut dyn FnMut(Trace) -> ControlFlow<()>) -> Followed {
        let len = self.known.len();
        let mut inside = |trace: Trace| match trace {
            Trace::Part(part) => {
                let range = part.range.start..part.range.end.min(len);
                if range.is_empty() { ControlFlow::Continue(()) } else { give(Trace::Part(Part { range, ..part })) }
            }
            Trace::Lead(_) => give(trace),
        };
        match lead {
            Lead::Start => {
                let root = Trace::Lead(Lead::Node(self.root()));
                let flow = self.heads().into_iter().map(Trace::Part).chain([root]).try_for_each(inside);
                if flow.is_break() { Followed::Open } else { Followed::Whole }
            }
            Lead::Node(id) => self.branch(id, &mut inside),
            // It has no groups.
            Lead::Group(_) => Followed::Whole,
        }
    }

    fn used(&self) -> Result<RangeMap<()>> {
        let boot = &self.boot;
        let refuse = |why: &str| Err(Error::unsupported(format!("which clusters are free is not certain: {why}")));
        if boot.len > self.known.len() {
            return refuse(&format!("it has {} bytes, what it lies on only {}", boot.len, self.known.len()));
        }
        if self.spare {
            return refuse("the boot sector is lost");
        }
        if boot.dirty || self.clean() == Ok(false) {
            return refuse("it was not closed");
        }
        if let Some(at) = self.table.differ()? {
            return Err(
                Error::corrupt("which clusters are free is not certain: the two copies of the table differ").at(at)
            );
        }
        if (self.table.raw(0)? & 0xff) < 0xf0 {
            return refuse("the table does not begin like one");
        }
        let mut used = RangeMap::new();
        used.set(0..boot.data(), ());
        let end = boot.data() + boot.clusters * boot.cluster;
        used.set(end..self.known.len(), ());
        let mut run: Option<Range<u64>> = None;
        for number in 2..(boot.clusters + 2) as u32 {
            let next = self.table.next(number)?;
            if let Next::Cluster(next) = next
                && !boot.has(next)
            {
                return Err(Error::corrupt(format!(
                    "which clusters are free is not certain: cluster {number} leads to {next}, which there is not"
                )));
            }
            let place = boot.place(number);
            match (&mut run, next) {
                (_, Next::Free) => {
                    if let Some(run) = run.take() {
                        used.set(run, ());
                    }
                }
                (Some(run), _) => run.end = place + boot.cluster,
                (none, _) => *none = Some(place..place + boot.cluster),
            }
        }
        if let Some(run) = run {
            used.set(run, ());
        }
        Ok(used)
    }

    fn likely_used(&self) -> RangeMap<()> {
        let (boot, len) = (&self.boot, self.known.len());
        let mut used = RangeMap::new();
        used.set(0..len, ());
        for number in 2..(boot.clusters + 2) as u32 {
            let place = boot.place(number);
            if place >= len {
                break;
            }
            if matches!(self.table.next(number), Ok(Next::Free)) {
                used.clear(place..(place + boot.cluster).min(len));
            }
        }
        used
    }

    fn root(&self) -> NodeId {
        NodeId(0)
    }

    fn node(&self, id: NodeId) -> Result<Node> {
        let mut node = Node {
            id,
            kind: Kind::Folder,
            len: 0,
            mode: None,
            owner: None,
            links: 1,
            modified: None,
            accessed: None,
            changed: None,
            created: None,
            closed: None,
        };
        if id.0 == 0 {
            node.len = self.folder(id)?.0.iter().map(|run| run.len).sum();
            return Ok(node);
        }
        let bytes = self.entry(id)?;
        let raw = Raw(&bytes);
        if raw.is_folder() {
            node.len = self.folder(id)?.0.iter().map(|run| run.len).sum();
        } else {
            node.kind = Kind::File;
            node.len = raw.len();
        }
        node.modified = time(le16(&bytes, 24), le16(&bytes, 22), 0);
        node.created = time(le16(&bytes, 16), le16(&bytes, 14), bytes[13]);
        node.accessed = time(le16(&bytes, 18), 0, 0);
        Ok(node)
    }

    fn entries(&self, folder: NodeId, visit: &mut Visit<'_, Entry>) -> Result<()> {
        let (runs, chain) = self.folder(folder)?;
        match self.list(&runs, visit) {
            ControlFlow::Continue(()) => chain,
            ControlFlow::Break(()) => Ok(()),
        }
    }

    fn nodes(&self, _visit: &mut Visit<'_, Node>) -> Result<()> {
        Ok(())
    }

    fn extents(&self, id: NodeId) -> Result<Vec<Run>> {
        let folder = |(runs, chain): (Vec<Run>, Result<()>)| chain.map(|()| runs);
        if id.0 == 0 {
            return folder(self.folder(id)?);
        }
        let bytes = self.entry(id)?;
        let raw = Raw(&bytes);
        if raw.is_folder() {
            return folder(self.folder(id)?);
        }
        if bytes[0] == DELETED {
            return Err(Error::unsupported("it was deleted: where it lay is no longer known"));
        }
        let (len, first) = (raw.len(), raw.first(self.boot.width));
        if len == 0 {
            return Ok(Vec::new());
        }
        let (runs, chain) = self.runs(first, len);
        chain?;
        let there: u64 = runs.iter().map(|run| run.len).sum();
        if there < len {
            return Err(Error::corrupt(format!("it has {len} bytes, its clusters only {there}")).at(id.0));
        }
        Ok(runs)
    }

    fn link(&self, _id: NodeId) -> Result<Vec<u8>> {
        Err(Error::usage("there are no links in a FAT file system"))
    }

    /// Capitals are the same, as in everything that reads FAT.
    fn same_name(&self, a: &[u8], b: &[u8]) -> bool {
        let folded = |name: &[u8]| String::from_utf8_lossy(name).to_lowercase();
        a == b || folded(a) == folded(b)
    }
}
