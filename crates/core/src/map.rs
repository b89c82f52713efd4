//! An owned, sorted list of runs.

use crate::{Extent, State};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Which state every byte is in, as sorted runs; neighbours of one state are joined. Lookups and changes cost O(log n).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtentMap {
    // Start of a run -> (end, state). Runs never overlap and never touch in the same state.
    runs: BTreeMap<u64, (u64, State)>,
}

impl ExtentMap {
    /// A map that says nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs in the map.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// True if the map says nothing.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The run that covers `offset`.
    pub fn get(&self, offset: u64) -> Option<Extent> {
        let (&start, &(end, state)) = self.runs.range(..=offset).next_back()?;
        (offset < end).then(|| Extent::new(start, end - start, state))
    }

    /// The first run that ends after `offset`.
    pub fn next_from(&self, offset: u64) -> Option<Extent> {
        self.get(offset).or_else(|| {
            let (&start, &(end, state)) = self.runs.range((Bound::Excluded(offset), Bound::Unbounded)).next()?;
            Some(Extent::new(start, end - start, state))
        })
    }

    /// Says `extent`, over whatever the map said before.
    pub fn set(&mut self, extent: Extent) {
        if extent.len == 0 {
            return;
        }
        self.clear(extent.offset, extent.len);
        let (mut start, mut end) = (extent.offset, extent.end());
        if let Some((&s, &(e, state))) = self.runs.range(..start).next_back()
            && e == start
            && state == extent.state
        {
            start = s;
        }
        if let Some(&(e, state)) = self.runs.get(&end)
            && state == extent.state
        {
            self.runs.remove(&end);
            end = e;
        }
        self.runs.insert(start, (end, extent.state));
    }

    /// Forgets everything about `len` bytes from `offset`.
    pub fn clear(&mut self, offset: u64, len: u64) {
        if len == 0 {
            return;
        }
        let end = offset.saturating_add(len);
        if let Some((&s, &(e, state))) = self.runs.range(..offset).next_back()
            && e > offset
        {
            self.runs.insert(s, (offset, state));
            if e > end {
                self.runs.insert(end, (e, state));
            }
        }
        while let Some((&s, &(e, state))) = self.runs.range(offset..end).next() {
            self.runs.remove(&s);
            if e > end {
                self.runs.insert(end, (e, state));
            }
        }
    }

    /// The runs, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Extent> + '_ {
        self.runs.iter().map(|(&s, &(e, state))| Extent::new(s, e - s, state))
    }

    /// The parts of the runs inside `[from, to)`, ascending.
    pub fn within(&self, from: u64, to: u64) -> impl Iterator<Item = Extent> + '_ {
        let first = self.get(from).map_or(from, |e| e.offset);
        self.runs
            .range(first..to.max(first))
            .filter_map(move |(&s, &(e, state))| Extent::new(s, e - s, state).clip(from, to))
    }

    /// Bytes in `state`.
    pub fn total(&self, state: State) -> u64 {
        self.iter().filter(|e| e.state == state).map(|e| e.len).sum()
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_an_array(ops in proptest::collection::vec((0u64..200, 0u64..60, 0usize..6), 0..60)) {
            let mut map = ExtentMap::new();
            let mut model = [None; 300];
            for (offset, len, what) in ops {
                let state = State::ALL.get(what).copied();
                match state {
                    Some(state) => map.set(Extent::new(offset, len, state)),
                    None => map.clear(offset, len),
                }
                for slot in &mut model[offset as usize..(offset + len) as usize] {
                    *slot = state;
                }
            }
            for (i, slot) in model.iter().enumerate() {
                prop_assert_eq!(map.get(i as u64).map(|e| e.state), *slot);
            }
            let runs: Vec<_> = map.iter().collect();
            for pair in runs.windows(2) {
                prop_assert!(pair[0].end() < pair[1].offset || (pair[0].end() == pair[1].offset && pair[0].state != pair[1].state));
            }
            let inside: u64 = map.within(50, 150).map(|e| e.len).sum();
            prop_assert_eq!(inside, model[50..150].iter().filter(|s| s.is_some()).count() as u64);
        }
    }
}
