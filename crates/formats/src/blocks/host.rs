//! Blocks that lie as they are in a file.

use super::{HostFile, Place, Run};
use tintype_core::Result;

/// Blocks that lie side by side in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    /// Index of the file.
    pub(crate) file: usize,
    /// Offset of the first one.
    pub(crate) at: u64,
    /// Bytes of each.
    pub(crate) block: u64,
    /// How many, at least 1.
    pub(crate) count: u64,
}

impl Side {
    /// The run that starts `inside` the first block, of at most `left` bytes: as much as is in the file, in whole blocks. `Corrupt` if
    /// the first one is not.
    pub(crate) fn run(self, host: &HostFile, inside: u64, left: u64) -> Result<Run> {
        let first = (self.block - inside).min(left);
        let at = self.at.saturating_add(inside);
        host.holds("a block", at, first)?;
        let there = host.source.len() - at;
        let mut len = self.count.saturating_mul(self.block).saturating_sub(inside).min(left);
        if len > there {
            len = first + (there - first) / self.block * self.block;
        }
        Ok(Run::new(len, Place::Host { file: self.file, at }))
    }
}
