//! Buffers on loan: their number bounds what is in flight.

use super::lock;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// What buffers are aligned to, so that direct I/O can fill them.
const ALIGN: usize = 4096;

struct Shelf {
    buffers: Vec<Vec<u8>>,
    // Leases that may still be given out; a buffer is made when its lease is first used.
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
        let shelf = Mutex::new(Shelf { buffers: Vec::new(), free: count, closed: false });
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
        Some(Lease { buffer: shelf.buffers.pop().unwrap_or_default(), start: 0, len: 0, pool: self.clone() })
    }

    /// Nobody gets a lease any more.
    pub fn close(&self) {
        lock(&self.0.shelf).closed = true;
        self.0.came_back.notify_all();
    }
}

/// A buffer on loan; dropping it gives it back.
pub(crate) struct Lease {
    buffer: Vec<u8>,
    start: usize,
    len: usize,
    pool: Pool,
}

impl Lease {
    /// Makes the buffer `len` bytes long, at most the pool's length, and gives it for writing. Aligned to 4096.
    pub fn prepare(&mut self, len: usize) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = vec![0; self.pool.0.len + ALIGN];
        }
        self.start = self.buffer.as_ptr().align_offset(ALIGN).min(ALIGN);
        self.len = len.min(self.pool.0.len);
        &mut self.buffer[self.start..self.start + self.len]
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.len]
    }

    /// Cuts it to its first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut shelf = lock(&self.pool.0.shelf);
        let buffer = std::mem::take(&mut self.buffer);
        if !buffer.is_empty() {
            shelf.buffers.push(buffer);
        }
        shelf.free += 1;
        drop(shelf);
        self.pool.0.came_back.notify_one();
    }
}
