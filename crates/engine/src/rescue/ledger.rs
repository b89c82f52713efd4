//! What a rescue knows about every byte of the drive.

use super::fate::Fate;
use crate::map::Domain;
use std::ops::Range;
use tintype_core::RangeMap;
use tintype_core::mapfile::Status;

/// A fate for every byte, and which bytes are meant. Changes and lookups cost O(log n).
///
/// What asks by status, [`Ledger::next`], [`Ledger::last`], [`Ledger::all`] and [`Ledger::total`], is answered for the domain only: what
/// lies outside is neither looked for nor counted, and stays as it is.
pub struct Ledger {
    len: u64,
    fates: RangeMap<Fate>,
    domain: Domain,
    // The domain by status, so that the next range of one is found without passing all others.
    by_status: [RangeMap<()>; Status::ALL.len()],
    totals: [u64; Status::ALL.len()],
}

impl Ledger {
    /// A ledger of `len` bytes, none of them tried, all of them meant.
    pub fn new(len: u64) -> Self {
        Ledger::of(len, RangeMap::new())
    }

    /// A ledger of `len` bytes, all of them meant, that knows `fates`; what these do not name was not tried. Costs O(n).
    pub(super) fn of(len: u64, mut fates: RangeMap<Fate>) -> Self {
        fates.clear(len..u64::MAX);
        let mut gaps = Vec::new();
        let mut at = 0;
        for (range, _) in fates.iter() {
            if at < range.start {
                gaps.push(at..range.start);
            }
            at = range.end;
        }
        gaps.push(at..len);
        for gap in gaps {
            fates.set(gap, Fate::new(Status::NonTried, 0));
        }
        let domain = Domain::of(std::iter::once(0..len));
        let mut ledger = Ledger { len, fates, domain, by_status: Default::default(), totals: Default::default() };
        ledger.count();
        ledger
    }

    /// Means only what `domain` does, from now on. Costs O(n).
    ///
    /// Drives are read in whole sectors: a domain for them is made of such, see [`Domain::in_units`].
    pub fn restrict(&mut self, domain: &Domain) {
        self.domain = domain.up_to(self.len);
        self.count();
    }

    /// Which bytes are meant.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    fn count(&mut self) {
        self.by_status = Default::default();
        self.totals = Default::default();
        for range in self.domain.within(0..self.len) {
            for (part, fate) in self.fates.within(range) {
                self.totals[fate.status() as usize] += part.end - part.start;
                self.by_status[fate.status() as usize].set(part, ());
            }
        }
    }

    /// Bytes in all, meant or not.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if there is not one byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that are meant.
    pub fn meant(&self) -> u64 {
        self.totals.iter().sum()
    }

    /// Bytes in a status.
    pub fn total(&self, status: Status) -> u64 {
        self.totals[status as usize]
    }

    /// Ranges in a status.
    pub fn areas(&self, status: Status) -> usize {
        self.by_status[status as usize].len()
    }

    /// Ranges in the ledger, meant or not.
    pub fn fragments(&self) -> usize {
        self.fates.len()
    }

    /// What is known of the byte at `offset < len()`.
    pub fn fate(&self, offset: u64) -> Fate {
        self.fates.get(offset).expect("every byte has a fate").1
    }

    /// The range around `offset < len()` with one status that was tried as often, whatever it came to in detail, as far as it lies inside the
    /// domain if `offset` does; and what is known of the byte at `offset`. Costs O(k log n) where k ranges differ in detail.
    pub fn at(&self, offset: u64) -> (Range<u64>, Fate) {
        let (mut range, fate) = self.fates.get(offset).expect("every byte has a fate");
        if fate.status() == Status::Finished
            && let Some((meant, ())) = self.by_status[Status::Finished as usize].get(offset)
        {
            return (meant, fate);
        }
        let alike = |at: u64| {
            let (range, other) = self.fates.get(at)?;
            ((other.status(), other.tries()) == (fate.status(), fate.tries())).then_some(range)
        };
        while let Some(before) = range.start.checked_sub(1).and_then(alike) {
            range.start = before.start;
        }
        while let Some(after) = alike(range.end) {
            range.end = after.end;
        }
        match self.domain.around(offset) {
            Some(meant) => (range.start.max(meant.start)..range.end.min(meant.end), fate),
            None => (range, fate),
        }
    }

    /// The status of the byte at `offset`, meant or not; `None` beyond the end.
    pub fn status(&self, offset: u64) -> Option<Status> {
        self.fates.get(offset).map(|(_, fate)| fate.status())
    }

    /// True if `offset` is a byte that is meant.
    pub fn holds(&self, offset: u64) -> bool {
        self.domain.holds(offset)
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

    /// Ranges in any of these statuses, ascending; neighbours are apart only where their statuses differ.
    pub fn ranges(&self, statuses: &[Status]) -> Vec<Range<u64>> {
        let mut all: Vec<_> = statuses.iter().flat_map(|status| self.all(*status)).collect();
        all.sort_by_key(|range| range.start);
        all
    }

    /// Gives a range a fate, whether it is meant or not.
    pub fn set(&mut self, range: Range<u64>, fate: Fate) {
        if range.is_empty() {
            return;
        }
        for meant in self.domain.within(range.clone()) {
            for (part, old) in self.fates.within(meant.clone()) {
                self.totals[old.status() as usize] -= part.end - part.start;
                self.by_status[old.status() as usize].clear(part);
            }
            self.totals[fate.status() as usize] += meant.end - meant.start;
            self.by_status[fate.status() as usize].set(meant, ());
        }
        self.fates.set(range, fate);
    }

    /// The fates of all bytes, meant or not.
    pub(super) fn fates(&self) -> &RangeMap<Fate> {
        &self.fates
    }

    /// All ranges, meant or not, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Range<u64>, Fate)> + '_ {
        self.fates.iter()
    }

    /// The ranges inside `range`, meant or not, ascending.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, Fate)> + '_ {
        self.fates.within(range)
    }

    /// The ranges that are meant, ascending; where the domain is cut, so are they.
    pub fn pieces(&self) -> impl Iterator<Item = (Range<u64>, Fate)> + '_ {
        self.domain.within(0..self.len).flat_map(|range| self.fates.within(range))
    }
}
