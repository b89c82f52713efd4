//! A thread per sink: puts units in order and keeps its journal.

use super::{Lane, Shared, Unit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tintype_core::{Checkpoint, Error, Extent, Piece, PieceBody, Result, Sink};

/// How long may pass between two checkpoints: what a power cut may cost.
const INTERVAL: Duration = Duration::from_secs(2);

/// Remembers how far a sink has come.
pub trait Journaling: Send {
    /// Remembers, durably, a checkpoint and the ranges lost before it since the one before.
    fn record(&mut self, checkpoint: &Checkpoint, lost: &[Extent]) -> Result<()>;
}

/// How a lane ended.
pub struct LaneEnd {
    /// What it is called.
    pub name: String,
    /// The sink, to be finished, unless it failed.
    pub sink: Result<Box<dyn Sink>>,
    /// Its journal.
    pub journal: Option<Box<dyn Journaling>>,
}

pub(crate) struct LaneThread {
    name: String,
    thread: JoinHandle<LaneEnd>,
}

struct State {
    sink: Box<dyn Sink>,
    journal: Option<Box<dyn Journaling>>,
    index: usize,
    from: u64,
    lost: Vec<Extent>,
    last: Instant,
}

impl LaneThread {
    pub fn spawn(
        index: usize,
        lane: Lane,
        units: Receiver<Arc<Unit>>,
        shared: Arc<Shared>,
        live: Arc<Vec<AtomicBool>>,
    ) -> Self {
        let Lane { name, sink, from, journal } = lane;
        let title = name.clone();
        let thread = std::thread::spawn(move || {
            let _gone = Gone { index, shared: Arc::clone(&shared), live: Arc::clone(&live) };
            let mut state = State { sink, journal, index, from, lost: Vec::new(), last: Instant::now() };
            let mut failed = None;
            for unit in units {
                if failed.is_some() {
                    continue;
                }
                if let Err(e) = state.put(unit, &shared) {
                    give_up(index, &shared, &live);
                    failed = Some(e);
                }
            }
            // The end, or a stop: what came this far must not be read again.
            if failed.is_none() && shared.stopped() {
                failed = state.checkpoint().err();
            }
            let State { sink, journal, .. } = state;
            LaneEnd { name, sink: failed.map_or(Ok(sink), Err), journal }
        });
        LaneThread { name: title, thread }
    }

    pub fn join(self) -> LaneEnd {
        self.thread.join().unwrap_or_else(|_| LaneEnd {
            sink: Err(Error::corrupt(format!("{}: writing it died; please report this as a bug", self.name))),
            name: self.name,
            journal: None,
        })
    }
}

/// Says that a lane takes nothing more. The last one takes the run with it.
fn give_up(index: usize, shared: &Shared, live: &[AtomicBool]) {
    live[index].store(false, Ordering::Relaxed);
    if live.iter().all(|l| !l.load(Ordering::Relaxed)) {
        shared.stop();
    }
}

/// Gives the lane up if its thread dies.
struct Gone {
    index: usize,
    shared: Arc<Shared>,
    live: Arc<Vec<AtomicBool>>,
}

impl Drop for Gone {
    fn drop(&mut self) {
        if std::thread::panicking() {
            give_up(self.index, &self.shared, &self.live);
        }
    }
}

impl State {
    fn put(&mut self, unit: Arc<Unit>, shared: &Shared) -> Result<()> {
        // A sink that goes on has the first part of the unit it stopped in already.
        let (offset, end) = (unit.offset.max(self.from), unit.offset + unit.len);
        if offset >= end {
            return Ok(());
        }
        let len = end - offset;
        self.lost.extend(unit.states.iter().filter(|s| s.state.is_lost()).filter_map(|s| s.clip(offset, end)));
        let line = &unit.lines[self.index];
        if let Some(e) = &line.error {
            return Err(Error::copy_of(e));
        }
        let body = match line.run {
            Some(state) => PieceBody::Run(state),
            None => PieceBody::Bytes {
                plain: &unit.lease.bytes()[(offset - unit.offset) as usize..],
                coded: unit.lease.made(self.index),
                marks: &line.marks,
            },
        };
        self.sink.put(Piece { offset, len, body })?;
        shared.done.fetch_max(offset + len, Ordering::Relaxed);
        if self.journal.is_some() && self.last.elapsed() >= INTERVAL {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<()> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        if let Some(checkpoint) = self.sink.checkpoint()? {
            // The sink may be durable only up to somewhere before what it was given last.
            let (before, after): (Vec<_>, Vec<_>) = self.lost.iter().partition(|e| e.offset < checkpoint.offset);
            journal.record(&checkpoint, &before)?;
            self.lost = after;
        }
        self.last = Instant::now();
        Ok(())
    }
}
