//! The passes, in their order, and what they share.
//!
//! | pass | reads |
//! |---|---|
//! | copy | what was not tried, forwards, jumping ahead after failures, past stripes that can be foreseen |
//! | slow | forwards over what was passed over because the drive had trouble there |
//! | back | the holes that left, from their far ends, until the first failure in each |
//! | trim | failed reads, unit by unit from their good ends |
//! | sweep | what is left beside good data, unit by unit, as far ahead after a failure as pays |
//! | enclose | what lies between two failures, by samples, the kind that brings most first |
//! | scrape | failed units, sector by sector, while that brings anything |
//! | retry | what failed once more, while that brings anything |
//! | rest | what nothing speaks for: once, in long reads |

use super::costs::Costs;
use super::geometry::Geometry;
use super::latency::Latency;
use super::value::Wishes;
use super::yields::Yield;
use super::{Cause, Drive, Effort, Fate, Ledger, Status, Took};
use std::ops::Range;
use tintype_core::Result;

/// A pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// Forwards, with jumps.
    Copy,
    /// Forwards where reads are slow.
    Slow,
    /// Backwards into the holes.
    Back,
    /// From good ends into failed reads.
    Trim,
    /// Unit by unit.
    Sweep,
    /// Samples between failures.
    Enclose,
    /// Failed units again.
    Retry,
    /// Sector by sector.
    Scrape,
    /// Long reads of the hopeless rest.
    Rest,
}

impl Pass {
    /// Its name on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Pass::Copy => "copy",
            Pass::Slow => "slow",
            Pass::Back => "back",
            Pass::Trim => "trim",
            Pass::Sweep => "sweep",
            Pass::Enclose => "enclose",
            Pass::Scrape => "scrape",
            Pass::Retry => "retry",
            Pass::Rest => "rest",
        }
    }

    /// What it does, in a few words.
    pub const fn title(self) -> &'static str {
        match self {
            Pass::Copy => "copying what reads well",
            Pass::Slow => "copying what reads slowly",
            Pass::Back => "reading backwards into the holes",
            Pass::Trim => "looking for the edges of what failed",
            Pass::Sweep => "sweeping what is left beside good data",
            Pass::Enclose => "looking between the failures",
            Pass::Scrape => "trying single sectors",
            Pass::Retry => "trying again",
            Pass::Rest => "trying the rest once",
        }
    }
}

/// What the drive is like and how far to go.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Smallest read, in bytes.
    pub sector: u64,
    /// Smallest read that costs the drive no more than a sector does: its physical sector, at least 4 KiB.
    pub unit: u64,
    /// Longest read.
    pub longest: u64,
    /// How far to jump ahead after a failure.
    pub skip: Skip,
    /// Passes to make.
    pub passes: Vec<Pass>,
    /// Goes on where nothing more is to be expected.
    pub exhaustive: bool,
    /// Rounds of retries, at most.
    pub retries: u32,
    /// What is wanted first; `None` reads in the order of the drive, whatever is on it.
    pub value: Option<Wishes>,
}

impl Plan {
    /// The plan for a drive with these sector sizes.
    pub fn new(sector: u64, physical: u64) -> Self {
        use Pass::*;
        Plan {
            sector: physical.max(sector),
            unit: physical.max(sector).max(4096),
            longest: 1 << 20,
            skip: Skip::default(),
            passes: vec![Copy, Slow, Back, Trim, Sweep, Enclose, Scrape, Retry, Rest],
            exhaustive: false,
            retries: 3,
            value: Some(Wishes::default()),
        }
    }
}

/// How far to jump ahead after a failure, in bytes; `None` for what suits the size of the drive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skip {
    /// After the first one; 0 for nowhere.
    pub first: Option<u64>,
    /// At most.
    pub most: Option<u64>,
}

