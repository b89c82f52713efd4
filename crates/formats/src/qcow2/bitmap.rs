//! Persistent bitmaps: which parts of the disk somebody wrote to since some moment.

use super::layout::{BITMAPS, OFFSET};
use super::mapping::{Clusters, Mapping};
use super::open::Opened;
use crate::blocks::{Entry, Mapped};
use std::sync::Arc;
use tintype_core::{Error, Extent, Facts, OpenPart, Result, Shape, Source, State, human_size, in_range};

const IN_USE: u32 = 1;
const AUTO: u32 = 1 << 1;
const EXTRA_COMPATIBLE: u32 = 1 << 2;
const KNOWN_FLAGS: u32 = IN_USE | AUTO | EXTRA_COMPATIBLE;
/// The kind of a bitmap of what was written to.
const DIRTY_TRACKING: u8 = 1;
/// Bytes of the disk that one bit stands for, as a power of two.
const GRANULARITY: std::ops::RangeInclusive<u8> = 9..=31;
/// All ones, or all zeros, without a cluster.
pub(super) const ONES: u64 = 1;

/// An entry of the bitmap directory.
#[derive(Clone, Debug)]
pub(super) struct Bitmap {
    pub(super) table: u64,
    pub(super) entries: u32,
    pub(super) flags: u32,
    pub(super) kind: u8,
    pub(super) granularity_bits: u8,
    /// There is data that nobody here knows.
    pub(super) extra: bool,
    pub(super) name: String,
}

impl Bitmap {
    pub(super) fn note(&self, believed: bool) -> String {
        let mut note = human_size(1u64.checked_shl(self.granularity_bits.into()).unwrap_or(0)) + " a bit";
        if self.flags & AUTO != 0 {
            note.push_str(", recording");
        }
        if !believed || self.flags & IN_USE != 0 {
            note.push_str(", not consistent");
        }
        note
    }

    /// What contradicts the specification in its entry of the directory, for a disk of `len` bytes in clusters of `cluster`.
    pub(super) fn wrong(&self, cluster: u64, len: u64) -> Option<String> {
        if self.kind != DIRTY_TRACKING {
            return Some(format!("is of kind {}, which does not exist", self.kind));
        }
        if !GRANULARITY.contains(&self.granularity_bits) {
            return Some(format!("has a bit for 2^{} bytes; it may be 2^9 to 2^31", self.granularity_bits));
        }
        if self.flags & !KNOWN_FLAGS != 0 {
            return Some(format!("has the reserved flags {:#x} set", self.flags & !KNOWN_FLAGS));
        }
        if !self.table.is_multiple_of(cluster) {
            return Some(format!("has its table at {}, which is no cluster", self.table));
        }
        let needed = len.div_ceil(1 << self.granularity_bits).div_ceil(8).div_ceil(cluster);
        // One that was not saved may be that of a disk that was shorter.
        if self.flags & IN_USE == 0 && needed > self.entries.into() {
            return Some(format!("has a table of {} entries; the disk needs {needed}", self.entries));
        }
        None
    }

    /// Why it cannot be used.
    fn refused(&self, believed: bool) -> Option<&'static str> {
        if !believed {
            return Some("may be wrong: a program that knows nothing of bitmaps has written to the image");
        }
        if self.flags & IN_USE != 0 {
            return Some("was not saved when the image was closed");
        }
        if self.extra && self.flags & EXTRA_COMPATIBLE == 0 {
            return Some("has data that must be understood to use it");
        }
        if self.kind != DIRTY_TRACKING || self.granularity_bits > 62 {
            return Some("is of a kind that is not known here");
        }
        None
    }
}

