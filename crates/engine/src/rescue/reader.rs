//! Reads that can be given up on, several at once while the drive is healthy.

use super::health::Health;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tintype_core::{Aligned, Kind, Result, Source};
use tintype_device::{Failure, Why};

/// How often somebody who waits for a read looks whether to go on waiting.
const LOOK: Duration = Duration::from_millis(100);

/// Reads under way at once, at most.
const MOST: usize = 4;

/// Reads that are kept though something else was wanted.
const KEPT: usize = 8;

/// Reads in threads of their own, which are left behind if they hang. What was read ahead and is not wanted now is kept for a while.
pub(super) struct Reader {
    source: Arc<dyn Source>,
    deadline: Duration,
    most: usize,
    idle: Vec<Thread>,
    // In the order in which they were asked for.
    under_way: VecDeque<Flight>,
    kept: VecDeque<Kept>,
    health: Health,
    // When the last answer came.
    answered: Instant,
    /// Why the last read failed, if it did.
    pub why: Option<Why>,
    /// Reads ahead that failed, which nobody was told of.
    pub failed_ahead: Vec<Failed>,
}

struct Thread {
    orders: Sender<(Range<u64>, Aligned)>,
    answers: Receiver<(Result<()>, Aligned)>,
}

struct Flight {
    thread: Thread,
    range: Range<u64>,
    asked: Instant,
}

struct Kept {
    // What of it is good.
    range: Range<u64>,
    buffer: Aligned,
}

/// A read that failed.
pub(super) struct Failed {
    pub range: Range<u64>,
    /// Bytes from its begin that came.
    pub good: u64,
    pub seconds: f64,
}

/// What follows on a read if it goes well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    /// Reads end at multiples of this,
    pub size: u64,
    /// and here.
    pub limit: u64,
}

/// What a read came to.
pub(super) enum Heard {
    /// The bytes, how many from the start are good (fewer than asked for if it failed), and the seconds it took.
    Bytes(Aligned, u64, f64),
    /// It did not come back in time.
    Hung,
    /// Somebody wants to stop.
    Stopped,
}

/// What a person may want, and where buffers come from.
pub(super) struct Around<'a> {
    pub stop: &'a dyn Fn() -> bool,
    pub buffer: &'a mut dyn FnMut() -> Aligned,
}

impl Reader {
    pub fn new(source: Arc<dyn Source>, deadline: Duration) -> Self {
        let most = (source.shape().in_flight as usize).clamp(1, MOST);
        Reader {
            source,
            deadline,
            most,
            idle: Vec::new(),
            under_way: VecDeque::new(),
            kept: VecDeque::new(),
            health: Health::new(),
            answered: Instant::now(),
            why: None,
            failed_ahead: Vec::new(),
        }
    }

    /// Reads a range into the start of a buffer; `Err` where the drive is no longer there or the error is none of the medium.
    ///
    /// While the drive is healthy, what follows is asked for before this read is back.
    pub fn read(&mut self, range: Range<u64>, next: Option<Next>, around: &mut Around<'_>) -> Result<Heard> {
        if self.under_way.front().is_none_or(|flight| flight.range != range) {
            if let Some(heard) = self.settle(around)? {
                return Ok(heard);
            }
            if let Some(heard) = self.take_kept(&range, around) {
                return Ok(heard);
            }
            self.ask(range, around);
        }
        if let Some(next) = next {
            self.ask_ahead(next, around);
        }
        self.answer(around)
    }

    /// Reads a range from the drive though it was read before, and nothing ahead of it.
    pub fn again(&mut self, range: Range<u64>, around: &mut Around<'_>) -> Result<Heard> {
        if let Some(heard) = self.settle(around)? {
            return Ok(heard);
        }
        self.ask(range, around);
        self.answer(around)
    }

    fn ask(&mut self, range: Range<u64>, around: &mut Around<'_>) {
        let thread = self.idle.pop().unwrap_or_else(|| Thread::spawn(Arc::clone(&self.source)));
        // The thread ends only when its orders do.
        let _ = thread.orders.send((range.clone(), (around.buffer)()));
        self.under_way.push_back(Flight { thread, range, asked: Instant::now() });
    }

    fn ask_ahead(&mut self, next: Next, around: &mut Around<'_>) {
        let depth = if self.health.is_good() { self.most } else { 1 };
        while self.under_way.len() < depth {
            let at = self.under_way.back().map_or(next.limit, |flight| flight.range.end);
            let end = at.saturating_add(1).next_multiple_of(next.size).min(next.limit);
            if at >= end {
                return;
            }
            self.ask(at..end, around);
        }
    }

