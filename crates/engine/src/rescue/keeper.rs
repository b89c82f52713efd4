//! Keeps what was read: writes it, and has it made durable.
//!
//! ```text
//!  passes --what was read, marks--> writer: the target --marks of what was written--> committer: flush, journal, mapfile
//! ```
//!
//! Neither the drive nor the writer waits for a flush.

use super::commit::{Batch, Committer};
use super::log::Log;
use super::{Fate, Pass};
use crate::pipeline::is_zero;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tintype_core::mapfile::Heading;
use tintype_core::{Aligned, Disk, Error, Outlet, RangeMap, Result};

/// Reads that may wait to be written.
const WAITING: usize = 16;

/// Runs of zeros are looked for in pieces of this size: shorter holes are not worth an extent of their own.
const GRAIN: u64 = 64 << 10;

/// Reads shorter than this wait so long for others, unless so many come in that time: the writer is not woken for each of a thousand a second.
const SHORT: usize = 64 << 10;
const GATHERING: Duration = Duration::from_millis(5);
const MANY: usize = WAITING / 2;

/// How many commits may be overdue before writing waits for the target.
const OVERDUE: u32 = 4;

enum Order {
    /// Bytes, and what is to be recorded of them.
    Write(Aligned, Range<u64>, Option<Fate>),
    Mark(Range<u64>, Fate),
    Pass(Pass),
    Settled(SyncSender<()>),
    Save(SyncSender<()>),
}

/// How often things are done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cadence {
    /// What a power cut may cost, in time.
    pub commit: Duration,
    /// How old the mapfile may get.
    pub map: Duration,
    /// What a journal may say in vain before it is written anew, in bytes, besides as much as it says to some purpose.
    pub spare: u64,
}

impl Default for Cadence {
    fn default() -> Self {
        Cadence { commit: Duration::from_secs(1), map: Duration::from_secs(30), spare: 32 << 20 }
    }
}

/// What becomes of zeros that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zeros {
    /// Long runs become holes: files.
    Holes,
    /// They are written: drives.
    Written,
}

/// What the keeper keeps.
pub(super) struct Place {
    pub target: Arc<dyn Disk>,
    pub zeros: Zeros,
    /// Where the mapfile and the journal lie.
    pub outlet: Arc<dyn Outlet>,
    /// The name of the mapfile.
    pub map: String,
    pub log: Log,
    /// What the journal says.
    pub fates: RangeMap<Fate>,
    /// The head of the mapfile: who wrote it, with which command, and since when.
    pub head: Heading,
    pub cadence: Cadence,
}

/// Threads that write; the drive need not wait for the target.
pub(super) struct Keeper {
    orders: Option<SyncSender<Order>>,
    // What was read last: it goes on its way together with its fate, which follows at once.
    held: Option<(Aligned, Range<u64>)>,
    buffers: Receiver<Aligned>,
    target: Arc<dyn Disk>,
    thread: Option<JoinHandle<Result<RangeMap<Fate>>>>,
}

impl Keeper {
    pub fn spawn(place: Place) -> Self {
        let (orders, taken) = sync_channel(WAITING);
        let (back, buffers) = sync_channel(WAITING * 2);
        let (target, zeros, every) = (Arc::clone(&place.target), place.zeros, place.cadence.commit);
        let kept = Arc::clone(&target);
        let thread = std::thread::spawn(move || {
            // One batch waits while another is made durable.
            let (batches, made) = sync_channel(1);
            let committer = std::thread::spawn(move || Committer::new(place).run(&made));
            let mut writer = Writer { target, zeros, every, batches, batch: Batch::default() };
            let run = writer.run(&taken, &back);
            // What came before a target that takes no more is kept all the same.
            writer.hand_over_all();
            drop(writer);
            let kept = committer.join().map_err(|_| died())?;
            run.and(kept)
        });
        Keeper { orders: Some(orders), held: None, buffers, target: kept, thread: Some(thread) }
    }

    /// Has the first bytes of a buffer written to a range.
    pub fn write(&mut self, buffer: Aligned, range: Range<u64>) -> Result<()> {
        self.let_go()?;
        self.held = Some((buffer, range));
        Ok(())
    }

    fn let_go(&mut self) -> Result<()> {
        match self.held.take() {
            Some((buffer, range)) => self.hand_over(Order::Write(buffer, range, None)),
            None => Ok(()),
        }
    }

    /// Has a fate recorded, after everything that was to be written before.
    pub fn mark(&mut self, range: Range<u64>, fate: Fate) -> Result<()> {
        match self.held.take_if(|(_, held)| *held == range) {
            Some((buffer, range)) => self.hand_over(Order::Write(buffer, range, Some(fate))),
            None => self.send(Order::Mark(range, fate)),
        }
    }

    /// Says which pass the mapfile shall name.
    pub fn pass(&mut self, pass: Pass) -> Result<()> {
        self.send(Order::Pass(pass))
    }

