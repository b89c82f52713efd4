//! Values of ranges: what every map of a disk is made of.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

/// A value for every byte that something is known about, as sorted ranges; neighbours of one value are joined. Lookups and changes
/// cost O(log n).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeMap<T> {
    // Start of a range -> (end, value). Ranges never overlap and never touch with the same value.
    ranges: BTreeMap<u64, (u64, T)>,
}

impl<T> Default for RangeMap<T> {
    fn default() -> Self {
        RangeMap { ranges: BTreeMap::new() }
    }
}

impl<T: Copy + PartialEq> RangeMap<T> {
    /// A map that says nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ranges in the map.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// True if the map says nothing.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The range that covers `offset`, and its value.
    pub fn get(&self, offset: u64) -> Option<(Range<u64>, T)> {
        let (&start, &(end, value)) = self.ranges.range(..=offset).next_back()?;
        (offset < end).then_some((start..end, value))
    }

    /// The first range that ends after `offset`.
    pub fn next_from(&self, offset: u64) -> Option<(Range<u64>, T)> {
        self.get(offset).or_else(|| {
            let (&start, &(end, value)) = self.ranges.range((Bound::Excluded(offset), Bound::Unbounded)).next()?;
            Some((start..end, value))
        })
    }

    /// The last range that begins before `offset`.
    pub fn last_before(&self, offset: u64) -> Option<(Range<u64>, T)> {
        let (&start, &(end, value)) = self.ranges.range(..offset).next_back()?;
        Some((start..end, value))
    }

    /// Says `value` of `range`, over whatever the map said before.
    pub fn set(&mut self, range: Range<u64>, value: T) {
        let Range { mut start, mut end } = range;
        if start >= end {
            return;
        }
        self.clear(start..end);
        if let Some((&s, &(e, before))) = self.ranges.range(..start).next_back()
            && e == start
            && before == value
        {
            start = s;
        }
        if let Some(&(e, after)) = self.ranges.get(&end)
            && after == value
        {
            self.ranges.remove(&end);
            end = e;
        }
        self.ranges.insert(start, (end, value));
    }

    /// Forgets everything about `range`.
    pub fn clear(&mut self, range: Range<u64>) {
        let Range { start, end } = range;
        if start >= end {
            return;
        }
        if let Some((&s, &(e, value))) = self.ranges.range(..start).next_back()
            && e > start
        {
            self.ranges.insert(s, (start, value));
            if e > end {
                self.ranges.insert(end, (e, value));
            }
        }
        while let Some((&s, &(e, value))) = self.ranges.range(start..end).next() {
            self.ranges.remove(&s);
            if e > end {
                self.ranges.insert(end, (e, value));
            }
        }
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Range<u64>, T)> + '_ {
        self.ranges.iter().map(|(&start, &(end, value))| (start..end, value))
    }

    /// The parts of the ranges inside `range`, ascending.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, T)> + '_ {
        let Range { start, end } = range;
        let first = self.get(start).map_or(start, |(r, _)| r.start);
        self.ranges
            .range(first..end.max(first))
            .map(move |(&s, &(e, value))| (s.max(start)..e.min(end), value))
            .filter(|(r, _)| r.start < r.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_an_array(ops in proptest::collection::vec((0u64..200, 0u64..60, 0u8..6), 0..60)) {
            let mut map = RangeMap::new();
            let mut model = [None; 300];
            for (offset, len, value) in ops {
                let value = (value < 5).then_some(value);
                match value {
                    Some(value) => map.set(offset..offset + len, value),
                    None => map.clear(offset..offset + len),
                }
                for slot in &mut model[offset as usize..(offset + len) as usize] {
                    *slot = value;
                }
            }
            for (i, slot) in model.iter().enumerate() {
                let i = i as u64;
                prop_assert_eq!(map.get(i).map(|e| e.1), *slot);
                let next = (i..300).find(|j| model[*j as usize].is_some());
                prop_assert_eq!(map.next_from(i).map(|(r, _)| r.start.max(i)), next);
                let last = (0..i).rev().find(|j| model[*j as usize].is_some());
                prop_assert_eq!(map.last_before(i).map(|(r, _)| r.end.min(i) - 1), last);
            }
            let all: Vec<_> = map.iter().collect();
            for pair in all.windows(2) {
                let ((a, x), (b, y)) = (&pair[0], &pair[1]);
                prop_assert!(a.end < b.start || (a.end == b.start && x != y));
            }
            let inside: u64 = map.within(50..150).map(|(r, _)| r.end - r.start).sum();
            prop_assert_eq!(inside, model[50..150].iter().filter(|s| s.is_some()).count() as u64);
        }
    }
}
