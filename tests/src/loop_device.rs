//! Loop devices as drives.

use crate::{Deadline, tool};
use std::path::{Path, PathBuf};

/// A file as a drive; detached when dropped.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
}

impl LoopDevice {
    /// `file` as a drive with sectors of `sector` bytes.
    #[track_caller]
    pub fn new(file: impl AsRef<Path>, sector: u32) -> Self {
        Self::with(file, &["-b", &sector.to_string()])
    }

    /// `file` as a drive that refuses writes.
    #[track_caller]
    pub fn read_only(file: impl AsRef<Path>) -> Self {
        Self::with(file, &["-r"])
    }

    /// `file` as a drive whose every read reaches the file, past the page cache.
    #[track_caller]
    pub fn direct(file: impl AsRef<Path>) -> Self {
        Self::with(file, &["--direct-io=on"])
    }

    /// Both of these.
    #[track_caller]
    pub fn read_only_direct(file: impl AsRef<Path>) -> Self {
        Self::with(file, &["-r", "--direct-io=on"])
    }

    /// `file` as a drive whose partitions become devices too.
    #[track_caller]
    pub fn with_partitions(file: impl AsRef<Path>) -> Self {
        Self::with(file, &["-P"])
    }

    #[track_caller]
    fn with(file: impl AsRef<Path>, options: &[&str]) -> Self {
        // Several tests, or other programs, may reach for the same free device; the one that loses asks again.
        let path = Deadline::after(30).poll(|| {
            let run = tool("losetup", &[&"-f", &"--show"]).args(options).arg(file.as_ref()).run();
            let name = run.out().trim().to_owned();
            (run.status.success() && !name.is_empty()).then_some(name)
        });
        let Some(path) = path else { panic!("no loop device for {}", file.as_ref().display()) };
        LoopDevice { path: path.into() }
    }

    /// The device, such as `/dev/loop3`.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsRef<std::ffi::OsStr> for LoopDevice {
    fn as_ref(&self) -> &std::ffi::OsStr {
        self.path.as_os_str()
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = tool("losetup", &[&"-d", &self.path]).run();
    }
}
