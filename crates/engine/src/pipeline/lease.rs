//! Buffers on loan: their number bounds what is in flight.

use super::lock;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tintype_core::{Aligned, Coded};

/// What a lease has on loan. It is used again and again: fresh memory would cost a page fault for every 4 KiB.
#[derive(Default)]
struct Kit {
    // Made when its lease is first used.
    buffer: Option<Aligned>,
    coded: Vec<Coded>,
}

struct Shelf {
    kits: Vec<Kit>,
    // Leases that may still be given out.
    free: usize,
    closed: bool,
}

struct Inner {
    shelf: Mutex<Shelf>,
    came_back: Condvar,
    len: usize,
}

/// Lends a fixed number of buffers.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

impl Pool {
    pub fn new(count: usize, len: usize) -> Self {
        let shelf = Mutex::new(Shelf { kits: Vec::new(), free: count, closed: false });
        Pool(Arc::new(Inner { shelf, came_back: Condvar::new(), len }))
    }

    /// Waits for a lease; `None` once the pool is closed.
    pub fn take(&self) -> Option<Lease> {
        let mut shelf = lock(&self.0.shelf);
        while shelf.free == 0 && !shelf.closed {
            shelf = self.0.came_back.wait(shelf).unwrap_or_else(PoisonError::into_inner);
        }
        if shelf.closed {
            return None;
        }
        shelf.free -= 1;
        Some(Lease { kit: shelf.kits.pop().unwrap_or_default(), len: 0, pool: self.clone() })
    }

    /// Nobody gets a lease any more.
    pub fn close(&self) {
        lock(&self.0.shelf).closed = true;
        self.0.came_back.notify_all();
    }
}

/// A buffer on loan; dropping it gives it back.
pub(crate) struct Lease {
    kit: Kit,
    len: usize,
    pool: Pool,
}

impl Lease {
    /// Makes the buffer `len` bytes long, at most the pool's length, and gives it for writing. Direct I/O can fill it.
    pub fn prepare(&mut self, len: usize) -> &mut [u8] {
        let room = self.pool.0.len;
        self.len = len.min(room);
        &mut self.kit.buffer.get_or_insert_with(|| Aligned::new(room))[..self.len]
    }

    pub fn bytes(&self) -> &[u8] {
        self.kit.buffer.as_ref().map_or(&[], |buffer| &buffer[..self.len])
    }

    /// Room for what encoders make of the bytes, empty, one for each of `lanes`; given back with [`Lease::keep`].
    pub fn coded(&mut self, lanes: usize) -> Vec<Coded> {
        let mut coded = std::mem::take(&mut self.kit.coded);
        coded.resize_with(lanes, Coded::default);
        coded.iter_mut().for_each(Coded::clear);
        coded
    }

    /// Takes back the room of [`Lease::coded`], with what was made.
    pub fn keep(&mut self, coded: Vec<Coded>) {
        self.kit.coded = coded;
    }

    /// What the encoder of a lane made.
    pub fn made(&self, lane: usize) -> &Coded {
        &self.kit.coded[lane]
    }

    /// Cuts it to its first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut shelf = lock(&self.pool.0.shelf);
        let kit = std::mem::take(&mut self.kit);
        if kit.buffer.is_some() {
            shelf.kits.push(kit);
        }
        shelf.free += 1;
        drop(shelf);
        self.pool.0.came_back.notify_one();
    }
}
