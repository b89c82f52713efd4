//! Writing.
//!
//! ```text
//!   header | L1 table | clusters and L2 tables, as they come
//! ```
//!
//! Workers take places for clusters from a counter and write there; whoever puts pieces in order writes down where they lie.
//! The header comes last, so that nothing looks like an image before it is one.

use super::layout::{Header, SECTOR, ZERO};
use crate::blocks::{Content, Footing, Judge, Known, LONGEST_NAME, blank_to, padded, padding};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tintype_core::{
    Backing, Coded, CreateRequest, Encoder, Error, Extent, Feed, File, OptionSpec, Piece, PieceBody, Result, Seal,
    Sink, Source, State, Written, human_size,
};

/// Units in which zeros are looked for: the smallest cluster, and the smallest hole that common file systems make.
const HOLE: usize = 4096;
/// Bytes of a cluster and clusters of a table, powers of two, that QEMU can open. It opens no tables of a single cluster, and nothing
/// where the most that tables could map is no number of 64 bits: both seen with qemu-img 7.2.
const CLUSTER: RangeInclusive<u64> = 4096..=4 << 20;
const TABLE: RangeInclusive<u64> = 2..=16;
/// Entries of an L2 table that are written at once.
const WINDOW: u64 = 8192;

pub(super) const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "cluster_size",
        values: "4KiB..4MiB",
        default: "64KiB",
        help: "unit of allocation; larger ones need smaller tables",
    },
    OptionSpec { name: "table_size", values: "2|4|8|16", default: "4", help: "clusters of a table" },
];

pub(super) fn create(request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let len = request.known_len()?;
    let header = plan(request, len)?;
    let file = request.outlet.create(&request.name)?;
    let next = Arc::new(AtomicU64::new(header.header + header.table));
    let backing = request.backing.as_ref().map(|b| Arc::clone(&b.source));
    let places = Places { file, next, cluster: header.cluster, len, size: header.size, backing };
    let l1 = vec![0; header.size.div_ceil(header.span()) as usize];
    Ok(Box::new(Writer { header, places, name: request.name.clone(), done: 0, l1, window: Window::default() }))
}

pub(super) fn losses(request: &CreateRequest) -> Vec<String> {
    padding(request, SECTOR)
}

/// The header of the image that is to be.
fn plan(request: &CreateRequest, len: u64) -> Result<Header> {
    let cluster = request.options.size("cluster_size", CLUSTER)?.unwrap_or(64 << 10);
    let table = request.options.size("table_size", TABLE)?.unwrap_or(4);
    for (name, value) in [("cluster_size", cluster), ("table_size", table)] {
        if !value.is_power_of_two() {
            return Err(Error::usage(format!("--option {name}={value}: it has to be a power of two")));
        }
    }
    let header = Header {
        cluster,
        table,
        header: 1,
        features: 0,
        l1_offset: cluster,
        size: padded(len, SECTOR)?,
        backing: None,
    };
    if header.span().checked_mul(header.entries()).is_none() {
        let what = "QEMU opens no image with clusters and tables that large: give a smaller --option cluster_size=N or table_size=N";
        return Err(Error::usage(what));
    }
    if header.size > header.most() {
        let (most, larger) = (human_size(header.most()), "give --option cluster_size=N or table_size=N");
        return Err(Error::usage(format!("clusters and tables of this size map {most} at most: {larger}")));
    }
    match &request.backing {
        Some(backing) => stand_on(header, backing),
        None => Ok(header),
    }
}

/// The format has no place for the format of what lies below, unless that is raw.
fn stand_on(header: Header, backing: &Backing) -> Result<Header> {
    let footing = Footing::of(backing)?;
    let raw = backing.format == crate::raw::FORMAT.name;
    let endings = crate::by_name(backing.format)?.extensions;
    let name = backing.name.to_ascii_lowercase();
    if !raw && !endings.iter().any(|ending| name.ends_with(&format!(".{ending}"))) {
        return Err(Error::usage(format!(
            "QED cannot say that {} has the format {}: give it a name that ends in .{}, or use qcow2",
            backing.name,
            backing.format,
            endings.first().unwrap_or(&backing.format)
        )));
    }
    if footing.name.len() > LONGEST_NAME as usize {
        return Err(Error::usage(format!("the name of the backing file has more than {LONGEST_NAME} bytes")));
    }
    Ok(header.over(&footing.name, raw))
}

