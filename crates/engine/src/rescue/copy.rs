//! The first passes: everything that reads well.

use super::Status;
use super::geometry::{Guess, Stripe};
use super::passes::{Rescue, Skip};
use super::yields::Yield;
use std::ops::Range;
use tintype_core::Result;

/// Of what is read, failing reads may leave behind this share: the more often reads fail, the shorter they get.
const LEFT_BEHIND: f64 = 0.0008;

/// What follows a failure is left for later, this much of it, and twice as much for every further failure in a row: the same as
/// ddrescue leaves where nothing tells it better.
const COMPANY: u64 = 64 << 10;

/// Into holes reads are as long as what they bring divided by this: the one that fails leaves half of it behind.
const LEFT_IN_HOLES: u64 = 16;

/// What becomes of places where good reads are slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slow {
    Later,
    Now,
}

/// One slow read makes a place slow where that often went on, or ended in a failure; else it takes two in a row.
const GOES_ON: f64 = 0.6;

/// Holes between failures are looked into while that share of the looks finds something good.
const PROBE: f64 = 0.3;

/// A jump is long enough if it comes down on good data that often.
const LONG_ENOUGH: f64 = 0.4;

/// How far ahead to go after a failure.
struct Jump {
    // Good bytes that tell that a bad place is over.
    over: u64,
    // The lengths, and how often each came down behind the bad place.
    lengths: Vec<(u64, Yield)>,
    // The one that is being tried.
    tried: Option<usize>,
    // Good bytes since the last failure.
    run: u64,
    // How far to go after the next read that is slower than was asked for.
    slow: u64,
    // What is left at least after a failure where they stand alone, and what after the next one.
    least: u64,
    company: u64,
    // Where the failures that belong together began, and how many they are.
    chain: Option<(Range<u64>, u32)>,
}

fn first_jump(len: u64, unit: u64) -> u64 {
    (len / 512).clamp(64 << 10, 64 << 20).next_multiple_of(unit)
}

impl Jump {
    fn new(len: u64, unit: u64, skip: Skip) -> Self {
        let first = skip.first.unwrap_or(first_jump(len, unit)).next_multiple_of(unit);
        let most = match first {
            0 => 0,
            _ => skip.most.unwrap_or(len / 100).max(first).next_multiple_of(unit),
        };
        let lengths = std::iter::successors(Some(first), |l| (*l < most).then(|| (l * 4).min(most)));
        Jump {
            over: first.max(unit),
            slow: first,
            lengths: lengths.map(|l| (l, Yield::expecting(0.5, 2.0))).collect(),
            tried: None,
            run: 0,
            least: COMPANY.max(unit),
            company: COMPANY.max(unit),
            chain: None,
        }
    }

    /// How far to go ahead where reading is slow.
    fn slow(&mut self) -> u64 {
        let now = self.slow;
        self.slow = (now * 2).min(self.lengths.last().map_or(now, |(most, _)| *most));
        now
    }

    /// Nothing that was seen belongs to what comes next; how long jumps have to be stays known.
    fn anew(&mut self) {
        (self.tried, self.run, self.company, self.chain) = (None, 0, self.least, None);
    }

    fn good(&mut self, bytes: u64) {
        self.run += bytes;
        self.company = self.least;
        if self.run >= self.over {
            self.chain = None;
            self.slow = self.lengths.first().map_or(0, |(first, _)| *first);
            if let Some(tried) = self.tried.take() {
                self.lengths[tried].1.count(true);
            }
        }
    }

    /// How far to go after one more failure.
    fn failed(&mut self, range: &Range<u64>) -> u64 {
        let next = self.longer();
        match &mut self.chain {
            Some((_, count)) => *count += 1,
            // Where long jumps have to be made the failure is no single one.
            None => self.chain = Some((range.clone(), 1 + next as u32)),
        }
        self.lengths[next].0
    }

    /// How far to go around a slow place.
    fn around(&mut self) -> u64 {
        let next = self.longer();
        self.lengths[next].0
    }

    /// The shortest length that is long enough, and longer than what was tried in vain.
    fn longer(&mut self) -> usize {
        self.run = 0;
        let last = self.lengths.len() - 1;
        let least = match self.tried {
            Some(tried) => {
                self.lengths[tried].1.count(false);
                (tried + 1).min(last)
            }
            None => 0,
        };
        let next = (least..=last).find(|i| self.lengths[*i].1.share() >= LONG_ENOUGH).unwrap_or(last);
        self.tried = Some(next);
        next
    }

