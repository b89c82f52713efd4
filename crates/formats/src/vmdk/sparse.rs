//! One extent that has tables: where its grains are, and their bytes.

use super::grains::{Inflated, Store};
use super::layout::{Packing, Place, Shape};
use super::windows::{Shelf, Window, Windows};
use std::sync::Arc;
use tintype_core::{Error, Kind, Result, Source};

/// An extent with tables.
pub(super) struct Sparse {
    file: Arc<dyn Source>,
    name: String,
    pub(super) shape: Shape,
    windows: Windows,
    inflated: Inflated,
}

/// Grains in a row that are in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Where the first byte that was asked for is; a compressed grain's is where its marker is.
    pub(super) place: Place,
    /// Bytes of the disk, from the one that was asked for.
    pub(super) len: u64,
}

/// What all extents of a disk keep together.
#[derive(Default)]
pub(super) struct Kept {
    shelf: Arc<Shelf>,
    store: Arc<Store>,
}

impl Sparse {
    /// The extent of this shape in `file`, which errors call `name`: the one with the number `extent` of its disk. Reads nothing.
    pub(super) fn new(file: Arc<dyn Source>, name: &str, shape: Shape, extent: usize, kept: &Kept) -> Self {
        let windows = Windows::new(Arc::clone(&file), extent, Arc::clone(&kept.shelf));
        let inflated = Inflated::new(shape.grain, extent, Arc::clone(&kept.store));
        Sparse { file, name: name.to_owned(), inflated, shape, windows }
    }

    /// The name of its file.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its file.
    pub(super) fn file(&self) -> &Arc<dyn Source> {
        &self.file
    }

    /// What it is made of from `offset` on, as far as the tables that lie together tell it. Plain grains that follow one another in
    /// the file are one run; compressed ones are one run too, of which only the place of the first is told. It is not looked further
    /// than `want` bytes, but for what comes for nothing.
    pub(super) fn run_at(&self, offset: u64, want: u64) -> Result<Run> {
        self.look(offset, want).map_err(|e| e.in_path(&self.name))
    }

    /// Where the grain table is that `offset` of the extent belongs to, and how many from there on lie one after the other, or are in the
    /// same state.
    pub(super) fn tables_at(&self, offset: u64) -> Result<(Place, u64)> {
        let table = offset / self.shape.grain / self.shape.entries;
        self.tables_from(table, u64::MAX).map_err(|e| e.in_path(&self.name))
    }

    fn look(&self, offset: u64, want: u64) -> Result<Run> {
        let shape = &self.shape;
        let grain = offset / shape.grain;
        let inside = offset % shape.grain;
        let (table, index) = (grain / shape.entries, grain % shape.entries);
        let run = |place: Place, grains: u64| {
            let end = (grain + grains).saturating_mul(shape.grain).min(shape.len);
            Run { place, len: end.saturating_sub(offset) }
        };
        let grains_wanted = want.saturating_add(inside).div_ceil(shape.grain);
        let (place, tables) = self.tables_from(table, index.saturating_add(grains_wanted).div_ceil(shape.entries))?;
        let Place::At(start) = place else {
            return Ok(run(place, tables * shape.entries - index));
        };
        let width = shape.width();
        let first_at = start + index * width;
        let window = self.windows.at(first_at)?;
        let entry = |at: u64| window.entry(at, width);
        let beyond = || Error::corrupt("a grain table leaves the file").at(first_at);
        let first = self.grain(entry(first_at).ok_or_else(beyond)?, first_at)?;
        // Tables that follow one another in the file are one long table.
        let all = tables * shape.entries - index;
        let most = all.min(grains_wanted);
        let mut grains = 1;
        let mut at = first_at + width;
        while grains < most
            && let Some(next) = entry(at)
        {
            let next = match shape.grain(next) {
                Ok(next) => next,
                // Whoever comes to it hears of it.
                Err(_) => break,
            };
            let same = match (first, next) {
                (Place::At(_), Place::At(_)) if shape.packing() != Packing::Plain => true,
                (Place::At(a), Place::At(b)) => b.checked_sub(a) == Some(grains * shape.grain),
                (a, b) => a == b,
            };
            if !same {
                break;
            }
            grains += 1;
            at += width;
        }
        if first == Place::Absent && most == all && grains < all && window.is_zero_from(first_at) {
            // Nobody has written to this part of the tables: the file system knows how far that goes.
            let end = self.windows.hole_end(window.end())?;
            grains = grains.max((end.max(at) - first_at) / width).min(all);
        }
        let place = match first {
            Place::At(at) if shape.packing() == Packing::Plain => Place::At(at + inside),
            other => other,
        };
        Ok(run(place, grains))
    }