/// Where clusters go.
#[derive(Clone)]
struct Places {
    file: Arc<dyn File>,
    /// The next cluster of the file that nobody has.
    next: Arc<AtomicU64>,
    cluster: u64,
    /// Length of the source.
    len: u64,
    /// The same in whole sectors.
    size: u64,
    backing: Option<Arc<dyn Source>>,
}

impl Places {
    /// Takes clusters; returns the offset of the first.
    fn take(&self, clusters: u64) -> u64 {
        self.next.fetch_add(clusters, Ordering::Relaxed) * self.cluster
    }
}

/// Writes clusters in place; what it gives its sink are the entries of L2 tables.
struct InPlace {
    places: Places,
    judge: Judge,
    last: Vec<u8>,
}

impl InPlace {
    fn new(places: Places) -> Self {
        InPlace { judge: Judge::new(places.backing.clone()), places, last: Vec::new() }
    }

    /// What a cluster is.
    fn look(&mut self, bytes: &[u8], offset: u64, known: &mut Known<'_>) -> Result<Content> {
        let end = offset + bytes.len() as u64;
        let zero = known.zero(offset, end);
        // What follows in the last sector is zeros, whatever lies there below.
        if end == self.places.len && end < self.places.size {
            self.last.clear();
            self.last.extend_from_slice(bytes);
            self.last.resize((self.places.size - offset) as usize, 0);
            return self.judge.content(&self.last, offset, zero);
        }
        self.judge.content(bytes, offset, zero)
    }
}

impl Encoder for InPlace {
    fn encode(&mut self, plain: &[u8], offset: u64, marks: &[Extent], out: &mut Coded) -> Result<()> {
        let cluster = self.places.cluster as usize;
        let mut known = Known::new(marks);
        let mut contents = Vec::with_capacity(plain.len().div_ceil(cluster));
        for (bytes, at) in plain.chunks(cluster).zip((offset..).step_by(cluster)) {
            contents.push(self.look(bytes, at, &mut known)?);
        }
        let needed = contents.iter().filter(|content| **content == Content::Data).count() as u64;
        let first = if needed > 0 { self.places.take(needed) } else { 0 };
        let mut host = first;
        // Neighbours of the disk are neighbours in the file as long as none between them is left out.
        let mut known = Known::new(marks);
        let mut write = Stretch { places: &self.places, plain, from: 0, to: 0, host: 0 };
        for (i, content) in contents.iter().enumerate() {
            let entry = match content {
                Content::Same => 0,
                Content::Zero => ZERO,
                Content::Data => host,
            };
            out.bytes.extend_from_slice(&entry.to_le_bytes());
            if *content != Content::Data {
                continue;
            }
            let start = i * cluster;
            let end = (start + cluster).min(plain.len());
            for from in (start..end).step_by(HOLE) {
                let to = (from + HOLE).min(end);
                if !known.zero(offset + from as u64, offset + to as u64) {
                    write.add(from, to, host + (from - start) as u64)?;
                }
            }
            host += self.places.cluster;
        }
        write.done()
    }
}

/// Plain bytes that are to be written together.
struct Stretch<'a> {
    places: &'a Places,
    plain: &'a [u8],
    from: usize,
    to: usize,
    host: u64,
}

impl Stretch<'_> {
    fn add(&mut self, from: usize, to: usize, host: u64) -> Result<()> {
        if self.to != from || self.host + (from - self.from) as u64 != host {
            self.done()?;
            (self.from, self.host) = (from, host);
        }
        self.to = to;
        Ok(())
    }

    fn done(&mut self) -> Result<()> {
        let bytes = &self.plain[self.from..self.to];
        if !bytes.is_empty() {
            self.places.file.write_at(bytes, self.host)?;
            self.places.file.write_soon(self.host, bytes.len() as u64);
        }
        Ok(())
    }
}

/// The part of an L2 table that is being filled.
#[derive(Default)]
struct Window {
    /// The cluster of the disk that its first entry is for.
    cluster: u64,
    entries: Vec<u64>,
}

struct Writer {
    header: Header,
    places: Places,
    name: String,
    done: u64,
    l1: Vec<u64>,
    window: Window,
}

