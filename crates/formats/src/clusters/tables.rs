//! Tables of the file, read in windows of which a bounded number is kept.

use super::{be64, holds};
use std::sync::{Arc, Mutex, PoisonError};
use tintype_core::{Result, Source};

/// Bytes of a window; a multiple of every entry.
const WINDOW: u64 = 16 << 10;
/// Windows kept.
const KEPT: usize = 64;

/// Reads entries of tables. What it holds is at most a megabyte.
pub(crate) struct Tables {
    source: Arc<dyn Source>,
    /// The last used first.
    kept: Mutex<Vec<(u64, Arc<[u8]>)>>,
}

/// A part of a table: from one entry to the end of the table or of what was read.
pub(crate) struct Entries {
    window: Arc<[u8]>,
    from: usize,
    to: usize,
}

impl Entries {
    /// The bytes of the entries.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.window[self.from..self.to]
    }

    /// The 64 bits at `at`, counted in bytes.
    pub(crate) fn get(&self, at: usize) -> u64 {
        be64(self.bytes(), at)
    }
}

impl Tables {
    pub(crate) fn new(source: Arc<dyn Source>) -> Self {
        Tables { source, kept: Mutex::new(Vec::new()) }
    }

    /// At least one entry of `size` bytes at `offset` of the file, and those behind it, at most `len` bytes, as far as they are at
    /// hand; `what` names the table. `Corrupt` beyond the end of the file.
    pub(crate) fn at(&self, what: &str, offset: u64, len: u64, size: u64) -> Result<Entries> {
        let key = offset / WINDOW;
        let from = offset % WINDOW;
        let start = offset - from;
        let end = self.source.len().min(start + WINDOW);
        let to = (from + len).min(end.saturating_sub(start));
        // Whole entries only.
        let to = from + to.saturating_sub(from) / size * size;
        if to == from {
            holds(&*self.source, what, offset, size)?;
        }
        let window = match self.find(key) {
            Some(window) => window,
            None => {
                let mut bytes = vec![0; (end - start) as usize];
                self.source.read_at(&mut bytes, start)?;
                self.keep(key, bytes.into())
            }
        };
        Ok(Entries { window, from: from as usize, to: to as usize })
    }

    fn find(&self, key: u64) -> Option<Arc<[u8]>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(k, _)| *k == key)?;
        kept[..=place].rotate_right(1);
        Some(Arc::clone(&kept[0].1))
    }

    fn keep(&self, key: u64, window: Arc<[u8]>) -> Arc<[u8]> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT - 1);
        kept.insert(0, (key, Arc::clone(&window)));
        window
    }
}
