//! What else is in an image: snapshots and bitmaps.

use super::bitmap::{self, Bitmap};
use super::layout::BITMAPS;
use super::mapping::Mapping;
use super::open::Opened;
use crate::blocks::{be16, be32, be64, holds};
use std::collections::HashMap;
use std::sync::Arc;
use tintype_core::{Error, Facts, OpenPart, Part, Result, Source, human_size};

/// Most snapshots and bitmaps that are listed, as in QEMU.
const MOST: u32 = 65535;
/// Most bytes of a directory of them: enough for that many with names as people give them.
const LONGEST: u64 = 16 << 20;
/// Bytes that are read of a directory at once.
const CHUNK: u64 = 64 << 10;

/// What was found.
#[derive(Default)]
pub(super) struct Listed {
    pub(super) parts: Vec<Part>,
    pub(super) snapshots: usize,
    pub(super) bitmaps: usize,
    pub(super) warnings: Vec<String>,
}

/// A snapshot as the table has it.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) l1_offset: u64,
    pub(super) l1_entries: u32,
    pub(super) id: String,
    pub(super) name: String,
    seconds: u32,
    vm_state: u64,
    /// Length of the disk when it was taken, where that is known.
    pub(super) len: Option<u64>,
    /// Bytes of data that this version does not say it has, but version 3 has to.
    pub(super) extra: u32,
}

/// A directory, read from start to end.
struct Directory<'a> {
    source: &'a dyn Source,
    what: &'a str,
    start: u64,
    at: u64,
    /// Where what was taken last ends.
    ended: u64,
    held: Vec<u8>,
    held_at: u64,
}

impl<'a> Directory<'a> {
    fn new(source: &'a dyn Source, what: &'a str, start: u64) -> Self {
        Directory { source, what, start, at: start, ended: start, held: Vec::new(), held_at: start }
    }

    /// The next `len` bytes, at most [`CHUNK`] twice.
    fn take(&mut self, len: u64) -> Result<&[u8]> {
        // No sum of what follows can overflow for what lies inside the file.
        holds(self.source, self.what, self.at, len)?;
        if self.at + len - self.start > LONGEST {
            return Err(Error::limit(format!("{} is longer than {}", self.what, human_size(LONGEST))).at(self.start));
        }
        if self.at + len > self.held_at + self.held.len() as u64 {
            let held = len.max(CHUNK).min(self.source.len() - self.at);
            self.held.resize(held as usize, 0);
            self.source.read_at(&mut self.held, self.at)?;
            self.held_at = self.at;
        }
        let from = (self.at - self.held_at) as usize;
        self.at += len;
        self.ended = self.at;
        Ok(&self.held[from..from + len as usize])
    }

    /// Goes on to the next multiple of eight bytes.
    fn align(&mut self) -> Result<()> {
        let into = (self.at - self.start) % 8;
        if into != 0 {
            self.at += 8 - into;
        }
        Ok(())
    }
}

/// Every snapshot of the image, and where the table ends.
pub(super) fn snapshots(opened: &Opened) -> Result<(Vec<Snapshot>, u64)> {
    let header = &opened.header;
    if header.nb_snapshots > MOST + 1 {
        return Err(Error::limit(format!("{} snapshots; at most 65536 are read", header.nb_snapshots)).at(60));
    }
    let mut directory = Directory::new(&**opened.file(), "the snapshot table", header.snapshots_offset);
    let mut list = Vec::new();
    for _ in 0..header.nb_snapshots {
        let place = directory.at;
        let fixed = directory.take(40)?;
        let mut snapshot = Snapshot {
            l1_offset: be64(fixed, 0),
            l1_entries: be32(fixed, 8),
            id: String::new(),
            name: String::new(),
            seconds: be32(fixed, 16),
            vm_state: be32(fixed, 32).into(),
            len: None,
            extra: be32(fixed, 36),
        };
        let (id_len, name_len) = (be16(fixed, 12), be16(fixed, 14));
        if snapshot.extra > 1024 {
            return Err(Error::corrupt(format!("a snapshot with {} bytes of extra data", snapshot.extra)).at(place));
        }
        let extra = directory.take(snapshot.extra.into())?;
        if extra.len() >= 8 {
            snapshot.vm_state = be64(extra, 0);
        }
        if extra.len() >= 16 {
            snapshot.len = Some(be64(extra, 8));
        }
        snapshot.id = String::from_utf8_lossy(directory.take(id_len.into())?).into_owned();
        snapshot.name = String::from_utf8_lossy(directory.take(name_len.into())?).into_owned();
        directory.align()?;
        list.push(snapshot);
    }
    // What fills up the last entry need not be there.
    Ok((list, directory.ended - header.snapshots_offset))
}