/// The way to the disk of an image as far as the bitmap has it.
pub(super) fn open(opened: Arc<Opened>, bitmap: Bitmap, believed: bool, disk: Mapping, len: u64) -> OpenPart {
    Box::new(move || {
        let failed = |e: Error| e.in_path(opened.name()).at(bitmap.table);
        if let Some(why) = bitmap.refused(believed) {
            return Err(failed(Error::unsupported(format!("the bitmap {:?} {why}", bitmap.name))));
        }
        let cluster = opened.header.geometry.cluster();
        let needed = len.div_ceil(1 << bitmap.granularity_bits).div_ceil(8).div_ceil(cluster);
        if needed > bitmap.entries.into() || !bitmap.table.is_multiple_of(cluster) || bitmap.table > i64::MAX as u64 {
            let what = format!("the bitmap {:?} has a table that does not fit the disk", bitmap.name);
            return Err(failed(Error::corrupt(what)));
        }
        let disk = opened.disk(disk, len, Facts::default());
        Ok(Arc::new(Marked { opened: Arc::clone(&opened), bitmap: bitmap.clone(), disk }))
    })
}

/// A disk of which only that is there which the bitmap marks; the rest is of no use, and reads as zeros.
struct Marked {
    opened: Arc<Opened>,
    bitmap: Bitmap,
    disk: Mapped<Clusters>,
}

impl Marked {
    /// Whether `offset` is marked, and up to where it goes on so; at most one window of the bitmap is looked at.
    fn run_at(&self, offset: u64) -> Result<(bool, u64)> {
        let cluster = self.opened.header.geometry.cluster();
        let bits = self.bitmap.granularity_bits;
        let bit = offset >> bits;
        let end = |bit: u64| {
            bit.checked_shl(bits.into()).filter(|e| e >> bits == bit).unwrap_or(u64::MAX).min(self.disk.len())
        };
        let index = bit / 8 / cluster;
        let at = self.bitmap.table + index * 8;
        let most = u64::from(self.bitmap.entries) - index;
        let table = self.opened.tables.at("a bitmap table", at, most, Entry::Be64)?;
        let first = table.get(0);
        let host = first & OFFSET;
        if host == 0 {
            let same = table.run(most, |_, entry| entry & (OFFSET | ONES) == first & ONES);
            return Ok((first & ONES != 0, end((index + same).saturating_mul(cluster * 8))));
        }
        if !host.is_multiple_of(cluster) {
            return Err(Error::corrupt("an entry of a bitmap table points to no cluster").at(at));
        }
        // In words of 64 bits, since that is what is read; clusters are whole numbers of them.
        let word = bit / 64 * 8 % cluster;
        let words = self.opened.tables.at("a bitmap", host + word, (cluster - word) / 8, Entry::Le64)?;
        let (place, start) = (bit % 64, bit - bit % 64);
        let set = words.get(0) >> place & 1 != 0;
        let alike = if set { u64::MAX } else { 0 };
        // The bits of a word from `place` on that are not like the first one.
        let others = |word: u64, place: u64| (word ^ alike) >> place << place;
        let full = match others(words.get(0), place) {
            0 => words.run(u64::MAX, |_, word| word == alike),
            _ => 0,
        };
        let rest = match (full, full < words.len()) {
            (_, false) => 0,
            (0, true) => others(words.get(0), place).trailing_zeros(),
            (n, true) => others(words.get(n), 0).trailing_zeros(),
        };
        Ok((set, end(start + full * 64 + u64::from(rest))))
    }
}

impl Source for Marked {
    fn len(&self) -> u64 {
        self.disk.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len(), offset, buf.len() as u64)?;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let (set, end) = self.run_at(at).map_err(|e| e.met_in(self.opened.name()))?;
            let part = buf.len().min(done + usize::try_from(end - at).unwrap_or(usize::MAX));
            match set {
                true => self.disk.read_at(&mut buf[done..part], at)?,
                false => buf[done..part].fill(0),
            }
            done = part;
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.len(), offset, 1)?;
        let (set, end) = self.run_at(offset).map_err(|e| e.met_in(self.opened.name()))?;
        let unused = Extent::new(offset, end - offset, State::Unused);
        match set {
            false => Ok(unused),
            true => Ok(self.disk.extent_at(offset)?.clip(offset, end).unwrap_or(unused)),
        }
    }

    fn shape(&self) -> Shape {
        self.disk.shape()
    }
}

/// True if an autoclear bit stands without bitmaps.
pub(super) fn missing(opened: &Opened) -> bool {
    opened.header.autoclear & BITMAPS != 0 && opened.header.bitmaps.is_none()
}
