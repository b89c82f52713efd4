//! What a check found, joined and bounded.

use tintype_core::Finding;

/// Most findings that are told one by one.
const TOLD: usize = 200;

/// A run of clusters with the same fault.
struct Faulty {
    first: u64,
    clusters: u64,
    cluster: u64,
    leaked: bool,
    stored: u64,
    found: u64,
}

/// Findings about one file.
pub(crate) struct Findings {
    name: String,
    list: Vec<Finding>,
    /// Damages and warnings beyond those that are told.
    more: (u64, u64),
    run: Option<Faulty>,
    /// True while things are looked at that have been told of.
    pub(crate) quiet: bool,
}

impl Findings {
    /// None about the file `name`.
    pub(crate) fn new(name: &str) -> Self {
        Findings { name: name.to_owned(), list: Vec::new(), more: (0, 0), run: None, quiet: false }
    }

    /// Damage at `offset` of the file, that touches a range of the disk.
    pub(crate) fn damage(&mut self, what: String, offset: u64, touches: Option<(u64, u64)>) {
        let finding = Finding::damage(what).in_file(&self.name, offset);
        self.push(match touches {
            Some((offset, len)) => finding.touching(offset, len),
            None => finding,
        });
    }

    /// Something odd at `offset` of the file.
    pub(crate) fn warning(&mut self, what: String, offset: u64) {
        self.push(Finding::warning(what).in_file(&self.name, offset));
    }

    fn push(&mut self, finding: Finding) {
        if self.quiet {
            return;
        }
        let damage = finding.severity == tintype_core::Severity::Damage;
        match self.list.len() < TOLD {
            true => self.list.push(finding),
            false if damage => self.more.0 += 1,
            false => self.more.1 += 1,
        }
    }

    /// A cluster that the file counts `stored` times, and that is referred to `found` times.
    pub(crate) fn count(&mut self, number: u64, cluster: u64, stored: u64, found: u64) {
        self.counts(number..number + 1, cluster, stored, found);
    }

    /// The same of several clusters.
    pub(crate) fn counts(&mut self, numbers: std::ops::Range<u64>, cluster: u64, stored: u64, found: u64) {
        if stored == found || numbers.is_empty() {
            return;
        }
        let leaked = stored > found;
        if let Some(run) = &mut self.run {
            let alike = run.leaked == leaked && run.stored == stored && run.found == found;
            if alike && run.first + run.clusters == numbers.start {
                run.clusters += numbers.end - numbers.start;
                return;
            }
            self.end_run();
        }
        let (first, clusters) = (numbers.start, numbers.end - numbers.start);
        self.run = Some(Faulty { first, clusters, cluster, leaked, stored, found });
    }

    fn end_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        let which = match run.clusters {
            1 => "a cluster is".to_owned(),
            n => format!("{n} clusters are each"),
        };
        let what = format!("{which} referred to {} times, but counted {} times", run.found, run.stored);
        let offset = run.first * run.cluster;
        match run.leaked {
            true => {
                let what = format!("{what}: {} bytes are lost to the file", run.clusters * run.cluster);
                self.push(Finding::warning(what).in_file(&self.name, offset));
            }
            false => self.push(Finding::damage(what).in_file(&self.name, offset)),
        }
    }

    /// Everything, in the order it was found.
    pub(crate) fn done(mut self) -> Vec<Finding> {
        self.end_run();
        if self.more.0 > 0 {
            self.list.push(Finding::damage(format!("{} further damages are not listed", self.more.0)));
        }
        if self.more.1 > 0 {
            self.list.push(Finding::warning(format!("{} further warnings are not listed", self.more.1)));
        }
        self.list
    }
}
