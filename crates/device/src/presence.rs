//! Whether a drive that fails is still there at all.

use crate::ioctl;
use rustix::fd::AsFd;
use rustix::fs::{major, minor};
use std::path::{Path, PathBuf};

/// What sysfs said of a drive when it was opened.
pub(crate) struct Presence {
    node: PathBuf,
    // Counts every drive the kernel ever attached (Linux 5.15): a new one under the old number is noticed.
    sequence: Option<String>,
    known: bool,
}

impl Presence {
    pub fn of(device: u64) -> Self {
        let node = PathBuf::from(format!("/sys/dev/block/{}:{}", major(device), minor(device)));
        Presence { sequence: sequence(&node), known: node.exists(), node }
    }

    /// True if the drive behind `fd` was removed, replaced or switched off since.
    pub fn lost(&self, fd: impl AsFd) -> bool {
        if !self.known {
            return false;
        }
        let offline = ["device/state", "../device/state"].iter().any(|state| {
            // A partition has no device of its own; SCSI says offline, NVMe dead.
            read(&self.node.join(state)).is_some_and(|s| matches!(&s[..], "offline" | "transport-offline" | "dead"))
        });
        offline || !self.node.exists() || sequence(&self.node) != self.sequence || ioctl::size(fd) == Ok(0)
    }
}

fn sequence(node: &Path) -> Option<String> {
    // In the folder of the whole drive, which for a partition is the one above.
    let node = node.canonicalize().ok()?;
    read(&node.join("diskseq")).or_else(|| read(&node.parent()?.join("diskseq")))
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|s| s.trim().to_owned())
}
