//! ddrescue's mapfile: the text form of a map that recovery tools share.
//!
//! ```text
//! # Mapfile. Created by ...                                comments, to the end of their lines
//! # current_pos  current_status  current_pass
//! 0x00120000     ?               1                         the run: where it is, in which phase, in which pass
//! #      pos        size  status
//! 0x00000000  0x00117000  +                                blocks: ascending, without gaps
//! 0x00117000  0x00000200  -
//! ```
//!
//! What is read is what GNU ddrescue 1.27 to 1.30 read; sources: its manual, chapter "Mapfile structure", and what `ddrescuelog`
//! 1.27 accepts and refuses. Comments are told to nobody and, as there, not kept.

mod parse;
#[cfg(test)]
mod tests;
mod write;

pub use parse::Gaps;
pub use write::{Heading, write};

use crate::{Extent, ExtentMap, RangeMap, State};
use std::ops::Range;

/// How far a range has come; the words and the signs are ddrescue's.
///
/// The order is that of the passes, so that the greater of two is the one that says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// `?`: not tried.
    NonTried,
    /// `*`: in a read that failed and that was longer than the unit.
    NonTrimmed,
    /// `/`: failed as a unit, its sectors not tried one by one.
    NonScraped,
    /// `-`: a sector that failed alone.
    Bad,
    /// `+`: read.
    Finished,
}

impl Status {
    /// Every status, in the order of the passes.
    pub const ALL: [Status; 5] =
        [Status::NonTried, Status::NonTrimmed, Status::NonScraped, Status::Bad, Status::Finished];

    /// ddrescue's sign for it.
    pub const fn sign(self) -> char {
        match self {
            Status::NonTried => '?',
            Status::NonTrimmed => '*',
            Status::NonScraped => '/',
            Status::Bad => '-',
            Status::Finished => '+',
        }
    }

    /// The status of a sign.
    pub fn of_sign(sign: char) -> Option<Self> {
        Status::ALL.into_iter().find(|s| s.sign() == sign)
    }

    /// The name used in JSON output.
    pub const fn name(self) -> &'static str {
        match self {
            Status::NonTried => "non_tried",
            Status::NonTrimmed => "non_trimmed",
            Status::NonScraped => "non_scraped",
            Status::Bad => "bad_sector",
            Status::Finished => "finished",
        }
    }

    /// What it means for an image.
    pub const fn state(self) -> State {
        match self {
            Status::NonTried | Status::NonTrimmed | Status::NonScraped => State::Unread,
            Status::Bad => State::Bad,
            Status::Finished => State::Data,
        }
    }
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// `?`: copying what is not tried.
    #[default]
    Copying,
    /// `*`: finding the edges of what failed.
    Trimming,
    /// `%`: copying what the passes left out; since ddrescue 1.30.
    Sweeping,
    /// `/`: reading what failed sector by sector.
    Scraping,
    /// `-`: trying bad sectors again.
    Retrying,
    /// `F`: writing over blocks of the output.
    Filling,
    /// `G`: guessing a map from an output.
    Generating,
    /// `+`: nothing more.
    Finished,
}

impl Phase {
    /// Every phase, in the order of a run.
    pub const ALL: [Phase; 8] = [
        Phase::Copying,
        Phase::Trimming,
        Phase::Sweeping,
        Phase::Scraping,
        Phase::Retrying,
        Phase::Filling,
        Phase::Generating,
        Phase::Finished,
    ];

    /// ddrescue's sign for it.
    pub const fn sign(self) -> char {
        match self {
            Phase::Copying => '?',
            Phase::Trimming => '*',
            Phase::Sweeping => '%',
            Phase::Scraping => '/',
            Phase::Retrying => '-',
            Phase::Filling => 'F',
            Phase::Generating => 'G',
            Phase::Finished => '+',
        }
    }

    /// The phase of a sign.
    pub fn of_sign(sign: char) -> Option<Self> {
        Phase::ALL.into_iter().find(|p| p.sign() == sign)
    }

    /// The name used in JSON output.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Copying => "copying",
            Phase::Trimming => "trimming",
            Phase::Sweeping => "sweeping",
            Phase::Scraping => "scraping",
            Phase::Retrying => "retrying",
            Phase::Filling => "filling",
            Phase::Generating => "generating",
            Phase::Finished => "finished",
        }
    }
}