impl Writer {
    /// Takes the entry of a cluster of the disk; those of clusters that lie below or nowhere need not come.
    fn entry(&mut self, cluster: u64, entry: u64) -> Result<()> {
        let first = cluster - cluster % WINDOW.min(self.header.entries());
        if first != self.window.cluster {
            self.close_window()?;
            self.window.cluster = first;
        }
        self.window.entries.resize((cluster - first) as usize, 0);
        self.window.entries.push(entry);
        Ok(())
    }

    fn close_window(&mut self) -> Result<()> {
        let Window { cluster, entries } = &self.window;
        if entries.iter().any(|entry| *entry != 0) {
            let (index, place) = (cluster / self.header.entries(), cluster % self.header.entries());
            let table = self.l1.get_mut(index as usize).ok_or_else(|| Error::usage("more was put than announced"))?;
            if *table == 0 {
                *table = self.places.take(self.header.table);
            }
            self.places.file.write_at(&bytes_of(entries), *table + place * 8)?;
        }
        self.window.entries.clear();
        Ok(())
    }

    fn entries(&mut self, offset: u64, entries: &[u8]) -> Result<()> {
        let (entries, _) = entries.as_chunks::<8>();
        for (entry, cluster) in entries.iter().zip(offset / self.header.cluster..) {
            match u64::from_le_bytes(*entry) {
                0 => {}
                entry => self.entry(cluster, entry)?,
            }
        }
        Ok(())
    }

    /// Takes zeros: what has to be said of them is said only where something lies below.
    fn zeros(&mut self, offset: u64, end: u64) -> Result<()> {
        let cluster = self.header.cluster;
        let mut encoder = InPlace::new(self.places.clone());
        let (mut at, mut coded) = (offset, Coded::default());
        let zeros = vec![0; if self.places.backing.is_some() { cluster.min(end - at) as usize } else { 0 }];
        while at < end {
            let blank = blank_to(self.places.backing.as_deref(), at)?;
            if blank >= end {
                return Ok(());
            }
            if blank / cluster > at / cluster {
                at = blank / cluster * cluster;
                continue;
            }
            let now = cluster.min(end - at);
            coded.clear();
            encoder.encode(&zeros[..now as usize], at, &[Extent::new(at, now, State::Zero)], &mut coded)?;
            self.entries(at, &coded.bytes)?;
            at += now;
        }
        Ok(())
    }
}

fn bytes_of(entries: &[u64]) -> Vec<u8> {
    entries.iter().flat_map(|entry| entry.to_le_bytes()).collect()
}

impl Sink for Writer {
    fn feed(&self) -> Feed {
        Feed {
            // At most 4 MiB.
            chunk: self.header.cluster as u32,
            carries: super::FORMAT.caps.states,
            zeros: HOLE as u32,
            digests: Vec::new(),
        }
    }

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        Some(Box::new(InPlace::new(self.places.clone())))
    }

    fn put(&mut self, piece: Piece<'_>) -> Result<()> {
        if piece.offset != self.done {
            return Err(Error::usage("pieces out of order").at(piece.offset));
        }
        match piece.body {
            PieceBody::Bytes { coded, .. } => self.entries(piece.offset, &coded.bytes)?,
            PieceBody::Run(_) => {
                let end = piece.offset + piece.len;
                // The last sector is whole, whatever lies there below.
                self.zeros(piece.offset, if end == self.places.len { self.places.size } else { end })?;
            }
        }
        self.done += piece.len;
        Ok(())
    }

    fn finish(mut self: Box<Self>, seal: &Seal) -> Result<Written> {
        let untouched = self.done == 0 && self.places.backing.is_some();
        if seal.len != self.places.len || (self.done != seal.len && !untouched) {
            let what = format!("{} bytes were put, {} were announced", self.done, self.places.len);
            return Err(Error::usage(what));
        }
        self.close_window()?;
        let file = &self.places.file;
        file.set_len(self.places.next.load(Ordering::Relaxed) * self.header.cluster)?;
        file.write_at(&bytes_of(&self.l1), self.header.l1_offset)?;
        file.write_at(&self.header.encode(), 0)?;
        file.sync()?;
        Ok(Written { bytes: file.stored()?, files: vec![self.name], notes: Vec::new() })
    }
}
