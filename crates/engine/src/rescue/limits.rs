//! When a rescue ends before everything was tried.

use super::pace::Pace;
use super::{Ledger, Status};
use serde::Serialize;
use std::time::Duration;
use tintype_core::human_size;

/// When a rescue ends before it is done; the same command goes on.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Failed reads.
    pub errors: Option<u64>,
    /// Areas of sectors that failed alone.
    pub bad_areas: Option<BadAreas>,
    /// Bytes of failing reads in a second.
    pub error_rate: Option<u64>,
    /// Time since the start.
    pub time: Option<Duration>,
    /// Time since something was read.
    pub idle: Option<Duration>,
    /// Slow reads, as [`super::Slow`] has it.
    pub slow_reads: Option<u64>,
    /// Bytes a second, on average over the last minute.
    pub rate: Option<u64>,
    /// Share of what is meant that is enough, 0 to 1.
    pub enough: Option<f64>,
}

/// How many bad areas are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAreas {
    /// More than so many in all.
    Total(u64),
    /// More than so many that were not there when the run began.
    New(u64),
}

/// Why a run ended early.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stop {
    /// The limit, by its name on the command line.
    pub by: &'static str,
    /// The same in a sentence.
    pub why: String,
}

impl Stop {
    pub(super) fn new(by: &'static str, why: impl Into<String>) -> Self {
        Stop { by, why: why.into() }
    }
}

/// How long the average counts that [`Limits::rate`] looks at, and how long nothing is too slow.
const MINUTE: Duration = Duration::from_secs(60);

impl Limits {
    /// The limit that is met before the next read.
    pub(super) fn met(&self, pace: &Pace) -> Option<Stop> {
        if self.time.is_some_and(|most| pace.elapsed() > most) {
            return Some(Stop::new("max-time", "the time that was allowed is over"));
        }
        if self.errors.is_some_and(|most| pace.failed >= most) {
            return Some(Stop::new("max-errors", "as many reads failed as were allowed"));
        }
        if let Some(most) = self.slow_reads.filter(|most| pace.slow > *most) {
            return Some(Stop::new("max-slow-reads", format!("more than {most} reads were slow")));
        }
        if let Some(most) = self.idle.filter(|most| pace.since_good() > *most) {
            return Some(Stop::new("max-idle", format!("nothing was read for {} seconds", most.as_secs_f64())));
        }
        if let Some(most) = self.error_rate {
            let now = pace.failing_rate();
            if now > most as f64 {
                let why = format!("reads of {} a second fail, more than {}", human_size(now as u64), human_size(most));
                return Some(Stop::new("max-error-rate", why));
            }
        }
        if let Some(least) = self.rate.filter(|_| pace.elapsed() > MINUTE) {
            let now = pace.rate(MINUTE);
            if now < least as f64 {
                let why =
                    format!("the last minute brought {}/s, less than {}/s", human_size(now as u64), human_size(least));
                return Some(Stop::new("stop-below", why));
            }
        }
        None
    }

    /// The limit that is met by what is known now; `areas` were bad when the run began.
    pub(super) fn met_by(&self, ledger: &Ledger, areas: usize) -> Option<Stop> {
        let now = ledger.areas(Status::Bad);
        let (many, most) = match self.bad_areas {
            None => (0, 0),
            Some(BadAreas::Total(most)) => (now as u64, most),
            Some(BadAreas::New(most)) => (now.saturating_sub(areas) as u64, most),
        };
        if many > most {
            return Some(Stop::new("max-bad-areas", format!("there are {many} bad areas, more than {most}")));
        }
        let share = self.enough.filter(|_| ledger.meant() > 0)?;
        let (done, missing) = (ledger.total(Status::Finished), ledger.meant() - ledger.total(Status::Finished));
        (missing > 0 && done as f64 >= share * ledger.meant() as f64)
            .then(|| Stop::new("enough", format!("{} % are there, which was to be enough", share * 100.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Fate;
    use super::*;

    fn by(stop: Option<Stop>) -> Option<&'static str> {
        stop.map(|s| s.by)
    }

    #[test]
    fn limits_are_met_when_they_are() {
        let mut pace = Pace::new();
        pace.count(1000, 0, 0.001);
        pace.count(0, 512, 0.5);
        assert_eq!(by(Limits::default().met(&pace)), None);
        assert_eq!(by(Limits { errors: Some(2), ..Limits::default() }.met(&pace)), None);
        assert_eq!(by(Limits { errors: Some(1), ..Limits::default() }.met(&pace)), Some("max-errors"));
        assert_eq!(by(Limits { time: Some(Duration::ZERO), ..Limits::default() }.met(&pace)), Some("max-time"));
        assert_eq!(by(Limits { idle: Some(Duration::ZERO), ..Limits::default() }.met(&pace)), Some("max-idle"));
        assert_eq!(by(Limits { error_rate: Some(100), ..Limits::default() }.met(&pace)), Some("max-error-rate"));
        assert_eq!(by(Limits { error_rate: Some(100_000), ..Limits::default() }.met(&pace)), None);
        // The average of a minute needs a minute.
        assert_eq!(by(Limits { rate: Some(1 << 40), ..Limits::default() }.met(&pace)), None);
    }

    #[test]
    fn limits_look_at_what_is_known() {
        let mut ledger = Ledger::new(1000);
        ledger.set(0..990, Fate::new(Status::Finished, 0));
        ledger.set(100..101, Fate::new(Status::Bad, 1));
        ledger.set(200..201, Fate::new(Status::Bad, 1));
        let areas = |areas| Limits { bad_areas: Some(areas), ..Limits::default() };
        assert_eq!(by(areas(BadAreas::Total(2)).met_by(&ledger, 0)), None);
        assert_eq!(by(areas(BadAreas::Total(1)).met_by(&ledger, 0)), Some("max-bad-areas"));
        assert_eq!(by(areas(BadAreas::New(1)).met_by(&ledger, 1)), None);
        assert_eq!(by(areas(BadAreas::New(0)).met_by(&ledger, 1)), Some("max-bad-areas"));
        let enough = |share| Limits { enough: Some(share), ..Limits::default() };
        assert_eq!(by(enough(0.98).met_by(&ledger, 0)), Some("enough"));
        assert_eq!(by(enough(0.99).met_by(&ledger, 0)), None);
        ledger.set(0..1000, Fate::new(Status::Finished, 0));
        assert_eq!(by(enough(0.98).met_by(&ledger, 0)), None, "all of it is more than enough");
    }
}
