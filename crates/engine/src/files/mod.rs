//! `files`: what lies in the file systems of a source.
//!
//! [`volumes`] finds the file systems; [`look`] lists and tells, [`extract`] gives the files, [`hurt`] says whose bytes are lost, and [`used`] which
//! bytes count.

pub mod extract;
pub mod hurt;
pub mod look;
mod pattern;
pub mod used;

pub use pattern::{Letters, Pattern};

use std::sync::Arc;
use tintype_core::layers::Slice;
use tintype_core::{Error, Result, Source};
use tintype_volumes::filesystems::{FileSystem, Known};
use tintype_volumes::tables::{Role, Table};

/// A file system, and where it is.
pub struct Volume {
    /// The part of the source it is in, such as `#p2`; empty where it is the whole.
    pub part: String,
    /// First byte of that part.
    pub offset: u64,
    /// Bytes of that part.
    pub len: u64,
    /// The file system.
    pub fs: Box<dyn FileSystem>,
}

impl Volume {
    /// What it is, in a few words.
    pub fn words(&self) -> String {
        let about = self.fs.about();
        let label = if about.label.is_empty() { String::new() } else { format!(" \"{}\"", about.label) };
        let part = if self.part.is_empty() { "the whole" } else { &self.part };
        format!("{part}: {}{label}", about.name)
    }
}

/// A part that no file system was found in.
pub struct Closed {
    /// The part; empty for the whole.
    pub part: String,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// Why there is nothing to see.
    pub why: String,
}

/// What a source holds.
pub struct Volumes {
    /// Its partition table.
    pub table: Option<Table>,
    /// File systems that were opened, by their place.
    pub open: Vec<Volume>,
    /// What could not be opened.
    pub closed: Vec<Closed>,
    /// What is odd, one sentence each.
    pub warnings: Vec<String>,
}

/// Finds the file systems of `source`: of its partitions, or of the whole. What its map calls lost counts as not there.
pub fn volumes(source: &Arc<dyn Source>) -> Volumes {
    let known = Known::new(source);
    let mut found = Volumes { table: None, open: Vec::new(), closed: Vec::new(), warnings: Vec::new() };
    match tintype_volumes::tables::read(&known) {
        Ok(table) => found.table = table,
        Err(e) => found.warnings.push(format!("the partition table is not known: {}", e.chain())),
    }
    let Some(table) = &found.table else {
        look_at(source, String::new(), 0, source.len(), &mut found.open, &mut found.closed);
        return found;
    };
    found.warnings.extend(table.warnings.iter().cloned());
    for partition in table.partitions.iter().filter(|p| p.role != Role::Extended) {
        let part = format!("#p{}", partition.number);
        let len = partition.len.min(source.len().saturating_sub(partition.offset));
        look_at(source, part, partition.offset, len, &mut found.open, &mut found.closed);
    }
    found
}

fn look_at(
    source: &Arc<dyn Source>,
    part: String,
    offset: u64,
    len: u64,
    open: &mut Vec<Volume>,
    closed: &mut Vec<Closed>,
) {
    let inside = || -> Result<Arc<dyn Source>> {
        match part.is_empty() {
            true => Ok(Arc::clone(source)),
            false => Ok(Arc::new(Slice::new(Arc::clone(source), offset, len)?)),
        }
    };
    let opened = inside().and_then(|inside| {
        tintype_volumes::filesystems::open(&inside)?.ok_or_else(|| {
            let known = tintype_volumes::recognise(&Known::new(&inside));
            Error::unsupported(match known {
                Some(name) => format!("{name} cannot be looked into yet"),
                None => "no file system is known there".into(),
            })
        })
    });
    match opened {
        Ok(fs) => open.push(Volume { part, offset, len, fs }),
        Err(e) => closed.push(Closed { part, offset, len, why: e.chain() }),
    }
}

/// The one file system of `source`, and a sentence where it had to be found. `Usage` if there are several, `Unsupported` if there is none.
pub fn only(source: &Arc<dyn Source>, locator: &str) -> Result<(Volume, Vec<String>)> {
    let Volumes { table, mut open, closed, mut warnings } = volumes(source);
    let volume = match open.len() {
        1 => open.swap_remove(0),
        0 => {
            let why: Vec<String> = closed
                .iter()
                .map(|c| if c.part.is_empty() { c.why.clone() } else { format!("{}: {}", c.part, c.why) })
                .collect();
            let why = if why.is_empty() { "there are no partitions".into() } else { why.join("; ") };
            return Err(Error::unsupported(format!("{locator}: {why}")));
        }
        _ => {
            let list: Vec<String> = open.iter().map(Volume::words).collect();
            return Err(Error::usage(format!(
                "{locator} has several file systems, {}; name one, such as {locator}{}",
                list.join(", "),
                open[0].part
            )));
        }
    };
    if table.is_some() {
        warnings.insert(0, format!("the file system is in {}", volume.words()));
    }
    warnings.extend(volume.fs.about().warnings.iter().map(|w| format!("{}: {w}", volume.fs.about().name)));
    Ok((volume, warnings))
}
