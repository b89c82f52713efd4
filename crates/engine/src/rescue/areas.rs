//! Failed pieces by the length of the failed area that they are part of: what stands alone is more often weak than dead, and the ends of
//! a long area more often than its middle. The kind that brings most comes first.

use super::retry::scattered;
use super::yields::Yield;
use super::{Direction, Ledger, Status};
use std::ops::Range;

/// So few pieces of a kind are tried in the order of the drive, which saves it the way; more of them from everywhere, so that what is
/// learned early holds for all.
const IN_ORDER: usize = 256;

/// Pieces of one kind, the next one last.
struct Kind {
    pieces: Vec<Range<u64>>,
    brought: Yield,
}

/// Pieces that failed.
pub(super) struct Areas {
    kinds: Vec<Kind>,
}

impl Areas {
    /// `pieces` of `size` bytes, ascending; of each it is expected that it brings what `expected` says.
    pub fn of(ledger: &Ledger, pieces: Vec<Range<u64>>, size: u64, expected: Yield, way: Direction) -> Self {
        let mut kinds: Vec<Kind> = Vec::new();
        let mut failed = failed(ledger).peekable();
        for piece in pieces {
            while failed.next_if(|area| area.end <= piece.start).is_some() {}
            let area = failed.peek().cloned().unwrap_or(piece.clone());
            let long = ((area.end - area.start) / size).max(1).ilog2() as usize;
            let inside = area.start < piece.start && piece.end < area.end;
            let kind = 2 * long + usize::from(inside);
            while kinds.len() <= kind {
                kinds.push(Kind { pieces: Vec::new(), brought: expected });
            }
            kinds[kind].pieces.push(piece);
        }
        for kind in &mut kinds {
            let count = kind.pieces.len();
            match (count <= IN_ORDER, way) {
                (true, Direction::Forwards) => kind.pieces.reverse(),
                (true, Direction::Backwards) => {}
                (false, _) => kind.pieces = scattered(count).map(|i| kind.pieces[i].clone()).collect(),
            }
        }
        Areas { kinds }
    }

    /// The next piece, and its kind; none if all kinds that are left bring less than `hopeless`.
    pub fn next(&mut self, hopeless: f64) -> Option<(usize, Range<u64>)> {
        let open = |(_, kind): &(usize, &Kind)| !kind.pieces.is_empty() && kind.brought.share() > hopeless;
        let best = self.kinds.iter().enumerate().rev().filter(open);
        let best = best.max_by(|(_, a), (_, b)| a.brought.share().total_cmp(&b.brought.share()))?.0;
        Some((best, self.kinds[best].pieces.pop()?))
    }

    /// What a piece came to.
    pub fn count(&mut self, kind: usize, good: bool) {
        self.kinds[kind].brought.count(good);
    }
}

/// What is meant and not finished, ascending, in whole areas.
fn failed(ledger: &Ledger) -> impl Iterator<Item = Range<u64>> + '_ {
    let mut pieces = ledger.pieces().filter(|(_, fate)| fate.status() != Status::Finished).map(|(r, _)| r).peekable();
    std::iter::from_fn(move || {
        let mut area = pieces.next()?;
        while let Some(next) = pieces.next_if(|next| next.start == area.end) {
            area.end = next.end;
        }
        Some(area)
    })
}

#[cfg(test)]
mod tests {
    use super::super::Fate;
    use super::*;

    #[test]
    fn what_stands_alone_comes_first_and_what_brings_most_after_that() {
        let mut ledger = Ledger::new(1000);
        ledger.set(0..1000, Fate::new(Status::Finished, 0));
        let pieces = [10..11, 20..21, 21..22, 22..23, 40..41];
        for piece in &pieces {
            ledger.set(piece.clone(), Fate::new(Status::Bad, 1));
        }
        let expected = Yield::expecting(0.25, 4.0);
        let mut areas = Areas::of(&ledger, pieces.to_vec(), 1, expected, Direction::Forwards);
        let (alone, first) = areas.next(0.0).unwrap();
        assert_eq!(first, 10..11);
        areas.count(alone, false);
        let (edge, second) = areas.next(0.0).unwrap();
        assert_eq!(second, 20..21, "the ends of an area are expected to bring more now");
        areas.count(edge, false);
        assert_eq!(areas.next(0.0).unwrap().1, 21..22, "nothing speaks against its middle");
        areas.count(alone, true);
        assert_eq!(areas.next(0.0).unwrap().1, 40..41);
        assert!(areas.next(0.5).is_none(), "what is left is hopeless");
        let mut back = Areas::of(&ledger, pieces.to_vec(), 1, expected, Direction::Backwards);
        assert_eq!(back.next(0.0).unwrap().1, 40..41);
    }
}
