//! The only pipeline: one source, any number of digests and sinks.
//!
//! ```text
//!  planner -> workers (read, isolate failures, find zeros, encode) -> sequencer -> a thread per digest
//!    ^            one lease of a buffer per unit in flight                      -> a thread per sink
//!    +-------------------------- lease comes back when the last thread drops the unit
//! ```
//!
//! Units leave the sequencer in order. Memory is bounded by the number of leases, whatever the size of the source:
//! see [`BUFFERS`].

mod digests;
mod isolate;
mod lane;
mod lease;
mod lines;
mod plan;
mod worker;

pub use isolate::{OnCorrupt, Policy, Replace, read_isolated};
pub use lane::{Journaling, LaneEnd};
pub(crate) use worker::is_zero;

use crate::pipeline::digests::DigestThread;
use crate::pipeline::lane::LaneThread;
use crate::pipeline::lease::Pool;
use crate::pipeline::lines::Line;
use crate::pipeline::plan::{Planner, Runs};
use crate::pipeline::worker::{NEAR, Worker};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tintype_codec::digest::{Hasher, Part};
use tintype_core::{Error, Event, Extent, ExtentMap, Sink, Source, State, Watch};

/// Bytes of read buffers in flight, at most; encoders need about as much again.
pub const BUFFERS: usize = 64 << 20;

/// Smallest unit of work, in bytes.
const UNIT: u64 = 1 << 20;

/// Most corrupt ranges that are listed.
const MOST_CORRUPT: usize = 10_000;

/// Where bytes come from.
pub enum Input {
    /// Random access.
    Source(Arc<dyn Source>),
    /// Bytes that come once; the length is found out at the end, or promised.
    Stream(Box<dyn Read + Send>, Option<u64>),
}

/// One sink and how it takes part.
pub struct Lane {
    /// What to call it in messages.
    pub name: String,
    /// The sink.
    pub sink: Box<dyn Sink>,
    /// It holds everything before this offset already.
    pub from: u64,
    /// Receives checkpoints; without one the sink is never asked for any.
    pub journal: Option<Box<dyn Journaling>>,
}

/// A run of the pipeline.
pub struct Job {
    /// Where bytes come from.
    pub input: Input,
    /// Where to begin.
    pub from: u64,
    /// Sinks, none for hashing and verifying.
    pub lanes: Vec<Lane>,
    /// Digests that have seen everything before `from`.
    pub hashers: Vec<Hasher>,
    /// What to do when a read fails.
    pub policy: Policy,
    /// What to show.
    pub title: String,
    /// Shows it, and says when to stop.
    pub watch: Arc<dyn Watch>,
}

/// What a run came to.
pub struct Outcome {
    /// Logical bytes of the input; for a stream, what came.
    pub len: u64,
    /// The digests, not yet finished.
    pub hashers: Vec<Hasher>,
    /// Bytes by state from `from` on.
    pub totals: BTreeMap<State, u64>,
    /// Ranges that this run could not read, or that the source says are lost.
    pub lost: ExtentMap,
    /// Ranges whose stored checksums do not match, with the reader's words; only with [`OnCorrupt::Record`], and only
    /// the first ten thousand.
    pub corrupt: Vec<(Extent, String)>,
    /// Every lane, in the order given.
    pub lanes: Vec<LaneEnd>,
    /// Bytes for which the input was really read.
    pub read: u64,
    /// Why the run ended early, if it did.
    pub error: Option<Error>,
}

/// Bytes of one unit of work, and what became of them.
pub(crate) struct Unit {
    pub offset: u64,
    pub len: u64,
    /// Zeros all over, in this state; then the lease holds no bytes but still counts as a unit in flight.
    pub run: Option<State>,
    pub lease: lease::Lease,
    /// Ranges that are not [`State::Data`], ascending and absolute.
    pub states: Vec<Extent>,
    /// What each lane gets of it, in the order of the lanes.
    pub lines: Vec<Line>,
    /// Its first bytes, hashed already for digests that take parts.
    pub parts: Vec<Part>,
}

/// What all threads of a run share.
pub(crate) struct Shared {
    pub stop: AtomicBool,
    pub first_error: Mutex<Option<Error>>,
    pub done: AtomicU64,
    pub lost_bytes: AtomicU64,
    /// Sectors that failed so far.
    pub failed: AtomicU64,
    pub pool: Pool,
    sequencer: Mutex<Sequencer>,
    idle: Condvar,
    workers: Mutex<usize>,
}

struct Sequencer {
    next: u64,
    waiting: BTreeMap<u64, Arc<Unit>>,
    outputs: Vec<SyncSender<Arc<Unit>>>,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    totals: BTreeMap<State, u64>,
    lost: ExtentMap,
    corrupt: Vec<(Extent, String)>,
    read: u64,
    end: u64,
}

