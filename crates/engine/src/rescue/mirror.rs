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
        other.set(0..self.len - ledger.len(), Fate { status: Status::Finished, tries: 0 });
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
