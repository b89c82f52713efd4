//! Everything beside good data, unit by unit, as far ahead after a failure as pays: first where a failure is followed by much that is
//! good, then where it is followed by less.

use super::passes::Rescue;
use super::{Fate, Status};
use std::ops::Range;
use tintype_core::Result;

/// A jump that comes down on good data more often than this is long enough.
const LONG_ENOUGH: f64 = 0.4;

/// Rounds: a side of a hole is left as long as failures bring fewer bytes than this.
const ROUNDS: [u64; 8] = [4 << 20, 2 << 20, 1 << 20, 512 << 10, 256 << 10, 128 << 10, 64 << 10, 0];

/// Failures in a row that are borne before a side is left.
const PATIENCE: u64 = 2;

/// Which way a hole is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// What a side of a hole has brought lately, in bytes, less what its failures had to bring.
#[derive(Clone, Copy)]
struct Credit {
    threshold: u64,
    left: u64,
}

impl Credit {
    fn new(threshold: u64) -> Self {
        Credit { threshold, left: threshold * PATIENCE }
    }

    fn good(&mut self, bytes: u64) {
        self.left = (self.left + bytes).min(self.threshold * PATIENCE);
    }

    /// False if the side is to be left for now.
    fn failed(&mut self) -> bool {
        self.left = self.left.saturating_sub(self.threshold);
        self.threshold == 0 || self.left > 0
    }
}

