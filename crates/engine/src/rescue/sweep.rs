//! Everything beside good data, unit by unit, as far ahead after a failure as pays.

use super::passes::Rescue;
use tintype_core::Result;

/// A jump that comes down on good data more often than this is long enough.
const LONG_ENOUGH: f64 = 0.4;

impl Rescue<'_> {
    pub(super) fn sweep(&mut self) -> Result<()> {
        let mut at = 0;
        while let Some(hole) = self.next_open(at) {
            at = hole.end;
            if self.good_before(hole.start) {
                self.sweep_hole(hole.start, hole.end)?;
            } else if self.landings[0].share() > LONG_ENOUGH {
                // What follows a failure is mostly good here.
                if let Some(at) = self.land(hole.start, hole.end)? {
                    self.sweep_hole(at, hole.end)?;
                }
            } else if self.good_after(hole.end) {
                self.find_end(hole)?;
            }
        }
        Ok(())
    }

    /// A hole from `at` on, where good data ends.
    fn sweep_hole(&mut self, mut at: u64, limit: u64) -> Result<()> {
        let unit = self.plan.unit;
        while at < limit {
            let size = self.sweep_size();
            let mut end = self.aligned_end(at, size, limit);
            if self.attempt(at..end)? {
                self.swept += end - at;
                at = end;
                continue;
            }
            if end - at > unit {
                let failed = self.forward(at..end, unit)?;
                self.swept += failed - at;
                end = self.aligned_end(failed, unit, limit);
            }
            self.sweep_hits += 1;
            at = match self.land(end, limit)? {
                Some(at) => at,
                None => return Ok(()),
            };
        }
        Ok(())
    }

    /// As long as makes the good reads between two failures cost as much as a failure.
    fn sweep_size(&self) -> u64 {
        let run = self.swept / self.sweep_hits.max(1);
        let size = (run as f64 / self.costs.reads_per_failure()) as u64;
        1 << size.clamp(self.plan.unit, self.plan.longest).ilog2()
    }

    /// Finds good data after a failure that ended at `end`; returns where to go on, or nothing when the hole was left.
    fn land(&mut self, mut end: u64, limit: u64) -> Result<Option<u64>> {
        let unit = self.plan.unit;
        let mut least = 0;
        loop {
            let step = self.step(least, (limit - end) / unit);
            let ahead = if step == 0 { 0 } else { unit << (step - 1) };
            let landing = end.saturating_add(ahead);
            if landing >= limit {
                if end < limit && self.good_after(limit) {
                    self.find_end(end..limit)?;
                }
                return Ok(None);
            }
            let behind = self.aligned_end(landing, unit, limit);
            let good = self.attempt(landing..behind)?;
            self.landings[step].count(good);
            if good {
                if landing > end {
                    self.find_end(end..landing)?;
                }
                self.swept += behind - landing;
                return Ok(Some(behind));
            }
            end = behind;
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
