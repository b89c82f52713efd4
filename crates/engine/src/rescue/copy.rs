//! The first passes: everything that reads well.

use super::Status;
use super::geometry::{Guess, Stripe};
use super::passes::{Rescue, Skip};
use std::ops::Range;
use tintype_core::Result;

/// Of what is read, failing reads may leave behind this share: the more often reads fail, the shorter they get.
const LEFT_BEHIND: f64 = 0.0008;

/// How far ahead to go after a failure.
struct Jump {
    first: u64,
    most: u64,
    next: u64,
    // Good bytes since the last failure.
    run: u64,
    // Where the failures that belong together began, and how many they are.
    chain: Option<(Range<u64>, u32)>,
}

impl Jump {
    fn new(len: u64, unit: u64, skip: Skip) -> Self {
        let first = skip.first.unwrap_or((len / 512).clamp(64 << 10, 64 << 20)).next_multiple_of(unit);
        let most = match first {
            0 => 0,
            _ => skip.most.unwrap_or(len / 100).max(first).next_multiple_of(unit),
        };
        Jump { first, most, next: first, run: 0, chain: None }
    }

    /// How far to go ahead where reading is slow.
    fn slow(&mut self) -> u64 {
        let now = self.next;
        self.next = (now * 2).min(self.most);
        now
    }

    fn good(&mut self, bytes: u64) {
        self.run += bytes;
        if self.run >= self.first {
            self.next = self.first;
            self.chain = None;
        }
    }

    fn failed(&mut self, range: &Range<u64>) -> u64 {
        self.run = 0;
        match &mut self.chain {
            Some((_, count)) => *count += 1,
            None => self.chain = Some((range.clone(), 1)),
        }
        let now = self.next;
        self.next = (now * 4).min(self.most);
        now
    }
}

