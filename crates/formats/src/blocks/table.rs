//! A table of numbers in a file, of which only a few windows are ever in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tintype_core::{Error, Result, Source, State};

/// Entries of one window.
const WINDOW: u64 = 4096;
/// Windows that are kept. A chain of 200 images keeps 100 MiB of them.
const KEEP: usize = 16;

/// How an entry is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// 32 bits, little-endian.
    Le32,
    /// 32 bits, big-endian.
    Be32,
    /// 64 bits, little-endian.
    Le64,
    /// 64 bits, big-endian.
    Be64,
}

impl Entry {
    /// Bytes of an entry.
    pub(crate) fn width(self) -> u64 {
        match self {
            Entry::Le32 | Entry::Be32 => 4,
            Entry::Le64 | Entry::Be64 => 8,
        }
    }

    fn values(self, bytes: &[u8]) -> Arc<[u64]> {
        let (fours, _) = bytes.as_chunks::<4>();
        let (eights, _) = bytes.as_chunks::<8>();
        match self {
            Entry::Le32 => fours.iter().map(|b| u32::from_le_bytes(*b).into()).collect(),
            Entry::Be32 => fours.iter().map(|b| u32::from_be_bytes(*b).into()).collect(),
            Entry::Le64 => eights.iter().map(|b| u64::from_le_bytes(*b)).collect(),
            Entry::Be64 => eights.iter().map(|b| u64::from_be_bytes(*b)).collect(),
        }
    }
}

/// Entries that follow on each other. Without values they are all zero: the table has a hole there.
#[derive(Clone)]
struct Stretch {
    first: u64,
    len: u64,
    values: Option<Arc<[u64]>>,
}

impl Stretch {
    fn end(&self) -> u64 {
        self.first + self.len
    }

    fn has(&self, n: u64) -> bool {
        self.first <= n && n < self.end()
    }

    fn get(&self, n: u64) -> u64 {
        self.values.as_ref().map_or(0, |v| v[(n - self.first) as usize])
    }
}

/// A table in a file. Lookups may come from several threads.
pub(crate) struct Table {
    file: Arc<dyn Source>,
    name: String,
    at: u64,
    entries: u64,
    entry: Entry,
    kept: Mutex<VecDeque<Stretch>>,
}

impl Table {
    /// The table of `entries` from `at` in `file`, which is called `name`. `Corrupt` if it leaves the file; `what` is its name for
    /// people.
    pub(crate) fn new(
        what: &str,
        file: Arc<dyn Source>,
        name: &str,
        at: u64,
        entries: u64,
        entry: Entry,
    ) -> Result<Self> {
        let end = entries.checked_mul(entry.width()).and_then(|len| len.checked_add(at));
        if end.is_none_or(|end| end > file.len()) {
            let what = format!("{what} of {entries} entries leaves the file, which has {} bytes", file.len());
            return Err(Error::corrupt(what).at(at).in_path(name));
        }
        Ok(Table { file, name: name.to_owned(), at, entries, entry, kept: Mutex::default() })
    }

    /// How many entries it has.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Where entry `n` lies in the file.
    pub(crate) fn place(&self, n: u64) -> u64 {
        self.at + n * self.entry.width()
    }

    /// Entry `n`. `Corrupt` beyond the end.
    pub(crate) fn get(&self, n: u64) -> Result<u64> {
        Ok(self.stretch(n)?.get(n))
    }

    /// Entry `n`, and how many entries from it on `same` holds for: it is given the distance from `n` and the value. Looks no
    /// further than one window, or one hole of the table.
    pub(crate) fn run(&self, n: u64, same: impl Fn(u64, u64) -> bool) -> Result<(u64, u64)> {
        let stretch = self.stretch(n)?;
        let first = stretch.get(n);
        let Some(values) = &stretch.values else {
            let rest = stretch.end() - n;
            // In a hole all is alike, unless the next one already differs.
            return Ok((first, if rest > 1 && !same(1, 0) { 1 } else { rest }));
        };
        let later = values[(n - stretch.first) as usize..].iter().zip(0u64..).skip(1);
        Ok((first, 1 + later.take_while(|(value, i)| same(*i, **value)).count() as u64))
    }

    /// Calls `each` with every entry from the first on: its number, how many there are of it, and its value. There is more than one
    /// only of zeros in a hole of the table.
    pub(crate) fn each(&self, each: &mut dyn FnMut(u64, u64, u64) -> Result<()>) -> Result<()> {
        let mut n = 0;
        while n < self.entries {
            let stretch = self.load(n)?;
            match &stretch.values {
                None => each(n, stretch.end() - n, 0)?,
                Some(values) => {
                    for (value, i) in values.iter().zip(stretch.first..) {
                        each(i, 1, *value)?;
                    }
                }
            }
            n = stretch.end();
        }
        Ok(())
    }

    fn stretch(&self, n: u64) -> Result<Stretch> {
        if n >= self.entries {
            let what = format!("entry {n} of a table of {} entries is asked for", self.entries);
            return Err(Error::corrupt(what).in_path(&self.name));
        }
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut kept = lock();
            if let Some(i) = kept.iter().position(|s| s.has(n)) {
                let found = kept[i].clone();
                if i >= KEEP / 2
                    && let Some(used) = kept.remove(i)
                {
                    kept.push_front(used);
                }
                return Ok(found);
            }
        }
        let stretch = self.load(n)?;
        let mut kept = lock();
        kept.push_front(stretch.clone());
        kept.truncate(KEEP);
        Ok(stretch)
    }

    fn load(&self, n: u64) -> Result<Stretch> {
        let width = self.entry.width();
        let first = n / WINDOW * WINDOW;
        let len = WINDOW.min(self.entries - first);
        if let Ok(hole) = self.file.extent_at(self.place(first))
            && hole.state == State::Zero
            && hole.offset <= self.place(first)
        {
            let zeros = ((hole.end() - self.place(first)) / width).min(self.entries - first);
            if zeros >= len {
                return Ok(Stretch { first, len: zeros, values: None });
            }
        }
        let mut bytes = vec![0; (len * width) as usize];
        self.file.read_at(&mut bytes, self.place(first)).map_err(|e| e.at(self.place(first)).in_path(&self.name))?;
        Ok(Stretch { first, len, values: Some(self.entry.values(&bytes)) })
    }
}