    /// The target, once everything that was given so far is written to it; not necessarily durable.
    pub fn settled(&mut self) -> Result<Arc<dyn Disk>> {
        let (done, written) = sync_channel(1);
        self.send(Order::Settled(done))?;
        match written.recv() {
            Ok(()) => Ok(Arc::clone(&self.target)),
            // It ends early only with an error, which says why.
            Err(_) => self.finish().and(Err(Error::cancelled())),
        }
    }

    /// Has everything made durable and the mapfile written; returns when it is.
    pub fn save(&mut self) -> Result<()> {
        let (done, saved) = sync_channel(1);
        self.send(Order::Save(done))?;
        match saved.recv() {
            Ok(()) => Ok(()),
            // It ends early only with an error, which says why.
            Err(_) => self.finish().and(Err(Error::cancelled())),
        }
    }

    /// A buffer that was written, for the next read.
    pub fn buffer(&mut self) -> Option<Aligned> {
        self.buffers.try_recv().ok()
    }

    fn send(&mut self, order: Order) -> Result<()> {
        self.let_go()?;
        self.hand_over(order)
    }

    fn hand_over(&mut self, order: Order) -> Result<()> {
        match self.orders.as_ref().map(|orders| orders.send(order)) {
            Some(Ok(())) => Ok(()),
            // It ends early only with an error, which says why.
            _ => self.finish().and(Err(Error::cancelled())),
        }
    }

    /// Waits until everything is durable; returns what is.
    pub fn finish(&mut self) -> Result<Option<RangeMap<Fate>>> {
        if let (Some(orders), Some((buffer, range))) = (&self.orders, self.held.take()) {
            // It ends early only with an error, which is told below.
            let _ = orders.send(Order::Write(buffer, range, None));
        }
        self.orders = None;
        let Some(thread) = self.thread.take() else { return Ok(None) };
        thread.join().map_err(|_| died())?.map(Some)
    }
}

fn died() -> Error {
    Error::corrupt("writing died; please report this as a bug")
}

struct Writer {
    target: Arc<dyn Disk>,
    zeros: Zeros,
    every: Duration,
    batches: SyncSender<Batch>,
    // What was written since the last batch.
    batch: Batch,
}

impl Writer {
    fn run(&mut self, orders: &Receiver<Order>, back: &SyncSender<Aligned>) -> Result<()> {
        let mut handed = Instant::now();
        let mut short = 0;
        loop {
            let order = match orders.try_recv() {
                Err(TryRecvError::Empty) if (1..MANY).contains(&std::mem::take(&mut short)) => {
                    std::thread::sleep(GATHERING);
                    continue;
                }
                Err(_) => {
                    orders.recv_timeout(self.every.saturating_sub(handed.elapsed()).max(Duration::from_millis(1)))
                }
                Ok(order) => Ok(order),
            };
            match order {
                Ok(Order::Write(buffer, range, fate)) => {
                    let len = (range.end - range.start) as usize;
                    short += if len < SHORT { 1 } else { MANY };
                    self.write(&buffer[..len], range.start)?;
                    if let Some(fate) = fate {
                        self.batch.marks.set(range, fate);
                    }
                    // If nobody takes it, it is freed.
                    let _ = back.try_send(buffer);
                }
                Ok(Order::Mark(range, fate)) => self.batch.marks.set(range, fate),
                Ok(Order::Pass(pass)) => self.batch.pass = Some(pass),
                Ok(Order::Settled(done)) => {
                    // Whoever asked may have given up.
                    let _ = done.send(());
                }
                Ok(Order::Save(done)) => {
                    self.batch.save = Some(done);
                    self.hand_over_all();
                    handed = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if handed.elapsed() < self.every {
                continue;
            }
            if handed.elapsed() > self.every * OVERDUE {
                // More must not be at stake.
                self.hand_over_all();
                handed = Instant::now();
                continue;
            }
            match self.batches.try_send(std::mem::take(&mut self.batch)) {
                Ok(()) => handed = Instant::now(),
                Err(TrySendError::Full(batch)) => self.batch = batch,
                // It ends early only with an error, which is told at the end.
                Err(TrySendError::Disconnected(_)) => return Ok(()),
            }
        }
    }

    fn hand_over_all(&mut self) {
        // Nobody takes it if the committer has failed, which is told at the end.
        let _ = self.batches.send(std::mem::take(&mut self.batch));
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        if self.zeros == Zeros::Written {
            return self.target.write_at(bytes, offset);
        }
        let end = offset + bytes.len() as u64;
        let part = |from: u64, to: u64| &bytes[(from - offset) as usize..(to - offset) as usize];
        let put = |from: u64, to: u64, zero: bool| match zero {
            _ if from == to => Ok(()),
            true => self.target.zero(from, to - from),
            false => self.target.write_at(part(from, to), from),
        };
        let (mut run, mut zero, mut at) = (offset, false, offset);
        while at < end {
            let next = ((at / GRAIN + 1) * GRAIN).min(end);
            let now = next - at == GRAIN && is_zero(part(at, next));
            if now != zero {
                put(run, at, zero)?;
                (run, zero) = (at, now);
            }
            at = next;
        }
        put(run, end, zero)
    }
}
