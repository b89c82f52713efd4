//! Tables in a file, read in windows of which only some are kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tintype_core::{Error, Result, Source, State};

/// Bytes of a window.
pub(super) const WINDOW: u64 = 32 << 10;
/// Windows that are kept for all extents of a disk together: 8 MiB.
const KEPT: usize = 256;

/// One window, and where it begins in the file.
#[derive(Clone)]
pub(super) struct Window {
    pub(super) start: u64,
    pub(super) bytes: Arc<Vec<u8>>,
}

impl Window {
    /// The first byte after it.
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The entry of `width` bytes (4 or 8) at `offset` of the file; none beyond the window.
    pub(super) fn entry(&self, offset: u64, width: u64) -> Option<u64> {
        let bytes = self.bytes.get(offset.checked_sub(self.start)? as usize..)?;
        match width {
            4 => bytes.first_chunk().map(|b| u64::from(u32::from_le_bytes(*b))),
            _ => bytes.first_chunk().map(|b| u64::from_le_bytes(*b)),
        }
    }

    /// True if it holds nothing but zeros from `offset` of the file on.
    pub(super) fn is_zero_from(&self, offset: u64) -> bool {
        let from = offset.saturating_sub(self.start) as usize;
        self.bytes.get(from..).is_some_and(|rest| rest.iter().all(|b| *b == 0))
    }
}

#[derive(Default)]
struct Kept {
    // By extent and place in its file, with the time of the last use.
    windows: HashMap<(usize, u64), (Window, u64)>,
    clock: u64,
}

/// The windows of all extents of a disk: there may be thousands, and memory is bounded for all of them together.
#[derive(Default)]
pub(super) struct Shelf(Mutex<Kept>);

/// The tables of one extent.
pub(super) struct Windows {
    file: Arc<dyn Source>,
    extent: usize,
    shelf: Arc<Shelf>,
}

impl Windows {
    /// The tables in `file`, which is that of the extent with this number, on a shelf for all extents.
    pub(super) fn new(file: Arc<dyn Source>, extent: usize, shelf: Arc<Shelf>) -> Self {
        Windows { file, extent, shelf }
    }

    /// The tables in `file` alone.
    pub(super) fn alone(file: Arc<dyn Source>) -> Self {
        Windows::new(file, 0, Arc::default())
    }

    /// Bytes of the file.
    pub(super) fn len(&self) -> u64 {
        self.file.len()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // What is behind the lock is never half changed.
        self.shelf.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The window that `offset` lies in; `Corrupt` beyond the end of the file.
    pub(super) fn at(&self, offset: u64) -> Result<Window> {
        let start = offset / WINDOW * WINDOW;
        {
            let mut kept = self.kept();
            kept.clock += 1;
            let clock = kept.clock;
            if let Some((window, used)) = kept.windows.get_mut(&(self.extent, start)) {
                *used = clock;
                return Ok(window.clone());
            }
        }
        if offset >= self.file.len() {
            return Err(Error::corrupt("a table lies beyond the end of the file").at(offset));
        }
        let mut bytes = vec![0; WINDOW.min(self.file.len() - start) as usize];
        self.file.read_at(&mut bytes, start)?;
        let window = Window { start, bytes: Arc::new(bytes) };
        let mut kept = self.kept();
        let clock = kept.clock;
        if kept.windows.len() >= KEPT
            && let Some(oldest) = kept.windows.iter().min_by_key(|(_, (_, used))| *used).map(|(start, _)| *start)
        {
            kept.windows.remove(&oldest);
        }
        kept.windows.insert((self.extent, start), (window.clone(), clock));
        Ok(window)
    }

    /// The entry of `width` bytes at `offset`.
    pub(super) fn entry(&self, offset: u64, width: u64) -> Result<u64> {
        let window = self.at(offset)?;
        window.entry(offset, width).ok_or_else(|| Error::corrupt("a table leaves the file").at(offset))
    }

    /// The first byte from `offset` on that is not known to be a hole in the file.
    pub(super) fn hole_end(&self, offset: u64) -> Result<u64> {
        if offset >= self.file.len() {
            return Ok(offset);
        }
        let extent = self.file.extent_at(offset)?;
        Ok(if extent.state == State::Zero { extent.end() } else { offset })
    }
}
