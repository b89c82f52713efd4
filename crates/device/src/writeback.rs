//! Keeps the kernel writing while the program goes on, so that the flush at the end has little left to do, and gives the
//! memory back that held what was written: nobody reads an image soon, and others have use for the page cache. Memory that
//! is used again and again is also warm; on a virtual machine whose host takes back free memory, a copy into fresh pages
//! takes several times as long.

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{Advice, fadvise};
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that are collected before the kernel is asked to begin.
const ENOUGH: u64 = 8 << 20;

/// Asks for ranges of one file to be written, from a thread of its own: the call waits when the drive's queue is full.
pub(crate) struct Writeback {
    fd: Arc<OwnedFd>,
    pending: Mutex<Pending>,
    // The kernel tells a lost write once; if it tells this thread, the flush must hear of it. Held while waiting, so that who
    // looks after a flush finds what was told before it.
    lost: Arc<Mutex<bool>>,
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
        Writeback { fd, pending: Mutex::default(), lost: Arc::default() }
    }

    /// True if something did not reach the medium. To be asked after a flush, which may not hear of it.
    pub fn has_lost(&self) -> bool {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner)
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
        let sent =
            pending.thread.get_or_insert_with(|| start(Arc::clone(&self.fd), Arc::clone(&self.lost))).try_send(range);
        // Still busy with the range before: this one waits for the next call and goes along with more.
        if !matches!(sent, Err(TrySendError::Full(_))) {
            pending.bytes = 0;
        }
    }
}

/// Ranges that the kernel may be writing at a time.
const WRITING: usize = 2;

/// The thread ends when the file is closed.
fn start(fd: Arc<OwnedFd>, lost: Arc<Mutex<bool>>) -> SyncSender<(u64, u64)> {
    let (send, receive) = sync_channel::<(u64, u64)>(1);
    let run = move || {
        let mut writing = VecDeque::new();
        for range in receive {
            // It is advice: what goes wrong is told by the flush.
            let _ = write_range(&fd, range, libc::SYNC_FILE_RANGE_WRITE);
            writing.push_back(range);
            if writing.len() > WRITING
                && let Some(oldest) = writing.pop_front()
            {
                // What is still being written stays in memory whatever is advised.
                *lost.lock().unwrap_or_else(PoisonError::into_inner) |= write_range(&fd, oldest, WHOLE).is_err();
                let _ = fadvise(&*fd, oldest.0, NonZeroU64::new(oldest.1), Advice::DontNeed);
            }
        }
    };
    // Without a thread the receiver is gone, sending fails, and the flush does all the work.
    let _ = std::thread::Builder::new().name("writeback".into()).spawn(run);
    send
}

/// Returns when a range is written.
const WHOLE: libc::c_uint =
    libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;

fn write_range(fd: &OwnedFd, (offset, len): (u64, u64), how: libc::c_uint) -> std::io::Result<()> {
    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else { return Ok(()) };
    // SAFETY: the call takes no pointers, and `fd` is open for as long as it is borrowed.
    let done = unsafe { libc::sync_file_range(fd.as_raw_fd(), offset, len, how) };
    let error = std::io::Error::last_os_error();
    // Some file systems, and some kinds of file, do not know the call.
    let told = matches!(error.raw_os_error(), Some(libc::EIO | libc::ENOSPC | libc::EDQUOT));
    if done == 0 || !told { Ok(()) } else { Err(error) }
}
