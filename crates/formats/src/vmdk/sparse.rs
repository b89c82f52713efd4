//! What the entries of an extent's tables mean, and what is stored of a compressed grain.

use super::layout::{GrainMarker, Packing, SECTOR, Shape};
use crate::blocks::{Coding, Entry, HostFile, Levels, Meaning, Packed, Place, Tables, Unpacked};
use tintype_core::{Care, Error, Result};
use zerocopy::FromBytes;

/// The entries of one extent.
pub(super) struct Entries {
    pub(super) shape: Shape,
    /// Bytes of its file.
    len: u64,
    coding: Coding,
}

/// The tables of the extent of this shape in `file`. Reads nothing.
pub(super) fn tables(file: HostFile, shape: Shape, care: Care) -> Levels<Entries> {
    let entry = shape.entry();
    Levels {
        at: shape.directory,
        entries: shape.tables(),
        first: entry,
        further: entry,
        blocks: shape.entries,
        block: shape.grain,
        meaning: Entries { shape, len: file.source.len(), coding: Coding::zlib(care) },
        tables: Tables::new(file),
    }
}

impl Entries {
    /// Bytes that a compressed grain may take in the file, with what stands before it: as much as qemu reads of it.
    fn longest(&self) -> u64 {
        2 * self.shape.grain + SECTOR
    }

    /// Bytes that no grain of a good encoder is longer than.
    fn likely(&self) -> u64 {
        self.shape.grain + self.shape.grain / 64 + 2 * SECTOR
    }
}

impl Meaning for Entries {
    const FIRST: &'static str = "the grain directory";
    const FURTHER: &'static str = "a grain table";

    fn table(&self, n: u64, entry: u64) -> Result<Place> {
        let place = self.shape.table(entry)?;
        match place {
            Place::At(at) if at < SECTOR || at.saturating_add(self.shape.table_len()) > self.len => {
                Err(Error::corrupt(format!("grain table {n} lies at {at}, where the file has none")))
            }
            place => Ok(place),
        }
    }

    fn block(&self, offset: u64, entry: u64) -> Result<Place> {
        match self.shape.grain(entry)? {
            Place::At(at) if at >= self.len || at < SECTOR => Err(Error::corrupt(format!(
                "the grain at {offset} of the extent is said to lie at {at}, where the file has none"
            ))),
            Place::At(at) if self.shape.packing() != Packing::Plain => {
                Ok(Place::Packed(Packed { at, stored: self.likely(), block: offset, plain: self.shape.grain }))
            }
            place => Ok(place),
        }
    }

    fn unpack(&self, packed: &Packed, stored: &[u8], out: &mut [u8]) -> Result<Unpacked> {
        let cut = || Error::corrupt("a compressed grain leaves the file: it was cut off");
        let (size, head) = match self.shape.packing() {
            Packing::Marked => {
                let (marker, _) = GrainMarker::read_from_prefix(stored).map_err(|_| cut())?;
                if marker.lba.get() != packed.block / SECTOR {
                    return Err(Error::corrupt(format!(
                        "the grain of sector {} is said to be here, but its marker is that of sector {}",
                        packed.block / SECTOR,
                        marker.lba.get()
                    )));
                }
                (marker.size.get(), GrainMarker::LEN as u64)
            }
            Packing::Bare | Packing::Plain => (u32::from_le_bytes(*stored.first_chunk().ok_or_else(cut)?), 4),
        };
        let end = head + u64::from(size);
        if end > self.longest() {
            return Err(Error::corrupt(format!("a compressed grain of {size} bytes, more than deflate can need")));
        }
        let Some(zlib) = stored.get(head as usize..end as usize) else { return Ok(Unpacked::Needs(end)) };
        let written = self.coding.decode(zlib, out)?;
        let len = self.shape.grain_len(packed.block / self.shape.grain);
        if (written as u64) < len {
            return Err(Error::corrupt(format!("a compressed grain holds {written} bytes, not {len}")));
        }
        out[written..].fill(0);
        Ok(Unpacked::Whole)
    }
}

impl Shape {
    /// How entries of the tables are stored.
    pub(super) fn entry(&self) -> Entry {
        if self.width() == 8 { Entry::Le64 } else { Entry::Le32 }
    }
}