    /// Waits for the first read under way.
    fn answer(&mut self, around: &Around<'_>) -> Result<Heard> {
        let Some(flight) = self.under_way.front() else { return Ok(Heard::Hung) };
        // One drive answers one question after the other: what came before is no part of this one's time.
        let began = flight.asked.max(self.answered);
        loop {
            match flight.thread.answers.recv_timeout(LOOK) {
                Ok((read, buffer)) => {
                    let len = flight.range.end - flight.range.start;
                    self.answered = Instant::now();
                    let seconds = (self.answered - began).as_secs_f64();
                    if let Some(flight) = self.under_way.pop_front() {
                        self.idle.push(flight.thread);
                    }
                    self.why = read.as_ref().err().map(Why::of);
                    let good = match read {
                        Ok(()) => len,
                        Err(e) => match e.kind() {
                            Kind::Unreadable { good, .. } => good.min(len),
                            _ => return Err(e),
                        },
                    };
                    match good == len {
                        true => self.health.good(len, seconds),
                        false => self.health.failed(),
                    }
                    return Ok(Heard::Bytes(buffer, good, seconds));
                }
                Err(RecvTimeoutError::Timeout) if (around.stop)() => {
                    self.leave();
                    return Ok(Heard::Stopped);
                }
                Err(RecvTimeoutError::Timeout) if began.elapsed() < self.deadline => {}
                Err(_) => {
                    self.leave();
                    self.health.failed();
                    self.why = Some(Why::kind_of(Failure::TimedOut));
                    return Ok(Heard::Hung);
                }
            }
        }
    }

    /// Waits for all reads under way and keeps what they bring; tells only that somebody wants to stop.
    fn settle(&mut self, around: &Around<'_>) -> Result<Option<Heard>> {
        while let Some(flight) = self.under_way.front() {
            let range = flight.range.clone();
            match self.answer(around)? {
                Heard::Bytes(buffer, good, seconds) => {
                    if range.start + good < range.end {
                        self.failed_ahead.push(Failed { range: range.clone(), good, seconds });
                    }
                    self.kept.push_back(Kept { range: range.start..range.start + good, buffer });
                    if self.kept.len() > KEPT {
                        self.kept.pop_front();
                    }
                }
                // All that was under way was left behind: nobody has heard of it, and it is tried in its turn.
                Heard::Hung => {
                    let seconds = self.deadline.as_secs_f64();
                    self.failed_ahead.push(Failed { range, good: 0, seconds });
                }
                Heard::Stopped => return Ok(Some(Heard::Stopped)),
            }
        }
        Ok(None)
    }

    /// What was read before, if it is all there.
    fn take_kept(&mut self, range: &Range<u64>, around: &mut Around<'_>) -> Option<Heard> {
        let i = self.kept.iter().position(|k| k.range.start <= range.start && range.end <= k.range.end)?;
        let (kept, len) = (&self.kept[i], (range.end - range.start) as usize);
        let from = (range.start - kept.range.start) as usize;
        self.why = None;
        let mut buffer = (around.buffer)();
        buffer[..len].copy_from_slice(&kept.buffer[from..from + len]);
        if range.end == kept.range.end {
            self.kept.remove(i);
        }
        Some(Heard::Bytes(buffer, len as u64, self.health.usual(len as u64)))
    }

    /// Reads from `source` from now on; what was read ahead of the old one is forgotten.
    pub fn replace(&mut self, source: Arc<dyn Source>) {
        self.source = source;
        self.idle.clear();
        self.kept.clear();
        self.leave();
    }

    /// Leaves everything behind that is under way: who waits for the first waits for all.
    fn leave(&mut self) {
        self.under_way.clear();
    }
}

impl Thread {
    fn spawn(source: Arc<dyn Source>) -> Self {
        let (orders, taken) = channel::<(Range<u64>, Aligned)>();
        let (told, answers) = channel();
        std::thread::spawn(move || {
            for (range, mut buffer) in taken {
                let len = (range.end - range.start) as usize;
                let read = source.read_at(&mut buffer[..len], range.start);
                if told.send((read, buffer)).is_err() {
                    break;
                }
            }
        });
        Thread { orders, answers }
    }
}
