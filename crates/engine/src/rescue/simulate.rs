//! The same run against a model of a drive: nothing is touched, the clock is the model's.

use super::model::{Model, Outcome, Played};
use super::{Cause, Drive, Effort, Fate, Ledger, Limits, Pass, Plan, Reply, Rescue, Status};
use crate::map::Domain;
use crate::report::Range as Listed;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tintype_core::{Error, Event, Kind, Result, Watch};

/// What to play.
pub struct Simulation {
    /// The model, as it was given.
    pub locator: String,
    /// What it says.
    pub model: Model,
    /// Bytes of the drive.
    pub size: u64,
    /// The bytes that are meant.
    pub domain: Domain,
    /// How to go about it.
    pub plan: Plan,
    /// Virtual time that a read may take.
    pub deadline: Duration,
    /// When to stop before the end; the time is virtual.
    pub limits: Limits,
    /// Shows the work, and says when to stop.
    pub watch: Arc<dyn Watch>,
}

/// How far a rescue had come, and what it had cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Per cent of what can be had.
    pub percent: f64,
    /// Virtual seconds.
    pub seconds: f64,
    /// Reads that had failed or hung.
    pub failed_reads: u64,
}

/// Where a pass began.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Begun {
    /// Which.
    pub pass: Pass,
    /// Bytes that were there.
    pub rescued: u64,
    /// Virtual seconds.
    pub seconds: f64,
    /// Reads that had failed or hung.
    pub failed_reads: u64,
}

/// What a played rescue came to; fields of the same name mean what they mean of a real one.
#[derive(Debug, Serialize)]
pub struct Simulated {
    /// The model.
    pub model: String,
    /// Bytes of the drive.
    pub size: u64,
    /// Bytes of it that are meant.
    pub domain: u64,
    /// Bytes of these that can be had at all.
    pub recoverable: u64,
    /// Bytes of these that were read.
    pub rescued: u64,
    /// Bytes of these that read well and are not what was written: no rescue can know.
    pub untrue: u64,
    /// Bytes that are meant, by ddrescue's status.
    pub statuses: BTreeMap<String, u64>,
    /// Ranges that are meant and failed alone.
    pub bad: Vec<Listed>,
    /// Ranges that are meant and were not, or not finally, tried.
    pub unread: Vec<Listed>,
    /// Reads.
    pub reads: u64,
    /// Reads that failed.
    pub failed_reads: u64,
    /// Reads that hung.
    pub hung_reads: u64,
    /// Why it ended before everything was tried, if it did.
    pub stopped: Option<String>,
    /// Virtual seconds it took.
    pub seconds: f64,
    /// When 50, 90, 99, 99.9 and 100 % of what can be had were there, as far as they were.
    pub curve: Vec<Point>,
    /// Where each pass began.
    pub passes: Vec<Begun>,
}

/// The points of the curve.
const PERCENT: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 100.0];