/// Every bitmap of the image, and how many bytes they have in the directory.
pub(super) fn bitmaps(opened: &Opened) -> Result<(Vec<Bitmap>, u64)> {
    let Some(at) = opened.header.bitmaps else { return Ok((Vec::new(), 0)) };
    if at.count > MOST || at.len > LONGEST {
        return Err(
            Error::limit(format!("{} bitmaps in {} bytes; at most {MOST} are read", at.count, at.len)).at(at.offset)
        );
    }
    let mut directory = Directory::new(&**opened.file(), "the bitmap directory", at.offset);
    let mut list = Vec::new();
    for _ in 0..at.count {
        let place = directory.at;
        let fixed = directory.take(24)?;
        let mut bitmap = Bitmap {
            table: be64(fixed, 0),
            entries: be32(fixed, 8),
            flags: be32(fixed, 12),
            kind: fixed[16],
            granularity_bits: fixed[17],
            extra: be32(fixed, 20) > 0,
            name: String::new(),
        };
        let (name_len, extra) = (be16(fixed, 18), be32(fixed, 20));
        if u64::from(extra) > CHUNK {
            return Err(Error::corrupt(format!("a bitmap with {extra} bytes of extra data")).at(place));
        }
        directory.take(extra.into())?;
        bitmap.name = String::from_utf8_lossy(directory.take(name_len.into())?).into_owned();
        directory.align()?;
        list.push(bitmap);
    }
    Ok((list, directory.at - at.offset))
}

/// Lists what is in the image besides the disk `active` of `len` bytes.
pub(super) fn list(opened: &Arc<Opened>, active: Mapping, len: u64) -> Result<Listed> {
    let mut listed = Listed::default();
    let (found, _) = snapshots(opened)?;
    listed.snapshots = found.len();
    let mut called: HashMap<&str, u32> = HashMap::new();
    for snapshot in &found {
        *called.entry(&snapshot.name).or_default() += 1;
    }
    for snapshot in &found {
        let alone = called.get(&snapshot.name[..]) == Some(&1);
        // Names may be the same, identifiers not.
        let name = if alone && !snapshot.name.is_empty() { &snapshot.name } else { &snapshot.id };
        listed.parts.push(Part {
            kind: "snap",
            name: name.clone(),
            note: note(snapshot),
            open: open_snapshot(Arc::clone(opened), snapshot, len),
        });
    }
    let (found, _) = bitmaps(opened)?;
    listed.bitmaps = found.len();
    let believed = opened.header.autoclear & BITMAPS != 0;
    if !found.is_empty() && !believed {
        listed.warnings.push(format!(
            "a program that knows nothing of bitmaps has written to {}: its bitmaps may be wrong",
            opened.name()
        ));
    }
    for bitmap in found {
        let note = bitmap.note(believed);
        listed.parts.push(Part {
            kind: "bitmap",
            name: bitmap.name.clone(),
            note,
            open: bitmap::open(Arc::clone(opened), bitmap, believed, active, len),
        });
    }
    Ok(listed)
}

fn note(snapshot: &Snapshot) -> String {
    let mut note = format!("id {}", snapshot.id);
    if let Ok(time) = jiff::Timestamp::from_second(snapshot.seconds.into()) {
        note.push_str(&format!(", {time}"));
    }
    if let Some(len) = snapshot.len {
        note.push_str(&format!(", {len} bytes"));
    }
    if snapshot.vm_state > 0 {
        note.push_str(&format!(", with {} of the machine's state", human_size(snapshot.vm_state)));
    }
    note
}

fn open_snapshot(opened: Arc<Opened>, snapshot: &Snapshot, len: u64) -> OpenPart {
    let mapping = Mapping { l1_offset: snapshot.l1_offset, l1_entries: snapshot.l1_entries.into() };
    let len = snapshot.len.unwrap_or(len);
    Box::new(move || {
        let corrupt = |what: &str| Error::corrupt(what).in_path(opened.name()).at(mapping.l1_offset);
        if !mapping.l1_offset.is_multiple_of(opened.header.geometry.cluster()) || len > i64::MAX as u64 {
            return Err(corrupt("the L1 table of a snapshot begins at no cluster, or is of no disk"));
        }
        let needed = len.div_ceil(opened.header.geometry.l2_span());
        if needed > mapping.l1_entries {
            return Err(corrupt("the L1 table of a snapshot is shorter than its disk needs"));
        }
        holds(&**opened.file(), "the L1 table of a snapshot", mapping.l1_offset, needed * 8)
            .map_err(|e| e.in_path(opened.name()))?;
        Ok(Arc::new(opened.disk(mapping, len, Facts::default())))
    })
}
