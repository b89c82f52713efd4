//! A drive that can be spoken to.

use super::allow::{Consent, judge};
use super::answer::{Answer, Spoken, Told};
use super::command::{Body, Command};
use super::outcome::{self, Outcome};
use super::sense::parse_sense;
use super::wire::{self, Line};
use crate::block::BlockSource;
use crate::sysfs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tintype_core::{Error, Result};

/// How a drive is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// SCSI commands: SAS, USB, and SATA drives, for which the kernel translates.
    Scsi,
    /// NVMe commands.
    Nvme,
}

/// A drive that takes commands.
pub struct Channel {
    line: Box<dyn Line>,
    path: PathBuf,
    way: Way,
    /// The NVMe namespace.
    pub(super) namespace: u32,
    /// Its folder in sysfs: that of the whole drive.
    pub(super) node: PathBuf,
    /// Where on the drive the partition begins that was opened, in bytes.
    pub(super) start: u64,
}

impl Channel {
    /// The way to a drive that is open; `None` where the kernel has none, as for virtual drives.
    pub fn of(drive: &BlockSource) -> Result<Option<Channel>> {
        let Some((node, start)) = whole(drive.device()) else { return Ok(None) };
        // A mapped device would hand the command to what lies below it, where blocks are counted otherwise.
        let kind = std::fs::read_link(node.join("device/subsystem")).ok();
        let kind = kind.as_deref().and_then(Path::file_name).and_then(|n| n.to_str());
        let fd = drive.handle().map_err(|e| Error::io("cannot be opened once more", e).in_path(drive.path()))?;
        let namespace = wire::namespace(&fd);
        let way = match (kind, namespace) {
            (Some("nvme" | "nvme-subsystem"), Some(_)) => Way::Nvme,
            (Some("scsi"), _) if wire::takes_scsi(&fd) => Way::Scsi,
            _ => return Ok(None),
        };
        let path = drive.path().to_path_buf();
        Ok(Some(Channel { line: Box::new(fd), path, way, namespace: namespace.unwrap_or(0), node, start }))
    }

    /// The way to the model of a drive whose first block is that of the whole drive.
    #[cfg(test)]
    pub(super) fn to_model(way: Way, line: Box<dyn Line>) -> Channel {
        Channel { line, path: "model".into(), way, namespace: 1, node: "model".into(), start: 0 }
    }

    /// How it is spoken to.
    pub fn way(&self) -> Way {
        self.way
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sends a command once. Every command of this program to a drive passes here.
    ///
    /// `Denied` for what is not in the table, `Io` where the kernel did not take it.
    pub(super) fn send(&self, command: Command<'_>, timeout: Duration, consent: Option<&Consent>) -> Result<Answer> {
        let mut allowed = judge(command, consent).map_err(|e| e.in_path(&self.path))?;
        // 0 would be the kernel's own limit.
        let timeout = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1);
        match allowed.command().body {
            Body::Scsi(..) => scsi_answer(self.line.scsi(&mut allowed, timeout)),
            Body::Admin(_) | Body::Io(_) => nvme_answer(self.line.nvme(&mut allowed, timeout)),
        }
        .map_err(|e| Error::io("the kernel does not pass a command to the drive", e).in_path(&self.path))
    }

    /// The error for a question that was not answered.
    pub(super) fn unanswered(&self, what: &str, answer: &Answer) -> Error {
        let told = Told { outcome: answer.outcome, spoken: answer.spoken };
        let kind = match answer.outcome {
            Outcome::Unsupported => tintype_core::Kind::Unsupported,
            _ => tintype_core::Kind::Io,
        };
        Error::new(kind, format!("{what} is not told by the drive")).because(told).in_path(&self.path)
    }

    /// The error for a setting that was not taken.
    pub(super) fn refused(&self, what: &str, answer: &Answer) -> Error {
        let told = Told { outcome: answer.outcome, spoken: answer.spoken };
        let kind = match answer.outcome {
            Outcome::Unsupported => tintype_core::Kind::Unsupported,
            _ => tintype_core::Kind::Io,
        };
        Error::new(kind, format!("{what} cannot be changed")).because(told).in_path(&self.path)
    }
}

fn scsi_answer(carried: std::io::Result<wire::Carried>) -> std::io::Result<Answer> {
    let carried = match carried {
        Err(e) => return lost(e),
        Ok(carried) => carried,
    };
    let sense = parse_sense(&carried.sense);
    let registers = sense.and_then(|s| s.ata);
    let (outcome, spoken) = match (outcome::of_host(carried.host), sense) {
        (Some(outcome), _) => (outcome, Spoken::Status(carried.status, carried.host)),
        (None, Some(sense)) => {
            let failed = registers.filter(|r| r.failed()).map(|r| Spoken::Ata(r.status, r.error));
            (outcome::of_sense(&sense), failed.unwrap_or(Spoken::Sense(sense.key, sense.asc, sense.ascq)))
        }
        (None, None) => (outcome::of_status(carried.status), Spoken::Status(carried.status, 0)),
    };
    let surplus = sense.and_then(|s| s.surplus);
    Ok(Answer { outcome, spoken, missing: carried.missing, surplus, registers, dword: 0 })
}

fn nvme_answer(done: std::io::Result<(u16, u32)>) -> std::io::Result<Answer> {
    let (status, dword) = match done {
        // The kernel's word for a command that it took back after the time was over.
        Err(e) if e.raw_os_error() == Some(libc::EINTR) => {
            return Ok(Answer::nothing(Outcome::TimedOut));
        }
        Err(e) => return lost(e),
        Ok(done) => done,
    };
    let spoken = Spoken::Nvme((status >> 8 & 7) as u8, status as u8);
    Ok(Answer { dword, spoken, ..Answer::nothing(outcome::of_nvme(status)) })
}

fn lost(e: std::io::Error) -> std::io::Result<Answer> {
    match e.raw_os_error() {
        Some(libc::ENODEV | libc::ENXIO | libc::ESHUTDOWN | libc::ENOMEDIUM) => Ok(Answer::nothing(Outcome::Gone)),
        Some(libc::ETIMEDOUT | libc::ETIME) => Ok(Answer::nothing(Outcome::TimedOut)),
        Some(libc::EIO) => Ok(Answer::nothing(Outcome::Aborted)),
        _ => Err(e),
    }
}

impl Answer {
    fn nothing(outcome: Outcome) -> Self {
        Answer { outcome, spoken: Spoken::Nothing, missing: 0, surplus: None, registers: None, dword: 0 }
    }
}

/// The folder of the whole drive with this device number, and the first byte of the partition on it.
fn whole(device: u64) -> Option<(PathBuf, u64)> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let dir = Path::new(&format!("/sys/dev/block/{major}:{minor}")).canonicalize().ok()?;
    if !dir.join("partition").exists() {
        return Some((dir, 0));
    }
    // In units of 512 bytes, whatever the sectors of the drive are.
    let start = sysfs::number(&dir.join("start"))?.checked_mul(512)?;
    Some((dir.parent()?.to_path_buf(), start))
}
