//! All passes the other way round: the same passes over a drive in a mirror.

use super::{Drive, Fate, Ledger, Pass, Reply, Status};
use crate::map::Domain;
use std::ops::Range;
use tintype_core::Result;

/// A drive whose end is its begin.
///
/// A drive that is no whole number of sectors begins with what its last sector lacks, which is not meant and never read.
pub(super) struct Mirror<'a> {
    drive: &'a mut dyn Drive,
    // Whole sectors.
    len: u64,
}

impl<'a> Mirror<'a> {
    pub fn new(drive: &'a mut dyn Drive, len: u64, sector: u64) -> Self {
        Mirror { drive, len: len.next_multiple_of(sector) }
    }

    /// The ledger as this drive has it.
    pub fn ledger(&self, ledger: &Ledger) -> Ledger {
        let mut other = Ledger::new(self.len);
        for (range, fate) in ledger.iter() {
            other.set(self.turn(range), fate);
        }
        other.set(0..self.len - ledger.len(), Fate::new(Status::Finished, 0));
        let meant: Vec<_> = ledger.domain().within(0..ledger.len()).map(|range| self.turn(range)).collect();
        other.restrict(&Domain::of(meant));
        other
    }

    /// The ledger of this drive as the real one has it, which has `len` bytes.
    pub fn back(&self, ledger: &Ledger, len: u64) -> Ledger {
        let mut other = Ledger::new(len);
        for (range, fate) in ledger.iter() {
            let range = self.turn(range);
            other.set(range.start..range.end.min(len), fate);
        }
        let meant: Vec<_> = ledger.domain().within(0..self.len).map(|range| self.turn(range)).collect();
        other.restrict(&Domain::of(meant));
        other
    }

    fn turn(&self, range: Range<u64>) -> Range<u64> {
        self.len - range.end..self.len - range.start
    }
}

impl Drive for Mirror<'_> {
    fn read(&mut self, range: Range<u64>) -> Result<Reply> {
        let len = range.end - range.start;
        let reply = self.drive.read(self.turn(range))?;
        // What came before a failure lies behind it here, where nobody can go on from it: it is read once more.
        Ok(Reply { good: if reply.failed { 0 } else { reply.good.min(len) }, ..reply })
    }

    fn mark(&mut self, range: Range<u64>, fate: Fate) -> Result<()> {
        let turned = self.turn(range);
        self.drive.mark(turned, fate)
    }

    fn slow(&self) -> bool {
        self.drive.slow()
    }

    fn look(&mut self, ledger: &Ledger) -> Result<()> {
        self.drive.look(ledger)
    }

    fn save(&mut self) -> Result<()> {
        self.drive.save()
    }

    fn pass(&mut self, pass: Pass, ledger: &Ledger) -> Result<()> {
        self.drive.pass(pass, ledger)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, everything, models};
    use super::super::{Cause, Effort, Model, Rescue};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

        #[test]
        fn backwards_everything_that_can_be_read_is_read_too((text, len) in models(), cut in 0..5000_u64, odd in 0..4096_u64) {
            let sector = 4096;
            let len = len - odd;
            let mut bench = Bench::new(Model::parse(&text).unwrap(), len);
            let mut ledger = Ledger::new(len);
            let meant = Domain::new(cut * 512 % len..len, None).in_units(sector, len);
            ledger.restrict(&meant);
            let mut mirror = Mirror::new(&mut bench, len, sector);
            let turned = mirror.ledger(&ledger);
            prop_assert_eq!(turned.meant(), meant.total());
            let plan = super::super::Plan { sector, retries: 60, ..everything() };
            let mut rescue = Rescue::new(&mut mirror, turned, plan);
            rescue.run().unwrap();
            let turned = rescue.ledger;
            let ledger = mirror.back(&turned, len);
            prop_assert_eq!((ledger.len(), ledger.domain()), (len, &meant));
            // What a sector of 4096 shares with one that is dead is lost with it.
            let mut good = 0;
            let mut at = meant.start();
            while at < len {
                let end = (at + sector).min(len);
                let whole = bench.model.recoverable(at..end) == end - at;
                good += if whole { end - at } else { 0 };
                let status = ledger.status(at);
                prop_assert_eq!(status, Some(if whole { Status::Finished } else { Status::Bad }));
                at = end;
            }
            prop_assert_eq!(ledger.total(Status::Finished), good);
        }
    }

    #[test]
    fn the_end_comes_first() {
        struct Order(Vec<Range<u64>>);

        impl Drive for Order {
            fn read(&mut self, range: Range<u64>) -> Result<Reply> {
                let good = range.end - range.start;
                self.0.push(range);
                Ok(Reply { good, failed: false, seconds: 0.001, cause: Cause::NONE, effort: Effort::Full })
            }

            fn mark(&mut self, _: Range<u64>, _: Fate) -> Result<()> {
                Ok(())
            }

            fn pass(&mut self, _: Pass, _: &Ledger) -> Result<()> {
                Ok(())
            }
        }

        let mut order = Order(Vec::new());
        let len = (5 << 20) + 100;
        let mut mirror = Mirror::new(&mut order, len, 512);
        let turned = mirror.ledger(&Ledger::new(len));
        Rescue::new(&mut mirror, turned, super::super::Plan::new(512, 512)).run().unwrap();
        let mut before = len;
        for range in &order.0 {
            assert_eq!(range.end, before);
            before = range.start;
        }
        assert_eq!(before, 0);
    }
}
