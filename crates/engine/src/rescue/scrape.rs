//! Failed units sector by sector, while that brings anything.

use super::areas::Areas;
use super::passes::Rescue;
use super::yields::Yield;
use super::{Direction, Status};
use std::ops::Range;
use tintype_core::Result;

/// So few units are tried to the end without asking whether it pays.
const FEW: usize = 64;

/// Below this share of units that give anything the rest is left as it is.
const HOPELESS: f64 = 0.01;

/// A second look into a unit whose first sector failed has to succeed that often.
const SECOND_LOOK: f64 = 0.03;

/// Sectors of a unit that gave something are tried again at once where that often helps.
const AGAIN: f64 = 0.4;

impl Rescue<'_> {
    pub(super) fn scrape(&mut self) -> Result<()> {
        let mut units = Vec::new();
        for range in self.ledger.all(Status::NonScraped) {
            self.cut(range, &mut units);
        }
        if self.plan.sector >= self.plan.unit {
            // There is nothing inside a unit; these are sectors that were not tried alone.
            for unit in units {
                self.attempt(unit)?;
            }
            return Ok(());
        }
        let hopeless = if self.thorough { 0.0 } else { HOPELESS };
        let thorough = self.thorough || units.len() <= FEW;
        let expected = Yield::expecting(0.25, 4.0);
        let mut areas = Areas::of(&self.ledger, units, self.plan.unit, expected, Direction::Forwards);
        let mut second = Yield::expecting(0.25, 16.0);
        let mut again = Yield::expecting(0.5, 8.0);
        let mut sure = Vec::new();
        while let Some((kind, unit)) = areas.next(hopeless) {
            let good = self.scrape_unit(unit.clone(), thorough, &mut second, &mut sure)?;
            areas.count(kind, good);
            if good && again.share() > AGAIN {
                self.at_once(unit, &mut again)?;
            }
        }
        for sector in sure {
            self.attempt(sector)?;
        }
        Ok(())
    }

    /// The failed sectors of a unit once more.
    fn at_once(&mut self, unit: Range<u64>, again: &mut Yield) -> Result<()> {
        let mut failed = Vec::new();
        for (range, fate) in self.ledger.within(unit) {
            if fate.status() == Status::Bad {
                self.cut(range, &mut failed);
            }
        }
        if failed.len() < 2 {
            // Where one sector fails it is the sector, and not the unit, that is bad.
            return Ok(());
        }
        for sector in failed {
            again.count(self.attempt(sector)?);
        }
        Ok(())
    }

    /// True if any sector was read. Where all but the last were, that is the one that fails: it is put down in `sure`, to be tried when
    /// failures bring no more elsewhere.
    fn scrape_unit(
        &mut self,
        unit: Range<u64>,
        thorough: bool,
        second: &mut Yield,
        sure: &mut Vec<Range<u64>>,
    ) -> Result<bool> {
        let sector = self.plan.sector;
        let mut good = false;
        let mut unit = unit;
        if !self.good_before(unit.start) && self.good_after(unit.end) {
            let end = self.backward(unit.clone(), sector)?;
            good = end < unit.end;
            // What is before the sector that failed, and touches nothing good.
            unit.end = end.saturating_sub(sector).max(unit.start);
            if !thorough || unit.is_empty() {
                return Ok(good);
            }
        }
        let whole = unit.end - unit.start == self.plan.unit;
        let until = if whole { unit.end - sector } else { unit.end };
        let failed = self.forward(unit.start..until, sector)?;
        if whole && failed == until {
            sure.push(until..unit.end);
            return Ok(true);
        }
        good |= failed > unit.start;
        let mut at = failed + sector;
        while at < unit.end {
            if !good && second.share() < SECOND_LOOK && !thorough {
                return Ok(false);
            }
            let all = self.attempt(at..unit.end)?;
            if !good {
                second.count(all);
            }
            if all {
                return Ok(true);
            }
            if !good && !thorough {
                return Ok(false);
            }
            let next = self.forward(at..unit.end, sector)?;
            good |= next > at;
            at = next + sector;
        }
        Ok(good)
    }
}
