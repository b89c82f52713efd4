//! A bit per sector: which sectors of a block are in the image, and which are the parent's.

use super::{Entry, HostFile, Tables};
use tintype_core::Result;

/// Which bit of a byte is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Highest,
    Lowest,
}

/// Bit maps in a file.
pub(crate) struct Bits {
    first: First,
    len: u64,
    tables: Tables,
}

impl Bits {
    /// Bit maps of `len` bytes each, the highest bit of a byte first.
    pub(crate) fn msb_first(file: HostFile, len: u64) -> Self {
        Bits { first: First::Highest, len, tables: Tables::new(file) }
    }

    /// Bit maps of `len` bytes each, the lowest bit of a byte first.
    pub(crate) fn lsb_first(file: HostFile, len: u64) -> Self {
        Bits { first: First::Lowest, len, tables: Tables::new(file) }
    }

    /// Bit `n` of the map at `at`, and how many from it on, up to bit `end`, are like it. Looks no further than one window.
    pub(crate) fn run(&self, at: u64, n: u64, end: u64) -> Result<(bool, u64)> {
        let (byte, before) = (n / 8, n % 8);
        let most = self.len.saturating_sub(byte).max(1);
        let held = self.tables.at("the bits of a block's sectors", at.saturating_add(byte), most, Entry::Byte)?;
        // From the first bit of that byte on.
        let end = (end - n / 8 * 8).min(held.len() * 8);
        let Some(bytes) = held.bytes() else { return Ok((false, end - before)) };
        let bit = |n: u64| {
            let byte = bytes[(n / 8) as usize];
            match self.first {
                First::Highest => byte & 0x80 >> (n % 8) != 0,
                First::Lowest => byte & 1 << (n % 8) != 0,
            }
        };
        let set = bit(before);
        let mut to = before + 1;
        while to < end {
            // Whole bytes are mostly all or nothing.
            let whole = to.is_multiple_of(8) && to + 8 <= end;
            if whole && bytes[(to / 8) as usize] == if set { 0xFF } else { 0 } {
                to += 8;
            } else if bit(to) == set {
                to += 1;
            } else {
                break;
            }
        }
        Ok((set, to - before))
    }
}