/// Where a run stands: what the status line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The begin of what is tried in a pass forwards, its end in a pass backwards; at most [`END`].
    pub pos: u64,
    /// What the run is doing.
    pub phase: Phase,
    /// The pass of the phase, from 1.
    pub pass: u32,
}

impl Default for Progress {
    fn default() -> Self {
        Progress { pos: 0, phase: Phase::Copying, pass: 1 }
    }
}

/// No position lies beyond this: ddrescue counts in signed 64 bits.
pub const END: u64 = i64::MAX as u64;

/// Most blocks that are kept of one map: half a gigabyte of memory.
pub const MOST_BLOCKS: usize = 1 << 23;

/// A mapfile: a status for every byte from its first to its last block, and where the run stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapfile {
    /// Where the run stands.
    pub progress: Progress,
    blocks: RangeMap<Status>,
}

impl Mapfile {
    /// The map of `blocks`, which may leave gaps: what lies between blocks becomes not tried. What lies beyond [`END`] is dropped.
    pub fn new(progress: Progress, mut blocks: RangeMap<Status>) -> Self {
        blocks.clear(END..u64::MAX);
        fill_gaps(&mut blocks, Status::NonTried);
        Mapfile { progress, blocks }
    }

    /// The map of `len` bytes in one status, with a run that has not begun.
    pub fn uniform(len: u64, status: Status) -> Self {
        let mut blocks = RangeMap::new();
        blocks.set(0..len, status);
        Mapfile::new(Progress::default(), blocks)
    }

    /// The map of a run over `len` bytes that is finished: what `lost` does not name was read.
    pub fn of_losses<'a>(len: u64, lost: impl IntoIterator<Item = &'a Extent>) -> Self {
        let mut blocks = RangeMap::new();
        blocks.set(0..len, Status::Finished);
        for extent in lost {
            let status = if extent.state == State::Bad { Status::Bad } else { Status::NonTried };
            blocks.set(extent.offset..extent.end(), status);
        }
        Mapfile::new(Progress { pos: len.min(END), phase: Phase::Finished, pass: 1 }, blocks)
    }

    /// The blocks, which follow on each other without gaps; neighbours of one status are one block.
    pub fn blocks(&self) -> &RangeMap<Status> {
        &self.blocks
    }

    /// Takes it apart.
    pub fn into_blocks(self) -> RangeMap<Status> {
        self.blocks
    }

    /// From the first block to the end of the last; empty at 0 where there is no block.
    pub fn range(&self) -> Range<u64> {
        let start = self.blocks.iter().next().map_or(0, |(r, _)| r.start);
        start..self.blocks.iter().next_back().map_or(start, |(r, _)| r.end)
    }

    /// Bytes in `status`.
    pub fn total(&self, status: Status) -> u64 {
        self.blocks.iter().filter(|(_, s)| *s == status).map(|(r, _)| r.end - r.start).sum()
    }

    /// What it means for an image of `len` bytes: [`Status::state`] of every byte, and what the map does not reach was not read.
    pub fn extents_over(&self, len: u64) -> ExtentMap {
        let mut extents = ExtentMap::new();
        if len > 0 {
            extents.set(Extent::new(0, len, State::Unread));
        }
        for extent in self.extents().within(0, len) {
            extents.set(extent);
        }
        extents
    }

    /// [`Status::state`] of every byte from the first to the last block.
    pub fn extents(&self) -> ExtentMap {
        self.blocks.iter().map(|(r, status)| Extent::new(r.start, r.end - r.start, status.state())).collect()
    }
}

/// Gives everything between the first and the last range of `blocks` a value.
fn fill_gaps(blocks: &mut RangeMap<Status>, status: Status) {
    let mut gaps = Vec::new();
    let mut end = None;
    for (range, _) in blocks.iter() {
        if let Some(end) = end.filter(|e| *e < range.start) {
            gaps.push(end..range.start);
        }
        end = Some(range.end);
    }
    for gap in gaps {
        blocks.set(gap, status);
    }
}