/// A rescue under way.
pub struct Rescue<'a> {
    pub(super) drive: &'a mut dyn Drive,
    /// What is known.
    pub ledger: Ledger,
    pub(super) plan: Plan,
    pub(super) costs: Costs,
    pub(super) latency: Latency,
    // Seconds of the last good read.
    pub(super) took: f64,
    // Whether slow reads are followed by slow reads or failures.
    pub(super) trouble: Yield,
    pub(super) geometry: Geometry,
    // Failures that came after good data, and the good bytes they came in.
    pub(super) hits: u64,
    // By how many units were jumped after a failure: is there good data behind?
    pub(super) landings: Vec<Yield>,
    // Whether what a jump left out was good after all.
    pub(super) isolated: Yield,
    // Good bytes and failures of the sweep.
    pub(super) swept: u64,
    pub(super) sweep_hits: u64,
    // Whether what nothing is to be expected of is tried as well.
    pub(super) thorough: bool,
}

impl<'a> Rescue<'a> {
    /// A rescue that goes on from `ledger`.
    pub fn new(drive: &'a mut dyn Drive, ledger: Ledger, plan: Plan) -> Self {
        Rescue {
            drive,
            ledger,
            plan,
            costs: Costs::new(),
            latency: Latency::default(),
            took: 0.0,
            trouble: Yield::expecting(0.5, 2.0),
            geometry: Geometry::default(),
            hits: 0,
            landings: vec![Yield::expecting(0.5, 2.0); 24],
            isolated: Yield::expecting(0.5, 1.0),
            swept: 0,
            sweep_hits: 0,
            thorough: false,
        }
    }

    /// Makes all passes of the plan over what is meant: the ledger's domain may be another at the next call, and what was learned stays.
    pub fn run(&mut self) -> Result<()> {
        let all = self.plan.passes.clone();
        if !self.plan.exhaustive {
            return self.make(&all);
        }
        // What promises something first: trying all the rest costs most of the failures. But who wants everything tried again once, and no
        // more, has that.
        let promising = |pass: &&Pass| match pass {
            Pass::Retry => self.plan.retries > 1,
            other => **other != Pass::Rest,
        };
        let first: Vec<Pass> = all.iter().filter(promising).copied().collect();
        let again = |pass: &&Pass| matches!(pass, Pass::Enclose | Pass::Scrape | Pass::Retry | Pass::Rest);
        let rest: Vec<Pass> = all.iter().filter(again).copied().collect();
        self.thorough = false;
        self.make(&first)?;
        self.thorough = true;
        self.make(&rest)
    }

    fn make(&mut self, passes: &[Pass]) -> Result<()> {
        for pass in passes.iter().copied() {
            self.drive.pass(pass, &self.ledger)?;
            match pass {
                Pass::Copy => self.copy()?,
                Pass::Slow => self.slow()?,
                Pass::Back => self.back()?,
                Pass::Trim => self.trim()?,
                Pass::Sweep => self.sweep()?,
                Pass::Enclose => self.enclose()?,
                Pass::Retry => self.retry()?,
                Pass::Scrape => self.scrape()?,
                Pass::Rest => self.rest()?,
            }
        }
        Ok(())
    }

    /// What of a range is missing: a read that failed may have brought its first bytes.
    fn missing(&self, range: Range<u64>) -> Range<u64> {
        let Range { mut start, mut end } = range;
        while start < end && self.ledger.status(start) == Some(Status::Finished) {
            start = self.ledger.at(start).0.end.min(end);
        }
        while start < end && self.ledger.status(end - 1) == Some(Status::Finished) {
            end = self.ledger.at(end - 1).0.start.max(start);
        }
        start..end
    }

