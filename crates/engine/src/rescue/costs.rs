//! What reads cost on this drive, learned from those that were made.

/// A drive nobody has heard from yet is taken for this one.
const FAILURE: f64 = 0.5;
const COMMAND: f64 = 0.001;

/// A failure is worth more time than it takes: it also wears the drive.
const WEAR: f64 = 2.0;

/// Averages of what was seen.
pub(super) struct Costs {
    failure: f64,
    command: f64,
    failures: f64,
    commands: f64,
}

impl Costs {
    pub fn new() -> Self {
        Costs { failure: FAILURE, command: COMMAND, failures: 4.0, commands: 64.0 }
    }

    pub fn failed(&mut self, seconds: f64) {
        self.failures = (self.failures + 1.0).min(64.0);
        self.failure += (seconds - self.failure) / self.failures;
    }

    /// A good read of at most a few sectors.
    pub fn small(&mut self, seconds: f64) {
        self.commands = (self.commands + 1.0).min(256.0);
        self.command += (seconds - self.command) / self.commands;
    }

    /// How many small good reads a failing one is worth. A drive whose failures cost nothing is still spared them.
    pub fn reads_per_failure(&self) -> f64 {
        (WEAR * self.failure / self.command.max(1e-6)).clamp(2_000.0, 40_000.0)
    }
}
