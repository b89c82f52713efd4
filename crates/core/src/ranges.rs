//! Values of ranges: what every map of a disk is made of.

use std::collections::BTreeMap;
use std::ops::Range;

/// Most ranges that lie in one piece of memory. Tests make it small, so that few ranges are many pieces.
const CHUNK: usize = if cfg!(test) { 4 } else { 256 };

/// A value for every byte that something is known about, as sorted ranges; neighbours of one value are joined. Lookups and changes
/// cost O(log n). A range takes 16 bytes and its value, as long as ranges are set in ascending order, at most about twice that
/// otherwise.
#[derive(Clone, Debug)]
pub struct RangeMap<T> {
    // By the start of their first range; none is empty. Ranges never overlap and never touch with the same value.
    chunks: BTreeMap<u64, Chunk<T>>,
    len: usize,
}

/// Ranges that follow on each other.
#[derive(Clone, Debug)]
struct Chunk<T> {
    // Start and end.
    bounds: Vec<(u64, u64)>,
    values: Vec<T>,
}

impl<T: Copy> Chunk<T> {
    fn of(bounds: (u64, u64), value: T) -> Self {
        Chunk { bounds: vec![bounds], values: vec![value] }
    }

    fn len(&self) -> usize {
        self.bounds.len()
    }

    fn first(&self) -> u64 {
        self.bounds[0].0
    }

    fn get(&self, i: usize) -> (Range<u64>, T) {
        (self.bounds[i].0..self.bounds[i].1, self.values[i])
    }

    fn insert(&mut self, i: usize, bounds: (u64, u64), value: T) {
        self.bounds.insert(i, bounds);
        self.values.insert(i, value);
    }

    /// How many of its ranges begin before `offset`.
    fn before(&self, offset: u64) -> usize {
        self.bounds.partition_point(|b| b.0 < offset)
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = (Range<u64>, T)> + '_ {
        self.bounds.iter().zip(&self.values).map(|(b, value)| (b.0..b.1, *value))
    }

    /// The parts of its ranges inside `range`.
    fn within(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, T)> + '_ {
        let Range { start, end } = range;
        let from = self.bounds.partition_point(|b| b.1 <= start);
        let to = self.before(end).max(from);
        self.bounds[from..to].iter().zip(&self.values[from..to]).map(move |(b, v)| (b.0.max(start)..b.1.min(end), *v))
    }
}

impl<T> Default for RangeMap<T> {
    fn default() -> Self {
        RangeMap { chunks: BTreeMap::new(), len: 0 }
    }
}

impl<T: Copy + PartialEq> PartialEq for RangeMap<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<T: Copy + Eq> Eq for RangeMap<T> {}

impl<T: Copy + PartialEq> RangeMap<T> {
    /// A map that says nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ranges in the map.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if the map says nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The range that covers `offset`, and its value.
    pub fn get(&self, offset: u64) -> Option<(Range<u64>, T)> {
        let (_, chunk) = self.chunks.range(..=offset).next_back()?;
        let i = chunk.bounds.partition_point(|b| b.0 <= offset) - 1;
        (offset < chunk.bounds[i].1).then(|| chunk.get(i))
    }

    /// The first range that ends after `offset`.
    pub fn next_from(&self, offset: u64) -> Option<(Range<u64>, T)> {
        if let Some((_, chunk)) = self.chunks.range(..=offset).next_back() {
            let i = chunk.bounds.partition_point(|b| b.1 <= offset);
            if i < chunk.len() {
                return Some(chunk.get(i));
            }
        }
        let after = offset.checked_add(1)?;
        self.chunks.range(after..).next().map(|(_, chunk)| chunk.get(0))
    }

    /// The last range that begins before `offset`.
    pub fn last_before(&self, offset: u64) -> Option<(Range<u64>, T)> {
        let (_, chunk) = self.chunks.range(..offset).next_back()?;
        Some(chunk.get(chunk.before(offset) - 1))
    }

    /// Says `value` of `range`, over whatever the map said before.
    pub fn set(&mut self, range: Range<u64>, value: T) {
        let Range { start, end } = range;
        if start >= end {
            return;
        }
        if self.append(start..end, value) {
            return;
        }
        if self.get(start).is_some_and(|(there, before)| end <= there.end && before == value) {
            return;
        }
        self.clear(start..end);
        let end = match self.get(end) {
            Some((after, v)) if after.start == end && v == value => {
                self.clear(after.clone());
                after.end
            }
            _ => end,
        };
        if let Some((_, chunk)) = self.chunks.range_mut(..start).next_back() {
            let i = chunk.before(start) - 1;
            if chunk.bounds[i].1 == start && chunk.values[i] == value {
                chunk.bounds[i].1 = end;
                return;
            }
        }
        self.insert((start, end), value);
    }

