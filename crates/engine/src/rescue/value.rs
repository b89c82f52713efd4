//! What is worth most first: partition tables, file systems, the files that a person names, everything in use, the rest.
//!
//! What matters is found in the target itself, of which only counts what was read: after every step the target says what to read next.
//! What it told as a whole is not looked at again: see `memory`.
//!
//! ```text
//!  tables -> heads -> metadata, by rank, again and again -> files by name -> what is in use -> the rest      copy, back, trim
//!  metadata and files by name -> what is in use -> the rest                                                the passes that cost more
//! ```

use super::memory::Memory;
use super::{Ledger, Pass, Rescue, Status};
use crate::files::{Pattern, Volumes, used, volumes};
use crate::map::Domain;
use std::ops::Range;
use std::sync::Arc;
use tintype_core::layers::{Masked, Slice};
use tintype_core::{Extent, ExtentMap, RangeMap, Result, Source, State};
use tintype_volumes::filesystems::{FILE_SYSTEMS, Rank};

/// Where tables begin: MBR, GPT with its entries, and the first boot loader.
const HEAD: u64 = 64 << 10;

/// The copy of a GPT.
const TAIL: u64 = 64 << 10;

/// Most times that the target is looked at anew; file systems that lead on for longer lead nowhere.
const MOST_ROUNDS: usize = 64;

/// So few units that failed are looked into at once.
const FEW_UNITS: u64 = 8;

/// What a person wants first.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Names or paths of files, the most wanted first.
    pub first: Vec<Pattern>,
}

/// A step; the order is that of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Tables,
    Heads,
    Metadata(Rank),
    Named(usize),
    Used,
}

impl Step {
    fn title(self) -> &'static str {
        match self {
            Step::Tables => "partition tables first",
            Step::Heads => "where file systems begin",
            Step::Metadata(_) => "what the file systems know",
            Step::Named(_) => "files that were named",
            Step::Used => "what is in use",
        }
    }
}

impl Rescue<'_> {
    /// Makes all passes of the plan, over what is worth most first if the plan says so. What is meant stays meant, whatever ends it.
    pub fn by_value(&mut self) -> Result<()> {
        let all = self.plan.passes.clone();
        let left = match self.plan.value.clone() {
            None => Ok(all.clone()),
            Some(wishes) => {
                let meant = self.ledger.domain().clone();
                let left = self.first_things(&wishes, &meant);
                self.ledger.restrict(&meant);
                left
            }
        };
        let run = left.and_then(|left| {
            self.plan.passes = left;
            self.run()
        });
        self.plan.passes = all;
        run
    }

    /// What the target says now of everything that is meant; `None` where it cannot be read back as a whole.
    fn look(&mut self, meant: &Domain) -> Result<Option<Look>> {
        self.ledger.restrict(meant);
        let len = self.ledger.len();
        let Some(kept) = self.drive.kept()?.filter(|kept| len > 0 && kept.len() >= len) else { return Ok(None) };
        let kept: Arc<dyn Source> = if kept.len() == len { kept } else { Arc::new(Slice::new(kept, 0, len)?) };
        Ok(Some(Look::at(&kept, &self.ledger)))
    }

    /// Reads what is worth most; returns the passes that are left to make over everything.
    fn first_things(&mut self, wishes: &Wishes, meant: &Domain) -> Result<Vec<Pass>> {
        let all = self.plan.passes.clone();
        if !all.contains(&Pass::Copy) {
            return Ok(all);
        }
        let (cheap, rest): (Vec<Pass>, Vec<Pass>) =
            all.iter().partition(|pass| matches!(pass, Pass::Copy | Pass::Slow | Pass::Back | Pass::Trim));
        self.plan.passes = cheap;
        let mut memory = Memory::new(&wishes.first);
        // What was gone over once is not gone over again by the same passes: what they left out are holes between failures.
        let mut gone = RangeMap::new();
        let mut last = None;
        let mut known = false;
        for _ in 0..MOST_ROUNDS {
            let Some(look) = self.look(meant)? else { return Ok(all) };
            known = !look.volumes.open.is_empty();
            let Some((step, ranges)) = look.next(&self.ledger, &gone, &mut memory) else { break };
            drop(look);
            if last != Some(step.title()) {
                last = Some(step.title());
                self.drive.step(step.title());
            }
            self.over(&ranges, &gone, meant)?;
            let left = self.ledger.meant() - self.ledger.total(Status::Finished);
            if step != Step::Used && left > 0 && left <= FEW_UNITS * self.plan.unit {
                // More may depend on these few sectors than they cost.
                let closer = rest.iter().copied().filter(|pass| matches!(pass, Pass::Sweep | Pass::Scrape)).collect();
                let before = std::mem::replace(&mut self.plan.passes, closer);
                self.run()?;
                self.plan.passes = before;
            }
            ranges.iter().for_each(|(range, ())| gone.set(range, ()));
            if !matches!(step, Step::Named(_) | Step::Used) {
                memory.metadata_came_in();
            }
        }
        if !known {
            return Ok(all);
        }
        let mut everything = RangeMap::new();
        everything.set(0..self.ledger.len(), ());
        self.drive.step("the rest");
        self.over(&everything, &gone, meant)?;
        drop(gone);
        memory.metadata_came_in();
        let costly = rest.iter().copied().filter(|pass| matches!(pass, Pass::Sweep | Pass::Enclose | Pass::Scrape));
        self.plan.passes = costly.collect();
        let nothing = RangeMap::new();
        if let Some(look) = self.look(meant)? {
            let precious = look.precious(&mut memory);
            drop((look, memory));
            self.over(&precious, &nothing, meant)?;
        }
        if let Some(look) = self.look(meant)? {
            let used = used::likely(&*look.view, &look.volumes);
            drop(look);
            self.over(&used, &nothing, meant)?;
        }
        Ok(rest)
    }

    /// Makes the passes over those parts of `ranges` that are meant and not in `gone`.
    fn over(&mut self, ranges: &RangeMap<()>, gone: &RangeMap<()>, meant: &Domain) -> Result<()> {
        let len = self.ledger.len();
        let mut wanted = ranges.clone();
        gone.iter().for_each(|(range, ())| wanted.clear(range));
        // Not whole units: beside metadata may lie what cannot be read.
        let wanted = Domain::of(wanted.iter().map(|(range, ())| range)).in_units(self.plan.sector, len);
        self.ledger.restrict(&Domain::of(wanted.within(0..len).flat_map(|range| meant.within(range))));
        if self.ledger.total(Status::Finished) == self.ledger.meant() {
            return Ok(());
        }
        self.run()
    }
}

