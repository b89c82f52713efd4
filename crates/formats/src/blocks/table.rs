//! One table with an entry for every block.

use super::scan::{Piece, scan};
use super::{Entries, Entry, HostFile, Tables};
use tintype_core::{Error, Result};

/// A table in a file. Lookups may come from several threads.
pub(crate) struct Table {
    tables: Tables,
    what: &'static str,
    at: u64,
    entries: u64,
    entry: Entry,
}

impl Table {
    /// The table of `entries` from `at` in `file`. `Corrupt` if it leaves the file; `what` is its name for people.
    pub(crate) fn new(what: &'static str, file: HostFile, at: u64, entries: u64, entry: Entry) -> Result<Self> {
        let end = entries.checked_mul(entry.width()).and_then(|len| len.checked_add(at));
        if end.is_none_or(|end| end > file.source.len()) {
            let what = format!("{what} of {entries} entries leaves the file, which has {} bytes", file.source.len());
            return Err(Error::corrupt(what).at(at).in_path(&file.name));
        }
        Ok(Table { tables: Tables::new(file), what, at, entries, entry })
    }

    /// How many entries it has.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Where entry `n` lies in the file.
    pub(crate) fn place(&self, n: u64) -> u64 {
        self.at + n * self.entry.width()
    }

    fn from(&self, n: u64) -> Result<Entries> {
        if n >= self.entries {
            let what = format!("entry {n} of {} is asked for, which has {}", self.what, self.entries);
            return Err(Error::corrupt(what).in_path(&self.tables.file().name));
        }
        self.tables.at(self.what, self.place(n), self.entries - n, self.entry)
    }

    /// Entry `n`. `Corrupt` beyond the end.
    pub(crate) fn get(&self, n: u64) -> Result<u64> {
        Ok(self.from(n)?.get(0))
    }

    /// Entry `n`, and how many entries from it on, at most `most`, `same` holds for: it is given entry `n`, the distance from it, and
    /// the value. Looks no further than one window, or one hole of the table.
    pub(crate) fn run(&self, n: u64, most: u64, same: impl Fn(u64, u64, u64) -> bool) -> Result<(u64, u64)> {
        let entries = self.from(n)?;
        let first = entries.get(0);
        Ok((first, entries.run(most, |i, value| same(first, i, value))))
    }

    /// Calls `each` with every entry from the first on: its number, how many there are of it, and its value. There is more than one
    /// only of zeros in a hole of the table.
    pub(crate) fn each(&self, each: &mut dyn FnMut(u64, u64, u64) -> Result<()>) -> Result<()> {
        let file = self.tables.file();
        let len = self.entries * self.entry.width();
        let done = scan(&*file.source, self.at, len, self.entry.width(), &mut |first, piece| match piece {
            Piece::Hole(count) => each(first, count, 0),
            Piece::Bytes(bytes) => {
                let mut entries = bytes.chunks_exact(self.entry.width() as usize).zip(first..);
                entries.try_for_each(|(entry, n)| each(n, 1, self.entry.number(entry)))
            }
        });
        done.map_err(|e| e.met_in(&file.name))
    }
}
