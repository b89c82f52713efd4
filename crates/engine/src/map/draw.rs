//! A map as cells on a screen.

use super::Domain;
use std::ops::Range;
use tintype_core::mapfile::{Mapfile, Status};

/// A map drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawing {
    /// The first byte drawn.
    pub offset: u64,
    /// Bytes one cell stands for; the last may stand for fewer.
    pub cell: u64,
    /// The cells; `None` where nothing of a cell is meant.
    pub cells: Vec<Option<Status>>,
}

/// The statuses, the one first that a cell shows before all others: what is lost must not vanish beside what was read.
const LOUDEST: [Status; 5] = [Status::Bad, Status::NonScraped, Status::NonTrimmed, Status::NonTried, Status::Finished];

/// Draws what is meant of `map` in at most `most > 0` cells.
///
/// A cell is finished only if every byte of it that is meant is; otherwise it shows the worst of what it stands for.
pub fn draw(map: &Mapfile, domain: &Domain, most: usize) -> Drawing {
    let range = map.range();
    cells(range.start.max(domain.start())..range.end.min(domain.end()), domain.pieces(map), most)
}

/// The same of `pieces`, all of which lie inside `span`.
pub fn cells(span: Range<u64>, pieces: impl Iterator<Item = (Range<u64>, Status)>, most: usize) -> Drawing {
    let len = span.end.saturating_sub(span.start);
    let cell = len.div_ceil(most.max(1) as u64).max(1);
    let mut seen = vec![[false; Status::ALL.len()]; usize::try_from(len.div_ceil(cell)).unwrap_or(0)];
    for (piece, status) in pieces {
        let first = ((piece.start - span.start) / cell) as usize;
        let last = ((piece.end - 1 - span.start) / cell) as usize;
        for seen in &mut seen[first..=last] {
            seen[status as usize] = true;
        }
    }
    let loudest = |seen: [bool; Status::ALL.len()]| LOUDEST.into_iter().find(|s| seen[*s as usize]);
    Drawing { offset: span.start, cell, cells: seen.into_iter().map(loudest).collect() }
}