/// What the target says at one time.
struct Look {
    view: Arc<dyn Source>,
    volumes: Volumes,
}

impl Look {
    fn at(kept: &Arc<dyn Source>, ledger: &Ledger) -> Self {
        let mut map = ExtentMap::new();
        for (range, fate) in ledger.iter() {
            let state = match fate.status() {
                Status::Finished => State::Data,
                Status::NonTried => State::Unread,
                _ => State::Bad,
            };
            map.set(Extent::new(range.start, range.end - range.start, state));
        }
        let view: Arc<dyn Source> = Arc::new(Masked::new(Arc::clone(kept), map));
        let volumes = volumes(&view);
        Look { view, volumes }
    }

    /// The first step that names bytes which were not tried, nor gone over, and all that it names.
    fn next(&self, ledger: &Ledger, gone: &RangeMap<()>, memory: &mut Memory) -> Option<(Step, RangeMap<()>)> {
        let meant = ledger.domain();
        let untried = |range: Range<u64>| {
            let mut parts = meant.within(range).flat_map(|range| ledger.within(range));
            parts.any(|(_, fate)| fate.status() == Status::NonTried)
        };
        let open = |ranges: &RangeMap<()>| {
            ranges.iter().any(|(range, ())| {
                let mut at = range.start;
                for (there, ()) in gone.within(range.clone()) {
                    if untried(at..there.start) {
                        return true;
                    }
                    at = there.end;
                }
                untried(at..range.end)
            })
        };
        let pick = |step: Step, ranges: RangeMap<()>| open(&ranges).then_some((step, ranges));
        if let Some(found) = pick(Step::Tables, self.tables()).or_else(|| pick(Step::Heads, self.heads())) {
            return Some(found);
        }
        memory.survey(&self.volumes);
        for rank in [Rank::Head, Rank::Map, Rank::Nodes, Rank::Folder, Rank::Mapping, Rank::Journal] {
            if let Some(found) = pick(Step::Metadata(rank), memory.metadata(rank)) {
                return Some(found);
            }
        }
        for i in 0..memory.wishes() {
            if let Some(found) = pick(Step::Named(i), memory.named(&self.volumes, i)) {
                return Some(found);
            }
        }
        match self.volumes.open.is_empty() {
            true => None,
            false => pick(Step::Used, used::likely(&*self.view, &self.volumes)),
        }
    }

    /// Tables, metadata and files by name.
    fn precious(&self, memory: &mut Memory) -> RangeMap<()> {
        let mut all = self.tables();
        let mut add = |ranges: RangeMap<()>| ranges.iter().for_each(|(range, ())| all.set(range, ()));
        add(self.heads());
        memory.survey(&self.volumes);
        for rank in [Rank::Head, Rank::Map, Rank::Nodes, Rank::Folder, Rank::Mapping, Rank::Journal] {
            add(memory.metadata(rank));
        }
        (0..memory.wishes()).for_each(|i| add(memory.named(&self.volumes, i)));
        all
    }

    fn tables(&self) -> RangeMap<()> {
        let len = self.view.len();
        let mut ranges = RangeMap::new();
        ranges.set(0..HEAD.min(len), ());
        ranges.set(len.saturating_sub(TAIL)..len, ());
        for record in self.volumes.table.iter().flat_map(|table| &table.records) {
            ranges.set(*record..(record + 512).min(len), ());
        }
        ranges
    }

    /// Where file systems begin, and where what stands for that lies if it is lost.
    fn heads(&self) -> RangeMap<()> {
        let mut ranges = RangeMap::new();
        let open = self.volumes.open.iter().map(|v| (v.offset, v.len, false));
        let closed = self.volumes.closed.iter().map(|c| (c.offset, c.len, true));
        for (offset, len, closed) in open.chain(closed) {
            for row in FILE_SYSTEMS {
                let heads = (row.heads)(len).into_iter().filter(|r| r.end <= len);
                let heads: Vec<Range<u64>> = heads.map(|r| offset + r.start..offset + r.end).collect();
                if closed && heads.iter().any(|range| self.has_failed(range)) {
                    for spare in (row.spares)(len) {
                        ranges.set(offset + spare.start..offset + spare.end, ());
                    }
                }
                heads.into_iter().for_each(|range| ranges.set(range, ()));
            }
        }
        ranges
    }

    fn has_failed(&self, range: &Range<u64>) -> bool {
        tintype_core::extents(&*self.view, range.start, range.end).any(|e| e.is_ok_and(|e| e.state == State::Bad))
    }
}
