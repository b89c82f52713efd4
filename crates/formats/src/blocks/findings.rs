//! What checks of block-mapped images collect.

use super::Table;
use super::overlap::{Take, overlaps};
use std::collections::BTreeMap;
use tintype_core::{Error, Finding, Result, Watch};

/// Most findings of one kind that are listed.
const MOST: u64 = 8;
/// Entries between two looks at whether the person wants to stop.
const STEP: u64 = 1 << 16;

/// Findings about one file, of which only the first few of each kind are kept.
pub(crate) struct Findings {
    file: String,
    list: Vec<Finding>,
    counts: BTreeMap<&'static str, u64>,
}

impl Findings {
    /// No findings about `file`.
    pub(crate) fn new(file: &str) -> Self {
        Findings { file: file.to_owned(), list: Vec::new(), counts: BTreeMap::new() }
    }

    /// Damage at `offset` of the file.
    pub(crate) fn damage(&mut self, what: impl Into<String>, offset: u64) {
        self.list.push(Finding::damage(what).in_file(&self.file, offset));
    }

    /// Something odd at `offset` of the file.
    pub(crate) fn warning(&mut self, what: impl Into<String>, offset: u64) {
        self.list.push(Finding::warning(what).in_file(&self.file, offset));
    }

    /// Damage at `offset` of the file to `touched`, offset and length, of the disk. Of one `kind`, which is said in the plural, a
    /// few are listed and the rest counted.
    pub(crate) fn each(&mut self, kind: &'static str, what: impl FnOnce() -> String, offset: u64, touched: (u64, u64)) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= MOST {
            let finding = Finding::damage(what()).in_file(&self.file, offset);
            self.list.push(if touched.1 > 0 { finding.touching(touched.0, touched.1) } else { finding });
        }
    }

    /// Looks for blocks that lie over each other. `place` says from an entry's number and value where its block lies, if it has one,
    /// and how long it is; `name` what to call the block of an entry, `touched` what of the disk is in it.
    pub(crate) fn overlapping(
        &mut self,
        table: &Table,
        watch: &dyn Watch,
        place: &dyn Fn(u64, u64) -> Option<(u64, u64)>,
        name: &dyn Fn(u64) -> u64,
        touched: &dyn Fn(u64) -> (u64, u64),
    ) -> Result<()> {
        let list = |take: Take<'_>| {
            table.each(&mut |n, count, value| {
                if n.is_multiple_of(STEP) && watch.cancelled() {
                    return Err(Error::cancelled());
                }
                // Two of a kind in one place are enough to know.
                for n in n..n + count.min(2) {
                    if let Some((at, len)) = place(n, value) {
                        take(n, at, len);
                    }
                }
                Ok(())
            })
        };
        let mut report = |a: u64, b: u64, at: u64| {
            let (first, second) = (name(a.min(b)), name(a.max(b)));
            let what = || format!("blocks {first} and {second} lie over each other at {at}");
            self.each("blocks that lie over each other", what, table.place(b), touched(b));
        };
        overlaps(1 << 16, &list, &mut report)
    }

    /// All of them.
    pub(crate) fn finish(mut self) -> Vec<Finding> {
        for (kind, count) in &self.counts {
            if *count > MOST {
                let what = format!("there are {} more {kind}", count - MOST);
                self.list.push(Finding::damage(what).in_file(&self.file, 0));
            }
        }
        self.list
    }
}
