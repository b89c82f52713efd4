//! Where two sources differ.

use crate::pipeline::{Policy, read_isolated};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tintype_core::{Error, Event, Extent, ExtentMap, Result, Source, State, Watch};

/// Bytes compared at a time.
const UNIT: u64 = 1 << 20;

/// Differences are told in units of this many bytes.
const GRAIN: usize = 512;

/// How much of a comparison is wanted.
pub struct Limit<'a> {
    /// Most ranges that are listed; the comparison goes on to count.
    pub ranges: usize,
    /// Ranges that are known to differ and are left out.
    pub skip: &'a ExtentMap,
}

/// What a comparison came to.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Bytes compared.
    pub compared: u64,
    /// The first ranges that differ, ascending.
    pub differs: Vec<Extent>,
    /// Bytes in ranges that differ.
    pub differing: u64,
    /// Ranges that one of the two could not give.
    pub lost: ExtentMap,
}

/// Compares the bytes that both have, position by position.
pub fn compare(
    a: &Arc<dyn Source>,
    b: &Arc<dyn Source>,
    limit: &Limit<'_>,
    watch: &Arc<dyn Watch>,
) -> Result<Comparison> {
    let end = a.len().min(b.len());
    watch.event(&Event::Begin { title: "comparing".into(), total: Some(end) });
    let in_order = a.shape().in_flight.min(b.shape().in_flight) <= 1;
    let workers = match in_order {
        true => 1,
        false => std::thread::available_parallelism().map_or(2, |n| n.get()).clamp(2, 16),
    };
    let state = Shared {
        next: Mutex::new(0),
        done: AtomicU64::new(0),
        running: AtomicU64::new(workers as u64),
        stop: AtomicBool::new(false),
        found: Mutex::new(Found::default()),
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let _leave = Leave(&state);
                if let Err(e) = work(&**a, &**b, end, limit, &state) {
                    state.fail(e);
                }
            });
        }
        while state.running.load(Ordering::Acquire) > 0 {
            std::thread::park_timeout(Duration::from_millis(20));
            watch.event(&Event::Progress { done: state.done.load(Ordering::Relaxed), lost: 0 });
            if watch.cancelled() {
                state.stop.store(true, Ordering::Relaxed);
            }
        }
    });
    watch.event(&Event::End);
    let found = state.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = found.error {
        return Err(error);
    }
    if watch.cancelled() {
        return Err(Error::cancelled());
    }
    let mut differs: Vec<Extent> = Vec::new();
    for (offset, len) in found.ranges {
        match differs.last_mut() {
            Some(last) if last.end() == offset => last.len += len,
            _ => differs.push(Extent::new(offset, len, State::Data)),
        }
    }
    differs.truncate(limit.ranges);
    Ok(Comparison { compared: end, differs, differing: found.differing, lost: found.lost })
}

/// The first ranges in which two sources differ.
pub fn differences(
    a: &Arc<dyn Source>,
    b: &Arc<dyn Source>,
    limit: &Limit<'_>,
    watch: &Arc<dyn Watch>,
) -> Result<Vec<Extent>> {
    Ok(compare(a, b, limit, watch)?.differs)
}

struct Shared {
    next: Mutex<u64>,
    done: AtomicU64,
    running: AtomicU64,
    stop: AtomicBool,
    found: Mutex<Found>,
}

impl Shared {
    fn fail(&self, error: Error) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).error.get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Says that a worker is gone, however it goes.
struct Leave<'a>(&'a Shared);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Error::corrupt("a worker of this program died; please report this as a bug"));
        }
        self.0.running.fetch_sub(1, Ordering::Release);
    }
}

#[derive(Default)]
struct Found {
    // The lowest ranges: offset -> length, not joined.
    ranges: BTreeMap<u64, u64>,
    differing: u64,
    lost: ExtentMap,
    error: Option<Error>,
}

