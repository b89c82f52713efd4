//! Where the bytes of a head lie: a drive is a row of zones, a zone is one stripe of every head, and towards the middle of the disk
//! stripes get shorter.

use super::SECTOR;
use std::ops::Range;

/// Heads and zones of a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heads {
    pub heads: u64,
    pub zones: u64,
    /// Bytes of a stripe in the first zone and in the last; straight between.
    pub outer: u64,
    pub inner: u64,
}

/// Zones and heads of a drive, at most.
pub(super) const MOST: u64 = 1 << 16;

impl Heads {
    fn stripe(&self, zone: u64) -> u64 {
        let (last, less) = ((self.zones - 1).max(1), self.outer - self.inner);
        let less = u128::from(less) * u128::from(zone) / u128::from(last);
        (self.outer - less as u64) / SECTOR * SECTOR
    }

    /// Bytes of the drive.
    pub fn len(&self) -> u64 {
        (0..self.zones).map(|zone| self.stripe(zone) * self.heads).sum()
    }

    /// The stripes of a head, ascending.
    pub fn stripes(&self, head: u64) -> Vec<Range<u64>> {
        let mut at = 0;
        let mut stripes = Vec::new();
        for zone in 0..self.zones {
            let len = self.stripe(zone);
            stripes.push(at + head * len..at + (head + 1) * len);
            at += self.heads * len;
        }
        stripes
    }
}
