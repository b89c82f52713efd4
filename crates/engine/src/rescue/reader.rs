//! Reads that can be given up on.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tintype_core::{Aligned, Kind, Result, Source};

/// How often somebody who waits for a read looks whether to go on waiting.
const LOOK: Duration = Duration::from_millis(100);

/// Reads one range after the other in a thread of its own, which is left behind if it hangs.
pub(super) struct Reader {
    source: Arc<dyn Source>,
    deadline: Duration,
    thread: Option<Thread>,
    // Threads that were left behind and may still hang in the kernel.
    pub abandoned: u32,
}

struct Thread {
    orders: Sender<(Range<u64>, Aligned)>,
    answers: Receiver<(Result<()>, Aligned)>,
}

/// What a read came to.
pub(super) enum Heard {
    /// The bytes, and how many from the start are good; fewer than asked for if it failed.
    Bytes(Aligned, u64),
    /// It did not come back in time.
    Hung,
    /// Somebody wants to stop.
    Stopped,
}

impl Reader {
    pub fn new(source: Arc<dyn Source>, deadline: Duration) -> Self {
        Reader { source, deadline, thread: None, abandoned: 0 }
    }

    /// Reads a range into the start of `buffer`; `Err` where the drive is no longer there or the error is none of the medium.
    pub fn read(&mut self, range: Range<u64>, buffer: Aligned, stop: &dyn Fn() -> bool) -> Result<Heard> {
        let source = &self.source;
        let thread = self.thread.get_or_insert_with(|| Thread::spawn(Arc::clone(source)));
        let len = range.end - range.start;
        let began = Instant::now();
        // The thread ends only when its orders do.
        let _ = thread.orders.send((range, buffer));
        loop {
            match thread.answers.recv_timeout(LOOK) {
                Ok((Ok(()), buffer)) => return Ok(Heard::Bytes(buffer, len)),
                Ok((Err(e), buffer)) => match e.kind() {
                    Kind::Unreadable { good, .. } => return Ok(Heard::Bytes(buffer, good.min(len))),
                    _ => return Err(e),
                },
                Err(RecvTimeoutError::Timeout) if stop() => {
                    self.leave();
                    return Ok(Heard::Stopped);
                }
                Err(RecvTimeoutError::Timeout) if began.elapsed() < self.deadline => {}
                Err(_) => {
                    self.leave();
                    return Ok(Heard::Hung);
                }
            }
        }
    }

    /// Reads from `source` from now on.
    pub fn replace(&mut self, source: Arc<dyn Source>) {
        self.source = source;
        self.thread = None;
    }

    fn leave(&mut self) {
        self.thread = None;
        self.abandoned += 1;
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
