//! What the drive itself says it cannot read: left for the late passes, since every failed read costs seconds.

use super::{Fate, Ledger, Status};
use std::ops::Range;

/// Has the copying passes pass over `known`, in whole units. Nothing is called bad: the late passes try it like everything that failed in a
/// long read, and until then neither journal nor mapfile say that it was tried.
pub(super) fn leave_for_later(ledger: &mut Ledger, known: &[Range<u64>], unit: u64) {
    let unit = unit.max(1);
    for range in known {
        let range = range.start / unit * unit..range.end.next_multiple_of(unit).min(ledger.len());
        let open: Vec<_> = ledger.within(range).filter(|(_, f)| f.status() == Status::NonTried).collect();
        for (part, _) in open {
            ledger.set(part, Fate::new(Status::NonTrimmed, 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_tried_is_left_for_later() {
        let mut ledger = Ledger::new(1 << 20);
        ledger.set(0..8192, Fate::new(Status::Finished, 0));
        leave_for_later(&mut ledger, &[4096..4608, 12_800..13_312, (1 << 20) - 512..1 << 20], 4096);
        assert_eq!(ledger.total(Status::Finished), 8192);
        assert_eq!(ledger.all(Status::NonTrimmed), [12_288..16_384, (1 << 20) - 4096..1 << 20]);
        assert_eq!(ledger.total(Status::Bad), 0);
    }
}
