//! Keeps the kernel writing while the program goes on, so that the flush at the end has little left to do.

use rustix::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that are collected before the kernel is asked to begin.
const ENOUGH: u64 = 8 << 20;

/// Asks for ranges of one file to be written, from a thread of its own: the call waits when the drive's queue is full.
pub(crate) struct Writeback {
    fd: Arc<OwnedFd>,
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    from: u64,
    to: u64,
    bytes: u64,
    // Made at the first use: most files are small.
    thread: Option<SyncSender<(u64, u64)>>,
}

impl Writeback {
    pub fn new(fd: Arc<OwnedFd>) -> Self {
        Writeback { fd, pending: Mutex::default() }
    }

    /// Notes that a range was written. Never waits for the medium.
    pub fn note(&self, offset: u64, len: u64) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let end = offset.saturating_add(len);
        if pending.bytes == 0 {
            (pending.from, pending.to) = (offset, end);
        } else {
            (pending.from, pending.to) = (pending.from.min(offset), pending.to.max(end));
        }
        pending.bytes = pending.bytes.saturating_add(len);
        if pending.bytes < ENOUGH {
            return;
        }
        let range = (pending.from, pending.to - pending.from);
        let sent = pending.thread.get_or_insert_with(|| start(Arc::clone(&self.fd))).try_send(range);
        // Still busy with the range before: this one waits for the next call and goes along with more.
        if !matches!(sent, Err(TrySendError::Full(_))) {
            pending.bytes = 0;
        }
    }
}

/// The thread ends when the file is closed.
fn start(fd: Arc<OwnedFd>) -> SyncSender<(u64, u64)> {
    let (send, receive) = sync_channel::<(u64, u64)>(1);
    let run = move || {
        for (offset, len) in receive {
            let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else { continue };
            // SAFETY: the call takes no pointers, and `fd` is open for as long as the thread holds it.
            // It is advice: what goes wrong is told by the flush.
            unsafe { libc::sync_file_range(fd.as_raw_fd(), offset, len, libc::SYNC_FILE_RANGE_WRITE) };
        }
    };
    // Without a thread the receiver is gone, sending fails, and the flush does all the work.
    let _ = std::thread::Builder::new().name("writeback".into()).spawn(run);
    send
}
