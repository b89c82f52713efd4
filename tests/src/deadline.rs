//! Waiting for something that can be observed.

use std::time::{Duration, Instant};

/// A moment by which something has to have happened.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// This many seconds from now.
    pub fn after(seconds: u64) -> Self {
        Deadline(Instant::now() + Duration::from_secs(seconds))
    }

    /// True once it has passed.
    pub fn passed(&self) -> bool {
        Instant::now() >= self.0
    }

    /// The first answer of `look`, which is asked again and again; `None` if the deadline passes before there is one.
    pub fn poll<T>(&self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        loop {
            if let Some(answer) = look() {
                return Some(answer);
            }
            if self.passed() {
                return None;
            }
            // Only to leave the processor to what is waited for; nothing depends on how long this takes.
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}
