//! Checking the structure: directories, tables, where grains lie.

use super::directories::{entry, faults};
use super::disk::Sparse;
use super::layout::{GrainMarker, Packing, SECTOR};
use super::read::{load, sparse};
use super::sparse::{Entries, tables};
use crate::blocks::{BlockMap, Findings, Levels, Packed, Place, Run, Step, overlaps};
use std::collections::HashMap;
use tintype_core::{Error, Finding, Kind, OpenRequest, Result};
use zerocopy::FromBytes;

/// Most pairs of grains in one place that are looked for.
const PAIRS: usize = 1 << 16;
/// Most different grain tables: those of 64 TiB.
const TABLES: usize = 2 << 20;

/// What opening finds, and everything that can be said of the tables without inflating grains.
pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let loaded = load(request)?;
    let mut findings = loaded.notes();
    let mut seen: HashMap<&str, u32> = HashMap::new();
    for extent in sparse(&loaded.parts) {
        let times = seen.entry(&extent.file.name).or_default();
        *times += 1;
        if *times > 1 {
            // Once is enough to tell of it, and to look at it.
            if *times == 2 {
                let what = "the descriptor names this file more than once: its extents are one and the same";
                findings.push(Finding::damage(what).in_file(&extent.file.name, 0));
            }
            continue;
        }
        // Of a directory that leaves the file, only what is there can be looked at.
        let shape = extent.shape;
        let there = extent.file.source.len().saturating_sub(shape.directory) / shape.width();
        let mut extent = extent.clone();
        if there < shape.tables() {
            let what = format!("the grain directory has {} entries, of which the file holds {there}", shape.tables());
            findings.push(Finding::damage(what).in_file(&extent.file.name, shape.directory));
            extent.shape.len = shape.len.min(there.saturating_mul(shape.grain * shape.entries));
        }
        let extent = &extent;
        let tables = tables(extent.file.clone(), extent.shape, request.care);
        let mut checking = Checking { extent, tables, request, findings: Findings::new(&extent.file.name) };
        let done = checking.directories().and_then(|()| match checking.distinct()? {
            true => checking.grains(),
            // Of a table that is there twice every grain is there twice: that is told, and there may be no end of them.
            false => Ok(()),
        });
        done.map_err(|e| e.met_in(&extent.file.name))?;
        findings.append(&mut checking.findings.finish());
    }
    Ok(findings)
}

/// Calls `each` with every run of the extent from start to end, or with what is wrong with a grain there.
fn runs(
    tables: &Levels<Entries>,
    request: &OpenRequest,
    each: &mut dyn FnMut(u64, Result<Run>) -> Result<()>,
) -> Result<()> {
    let shape = tables.meaning.shape;
    let mut offset = 0;
    while offset < shape.len {
        stopped(request)?;
        let left = shape.len - offset;
        let (len, run) = match tables.run_at(offset, left) {
            Err(e) if e.kind() == Kind::Corrupt => {
                // A grain that lies nowhere, or a whole table.
                let span = shape.grain * shape.entries;
                let table = tables.step(offset, 1).is_err();
                (if table { span - offset % span } else { shape.grain }, Err(e))
            }
            run => {
                let run = run?;
                let len = run.len.min(left);
                (len, Ok(Run { len, ..run }))
            }
        };
        each(offset, run)?;
        offset += len;
    }
    Ok(())
}

fn stopped(request: &OpenRequest) -> Result<()> {
    if request.watch.cancelled() { Err(Error::cancelled()) } else { Ok(()) }
}

struct Checking<'a> {
    extent: &'a Sparse,
    tables: Levels<Entries>,
    request: &'a OpenRequest,
    findings: Findings,
}

