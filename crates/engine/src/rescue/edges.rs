//! Finding where failing begins and ends, with as few failures as it takes.

use super::Status;
use super::passes::{Pass, Rescue};
use std::ops::Range;
use tintype_core::Result;

/// Shorter failed reads are left to the sweep, which knows better when it is their turn.
const WORTH_A_FAILURE: u64 = 256 << 10;

impl Rescue<'_> {
    /// Reads forwards from the start of `hole` in reads of `size` until one fails; returns the start of that one, or the end.
    pub(super) fn forward(&mut self, hole: Range<u64>, size: u64) -> Result<u64> {
        let mut at = hole.start;
        while at < hole.end {
            let end = self.aligned_end(at, size, hole.end);
            if !self.attempt(at..end)? {
                return Ok(self.ledger.next(Status::Finished, at).filter(|r| r.start <= at).map_or(at, |r| r.end));
            }
            at = end;
        }
        Ok(at)
    }

    /// Reads backwards from the end of `hole` in reads of `size` until one fails; returns the end of that one, or the start.
    pub(super) fn backward(&mut self, hole: Range<u64>, size: u64) -> Result<u64> {
        let mut at = hole.end;
        while at > hole.start {
            let start = ((at - 1) / size * size).max(hole.start);
            if !self.attempt(start..at)? {
                return Ok(at);
            }
            at = start;
        }
        Ok(at)
    }

    /// Reads backwards from the end of `hole` to the unit that fails; returns the end of that one, or the start.
    ///
    /// Sector by sector all the way, for one failure; or unit by unit, which leaves one more for the unit's own sectors; or in longer
    /// reads at first, for yet another: what is cheapest.
    pub(super) fn find_end(&mut self, hole: Range<u64>) -> Result<u64> {
        let (sector, unit) = (self.plan.sector, self.plan.unit);
        let len = (hole.end - hole.start) as f64;
        let failure = self.costs.reads_per_failure();
        let sectors = len / sector as f64 + failure;
        let units = len / unit as f64 + 2.0 * failure;
        let long = (len / unit as f64).sqrt().clamp(1.0, (self.plan.longest / unit) as f64);
        let reads = len / unit as f64 / long + long + 3.0 * failure;
        if sectors <= units.min(reads) {
            return self.backward(hole, sector);
        }
        if units <= reads {
            return self.backward(hole, unit);
        }
        let size = (long as u64).next_power_of_two() * unit;
        let end = self.backward(hole.clone(), size)?;
        if end == hole.start {
            return Ok(end);
        }
        let start = ((end - 1) / size * size).max(hole.start);
        self.backward(start..end, unit)
    }

    /// Reads forwards into a failed read to the unit that fails; returns its start, or the end.
    pub(super) fn find_start(&mut self, failed: Range<u64>) -> Result<u64> {
        if failed.end - failed.start <= self.plan.unit {
            return Ok(failed.start);
        }
        self.forward(failed, self.plan.unit)
    }

    /// The same to the sector where errors stand alone: a unit that failed would only fail once more for its sectors.
    fn find_alone(&mut self, failed: Range<u64>) -> Result<u64> {
        let sectors = (failed.end - failed.start) as f64 / 2.0 / self.plan.sector as f64;
        if self.stand_alone() && sectors < self.costs.reads_per_failure() {
            self.forward(failed, self.plan.sector)
        } else {
            self.find_start(failed)
        }
    }

    /// The exact start of what begins to fail in the unit at `start`: one failure more.
    pub(super) fn refine_start(&mut self, start: u64) -> Result<u64> {
        match self.ledger.at(start.min(self.ledger.len() - 1)) {
            (unit, fate) if fate.status() == Status::NonScraped && unit.start == start && self.ledger.holds(start) => {
                let unit = start..self.aligned_end(start, self.plan.unit, unit.end);
                self.forward(unit, self.plan.sector)
            }
            _ => Ok(start),
        }
    }

    /// The exact end of what fails in the unit that ends at `end`: one failure more.
    pub(super) fn refine_end(&mut self, end: u64) -> Result<u64> {
        let last = end.max(1) - 1;
        match self.ledger.at(last) {
            (unit, fate) if fate.status() == Status::NonScraped && unit.end == end && self.ledger.holds(last) => {
                let start = ((end - 1) / self.plan.unit * self.plan.unit).max(unit.start);
                self.backward(start..end, self.plan.sector)
            }
            _ => Ok(end),
        }
    }

    /// Failed reads longer than a unit, from the ends that touch good data.
    pub(super) fn trim(&mut self) -> Result<()> {
        let mut at = 0;
        while let Some(failed) = self.ledger.next(Status::NonTrimmed, at) {
            at = failed.end;
            if failed.end - failed.start < WORTH_A_FAILURE && self.plan.passes.contains(&Pass::Sweep) {
                continue;
            }
            let mut rest = failed.clone();
            if self.good_before(rest.start) {
                rest.start = self.find_alone(rest.clone())?;
                if rest.start < rest.end {
                    // Behind what failed alone.
                    rest.start = self.ledger.at(rest.start).0.end.min(rest.end);
                }
            }
            if rest.start < rest.end && self.good_after(rest.end) {
                self.find_end(rest)?;
            }
        }
        Ok(())
    }
}
