//! Where two sources differ.

use crate::pipeline::{Policy, read_isolated};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
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

/// One of two sources.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// Its bytes.
    pub source: &'a Arc<dyn Source>,
    /// Its path, for errors.
    pub path: &'a Path,
}

/// How long a read that hangs is waited for once the person asked to stop.
const PATIENCE: Duration = Duration::from_secs(1);

/// Compares the bytes that both have, position by position.
pub fn compare(a: Side<'_>, b: Side<'_>, limit: &Limit<'_>, watch: &Arc<dyn Watch>) -> Result<Comparison> {
    let end = a.source.len().min(b.source.len());
    watch.event(&Event::Begin { title: "comparing".into(), total: Some(end) });
    let in_order = a.source.shape().in_flight.min(b.source.shape().in_flight) <= 1;
    let workers = match in_order {
        true => 1,
        false => std::thread::available_parallelism().map_or(2, |n| n.get()).clamp(2, 16),
    };
    let shared = Arc::new(Shared {
        sides: [a, b].map(|side| (Arc::clone(side.source), side.path.to_path_buf())),
        end,
        ranges: limit.ranges,
        skip: limit.skip.clone(),
        next: Mutex::new(0),
        done: AtomicU64::new(0),
        running: Mutex::new(workers),
        gone: Condvar::new(),
        stop: AtomicBool::new(false),
        found: Mutex::new(Found::default()),
    });
    // Workers own what they use, so that one whose read never returns can be left behind.
    for _ in 0..workers {
        let shared = Arc::clone(&shared);
        std::thread::spawn(move || {
            let leave = Leave(shared);
            if let Err(e) = work(&leave.0) {
                leave.0.fail(e);
            }
        });
    }
    let mut asked: Option<Instant> = None;
    let mut running = lock(&shared.running);
    while *running > 0 {
        running = shared.gone.wait_timeout(running, TICK).unwrap_or_else(PoisonError::into_inner).0;
        watch.event(&Event::Progress { done: shared.done.load(Ordering::Relaxed), lost: 0 });
        if watch.cancelled() {
            shared.stop.store(true, Ordering::Relaxed);
            if asked.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                break;
            }
        }
    }
    drop(running);
    watch.event(&Event::End);
    let found = std::mem::take(&mut *lock(&shared.found));
    if let Some(error) = found.error {
        return Err(error);
    }
    if asked.is_some() || watch.cancelled() {
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

/// How often progress is shown and the wish to stop is heard.
const TICK: Duration = Duration::from_millis(20);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Shared {
    sides: [(Arc<dyn Source>, PathBuf); 2],
    end: u64,
    ranges: usize,
    skip: ExtentMap,
    next: Mutex<u64>,
    done: AtomicU64,
    running: Mutex<usize>,
    gone: Condvar,
    stop: AtomicBool,
    found: Mutex<Found>,
}

impl Shared {
    fn fail(&self, error: Error) {
        lock(&self.found).error.get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Says that a worker is gone, however it goes.
struct Leave(Arc<Shared>);

impl Drop for Leave {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Error::corrupt("a worker of this program died; please report this as a bug"));
        }
        *lock(&self.0.running) -= 1;
        self.0.gone.notify_all();
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

fn work(shared: &Shared) -> Result<()> {
    let mut left = vec![0; UNIT as usize];
    let mut right = vec![0; UNIT as usize];
    while !shared.stop.load(Ordering::Relaxed) {
        let Some((offset, len)) = next_unit(shared)? else { break };
        let (left, right) = (&mut left[..len as usize], &mut right[..len as usize]);
        let mut lost = ExtentMap::new();
        for ((source, path), buf) in shared.sides.iter().zip([&mut *left, &mut *right]) {
            let found = read_isolated(&**source, buf, offset, &Policy::default());
            for extent in found.map_err(|e| e.met_in(path))? {
                lost.set(extent);
            }
        }
        if left != right || !lost.is_empty() {
            note(left, right, offset, &lost, shared);
        }
        shared.done.fetch_add(len, Ordering::Relaxed);
    }
    Ok(())
}

/// The next range that has to be read; what both know to be zeros is passed over, however long it is.
fn next_unit(shared: &Shared) -> Result<Option<(u64, u64)>> {
    let end = shared.end;
    let mut next = lock(&shared.next);
    while *next < end && !shared.stop.load(Ordering::Relaxed) {
        let offset = *next;
        let [x, y] = shared.sides.each_ref().map(|(source, path)| source.extent_at(offset).map_err(|e| e.met_in(path)));
        let (x, y) = (x?, y?);
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

fn note(left: &[u8], right: &[u8], offset: u64, lost: &ExtentMap, shared: &Shared) {
    let mut found = lock(&shared.found);
    for extent in lost.iter() {
        found.lost.set(extent);
    }
    let mut at = offset;
    for (x, y) in left.chunks(GRAIN).zip(right.chunks(GRAIN)) {
        let here = at;
        at += x.len() as u64;
        if x == y || lost.get(here).is_some() || shared.skip.get(here).is_some() {
            continue;
        }
        found.differing += x.len() as u64;
        let joins = found.ranges.range(..here).next_back().filter(|(s, l)| **s + **l == here).map(|(s, _)| *s);
        match joins {
            Some(start) => *found.ranges.entry(start).or_default() += x.len() as u64,
            None => drop(found.ranges.insert(here, x.len() as u64)),
        }
        // One more than wanted, so that the joining of neighbours from other units never leaves too few.
        if found.ranges.len() > shared.ranges * 2 + 64 {
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
        let side = |source| Side { source, path: Path::new("x") };
        let found = compare(side(&a), side(&b), &Limit { ranges: 10, skip: &skip }, &watch).unwrap();
        assert_eq!(
            found.differs,
            [Extent::new(512, 512, State::Data), Extent::new((2 << 20) - 512, 1024, State::Data)]
        );
        assert_eq!(found.differing, 3 * 512);
        assert!(compare(side(&a), side(&a), &Limit { ranges: 10, skip: &skip }, &watch).unwrap().differs.is_empty());
    }
}
