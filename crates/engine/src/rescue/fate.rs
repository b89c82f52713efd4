//! What is known about a range of the drive: small, since there may be millions.

use super::Status;
use std::sync::{Arc, Mutex, PoisonError};
use tintype_device::{Failure, Why};

/// What is known about a range.
///
/// Two bytes, since a rescue keeps every one of millions of ranges more than once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fate(u16);

/// Most failed reads that are counted: 31 stands for all above.
const MOST_TRIES: u8 = 31;

impl Fate {
    /// How far a range has come, and how many reads of exactly it, or of what it is a part of, failed; 31 stands for all above.
    pub fn new(status: Status, tries: u8) -> Self {
        Fate(status as u16 | u16::from(tries.min(MOST_TRIES)) << 3)
    }

    /// The same, with how long the last read took and why it failed.
    pub fn after(self, took: Took, cause: Cause) -> Self {
        Fate(self.0 & 0xFF | (took as u16) << 8 | u16::from(cause.0) << 11)
    }

    /// How far it has come.
    pub fn status(self) -> Status {
        // They are all there in the order of their numbers, and only such numbers are put in.
        Status::ALL.get(usize::from(self.0 & 7)).copied().unwrap_or(Status::NonTried)
    }

    /// Reads that failed.
    pub fn tries(self) -> u8 {
        (self.0 >> 3) as u8 & MOST_TRIES
    }

    /// How long the last read took.
    pub fn took(self) -> Took {
        Took::ALL[usize::from(self.0 >> 8 & 7).min(Took::ALL.len() - 1)]
    }

    /// Why the last read failed.
    pub fn cause(self) -> Cause {
        Cause((self.0 >> 11) as u8)
    }
}

impl std::fmt::Debug for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {}", self.status().sign(), self.tries(), self.took().name(), self.cause().0)
    }
}

/// How long a read took: classes a factor of ten wide, so that neighbours seldom differ by chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Took {
    /// Not known: by a map, or by an older journal.
    #[default]
    Unknown,
    /// Less than 0.1 s.
    Quick,
    /// Less than 1 s: the drive tried more than once.
    Slow,
    /// Less than 10 s.
    Long,
    /// 10 s and more.
    Endless,
}

impl Took {
    /// All of them.
    pub const ALL: [Took; 5] = [Took::Unknown, Took::Quick, Took::Slow, Took::Long, Took::Endless];

    /// The class of a read. One that is at the edge between two is counted like its neighbour `beside`: what is the same is to be one range.
    pub fn of(seconds: f64, beside: Took) -> Took {
        let class = |seconds: f64| match seconds {
            s if s < 0.1 => Took::Quick,
            s if s < 1.0 => Took::Slow,
            s if s < 10.0 => Took::Long,
            _ => Took::Endless,
        };
        let at_edge = beside == class(seconds / 2.0) || beside == class(seconds * 2.0);
        if at_edge { beside } else { class(seconds) }
    }

    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Took::Unknown => "unknown",
            Took::Quick => "quick",
            Took::Slow => "slow",
            Took::Long => "long",
            Took::Endless => "endless",
        }
    }

    /// The same in words.
    pub fn words(self) -> &'static str {
        match self {
            Took::Unknown => "after an unknown time",
            Took::Quick => "within 0.1 s",
            Took::Slow => "within 1 s",
            Took::Long => "within 10 s",
            Took::Endless => "after 10 s and more",
        }
    }

    /// The sign that stands for it in a journal.
    pub fn sign(self) -> char {
        match self {
            Took::Unknown => 'u',
            Took::Quick => 'q',
            Took::Slow => 's',
            Took::Long => 'l',
            Took::Endless => 'e',
        }
    }

    /// What a sign stands for.
    pub fn of_sign(sign: &str) -> Option<Took> {
        Took::ALL.into_iter().find(|took| sign.chars().eq([took.sign()]))
    }
}

/// Why a read failed, as a number that [`Causes`] knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cause(u8);

impl Cause {
    /// None is known.
    pub const NONE: Cause = Cause(0);

    /// The number; 0 for none.
    pub fn number(self) -> u8 {
        self.0
    }
}

/// Most causes that are told apart: drives give few.
const MOST_CAUSES: usize = 31;

/// The causes that were met, in the order in which they were; the first are those that say no more than their kind.
#[derive(Clone, Default)]
pub struct Causes(Arc<Mutex<Vec<Why>>>);

impl Causes {
    /// None was met.
    pub fn new() -> Self {
        Causes(Arc::new(Mutex::new(Failure::ALL.into_iter().map(Why::kind_of).collect())))
    }

    /// The number of a cause. Once there are 31, a new one is counted by its kind.
    pub fn number(&self, why: Why) -> Cause {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let position = |known: &[Why], why: Why| known.iter().position(|k| *k == why);
        let at = position(&known, why).or_else(|| {
            if known.len() < MOST_CAUSES {
                known.push(why);
                return Some(known.len() - 1);
            }
            position(&known, Why::kind_of(why.failure))
        });
        // The kinds are always there.
        Cause(at.map_or(0, |at| at as u8 + 1))
    }

    /// What a number stands for.
    pub fn why(&self, cause: Cause) -> Option<Why> {
        // Of millions of ranges most have none.
        let at = usize::from(cause.0).checked_sub(1)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_device::passthrough::Spoken;

    #[test]
    fn two_bytes_hold_all_of_it() {
        assert_eq!(size_of::<Fate>(), 2);
        for status in Status::ALL {
            for (tries, kept) in [(0, 0), (1, 1), (31, 31), (32, 31), (255, 31)] {
                for took in Took::ALL {
                    for cause in 0..32 {
                        let fate = Fate::new(status, tries).after(took, Cause(cause));
                        assert_eq!(
                            (fate.status(), fate.tries(), fate.took(), fate.cause().0),
                            (status, kept, took, cause)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_at_the_edge_is_like_its_neighbour() {
        assert_eq!(Took::of(0.09, Took::Unknown), Took::Quick);
        assert_eq!(Took::of(0.09, Took::Slow), Took::Slow);
        assert_eq!(Took::of(0.11, Took::Quick), Took::Quick);
        assert_eq!(Took::of(0.3, Took::Quick), Took::Slow);
        assert_eq!(Took::of(3.0, Took::Quick), Took::Long);
        assert_eq!(Took::of(60.0, Took::Long), Took::Endless);
    }

    #[test]
    fn more_causes_than_there_is_room_for_are_counted_by_their_kind() {
        let causes = Causes::new();
        let why = |ascq| Why { failure: Failure::Medium, spoken: Some(Spoken::Sense(3, 0x11, ascq)), errno: None };
        let numbers: Vec<Cause> = (0..100).map(|ascq| causes.number(why(ascq))).collect();
        for (ascq, number) in (0..100).zip(numbers) {
            assert_eq!(causes.number(why(ascq)), number);
            let said = causes.why(number).unwrap();
            assert_eq!(said, if ascq < 25 { why(ascq) } else { Why::kind_of(Failure::Medium) });
        }
        assert_eq!(causes.why(Cause::NONE), None);
    }
}
