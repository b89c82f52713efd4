//! Streams that are decoded front to back, read by position.

use super::foreign_words;
use super::input::{Input, Packed, lift};
use super::points::{GRAIN, Grain, Points};
use super::sidecar::{self, Sidecar};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tintype_codec::checksum::Crc32;
use tintype_codec::stream::{self, Checkpoint, Decoder, Kind, Limits};
use tintype_core::{Error, Event, Kind as Failure, OpenRequest, Outlet, Result, Shape, Source, Watch, in_range};

/// Reads that go further than this beyond what was decoded so far are announced.
const ANNOUNCED: u64 = 256 << 20;
/// Bytes decoded between two looks at the watch.
const STEP: usize = 256 << 10;

/// What a stream is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    pub kind: Kind,
    /// Bytes that one window may take.
    pub memory: u64,
    /// Decoders kept to go on with, besides the one that goes first.
    pub live: usize,
}

/// What the container says about the whole of its content, to be held against it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub len: u64,
    pub crc32: Option<u32>,
    /// Whether checksums cover all of it.
    pub is_checked: bool,
}

/// A stream by position. One decoder goes first and leaves checkpoints behind; what lies behind it is decoded again from
/// the nearest of them. The last few decoders are kept, so that reading on from where a read ended costs nothing twice.
pub(crate) struct Streamed {
    input: Input,
    spec: Spec,
    len: u64,
    crc32: Option<u32>,
    name: String,
    is_checked: bool,
    watch: Arc<dyn Watch>,
    keep: Option<(Arc<dyn Outlet>, String)>,
    worth_keeping: u64,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    points: Points,
    first: First,
    live: Vec<Live>,
    ticks: u64,
}

/// The decoder that goes first.
struct First {
    place: FirstPlace,
    crc32: Crc32,
    /// Everything before this has been decoded once.
    at: u64,
    ended: bool,
    failed: Option<Error>,
    foreign: Option<u64>,
    is_checked: bool,
}

/// Where the decoder that goes first is.
enum FirstPlace {
    Here(Box<dyn Decoder>),
    /// A reader has it, or it has ended.
    Away,
    /// The compressed bytes could not be read, which may pass: another one has to get where it was.
    Lost,
}

/// A decoder that follows.
struct Live {
    // None while a reader has it.
    decoder: Option<Box<dyn Decoder>>,
    /// Where it goes on, once it is given back.
    at: u64,
    used: u64,
}

impl Streamed {
    /// Opens a stream, and goes through it once unless its length is known or a side-car has it.
    pub fn open(request: &OpenRequest, packed: &Packed, spec: Spec, known: Option<Known>) -> Result<Self> {
        Self::open_with(request, packed, spec, known, GRAIN)
    }

    /// The same, with places of another grain.
    pub(super) fn open_with(
        request: &OpenRequest,
        packed: &Packed,
        spec: Spec,
        known: Option<Known>,
        grain: Grain,
    ) -> Result<Self> {
        let keep = request.sidecars.clone().map(|outlet| (outlet, sidecar::name(&request.entry.name)));
        let mut this = Streamed {
            input: packed.input(),
            spec,
            len: known.map_or(u64::MAX, |k| k.len),
            crc32: known.and_then(|k| k.crc32),
            name: request.entry.name.clone(),
            is_checked: known.is_some_and(|k| k.is_checked),
            watch: Arc::clone(&request.watch),
            keep,
            worth_keeping: grain.worth_keeping,
            state: Mutex::new(State {
                points: Points::new(grain),
                first: First {
                    place: FirstPlace::Away,
                    crc32: Crc32::new(),
                    at: 0,
                    ended: false,
                    failed: None,
                    foreign: None,
                    is_checked: false,
                },
                live: Vec::new(),
                ticks: 0,
            }),
            changed: Condvar::new(),
        };
        if let Some(found) = this.kept().filter(|found| known.is_none_or(|k| k.len == found.len)) {
            this.len = found.len;
            this.is_checked = known.map_or(found.is_checked, |k| k.is_checked);
            let state = this.state.get_mut().unwrap_or_else(PoisonError::into_inner);
            state.points.restore(found.points, found.spacing);
            state.first.at = found.len;
            state.first.ended = true;
            state.first.foreign = found.foreign;
            return Ok(this);
        }
        let decoder = stream::open(spec.kind, Box::new(this.input.clone()), this.limits()).map_err(lift)?;
        this.lock().first.place = FirstPlace::Here(decoder);
        if known.is_none() {
            this.pass()?;
        }
        Ok(this)
    }

