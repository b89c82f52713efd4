//! Keeps what was read: the target, then the journal, then the mapfile.

use super::log::Log;
use super::{Fate, Ledger, Pass, Status};
use crate::report::now;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tintype_core::mapfile::{self, Heading, Phase, Progress};
use tintype_core::{Aligned, Disk, Error, RangeMap, Result};

/// What a power cut may cost, in time.
const COMMIT: Duration = Duration::from_secs(1);

/// Reads that may wait to be written.
const WAITING: usize = 16;

enum Order {
    Write(Aligned, Range<u64>),
    Mark(Range<u64>, Fate),
    Pass(Pass),
}

/// What the keeper keeps.
pub(super) struct Place {
    pub target: Arc<dyn Disk>,
    pub log: Log,
    pub map: PathBuf,
    /// How old the mapfile may get.
    pub interval: Duration,
    pub ledger: Ledger,
    /// The head of the mapfile: who wrote it, with which command, and since when.
    pub head: Heading,
}

/// A thread that writes; the drive need not wait for the target.
pub(super) struct Keeper {
    orders: Option<SyncSender<Order>>,
    buffers: Receiver<Aligned>,
    thread: Option<JoinHandle<Result<Ledger>>>,
}

impl Keeper {
    pub fn spawn(place: Place) -> Self {
        let (orders, taken) = sync_channel(WAITING);
        let (back, buffers) = sync_channel(WAITING * 2);
        let thread = std::thread::spawn(move || {
            let mut work = Work { place, marks: RangeMap::new(), pass: Pass::Copy };
            let run = work.run(&taken, &back);
            // What came before a target that takes no more is kept all the same.
            let kept = work.commit().and_then(|()| work.map());
            run.and(kept).map(|()| work.place.ledger)
        });
        Keeper { orders: Some(orders), buffers, thread: Some(thread) }
    }

    /// Has the first bytes of a buffer written to a range.
    pub fn write(&mut self, buffer: Aligned, range: Range<u64>) -> Result<()> {
        self.send(Order::Write(buffer, range))
    }

    /// Has a fate recorded, after everything that was to be written before.
    pub fn mark(&mut self, range: Range<u64>, fate: Fate) -> Result<()> {
        self.send(Order::Mark(range, fate))
    }

    /// Says which pass the mapfile shall name.
    pub fn pass(&mut self, pass: Pass) -> Result<()> {
        self.send(Order::Pass(pass))
    }

    /// A buffer that was written, for the next read.
    pub fn buffer(&mut self) -> Option<Aligned> {
        self.buffers.try_recv().ok()
    }

    fn send(&mut self, order: Order) -> Result<()> {
        match self.orders.as_ref().map(|orders| orders.send(order)) {
            Some(Ok(())) => Ok(()),
            // It ends early only with an error, which says why.
            _ => self.finish().and(Err(Error::cancelled())),
        }
    }

    /// Waits until everything is durable; returns the ledger as it was written.
    pub fn finish(&mut self) -> Result<Option<Ledger>> {
        self.orders = None;
        let Some(thread) = self.thread.take() else { return Ok(None) };
        thread.join().map_err(|_| Error::corrupt("writing died; please report this as a bug"))?.map(Some)
    }
}

struct Work {
    place: Place,
    // Since the last commit.
    marks: RangeMap<Fate>,
    pass: Pass,
}

impl Work {
    fn run(&mut self, orders: &Receiver<Order>, back: &SyncSender<Aligned>) -> Result<()> {
        let (mut committed, mut mapped) = (Instant::now(), Instant::now());
        self.map()?;
        loop {
            match orders.recv_timeout(COMMIT.saturating_sub(committed.elapsed())) {
                Ok(Order::Write(buffer, range)) => {
                    let len = (range.end - range.start) as usize;
                    self.write(&buffer[..len], range)?;
                    // If nobody takes it, it is freed.
                    let _ = back.try_send(buffer);
                }
                Ok(Order::Mark(range, fate)) => {
                    self.place.ledger.set(range.clone(), fate);
                    self.marks.set(range, fate);
                }
                Ok(Order::Pass(pass)) => self.pass = pass,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if committed.elapsed() >= COMMIT {
                self.commit()?;
                committed = Instant::now();
                if mapped.elapsed() >= self.place.interval {
                    self.map()?;
                    mapped = Instant::now();
                }
            }
        }
    }

    fn write(&self, bytes: &[u8], range: Range<u64>) -> Result<()> {
        self.place.target.write_at(bytes, range.start)
    }

    /// The target first: what the journal names is there.
    fn commit(&mut self) -> Result<()> {
        if self.marks.is_empty() {
            return Ok(());
        }
        self.place.target.flush()?;
        let marks: Vec<_> = std::mem::take(&mut self.marks).iter().collect();
        self.place.log.commit(&marks)
    }

    fn map(&mut self) -> Result<()> {
        let text = mapfile(&self.place.ledger, &self.place.head, self.pass);
        replace(&self.place.map, &text)?;
        self.place.log.mapped(&text)
    }
}

/// The text of a ledger's mapfile.
pub(super) fn mapfile(ledger: &Ledger, heading: &Heading, pass: Pass) -> Vec<u8> {
    let phase = match pass {
        _ if ledger.total(Status::Finished) == ledger.len() => Phase::Finished,
        // Sweeping has a sign of its own since ddrescue 1.30; all versions know this one.
        Pass::Copy | Pass::Back | Pass::Sweep | Pass::Enclose | Pass::Rest => Phase::Copying,
        Pass::Trim => Phase::Trimming,
        Pass::Scrape => Phase::Scraping,
        Pass::Retry => Phase::Retrying,
    };
    let mut blocks = RangeMap::new();
    for (range, fate) in ledger.iter() {
        blocks.set(range, fate.status);
    }
    let heading = Heading { now: now(), doing: pass.title().into(), ..heading.clone() };
    let mut text = Vec::new();
    mapfile::write(&heading, &Progress { phase, ..Progress::default() }, blocks.iter(), &mut text)
        .expect("memory can be written");
    text
}

/// Puts a text in the place of a file, so that there is always the old one or the new one.
fn replace(path: &Path, text: &[u8]) -> Result<()> {
    use std::io::Write as _;
    let failed = |e| Error::io("cannot write the mapfile", e).in_path(path);
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let beside = PathBuf::from(name);
    let mut file = std::fs::File::create(&beside).map_err(failed)?;
    file.write_all(text).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}