    /// An error that stands alone: how much to leave behind it.
    fn alone(&mut self, range: Range<u64>) -> u64 {
        let company = self.company;
        self.company = (company * 2).min(self.over);
        (self.tried, self.run, self.chain) = (None, 0, Some((range, 1)));
        company
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

    /// Forwards over everything that was not tried, around places where reads are slow.
    pub(super) fn copy(&mut self) -> Result<()> {
        self.forwards(Slow::Later)
    }

    /// Forwards over what was left because it reads slowly: good data comes before it.
    pub(super) fn slow(&mut self) -> Result<()> {
        // Stripes are expected behind the last one.
        self.geometry.forget();
        self.forwards(Slow::Now)
    }

    fn forwards(&mut self, slow: Slow) -> Result<()> {
        let mut at = 0;
        // Whether reads were slow just now, and whether it is to be seen if that goes on.
        let (mut slowly, mut watched) = (false, false);
        let mut jump = Jump::new(self.ledger.len(), self.plan.unit, self.plan.skip);
        let mut landed = false;
        let mut left = Vec::new();
        while let Some(hole) = self.ledger.next(Status::NonTried, at) {
            if slow == Slow::Now && at <= hole.start && !self.good_before(hole.start) {
                at = hole.end;
                continue;
            }
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
                        jump.anew();
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
            let pace = match good {
                true => self.latency.good(end - at, self.took),
                false => {
                    self.latency.anew();
                    None
                }
            };
            if watched && (!good || pace.is_some()) {
                self.trouble.count(!good || pace == Some(true));
                watched = false;
            }
            if slow == Slow::Later && pace == Some(true) {
                at = end;
                if slowly || self.trouble.share() > GOES_ON {
                    at = (end + jump.around()).min(hole.end);
                    landed = false;
                } else {
                    watched = true;
                }
                slowly = true;
                continue;
            }
            if good {
                slowly &= pace.is_none();
                let below = slow == Slow::Later && self.drive.slow();
                if !below {
                    jump.good(end - at);
                }
                if std::mem::take(&mut landed)
                    && let Some((first, count)) = jump.chain.clone()
                    && self.landed(first, count, at)?
                {
                    jump.chain = None;
                }
                at = end;
                if below {
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
                jump.anew();
                landed = false;
                continue;
            }
            if self.stand_alone() {
                self.isolated.count(jump.run >= jump.over / 4);
            }
            if self.stand_alone() {
                // Errors stand alone here: what comes soon is good.
                let company = jump.alone(at..end);
                at = match self.plan.skip.first {
                    Some(0) => end,
                    _ => (end.next_multiple_of(jump.least) + company).min(hole.end),
                };
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
                let soon = first_jump(self.ledger.len(), self.plan.unit) / 4;
                self.isolated.count(end - gap.start >= soon.min(gap.end - gap.start));
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
        if self.stand_alone() {
            // Behind single errors forwards is as good, and faster; the last hole first, since the heads are there. But before that the
            // large ones, from when it was not known yet that errors stand alone.
            let mut holes = self.ledger.all(Status::NonTried);
            holes.reverse();
            holes.sort_by_key(|hole| hole.end - hole.start <= 2 * COMPANY);
            for hole in holes {
                self.forward(hole, self.read_size())?;
            }
            return Ok(());
        }
        let mut holes = self.ledger.all(Status::NonTried);
        // The largest are left by the longest jumps, and those came down the farthest behind what fails.
        holes.sort_by_key(|hole| std::cmp::Reverse(hole.end - hole.start));
        let (mut gained, mut walked) = (0, 0);
        let mut probes = Yield::expecting(0.5, 2.0);
        for hole in holes {
            if !self.good_after(hole.end) {
                // Two jumps came down badly; it is too long to be bad all over.
                if hole.end - hole.start >= first_jump(self.ledger.len(), self.plan.unit) && probes.share() > PROBE {
                    probes.count(self.probe(hole)?);
                }
                continue;
            }
            let expected = u64::checked_div(gained, walked).unwrap_or((hole.end - hole.start) / 2);
            let size = (expected / LEFT_IN_HOLES).clamp(self.plan.unit, self.plan.longest);
            let end = self.backward(hole.clone(), 1 << size.ilog2())?;
            gained += hole.end - end;
            walked += 1;
        }
        Ok(())
    }

    /// Looks into the middle of a hole, and on from there to both sides if that is good.
    fn probe(&mut self, hole: Range<u64>) -> Result<bool> {
        let len = hole.end - hole.start;
        let size = 1 << (len / 2 / LEFT_IN_HOLES).clamp(self.plan.unit, self.plan.longest).ilog2();
        let middle = (hole.start + len / 2) / size * size;
        let middle = middle.max(hole.start);
        let end = self.aligned_end(middle, size, hole.end);
        if !self.attempt(middle..end)? {
            return Ok(false);
        }
        self.backward(hole.start..middle, size)?;
        self.forward(end..hole.end, size)?;
        Ok(true)
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
