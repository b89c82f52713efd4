//! Whether a drive is well enough to be asked for several things at once.

/// Good bytes in a row that a drive has to give at first.
const AT_FIRST: u64 = 64 << 20;

/// Good bytes in a row after a failure; each further one doubles it, up to [`DOUBLED`] times.
const AFTER_FAILURE: u64 = 1 << 30;
const DOUBLED: u32 = 4;

/// Shorter reads say nothing of how fast a drive is.
const LONG: u64 = 64 << 10;

/// A read that takes so many times as long as usual, and so many seconds more, is slow.
const SLOW: f64 = 8.0;
const SLOW_SECONDS: f64 = 0.05;

/// Reads that what is usual is the average of.
const USUAL: f64 = 64.0;

/// What was seen of a drive.
pub(super) struct Health {
    // Good bytes since it was last in trouble, and how many there have to be.
    run: u64,
    need: u64,
    failures: u32,
    // Seconds a byte, and of how many reads.
    usual: f64,
    reads: f64,
}

impl Health {
    pub fn new() -> Self {
        Health { run: 0, need: AT_FIRST, failures: 0, usual: 0.0, reads: 0.0 }
    }

    /// True if nothing speaks against several reads at once.
    pub fn is_good(&self) -> bool {
        self.run >= self.need
    }

    /// A read was good.
    pub fn good(&mut self, bytes: u64, seconds: f64) {
        if bytes < LONG {
            self.run = self.run.saturating_add(bytes);
            return;
        }
        if self.reads >= USUAL / 4.0 && seconds > SLOW * self.usual(bytes) + SLOW_SECONDS {
            // It may have been busy elsewhere: that is forgiven sooner than a failure.
            self.run = 0;
            return;
        }
        self.run = self.run.saturating_add(bytes);
        self.reads = (self.reads + 1.0).min(USUAL);
        self.usual += (seconds / bytes.max(1) as f64 - self.usual) / self.reads;
    }

    /// A read failed, or did not come back.
    pub fn failed(&mut self) {
        self.run = 0;
        self.need = AFTER_FAILURE << self.failures.min(DOUBLED);
        self.failures = self.failures.saturating_add(1);
    }

    /// The seconds that a read of so many bytes usually takes.
    pub fn usual(&self, bytes: u64) -> f64 {
        self.usual * bytes as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: u64 = 1 << 20;

    fn well(health: &mut Health, bytes: u64) {
        for _ in 0..bytes / READ {
            health.good(READ, 0.007);
        }
    }

    #[test]
    fn a_drive_that_is_well_is_trusted_after_a_while() {
        let mut health = Health::new();
        well(&mut health, AT_FIRST - READ);
        assert!(!health.is_good());
        well(&mut health, READ);
        assert!(health.is_good());
    }

    #[test]
    fn one_failure_or_one_slow_read_is_enough() {
        let mut health = Health::new();
        well(&mut health, AT_FIRST);
        health.good(READ, 1.0);
        assert!(!health.is_good());
        well(&mut health, AT_FIRST);
        assert!(health.is_good());
        health.failed();
        well(&mut health, AFTER_FAILURE - READ);
        assert!(!health.is_good());
        well(&mut health, READ);
        assert!(health.is_good());
        health.failed();
        well(&mut health, AFTER_FAILURE);
        assert!(!health.is_good(), "who fails again and again is trusted later");
    }
}
