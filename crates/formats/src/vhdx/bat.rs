//! The block table.

use super::head::Head;
use super::layout::{CHUNK_SECTORS, MIB};
use super::metadata::Metadata;
use crate::blocks::{Bits, BlockMap, Entry, Place, Run, Table};
use tintype_core::{Error, Result};

/// What an entry says of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not here: the parent's, zeros without one.
    Absent,
    /// Zeros, or nothing that anybody relies on.
    Zero,
    /// Here.
    Present,
    /// Some sectors are here, and the others the parent's.
    Partial,
    /// Nothing that there is.
    Reserved,
}

/// What lies in the bits of an entry that are reserved.
pub(super) const RESERVED: u64 = 0xF_FFF8;
/// The state of a map of sectors that is there.
pub(super) const MAP_PRESENT: u64 = 6;

impl State {
    pub(super) fn of(entry: u64) -> Self {
        match entry & 7 {
            0 => State::Absent,
            // Five is what early versions of the format called unmapped.
            1 | 2 | 3 | 5 => State::Zero,
            6 => State::Present,
            7 => State::Partial,
            _ => State::Reserved,
        }
    }
}

/// Where the block of an entry lies.
pub(super) fn place(entry: u64) -> u64 {
    entry & !(MIB - 1)
}

/// The table, and how to count in it: after the blocks of each chunk comes the entry of their map of sectors.
pub(super) struct Bat {
    pub(super) table: Table,
    pub(super) block: u64,
    /// Blocks of a chunk.
    pub(super) ratio: u64,
    logical: u64,
    name: String,
    bits: Option<Bits>,
}

/// How many entries the table of such a disk has.
pub(super) fn entries(len: u64, block: u64, ratio: u64, has_parent: bool) -> u64 {
    let blocks = len.div_ceil(block);
    match has_parent {
        true => blocks.div_ceil(ratio) * (ratio + 1),
        false => blocks + blocks.saturating_sub(1) / ratio,
    }
}

/// Blocks of a chunk.
pub(super) fn ratio(block: u64, logical: u64) -> u64 {
    // Both are powers of 2 within bounds, so that there are at least 16 blocks.
    CHUNK_SECTORS * logical / block
}

impl Bat {
    pub(super) fn new(head: &Head, metadata: &Metadata) -> Result<Self> {
        let (block, len, logical) = (metadata.block, metadata.len, u64::from(metadata.logical));
        let ratio = ratio(block, logical);
        let count = entries(len, block, ratio, metadata.has_parent);
        let (at, room) = (head.bat.file_offset.get(), u64::from(head.bat.length.get()));
        if count * 8 > room {
            let what = format!("the disk needs {count} entries of the block table, which has room for {}", room / 8);
            return Err(Error::corrupt(what).at(at).in_path(&head.host.name));
        }
        let table = Table::new("the block table", head.host.clone(), at, count, Entry::Le64)?;
        let bits = metadata.has_parent.then(|| Bits::lsb_first(head.host.clone(), MIB));
        Ok(Bat { table, block, ratio, logical, name: head.host.name.clone(), bits })
    }

    /// Whether entry `i` is that of a map of sectors.
    pub(super) fn is_map(&self, i: u64) -> bool {
        i % (self.ratio + 1) == self.ratio
    }

    /// The block of entry `i`, or of the next one that has a block.
    pub(super) fn block_of(&self, i: u64) -> u64 {
        i - i / (self.ratio + 1)
    }

    /// The entry of a block.
    fn entry_of(&self, n: u64) -> u64 {
        n + n / self.ratio
    }

    fn corrupt(&self, n: u64, what: &str) -> Error {
        let at = self.table.place(self.entry_of(n));
        Error::corrupt(format!("block {n} {what}")).at(at).in_path(&self.name)
    }

    /// Which of the sectors from `inside` block `n` on are like the first, and whether they are here.
    fn sectors(&self, n: u64, inside: u64) -> Result<(bool, u64)> {
        let Some(bits) = &self.bits else {
            return Err(self.corrupt(n, "has sectors of a parent, and the disk has none"));
        };
        let map = self.table.get(n / self.ratio * (self.ratio + 1) + self.ratio)?;
        if map & 7 != MAP_PRESENT {
            return Err(self.corrupt(n, "has sectors of the parent, and there is no map of them"));
        }
        let each = self.block / self.logical;
        let first = n % self.ratio * each;
        let from = inside / self.logical;
        let (here, count) = bits.run(place(map), first + from, first + each)?;
        Ok((here, count * self.logical - inside % self.logical))
    }
}

impl BlockMap for Bat {
    fn run_at(&self, offset: u64, most: u64) -> Result<Run> {
        let (n, inside) = (offset / self.block, offset % self.block);
        let index = self.entry_of(n);
        let same = |first: u64, i: u64, entry: u64| {
            let state = State::of(first);
            let ahead = self.block_of(index + i) - n;
            match state {
                _ if self.is_map(index + i) => state != State::Partial,
                State::Absent | State::Zero => State::of(entry) == state,
                State::Present => State::of(entry) == state && place(entry) == place(first) + ahead * self.block,
                _ => false,
            }
        };
        // Of what lies together some more entries may be those of maps.
        let wanted = most.div_ceil(self.block).saturating_mul(2).saturating_add(2);
        let (first, steps) = self.table.run(index, wanted, same)?;
        let len = (self.block_of(index + steps) - n) * self.block - inside;
        let here = Place::At(place(first).saturating_add(inside));
        match State::of(first) {
            State::Absent => Ok(Run::new(len, Place::Absent)),
            State::Zero => Ok(Run::new(len, Place::Zero)),
            State::Reserved => Err(self.corrupt(n, "is in a state that does not exist")),
            State::Present => Ok(Run::new(len, here)),
            State::Partial => {
                let (is_here, len) = self.sectors(n, inside)?;
                Ok(Run::new(len, if is_here { here } else { Place::Absent }))
            }
        }
    }
}
