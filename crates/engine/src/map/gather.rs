//! One image of several rescues of one medium: rescued twice, on two machines, or by two programs.

use super::Domain;
use super::algebra::merge;
use std::ops::Range;
use std::sync::Arc;
use tintype_core::mapfile::{Mapfile, Status};
use tintype_core::{Detail, Error, Event, Extent, RangeMap, Result, Shape, Source, State, Watch, extents, in_range};

/// Bytes that are compared at a time.
const UNIT: u64 = 1 << 20;

/// Differences are told in units of this many bytes, the smallest sector there is.
const GRAIN: u64 = 512;

/// One rescue: an image, and the map that says which of its bytes were read.
pub struct Rescued {
    map: Mapfile,
    source: Arc<dyn Source>,
}

impl Rescued {
    /// The image `source`, which goes by `name`, with its map.
    ///
    /// What the image itself calls lost is lost, whatever the map says. A map that calls bytes finished which the image does not
    /// have is a `Usage` error: it is the map of something else.
    pub fn new(name: &str, map: Mapfile, source: Arc<dyn Source>) -> Result<Self> {
        let len = source.len();
        let beyond = map.blocks().within(len..u64::MAX).find(|(_, status)| *status == Status::Finished);
        if let Some((range, _)) = beyond {
            let why = "its map calls bytes finished that it does not have; give the map that belongs to it";
            return Err(Error::usage(why).in_path(name).at(range.start));
        }
        let progress = map.progress;
        let mut blocks = map.into_blocks();
        for extent in extents(&*source, 0, len) {
            let extent = extent?;
            if extent.state.is_lost() {
                let known: Vec<_> = blocks.within(extent.offset..extent.end()).collect();
                let lost = if extent.state == State::Bad { Status::Bad } else { Status::NonTried };
                for (range, _) in known.into_iter().filter(|(_, status)| *status == Status::Finished) {
                    blocks.set(range, lost);
                }
            }
        }
        Ok(Rescued { map: Mapfile::new(progress, blocks), source })
    }
}

/// Which bytes count where several rescues have different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflicts {
    /// Those of the rescue that was named first; they count as read.
    First,
    /// Those of the rescue that was named first, but they count as not tried, so that a rescue reads them again.
    Untried,
}

/// Several rescues as one.
pub struct Gathered {
    /// What is known of the medium now.
    pub map: Mapfile,
    /// Where rescues have different bytes, in units of 512.
    pub conflicts: RangeMap<()>,
    /// The bytes, and their states by the map. What no rescue has is zeros.
    pub source: Arc<dyn Source>,
    /// Bytes that each of them gave.
    pub given: Vec<u64>,
}

/// Makes one of several rescues; compares what more than one of them has.
pub fn gather(rescues: Vec<Rescued>, conflicts: Conflicts, watch: &dyn Watch) -> Result<Gathered> {
    let Some((first, others)) = rescues.split_first() else {
        return Err(Error::usage("there is nothing to gather"));
    };
    let maps: Vec<Mapfile> = others.iter().map(|r| r.map.clone()).collect();
    let mut map = merge(&first.map, &maps, &Domain::default());
    // The last one first, so that what stays is the first that has a byte.
    let mut from = RangeMap::new();
    for (i, rescued) in rescues.iter().enumerate().rev() {
        for range in rescued.finished(0..u64::MAX) {
            from.set(range, i);
        }
    }
    let found = compare(&rescues, &from, watch)?;
    if conflicts == Conflicts::Untried {
        let progress = map.progress;
        let mut blocks = map.into_blocks();
        for (range, ()) in found.iter() {
            // A unit may reach into bytes that only one of them has.
            let finished: Vec<_> = blocks.within(range).filter(|(_, s)| *s == Status::Finished).collect();
            for (range, _) in finished {
                blocks.set(range, Status::NonTried);
            }
        }
        map = Mapfile::new(progress, blocks);
    }
    let mut given = vec![0; rescues.len()];
    for (range, i) in from.iter() {
        given[i] += range.end - range.start;
    }
    let source = Arc::new(Woven::new(rescues, from, &map));
    Ok(Gathered { map, conflicts: found, source, given })
}

impl Rescued {
    fn finished(&self, within: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        self.map.blocks().within(within).filter(|(_, s)| *s == Status::Finished).map(|(r, _)| r)
    }
}

