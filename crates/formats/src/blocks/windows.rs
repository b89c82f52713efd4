//! Tables of a file, read in windows of which a bounded number is kept.

use super::HostFile;
use super::host::as_a_whole;
use super::shelf::{Shelf, owner};
use std::sync::Arc;
use tintype_core::{Result, State};

/// Bytes of a window.
const WINDOW: u64 = 16 << 10;

/// The windows of all images.
static WINDOWS: Shelf<Window> = Shelf::new(8 << 20);

/// How an entry of a table is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A byte.
    Byte,
    /// 32 bits, little-endian.
    Le32,
    /// 32 bits, big-endian.
    Be32,
    /// 64 bits, little-endian.
    Le64,
    /// 64 bits, big-endian.
    Be64,
    /// Two numbers of 64 bits, big-endian.
    Pair,
}

impl Entry {
    /// Bytes of an entry.
    pub(crate) fn width(self) -> u64 {
        match self {
            Entry::Byte => 1,
            Entry::Le32 | Entry::Be32 => 4,
            Entry::Le64 | Entry::Be64 => 8,
            Entry::Pair => 16,
        }
    }

    /// The number at the start of `bytes`, the first one of a pair; 0 if they are too few.
    pub(crate) fn number(self, bytes: &[u8]) -> u64 {
        match self {
            Entry::Byte => bytes.first().map_or(0, |b| u64::from(*b)),
            Entry::Le32 => bytes.first_chunk().map_or(0, |b| u32::from_le_bytes(*b).into()),
            Entry::Be32 => bytes.first_chunk().map_or(0, |b| u32::from_be_bytes(*b).into()),
            Entry::Le64 => bytes.first_chunk().map_or(0, |b| u64::from_le_bytes(*b)),
            Entry::Be64 | Entry::Pair => bytes.first_chunk().map_or(0, |b| u64::from_be_bytes(*b)),
        }
    }
}

/// A part of a file.
#[derive(Clone)]
enum Window {
    /// Nobody has written there, up to this offset of the file.
    Hole(u64),
    Bytes(Arc<[u8]>),
}

/// Reads entries of tables of one file. Lookups may come from several threads; clones share what they keep.
#[derive(Clone)]
pub(crate) struct Tables {
    file: HostFile,
    owner: u64,
}

/// Entries of a table that follow on each other, as far as they are at hand; at least one.
pub(crate) struct Entries {
    entry: Entry,
    held: Held,
}

enum Held {
    /// So many zeros.
    Hole(u64),
    Bytes {
        window: Arc<[u8]>,
        from: usize,
        to: usize,
    },
}

impl Tables {
    /// The tables of `file`.
    pub(crate) fn new(file: HostFile) -> Self {
        Tables { file, owner: owner() }
    }

    /// The file.
    pub(crate) fn file(&self) -> &HostFile {
        &self.file
    }

    /// The entry at `offset` of the file, and those behind it, at most `most` (which is at least 1), as far as they are in one window or
    /// in one hole of the file; `what` names the table. `Corrupt` beyond the end of the file.
    pub(crate) fn at(&self, what: &str, offset: u64, most: u64, entry: Entry) -> Result<Entries> {
        let width = entry.width();
        let start = offset / WINDOW * WINDOW;
        let end = start.saturating_add(WINDOW).min(self.file.source.len());
        let whole = end.saturating_sub(offset) / width;
        if whole == 0 {
            // It ends in the next window, or there is none.
            self.file.holds(what, offset, width)?;
            let mut bytes = vec![0; width as usize];
            self.read(&mut bytes, offset)?;
            return Ok(Entries { entry, held: Held::Bytes { window: bytes.into(), from: 0, to: width as usize } });
        }
        let held = match self.window(start, end)? {
            Window::Hole(end) => Held::Hole((end.saturating_sub(offset) / width).min(most)),
            Window::Bytes(window) => {
                let from = (offset - start) as usize;
                Held::Bytes { window, from, to: from + (whole.min(most) * width) as usize }
            }
        };
        Ok(Entries { entry, held })
    }

    fn window(&self, start: u64, end: u64) -> Result<Window> {
        let key = (self.owner, start, 0);
        if let Some(window) = WINDOWS.get(key) {
            return Ok(window);
        }
        let hole = self.file.source.extent_at(start).ok().filter(|e| e.state == State::Zero && e.offset <= start);
        let window = match hole {
            Some(hole) if hole.end() >= end => Window::Hole(hole.end()),
            _ => {
                let mut bytes = vec![0; (end - start) as usize];
                self.read(&mut bytes, start)?;
                Window::Bytes(bytes.into())
            }
        };
        let bytes = if let Window::Bytes(bytes) = &window { bytes.len() } else { 0 };
        WINDOWS.put(key, window.clone(), bytes);
        Ok(window)
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        // How much of a table is there says nothing about the bytes of the disk.
        self.file.source.read_at(bytes, offset).map_err(|e| as_a_whole(e).at(offset).met_in(&self.file.name))
    }
}

impl Entries {
    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        match &self.held {
            Held::Hole(entries) => *entries,
            Held::Bytes { from, to, .. } => (to - from) as u64 / self.entry.width(),
        }
    }

    /// Their bytes; `None` if all are zero.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match &self.held {
            Held::Hole(_) => None,
            Held::Bytes { window, from, to } => Some(&window[*from..*to]),
        }
    }

    /// Number `n`, the first one of a pair. 0 beyond the end.
    pub(crate) fn get(&self, n: u64) -> u64 {
        self.from(n, 0)
    }

    /// The second number of pair `n`.
    pub(crate) fn second(&self, n: u64) -> u64 {
        self.from(n, 8)
    }

    fn from(&self, n: u64, inside: usize) -> u64 {
        let at = |bytes: &[u8]| {
            let rest = bytes.get((n * self.entry.width()) as usize + inside..);
            rest.map_or(0, |rest| self.entry.number(rest))
        };
        self.bytes().map_or(0, at)
    }

    /// How many entries from the first on, at most `most`, `same` holds for, which is given the distance from the first one and the
    /// value; the first one is not asked about.
    pub(crate) fn run(&self, most: u64, same: impl Fn(u64, u64) -> bool) -> u64 {
        let most = most.min(self.len());
        let Some(bytes) = self.bytes() else {
            // In a hole all is alike, unless the next one already differs.
            return if most > 1 && !same(1, 0) { 1 } else { most };
        };
        match self.entry {
            Entry::Byte => run(bytes, most, |b: [u8; 1]| b[0].into(), same),
            Entry::Le32 => run(bytes, most, |b| u32::from_le_bytes(b).into(), same),
            Entry::Be32 => run(bytes, most, |b| u32::from_be_bytes(b).into(), same),
            Entry::Le64 => run(bytes, most, u64::from_le_bytes, same),
            Entry::Be64 => run(bytes, most, u64::from_be_bytes, same),
            Entry::Pair => run(bytes, most, |b: [u8; 16]| self.entry.number(&b), same),
        }
    }
}

fn run<const N: usize>(
    bytes: &[u8],
    most: u64,
    number: impl Fn([u8; N]) -> u64,
    same: impl Fn(u64, u64) -> bool,
) -> u64 {
    let (entries, _) = bytes.as_chunks::<N>();
    let later = entries.iter().zip(0..most).skip(1);
    1 + later.take_while(|(entry, i)| same(*i, number(**entry))).count() as u64
}
