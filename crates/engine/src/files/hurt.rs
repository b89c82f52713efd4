//! Whose bytes are lost, or simply: whose bytes these are.

use super::look::Trouble;
use super::{Volume, Volumes};
use crate::report::Range;
use serde::Serialize;
use tintype_core::{RangeMap, Result, Source, extents};
use tintype_volumes::filesystems::{Owned, Owner, owners};

/// Most ranges listed of one owner.
const MOST_RANGES: usize = 10_000;

/// Whose bytes some ranges are.
#[derive(Debug, Serialize)]
pub struct Hurt {
    /// The source.
    pub source: String,
    /// Bytes of the ranges.
    pub bytes: u64,
    /// Metadata, by how much depends on it.
    pub metadata: Vec<Metadata>,
    /// Files, those that lost most first.
    pub files: Vec<File>,
    /// Bytes that no file system uses.
    pub free: u64,
    /// Bytes of the ranges that nobody is known to own, and that may be in use.
    pub unknown: u64,
    /// File systems that were looked into.
    pub file_systems: Vec<FileSystem>,
    /// What could not be read on the way: files may be missing from the list.
    pub errors: Vec<Trouble>,
    /// What is odd, one sentence each.
    pub warnings: Vec<String>,
}

impl Hurt {
    /// True if anything but free space is touched, or may be.
    pub fn is_any(&self) -> bool {
        !self.metadata.is_empty() || !self.files.is_empty() || self.unknown > 0
    }
}

/// A file system that was looked into.
#[derive(Debug, Serialize)]
pub struct FileSystem {
    /// The part it is in; empty for the whole.
    pub part: String,
    /// Its name.
    pub file_system: &'static str,
    /// Its label.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// Why it is not known which of its bytes are free, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_unknown: Option<String>,
}

/// A piece of metadata.
#[derive(Debug, Serialize)]
pub struct Metadata {
    /// The part it is in.
    pub part: String,
    /// What it is.
    pub what: String,
    /// The node it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<u64>,
    /// Bytes touched.
    pub bytes: u64,
    /// Which, on the disk.
    pub disk: Vec<Range>,
}

/// A file.
#[derive(Debug, Serialize)]
pub struct File {
    /// The part it is in.
    pub part: String,
    /// Its path; none if no folder that is there names it.
    pub path: Option<String>,
    /// The node.
    pub node: u64,
    /// Its bytes.
    pub size: u64,
    /// How many of them are touched.
    pub bytes: u64,
    /// Which, in the file. Empty where only room beyond its end is touched.
    pub ranges: Vec<Range>,
    /// The same on the disk.
    pub disk: Vec<Range>,
}

/// The ranges of `source` that are lost.
pub fn lost(source: &dyn Source) -> Result<RangeMap<()>> {
    let mut lost = RangeMap::new();
    for extent in extents(source, 0, source.len()) {
        let extent = extent?;
        if extent.state.is_lost() {
            lost.set(extent.offset..extent.end(), ());
        }
    }
    Ok(lost)
}

/// Who owns any byte of `ranges`.
pub fn hurt(locator: &str, source: &dyn Source, volumes: &Volumes, ranges: &RangeMap<()>) -> Result<Hurt> {
    let mut hurt = Hurt {
        source: locator.to_owned(),
        bytes: total(ranges),
        metadata: Vec::new(),
        files: Vec::new(),
        free: 0,
        unknown: 0,
        file_systems: Vec::new(),
        errors: Vec::new(),
        warnings: volumes.warnings.clone(),
    };
    let mut left = ranges.clone();
    if let Some(table) = &volumes.table {
        for (what, range) in table_ranges(table, source.len()) {
            let touched: Vec<_> = ranges.within(range.clone()).map(|(r, ())| r).collect();
            if !touched.is_empty() {
                left.clear(range);
                hurt.metadata.push(Metadata {
                    part: String::new(),
                    what: what.into(),
                    node: None,
                    bytes: touched.iter().map(|r| r.end - r.start).sum(),
                    disk: listed(&touched, 0),
                });
            }
        }
    }
    for volume in &volumes.open {
        inside(volume, ranges, &mut left, &mut hurt)?;
    }
    hurt.unknown = total(&left);
    hurt.files.sort_by(|a, b| (b.bytes, &a.path).cmp(&(a.bytes, &b.path)));
    Ok(hurt)
}

