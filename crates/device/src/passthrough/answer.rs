//! What came back for a command.

use super::outcome::Outcome;
use super::sense::Registers;

/// What came back for a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub outcome: Outcome,
    /// What the drive said, in its own numbers.
    pub spoken: Spoken,
    /// Bytes that were asked for and did not come.
    pub missing: u32,
    /// By how many bytes more was asked for than the drive has, where it says that the length is wrong; below 0 where it was less.
    pub surplus: Option<i64>,
    /// The registers of an ATA drive.
    pub registers: Option<Registers>,
    /// The first dword of an NVMe completion.
    pub dword: u32,
}

/// What a drive said, in its own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// Sense key, additional sense code and qualifier of a SCSI device.
    Sense(u8, u8, u8),
    /// SCSI status and host status, where there was no sense data.
    Status(u8, u16),
    /// ATA status and error register.
    Ata(u8, u8),
    /// NVMe status code type and status code.
    Nvme(u8, u8),
    /// Nothing: the command was not carried out.
    Nothing,
}

impl std::fmt::Display for Spoken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Spoken::Sense(key, asc, ascq) => write!(f, "sense {key:x}/{asc:02x}/{ascq:02x}"),
            Spoken::Status(status, host) => write!(f, "SCSI status {status:02x}, host status {host:02x}"),
            Spoken::Ata(status, error) => write!(f, "ATA status {status:02x}, error {error:02x}"),
            Spoken::Nvme(kind, code) => write!(f, "NVMe status {kind:x}/{code:02x}"),
            Spoken::Nothing => f.write_str("no answer"),
        }
    }
}

/// An error's cause: what the drive said.
#[derive(Debug)]
pub(crate) struct Told {
    pub outcome: Outcome,
    pub spoken: Spoken,
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.outcome {
            Outcome::Done => "done",
            Outcome::Unreadable(_) => "the medium cannot be read",
            Outcome::Aborted => "the command was broken off",
            Outcome::Hardware => "a fault of the hardware",
            Outcome::NotReady => "the drive is not ready",
            Outcome::Attention => "something happened to the drive",
            Outcome::Busy => "the drive is busy",
            Outcome::Protected => "the drive is locked or protected",
            Outcome::OutOfRange => "outside the drive",
            Outcome::Unsupported => "the drive does not know this command",
            Outcome::TimedOut => "no answer in time",
            Outcome::Gone => "the drive is gone",
            Outcome::Other => "unknown",
        };
        write!(f, "{what} ({})", self.spoken)?;
        match self.outcome {
            Outcome::Unreadable(Some(lba)) => write!(f, " at block {lba}"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Told {}
