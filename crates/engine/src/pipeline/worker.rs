//! One worker: reads a unit, finds out what it is, encodes it for every lane.

use super::digests::ZEROS;
use super::isolate::{self, Found, Policy, Replace};
use super::lease::Lease;
use super::lines::Lines;
use super::plan::{Planner, Task, Work};
use super::{Shared, Unit, lock};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tintype_codec::digest::Part;
use tintype_core::{Encoder, Error, Extent, Feed, Result, Source, State};

/// Bytes that are read, hashed and encoded in one go: they stay in the caches. Longer writes spare calls of the kernel; where
/// nothing is written it is half of that.
pub(crate) const NEAR: u64 = 256 << 10;

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
    // Bytes of a unit that are dealt with before the next are read; a multiple of what every lane is fed in.
    pub step: u64,
    // Some digest is put together from parts.
    pub parts: bool,
    // All are, and there are no lanes: nobody wants the bytes of whole parts.
    pub only_parts: bool,
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
        let mut lines = Lines::new(&mut lease, self.feeds.len());
        let parted = self.parts && offset.is_multiple_of(Part::LEN as u64);
        let (run, states) = match work {
            Work::Run(state) => {
                if parted && self.only_parts {
                    zeros(&mut parts, offset, len, &self.shared);
                }
                (Some(state), vec![Extent::new(offset, len, state)])
            }
            Work::Filled => {
                read = len;
                (None, Vec::new())
            }
            Work::Read(source, states)
                if states.is_empty()
                    && self.only_parts
                    && parted
                    && len.is_multiple_of(Part::LEN as u64)
                    && self.hashed(&*source, &mut lease, offset, len, &mut parts) =>
            {
                read = len;
                (None, Vec::new())
            }
            Work::Read(source, states) if states.is_empty() && self.step < len => {
                let mut all = Vec::new();
                read = len;
                let mut at = 0;
                while at < len {
                    let to = (at + self.step).min(len);
                    let bytes = &mut lease.prepare(len as usize)[at as usize..];
                    let to = match source.read_at(&mut bytes[..(to - at) as usize], offset + at) {
                        Ok(()) => to,
                        // The rest goes along: what fails in a row is counted over the unit.
                        Err(e) => {
                            let found = isolate::isolate(&*source, bytes, offset + at, &self.policy, e)?;
                            self.count(found, offset, &mut all, &mut corrupt)?;
                            len
                        }
                    };
                    if parted {
                        hash(&mut parts, &lease.bytes()[..to as usize], offset, at);
                    }
                    self.encode(&mut lines, &lease.bytes()[..to as usize], offset, at, &all);
                    at = to;
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
        match run {
            Some(state) => self.run(&mut lines, offset, len, state),
            // Its bytes went by.
            None if lease.bytes().is_empty() => {}
            None => {
                let from = lines.to.max(offset) - offset;
                self.encode(&mut lines, lease.bytes(), offset, from, &states);
                if parted {
                    hash(&mut parts, lease.bytes(), offset, from);
                }
            }
        }
        parts.retain(Part::is_whole);
        let lines = lines.finish(&mut lease);
        let unit = Arc::new(Unit { offset, len, run, lease, states, lines, parts });
        self.shared.deliver(seq, unit, read, corrupt);
        Ok(true)
    }

    /// Hashes a unit of whole parts through one small buffer, which never leaves the caches. False, with no parts, where
    /// anything cannot be read.
    fn hashed(&self, source: &dyn Source, lease: &mut Lease, offset: u64, len: u64, parts: &mut Vec<Part>) -> bool {
        let mut at = 0;
        while at < len {
            let to = (at + self.step).min((at / Part::LEN as u64 + 1) * Part::LEN as u64).min(len);
            let bytes = lease.prepare((to - at) as usize);
            if source.read_at(bytes, offset + at).is_err() {
                parts.clear();
                break;
            }
            if at.is_multiple_of(Part::LEN as u64) {
                parts.push(Part::new(offset + at));
            }
            if let Some(part) = parts.last_mut() {
                part.update(bytes);
            }
            at = to;
        }
        lease.truncate(0);
        at == len
    }

    fn read(
        &self,
        source: &dyn Source,
        buf: &mut [u8],
        offset: u64,
        lost: &mut Vec<Extent>,
        corrupt: &mut Vec<(Extent, String)>,
    ) -> Result<()> {
        let found = isolate::read(source, buf, offset, &self.policy)?;
        self.count(found, offset, lost, corrupt)
    }

    fn count(
        &self,
        found: Found,
        offset: u64,
        lost: &mut Vec<Extent>,
        corrupt: &mut Vec<(Extent, String)>,
    ) -> Result<()> {
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

    /// What each lane gets of a unit that is one run.
    fn run(&self, lines: &mut Lines, offset: u64, len: u64, state: State) {
        for (i, feed) in self.feeds.iter().enumerate() {
            if self.wants(i, offset + len) {
                lines.run(i, carried(feed, state));
            }
        }
    }

    /// Gives every lane the bytes of a unit from `from` on, counted from its start. `bytes` begins with the unit, and ends where
    /// it has been read.
    fn encode(&mut self, lines: &mut Lines, bytes: &[u8], offset: u64, from: u64, states: &[Extent]) {
        let end = offset + bytes.len() as u64;
        for (i, feed) in self.feeds.iter().enumerate() {
            // A lane that holds this unit already, or that has failed, gets an empty line; one that stopped inside it gets
            // the rest.
            let start = (offset + from).max(self.froms[i]);
            if start < end && self.wants(i, end) {
                let states: Vec<Extent> = states.iter().filter_map(|s| s.clip(start, end)).collect();
                let marks = marks(feed, &bytes[(start - offset) as usize..], start, &states);
                lines.bytes(i, self.encoders[i].as_mut(), bytes, offset, start, &marks);
            }
        }
        lines.to = end;
    }

    fn wants(&self, lane: usize, end: u64) -> bool {
        self.froms[lane] < end && self.live[lane].load(Ordering::Relaxed)
    }
}

/// Hashes what was read of a unit, from `from` on, counted from its start.
fn hash(parts: &mut Vec<Part>, bytes: &[u8], offset: u64, from: u64) {
    let mut at = from as usize;
    while at < bytes.len() {
        if at.is_multiple_of(Part::LEN) {
            parts.push(Part::new(offset + at as u64));
        }
        let to = ((at / Part::LEN + 1) * Part::LEN).min(bytes.len());
        if let Some(part) = parts.last_mut() {
            part.update(&bytes[at..to]);
        }
        at = to;
    }
}

/// Hashes the whole parts of a run of zeros: a digest thread alone would take as many times as long as there are workers.
fn zeros(parts: &mut Vec<Part>, offset: u64, len: u64, shared: &Shared) {
    for at in (0..len / Part::LEN as u64).map(|i| offset + i * Part::LEN as u64) {
        if shared.stopped() {
            break;
        }
        let mut part = Part::new(at);
        for _ in 0..Part::LEN / ZEROS.len() {
            part.update(&ZEROS);
        }
        parts.push(part);
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