fn inside(volume: &Volume, ranges: &RangeMap<()>, left: &mut RangeMap<()>, hurt: &mut Hurt) -> Result<()> {
    let mut own = RangeMap::new();
    for (range, ()) in ranges.within(volume.offset..volume.offset + volume.len) {
        own.set(range.start - volume.offset..range.end - volume.offset, ());
    }
    if own.is_empty() {
        return Ok(());
    }
    let about = volume.fs.about();
    hurt.warnings.extend(about.warnings.iter().map(|w| format!("{}: {w}", volume.words())));
    let errors = &mut hurt.errors;
    let found = owners(&*volume.fs, &own, &mut |path, e| {
        if errors.len() < MOST_RANGES {
            errors.push(Trouble::new(path, &e));
        }
    })?;
    for Owned { owner, on_disk, in_file } in found {
        for range in &on_disk {
            left.clear(volume.offset + range.start..volume.offset + range.end);
        }
        let part = volume.part.clone();
        let disk = listed(&on_disk, volume.offset);
        match owner {
            Owner::Metadata { what, node, .. } => hurt.metadata.push(Metadata {
                part,
                what: what.into(),
                node: node.map(|n| n.0),
                bytes: on_disk.iter().map(|r| r.end - r.start).sum(),
                disk,
            }),
            Owner::File { node, path, len } => hurt.files.push(File {
                part,
                path: path.map(|p| String::from_utf8_lossy(&p).into_owned()),
                node: node.0,
                size: len,
                bytes: in_file.iter().map(|r| r.end - r.start).sum(),
                ranges: listed(&in_file, 0),
                disk,
            }),
        }
    }
    // Only what nobody owns can be free.
    let free_unknown = match volume.fs.used() {
        Ok(used) => {
            let mut free = left.clone();
            for (range, ()) in used.iter() {
                free.clear(volume.offset + range.start..volume.offset + range.end);
            }
            let mut within = RangeMap::new();
            for (range, ()) in free.within(volume.offset..volume.offset + volume.len) {
                within.set(range, ());
            }
            hurt.free += total(&within);
            for (range, ()) in within.iter() {
                left.clear(range);
            }
            None
        }
        Err(e) => Some(e.chain()),
    };
    hurt.file_systems.push(FileSystem {
        part: volume.part.clone(),
        file_system: about.name,
        label: about.label.clone(),
        free_unknown,
    });
    Ok(())
}

/// Where a partition table and its copy lie.
fn table_ranges(table: &tintype_volumes::tables::Table, len: u64) -> Vec<(&'static str, std::ops::Range<u64>)> {
    use tintype_volumes::tables::Kind;
    let sector = u64::from(table.sector);
    // A table of 128 entries of 128 bytes, as everybody writes it.
    let entries = (128u64 * 128).next_multiple_of(sector);
    match table.kind {
        Kind::Gpt => vec![
            ("partition table", 0..(sector * 2 + entries).min(len)),
            ("copy of the partition table", (len / sector * sector).saturating_sub(sector + entries)..len),
        ],
        Kind::Mbr => {
            let records = table.records.iter().filter(|record| **record < len);
            std::iter::once(("partition table", 0..sector.min(len)))
                .chain(records.map(|record| ("partition table", *record..(record + sector).min(len))))
                .collect()
        }
    }
}

fn listed(ranges: &[std::ops::Range<u64>], by: u64) -> Vec<Range> {
    ranges.iter().take(MOST_RANGES).map(|r| Range { offset: by + r.start, len: r.end - r.start }).collect()
}

fn total(ranges: &RangeMap<()>) -> u64 {
    ranges.iter().map(|(r, ())| r.end - r.start).sum()
}
