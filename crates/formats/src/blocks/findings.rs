//! What a check found about one file, joined and bounded.

use super::Table;
use super::overlap::{Take, overlaps};
use std::collections::BTreeMap;
use std::ops::Range;
use tintype_core::{Error, Finding, Result, Severity, Watch};

/// Most findings of one kind that are listed.
const MOST: u64 = 20;
/// Entries between two looks at whether the person wants to stop.
const STEP: u64 = 1 << 16;
/// Most pairs of blocks that lie over each other that are looked for.
const PAIRS: usize = 1 << 16;

/// A run of clusters with the same fault.
struct Miscounted {
    first: u64,
    clusters: u64,
    cluster: u64,
    stored: u64,
    found: u64,
}

/// What of a disk of `len` bytes is in block `n` of `block` bytes: offset and length.
pub(crate) fn share(n: u64, block: u64, len: u64) -> (u64, u64) {
    let from = n.saturating_mul(block).min(len);
    (from, block.min(len - from))
}

/// Findings about one file, of which only the first few of each kind are kept.
pub(crate) struct Findings {
    file: String,
    list: Vec<Finding>,
    counts: BTreeMap<&'static str, (Severity, u64)>,
    run: Option<Miscounted>,
    /// True while things are looked at again that have been told of.
    pub(crate) quiet: bool,
}

impl Findings {
    /// No findings about `file`.
    pub(crate) fn new(file: &str) -> Self {
        let (list, counts) = (Vec::new(), BTreeMap::new());
        Findings { file: file.to_owned(), list, counts, run: None, quiet: false }
    }

    /// True if there is nothing to tell yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.run.is_none()
    }

    /// Damage at `offset` of the file, of which there can be one.
    pub(crate) fn damage(&mut self, what: impl Into<String>, offset: u64) {
        self.add(Finding::damage(what).in_file(&self.file, offset));
    }

    /// Something odd at `offset` of the file, of which there can be one.
    pub(crate) fn warning(&mut self, what: impl Into<String>, offset: u64) {
        self.add(Finding::warning(what).in_file(&self.file, offset));
    }

    fn add(&mut self, finding: Finding) {
        if !self.quiet {
            self.list.push(finding);
        }
    }

    /// Whether a finding of this kind is to be told; counts it.
    fn told(&mut self, kind: &'static str, severity: Severity) -> bool {
        if self.quiet {
            return false;
        }
        let (_, count) = self.counts.entry(kind).or_insert((severity, 0));
        *count += 1;
        *count <= MOST
    }

    /// Damage at `offset` of the file to `touched`, offset and length, of the disk, if that is known. Of one `kind`, which is said in
    /// the plural, a few are listed and the rest counted.
    pub(crate) fn each(
        &mut self,
        kind: &'static str,
        what: impl FnOnce() -> String,
        offset: u64,
        touched: Option<(u64, u64)>,
    ) {
        if self.told(kind, Severity::Damage) {
            let finding = Finding::damage(what()).in_file(&self.file, offset);
            self.list.push(match touched {
                Some((from, len)) if len > 0 => finding.touching(from, len),
                _ => finding,
            });
        }
    }

    /// Clusters of `cluster` bytes that the file counts `stored` times each, and that are referred to `found` times. What follows each
    /// other is told as one.
    pub(crate) fn counts(&mut self, numbers: Range<u64>, cluster: u64, stored: u64, found: u64) {
        if stored == found || numbers.is_empty() {
            return;
        }
        let clusters = numbers.end - numbers.start;
        if let Some(run) = &mut self.run
            && (run.stored, run.found) == (stored, found)
            && run.first + run.clusters == numbers.start
        {
            run.clusters += clusters;
            return;
        }
        self.end_run();
        self.run = Some(Miscounted { first: numbers.start, clusters, cluster, stored, found });
    }

    fn end_run(&mut self) {
        let Some(Miscounted { first, clusters, cluster, stored, found }) = self.run.take() else { return };
        let which = match clusters {
            1 => "a cluster is".to_owned(),
            n => format!("{n} clusters are each"),
        };
        let what = format!("{which} referred to {found} times, but counted {stored} times");
        let offset = first.saturating_mul(cluster);
        if stored < found {
            self.each("runs of clusters that are counted too low", || what, offset, None);
        } else if self.told("runs of clusters that are lost to the file", Severity::Warning) {
            let what = format!("{what}: {} bytes are lost to the file", clusters.saturating_mul(cluster));
            self.list.push(Finding::warning(what).in_file(&self.file, offset));
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
            self.each("blocks that lie over each other", what, table.place(b), Some(touched(b)));
        };
        overlaps(PAIRS, &list, &mut report)
    }

    /// All of them.
    pub(crate) fn finish(mut self) -> Vec<Finding> {
        self.end_run();
        for (kind, (severity, count)) in &self.counts {
            if *count > MOST {
                let what = format!("there are {} more {kind}", count - MOST);
                let finding = match severity {
                    Severity::Damage => Finding::damage(what),
                    Severity::Warning => Finding::warning(what),
                };
                self.list.push(finding.in_file(&self.file, 0));
            }
        }
        self.list
    }
}