/// Plays a rescue to its end. Ends early when the watch says so, a limit is met, or the drive is gone as its model says.
pub fn simulate(simulation: Simulation) -> Result<Simulated> {
    let Simulation { locator, model, size, domain, plan, deadline, limits, watch } = simulation;
    let domain = domain.in_units(plan.sector, size);
    let mut ledger = Ledger::new(size);
    ledger.restrict(&domain);
    let mut drive = Stage::new(model, deadline, limits, Arc::clone(&watch));
    drive.recoverable = domain.within(0..size).map(|r| drive.model.recoverable(r)).sum();
    watch.event(&Event::Begin { title: "playing a rescue".into(), total: Some(ledger.meant()) });
    let mut rescue = Rescue::new(&mut drive, ledger, plan);
    let run = rescue.run();
    watch.event(&Event::End);
    let ledger = rescue.ledger;
    match run {
        Ok(()) => {}
        Err(e) if e.kind() == Kind::Cancelled && drive.why.is_some() => {}
        Err(e) if e.kind() == Kind::Io => drive.why = Some(e.what().to_owned()),
        Err(e) => return Err(e),
    }
    let listed = |wanted: &[Status]| -> Vec<Listed> {
        ledger.ranges(wanted).into_iter().map(|r| Listed { offset: r.start, len: r.end - r.start }).collect()
    };
    let finished = ledger.pieces().filter(|(_, f)| f.status() == Status::Finished);
    Ok(Simulated {
        model: locator,
        size,
        domain: ledger.meant(),
        recoverable: drive.recoverable,
        rescued: ledger.total(Status::Finished),
        untrue: finished.map(|(r, _)| drive.model.untrue(r)).sum(),
        statuses: Status::ALL.iter().map(|s| (s.name().to_owned(), ledger.total(*s))).collect(),
        bad: listed(&[Status::Bad]),
        unread: listed(&[Status::NonTried, Status::NonTrimmed, Status::NonScraped]),
        reads: drive.reads,
        failed_reads: drive.failed,
        hung_reads: drive.hung,
        stopped: drive.why,
        seconds: drive.clock,
        curve: drive.curve,
        passes: drive.passes,
    })
}

/// A drive that is only played.
struct Stage {
    model: Model,
    deadline: f64,
    limits: Limits,
    watch: Arc<dyn Watch>,
    recoverable: u64,
    clock: f64,
    reads: u64,
    failed: u64,
    hung: u64,
    done: u64,
    curve: Vec<Point>,
    passes: Vec<Begun>,
    why: Option<String>,
}

impl Stage {
    fn new(model: Model, deadline: Duration, limits: Limits, watch: Arc<dyn Watch>) -> Self {
        Stage {
            model,
            deadline: deadline.as_secs_f64(),
            limits,
            watch,
            recoverable: 0,
            clock: 0.0,
            reads: 0,
            failed: 0,
            hung: 0,
            done: 0,
            curve: Vec::new(),
            passes: Vec::new(),
            why: None,
        }
    }

    fn end(&mut self, why: &str) -> Error {
        self.why = Some(why.to_owned());
        Error::cancelled()
    }
}

impl Drive for Stage {
    fn read(&mut self, range: Range<u64>) -> Result<Reply> {
        if self.watch.cancelled() {
            return Err(Error::cancelled());
        }
        if self.limits.time.is_some_and(|most| self.clock > most.as_secs_f64()) {
            return Err(self.end("the time that was allowed is over"));
        }
        if self.limits.errors.is_some_and(|most| self.failed >= most) {
            return Err(self.end("as many reads failed as were allowed"));
        }
        let Played { outcome, seconds } = self.model.read(range.clone())?;
        let hung = outcome == Outcome::Hung || seconds > self.deadline;
        let seconds = if hung { self.deadline } else { seconds };
        let failed = hung || outcome != Outcome::Good;
        self.clock += seconds;
        self.reads += 1;
        self.failed += u64::from(failed);
        self.hung += u64::from(hung);
        Ok(Reply {
            good: if failed { 0 } else { range.end - range.start },
            failed,
            seconds,
            cause: Cause::NONE,
            effort: Effort::Full,
        })
    }

    fn mark(&mut self, range: Range<u64>, fate: Fate) -> Result<()> {
        if fate.status() != Status::Finished {
            return Ok(());
        }
        self.done += range.end - range.start;
        let (done, all) = (self.done as f64, self.recoverable as f64);
        while let Some(percent) = PERCENT.get(self.curve.len()).copied().filter(|p| done >= all * p / 100.0) {
            self.curve.push(Point { percent, seconds: self.clock, failed_reads: self.failed });
        }
        Ok(())
    }

    fn pass(&mut self, pass: Pass, ledger: &Ledger) -> Result<()> {
        let rescued = ledger.total(Status::Finished);
        self.passes.push(Begun { pass, rescued, seconds: self.clock, failed_reads: self.failed });
        self.watch.event(&Event::Progress { done: self.done, lost: 0 });
        Ok(())
    }
}
