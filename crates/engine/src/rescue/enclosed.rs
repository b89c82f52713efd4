//! What lies between two failures: samples from the middle, of the size of hole that brought most so far.

use super::passes::Rescue;
use super::yields::Yield;
use std::ops::Range;
use tintype_core::Result;

/// Below this share of good samples holes of a size are given up.
const HOPELESS: f64 = 0.005;

/// Holes of one size: 2^n units and more, less than twice that.
struct Class {
    holes: Vec<Range<u64>>,
    samples: Yield,
    // Bytes gained, and failures that cost.
    gained: f64,
    failures: f64,
}

struct Classes {
    unit: u64,
    classes: Vec<Class>,
}

impl Classes {
    fn push(&mut self, hole: Range<u64>) {
        if hole.is_empty() {
            return;
        }
        let class = ((hole.end - hole.start) / self.unit).max(1).ilog2() as usize;
        while self.classes.len() <= class {
            let expected = (self.unit << self.classes.len()) as f64 / 8.0;
            self.classes.push(Class {
                holes: Vec::new(),
                samples: Yield::expecting(0.1, 10.0),
                gained: expected,
                failures: 1.0,
            });
        }
        self.classes[class].holes.push(hole);
    }

    /// The next hole to sample, and its class.
    fn pop(&mut self, hopeless: f64) -> Option<(usize, Range<u64>)> {
        let worth = |class: &Class| class.gained / class.failures;
        let best = self
            .classes
            .iter()
            .enumerate()
            .filter(|(_, class)| !class.holes.is_empty() && class.samples.share() > hopeless)
            .max_by(|(_, a), (_, b)| worth(a).total_cmp(&worth(b)))?
            .0;
        let hole = self.classes[best].holes.pop()?;
        Some((best, hole))
    }
}

impl Rescue<'_> {
    pub(super) fn enclose(&mut self) -> Result<()> {
        let unit = self.plan.unit;
        let mut classes = Classes { unit, classes: Vec::new() };
        let mut at = 0;
        while let Some(hole) = self.next_open(at) {
            at = hole.end;
            classes.push(hole);
        }
        let hopeless = if self.thorough { 0.0 } else { HOPELESS };
        while let Some((class, hole)) = classes.pop(hopeless) {
            let middle = hole.start + (hole.end - hole.start) / 2 / unit * unit;
            let end = self.aligned_end(middle, unit, hole.end);
            let good = self.attempt(middle..end)?;
            classes.classes[class].samples.count(good);
            let (mut gained, mut failures) = (0, 1);
            if good {
                gained = end - middle;
                let behind = self.forward(end..hole.end, unit)?;
                gained += behind - end;
                failures += u64::from(behind < hole.end);
                let before = self.backward(hole.start..middle, unit)?;
                gained += middle - before;
                failures += u64::from(before > hole.start);
                classes.push(self.aligned_end(behind, unit, hole.end).min(hole.end)..hole.end);
                classes.push(hole.start..before.saturating_sub(1).max(hole.start) / unit * unit);
                failures -= 1;
            } else {
                classes.push(hole.start..middle);
                classes.push(end..hole.end);
            }
            let class = &mut classes.classes[class];
            // What is long past counts less.
            class.gained = class.gained * 0.99 + gained as f64;
            class.failures = class.failures * 0.99 + failures as f64;
        }
        Ok(())
    }
}
