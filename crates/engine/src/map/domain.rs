//! Which part of a map is meant.

use std::ops::Range;
use tintype_core::RangeMap;
use tintype_core::mapfile::{END, Mapfile, Status};

/// The bytes that are meant; everything else is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain(RangeMap<()>);

impl Default for Domain {
    /// Everything.
    fn default() -> Self {
        let mut all = RangeMap::new();
        all.set(0..END, ());
        Domain(all)
    }
}

impl Domain {
    /// The bytes of `bounds`, and of those only what `finished` says is finished.
    pub fn new(bounds: Range<u64>, finished: Option<&Mapfile>) -> Self {
        let mut ranges = RangeMap::new();
        match finished {
            None => ranges.set(bounds, ()),
            Some(map) => {
                for (range, _) in map.blocks().within(bounds).filter(|(_, s)| *s == Status::Finished) {
                    ranges.set(range, ());
                }
            }
        }
        Domain(ranges)
    }

    /// These ranges.
    pub fn of(ranges: impl IntoIterator<Item = Range<u64>>) -> Self {
        let mut all = RangeMap::new();
        for range in ranges {
            all.set(range, ());
        }
        Domain(all)
    }

    /// The same and what is missing of every unit that it has a part of, but nothing from `end` on. Needs `unit > 0`.
    pub fn in_units(&self, unit: u64, end: u64) -> Self {
        let mut ranges = RangeMap::new();
        for range in self.within(0..end) {
            ranges.set(range.start / unit * unit..range.end.next_multiple_of(unit).min(end), ());
        }
        Domain(ranges)
    }

    /// Bytes that are meant.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(r, ())| r.end - r.start).sum()
    }

    /// True if the byte at `offset` is meant.
    pub fn holds(&self, offset: u64) -> bool {
        self.0.get(offset).is_some()
    }

    /// The range around `offset` that is meant, if it is.
    pub fn around(&self, offset: u64) -> Option<Range<u64>> {
        self.0.get(offset).map(|(r, ())| r)
    }

    /// The part of it before `end`.
    pub fn up_to(&self, end: u64) -> Self {
        let mut ranges = self.0.clone();
        ranges.clear(end..u64::MAX);
        Domain(ranges)
    }

    /// The end of the last byte that is meant.
    pub fn end(&self) -> u64 {
        self.0.iter().next_back().map_or(0, |(r, ())| r.end)
    }

    /// The first byte that is meant.
    pub fn start(&self) -> u64 {
        self.0.iter().next().map_or(0, |(r, ())| r.start)
    }

    /// The parts of `range` that are meant, ascending.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        self.0.within(range).map(|(r, ())| r)
    }

    /// The parts of the blocks of `map` that are meant, ascending.
    pub fn pieces<'a>(&'a self, map: &'a Mapfile) -> impl Iterator<Item = (Range<u64>, Status)> + 'a {
        self.within(map.range()).flat_map(|range| map.blocks().within(range))
    }
}
