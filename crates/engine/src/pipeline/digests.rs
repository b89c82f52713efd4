//! A thread per digest. After a stop digests are worthless: whoever goes on computes them from what was stored.

use super::{Shared, Unit};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use tintype_codec::digest::{Hasher, Part};

/// Zeros to hash; few enough to stay in the caches.
pub(super) static ZEROS: [u8; 128 << 10] = [0; 128 << 10];

pub(crate) struct DigestThread(JoinHandle<Hasher>);

impl DigestThread {
    pub fn spawn(mut hasher: Hasher, units: Receiver<Arc<Unit>>, shared: Arc<Shared>) -> Self {
        DigestThread(std::thread::spawn(move || {
            for unit in units {
                let parts = if hasher.takes_parts() { &unit.parts[..] } else { &[] };
                parts.iter().for_each(|part| hasher.append(part));
                if unit.run.is_none() {
                    // Bytes of parts that nobody else wants were not kept.
                    hasher.update(unit.lease.bytes().get(parts.len() * Part::LEN..).unwrap_or_default());
                } else {
                    let mut left = unit.len - (parts.len() * Part::LEN) as u64;
                    while left > 0 && !shared.stopped() {
                        let now = left.min(ZEROS.len() as u64);
                        hasher.update(&ZEROS[..now as usize]);
                        left -= now;
                    }
                }
                shared.done.fetch_max(unit.offset + unit.len, Ordering::Relaxed);
            }
            shared.digest_done();
            hasher
        }))
    }

    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    pub fn join(self) -> Hasher {
        self.0.join().expect("hashing bytes does not panic")
    }
}
