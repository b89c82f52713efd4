//! `rescue`: the most from a failing drive, soonest, with the least wear.
//!
//! ```text
//!  passes --attempt(range)--> Drive (a real one that can be given up on, or a Model on a virtual clock)
//!    |                           |
//!    +------- Ledger <-----------+      every byte: not tried, not trimmed, not scraped, bad, finished
//! ```
//!
//! What costs is a read that fails: it lasts seconds where a good one lasts milliseconds, and it may be the last. The passes
//! therefore choose every read by what reads like it came to before: how long, how far ahead after a failure, and whether at all.
//! See `passes` for their order.

mod afresh;
mod areas;
mod begin;
mod commands;
mod commit;
mod copy;
mod costs;
#[cfg(test)]
mod crash;
mod drive;
mod edges;
mod enclosed;
mod failures;
mod fate;
mod geometry;
mod handling;
mod health;
mod job;
mod keeper;
mod known;
mod ladder;
mod latency;
mod ledger;
mod limits;
mod log;
mod mapped;
mod memory;
mod mirror;
mod model;
mod pace;
mod passes;
mod power;
mod prepare;
mod reader;
mod real;
mod retry;
mod scrape;
mod simulate;
mod suspect;
mod sweep;
mod target;
#[cfg(test)]
mod tests;
mod uncorrected;
mod value;
mod yields;

pub use afresh::{Afresh, Failed, Reach, Size, Tried, Wanted};
pub use commands::{Console, Number};
pub use drive::{
    Lists, OpenDrive, Passthrough, PutBack, Settings, Treatment, Unreadable, open_drive, open_treated, put_back,
};
pub use failures::{FailedFor, FailedRange, Journaled};
pub use fate::{Cause, Causes, Fate, Took};
pub use handling::{AfterError, Again, Handling, Reopen, SetEffort, Slow, Told};
pub use job::{Request, Rescued, run};
pub use ladder::{Laddered, Patience, Rungs, Step};
pub use ledger::Ledger;
pub use limits::{BadAreas, Limits, Stop};
pub use mapped::failing;
pub use model::{Model, Outcome, Played};
pub use passes::{Pass, Plan, Rescue, Skip};
pub use prepare::Prepared;
pub use real::Direction;
pub use simulate::{Begun, Point, Simulated, Simulation, simulate};
pub use suspect::{Reason, Suspect};
pub use target::{Old, Space, Target, Writes};
pub use uncorrected::{Begin, Keep, SuspectReads, Way};
pub use value::Wishes;

use std::ops::Range;
pub use tintype_core::mapfile::Status;
pub use tintype_device::passthrough::Effort;

/// Where a rescue reads from.
pub trait Drive {
    /// Reads a range and keeps what it got; an `Err` ends the rescue, a read that fails does not.
    fn read(&mut self, range: Range<u64>) -> tintype_core::Result<Reply>;

    /// Told, before a read, what follows if it goes well: reads that end at multiples of `size`, and at `limit`.
    fn ahead(&mut self, size: u64, limit: u64) {
        let _ = (size, limit);
    }

    /// Told of every change of the ledger, in order.
    fn mark(&mut self, range: Range<u64>, fate: Fate) -> tintype_core::Result<()>;

    /// Where everything lies that was read so far, to be read back; `None` where nothing is kept.
    fn kept(&mut self) -> tintype_core::Result<Option<std::sync::Arc<dyn tintype_core::Source>>> {
        Ok(None)
    }

    /// Told, in a few words, what is read for its value.
    fn step(&mut self, title: &str) {
        let _ = title;
    }

    /// True if the drive is slow where it was read last: what follows is better left for later.
    fn slow(&self) -> bool {
        false
    }

    /// Shown what is known after every read; an `Err` ends the rescue.
    fn look(&mut self, _ledger: &Ledger) -> tintype_core::Result<()> {
        Ok(())
    }

    /// Writes down what is known, now.
    fn save(&mut self) -> tintype_core::Result<()> {
        Ok(())
    }

    /// Told which pass begins.
    fn pass(&mut self, pass: Pass, ledger: &Ledger) -> tintype_core::Result<()>;
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reply {
    /// Bytes from the start of the range that were read and kept.
    pub good: u64,
    /// True if the read failed after them.
    pub failed: bool,
    /// How long it took.
    pub seconds: f64,
    /// Why it failed.
    pub cause: Cause,
    /// How much the drive was to do: a brief read that failed says little of what it was to read.
    pub effort: Effort,
}
