//! Checking the structure: every cluster is referred to once, and lies inside the file.

use super::layout::{Header, NEED_CHECK, ZERO};
use super::read::NEED_CHECK_MEANS;
use crate::blocks::{Entry, Findings, References, nonzero};
use std::collections::HashSet;
use std::sync::Arc;
use tintype_core::{Error, Finding, OpenRequest, Result, Source};

/// Most times that all tables are gone through, for a file with more clusters than can be counted at once.
const PASSES: u32 = 64;
/// The same, where next to nothing is counted each time.
const SCATTERED: u32 = 2;
/// Most different L2 tables.
const TABLES: usize = 2 << 20;

struct Check<'a> {
    header: &'a Header,
    file: Arc<dyn Source>,
    clusters: u64,
    found: References,
    findings: Findings,
}

pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let name = &request.entry.name;
    let file = Arc::clone(request.entry.source()?);
    run(file, name).map_err(|e| e.met_in(name))
}

fn run(file: Arc<dyn Source>, name: &str) -> Result<Vec<Finding>> {
    let header = Header::read(&*file)?;
    let clusters = file.len() / header.cluster;
    let mut check =
        Check { header: &header, file, clusters, found: References::from(0), findings: Findings::new(name) };
    if header.features & NEED_CHECK != 0 {
        check.findings.warning(format!("{name} {NEED_CHECK_MEANS}"), 16);
    }
    for pass in 0..PASSES {
        check.findings.quiet = pass > 0;
        check.references()?;
        check.findings.quiet = false;
        check.leaks();
        match check.found.next() {
            Some(_) if pass >= SCATTERED && check.found.is_scattered() => break,
            None => return Ok(check.findings.finish()),
            Some(next) => check.found = References::from(next),
        }
    }
    Err(Error::limit("the image refers to clusters too far from each other to be checked"))
}

impl Check<'_> {
    /// Counts every cluster that the tables refer to.
    fn references(&mut self) -> Result<()> {
        let header = self.header;
        let table = header.table * header.cluster;
        // One of no clusters leaves the first to nobody, as QEMU sees it.
        for cluster in 0..header.header {
            self.found.add(cluster, 1);
        }
        self.take(header.l1_offset, header.table, "the L1 table", 40, None);
        let mut tables = HashSet::new();
        let file = Arc::clone(&self.file);
        nonzero(&*file, header.l1_offset, table, Entry::Le64, &mut |index, l2, _| {
            let at = header.l1_offset + index * 8;
            let touches = (index.saturating_mul(header.span()), header.span());
            let there = self.take(l2, header.table, "an L2 table", at, Some(touches));
            // Once is enough for one that is referred to again.
            if !there || !tables.insert(l2) {
                return Ok(());
            }
            if tables.len() > TABLES {
                return Err(Error::limit("more L2 tables than can be checked"));
            }
            let file = Arc::clone(&self.file);
            nonzero(&*file, l2, table, Entry::Le64, &mut |place, host, _| {
                let touches = (touches.0.saturating_add(place * header.cluster), header.cluster);
                if host != ZERO {
                    self.take(host, 1, "a cluster of the disk", l2 + place * 8, Some(touches));
                }
                Ok(())
            })
        })
    }

    /// Counts `clusters` from `offset` on, that are referred to at `at`; false if they cannot be there.
    fn take(&mut self, offset: u64, clusters: u64, what: &str, at: u64, touches: Option<(u64, u64)>) -> bool {
        let cluster = self.header.cluster;
        let first = offset / cluster;
        if !offset.is_multiple_of(cluster) || first + clusters > self.clusters {
            let what = || format!("{what} lies at {offset}, where none can be");
            self.findings.each("entries that lead where nothing can be", what, at, touches);
            return false;
        }
        let mut alone = true;
        for number in first..first + clusters {
            alone &= self.found.add(number, 1) <= 1;
        }
        if !alone {
            let what = || format!("{what} lies at {offset}, where something else is too");
            self.findings.each("entries that lead where something else is too", what, at, touches);
        }
        true
    }

    /// Tells of clusters that nothing refers to.
    fn leaks(&mut self) {
        let (cluster, clusters) = (self.header.cluster, self.clusters);
        let mut next = self.found.first();
        let end = self.found.next().unwrap_or(clusters).min(clusters);
        for (first, counts) in self.found.pages() {
            self.findings.counts(next..first.min(end), cluster, 1, 0);
            for (number, count) in (first..end).zip(counts) {
                if *count == 0 {
                    self.findings.counts(number..number + 1, cluster, 1, 0);
                }
            }
            next = first + counts.len() as u64;
        }
        self.findings.counts(next..end, cluster, 1, 0);
    }
}
