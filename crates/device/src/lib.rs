//! Linux: drives, files and folders as sources, disks and outlets.
//!
//! The only crate that asks the kernel for anything about drives. [`open`] gives whatever a path names as a source;
//! [`file`], [`block`], [`disk`] and [`folder`] have the parts, [`enumerate`] lists drives, and [`guard`] keeps targets
//! from being written that must not be.

pub mod attachment;
pub mod block;
mod direct;
pub mod disk;
pub mod enumerate;
mod extents;
mod failure;
mod fault;
pub mod file;
pub mod folder;
pub mod guard;
mod identity;
mod ioctl;
pub mod locks;
mod mounts;
pub mod passthrough;
mod positional;
mod presence;
#[cfg(test)]
mod recorded;
pub mod reset;
mod stack;
mod sysfs;
mod target;
mod writeback;

pub use failure::{Failure, Why};
pub use sysfs::System;

use std::path::Path;
use std::sync::Arc;
use tintype_core::{Result, Source};

/// What a path names, opened for reading.
pub enum Opened {
    /// A regular file.
    File(Arc<file::FileSource>),
    /// A drive or partition.
    Block(Arc<block::BlockSource>),
}

/// The regular file, drive or partition at `path`, opened for reading only; `Usage` for anything else.
pub fn open(path: &Path) -> Result<Opened> {
    let stat = rustix::fs::stat(path).map_err(|e| fault::preparing(path, "open for reading", e))?;
    Ok(match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::BlockDevice => Opened::Block(Arc::new(block::open(path)?)),
        _ => Opened::File(Arc::new(file::open(path)?)),
    })
}

impl Opened {
    /// Its bytes.
    pub fn source(&self) -> Arc<dyn Source> {
        match self {
            Opened::File(file) => Arc::clone(file) as Arc<dyn Source>,
            Opened::Block(block) => Arc::clone(block) as Arc<dyn Source>,
        }
    }

    /// What has happened to it since it was opened, as a sentence; none if it is the same.
    pub fn changed(&self) -> Result<Option<String>> {
        match self {
            Opened::File(file) => file.changed(),
            Opened::Block(block) => block.changed(),
        }
    }
}
