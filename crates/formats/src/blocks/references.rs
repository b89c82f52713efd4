//! How often each cluster of a file is referred to, as a check finds it.

use std::collections::BTreeMap;

/// Clusters whose counts are kept together.
const PAGE: u64 = 4096;
/// Most pages that are kept: 64 MiB.
const PAGES: usize = 4096;

/// References that were found, from one cluster of the file on and as far as there is room for.
pub(crate) struct References {
    from: u64,
    to: u64,
    pages: BTreeMap<u64, Box<[u32; PAGE as usize]>>,
    /// The page that was used last.
    open: Option<(u64, Box<[u32; PAGE as usize]>)>,
}

impl References {
    /// None yet, of clusters from `from` on.
    pub(crate) fn from(from: u64) -> Self {
        References { from, to: u64::MAX, pages: BTreeMap::new(), open: None }
    }

    /// The first cluster whose counts are here.
    pub(crate) fn first(&self) -> u64 {
        self.from
    }

    /// The first cluster that there was no room for; `None` if there was for all.
    pub(crate) fn next(&self) -> Option<u64> {
        (self.to != u64::MAX).then_some(self.to)
    }

    /// True if there was not room for all, although there are hardly any references: they lie as far from each other as can be, which
    /// nobody writes, and to go on would take very long.
    pub(crate) fn is_scattered(&mut self) -> bool {
        self.shut();
        let found: usize = self.pages.values().map(|counts| counts.iter().filter(|n| **n > 0).count()).sum();
        self.to != u64::MAX && found < self.pages.len() * 16
    }

    /// True if counts of some of the clusters `from..to` are here.
    pub(crate) fn reaches(&self, from: u64, to: u64) -> bool {
        from < self.to && self.from < to
    }

    /// True if the counts of `cluster` are here.
    pub(crate) fn covers(&self, cluster: u64) -> bool {
        (self.from..self.to).contains(&cluster)
    }

    /// Adds references to a cluster; returns how many there are now, 0 if there was no room.
    pub(crate) fn add(&mut self, cluster: u64, references: u32) -> u32 {
        if !self.covers(cluster) {
            return 0;
        }
        let page = cluster / PAGE;
        if self.open.as_ref().is_none_or(|(open, _)| *open != page) {
            self.shut();
            let counts = self.pages.remove(&page).unwrap_or_else(|| Box::new([0; PAGE as usize]));
            self.open = Some((page, counts));
            if self.pages.len() >= PAGES && !self.make_room(page) {
                return 0;
            }
        }
        let Some((_, counts)) = &mut self.open else { return 0 };
        let count = &mut counts[(cluster % PAGE) as usize];
        *count = count.saturating_add(references);
        *count
    }

    /// Gives up the last page; false if that is the open one.
    fn make_room(&mut self, page: u64) -> bool {
        let last = self.pages.last_key_value().map_or(0, |(last, _)| *last);
        if last < page {
            self.to = page * PAGE;
            self.open = None;
            return false;
        }
        self.pages.remove(&last);
        self.to = last * PAGE;
        true
    }

    fn shut(&mut self) {
        if let Some((page, counts)) = self.open.take() {
            self.pages.insert(page, counts);
        }
    }

    /// Every cluster of a page that has a reference, with its references; and those without between them.
    pub(crate) fn pages(&mut self) -> impl Iterator<Item = (u64, &[u32])> {
        self.shut();
        let (from, to) = (self.from, self.to);
        self.pages.iter().filter(move |(page, _)| **page * PAGE >= from / PAGE * PAGE && **page * PAGE < to).map(
            move |(page, counts)| {
                let skip = from.saturating_sub(page * PAGE);
                (page * PAGE + skip, &counts[skip as usize..])
            },
        )
    }

    /// True if some cluster near `cluster` has a reference.
    pub(crate) fn has_page_of(&self, cluster: u64) -> bool {
        self.pages.contains_key(&(cluster / PAGE))
    }
}
