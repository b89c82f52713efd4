//! Checkpoints of an unfinished image, and going on from them.
//!
//! Sections that are closed describe themselves. Of the one that is open a checkpoint tells one bit per chunk, whether it is
//! compressed; where each begins is found again by walking over them, which costs less than rebuilding the digests does.

use super::encode::{PLAIN, ZLIB};
use super::index::Index;
use super::layout::{COMPRESSED, Descriptor, TABLE_ENTRIES};
use super::plan::Plan;
use super::read::{Geometry, Reader};
use super::scan::{Entries, Scan, Segment, Table};
use super::write::{Open, Position, go_on};
use std::sync::Arc;
use tintype_codec::deflate::Decompressor;
use tintype_core::{
    Care, Checkpoint, CreateRequest, Error, Extent, ExtentMap, Facts, File, Limits, Result, Resumed, State, Stored,
};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What the checkpoints so far have told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    segment: u32,
    section: u64,
    chunks: u32,
    /// Where the last lost range began; it may have grown since.
    lost: Option<u64>,
}

impl Told {
    /// Everything.
    pub(super) fn of(segment: u32, open: Option<&Open>, lost: &ExtentMap) -> Self {
        Told {
            segment,
            section: open.map_or(0, |o| o.at),
            chunks: open.map_or(0, |o| o.entries.len() as u32),
            lost: lost.iter().last().map(|e| e.offset),
        }
    }
}

/// The start of a checkpoint's state; a bit per new chunk and the new lost ranges follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    /// The segment that is being written.
    segment: U32,
    /// Where it ends.
    at: U64,
    /// Where its open section begins; 0 if there is none.
    section: U64,
    /// Chunks of that section that earlier checkpoints told.
    before: U32,
    /// Chunks of it that this one tells.
    chunks: U32,
    /// Lost ranges that this one tells.
    lost: U32,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct LostRange {
    offset: U64,
    len: U64,
}

/// What is new between two checkpoints.
pub(super) fn state(told: &Told, now: &Told, at: u64, open: Option<&Open>, lost: &ExtentMap) -> Vec<u8> {
    let same = told.segment == now.segment && told.section == now.section;
    let before = if same { told.chunks } else { 0 };
    let new = open.map_or(&[][..], |o| &o.entries[before as usize..]);
    let mut bits = vec![0u8; new.len().div_ceil(8)];
    for (i, entry) in new.iter().enumerate() {
        if entry & COMPRESSED != 0 {
            bits[i / 8] |= 1 << (i % 8);
        }
    }
    let ranges: Vec<LostRange> = lost
        .within(told.lost.unwrap_or(0), u64::MAX)
        .map(|e| LostRange { offset: U64::new(e.offset), len: U64::new(e.len) })
        .collect();
    let head = Head {
        segment: U32::new(now.segment),
        at: U64::new(at),
        section: U64::new(now.section),
        before: U32::new(before),
        chunks: U32::new(new.len() as u32),
        lost: U32::new(ranges.len() as u32),
    };
    [head.as_bytes(), &bits, ranges.as_bytes()].concat()
}

/// What all checkpoints together say.
struct Reached {
    segment: u32,
    at: u64,
    section: u64,
    compressed: Vec<bool>,
    lost: ExtentMap,
}

fn reached(checkpoints: &[Checkpoint]) -> Option<Reached> {
    let mut reached = Reached { segment: 0, at: 0, section: 0, compressed: Vec::new(), lost: ExtentMap::new() };
    for checkpoint in checkpoints {
        let (head, rest) = Head::read_from_prefix(&checkpoint.state).ok()?;
        let (before, chunks) = (head.before.get() as usize, head.chunks.get() as usize);
        let (bits, ranges) = rest.split_at_checked(chunks.div_ceil(8))?;
        if (reached.segment, reached.section) != (head.segment.get(), head.section.get()) {
            reached.compressed.clear();
        }
        if reached.compressed.len() != before || before + chunks > TABLE_ENTRIES as usize {
            return None;
        }
        reached.compressed.extend((0..chunks).map(|i| bits[i / 8] & 1 << (i % 8) != 0));
        let ranges = <[LostRange]>::ref_from_bytes(ranges).ok().filter(|r| r.len() == head.lost.get() as usize)?;
        for range in ranges {
            reached.lost.set(Extent::new(range.offset.get(), range.len.get(), State::Bad));
        }
        (reached.segment, reached.at, reached.section) = (head.segment.get(), head.at.get(), head.section.get());
    }
    (reached.segment > 0).then_some(reached)
}

