//! What was read or decoded with effort, kept for whoever wants it again.
//!
//! There is one shelf of a kind for the whole program: a chain may have hundreds of images, a disk thousands of extents, and what all
//! of them keep together is bounded.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most things that one shelf holds.
const MOST: usize = 512;

/// Whose it is, and two numbers of the owner's own.
pub(super) type Key = (u64, u64, u64);

/// A number that nothing else has that keeps things.
pub(super) fn owner() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Keeps what was used last, of all owners together.
pub(super) struct Shelf<T> {
    /// Most bytes, but for a single thing that has more.
    bytes: usize,
    kept: Mutex<Kept<T>>,
}

struct Kept<T> {
    things: BTreeMap<Key, Thing<T>>,
    bytes: usize,
    clock: u64,
}

struct Thing<T> {
    value: T,
    bytes: usize,
    used: u64,
}

impl<T: Clone> Shelf<T> {
    /// An empty one that will hold at most `bytes`.
    pub(super) const fn new(bytes: usize) -> Self {
        Shelf { bytes, kept: Mutex::new(Kept { things: BTreeMap::new(), bytes: 0, clock: 0 }) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept<T>> {
        // What is behind the lock is never half changed.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept under `key`.
    pub(super) fn get(&self, key: Key) -> Option<T> {
        let mut kept = self.kept();
        kept.clock += 1;
        let clock = kept.clock;
        let thing = kept.things.get_mut(&key)?;
        thing.used = clock;
        Some(thing.value.clone())
    }

    /// Keeps `value`, which has so many bytes.
    pub(super) fn put(&self, key: Key, value: T, bytes: usize) {
        let mut kept = self.kept();
        let used = kept.clock;
        kept.bytes += bytes;
        if let Some(before) = kept.things.insert(key, Thing { value, bytes, used }) {
            kept.bytes -= before.bytes;
        }
        while (kept.bytes > self.bytes || kept.things.len() > MOST) && kept.things.len() > 1 {
            let oldest = kept.things.iter().filter(|(k, _)| **k != key).min_by_key(|(_, thing)| thing.used);
            let Some(oldest) = oldest.map(|(k, _)| *k) else { break };
            if let Some(gone) = kept.things.remove(&oldest) {
                kept.bytes -= gone.bytes;
            }
        }
    }
}
