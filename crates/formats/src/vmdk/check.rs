//! Checking the structure: directories, tables, where grains lie.

use super::directories::faults;
use super::layout::{GrainMarker, Packing, Place, SECTOR};
use super::read::load;
use super::sparse::Sparse;
use super::windows::Windows;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tintype_core::{Error, Finding, Kind, OpenRequest, Result};
use zerocopy::FromBytes;

/// Places that are sorted at a time; twice as many are in memory, 64 MiB.
const TOGETHER: usize = 2 << 20;
/// Most findings of one kind that are told one by one.
const MOST: usize = 100;
/// Most findings until nobody looks any further.
const HOPELESS: u64 = 1 << 20;
/// Most different grain tables: those of 64 TiB.
const TABLES: usize = 2 << 20;

/// What opening finds, and everything that can be said of the tables without inflating grains.
pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let loaded = load(request)?;
    let mut findings = loaded.notes();
    let mut seen = HashSet::new();
    for sparse in loaded.disk.parts() {
        if !seen.insert(sparse.name().to_owned()) {
            let what = "the descriptor names this file more than once: its extents are one and the same";
            let finding = Finding::damage(what).in_file(sparse.name(), 0);
            if !findings.contains(&finding) {
                findings.push(finding);
            }
            continue;
        }
        let mut checking = Checking { sparse, watch: request, findings: Vec::new(), left_out: 0 };
        checking.directories()?;
        // Of tables that are there twice, every grain would be there twice, and so on: told is enough.
        if checking.distinct()? {
            checking.grains()?;
        }
        if checking.left_out > 0 {
            let rest = if checking.left_out > HOPELESS { ", and the rest of it was not looked at" } else { "" };
            let what = format!("{} more findings in this extent are not listed{rest}", checking.left_out);
            checking.findings.push(Finding::damage(what).in_file(sparse.name(), 0));
        }
        findings.append(&mut checking.findings);
    }
    Ok(findings)
}

struct Checking<'a> {
    sparse: &'a Sparse,
    watch: &'a OpenRequest,
    findings: Vec<Finding>,
    left_out: u64,
}

