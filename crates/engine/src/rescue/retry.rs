//! What failed once more, while that brings anything.

use super::Status;
use super::passes::Rescue;
use super::yields::Yield;
use std::ops::Range;
use tintype_core::Result;

/// Below this share of successes trying again is given up.
const HOPELESS: f64 = 0.005;

impl Rescue<'_> {
    pub(super) fn retry(&mut self) -> Result<()> {
        for _ in 0..self.plan.retries {
            let mut failed = Vec::new();
            for status in [Status::Bad, Status::NonScraped] {
                for range in self.ledger.all(status) {
                    self.cut(range, &mut failed);
                }
            }
            // Where neighbours were read at last, a sector is more likely to be.
            let (beside, between): (Vec<_>, Vec<_>) =
                failed.into_iter().partition(|r| self.good_before(r.start) || self.good_after(r.end));
            let mut any = false;
            for failed in [beside, between] {
                let mut brought = Yield::expecting(0.1, 10.0);
                for i in scattered(failed.len()) {
                    let good = self.attempt(failed[i].clone())?;
                    any |= good;
                    brought.count(good);
                    if brought.share() < HOPELESS && !self.plan.exhaustive {
                        break;
                    }
                }
            }
            if !any && !self.plan.exhaustive {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Cuts a failed range at multiples of the unit; sectors that failed alone stay alone.
    pub(super) fn cut(&self, range: Range<u64>, pieces: &mut Vec<Range<u64>>) {
        let size = match self.ledger.status(range.start) {
            Some(Status::Bad) => self.plan.sector,
            _ => self.plan.unit,
        };
        let mut at = range.start;
        while at < range.end {
            let end = self.aligned_end(at, size, range.end);
            pieces.push(at..end);
            at = end;
        }
    }
}

/// The numbers below `count` in an order that goes over all of them ever more finely: what is learned early holds for the whole.
pub(super) fn scattered(count: usize) -> impl Iterator<Item = usize> {
    let bits = usize::BITS - count.saturating_sub(1).leading_zeros();
    (0..1_usize << bits)
        .map(move |i| if bits == 0 { 0 } else { i.reverse_bits() >> (usize::BITS - bits) })
        .filter(move |i| *i < count)
}