/// Goes on with an unfinished image.
pub(super) fn resume(request: &CreateRequest, checkpoints: &[Checkpoint]) -> Result<Resumed> {
    let plan = Plan::new(request)?;
    let offset = checkpoints.last().map_or(0, |c| c.offset);
    let foreign = || Error::corrupt("the journal is not that of this image");
    let reached = reached(checkpoints).filter(|r| r.lost.iter().all(|e| e.end() <= offset)).ok_or_else(foreign)?;
    let name = |number: u32| plan.names.name(number).ok_or_else(foreign);

    let mut segments = Vec::new();
    let mut file: Option<Arc<dyn File>> = None;
    for number in 1..=reached.segment {
        let name = name(number)?;
        let this = request.outlet.reopen(&name)?;
        let len = if number < reached.segment { this.len()? } else { reached.at };
        if this.len()? < len {
            return Err(Error::corrupt("the unfinished image is shorter than what was written of it").in_path(&name));
        }
        segments.push((name, Arc::clone(&this), len));
        file = Some(this);
    }
    let file = file.ok_or_else(foreign)?;
    let mut later = reached.segment + 1;
    while let Some(name) = plan.names.name(later)
        && request.outlet.exists(&name)?
    {
        request.outlet.remove(&name)?;
        later += 1;
    }
    file.set_len(reached.at)?;

    let closed = if reached.section > 0 { reached.section } else { reached.at };
    let mut scan = Scan::default();
    for (n, (name, file, len)) in segments.iter().enumerate() {
        let last = n + 1 == segments.len();
        let len = if last { closed } else { *len };
        let source = Arc::new(Stored::new(Arc::clone(file), len));
        scan.unfinished(Segment { name: name.clone(), source }, last)?;
    }
    let set = scan.medium.as_ref().ok_or_else(foreign)?.volume.set;
    let plan = plan.of_set(set);

    let open = if reached.section > 0 {
        let entries = walk(&*file, reached.section, reached.at, &reached.compressed, plan.chunk as usize)?;
        Some(Open { at: reached.section, entries })
    } else {
        None
    };
    let mut tables = scan.tables;
    let mut chunks = scan.chunks;
    if let Some(open) = open.as_ref().filter(|o| !o.entries.is_empty()) {
        let count = u32::try_from(open.entries.len()).map_err(|_| foreign())?;
        tables.push(Table {
            segment: reached.segment - 1,
            count,
            first: chunks,
            base: open.at,
            entries: Entries::Memory(Arc::new(open.entries.clone())),
            copy: None,
            data: (open.at + Descriptor::LEN, reached.at),
        });
        chunks += u64::from(count);
    }
    if chunks.checked_mul(plan.chunk) != Some(offset) {
        return Err(Error::corrupt(format!("the unfinished image holds {chunks} chunks, not what its journal says")));
    }
    let sources = segments
        .iter()
        .map(|(name, file, len)| Segment { name: name.clone(), source: Arc::new(Stored::new(Arc::clone(file), *len)) })
        .collect();
    let geometry = Geometry { chunk: plan.chunk, sector: plan.sector(0), len: offset };
    let lost: Vec<Extent> = reached.lost.iter().collect();
    let stored =
        Arc::new(Reader::new(Index::new(sources, tables, plan.chunk), geometry, lost, Facts::default(), Care::Read));
    let position = Position { segment: reached.segment, open, done: offset, lost: reached.lost };
    let sink = go_on(Arc::clone(&request.outlet), plan, file, reached.at, position);
    Ok(Resumed { sink, offset, stored })
}

/// Finds where the chunks of an open section begin.
fn walk(file: &dyn File, section: u64, end: u64, compressed: &[bool], chunk: usize) -> Result<Vec<u32>> {
    let broken = |at: u64| Error::corrupt("the unfinished image does not hold what its journal says").at(at);
    let mut decoder = Decompressor::new();
    let mut plain = vec![0; chunk];
    // Never larger than this: what does not shrink is stored as it is.
    let most = chunk + 4;
    let mut window = Vec::new();
    let mut from = 0;
    let mut at = section + Descriptor::LEN;
    let mut entries = Vec::with_capacity(compressed.len());
    for flag in compressed {
        if window.len() - from < most && at + ((window.len() - from) as u64) < end {
            let want = (end - at).min((16 * most) as u64) as usize;
            window.resize(want, 0);
            file.read_at(&mut window, at)?;
            from = 0;
        }
        let stored = &window[from..];
        let (len, tag) = match flag {
            true => (decoder.zlib(stored, &mut plain).map_err(|_| broken(at))?.consumed, ZLIB),
            false => (most, PLAIN),
        };
        if len > stored.len() {
            return Err(broken(at));
        }
        let offset = u32::try_from(at - section).map_err(|_| broken(at))?;
        entries.push(if tag == ZLIB { offset | COMPRESSED } else { offset });
        from += len;
        at += len as u64;
    }
    if at == end { Ok(entries) } else { Err(broken(at)) }
}

impl Scan {
    /// Reads the sections of one segment of an unfinished image, which has to end where it is known to.
    fn unfinished(&mut self, segment: Segment, last: bool) -> Result<()> {
        let (name, end) = (segment.name.clone(), segment.source.len());
        self.segments.push(segment);
        self.segment(&Limits::default())?;
        // The last one ends without a section that says so.
        let cut = self.problems.pop_if(|p| last && p.offset == end);
        match (self.problems.first(), cut) {
            (Some(problem), _) => Err(Error::corrupt(&problem.what).in_path(&problem.file).at(problem.offset)),
            (None, None) if last => {
                Err(Error::corrupt("the unfinished image goes on where it should not").in_path(name))
            }
            (None, _) => Ok(()),
        }
    }
}