/// Locks even if a thread died with the lock held: what is behind these locks is never half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn fail(&self, error: Error) {
        lock(&self.first_error).get_or_insert(error);
        self.stop();
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.pool.close();
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Hands a finished unit to digests and lanes, once all units before it have been.
    pub fn deliver(&self, seq: u64, unit: Arc<Unit>, read: u64, corrupt: Vec<(Extent, String)>) {
        let mut sequencer = lock(&self.sequencer);
        sequencer.tally.read += read;
        let room = MOST_CORRUPT.saturating_sub(sequencer.tally.corrupt.len());
        sequencer.tally.corrupt.extend(corrupt.into_iter().take(room));
        sequencer.waiting.insert(seq, unit);
        loop {
            let next = sequencer.next;
            let Some(unit) = sequencer.waiting.remove(&next) else { break };
            sequencer.next += 1;
            sequencer.tally.count(&unit);
            self.lost_bytes.store(
                sequencer.tally.totals.iter().filter(|(s, _)| s.is_lost()).map(|(_, n)| n).sum(),
                Ordering::Relaxed,
            );
            // Channels hold as many units as there are leases, so this never waits. A receiver that is gone has failed
            // and has said so.
            for output in &sequencer.outputs {
                let _ = output.send(Arc::clone(&unit));
            }
            if sequencer.outputs.is_empty() {
                self.done.store(unit.offset + unit.len, Ordering::Relaxed);
            }
        }
    }
}

impl Tally {
    fn count(&mut self, unit: &Unit) {
        let mut other = 0;
        for extent in &unit.states {
            *self.totals.entry(extent.state).or_default() += extent.len;
            other += extent.len;
            if extent.state.is_lost() {
                self.lost.set(*extent);
            }
        }
        if unit.len > other {
            *self.totals.entry(State::Data).or_default() += unit.len - other;
        }
        self.end = unit.offset + unit.len;
    }
}

/// Runs a job to its end, an error, or a stop. Everything that was delivered in order before that is in the sinks and
/// the digests; sinks with a journal have made a last checkpoint.
pub fn run(job: Job) -> Outcome {
    let Job { input, from, lanes, hashers, policy, title, watch } = job;
    let len = match &input {
        Input::Source(source) => Some(source.len()),
        Input::Stream(_, len) => *len,
    };
    let feeds: Vec<_> = lanes.iter().map(|lane| lane.sink.feed()).collect();
    let unit = feeds.iter().fold(UNIT, |unit, feed| least_common_multiple(unit, u64::from(feed.chunk.max(1))));
    let near = if feeds.is_empty() { NEAR / 2 } else { NEAR };
    let step = feeds.iter().fold(near, |step, feed| {
        least_common_multiple(step, least_common_multiple(u64::from(feed.chunk.max(1)), u64::from(feed.zeros.max(1))))
    });
    let shape = match &input {
        Input::Source(source) => source.shape(),
        Input::Stream(..) => tintype_core::Shape { in_flight: 1, ..tintype_core::Shape::default() },
    };
    let cores = std::thread::available_parallelism().map_or(2, |n| n.get());
    let workers = match shape.direct {
        true => (cores + 2).min(16),
        false => cores.clamp(2, 32),
    };
    // A drive reads best in long pieces, and so does what can only be read by one at a time.
    let step = if shape.direct || shape.in_flight <= 1 { unit } else { step.min(unit) };
    // Large units are bounded by their bytes, and then there is no use in more workers than units.
    let leases = (BUFFERS / unit as usize).clamp(3, 8 * workers.max(3));
    let workers = workers.min(leases - 1);
    let patience = match &input {
        Input::Source(_) => PATIENCE,
        Input::Stream(..) => STREAM_PATIENCE,
    };

    watch.event(&Event::Begin { title, total: len.map(|l| l.saturating_sub(from)) });
    let mut outputs = Vec::new();
    let mut digest_threads = Vec::new();
    let mut lane_threads = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..hashers.len() + lanes.len() {
        let (sender, receiver) = std::sync::mpsc::sync_channel(leases + 1);
        outputs.push(sender);
        receivers.push(receiver);
    }
    let mut receivers = receivers.into_iter();
    let shared = Arc::new(Shared {
        stop: AtomicBool::new(false),
        first_error: Mutex::new(None),
        done: AtomicU64::new(from),
        lost_bytes: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        pool: Pool::new(leases, unit as usize),
        sequencer: Mutex::new(Sequencer {
            next: 0,
            waiting: BTreeMap::new(),
            outputs,
            tally: Tally { end: from, ..Tally::default() },
        }),
        idle: Condvar::new(),
        workers: Mutex::new(workers),
    });
    let parts = hashers.iter().any(Hasher::takes_parts);
    let only_parts = lanes.is_empty() && parts && hashers.iter().all(Hasher::takes_parts);
    for hasher in hashers {
        let receiver = receivers.next().expect("one receiver was made for every hasher");
        digest_threads.push(DigestThread::spawn(hasher, receiver, Arc::clone(&shared)));
    }
    let encoders: Vec<Vec<_>> = (0..workers).map(|_| lanes.iter().map(|l| l.sink.encoder()).collect()).collect();
    let froms: Vec<u64> = lanes.iter().map(|lane| lane.from).collect();
    let live: Arc<Vec<AtomicBool>> = Arc::new(lanes.iter().map(|_| AtomicBool::new(true)).collect());
    for (index, lane) in lanes.into_iter().enumerate() {
        let receiver = receivers.next().expect("one receiver was made for every lane");
        lane_threads.push(LaneThread::spawn(index, lane, receiver, Arc::clone(&shared), Arc::clone(&live)));
    }
    let planner =
        Arc::new(Mutex::new(Planner::new(input, from, unit, if only_parts { Runs::Shared } else { Runs::Long })));
    for encoders in encoders {
        let worker = Worker {
            shared: Arc::clone(&shared),
            planner: Arc::clone(&planner),
            feeds: feeds.clone(),
            froms: froms.clone(),
            live: Arc::clone(&live),
            encoders,
            policy: policy.clone(),
            one_reader: shape.in_flight <= 1,
            step,
            parts,
            only_parts,
        };
        std::thread::spawn(move || worker.work());
    }

    let mut stopped = wait_for_workers(&shared, &*watch, from, patience);
    let (tally, stuck) = {
        // Without senders the digest and lane threads finish what they have and end.
        let mut sequencer = lock(&shared.sequencer);
        sequencer.outputs.clear();
        (std::mem::take(&mut sequencer.tally), *lock(&shared.workers) > 0)
    };
    while digest_threads.iter().any(|t: &DigestThread| !t.is_finished()) {
        let guard = lock(&shared.workers);
        drop(shared.idle.wait_timeout(guard, TICK));
        progress(&shared, &*watch, from);
        if watch.cancelled() {
            stopped = true;
            shared.stop();
        }
    }
    let hashers = digest_threads.into_iter().map(DigestThread::join).collect();
    let lanes: Vec<LaneEnd> = join_lanes(lane_threads, &shared, &*watch, from);
    if stuck {
        shared.fail(Error::cancelled());
    }
    let mut error = lock(&shared.first_error).take();
    // Even if everything had come by then: digests of a stopped run are worth nothing.
    if error.is_none() && stopped {
        error = Some(Error::cancelled());
    }
    watch.event(&Event::End);
    let mut corrupt = tally.corrupt;
    corrupt.sort_by_key(|(extent, _)| extent.offset);
    Outcome {
        len: match len {
            Some(len) if error.is_some() => len,
            _ => tally.end,
        },
        hashers,
        totals: tally.totals,
        lost: tally.lost,
        corrupt,
        lanes,
        read: tally.read,
        error,
    }
}

