//! All metadata of a file system, found bit by bit as it comes in.

use super::{FileSystem, Followed, Lead, Part, Trace};
use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;

/// Most leads that are kept.
const MOST: usize = 1 << 19;

/// Most parts of one lead.
const MOST_PARTS: usize = 1 << 20;

/// How many times the bytes of its disk a file system may make one look at. A sound one does with less than once.
const MOST_SPENT: u64 = 8;

/// And besides: small ones have more to be looked at.
const FREE: u64 = 16 << 20;

/// Follows the leads of a file system, each until it is whole and then never again. Keeps some tens of bytes a lead, at most 2^19 of them.
#[derive(Debug)]
pub struct Survey {
    met: HashSet<Lead>,
    open: BTreeSet<Lead>,
}

impl Default for Survey {
    fn default() -> Self {
        let start = [Lead::Start];
        Survey { met: HashSet::from(start), open: BTreeSet::from(start) }
    }
}

impl Survey {
    /// Gives the parts that open leads lead to, and those that these name in turn; each with what became of its lead. The same part may come
    /// more than once. `fs` is the same file system at every call, over whatever was read by then.
    ///
    /// An image that makes one look at the same bytes again and again is left at some point, with its leads open.
    pub fn look(&mut self, fs: &dyn FileSystem, give: &mut dyn FnMut(Part, Followed)) {
        let most = fs.known().spent() + FREE + fs.source().len().saturating_mul(MOST_SPENT);
        let mut left: Vec<Lead> = self.open.iter().rev().copied().collect();
        let mut parts = Vec::new();
        while let Some(lead) = left.pop() {
            if fs.known().spent() > most {
                self.open.insert(lead);
                continue;
            }
            let (met, mut full, mut cut) = (&mut self.met, false, false);
            let followed = fs.follow(lead, &mut |trace| {
                match trace {
                    Trace::Part(part) => parts.push(part),
                    Trace::Lead(lead) if met.contains(&lead) => {}
                    Trace::Lead(_) if met.len() >= MOST => full = true,
                    Trace::Lead(lead) => {
                        met.insert(lead);
                        left.push(lead);
                    }
                }
                cut = fs.known().spent() > most || parts.len() >= MOST_PARTS;
                if cut { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            // What it names and there is no room for is found by following it again.
            let followed = if full || cut { Followed::Open } else { followed };
            match followed {
                Followed::Whole => self.open.remove(&lead),
                Followed::Open => self.open.insert(lead),
            };
            parts.drain(..).for_each(|part| give(part, followed));
        }
    }

    /// True if nothing more comes of any lead.
    pub fn is_whole(&self) -> bool {
        self.open.is_empty()
    }
}
