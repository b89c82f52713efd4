//! Where the next dead stripe will be.
//!
//! A drive with a dead head is bad in stripes: one a zone, whose distance and width hardly change from one to the next. Three stripes
//! with exact edges tell where the fourth will be; every further one corrects the guess.

/// A stripe that was found, both edges exact or nearly so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stripe {
    pub start: u64,
    pub end: u64,
}

/// Where a stripe is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guess {
    pub start: u64,
    pub end: u64,
    /// How far off the start may be.
    pub margin: u64,
    /// How far off the width may be.
    pub width_margin: u64,
}

/// Stripes that a guess is made from.
const REMEMBERED: usize = 8;

/// Stripes found so far, ascending.
#[derive(Default)]
pub(super) struct Geometry {
    stripes: Vec<Stripe>,
    // How far guesses were off lately: the worst counts, and is forgotten by halves.
    off_start: Option<u64>,
    off_width: Option<u64>,
    // Guesses in a row that were right to the unit.
    exact: u32,
    // Stripes in a row that let nothing be expected.
    in_vain: u32,
    // How much wider than usual a stripe is looked for that was not where it was expected.
    wider: u64,
}

impl Geometry {
    /// True if it is worth finding the edges of a hole at once: nothing is known yet, or something fits.
    pub fn wants_edges(&self) -> bool {
        self.trend().is_some() || self.in_vain < 3
    }

    /// Where the last stripe ended.
    pub fn last_end(&self) -> Option<u64> {
        self.stripes.last().map(|s| s.end)
    }

    /// The stripes that are remembered.
    pub fn stripes(&self) -> &[Stripe] {
        &self.stripes
    }

    /// A stripe was found. `unit` is as exact as edges get.
    pub fn found(&mut self, stripe: Stripe, unit: u64) {
        if self.stripes.last().is_some_and(|last| stripe.start <= last.start) {
            // A new walk over the drive, with another domain.
            self.forget();
        }
        if let Some(guess) = self.next(unit) {
            let start = guess.start.abs_diff(stripe.start);
            let width = (guess.end - guess.start).abs_diff(stripe.end - stripe.start);
            self.exact = if start.max(width) < unit { self.exact + 1 } else { 0 };
            self.off_start = Some(start.max(self.off_start.unwrap_or(0) / 2));
            self.off_width = Some(width.max(self.off_width.unwrap_or(0) / 2));
        }
        self.wider = 1;
        self.stripes.push(stripe);
        if self.stripes.len() > REMEMBERED {
            self.stripes.remove(0);
        }
        self.in_vain = if self.trend().is_some() { 0 } else { self.in_vain + 1 };
        if self.stripes.len() >= 3 && self.in_vain > 0 {
            // Perhaps a new series begins with the last two.
            self.stripes.drain(..self.stripes.len() - 2);
            (self.off_start, self.off_width, self.exact) = (None, None, 0);
        }
    }

    /// No stripe was where one was expected: it is looked for in a wider range, and then no more. True if there is a wider range.
    pub fn overdue(&mut self, unit: u64) -> bool {
        let before = self.next(unit).map(|g| g.margin);
        self.exact = 0;
        self.wider *= 4;
        let after = self.next(unit).map(|g| g.margin);
        let wider = after > before;
        if !wider {
            self.forget();
        }
        wider
    }

    /// Nothing is expected any more.
    pub fn forget(&mut self) {
        *self = Geometry::default();
    }

    /// True if guesses are so good that they need no proof: whatever they leave out is looked at later.
    pub fn is_certain(&self) -> bool {
        self.exact >= 2
    }

    /// The next stripe, if one can be expected.
    pub fn next(&self, unit: u64) -> Option<Guess> {
        let (step, width) = self.trend()?;
        let last = self.stripes.last()?;
        let start = last.start.checked_add(step)?;
        let margin = |off: Option<u64>, all: u64| match off {
            _ if self.is_certain() => unit,
            Some(off) => (2 * off + 2 * unit) * self.wider.max(1),
            None => (all / 64 + 16 * unit) * self.wider.max(1),
        };
        Some(Guess {
            start,
            end: start.checked_add(width)?,
            margin: margin(self.off_start, step).min(step / 8),
            width_margin: margin(self.off_width, width).min(width / 2),
        })
    }

    /// Distance to the next stripe and its width, as the ones before let expect; nothing if those do not agree.
    fn trend(&self) -> Option<(u64, u64)> {
        if self.stripes.len() < 3 {
            return None;
        }
        let steps: Vec<f64> = self.stripes.windows(2).map(|w| (w[1].start - w[0].start) as f64).collect();
        let widths: Vec<f64> = self.stripes.iter().map(|s| (s.end - s.start) as f64).collect();
        let alike = |v: &[f64]| v.windows(2).all(|w| (w[0] - w[1]).abs() <= w[0].max(w[1]) / 5.0);
        let (step, width) = (next_on_line(&steps), next_on_line(&widths));
        let fits = alike(&steps) && alike(&widths) && width > 0.0 && width * 2.0 < step;
        fits.then_some((step.round() as u64, width.round() as u64))
    }
}

/// The value that continues the straight line nearest to `values`, of which there are two or more.
fn next_on_line(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let (mean_x, mean_y) = ((n - 1.0) / 2.0, values.iter().sum::<f64>() / n);
    let (mut over, mut under) = (0.0, 0.0);
    for (i, y) in values.iter().enumerate() {
        let x = i as f64 - mean_x;
        over += x * (y - mean_y);
        under += x * x;
    }
    mean_y + over / under * (n - mean_x)
}