    /// Where in the file something else begins, as far as that is known yet.
    pub fn foreign(&self) -> Option<u64> {
        self.lock().first.foreign
    }

    /// Whether reading all of it, in order, verifies every byte by a checksum.
    pub fn is_checked(&self) -> bool {
        self.is_checked
    }

    /// Places that decoding can be taken up at, besides the start.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.lock().points.list().len()
    }

    fn limits(&self) -> Limits {
        Limits { memory: self.spec.memory }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> Option<Sidecar> {
        let (outlet, name) = self.keep.as_ref()?;
        sidecar::load(&**outlet, name, self.spec.kind, &*self.input.source)
    }

    fn keep(&self, state: &State) {
        let Some((outlet, name)) = self.keep.as_ref().filter(|_| self.len >= self.worth_keeping) else { return };
        let sidecar = Sidecar {
            len: self.len,
            foreign: state.first.foreign,
            is_checked: self.is_checked,
            spacing: state.points.spacing,
            points: state.points.list().to_vec(),
        };
        if let Err(e) = sidecar::save(&**outlet, name, self.spec.kind, &*self.input.source, &sidecar) {
            self.watch.event(&Event::Note(sidecar::not_kept(&e)));
        }
    }

    /// Decodes everything once, to learn the length.
    fn pass(&mut self) -> Result<()> {
        let total = self.input.source.len();
        let title = format!("going through {} once", self.name);
        self.watch.event(&Event::Begin { title, total: Some(total) });
        let result = self.advance(u64::MAX);
        self.watch.event(&Event::End);
        self.len = result.map_err(|e| {
            let text = format!("{}; the first {} bytes can be read", e.what(), self.lock().first.at);
            if e.kind() == Failure::Corrupt { Error::corrupt(text).at(self.lock().first.at) } else { e }
        })?;
        let is_checked = self.lock().first.is_checked;
        self.is_checked = is_checked;
        self.keep(&self.lock());
        Ok(())
    }

    /// Lets the first decoder go to `target` without keeping what it decodes; returns where it is then.
    fn advance(&self, target: u64) -> Result<u64> {
        let (mut decoder, mut crc32, mut at) = self.take_first(0)?;
        let mut scratch = vec![0; STEP];
        let result = loop {
            if at >= target {
                break Ok(());
            }
            if self.watch.cancelled() {
                break Err(Error::cancelled());
            }
            let n = (target - at).min(STEP as u64) as usize;
            match self.pull(&mut decoder, &mut crc32, &mut at, &mut scratch[..n]) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(e) => break Err(e),
            }
            self.watch.event(&Event::Progress { done: decoder.in_offset(), lost: 0 });
        };
        self.give_first(decoder, crc32, at, result)?;
        Ok(at)
    }

    /// Takes the first decoder once nobody else has it, and it has got to `at_least`.
    fn take_first(&self, at_least: u64) -> Result<(Box<dyn Decoder>, Crc32, u64)> {
        let mut state = self.lock();
        loop {
            if let Some(e) = &state.first.failed {
                return Err(Error::copy_of(e));
            }
            if state.first.ended || state.first.at < at_least {
                return Err(Error::corrupt("the compressed data ends too early").at(state.first.at));
            }
            match std::mem::replace(&mut state.first.place, FirstPlace::Away) {
                FirstPlace::Here(decoder) => {
                    let crc32 = std::mem::take(&mut state.first.crc32);
                    return Ok((decoder, crc32, state.first.at));
                }
                FirstPlace::Away => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                FirstPlace::Lost => {
                    let at = state.first.at;
                    drop(state);
                    let found = self.start(None).and_then(|mut decoder| {
                        self.follow(&mut decoder, &mut [], at)?;
                        Ok(decoder)
                    });
                    state = self.lock();
                    match found {
                        Ok(decoder) => state.first.place = FirstPlace::Here(decoder),
                        Err(e) => {
                            state.first.place = FirstPlace::Lost;
                            self.changed.notify_all();
                            return Err(e);
                        }
                    }
                }
            }
        }
    }

    /// Fills `out` from the first decoder; false if the stream ended before. Leaves places behind.
    fn pull(&self, decoder: &mut Box<dyn Decoder>, crc32: &mut Crc32, at: &mut u64, out: &mut [u8]) -> Result<bool> {
        let mut filled = 0;
        while filled < out.len() {
            let (next, spacing) = {
                let state = self.lock();
                (state.points.next(), state.points.spacing)
            };
            decoder.set_spacing(spacing);
            match decoder.read(&mut out[filled..]) {
                Ok(0) => return self.end(*at).map(|()| false),
                Ok(n) => {
                    if self.crc32.is_some() {
                        crc32.update(&out[filled..filled + n]);
                    }
                    filled += n;
                    *at += n as u64;
                }
                Err(tintype_codec::Error::Trailing { offset }) => {
                    self.lock().first.foreign = Some(offset);
                    return self.end(*at).map(|()| false);
                }
                Err(e) => return Err(lift(e).at(*at)),
            }
            if *at >= next
                && let Some(place) = decoder.checkpoint()
            {
                self.lock().points.add(place);
            }
        }
        Ok(true)
    }

    /// The stream has ended here: is that where it should?
    fn end(&self, at: u64) -> Result<()> {
        if self.len != u64::MAX && at != self.len {
            return Err(
                Error::corrupt(format!("the content ends after {at} bytes, {} were announced", self.len)).at(at)
            );
        }
        self.lock().first.ended = true;
        Ok(())
    }

    /// Gives the first decoder back, or notes that it failed.
    fn give_first(&self, decoder: Box<dyn Decoder>, crc32: Crc32, at: u64, result: Result<()>) -> Result<()> {
        let mut state = self.lock();
        state.first.at = at;
        state.first.is_checked = decoder.is_checked();
        let sum = crc32.value();
        let (place, result) = match result {
            Ok(()) if state.first.ended => match self.crc32 {
                Some(stored) if stored != sum => {
                    let e = Error::corrupt("the checksum of the whole content does not match").at(at);
                    (FirstPlace::Away, Err(e))
                }
                _ => (FirstPlace::Away, Ok(())),
            },
            Err(e) if e.kind() == Failure::Io => (FirstPlace::Lost, Err(e)),
            Err(e) if e.kind() != Failure::Cancelled => (FirstPlace::Away, Err(e)),
            going => (FirstPlace::Here(decoder), going),
        };
        match (&place, &result) {
            // Nothing else would end the waiting of those who want it.
            (FirstPlace::Away, Err(e)) => state.first.failed = Some(Error::copy_of(e)),
            _ => state.first.crc32 = crc32,
        }
        state.first.place = place;
        drop(state);
        self.changed.notify_all();
        result
    }

    fn read(&self, mut buf: &mut [u8], mut offset: u64) -> Result<()> {
        let end = offset + buf.len() as u64;
        while !buf.is_empty() {
            let (at, ended) = {
                let state = self.lock();
                (state.first.at, state.first.ended)
            };
            if offset >= at && !ended {
                return self.read_first(buf, offset);
            }
            let n = if ended { buf.len() } else { (at - offset).min(buf.len() as u64) as usize };
            let (now, later) = buf.split_at_mut(n);
            self.read_again(now, offset)?;
            buf = later;
            offset += n as u64;
        }
        if end == self.len
            && let Some(e) = &self.lock().first.failed
        {
            // The whole is known to be wrong, whichever part of it is read again.
            return Err(Error::copy_of(e));
        }
        Ok(())
    }

    /// Reads what nothing has decoded yet.
    fn read_first(&self, out: &mut [u8], offset: u64) -> Result<()> {
        let behind = offset.saturating_sub(self.lock().first.at);
        if behind > 0 {
            let announced = behind >= ANNOUNCED;
            if announced {
                let title = "going through the compressed data once".to_owned();
                self.watch.event(&Event::Begin { title, total: Some(self.input.source.len()) });
            }
            let result = self.advance(offset);
            if announced {
                self.watch.event(&Event::End);
            }
            result?;
        }
        let (mut decoder, mut crc32, mut at) = self.take_first(offset)?;
        if at != offset {
            // Another reader was faster.
            self.give_first(decoder, crc32, at, Ok(()))?;
            return self.read(out, offset);
        }
        let mut result = self.pull(&mut decoder, &mut crc32, &mut at, out).and_then(|whole| match whole {
            true => Ok(()),
            false => Err(Error::corrupt("the compressed data ends too early").at(at)),
        });
        // The last bytes are good only if nothing follows, and every checksum matches.
        if result.is_ok() && at == self.len {
            result = match self.pull(&mut decoder, &mut crc32, &mut at, &mut [0]) {
                Ok(false) => Ok(()),
                Ok(true) => Err(Error::corrupt("the content goes on after the length that was announced").at(self.len)),
                Err(e) => Err(e),
            };
        }
        self.give_first(decoder, crc32, at, result)?;
        let state = self.lock();
        if state.first.ended {
            if let Some(offset) = state.first.foreign {
                self.watch.event(&Event::Warning(foreign_words(offset)));
            }
            self.keep(&state);
        }
        Ok(())
    }

    /// Reads what has been decoded before.
    fn read_again(&self, out: &mut [u8], offset: u64) -> Result<()> {
        let end = offset + out.len() as u64;
        let (id, start) = self.take_live(offset, end)?;
        let result = start.and_then(|mut decoder| {
            self.follow(&mut decoder, out, offset)?;
            Ok(decoder)
        });
        let mut state = self.lock();
        let result = match result {
            Ok(decoder) => {
                if let Some(live) = state.live.iter_mut().find(|l| l.used == id) {
                    live.decoder = Some(decoder);
                }
                Ok(())
            }
            Err(e) => {
                state.live.retain(|l| l.used != id);
                Err(e)
            }
        };
        drop(state);
        self.changed.notify_all();
        result
    }

    /// A decoder at or before `offset` that will be given back at `end`, and the number to give it back under.
    fn take_live(&self, offset: u64, end: u64) -> Result<(u64, Result<Box<dyn Decoder>>)> {
        let mut state = self.lock();
        loop {
            let point = state.points.before(offset).cloned();
            let start = point.as_ref().map_or(0, |p| p.out_offset);
            let nearest = (0..state.live.len())
                .filter(|i| (start..=offset).contains(&state.live[*i].at))
                .max_by_key(|i| state.live[*i].at);
            state.ticks += 1;
            let id = state.ticks;
            if let Some(live) = nearest.map(|i| &mut state.live[i]) {
                if let Some(decoder) = live.decoder.take() {
                    (live.at, live.used) = (end, id);
                    return Ok((id, Ok(decoder)));
                }
                // It is on its way to where it is needed.
            } else if state.live.len() < self.spec.live {
                state.live.push(Live { decoder: None, at: end, used: id });
                drop(state);
                return Ok((id, self.start(point)));
            } else if let Some(oldest) = state.live.iter_mut().filter(|l| l.decoder.is_some()).min_by_key(|l| l.used) {
                *oldest = Live { decoder: None, at: end, used: id };
                drop(state);
                return Ok((id, self.start(point)));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn start(&self, point: Option<Checkpoint>) -> Result<Box<dyn Decoder>> {
        let input = Box::new(self.input.clone());
        match point {
            Some(point) => stream::resume(self.spec.kind, input, self.limits(), &point),
            None => stream::open(self.spec.kind, input, self.limits()),
        }
        .map_err(lift)
    }

    fn follow(&self, decoder: &mut Box<dyn Decoder>, out: &mut [u8], offset: u64) -> Result<()> {
        let read = |decoder: &mut Box<dyn Decoder>, buf: &mut [u8]| match decoder.read(buf) {
            Ok(n) => Ok(n),
            Err(tintype_codec::Error::Trailing { .. }) => Ok(0),
            Err(e) => Err(lift(e).at(decoder.out_offset())),
        };
        let early = |at| Error::corrupt("the compressed data ends where it did not end before").at(at);
        let mut scratch = Vec::new();
        while decoder.out_offset() < offset {
            if self.watch.cancelled() {
                return Err(Error::cancelled());
            }
            scratch.resize(STEP, 0);
            let n = (offset - decoder.out_offset()).min(STEP as u64) as usize;
            if read(decoder, &mut scratch[..n])? == 0 {
                return Err(early(decoder.out_offset()));
            }
        }
        let mut filled = 0;
        while filled < out.len() {
            match read(decoder, &mut out[filled..])? {
                0 => return Err(early(decoder.out_offset())),
                n => filled += n,
            }
        }
        if decoder.out_offset() == self.len && read(decoder, &mut [0])? > 0 {
            return Err(Error::corrupt("the content goes on where it ended before").at(self.len));
        }
        Ok(())
    }
}

impl Source for Streamed {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        self.read(buf, offset).map_err(|e| e.in_path(&self.name))
    }

    fn shape(&self) -> Shape {
        Shape { unit: 1 << 20, in_flight: 1, ..Shape::default() }
    }
}
