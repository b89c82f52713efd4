//! Two levels of tables: one with an entry for every further table, and those with an entry for every block.

use super::{BlockMap, Entry, Packed, Place, Run, Tables, Unpacked};
use tintype_core::{Error, Result};

/// What the entries of a format's tables mean.
pub(crate) trait Meaning: Send + Sync {
    /// What the first table is called.
    const FIRST: &'static str;
    /// What one of the further tables is called.
    const FURTHER: &'static str;

    /// What entry `n` of the first table says of its further table: [`Place::At`] an offset, or that all of its blocks are in one
    /// state. `Corrupt` if nothing can be there.
    fn table(&self, n: u64, entry: u64) -> Result<Place>;

    /// What an entry of a further table says of its block, whose first byte on the disk is at `offset`.
    fn block(&self, offset: u64, entry: u64) -> Result<Place>;

    /// As [`BlockMap::unpack`].
    fn unpack(&self, packed: &Packed, stored: &[u8], out: &mut [u8]) -> Result<Unpacked> {
        let _ = (packed, stored, out);
        Err(Error::unsupported("compressed blocks are not known here"))
    }
}

/// The tables of a disk. What lies beyond them is absent.
pub(crate) struct Levels<M> {
    pub(crate) tables: Tables,
    /// Where the first table is.
    pub(crate) at: u64,
    /// How many entries it has.
    pub(crate) entries: u64,
    /// How its entries are stored.
    pub(crate) first: Entry,
    /// How those of further tables are.
    pub(crate) further: Entry,
    /// Entries of a further table.
    pub(crate) blocks: u64,
    /// Bytes of a block.
    pub(crate) block: u64,
    pub(crate) meaning: M,
}

/// Where the first table leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// No further.
    Run(Run),
    /// To the entry of a block.
    Entry {
        /// Where it lies in the file.
        at: u64,
        /// How many follow each other there, this one included; tables that do are one long table.
        entries: u64,
    },
}

impl<M: Meaning> Levels<M> {
    /// Follows the first table from `offset` of the disk on, for at most `most` bytes.
    pub(crate) fn step(&self, offset: u64, most: u64) -> Result<Step> {
        let span = self.blocks.saturating_mul(self.block);
        let (index, inside) = (offset / span, offset % span);
        if index >= self.entries {
            return Ok(Step::Run(Run::new(most.max(1), Place::Absent)));
        }
        let here = self.at.saturating_add(index * self.first.width());
        let entries = self.tables.at(M::FIRST, here, self.entries - index, self.first)?;
        let first = self.meaning.table(index, entries.get(0));
        let first = first.map_err(|e| e.at(here).met_in(&self.tables.file().name))?;
        let next = |n: u64, entry: u64| self.meaning.table(index + n, entry).ok();
        let Place::At(table) = first else {
            let alike = entries.run(u64::MAX, |n, entry| next(n, entry) == Some(first));
            return Ok(Step::Run(Run::new(alike.saturating_mul(span) - inside, first)));
        };
        let block = inside / self.block;
        let wanted = most.div_ceil(self.block).saturating_add(block).div_ceil(self.blocks);
        let len = self.blocks * self.further.width();
        let follows =
            |n: u64, entry: u64| next(n, entry) == Some(Place::At(table.saturating_add(n.saturating_mul(len))));
        let tables = entries.run(wanted.max(1), follows);
        Ok(Step::Entry {
            at: table.saturating_add(block * self.further.width()),
            entries: tables * self.blocks - block,
        })
    }
}

impl<M: Meaning> BlockMap for Levels<M> {
    fn run_at(&self, offset: u64, most: u64) -> Result<Run> {
        let (at, entries) = match self.step(offset, most)? {
            Step::Run(run) => return Ok(run),
            Step::Entry { at, entries } => (at, entries),
        };
        let inside = offset % self.block;
        let start = offset - inside;
        let entries = self.tables.at(M::FURTHER, at, entries, self.further)?;
        let first = self.meaning.block(start, entries.get(0));
        let first = first.map_err(|e| e.at(at).met_in(&self.tables.file().name))?;
        let alike = |n: u64, entry: u64| {
            // What is wrong further on is told to whoever gets there.
            let Ok(next) = self.meaning.block(start.saturating_add(n * self.block), entry) else { return false };
            match first {
                Place::At(host) => next == Place::At(host.saturating_add(n * self.block)),
                Place::Packed(_) => false,
                first => next == first,
            }
        };
        // What is absent comes for nothing.
        let wanted = match first {
            Place::At(_) => most.saturating_add(inside).div_ceil(self.block),
            _ => u64::MAX,
        };
        let count = entries.run(wanted.max(1), alike);
        let place = match first {
            Place::At(host) => Place::At(host.saturating_add(inside)),
            other => other,
        };
        Ok(Run::new(count.saturating_mul(self.block) - inside, place))
    }

    fn unpack(&self, packed: &Packed, stored: &[u8], out: &mut [u8]) -> Result<Unpacked> {
        self.meaning.unpack(packed, stored, out)
    }
}
