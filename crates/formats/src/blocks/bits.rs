//! A bit per sector: which sectors of a block are in the image, and which are the parent's.

use super::HostFile;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tintype_core::Result;

/// Bit maps that are kept.
const KEEP: usize = 16;
/// Bytes of a bit map that are read at once.
const WINDOW: u64 = 4096;

/// Which bit of a byte is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Highest,
    Lowest,
}

/// Bit maps in a file, of which a few windows are kept.
pub(crate) struct Bits {
    first: First,
    len: u64,
    // By offset in the file.
    kept: Mutex<VecDeque<(u64, Arc<Vec<u8>>)>>,
}

impl Bits {
    /// Bit maps of `len` bytes each, the highest bit of a byte first.
    pub(crate) fn msb_first(len: u64) -> Self {
        Bits { first: First::Highest, len, kept: Mutex::default() }
    }

    /// Bit maps of `len` bytes each, the lowest bit of a byte first.
    pub(crate) fn lsb_first(len: u64) -> Self {
        Bits { first: First::Lowest, len, kept: Mutex::default() }
    }

    /// Bit `n` of the map at `at`, and how many from it on, up to bit `end`, are like it. Looks no further than 32768 bits.
    pub(crate) fn run(&self, host: &HostFile, at: u64, n: u64, end: u64) -> Result<(bool, u64)> {
        let from = n / 8 / WINDOW * WINDOW;
        let window = self.window(host, at, from)?;
        let bit = |n: u64| {
            let byte = window[(n / 8 - from) as usize];
            match self.first {
                First::Highest => byte & 0x80 >> (n % 8) != 0,
                First::Lowest => byte & 1 << (n % 8) != 0,
            }
        };
        let end = end.min((from + window.len() as u64) * 8);
        let set = bit(n);
        let mut to = n + 1;
        while to < end {
            // Whole bytes are mostly all or nothing.
            let byte = window[(to / 8 - from) as usize];
            if to.is_multiple_of(8) && to + 8 <= end && byte == if set { 0xFF } else { 0 } {
                to += 8;
            } else if bit(to) == set {
                to += 1;
            } else {
                break;
            }
        }
        Ok((set, to - n))
    }

    fn window(&self, host: &HostFile, at: u64, from: u64) -> Result<Arc<Vec<u8>>> {
        let place = at.saturating_add(from);
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, window)) = lock().iter().find(|(key, _)| *key == place) {
            return Ok(Arc::clone(window));
        }
        let mut window = vec![0; WINDOW.min(self.len.saturating_sub(from)).max(1) as usize];
        host.holds("the bits of a block's sectors", place, window.len() as u64)?;
        host.source.read_at(&mut window, place).map_err(|e| e.at(place).in_path(&host.name))?;
        let window = Arc::new(window);
        let mut kept = lock();
        kept.push_front((place, Arc::clone(&window)));
        kept.truncate(KEEP);
        Ok(window)
    }
}
