//! Maps of maps.

use super::Domain;
use std::ops::Range;
use tintype_core::mapfile::{END, Mapfile, Status};
use tintype_core::{Error, RangeMap, Result};

/// What the finished bytes of two maps come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logic {
    /// Finished in both: `ddrescuelog --and-mapfile`.
    And,
    /// Finished in one of them: `ddrescuelog --or-mapfile`.
    Or,
    /// Finished in one of them, but not in both: `ddrescuelog --xor-mapfile`.
    Xor,
    /// Finished in the first and not in the second.
    Without,
}

/// The first map with its finished bytes changed by those of the second. Its other bytes keep their status, and it neither grows
/// nor shrinks; bytes that are finished no longer become `removed`.
pub fn combine(a: &Mapfile, b: &Mapfile, logic: Logic, removed: Status, domain: &Domain) -> Mapfile {
    let mut blocks = a.blocks().clone();
    for (piece, status) in domain.pieces(a) {
        let finished = status == Status::Finished;
        match (logic, finished) {
            (Logic::And, true) => {
                for gap in not_finished(b, piece) {
                    blocks.set(gap, removed);
                }
            }
            (Logic::Or | Logic::Xor, false) => {
                for range in finished_in(b, piece) {
                    blocks.set(range, Status::Finished);
                }
            }
            (Logic::Xor | Logic::Without, true) => {
                for range in finished_in(b, piece) {
                    blocks.set(range, removed);
                }
            }
            (Logic::And | Logic::Without, false) | (Logic::Or, true) => {}
        }
    }
    Mapfile::new(a.progress, blocks)
}

fn finished_in(map: &Mapfile, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
    map.blocks().within(range).filter(|(_, s)| *s == Status::Finished).map(|(r, _)| r)
}

fn not_finished(map: &Mapfile, range: Range<u64>) -> Vec<Range<u64>> {
    let mut gaps = Vec::new();
    let mut at = range.start;
    for done in finished_in(map, range.clone()) {
        gaps.push(at..done.start);
        at = done.end;
    }
    gaps.push(at..range.end);
    gaps
}

/// One map of several: where they differ, the status that is furthest in the order of the passes wins (`?` `*` `/` `-` `+`), so that
/// nothing that was read or tried anywhere is tried again. It covers what any of them covers; where the run stands is said by the
/// first. Of the others only what lies in the domain is taken.
pub fn merge(first: &Mapfile, others: &[Mapfile], domain: &Domain) -> Mapfile {
    let mut blocks = first.blocks().clone();
    for other in others {
        for (piece, status) in domain.pieces(other) {
            let mut at = piece.start;
            let known: Vec<(Range<u64>, Status)> = blocks.within(piece.clone()).collect();
            for (range, before) in known {
                blocks.set(at..range.start, status);
                blocks.set(range.clone(), before.max(status));
                at = range.end;
            }
            blocks.set(at..piece.end, status);
        }
    }
    Mapfile::new(first.progress, blocks)
}

/// What statuses become: pairs of old and new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes(Vec<(Status, Status)>);

impl Changes {
    /// Finished becomes bad, everything else finished: `ddrescuelog --invert-mapfile`.
    pub fn inversion() -> Self {
        let other = |s| if s == Status::Finished { Status::Bad } else { Status::Finished };
        Changes(Status::ALL.into_iter().map(|s| (s, other(s))).collect())
    }

    /// Parses `OLD=NEW`, two words of signs: each of OLD becomes the one at the same place in NEW, whose last stands for all that
    /// are missing. A comma may stand for the equals sign, as ddrescuelog has it.
    pub fn parse(text: &str) -> Result<Self> {
        let (old, new) = text.split_once(['=', ',']).ok_or_else(|| {
            Error::usage(format!("{text:?} are no changes; they look like '*/=?', old and new statuses"))
        })?;
        let (old, new) = (super::parse_statuses(old)?, super::parse_statuses(new)?);
        let new = |i: usize| new[i.min(new.len() - 1)];
        Ok(Changes(old.iter().enumerate().map(|(i, s)| (*s, new(i))).collect()))
    }

    fn of(&self, status: Status) -> Option<Status> {
        self.0.iter().find(|(old, _)| *old == status).map(|(_, new)| *new)
    }
}

/// The map with other statuses in the domain.
pub fn change(map: &Mapfile, changes: &Changes, domain: &Domain) -> Mapfile {
    let mut blocks = map.blocks().clone();
    for (piece, status) in domain.pieces(map) {
        if let Some(new) = changes.of(status) {
            blocks.set(piece, new);
        }
    }
    Mapfile::new(map.progress, blocks)
}

/// A distance that positions are moved by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// Towards the end.
    Up(u64),
    /// Towards 0; what would lie before it is gone.
    Down(u64),
}

impl Shift {
    /// Where `range` lies afterwards; possibly nowhere.
    pub fn apply(self, range: &Range<u64>) -> Range<u64> {
        let moved = |at: u64| match self {
            Shift::Up(by) => at.saturating_add(by).min(END),
            Shift::Down(by) => at.saturating_sub(by),
        };
        moved(range.start)..moved(range.end)
    }
}

/// The map with its blocks moved; what lies beyond the end of the domain is left out. Moved up, it is not tried before the first block.
pub fn shift(map: &Mapfile, shift: Shift, domain: &Domain) -> Mapfile {
    let mut blocks = RangeMap::new();
    for (range, status) in map.blocks().within(0..domain.end()) {
        blocks.set(shift.apply(&range), status);
    }
    if let (Shift::Up(_), Some((first, _))) = (shift, blocks.next_from(0)) {
        blocks.set(0..first.start, Status::NonTried);
    }
    Mapfile::new(map.progress, blocks)
}

/// What a comparison looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alike {
    /// Every status: `ddrescuelog --compare-mapfile`.
    Status,
    /// Whether it is finished, so that equal maps are the same domain: `ddrescuelog --compare-as-domain`.
    Finished,
}

/// A range that two maps see differently; `None` for a map that does not reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The range.
    pub range: Range<u64>,
    /// What the first says.
    pub a: Option<Status>,
    /// What the second says.
    pub b: Option<Status>,
}

/// What a comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Bytes that are seen differently.
    pub bytes: u64,
    /// The first differences, ascending.
    pub list: Vec<Difference>,
}

/// Compares what is meant of two maps; at most `most` differences are listed.
pub fn compare(a: &Mapfile, b: &Mapfile, alike: Alike, domain: &Domain, most: usize) -> Comparison {
    let both = a.range().start.min(b.range().start)..a.range().end.max(b.range().end);
    let mut found = Comparison::default();
    for part in domain.within(both) {
        let mut at = part.start;
        while at < part.end {
            let ((left, x), (right, y)) = (status_at(a, at, part.end), status_at(b, at, part.end));
            let end = left.min(right);
            let same = match alike {
                Alike::Status => x == y,
                Alike::Finished => (x == Some(Status::Finished)) == (y == Some(Status::Finished)),
            };
            if !same {
                found.bytes += end - at;
                if found.list.len() < most {
                    found.list.push(Difference { range: at..end, a: x, b: y });
                }
            }
            at = end;
        }
    }
    found
}

/// The status at `at`, and up to where it holds, at most `end`.
fn status_at(map: &Mapfile, at: u64, end: u64) -> (u64, Option<Status>) {
    match map.blocks().next_from(at) {
        Some((range, status)) if range.start <= at => (range.end.min(end), Some(status)),
        Some((range, _)) => (range.start.min(end), None),
        None => (end, None),
    }
}