    /// Where the table with this number is, and how many from there on, of those wanted, lie one after the other, or are in the same
    /// state.
    fn tables_from(&self, table: u64, wanted: u64) -> Result<(Place, u64)> {
        let shape = &self.shape;
        let width = shape.width();
        let first_at = shape.directory.saturating_add(table * width);
        let window: Window = self.windows.at(first_at)?;
        let entry = window.entry(first_at, width);
        let entry = entry.ok_or_else(|| Error::corrupt("the grain directory leaves the file").at(first_at))?;
        let first = shape.table(entry).map_err(|e| e.at(first_at))?;
        if let Place::At(at) = first
            && at.checked_add(shape.table_len()).is_none_or(|end| end > self.file.len())
        {
            return Err(
                Error::corrupt(format!("grain table {table} lies at {at}, beyond the end of the file")).at(first_at)
            );
        }
        let mut count = 1;
        while count < wanted
            && table + count < shape.tables()
            && let Some(next) = window.entry(first_at + count * width, width)
        {
            let same = match (first, shape.table(next)) {
                (Place::At(a), Ok(Place::At(b))) => {
                    b.checked_sub(a) == Some(count * shape.table_len()) && b + shape.table_len() <= self.file.len()
                }
                (a, Ok(b)) => a == b,
                (_, Err(_)) => false,
            };
            if !same {
                break;
            }
            count += 1;
        }
        Ok((first, count))
    }

    /// What an entry of a grain table says; `at` is where it stands.
    fn grain(&self, entry: u64, at: u64) -> Result<Place> {
        let place = self.shape.grain(entry).map_err(|e| e.at(at))?;
        if let Place::At(start) = place
            && (start >= self.file.len() || start < super::layout::SECTOR)
        {
            return Err(Error::corrupt(format!("a grain is said to lie at {start}, where the file has none")).at(at));
        }
        Ok(place)
    }

    /// Fills `buf` from `offset`, all of which is in `run`, which begins there.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64, run: Run) -> Result<()> {
        match (run.place, self.shape.packing()) {
            (Place::Absent | Place::Zero, _) => buf.fill(0),
            (Place::At(at), Packing::Plain) => {
                if at.checked_add(buf.len() as u64).is_none_or(|end| end > self.file.len()) {
                    let what = format!("a grain at {at} leaves the file: it was cut off");
                    return Err(Error::corrupt(what).in_path(&self.name).at(at));
                }
                self.file.read_at(buf, at)?;
            }
            (Place::At(_), packing) => self.unpack(buf, offset, packing).map_err(|e| match e.kind() {
                // What could be read are packed bytes, which is no use to the caller.
                Kind::Unreadable { .. } => e.into_kind(Kind::Unreadable { good: 0, first_bad: None }),
                _ => e.in_path(&self.name),
            })?,
        }
        Ok(())
    }

    fn unpack(&self, mut buf: &mut [u8], mut offset: u64, packing: Packing) -> Result<()> {
        // Where each grain is, until the first that is none.
        let mut places = Vec::new();
        let end = offset + buf.len() as u64;
        let mut grain = offset / self.shape.grain;
        while grain * self.shape.grain < end {
            match self.look(grain * self.shape.grain, 1)?.place {
                Place::At(at) => places.push(at),
                _ => return Err(Error::corrupt("a grain table has changed while it was read")),
            }
            grain += 1;
        }
        let mut batch = self.inflated.batch(&*self.file, places, packing)?;
        while !buf.is_empty() {
            let grain = offset / self.shape.grain;
            let inside = offset % self.shape.grain;
            let now = (self.shape.grain_len(grain) - inside).min(buf.len() as u64) as usize;
            let (part, rest) = buf.split_at_mut(now);
            batch.next(part, inside as usize, self.shape.grain_len(grain) as usize, grain * self.shape.grain)?;
            buf = rest;
            offset += now as u64;
        }
        Ok(())
    }
}
