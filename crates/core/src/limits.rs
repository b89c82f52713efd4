//! How much an input may ask for.

use crate::{Error, Result};

/// Bounds on what an input may make the program do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest single allocation that a length from the input may size, in bytes.
    pub allocation: u64,
    /// Largest total of tables kept for one image, in bytes.
    pub tables: u64,
    /// Longest chain of files (backing files, nested containers).
    pub depth: u32,
    /// Most files one image may consist of.
    pub files: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { allocation: 64 << 20, tables: 1 << 30, depth: 200, files: 1 << 20 }
    }
}

impl Limits {
    /// `len` as a size to allocate, or a `Limit` error that names `what`.
    pub fn allocate(&self, what: &str, len: u64) -> Result<usize> {
        if len > self.allocation {
            return Err(Error::limit(format!(
                "{what} would take {len} bytes of memory, the limit is {}",
                self.allocation
            )));
        }
        usize::try_from(len).map_err(|_| Error::limit(format!("{what} of {len} bytes does not fit this machine")))
    }
}