impl Rescue<'_> {
    pub(super) fn sweep(&mut self) -> Result<()> {
        if self.stand_alone() {
            for failed in self.ledger.all(Status::NonTrimmed) {
                self.single(failed)?;
            }
        }
        let mut holes = Vec::new();
        let mut at = 0;
        while let Some(hole) = self.next_open(at) {
            at = hole.end;
            holes.push(hole);
        }
        for threshold in ROUNDS {
            for hole in &mut holes {
                for way in [Way::Up, Way::Down] {
                    if !hole.is_empty() {
                        *hole = self.sweep_side(hole.clone(), way, threshold)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Looks for an error that stands alone in a read that failed, sector by sector: a unit that failed would only fail once more for
    /// its sectors.
    fn single(&mut self, failed: Range<u64>) -> Result<()> {
        let sector = self.plan.sector;
        let (_, fate) = self.ledger.at(failed.start);
        let reads = (failed.end - failed.start) as f64 / 2.0 / sector as f64;
        if fate.tries() == 0 || reads > self.costs.reads_per_failure() {
            return Ok(());
        }
        let last = failed.end.saturating_sub(sector).max(failed.start);
        let at = self.forward(failed.start..last, sector)?;
        if at == last {
            // All the others were read, so that this is the one. It may wait until failures bring no more elsewhere.
            return self
                .mark(last..failed.end, Fate::new(Status::NonScraped, fate.tries()).after(fate.took(), fate.cause()));
        }
        self.forward(at + sector..failed.end, self.plan.longest)?;
        Ok(())
    }

    /// Walks into a hole from one side; returns what is left of it.
    fn sweep_side(&mut self, hole: Range<u64>, way: Way, threshold: u64) -> Result<Range<u64>> {
        let good = match way {
            Way::Up => self.good_before(hole.start),
            Way::Down => self.good_after(hole.end),
        };
        // What follows a failure is mostly good here, or it is left alone.
        if !good && self.landings[0].share() <= LONG_ENOUGH {
            return Ok(hole);
        }
        let mut walk = Walk { hole, way, credit: Credit::new(threshold) };
        if good || self.land(&mut walk)? {
            self.walk(&mut walk)?;
        }
        Ok(walk.hole)
    }

    /// On from where good data ends, until the hole ends or is left.
    fn walk(&mut self, walk: &mut Walk) -> Result<()> {
        let unit = self.plan.unit;
        while !walk.hole.is_empty() {
            let piece = walk.next(self.sweep_size(), self.plan.sector);
            let len = piece.end - piece.start;
            if self.attempt(piece.clone())? {
                self.swept += len;
                walk.good(&piece);
                continue;
            }
            let mut failed = piece.clone();
            if len > unit {
                failed = match walk.way {
                    Way::Up => {
                        let at = self.forward(piece.clone(), unit)?;
                        at..self.aligned_end(at, unit, piece.end)
                    }
                    Way::Down => {
                        let at = self.backward(piece.clone(), unit)?;
                        (at.saturating_sub(1) / unit * unit).max(piece.start)..at
                    }
                };
                self.swept += len - (failed.end - failed.start);
            }
            self.sweep_hits += 1;
            if !walk.failed(&failed) || !self.land(walk)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// As long as makes the good reads between two failures cost as much as a failure.
    fn sweep_size(&self) -> u64 {
        let run = self.swept / self.sweep_hits.max(1);
        let size = (run as f64 / self.costs.reads_per_failure()) as u64;
        1 << size.clamp(self.plan.unit, self.plan.longest).ilog2()
    }

    /// Finds good data after a failure; false when the hole is left.
    fn land(&mut self, walk: &mut Walk) -> Result<bool> {
        let unit = self.plan.unit;
        let mut least = 0;
        loop {
            let len = walk.hole.end - walk.hole.start;
            let step = self.step(least, len / unit);
            let ahead = if step == 0 { 0 } else { unit << (step - 1) };
            if ahead >= len {
                let rest = walk.hole.clone();
                match walk.way {
                    Way::Up if !rest.is_empty() && self.good_after(rest.end) => {
                        self.find_end(rest)?;
                    }
                    Way::Down if !rest.is_empty() && self.good_before(rest.start) => {
                        self.forward(rest, unit)?;
                    }
                    _ => {}
                }
                walk.hole.end = walk.hole.start;
                return Ok(false);
            }
            let mut beyond = walk.clone();
            beyond.skip(ahead);
            let piece = beyond.next(unit, self.plan.sector);
            let good = self.attempt(piece.clone())?;
            self.landings[step].count(good);
            if good {
                let gap = walk.before(&piece);
                if !gap.is_empty() {
                    match walk.way {
                        Way::Up => self.find_end(gap)?,
                        Way::Down => self.forward(gap, unit)?,
                    };
                }
                self.swept += piece.end - piece.start;
                walk.good(&piece);
                return Ok(true);
            }
            if !walk.failed(&piece) {
                return Ok(false);
            }
            least = (step + 1).min(self.landings.len() - 1);
        }
    }

    /// The shortest jump that is long enough, by what jumps came to before: 0 for none, n for 2^(n-1) units.
    fn step(&self, least: usize, units: u64) -> usize {
        let most = (units.max(1).ilog2() as usize + 2).min(self.landings.len() - 1);
        let least = least.min(most);
        (least..=most).find(|i| self.landings[*i].share() >= LONG_ENOUGH).unwrap_or_else(|| {
            let share = |i: &usize| self.landings[*i].share();
            (least..=most).max_by(|a, b| share(a).total_cmp(&share(b))).unwrap_or(least)
        })
    }
}

/// A walk into a hole.
#[derive(Clone)]
struct Walk {
    /// What is left of it.
    hole: Range<u64>,
    way: Way,
    credit: Credit,
}

impl Walk {
    /// The next piece: about `len` bytes, to a multiple of it.
    fn next(&self, len: u64, sector: u64) -> Range<u64> {
        let len = len.max(sector);
        let Range { start, end } = self.hole;
        match self.way {
            Way::Up => start..((start / len + 1) * len).min(end),
            Way::Down => ((end - 1) / len * len).max(start)..end,
        }
    }

    /// Passes over some bytes of the hole.
    fn skip(&mut self, bytes: u64) {
        match self.way {
            Way::Up => self.hole.start += bytes,
            Way::Down => self.hole.end -= bytes,
        }
    }

    /// What lies between where the walk stands and a piece ahead.
    fn before(&self, piece: &Range<u64>) -> Range<u64> {
        match self.way {
            Way::Up => self.hole.start..piece.start,
            Way::Down => piece.end..self.hole.end,
        }
    }

    fn pass(&mut self, piece: &Range<u64>) {
        match self.way {
            Way::Up => self.hole.start = piece.end,
            Way::Down => self.hole.end = piece.start,
        }
    }

    fn good(&mut self, piece: &Range<u64>) {
        self.credit.good(piece.end - piece.start);
        self.pass(piece);
    }

    /// False if the hole is to be left for now.
    fn failed(&mut self, piece: &Range<u64>) -> bool {
        self.pass(piece);
        self.credit.failed()
    }
}