    /// Adds a range behind all others, which is how most maps are made; false if it does not lie there.
    fn append(&mut self, range: Range<u64>, value: T) -> bool {
        let Some(mut entry) = self.chunks.last_entry() else { return false };
        let chunk = entry.get_mut();
        let last = chunk.len() - 1;
        if chunk.bounds[last].1 > range.start {
            return false;
        }
        if chunk.bounds[last].1 == range.start && chunk.values[last] == value {
            chunk.bounds[last].1 = range.end;
            return true;
        }
        self.len += 1;
        if last + 1 < CHUNK {
            chunk.bounds.push((range.start, range.end));
            chunk.values.push(value);
        } else {
            self.chunks.insert(range.start, Chunk::of((range.start, range.end), value));
        }
        true
    }

    /// Forgets everything about `range`.
    pub fn clear(&mut self, range: Range<u64>) {
        let Range { start, end } = range;
        if start >= end {
            return;
        }
        if let Some((_, chunk)) = self.chunks.range_mut(..start).next_back() {
            let i = chunk.before(start) - 1;
            let (reaches, value) = (chunk.bounds[i].1, chunk.values[i]);
            if reaches > start {
                chunk.bounds[i].1 = start;
            }
            if reaches > end {
                self.insert((end, reaches), value);
                return;
            }
        }
        let mut from = self.chunks.range(..=start).next_back().map_or(start, |(key, _)| *key);
        while let Some((&key, chunk)) = self.chunks.range_mut(from..end).next() {
            from = key + 1;
            let (first, mut last) = (chunk.before(start), chunk.before(end));
            if first == last {
                continue;
            }
            if chunk.bounds[last - 1].1 > end {
                last -= 1;
                chunk.bounds[last].0 = end;
            }
            chunk.bounds.drain(first..last);
            chunk.values.drain(first..last);
            self.len -= last - first;
            if first == 0
                && let Some(chunk) = self.chunks.remove(&key)
                && chunk.len() > 0
            {
                self.chunks.insert(chunk.first(), chunk);
            }
        }
        self.gather(start);
    }

    /// Adds a range that touches no other of its value.
    fn insert(&mut self, bounds: (u64, u64), value: T) {
        self.len += 1;
        if let Some((_, chunk)) = self.chunks.range_mut(..bounds.0).next_back() {
            let i = chunk.before(bounds.0);
            if chunk.len() < CHUNK {
                chunk.insert(i, bounds, value);
                return;
            }
            // What is set in ascending order leaves full chunks behind.
            if i < CHUNK {
                let half = CHUNK / 2;
                let mut upper = Chunk { bounds: chunk.bounds.split_off(half), values: chunk.values.split_off(half) };
                match i <= half {
                    true => chunk.insert(i, bounds, value),
                    false => upper.insert(i - half, bounds, value),
                }
                self.chunks.insert(upper.first(), upper);
                return;
            }
        } else if let Some(mut entry) = self.chunks.first_entry()
            && entry.get().len() < CHUNK
        {
            entry.get_mut().insert(0, bounds, value);
            let chunk = entry.remove();
            self.chunks.insert(bounds.0, chunk);
            return;
        }
        self.chunks.insert(bounds.0, Chunk::of(bounds, value));
    }

    /// Joins the chunk around `offset` with the one behind it where both have become small.
    fn gather(&mut self, offset: u64) {
        let Some((&key, chunk)) = self.chunks.range(..=offset).next_back() else { return };
        let len = chunk.len();
        if len >= CHUNK / 4 {
            return;
        }
        let Some((&next, behind)) = self.chunks.range(key + 1..).next() else { return };
        if len + behind.len() > CHUNK / 2 {
            return;
        }
        if let (Some(mut behind), Some(chunk)) = (self.chunks.remove(&next), self.chunks.get_mut(&key)) {
            chunk.bounds.append(&mut behind.bounds);
            chunk.values.append(&mut behind.values);
        }
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Range<u64>, T)> + '_ {
        self.chunks.values().flat_map(Chunk::iter)
    }

    /// The parts of the ranges inside `range`, ascending.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, T)> + '_ {
        let Range { start, end } = range;
        let first = self.chunks.range(..=start).next_back().map_or(start, |(key, _)| *key);
        self.chunks
            .range(first..end.max(first))
            .flat_map(move |(_, chunk)| chunk.within(start..end))
            .filter(|(r, _)| r.start < r.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_an_array(ops in proptest::collection::vec((0u64..240, 0u64..60, 0u8..6), 0..200)) {
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
            prop_assert_eq!(map.len(), all.len());
            prop_assert_eq!(map.iter().rev().count(), all.len());
            let mut again = RangeMap::new();
            for (range, value) in all.iter().rev() {
                again.set(range.clone(), *value);
            }
            prop_assert!(again == map);
            let inside: u64 = map.within(50..150).map(|(r, _)| r.end - r.start).sum();
            prop_assert_eq!(inside, model[50..150].iter().filter(|s| s.is_some()).count() as u64);
        }
    }
}