    /// Reads a range, nothing in the middle of which is finished; true if all of it is there.
    pub(super) fn attempt(&mut self, range: Range<u64>) -> Result<bool> {
        let range = self.missing(range);
        if range.is_empty() {
            return Ok(true);
        }
        debug_assert!(
            range.start.is_multiple_of(self.plan.sector) || !self.ledger.holds(range.start - 1),
            "{range:?} does not begin with a sector"
        );
        debug_assert!(
            self.ledger.within(range.clone()).all(|(_, f)| f.status() != Status::Finished),
            "{range:?} is read twice"
        );
        debug_assert!(
            self.ledger.domain().around(range.start).is_some_and(|meant| meant.end >= range.end),
            "{range:?} is not meant"
        );
        let before = self.ledger.fate(range.start);
        let beside = range.start.checked_sub(1).map_or(Took::Unknown, |at| self.ledger.fate(at).took());
        let reply = self.drive.read(range.clone())?;
        let end = range.start + reply.good.min(range.end - range.start);
        let took = Took::of(reply.seconds, beside);
        // What came before a failure took none of its time.
        let good = if reply.failed { beside } else { took };
        self.mark(range.start..end, Fate::new(Status::Finished, 0).after(good, Cause::NONE))?;
        if !reply.failed {
            self.took = reply.seconds;
            if range.end - range.start <= self.plan.unit {
                self.costs.small(reply.seconds);
            }
            self.drive.look(&self.ledger)?;
            return Ok(end == range.end);
        }
        self.costs.failed(reply.seconds);
        let len = range.end - end;
        let status = match before.status() {
            _ if reply.effort == Effort::Brief => Status::NonTrimmed,
            _ if len <= self.plan.sector => Status::Bad,
            _ if len <= self.plan.unit => Status::NonScraped,
            _ => Status::NonTrimmed,
        };
        let tries = if matches!(before.status(), Status::Bad | Status::NonScraped) { before.tries() } else { 0 };
        self.mark(end..range.end, Fate::new(status, tries.saturating_add(1)).after(took, reply.cause))?;
        self.drive.look(&self.ledger)?;
        Ok(false)
    }

    pub(super) fn mark(&mut self, range: Range<u64>, fate: Fate) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        self.ledger.set(range.clone(), fate);
        self.drive.mark(range, fate)
    }

    /// True if errors stand alone on this drive: what comes soon after one is good.
    pub(super) fn stand_alone(&self) -> bool {
        self.isolated.share() > 0.7
    }

    /// The end of a read of about `len` bytes from `at` that keeps to multiples of its length and ends by `limit`.
    pub(super) fn aligned_end(&self, at: u64, len: u64, limit: u64) -> u64 {
        let len = len.max(self.plan.sector);
        ((at / len + 1) * len).min(limit)
    }

    /// True if the byte before `offset` is finished, or nothing is known of it: there is none, or it is not meant and was not tried.
    pub(super) fn good_before(&self, offset: u64) -> bool {
        offset == 0 || self.good_at(offset - 1)
    }

    /// The same of the byte at `offset`.
    pub(super) fn good_after(&self, offset: u64) -> bool {
        self.good_at(offset)
    }

    fn good_at(&self, offset: u64) -> bool {
        match self.ledger.status(offset) {
            None | Some(Status::Finished) => true,
            Some(Status::NonTried) => !self.ledger.holds(offset),
            Some(_) => false,
        }
    }

    /// Not tried alone yet: everything that is neither finished nor failed as a unit.
    pub(super) fn next_open(&self, from: u64) -> Option<Range<u64>> {
        let a = self.ledger.next(Status::NonTried, from);
        let b = self.ledger.next(Status::NonTrimmed, from);
        let mut hole = match (a, b) {
            (Some(a), Some(b)) if a.start <= b.start => a,
            (_, Some(b)) => b,
            (a, None) => a?,
        };
        // Both kinds together are one hole.
        while self.ledger.holds(hole.end)
            && matches!(self.ledger.status(hole.end), Some(Status::NonTried | Status::NonTrimmed))
        {
            hole.end = self.ledger.at(hole.end).0.end;
        }
        hole.start = hole.start.max(from);
        Some(hole)
    }
}
