//! Which device node a path is, beyond the drive it belongs to.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// What tells device nodes of one drive, and drives without a serial number, apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    /// The partition's number; empty for a whole drive.
    pub partition: String,
    /// This boot of the machine and the kernel's count of attached drives: never the same for two attachments.
    pub sequence: String,
}

/// The attachment of the block device at `path`; empty for anything else.
pub fn of(path: &Path) -> Attachment {
    let Ok(meta) = std::fs::metadata(path) else { return Attachment::default() };
    if !meta.file_type().is_block_device() {
        return Attachment::default();
    }
    let device = meta.rdev();
    let dir = format!("/sys/dev/block/{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let read = |name: &str| std::fs::read_to_string(format!("{dir}/{name}")).unwrap_or_default().trim().to_owned();
    let count = [read("diskseq"), read("../diskseq")].into_iter().find(|s| !s.is_empty()).unwrap_or_default();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Attachment { partition: read("partition"), sequence: format!("{} {count}", boot.trim()) }
}
