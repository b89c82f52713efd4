//! How long work tells what it does, and hears that it should stop.

use std::sync::atomic::{AtomicBool, Ordering};

/// Something a person may want to see.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A stage of work begins; `total` in bytes where it is known.
    Begin {
        /// What the stage does, in a few words.
        title: String,
        /// Bytes to do.
        total: Option<u64>,
    },
    /// The stage has done this many bytes.
    Progress {
        /// Bytes done.
        done: u64,
        /// Bytes that could not be read so far.
        lost: u64,
    },
    /// A rescue stands so.
    Standing(Box<Standing>),
    /// A single read of a rescue.
    Read {
        /// Where it began.
        offset: u64,
        /// What was asked for.
        len: u64,
        /// Bytes from its begin that came; fewer than asked for if it failed.
        good: u64,
        /// How long it took.
        seconds: f64,
    },
    /// The stage is over.
    End,
    /// Something worth knowing.
    Note(String),
    /// Something that may be wrong.
    Warning(String),
}

/// How a rescue stands; sizes in bytes, rates in bytes a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// The pass, by its name on the command line.
    pub pass: &'static str,
    /// What it does, in a few words.
    pub title: &'static str,
    /// What is meant.
    pub domain: u64,
    /// What of it was read.
    pub rescued: u64,
    /// What of it was not tried.
    pub untried: u64,
    /// What of it was tried and is not there.
    pub failed: u64,
    /// What of that failed sector by sector.
    pub bad: u64,
    /// In so many areas.
    pub bad_areas: u64,
    /// Reads of this run.
    pub reads: u64,
    /// Reads of this run that failed.
    pub failed_reads: u64,
    /// What comes in now.
    pub rate: f64,
    /// What came in since the run began.
    pub average: f64,
    /// Since the run began.
    pub seconds: f64,
    /// Since something was read.
    pub since_good: f64,
    /// Until everything was tried, if all of it reads well; nothing where nothing is known.
    pub seconds_left: Option<f64>,
    /// The same if everything that failed fails again.
    pub seconds_at_worst: Option<f64>,
    /// How long the next percent takes, or what is missing if that is less, as things went lately; nothing where nothing came.
    pub next_percent: Option<f64>,
    /// The map in cells, from the begin to the end of what is meant: a sign of ddrescue's each, a space where nothing is meant.
    pub cells: String,
}

/// Receives events, and says when to stop. Called from any thread.
pub trait Watch: Send + Sync {
    /// Shows `event`. Must not block for long.
    fn event(&self, event: &Event);

    /// True once the person asked to stop.
    fn cancelled(&self) -> bool {
        false
    }
}

/// A watch that shows nothing; its flag stops the work.
#[derive(Debug, Default)]
pub struct Silent {
    stop: AtomicBool,
}

impl Silent {
    /// Asks the work to stop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Watch for Silent {
    fn event(&self, _event: &Event) {}

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
