//! One worker: reads a unit, finds out what it is, encodes it for every lane.

use super::isolate::{self, Policy, Replace};
use super::lease::Lease;
use super::plan::{Planner, Task, Work};
use super::{Shared, Unit, lock};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tintype_codec::digest::Part;
use tintype_core::{Encoder, Error, Extent, Feed, Result, State};

/// Bytes that are read and hashed in one go: they stay in the caches.
const NEAR: usize = 256 << 10;

/// What one lane gets of a unit.
pub(crate) struct Line {
    /// Zeros all over, in this state.
    pub run: Option<State>,
    /// As in [`tintype_core::PieceBody::Bytes`].
    pub marks: Vec<Extent>,
    /// Why its encoder could not.
    pub error: Option<Error>,
}

pub(crate) struct Worker {
    pub shared: Arc<Shared>,
    pub planner: Arc<Mutex<Planner>>,
    pub feeds: Vec<Feed>,
    pub froms: Vec<u64>,
    // A lane that has failed gets nothing more.
    pub live: Arc<Vec<AtomicBool>>,
    pub encoders: Vec<Option<Box<dyn Encoder>>>,
    pub policy: Policy,
    pub one_reader: bool,
    // Some digest is put together from parts.
    pub parts: bool,
}

/// Says that the worker is gone, however it goes.
struct Leave(Arc<Shared>);

impl Drop for Leave {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Error::corrupt("a worker of this program died; please report this as a bug"));
        }
        self.0.worker_gone();
    }
}

impl Worker {
    /// Works until there is nothing left, or somebody failed.
    pub fn work(mut self) {
        let _leave = Leave(Arc::clone(&self.shared));
        while let Some(lease) = self.shared.pool.take() {
            match self.unit(lease) {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) => {
                    self.shared.fail(e);
                    break;
                }
            }
        }
    }

    fn unit(&mut self, mut lease: Lease) -> Result<bool> {
        // Cloned so that the guard does not borrow `self`.
        let planner = Arc::clone(&self.planner);
        let mut planner = lock(&planner);
        if self.shared.stopped() {
            return Ok(false);
        }
        let Some(task) = planner.next(&mut lease)? else { return Ok(false) };
        let held = self.one_reader.then_some(planner);
        let Task { seq, offset, len, work } = task;
        let mut read = 0;
        let mut corrupt = Vec::new();
        let mut parts = Vec::new();
        // If nothing but a digest wants the bytes, they are hashed while they are still near the processor.
        let only_parts = self.parts && self.feeds.is_empty() && offset.is_multiple_of(Part::LEN as u64);
        let (run, states) = match work {
            Work::Run(state) => (Some(state), vec![Extent::new(offset, len, state)]),
            Work::Filled => {
                read = len;
                (None, Vec::new())
            }
            Work::Read(source, states) if states.is_empty() && only_parts => {
                let mut all = Vec::new();
                read = len;
                for (i, whole) in lease.prepare(len as usize).chunks_mut(Part::LEN).enumerate() {
                    let from = offset + (i * Part::LEN) as u64;
                    let mut part = Part::new(from);
                    for (j, slice) in whole.chunks_mut(NEAR).enumerate() {
                        self.read(&*source, slice, from + (j * NEAR) as u64, &mut all, &mut corrupt)?;
                        part.update(slice);
                    }
                    if whole.len() == Part::LEN {
                        parts.push(part);
                    }
                }
                (None, all)
            }
            Work::Read(source, states) => {
                let mut all = Vec::new();
                let bytes = lease.prepare(len as usize);
                let mut at = offset;
                for state in states.iter().chain([&Extent::new(offset + len, 0, State::Data)]) {
                    if at < state.offset {
                        let part = part(bytes, offset, at, state.offset);
                        read += part.len() as u64;
                        self.read(&*source, part, at, &mut all, &mut corrupt)?;
                    }
                    let part = part(bytes, offset, state.offset, state.end());
                    match state.state {
                        State::Zero | State::Unused => part.fill(0),
                        State::Bad | State::Unread if self.policy.replace_stored == Replace::Keep => {
                            // What a container stored there is its fill; a mapped raw image may not even have that.
                            let before = all.len();
                            self.read(&*source, part, state.offset, &mut all, &mut corrupt)?;
                            all.truncate(before);
                        }
                        State::Bad | State::Unread => self.policy.fill(part, state.offset),
                        State::Data => {}
                    }
                    if state.len > 0 {
                        all.push(*state);
                    }
                    at = state.end();
                }
                (None, all)
            }
        };
        drop(held);
        let lines = self.lines(&mut lease, offset, len, run, &states);
        if self.parts && parts.is_empty() && run.is_none() && offset.is_multiple_of(Part::LEN as u64) {
            parts = Part::of(offset, lease.bytes());
        }
        let unit = Arc::new(Unit { offset, len, run, lease, states, lines, parts });
        self.shared.deliver(seq, unit, read, corrupt);
        Ok(true)
    }

    fn read(
        &self,
        source: &dyn tintype_core::Source,
        buf: &mut [u8],
        offset: u64,
        lost: &mut Vec<Extent>,
        corrupt: &mut Vec<(Extent, String)>,
    ) -> Result<()> {
        let found = isolate::read(source, buf, offset, &self.policy)?;
        if found.failed > 0 {
            let failed = self.shared.failed.fetch_add(found.failed, Ordering::Relaxed) + found.failed;
            if self.policy.max_errors.is_some_and(|most| failed > most) {
                return Err(Error::unreadable(
                    format!("{failed} sectors could not be read, more than --max-errors allows"),
                    0,
                    None,
                )
                .at(offset));
            }
        }
        lost.extend(found.lost);
        corrupt.extend(found.corrupt);
        Ok(())
    }

    fn lines(&mut self, lease: &mut Lease, offset: u64, len: u64, run: Option<State>, states: &[Extent]) -> Vec<Line> {
        let mut lines = Vec::with_capacity(self.feeds.len());
        let mut coded = lease.coded(self.feeds.len());
        for (i, feed) in self.feeds.iter().enumerate() {
            let mut line = Line { run: None, marks: Vec::new(), error: None };
            // A lane that holds this unit already, or that has failed, gets an empty line; one that stopped inside it gets
            // the rest.
            let start = offset.max(self.froms[i]);
            if start < offset + len && self.live[i].load(Ordering::Relaxed) {
                line.run = run.map(|state| carried(feed, state));
                if run.is_none() {
                    let plain = &lease.bytes()[(start - offset) as usize..];
                    let states: Vec<Extent> = states.iter().filter_map(|s| s.clip(start, offset + len)).collect();
                    line.marks = marks(feed, plain, start, &states);
                    line.run = whole(&line.marks, start, offset + len - start);
                    if line.run.is_none()
                        && let Some(encoder) = &mut self.encoders[i]
                    {
                        line.error = encoder.encode(plain, start, &line.marks, &mut coded[i]).err();
                    }
                }
            }
            lines.push(line);
        }
        lease.keep(coded);
        lines
    }
}