impl Checking<'_> {
    /// Both directories, and whether their tables say the same.
    fn directories(&mut self) -> Result<()> {
        let shape = self.extent.shape;
        let found = faults(&self.extent.file, &shape)?;
        for (fault, at) in [(found.first, Some(shape.directory)), (found.copy, shape.copy)] {
            if let (Some(fault), Some(at)) = (fault, at) {
                let what = format!("a grain directory is damaged: {}", fault.what);
                self.findings.damage(what, at.saturating_add(fault.entry * shape.width()));
            }
        }
        let Some(copy) = shape.copy else { return Ok(()) };
        let len = shape.table_len();
        let mut i = 0;
        while i < shape.tables() {
            stopped(self.request)?;
            let table = |directory: u64, i: u64| match entry(&self.tables, directory, i) {
                Ok(Place::At(at)) => Some(at),
                _ => None,
            };
            let (Some(a), Some(b)) = (table(shape.directory, i), table(copy, i)) else {
                i += 1;
                continue;
            };
            if a != b
                && let Some(at) = self.differs(a, b)?
            {
                let what = || format!("grain table {i} and its copy do not say the same");
                self.findings.each("grain tables that are not like their copies", what, at, None);
            }
            // Where both are holes there is nothing to compare.
            let hole = |at: u64| {
                let extent = self.extent.file.source.extent_at(at)?;
                Ok::<u64, Error>(if extent.state.reads_zero() { extent.end() - at } else { 0 })
            };
            let skip = (hole(a)?.min(hole(b)?) / len).max(1);
            let together = |directory: u64, first: u64| {
                (1..skip).take_while(|n| table(directory, i + n) == Some(first + n * len)).count() as u64
            };
            i += if skip > 1 { 1 + together(shape.directory, a).min(together(copy, b)) } else { 1 };
        }
        Ok(())
    }

    /// Whether no two entries of the directory lead to one table.
    fn distinct(&mut self) -> Result<bool> {
        let shape = self.extent.shape;
        let span = shape.grain * shape.entries;
        let mut places: HashMap<u64, u64> = HashMap::new();
        let mut offset = 0;
        while offset < shape.len {
            stopped(self.request)?;
            let (at, entries) = match self.tables.step(offset, shape.len - offset) {
                Ok(Step::Entry { at, entries }) => (at, entries),
                Ok(Step::Run(run)) => {
                    offset = offset.saturating_add(run.len);
                    continue;
                }
                // It was told that the directory is damaged.
                Err(e) if e.kind() == Kind::Corrupt => {
                    offset = offset.saturating_add(span);
                    continue;
                }
                Err(e) => return Err(e),
            };
            let first = offset / span;
            for i in 0..entries / shape.entries {
                let at = at + i * shape.table_len();
                if let Some(other) = places.insert(at, first + i) {
                    let what = format!("grain tables {other} and {} lie in one place", first + i);
                    self.findings.damage(what, at);
                    return Ok(false);
                }
            }
            if places.len() > TABLES {
                return Err(Error::limit("more grain tables than can be checked"));
            }
            offset = offset.saturating_add(entries.saturating_mul(shape.grain));
        }
        Ok(true)
    }

    /// Where in the table at `a` something is that the one at `b` does not have.
    fn differs(&self, a: u64, b: u64) -> Result<Option<u64>> {
        let len = self.extent.shape.table_len();
        let (mut first, mut second) = (vec![0; len as usize], vec![0; len as usize]);
        self.extent.file.source.read_at(&mut first, a)?;
        self.extent.file.source.read_at(&mut second, b)?;
        let place = first.iter().zip(&second).position(|(a, b)| a != b);
        Ok(place.map(|place| a + place as u64 / self.tables.further.width() * self.tables.further.width()))
    }

    /// Where grains lie: inside the file, behind the tables, and no two in one place.
    fn grains(&mut self) -> Result<()> {
        let shape = self.extent.shape;
        let tables = tables(self.extent.file.clone(), shape, self.request.care);
        let mut count = 0u64;
        runs(&tables, self.request, &mut |offset, run| {
            let run = match run {
                Ok(run) => run,
                Err(e) => {
                    let touched = (offset, shape.grain_len(offset / shape.grain));
                    let place = e.offset().unwrap_or(0);
                    self.findings.each("entries that lead nowhere", || e.what().to_owned(), place, Some(touched));
                    return Ok(());
                }
            };
            let grains = run.len.div_ceil(shape.grain);
            match run.place {
                Place::At(at) => (0..grains).for_each(|i| self.plain(offset + i * shape.grain, at + i * shape.grain)),
                Place::Packed(packed) => self.packed(&packed)?,
                _ => return Ok(()),
            }
            count += grains;
            Ok(())
        })?;
        self.overlapping()?;
        let len = self.extent.file.source.len();
        let used = shape.data.saturating_add(count.saturating_mul(shape.grain));
        if shape.packing() == Packing::Plain && len > used && len - used >= shape.grain && self.findings.is_empty() {
            let what = format!("{} bytes of {} belong to no grain", len - used, self.extent.file.name);
            self.findings.warning(what, used);
        }
        Ok(())
    }

    /// Tells of grains that lie over each other.
    fn overlapping(&mut self) -> Result<()> {
        let Checking { extent, tables, request, findings } = self;
        let shape = extent.shape;
        let taken = match shape.packing() {
            Packing::Plain => shape.grain,
            // Their lengths are compared with their markers.
            _ => 1,
        };
        let list = |take: &mut dyn FnMut(u64, u64, u64)| {
            runs(tables, request, &mut |offset, run| {
                let grain = offset / shape.grain;
                match run.map(|run| (run.place, run.len.div_ceil(shape.grain))) {
                    Ok((Place::At(at), grains)) => {
                        (0..grains).for_each(|i| take(grain + i, at + i * shape.grain, taken));
                    }
                    Ok((Place::Packed(packed), _)) => take(grain, packed.at, taken),
                    // What is wrong was told before.
                    _ => {}
                }
                Ok(())
            })
        };
        overlaps(PAIRS, &list, &mut |a, b, at| {
            let (first, second) = (a.min(b) * shape.grain, a.max(b) * shape.grain);
            let what = || format!("the grains of the disk at {first} and at {second} lie in one place");
            findings.each("grains in one place", what, at, Some((second, shape.grain)));
        })
    }

    fn wrong(&mut self, what: String, at: u64, offset: u64) {
        let touched = (offset, self.extent.shape.grain_len(offset / self.extent.shape.grain));
        self.findings.each("grains that are not where they can be", || what, at, Some(touched));
    }

    /// One grain by itself.
    fn plain(&mut self, offset: u64, at: u64) {
        let shape = self.extent.shape;
        let end = at.saturating_add(shape.grain_len(offset / shape.grain));
        self.ends(offset, at, end);
    }

    fn ends(&mut self, offset: u64, at: u64, end: u64) {
        let len = self.extent.file.source.len();
        if at < self.extent.shape.data {
            self.wrong("a grain lies among the tables".to_owned(), at, offset);
        } else if end > len {
            self.wrong(format!("a grain ends at {end}, the file at {len}: it was cut off"), at, offset);
        }
    }

    /// A compressed grain, and what stands before it.
    fn packed(&mut self, packed: &Packed) -> Result<()> {
        let (at, offset) = (packed.at, packed.block);
        let mut end = at + 4;
        if self.extent.shape.packing() == Packing::Marked {
            let mut marker = [0; GrainMarker::LEN];
            end = at + marker.len() as u64;
            if end <= self.extent.file.source.len() {
                self.extent.file.source.read_at(&mut marker, at)?;
                let marker = GrainMarker::read_from_bytes(&marker).map_err(|_| Error::corrupt("no marker").at(at))?;
                if marker.lba.get() != offset / SECTOR && at >= self.extent.shape.data {
                    let what =
                        format!("the marker here is that of sector {}, not {}", marker.lba.get(), offset / SECTOR);
                    self.wrong(what, at, offset);
                    return Ok(());
                }
                end += u64::from(marker.size.get());
            }
        }
        self.ends(offset, at, end);
        Ok(())
    }
}
