//! Why a read failed, in the few words that a rescue remembers of every range.

use crate::passthrough::Outcome;
use rustix::io::Errno;
use tintype_core::Error;

/// Why a read failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// Not known: the kernel says "I/O error" for many things.
    #[default]
    Unknown,
    /// The medium does not give the data.
    Medium,
    /// A fault of the drive's hardware.
    Hardware,
    /// The command was broken off, by the drive or on the way.
    Aborted,
    /// No answer in time.
    TimedOut,
    /// The drive refuses, or does not know such a place.
    Refused,
}

impl Failure {
    /// All of them.
    pub const ALL: [Failure; 6] =
        [Failure::Unknown, Failure::Medium, Failure::Hardware, Failure::Aborted, Failure::TimedOut, Failure::Refused];

    /// The sign that stands for it in a journal.
    pub fn sign(self) -> char {
        match self {
            Failure::Unknown => 'u',
            Failure::Medium => 'm',
            Failure::Hardware => 'h',
            Failure::Aborted => 'a',
            Failure::TimedOut => 't',
            Failure::Refused => 'r',
        }
    }

    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Failure::Unknown => "unknown",
            Failure::Medium => "medium",
            Failure::Hardware => "hardware",
            Failure::Aborted => "aborted",
            Failure::TimedOut => "timed_out",
            Failure::Refused => "refused",
        }
    }

    /// What an error of a read says: what the drive said where that is known, else what the kernel made of it.
    pub fn of(error: &Error) -> Failure {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(this) = cause {
            if let Some(told) = this.downcast_ref::<crate::passthrough::Told>() {
                return Failure::of_outcome(told.outcome);
            }
            cause = this.source();
        }
        // What the block layer makes of sense data (`blk_errors` in block/blk-core.c, `scsi_result_to_blk_status`).
        match error.errno().map(Errno::from_raw_os_error) {
            Some(Errno::NODATA | Errno::ILSEQ | Errno::BADMSG) => Failure::Medium,
            Some(Errno::REMOTEIO) => Failure::Hardware,
            Some(Errno::TIMEDOUT | Errno::TIME) => Failure::TimedOut,
            Some(Errno::BADE | Errno::OPNOTSUPP) => Failure::Refused,
            _ => Failure::Unknown,
        }
    }

    fn of_outcome(outcome: Outcome) -> Failure {
        match outcome {
            Outcome::Unreadable(_) => Failure::Medium,
            Outcome::Hardware => Failure::Hardware,
            Outcome::Aborted | Outcome::Attention | Outcome::Busy => Failure::Aborted,
            Outcome::TimedOut => Failure::TimedOut,
            Outcome::Protected | Outcome::OutOfRange | Outcome::Unsupported => Failure::Refused,
            Outcome::Done | Outcome::NotReady | Outcome::Gone | Outcome::Other => Failure::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_medium_and_hardware_apart() {
        let of = |errno: Errno| Failure::of(&crate::fault::reading(std::path::Path::new("/dev/x"), 0, 0, errno));
        assert_eq!(of(Errno::NODATA), Failure::Medium);
        assert_eq!(of(Errno::REMOTEIO), Failure::Hardware);
        assert_eq!(of(Errno::TIMEDOUT), Failure::TimedOut);
        assert_eq!(of(Errno::IO), Failure::Unknown);
    }
}
