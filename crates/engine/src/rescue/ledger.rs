//! What a rescue knows about every byte of the drive.

use std::ops::Range;
use tintype_core::RangeMap;
use tintype_core::mapfile::Status;

/// What is known about a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// How far it has come.
    pub status: Status,
    /// Reads of exactly this range, or of what it is a part of, that failed; 255 stands for all above.
    pub tries: u8,
}

/// A fate for every byte. Changes and lookups cost O(log n).
pub struct Ledger {
    len: u64,
    fates: RangeMap<Fate>,
    // The same by status, so that the next range of one is found without passing all others.
    by_status: [RangeMap<()>; Status::ALL.len()],
    totals: [u64; Status::ALL.len()],
}

impl Ledger {
    /// A ledger of `len` bytes, none of them tried.
    pub fn new(len: u64) -> Self {
        let mut ledger =
            Ledger { len, fates: RangeMap::new(), by_status: Default::default(), totals: [0; Status::ALL.len()] };
        let fate = Fate { status: Status::NonTried, tries: 0 };
        ledger.fates.set(0..len, fate);
        ledger.by_status[0].set(0..len, ());
        ledger.totals[0] = len;
        ledger
    }

    /// The same once more.
    pub(super) fn copy(&self) -> Self {
        Ledger { len: self.len, fates: self.fates.clone(), by_status: self.by_status.clone(), totals: self.totals }
    }

    /// Bytes in all.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if there is not one byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes in a status.
    pub fn total(&self, status: Status) -> u64 {
        self.totals[status as usize]
    }

    /// Ranges in the ledger.
    pub fn fragments(&self) -> usize {
        self.fates.len()
    }

    /// The range around `offset < len()` with one fate.
    pub fn at(&self, offset: u64) -> (Range<u64>, Fate) {
        self.fates.get(offset).expect("every byte has a fate")
    }

    /// The status of the byte at `offset`; `None` outside.
    pub fn status(&self, offset: u64) -> Option<Status> {
        self.fates.get(offset).map(|(_, fate)| fate.status)
    }

    /// The first range in `status` that ends after `offset`; it may begin before.
    pub fn next(&self, status: Status, offset: u64) -> Option<Range<u64>> {
        self.by_status[status as usize].next_from(offset).map(|(range, ())| range)
    }

    /// The last range in `status` that begins before `offset`.
    pub fn last(&self, status: Status, offset: u64) -> Option<Range<u64>> {
        self.by_status[status as usize].last_before(offset).map(|(range, ())| range)
    }

    /// All ranges in `status`, ascending.
    pub fn all(&self, status: Status) -> Vec<Range<u64>> {
        self.by_status[status as usize].iter().map(|(range, ())| range).collect()
    }

    /// Gives a range a fate.
    pub fn set(&mut self, range: Range<u64>, fate: Fate) {
        if range.is_empty() {
            return;
        }
        let before: Vec<_> = self.fates.within(range.clone()).collect();
        for (part, old) in before {
            self.totals[old.status as usize] -= part.end - part.start;
            self.by_status[old.status as usize].clear(part);
        }
        self.totals[fate.status as usize] += range.end - range.start;
        self.by_status[fate.status as usize].set(range.clone(), ());
        self.fates.set(range, fate);
    }

    /// All ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Range<u64>, Fate)> + '_ {
        self.fates.iter()
    }

    /// The ranges inside `range`, ascending.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, Fate)> + '_ {
        self.fates.within(range)
    }
}