/// Reads everything that more than one rescue has, and says where it differs.
fn compare(rescues: &[Rescued], from: &RangeMap<usize>, watch: &dyn Watch) -> Result<RangeMap<()>> {
    let doubles: Vec<(usize, usize, Range<u64>)> = from
        .iter()
        .flat_map(|(range, i)| {
            (i + 1..rescues.len()).flat_map(move |j| rescues[j].finished(range.clone()).map(move |r| (i, j, r)))
        })
        .collect();
    let total = doubles.iter().map(|(_, _, r)| r.end - r.start).sum();
    let mut found = RangeMap::new();
    if total == 0 {
        return Ok(found);
    }
    watch.event(&Event::Begin { title: "comparing what was read twice".into(), total: Some(total) });
    let mut done = 0;
    let (mut left, mut right) = (vec![0; UNIT as usize], vec![0; UNIT as usize]);
    for (i, j, range) in doubles {
        let mut at = range.start;
        while at < range.end {
            if watch.cancelled() {
                return Err(Error::cancelled());
            }
            let end = ((at / UNIT + 1) * UNIT).min(range.end);
            let (left, right) = (&mut left[..(end - at) as usize], &mut right[..(end - at) as usize]);
            rescues[i].source.read_at(left, at)?;
            rescues[j].source.read_at(right, at)?;
            note(left, right, at, &mut found);
            done += end - at;
            at = end;
            watch.event(&Event::Progress { done, lost: 0 });
        }
    }
    watch.event(&Event::End);
    Ok(found)
}

fn note(left: &[u8], right: &[u8], offset: u64, found: &mut RangeMap<()>) {
    if left == right {
        return;
    }
    let mut at = offset;
    let end = offset + left.len() as u64;
    while at < end {
        let next = ((at / GRAIN + 1) * GRAIN).min(end);
        let here = (at - offset) as usize..(next - offset) as usize;
        if left[here.clone()] != right[here] {
            found.set(at / GRAIN * GRAIN..next.next_multiple_of(GRAIN), ());
        }
        at = next;
    }
}

/// The bytes of several rescues.
struct Woven {
    rescues: Vec<Rescued>,
    from: RangeMap<usize>,
    // Bytes that are not finished.
    lost: RangeMap<State>,
    len: u64,
    shape: Shape,
}

impl Woven {
    fn new(rescues: Vec<Rescued>, from: RangeMap<usize>, map: &Mapfile) -> Self {
        let len = rescues.iter().map(|r| r.source.len()).max().unwrap_or(0);
        let mut lost = RangeMap::new();
        lost.set(0..len, State::Unread);
        for (range, status) in map.blocks().within(0..len) {
            match status {
                Status::Finished => lost.clear(range),
                status => lost.set(range, status.state()),
            }
        }
        let shape = Shape {
            in_flight: rescues.iter().map(|r| r.source.shape().in_flight).min().unwrap_or(1),
            direct: false,
            ..rescues.first().map(|r| r.source.shape()).unwrap_or_default()
        };
        Woven { rescues, from, lost, len, shape }
    }

    /// Who has the byte at `offset`, and up to where.
    fn holder(&self, offset: u64) -> (Option<&Rescued>, u64) {
        match self.from.next_from(offset) {
            Some((range, i)) if range.start <= offset => (self.rescues.get(i), range.end),
            Some((range, _)) => (None, range.start),
            None => (None, self.len),
        }
    }
}

impl Source for Woven {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        let end = offset + buf.len() as u64;
        let mut at = offset;
        while at < end {
            let (holder, to) = self.holder(at);
            let to = to.min(end);
            let part = &mut buf[(at - offset) as usize..(to - offset) as usize];
            match holder {
                None => part.fill(0),
                Some(rescued) => rescued.source.read_at(part, at).map_err(|e| match e.kind() {
                    tintype_core::Kind::Unreadable { good, first_bad } => {
                        e.into_kind(tintype_core::Kind::Unreadable { good: good + (at - offset), first_bad })
                    }
                    _ => e,
                })?,
            }
            at = to;
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.len, offset, 1)?;
        if let Some((range, state)) = self.lost.get(offset) {
            return Ok(Extent::new(offset, range.end - offset, state));
        }
        let known = self.lost.next_from(offset).map_or(self.len, |(range, _)| range.start);
        let (holder, to) = self.holder(offset);
        let rescued = holder.ok_or_else(|| Error::corrupt("no rescue has what is finished").at(offset))?;
        let inner = rescued.source.extent_at(offset)?;
        Ok(Extent::new(offset, inner.end().min(to).min(known) - offset, inner.state))
    }

    fn detail_at(&self, offset: u64) -> Result<Option<Detail>> {
        self.holder(offset).0.map_or(Ok(None), |rescued| rescued.source.detail_at(offset))
    }

    fn shape(&self) -> Shape {
        self.shape
    }
}