impl Rescue<'_> {
    /// Where the next stripe is expected, in whole sectors.
    fn guess(&self) -> Option<Guess> {
        let sector = self.plan.sector;
        let down = |offset: u64| offset / sector * sector;
        self.geometry.next(self.plan.unit).map(|guess| Guess {
            start: down(guess.start),
            end: down(guess.end),
            margin: guess.margin.next_multiple_of(sector),
            width_margin: guess.width_margin.next_multiple_of(sector),
        })
    }

    /// How long reads should be, by how often they fail.
    fn read_size(&self) -> u64 {
        let longest = self.plan.longest;
        if self.hits == 0 {
            return longest;
        }
        let per_hit = self.ledger.total(Status::Finished) / self.hits;
        let size = (per_hit as f64 * LEFT_BEHIND) as u64;
        let size = size.clamp(self.plan.unit, longest);
        // The power of two below.
        1 << size.ilog2()
    }

    /// Forwards over everything that was not tried.
    pub(super) fn copy(&mut self) -> Result<()> {
        let mut at = 0;
        let mut jump = Jump::new(self.ledger.len(), self.plan.unit, self.plan.skip);
        let mut landed = false;
        let mut left = Vec::new();
        while let Some(hole) = self.ledger.next(Status::NonTried, at) {
            at = at.max(hole.start);
            let mut size = self.read_size();
            let mut limit = hole.end;
            let guess = self.guess();
            if let Some(guess) = guess {
                let (from, to) = (guess.start.saturating_sub(guess.margin), guess.start + guess.margin);
                if at >= to {
                    self.geometry.overdue(self.plan.unit);
                    continue;
                }
                if self.geometry.is_certain() && at == guess.start {
                    if self.skip_stripe(Stripe { start: guess.start, end: guess.end }, hole.end)? {
                        at = guess.end;
                        jump = Jump::new(self.ledger.len(), self.plan.unit, self.plan.skip);
                    } else {
                        self.geometry.forget();
                    }
                    continue;
                }
                limit = match at {
                    _ if self.geometry.is_certain() => limit.min(guess.start),
                    _ if at < from => limit.min(from),
                    _ => {
                        // Short reads: the one that fails then is the edge.
                        let reads = self.costs.reads_per_failure();
                        let fine = ((2 * guess.margin) as f64 / reads) as u64;
                        size = size.min(fine.next_power_of_two().max(self.plan.sector));
                        limit.min(to)
                    }
                };
            }
            let limit = limit.max(at + self.plan.sector).min(hole.end);
            let end = self.aligned_end(at, size, limit);
            self.drive.ahead(size, limit);
            let good = self.attempt(at..end)?;
            if good {
                let slow = self.drive.slow();
                if !slow {
                    jump.good(end - at);
                }
                if std::mem::take(&mut landed)
                    && let Some((first, count)) = jump.chain.clone()
                    && self.landed(first, count, at)?
                {
                    jump.chain = None;
                }
                at = end;
                if slow {
                    at = at.saturating_add(jump.slow()).min(hole.end);
                    left.push(end..at);
                }
                continue;
            }
            if jump.run > 0 || jump.chain.is_none() {
                self.hits += 1;
            }
            if let Some(guess) = guess.filter(|g| at + 4 * g.margin >= g.start)
                && self.after_foreseen(at..end, guess.end - guess.start, guess.width_margin, hole.end)?
            {
                at = self.ledger.next(Status::NonTried, at + 1).map_or(hole.end, |r| r.start).max(at + 1);
                at = self.geometry.last_end().unwrap_or(at).max(at);
                jump = Jump::new(self.ledger.len(), self.plan.unit, self.plan.skip);
                landed = false;
                continue;
            }
            let near = jump.chain.is_some() && jump.run < jump.first;
            if self.isolated.share() > 0.7 && jump.chain.is_some() {
                self.isolated.count(jump.run >= jump.first / 4);
            }
            if self.isolated.share() > 0.7 && !near {
                // Errors stand alone here: what comes next is good.
                jump.chain = Some((at..end, 1));
                jump.run = 0;
                at = end;
                landed = false;
                continue;
            }
            at = (end + jump.failed(&(at..end))).min(hole.end);
            landed = true;
        }
        self.read_slow(left)
    }

    /// What was left out because it is slow: forwards, until something fails.
    fn read_slow(&mut self, left: Vec<Range<u64>>) -> Result<()> {
        for gap in left {
            if let Some(hole) = self.ledger.next(Status::NonTried, gap.start) {
                let hole = hole.start.max(gap.start)..hole.end.min(gap.end);
                if !hole.is_empty() {
                    self.forward(hole, self.read_size())?;
                }
            }
        }
        Ok(())
    }

    /// A jump over the failures from `first` on has come down on good data at `at`. True if the edges of what it passed over were found.
    fn landed(&mut self, first: Range<u64>, count: u32, at: u64) -> Result<bool> {
        // Between the failures there may have been something good.
        let Some(gap) = self.ledger.last(Status::NonTried, at).filter(|gap| gap.end == at && gap.start >= first.end)
        else {
            return Ok(false);
        };
        if count == 1 {
            // Was it a single error? The first few times it is worth looking.
            if self.isolated.is_young() {
                let end = self.forward(gap.clone(), self.read_size().min(64 << 10))?;
                self.isolated.count(end == gap.end);
            }
            return Ok(false);
        }
        if self.geometry.wants_edges() {
            let end = self.find_end(gap)?;
            let start = self.find_start(first)?;
            if end > start {
                self.geometry.found(Stripe { start, end }, self.plan.unit);
            }
            if self.geometry.next(self.plan.unit).is_some() {
                // They are stripes: few edges, and all that lies beyond is good.
                for stripe in self.geometry.stripes().to_vec() {
                    self.refine_start(stripe.start)?;
                    self.refine_end(stripe.end)?;
                }
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// A stripe began at `failed`, where one was expected: finds its end. False if nothing good is there.
    fn after_foreseen(&mut self, failed: Range<u64>, width: u64, margin: u64, limit: u64) -> Result<bool> {
        let unit = self.plan.unit;
        let mut margin = margin;
        for _ in 0..3 {
            let landing = (failed.start + width + margin) / unit * unit;
            if landing + unit > limit || landing <= failed.end {
                return Ok(false);
            }
            if self.attempt(landing..landing + unit)? {
                let expected = landing.saturating_sub(2 * margin + unit).max(failed.end);
                let mut end = self.find_end(expected..landing)?;
                if end == expected {
                    end = self.find_end(failed.end..expected)?;
                }
                let end = self.refine_end(end)?;
                let start = self.find_start(failed)?;
                let start = self.refine_start(start)?;
                self.geometry.found(Stripe { start, end }, unit);
                return Ok(true);
            }
            margin *= 4;
        }
        Ok(false)
    }

    /// Passes over a stripe that is certain without one failure; false if there is nothing good behind it.
    fn skip_stripe(&mut self, stripe: Stripe, limit: u64) -> Result<bool> {
        let end = (stripe.end + self.plan.unit).min(limit);
        if stripe.end >= limit {
            return Ok(false);
        }
        let good = self.attempt(stripe.end..end)?;
        if good {
            self.geometry.found(stripe, self.plan.unit);
        }
        Ok(good)
    }

    /// Into the holes from behind, until the first failure in each.
    pub(super) fn back(&mut self) -> Result<()> {
        if self.isolated.share() > 0.5 {
            // Behind single errors it is the near ends that are good, and forwards is faster.
            return Ok(());
        }
        let mut at = self.ledger.len();
        while let Some(hole) = self.ledger.last(Status::NonTried, at) {
            at = hole.start;
            if self.good_after(hole.end) {
                self.find_end(hole)?;
            }
        }
        Ok(())
    }

    /// Once over what nothing speaks for, in long reads.
    pub(super) fn rest(&mut self) -> Result<()> {
        let mut at = 0;
        while let Some(hole) = self.ledger.next(Status::NonTried, at) {
            let start = hole.start.max(at);
            let end = self.aligned_end(start, self.plan.longest, hole.end);
            self.drive.ahead(self.plan.longest, hole.end);
            self.attempt(start..end)?;
            at = end;
        }
        Ok(())
    }
}
