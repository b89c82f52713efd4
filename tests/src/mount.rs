//! Mounted file systems.

use crate::tool;
use std::path::{Path, PathBuf};

/// A file system that is mounted; unmounted when dropped.
#[derive(Debug)]
pub struct Mount {
    folder: PathBuf,
}

impl Mount {
    /// A file system in memory with room for `bytes`.
    #[track_caller]
    pub fn tmpfs(folder: impl Into<PathBuf>, bytes: u64) -> Self {
        let folder = folder.into();
        tool("mount", &[&"-t", &"tmpfs", &"-o", &format!("size={bytes}"), &"tintype-test", &folder]).ok();
        Mount { folder }
    }

    /// The file system on a drive, with mount options.
    #[track_caller]
    pub fn device(device: &Path, folder: impl Into<PathBuf>, options: &str) -> Self {
        let folder = folder.into();
        tool("mount", &[&"-o", &options, &device, &folder]).ok();
        Mount { folder }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !tool("umount", &[&self.folder]).run().status.success() {
            let _ = tool("umount", &[&"-l", &self.folder]).run();
        }
    }
}
