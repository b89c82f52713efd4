//! How long work tells what it does, and hears that it should stop.

use std::sync::atomic::{AtomicBool, Ordering};

/// Something a person may want to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A stage of work begins; `total` in bytes where it is known.
    Begin {
        /// What the stage does, in a few words.
        title: String,
        /// Bytes to do.
        total: Option<u64>,
    },
    /// The stage has done this many bytes.
    Progress {
        /// Bytes done.
        done: u64,
        /// Bytes that could not be read so far.
        lost: u64,
    },
    /// The stage is over.
    End,
    /// Something worth knowing.
    Note(String),
    /// Something that may be wrong.
    Warning(String),
}

/// Receives events, and says when to stop. Called from any thread.
pub trait Watch: Send + Sync {
    /// Shows `event`. Must not block for long.
    fn event(&self, event: &Event);

    /// True once the person asked to stop.
    fn cancelled(&self) -> bool {
        false
    }
}

/// A watch that shows nothing; its flag stops the work.
#[derive(Debug, Default)]
pub struct Silent {
    stop: AtomicBool,
}

impl Silent {
    /// Asks the work to stop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Watch for Silent {
    fn event(&self, _event: &Event) {}

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
