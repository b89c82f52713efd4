//! Why a read failed, in the few words that a rescue remembers of every range.

use crate::passthrough::{Outcome, Spoken, Told};
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

    /// The same in words.
    pub fn words(self) -> &'static str {
        match self {
            Failure::Unknown => "failed",
            Failure::Medium => "medium error",
            Failure::Hardware => "hardware error",
            Failure::Aborted => "broken off",
            Failure::TimedOut => "timed out",
            Failure::Refused => "refused",
        }
    }

    /// What an error of a read says: what the drive said where that is known, else what the kernel made of it.
    pub fn of(error: &Error) -> Failure {
        if let Some(told) = told(error) {
            return Failure::of_outcome(told.outcome);
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

/// What a drive said, if it was asked by command.
fn told(error: &Error) -> Option<&Told> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(this) = cause {
        if let Some(told) = this.downcast_ref::<Told>() {
            return Some(told);
        }
        cause = this.source();
    }
    None
}

/// Why a read failed: of which kind that is, and in whose numbers it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why {
    /// Its kind.
    pub failure: Failure,
    /// What the drive said.
    pub spoken: Option<Spoken>,
    /// What the kernel said, where the drive was not asked by command.
    pub errno: Option<i32>,
}

impl Why {
    /// A cause of which only the kind is known.
    pub fn kind_of(failure: Failure) -> Why {
        Why { failure, spoken: None, errno: None }
    }

    /// Why the read failed that this is the error of.
    pub fn of(error: &Error) -> Why {
        let spoken = told(error).map(|told| told.spoken).filter(|spoken| *spoken != Spoken::Nothing);
        let errno = if spoken.is_some() { None } else { error.errno() };
        Why { failure: Failure::of(error), spoken, errno }
    }

    /// What was said, in the drive's or the kernel's own numbers; nothing where nobody said more than the kind.
    pub fn said(&self) -> Option<String> {
        match (self.spoken, self.errno) {
            (Some(spoken), _) => Some(spoken.to_string()),
            (None, Some(errno)) => Some(std::io::Error::from_raw_os_error(errno).to_string()),
            (None, None) => None,
        }
    }

    /// It as one short word without spaces, for journals.
    pub fn code(&self) -> String {
        let sign = self.failure.sign();
        match (self.spoken, self.errno) {
            (Some(Spoken::Sense(key, asc, ascq)), _) => format!("{sign}s{key:x}{asc:02x}{ascq:02x}"),
            (Some(Spoken::Status(status, host)), _) => format!("{sign}c{status:02x}{host:04x}"),
            (Some(Spoken::Ata(status, error)), _) => format!("{sign}a{status:02x}{error:02x}"),
            (Some(Spoken::Nvme(kind, code)), _) => format!("{sign}n{kind:x}{code:02x}"),
            (Some(Spoken::Nothing) | None, Some(errno)) => format!("{sign}e{errno}"),
            (Some(Spoken::Nothing) | None, None) => sign.to_string(),
        }
    }

    /// What such a word says.
    pub fn of_code(code: &str) -> Option<Why> {
        let mut signs = code.chars();
        let sign = signs.next()?;
        let failure = Failure::ALL.into_iter().find(|f| f.sign() == sign)?;
        let Some(form) = signs.next() else { return Some(Why::kind_of(failure)) };
        let rest = signs.as_str();
        // Exactly so many digits, lower case as they are written.
        let hex = |from: usize, to: usize| {
            let digits = rest.get(from..to)?;
            let plain = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            u16::from_str_radix(digits, 16).ok().filter(|_| plain)
        };
        let byte = |from: usize, to: usize| hex(from, to)?.try_into().ok();
        let spoken = match (form, rest.len()) {
            ('s', 5) => Spoken::Sense(byte(0, 1)?, byte(1, 3)?, byte(3, 5)?),
            ('c', 6) => Spoken::Status(byte(0, 2)?, hex(2, 6)?),
            ('a', 4) => Spoken::Ata(byte(0, 2)?, byte(2, 4)?),
            ('n', 3) => Spoken::Nvme(byte(0, 1)?, byte(1, 3)?),
            ('e', _) => {
                let errno = rest.parse().ok().filter(|e: &i32| e.to_string() == rest)?;
                return Some(Why { failure, spoken: None, errno: Some(errno) });
            }
            _ => return None,
        };
        Some(Why { failure, spoken: Some(spoken), errno: None })
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.failure.words())?;
        match self.said() {
            Some(said) => write!(f, " ({said})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_one_word_and_back() {
        let all = [
            Some(Spoken::Sense(3, 0x11, 0)),
            Some(Spoken::Sense(0xB, 0, 6)),
            Some(Spoken::Status(2, 3)),
            Some(Spoken::Ata(0x51, 0x40)),
            Some(Spoken::Nvme(2, 0x81)),
            None,
        ];
        for failure in Failure::ALL {
            for spoken in all {
                let why = Why { failure, spoken, errno: None };
                assert_eq!(Why::of_code(&why.code()), Some(why), "{}", why.code());
            }
            let why = Why { failure, spoken: None, errno: Some(121) };
            assert_eq!(Why::of_code(&why.code()), Some(why));
        }
        for wrong in
            ["", "x", "ms", "ms3110", "ms31100x", "mS31100", "ms3110G", "me", "me-", "me+5", "mn2810", "m ", "mé"]
        {
            assert_eq!(Why::of_code(wrong), None, "{wrong}");
        }
        let why = Why { failure: Failure::Medium, spoken: Some(Spoken::Sense(3, 0x11, 0)), errno: None };
        assert_eq!(why.to_string(), "medium error (sense 3/11/00)");
    }

    #[test]
    fn the_kernel_tells_medium_and_hardware_apart() {
        let of = |errno: Errno| Failure::of(&crate::fault::reading(std::path::Path::new("/dev/x"), 0, 0, errno));
        assert_eq!(of(Errno::NODATA), Failure::Medium);
        assert_eq!(of(Errno::REMOTEIO), Failure::Hardware);
        assert_eq!(of(Errno::TIMEDOUT), Failure::TimedOut);
        assert_eq!(of(Errno::IO), Failure::Unknown);
    }
}
