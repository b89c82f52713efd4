//! How a drive is treated.

use std::sync::Arc;
use std::time::Duration;
use tintype_core::{Result, Source};
use tintype_device::passthrough::Effort;

/// Opens the drive anew.
pub type Reopen = Arc<dyn Fn() -> Result<Arc<dyn Source>> + Send + Sync>;

/// Tells the drive how much to do for the reads that follow.
pub type SetEffort = Arc<dyn Fn(Effort) + Send + Sync>;

/// How a drive is treated.
#[derive(Clone)]
pub struct Handling {
    /// How long a read may take before it is left behind.
    pub deadline: Duration,
    /// Most bytes read in a second.
    pub max_rate: Option<u64>,
    /// Which reads are slow; what lies behind them is left for later.
    pub slow: Option<Slow>,
    /// How long the drive rests after a failed read.
    pub pause_on_error: Duration,
    /// How long it rests between passes.
    pub pause_on_pass: Duration,
    /// Opens the drive anew after every failed read.
    pub reopen: Option<Reopen>,
    /// Tells the drive how much to do, where it can be told; it is to do little in the fast passes, and what fails then has not failed.
    pub effort: Option<SetEffort>,
    /// What is done after a failed read.
    pub after_error: AfterError,
    /// A sector that equals this is one that failed: what a drive or bridge puts in the place of what it could not read.
    pub bad_data: Option<Vec<u8>>,
    /// Share of the reads that are made twice and compared, 0 to 1.
    pub check_reads: f64,
    /// Which reads are told one by one.
    pub told: Told,
}

impl Default for Handling {
    fn default() -> Self {
        Handling {
            deadline: Duration::from_secs(60),
            max_rate: None,
            slow: None,
            pause_on_error: Duration::ZERO,
            pause_on_pass: Duration::ZERO,
            reopen: None,
            effort: None,
            after_error: AfterError::GoOn,
            bad_data: None,
            check_reads: 0.0,
            told: Told::Failed,
        }
    }
}

/// Which reads are slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow {
    /// A second that brings fewer bytes is slow; 0 for a tenth of the average.
    pub rate: u64,
    /// So long after the start nothing is slow.
    pub after: Duration,
    /// What becomes of the count of slow seconds when one is fast again.
    pub again: Again,
}

/// What becomes of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It goes on.
    Keep,
    /// It begins anew.
    Reset,
}

/// What is done after a failed read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterError {
    /// The next read.
    GoOn,
    /// The last sector that was read is read again; the run ends if it is another.
    CheckLastGood,
}

/// Which reads are told one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Those that fail.
    Failed,
    /// Every one.
    All,
}
