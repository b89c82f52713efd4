//! What failed once more, while that brings anything.

use super::areas::Areas;
use super::passes::Rescue;
use super::yields::Yield;
use super::{Direction, Status};
use std::ops::Range;
use tintype_core::Result;

/// Below this share of successes trying again is given up.
const HOPELESS: f64 = 0.005;

/// Where a sector was read at last, the others of its unit are tried on, if that brought something this often.
const GOES_ON: f64 = 0.4;

impl Rescue<'_> {
    pub(super) fn retry(&mut self) -> Result<()> {
        let hopeless = if self.thorough { 0.0 } else { HOPELESS };
        let mut on = Yield::expecting(0.5, 8.0);
        for round in 0..self.plan.retries {
            let mut failed = Vec::new();
            // What was not tried alone is a part of a unit whose other sectors failed: those first, and if one comes it follows.
            let statuses: &[Status] = match self.thorough {
                true => &[Status::Bad, Status::NonScraped],
                false => &[Status::Bad],
            };
            for status in statuses {
                for range in self.ledger.all(*status) {
                    self.cut(range, &mut failed);
                }
            }
            failed.sort_by_key(|piece| piece.start);
            // There and back again: what was just tried comes last.
            let way = if round % 2 == 0 { Direction::Forwards } else { Direction::Backwards };
            let expected = Yield::expecting(0.1, 4.0);
            let mut areas = Areas::of(&self.ledger, failed, self.plan.sector, expected, way);
            let mut any = false;
            while let Some((kind, piece)) = areas.next(hopeless) {
                let good = self.attempt(piece.clone())?;
                any |= good;
                areas.count(kind, good);
                // Where everything is tried anyway nothing is tried more often than was asked for.
                if good && !self.thorough && on.share() > GOES_ON {
                    self.persist(piece.start, &mut on)?;
                }
            }
            if !any && !self.thorough {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The sectors of the unit around `offset` that are missing, one of which was just read, again and again: they are weak, not dead.
    fn persist(&mut self, offset: u64, on: &mut Yield) -> Result<()> {
        let (sector, unit) = (self.plan.sector, self.plan.unit);
        let start = offset / unit * unit;
        let missing = |rescue: &Self| -> Vec<Range<u64>> {
            let ledger = &rescue.ledger;
            let failed = ledger.within(start..start + unit);
            let failed = failed.filter(|(_, fate)| matches!(fate.status(), Status::Bad | Status::NonScraped));
            let sectors = failed.flat_map(|(r, _)| (r.start..r.end).step_by(sector as usize));
            sectors.filter(|at| ledger.holds(*at)).map(|at| at..at + sector).collect()
        };
        let before = missing(self).len();
        for _ in 0..self.plan.retries {
            for piece in missing(self) {
                self.attempt(piece)?;
            }
        }
        if before > 0 {
            on.count(missing(self).len() < before);
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