fn part(bytes: &mut [u8], offset: u64, from: u64, to: u64) -> &mut [u8] {
    &mut bytes[(from - offset) as usize..(to - offset) as usize]
}

/// The state in which a run of zeros reaches a sink.
fn carried(feed: &Feed, state: State) -> State {
    match state {
        state if feed.carries.has(state) => state,
        _ => State::Zero,
    }
}

/// The one state that a unit is in, if it needs no bytes.
fn whole(marks: &[Extent], offset: u64, len: u64) -> Option<State> {
    match marks {
        [only] if only.offset == offset && only.len == len && only.state.reads_zero() => Some(only.state),
        _ => None,
    }
}

/// The marks a sink wants: the states it carries, and the zeros found in what is data.
fn marks(feed: &Feed, plain: &[u8], offset: u64, states: &[Extent]) -> Vec<Extent> {
    let zeros = feed.carries.has(State::Zero) && feed.zeros > 0;
    let mut marks: Vec<Extent> = Vec::new();
    let mut push = |extent: Extent| match marks.last_mut() {
        Some(last) if last.state == extent.state && last.end() == extent.offset => last.len += extent.len,
        _ if extent.len > 0 => marks.push(extent),
        _ => {}
    };
    let mut at = offset;
    let end = offset + plain.len() as u64;
    for state in states.iter().chain([&Extent::new(end, 0, State::Data)]) {
        if zeros && at < state.offset {
            for_zeros(feed.zeros, &plain[(at - offset) as usize..(state.offset - offset) as usize], at, &mut push);
        }
        let target = match state.state {
            State::Unused if !feed.carries.has(State::Unused) => State::Zero,
            // A format that knows only one kind of loss keeps both as that one.
            State::Unread if !feed.carries.has(State::Unread) => State::Bad,
            State::Bad if !feed.carries.has(State::Bad) => State::Unread,
            other => other,
        };
        if feed.carries.has(target) && target != State::Data {
            push(Extent { state: target, ..*state });
        }
        at = state.end();
    }
    marks
}

/// Calls `push` for every aligned unit of `grain` bytes in `bytes` that is all zeros.
fn for_zeros(grain: u32, bytes: &[u8], offset: u64, push: &mut impl FnMut(Extent)) {
    let grain = u64::from(grain);
    let end = offset + bytes.len() as u64;
    let mut at = offset;
    while at < end {
        let next = ((at / grain + 1) * grain).min(end);
        let unit = &bytes[(at - offset) as usize..(next - offset) as usize];
        if is_zero(unit) {
            push(Extent::new(at, next - at, State::Zero));
        }
        at = next;
    }
}

/// True if every byte is zero. Most data shows in its first bytes, so those are looked at first.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (first, rest) = bytes.split_at(bytes.len().min(64));
    first.iter().all(|b| *b == 0) && rest.chunks(1024).all(|c| c.iter().fold(0, |acc, b| acc | b) == 0)
}