fn work(a: &dyn Source, b: &dyn Source, end: u64, limit: &Limit<'_>, shared: &Shared) -> Result<()> {
    let mut left = vec![0; UNIT as usize];
    let mut right = vec![0; UNIT as usize];
    while !shared.stop.load(Ordering::Relaxed) {
        let Some((offset, len)) = next_unit(a, b, end, shared)? else { break };
        let (left, right) = (&mut left[..len as usize], &mut right[..len as usize]);
        let mut lost = ExtentMap::new();
        for (source, buf) in [(a, &mut *left), (b, &mut *right)] {
            for extent in read_isolated(source, buf, offset, &Policy::default())? {
                lost.set(extent);
            }
        }
        if left != right || !lost.is_empty() {
            note(left, right, offset, &lost, limit, shared);
        }
        shared.done.fetch_add(len, Ordering::Relaxed);
    }
    Ok(())
}

/// The next range that has to be read; what both know to be zeros is passed over, however long it is.
fn next_unit(a: &dyn Source, b: &dyn Source, end: u64, shared: &Shared) -> Result<Option<(u64, u64)>> {
    let mut next = shared.next.lock().unwrap_or_else(PoisonError::into_inner);
    while *next < end && !shared.stop.load(Ordering::Relaxed) {
        let offset = *next;
        let (x, y) = (a.extent_at(offset)?, b.extent_at(offset)?);
        let zeros = x.state.reads_zero() && y.state.reads_zero();
        let reach = if zeros { x.end().min(y.end()) } else { (offset / UNIT + 1) * UNIT };
        let reach = reach.min(end);
        if reach <= offset {
            return Err(Error::corrupt("an extent does not cover its offset").at(offset));
        }
        *next = reach;
        if !zeros {
            return Ok(Some((offset, reach - offset)));
        }
        shared.done.fetch_add(reach - offset, Ordering::Relaxed);
    }
    Ok(None)
}

fn note(left: &[u8], right: &[u8], offset: u64, lost: &ExtentMap, limit: &Limit<'_>, shared: &Shared) {
    let mut found = shared.found.lock().unwrap_or_else(PoisonError::into_inner);
    for extent in lost.iter() {
        found.lost.set(extent);
    }
    let mut at = offset;
    for (x, y) in left.chunks(GRAIN).zip(right.chunks(GRAIN)) {
        let here = at;
        at += x.len() as u64;
        if x == y || lost.get(here).is_some() || limit.skip.get(here).is_some() {
            continue;
        }
        found.differing += x.len() as u64;
        let joins = found.ranges.range(..here).next_back().filter(|(s, l)| **s + **l == here).map(|(s, _)| *s);
        match joins {
            Some(start) => *found.ranges.entry(start).or_default() += x.len() as u64,
            None => drop(found.ranges.insert(here, x.len() as u64)),
        }
        // One more than wanted, so that the joining of neighbours from other units never leaves too few.
        if found.ranges.len() > limit.ranges * 2 + 64 {
            found.ranges.pop_last();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_core::Silent;
    use tintype_core::testing::{Bytes, Model};

    #[test]
    fn names_what_differs_and_nothing_else() {
        let model = Model::noise(5 << 20, 9);
        let mut other = model.bytes.clone();
        other[700] ^= 1;
        other[(2 << 20) - 1] ^= 1;
        other[2 << 20] ^= 1;
        let a: Arc<dyn Source> = Arc::new(model);
        let b: Arc<dyn Source> = Arc::new(Bytes(other));
        let watch: Arc<dyn Watch> = Arc::new(Silent::default());
        let skip = ExtentMap::new();
        let found = compare(&a, &b, &Limit { ranges: 10, skip: &skip }, &watch).unwrap();
        assert_eq!(
            found.differs,
            [Extent::new(512, 512, State::Data), Extent::new((2 << 20) - 512, 1024, State::Data)]
        );
        assert_eq!(found.differing, 3 * 512);
        assert!(compare(&a, &a, &Limit { ranges: 10, skip: &skip }, &watch).unwrap().differs.is_empty());
    }
}
