//! How fast a rescue goes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// For how long seconds are remembered one by one.
const REMEMBERED: u64 = 300;

/// A second of the run.
#[derive(Clone, Copy, Debug)]
struct Second {
    second: u64,
    good: u64,
    failed: u64,
}

/// What the reads of a run came to, and when.
pub(super) struct Pace {
    began: Instant,
    last_good: Instant,
    seconds: VecDeque<Second>,
    /// Reads.
    pub reads: u64,
    /// Reads that failed.
    pub failed: u64,
    /// Reads that did not come back in time.
    pub hung: u64,
    /// Seconds in which reading was slow.
    pub slow: u64,
    /// Bytes that were read.
    pub good_bytes: u64,
    failed_seconds: f64,
}

impl Pace {
    pub fn new() -> Self {
        let now = Instant::now();
        Pace {
            began: now,
            last_good: now,
            seconds: VecDeque::new(),
            reads: 0,
            failed: 0,
            hung: 0,
            slow: 0,
            good_bytes: 0,
            failed_seconds: 0.0,
        }
    }

    /// Since the run began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Since something was read; since the begin, as long as nothing was.
    pub fn since_good(&self) -> Duration {
        self.last_good.elapsed()
    }

    /// Counts a read: bytes that came, bytes that did not, and how long it took.
    pub fn count(&mut self, good: u64, failed: u64, seconds: f64) {
        self.reads += 1;
        self.good_bytes += good;
        if good > 0 {
            self.last_good = Instant::now();
        }
        if failed > 0 {
            self.failed += 1;
            self.failed_seconds += seconds;
        }
        let second = self.elapsed().as_secs();
        match self.seconds.back_mut().filter(|s| s.second == second) {
            Some(now) => {
                now.good += good;
                now.failed += failed;
            }
            None => self.seconds.push_back(Second { second, good, failed }),
        }
        while self.seconds.front().is_some_and(|s| s.second + REMEMBERED < second) {
            self.seconds.pop_front();
        }
    }

    /// Good bytes a second over the last `window`, or since the begin if that is shorter.
    pub fn rate(&self, window: Duration) -> f64 {
        let elapsed = self.elapsed();
        let from = elapsed.saturating_sub(window);
        let good: u64 = self.seconds.iter().rev().take_while(|s| s.second >= from.as_secs()).map(|s| s.good).sum();
        // The window begins with a whole second.
        good as f64 / (elapsed.as_secs_f64() - from.as_secs() as f64).max(0.05)
    }

    /// Good bytes a second since the begin.
    pub fn average(&self) -> f64 {
        self.good_bytes as f64 / self.elapsed().as_secs_f64().max(0.05)
    }

    /// Bytes of failing reads in the last whole second, or in this one if that is worse.
    pub fn failing_rate(&self) -> f64 {
        let now = self.elapsed().as_secs();
        self.seconds.iter().rev().take_while(|s| s.second + 1 >= now).map(|s| s.failed).max().unwrap_or(0) as f64
    }

    /// How long a failing read takes.
    pub fn failure(&self) -> Option<f64> {
        (self.failed > 0).then(|| self.failed_seconds / self.failed as f64)
    }
}