/// How often progress is shown and the wish to stop is heard.
const TICK: Duration = Duration::from_millis(100);

/// How long a read that hangs is waited for once the person asked to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same for a stream, which may have nothing to say for hours.
const STREAM_PATIENCE: Duration = Duration::from_millis(200);

/// Waits until the workers are gone, or have been given up; true if the person stopped them.
fn wait_for_workers(shared: &Shared, watch: &dyn Watch, from: u64, patience: Duration) -> bool {
    let mut asked: Option<Instant> = None;
    let mut running = lock(&shared.workers);
    while *running > 0 {
        running = shared.idle.wait_timeout(running, TICK).unwrap_or_else(PoisonError::into_inner).0;
        progress(shared, watch, from);
        if watch.cancelled() && asked.is_none() {
            asked = Some(Instant::now());
            shared.stop();
        }
        if asked.is_some_and(|since| since.elapsed() > patience) {
            break;
        }
    }
    asked.is_some()
}

fn progress(shared: &Shared, watch: &dyn Watch, from: u64) {
    watch.event(&Event::Progress {
        done: shared.done.load(Ordering::Relaxed).saturating_sub(from),
        lost: shared.lost_bytes.load(Ordering::Relaxed),
    });
}

fn join_lanes(threads: Vec<LaneThread>, shared: &Shared, watch: &dyn Watch, from: u64) -> Vec<LaneEnd> {
    threads
        .into_iter()
        .map(|thread| {
            let end = thread.join();
            progress(shared, watch, from);
            end
        })
        .collect()
}

impl Shared {
    /// A worker has ended.
    pub fn worker_gone(&self) {
        *lock(&self.workers) -= 1;
        self.idle.notify_all();
    }

    /// A digest is done.
    pub fn digest_done(&self) {
        self.idle.notify_all();
    }
}

fn least_common_multiple(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x * b
}

#[cfg(test)]
mod tests;
