//! What kinds of reads brought, to decide which come next and which are not worth it.

/// Successes and failures of one kind of read; what is long past counts less.
#[derive(Clone, Copy, Debug)]
pub(super) struct Yield {
    good: f64,
    tried: f64,
}

/// Reads that are remembered.
const MEMORY: f64 = 400.0;

impl Yield {
    /// Expecting `share` of the reads to succeed, as if `weight` had been tried.
    pub const fn expecting(share: f64, weight: f64) -> Self {
        Yield { good: share * weight, tried: weight }
    }

    /// Counts a read.
    pub fn count(&mut self, good: bool) {
        if self.tried >= MEMORY {
            self.good *= 1.0 - 1.0 / MEMORY;
            self.tried *= 1.0 - 1.0 / MEMORY;
        }
        self.good += f64::from(u8::from(good));
        self.tried += 1.0;
    }

    /// True while hardly anything was tried.
    pub fn is_young(&self) -> bool {
        self.tried < 12.0
    }

    /// The share that is expected to succeed.
    pub fn share(&self) -> f64 {
        self.good / self.tried
    }
}
