//! An owned, sorted list of runs.

use crate::{Extent, RangeMap, State};
use std::ops::Range;

/// Which state every byte is in, as sorted runs; neighbours of one state are joined. Lookups and changes cost O(log n).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtentMap(RangeMap<State>);

impl ExtentMap {
    /// A map that says nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs in the map.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if the map says nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The run that covers `offset`.
    pub fn get(&self, offset: u64) -> Option<Extent> {
        self.0.get(offset).map(extent)
    }

    /// The first run that ends after `offset`.
    pub fn next_from(&self, offset: u64) -> Option<Extent> {
        self.0.next_from(offset).map(extent)
    }

    /// Says `extent`, over whatever the map said before.
    pub fn set(&mut self, extent: Extent) {
        self.0.set(extent.offset..extent.end(), extent.state);
    }

    /// Forgets everything about `len` bytes from `offset`.
    pub fn clear(&mut self, offset: u64, len: u64) {
        self.0.clear(offset..offset.saturating_add(len));
    }

    /// The runs, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Extent> + '_ {
        self.0.iter().map(extent)
    }

    /// The parts of the runs inside `[from, to)`, ascending.
    pub fn within(&self, from: u64, to: u64) -> impl Iterator<Item = Extent> + '_ {
        self.0.within(from..to).map(extent)
    }

    /// Bytes in `state`.
    pub fn total(&self, state: State) -> u64 {
        self.iter().filter(|e| e.state == state).map(|e| e.len).sum()
    }
}

fn extent((range, state): (Range<u64>, State)) -> Extent {
    Extent::new(range.start, range.end - range.start, state)
}

impl FromIterator<Extent> for ExtentMap {
    fn from_iter<I: IntoIterator<Item = Extent>>(iter: I) -> Self {
        let mut map = ExtentMap::new();
        for extent in iter {
            map.set(extent);
        }
        map
    }
}