impl Checking<'_> {
    fn say(&mut self, finding: Finding) {
        if self.findings.len() < MOST { self.findings.push(finding) } else { self.left_out += 1 }
    }

    fn stopped(&self) -> Result<()> {
        if self.watch.watch.cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }

    /// Both directories, and whether their tables say the same.
    fn directories(&mut self) -> Result<()> {
        let shape = self.sparse.shape;
        let found = faults(self.sparse.file(), &shape)?;
        for (fault, at) in [(found.first, Some(shape.directory)), (found.copy, shape.copy)] {
            if let (Some(fault), Some(at)) = (fault, at) {
                let what = format!("a grain directory is damaged: {}", fault.what);
                let offset = at.saturating_add(fault.entry * shape.width());
                self.say(Finding::damage(what).in_file(self.sparse.name(), offset));
            }
        }
        let Some(copy) = shape.copy else { return Ok(()) };
        let windows = Windows::alone(Arc::clone(self.sparse.file()));
        let table = |directory: u64, i: u64| -> Option<u64> {
            let entry = windows.entry(directory.saturating_add(i * shape.width()), shape.width()).ok()?;
            match shape.table(entry) {
                Ok(Place::At(at)) if at + shape.table_len() <= windows.len() => Some(at),
                _ => None,
            }
        };
        let mut i = 0;
        while i < shape.tables() {
            self.stopped()?;
            let (Some(a), Some(b)) = (table(shape.directory, i), table(copy, i)) else {
                i += 1;
                continue;
            };
            if a != b {
                let differs = differs(&windows, a, b, shape.table_len())?;
                if let Some(at) = differs {
                    let what = format!("grain table {i} and its copy do not say the same");
                    self.say(Finding::damage(what).in_file(self.sparse.name(), a + at));
                }
            }
            // Where both are holes there is nothing to compare.
            let hole = (windows.hole_end(a)?.saturating_sub(a)).min(windows.hole_end(b)?.saturating_sub(b));
            let skip = (hole / shape.table_len()).max(1);
            let together = |directory: u64, first: u64| {
                (1..skip).take_while(|n| table(directory, i + n) == Some(first + n * shape.table_len())).count() as u64
            };
            i += if skip > 1 { 1 + together(shape.directory, a).min(together(copy, b)) } else { 1 };
        }
        Ok(())
    }

    /// Whether no two entries of the directory lead to one table.
    fn distinct(&mut self) -> Result<bool> {
        let shape = self.sparse.shape;
        let mut tables: HashMap<u64, u64> = HashMap::new();
        let mut offset = 0;
        while offset < shape.len {
            self.stopped()?;
            let (place, count) = match self.sparse.tables_at(offset) {
                Ok(found) => found,
                Err(e) if e.kind() == Kind::Corrupt => (Place::Absent, 1),
                Err(e) => return Err(e),
            };
            let first = offset / shape.grain / shape.entries;
            if let Place::At(start) = place {
                for i in 0..count {
                    let at = start + i * shape.table_len();
                    if let Some(other) = tables.insert(at, first + i) {
                        let what = format!("grain tables {other} and {} lie in one place", first + i);
                        self.say(Finding::damage(what).in_file(self.sparse.name(), at));
                        return Ok(false);
                    }
                }
            }
            if tables.len() > TABLES {
                return Err(Error::limit("more grain tables than can be checked").in_path(self.sparse.name()));
            }
            offset = offset.saturating_add(count.saturating_mul(shape.grain * shape.entries));
        }
        Ok(true)
    }

    /// Where grains lie: inside the file, behind the tables, and no two in one place.
    fn grains(&mut self) -> Result<()> {
        let shape = self.sparse.shape;
        // In slices of the file, so that memory is bounded however many there are.
        let mut from = 0;
        let mut count = 0u64;
        while from < u64::MAX {
            let mut places: Vec<(u64, u64)> = Vec::with_capacity(2 * TOGETHER);
            let mut to = u64::MAX;
            let first = from == 0;
            self.walk(|this, offset, at| {
                if first {
                    count += 1;
                    this.grain(offset, at)?;
                }
                if (from..to).contains(&at) {
                    places.push((at, offset));
                    if places.len() >= 2 * TOGETHER {
                        places.sort_unstable();
                        to = places[TOGETHER].0.max(from + 1);
                        places.truncate(TOGETHER);
                    }
                }
                Ok(())
            })?;
            places.sort_unstable();
            for pair in places.windows(2) {
                let &[(a, first), (b, second)] = pair else { continue };
                let taken = match shape.packing() {
                    Packing::Plain => shape.grain,
                    // Their lengths were compared with their markers.
                    _ => 1,
                };
                if b < a.saturating_add(taken) {
                    let what = format!("the grains of the disk at {first} and at {second} lie in one place");
                    self.say(Finding::damage(what).in_file(self.sparse.name(), b).touching(second, shape.grain));
                }
            }
            from = to;
        }
        let len = self.sparse.file().len();
        let used = shape.data.saturating_add(count.saturating_mul(shape.grain));
        if shape.packing() == Packing::Plain && len > used && len - used >= shape.grain && self.findings.is_empty() {
            let what = format!("{} bytes of {} belong to no grain", len - used, self.sparse.name());
            self.say(Finding::warning(what));
        }
        Ok(())
    }

    /// Calls `each` with every grain that lies somewhere: its offset on the disk, and its place.
    fn walk(&mut self, mut each: impl FnMut(&mut Self, u64, u64) -> Result<()>) -> Result<()> {
        let shape = self.sparse.shape;
        let packed = shape.packing() != Packing::Plain;
        let mut offset = 0;
        while offset < shape.len {
            self.stopped()?;
            if self.left_out > HOPELESS {
                return Ok(());
            }
            let run = match self.sparse.run_at(offset, u64::MAX) {
                Ok(run) => run,
                Err(e) if e.kind() == Kind::Corrupt => {
                    // One grain, or all of a table that is nowhere.
                    let span = shape.grain * shape.entries;
                    let end = match self.sparse.tables_at(offset) {
                        Ok(_) => offset + shape.grain,
                        Err(_) => (offset / span + 1).saturating_mul(span),
                    };
                    let len = end.min(shape.len) - offset;
                    let place = e.offset().unwrap_or(0);
                    self.say(Finding::damage(e.what()).in_file(self.sparse.name(), place).touching(offset, len));
                    offset = end;
                    continue;
                }
                Err(e) => return Err(e),
            };
            let grains = run.len.div_ceil(shape.grain);
            if let Place::At(first) = run.place {
                for i in 0..grains {
                    let here = offset + i * shape.grain;
                    let place = match i {
                        0 => first,
                        _ if !packed => first + i * shape.grain,
                        _ => match self.sparse.run_at(here, 1) {
                            Ok(run) => match run.place {
                                Place::At(at) => at,
                                _ => continue,
                            },
                            Err(_) => continue,
                        },
                    };
                    each(self, here, place)?;
                }
            }
            offset += grains * shape.grain;
        }
        Ok(())
    }

    /// One grain by itself.
    fn grain(&mut self, offset: u64, at: u64) -> Result<()> {
        let shape = self.sparse.shape;
        let file = Arc::clone(self.sparse.file());
        let len = shape.grain_len(offset / shape.grain);
        let mut wrong = |what: String| {
            self.say(Finding::damage(what).in_file(self.sparse.name(), at).touching(offset, len));
        };
        if at < shape.data {
            wrong("a grain lies among the tables".to_owned());
            return Ok(());
        }
        let end = match shape.packing() {
            Packing::Plain => at.saturating_add(len),
            Packing::Bare => at + 4,
            Packing::Marked => {
                let mut marker = [0; GrainMarker::LEN];
                if at + marker.len() as u64 > file.len() {
                    at + SECTOR
                } else {
                    file.read_at(&mut marker, at)?;
                    let marker =
                        GrainMarker::read_from_bytes(&marker).map_err(|_| Error::corrupt("no marker").at(at))?;
                    if marker.lba.get() != offset / SECTOR {
                        let what =
                            format!("the marker here is that of sector {}, not {}", marker.lba.get(), offset / SECTOR);
                        wrong(what);
                        return Ok(());
                    }
                    at + GrainMarker::LEN as u64 + u64::from(marker.size.get())
                }
            }
        };
        if end > file.len() {
            wrong(format!("a grain ends at {end}, the file at {}: it was cut off", file.len()));
        }
        Ok(())
    }
}

/// The first place at which two tables of `len` bytes differ.
fn differs(windows: &Windows, a: u64, b: u64, len: u64) -> Result<Option<u64>> {
    for at in (0..len).step_by(4) {
        if windows.entry(a + at, 4)? != windows.entry(b + at, 4)? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}
