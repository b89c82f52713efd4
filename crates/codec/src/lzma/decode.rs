//! Symbols: literals, matches, repeated matches.

use super::Properties;
use super::model::{Lengths, Model, STATES};
use super::range::Range;
use super::ring::Ring;
use crate::error::{Error, Result};
use crate::stream::Window;

/// No symbol takes more input.
const MOST_INPUT: usize = 20;
/// No match is longer.
pub(super) const MOST_COPIED: usize = 273;
const LEAST_COPIED: u32 = 2;
/// The state that a literal leads to from each state; there are twelve, an index of four bits always fits.
const AFTER_LITERAL: [u8; 16] = [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 5, 0, 0, 0, 0];
/// Bytes copied at once.
const STEP: usize = 16;

/// Whether more may come after the input at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// More may come: symbols that may be cut in two are left for later.
    Follows,
    /// Nothing comes.
    Ended,
}

/// Why a decoder came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// More input may be needed.
    Input,
    /// All room for output is used.
    Output,
    /// There was an end marker.
    Marker,
}

/// What one run did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) consumed: usize,
    pub(super) written: usize,
    pub(super) stop: Stop,
}

/// Everything that decoding depends on.
pub(super) struct Decoder {
    pub(super) properties: Properties,
    pub(super) ring: Ring,
    model: Box<Model>,
    state: u8,
    reps: [u32; 4],
    range: u32,
    code: u32,
    /// What is left to copy of a match.
    pending: u32,
}

impl Decoder {
    pub(super) fn new(properties: Properties, ring: Ring) -> Self {
        Self { properties, ring, model: Model::new(), state: 0, reps: [0; 4], range: 0, code: 0, pending: 0 }
    }

    /// Forgets everything but the history.
    pub(super) fn reset(&mut self, properties: Properties) {
        self.properties = properties;
        self.model.reset();
        self.state = 0;
        self.reps = [0; 4];
    }

    /// Starts with the first five bytes of range-coded data.
    pub(super) fn start(&mut self, head: [u8; 5]) -> Result<()> {
        let [0, code @ ..] = head else { return Err(Error::corrupt("lzma: does not start with a zero")) };
        self.range = u32::MAX;
        self.code = u32::from_be_bytes(code);
        self.pending = 0;
        Ok(())
    }

    /// Uses up what the range coder still has to take in; true if the data could end here.
    pub(super) fn finish(&mut self, src: &[u8]) -> Result<(usize, bool)> {
        let mut range = Range::new(self.range, self.code, src);
        range.normalize();
        if range.is_overrun() {
            return Err(Error::Truncated);
        }
        (self.range, self.code) = (range.range, range.code);
        Ok((range.pos, self.code == 0 && self.pending == 0))
    }

    /// Decodes up to `wanted` bytes, which then are the window's last.
    pub(super) fn run(&mut self, src: &[u8], wanted: usize, rest: Rest) -> Result<Run> {
        let limit = self.ring.room(wanted);
        let Self { properties, ring: history, model, .. } = self;
        let model = &mut **model;
        let begin = history.pos;
        let (size, ring, shift) = (history.size, history.ring, history.shift);
        let full = history.full;
        // Beyond this the next symbol may be cut in two, or the last one was.
        let enough = if rest == Rest::Follows { src.len().checked_sub(MOST_INPUT) } else { Some(src.len()) };
        let literal_mask = (1 << properties.lp) - 1;
        let position_mask = (1 << properties.pb) - 1;
        let (lc, high) = (properties.lc, 8 - properties.lc);
        let mut range = Range::new(self.range, self.code, src);
        let mut state = self.state;
        let [mut rep0, mut rep1, mut rep2, mut rep3] = self.reps;
        let mut last = history.last();
        let mut len = self.pending;
        let mut pos = begin;
        let buf = &mut history.buf[..];
        let stop = 'symbols: {
            let Some(enough) = enough else { break 'symbols Stop::Input };
            loop {
                if len > 0 {
                    if rep0 as usize >= (full + (pos - begin)).min(size) {
                        return Err(history.refusal(u64::from(rep0) + 1, pos - begin));
                    }
                    let n = (len as usize).min(limit - pos);
                    repeat(buf, ring, pos, rep0 as usize + 1, n);
                    pos += n;
                    len -= n as u32;
                    // Harmless where nothing was copied: there was no room.
                    last = buf.get(pos.wrapping_sub(1)).copied().unwrap_or(last);
                }
                let position = loop {
                    if pos >= limit {
                        break 'symbols Stop::Output;
                    }
                    if range.pos > enough {
                        break 'symbols Stop::Input;
                    }
                    let here = pos.wrapping_add(shift);
                    let position = here & position_mask & 15;
                    if range.bit(&mut model.is_match[usize::from(state & 15)][position]) {
                        break position;
                    }
                    let context = (here & literal_mask) << lc | usize::from(last) >> high;
                    let slots = &mut model.literal[context & 15];
                    last = if state < 7 {
                        literal(&mut range, slots)
                    } else {
                        let distance = rep0 as usize + 1;
                        let from = if distance <= pos { pos - distance } else { (pos + ring).wrapping_sub(distance) };
                        literal_after_match(&mut range, slots, buf.get(from).copied().unwrap_or(0))
                    };
                    state = AFTER_LITERAL[usize::from(state & 15)];
                    if let Some(slot) = buf.get_mut(pos) {
                        *slot = last;
                    }
                    pos += 1;
                };
                if !range.bit(&mut model.is_rep[usize::from(state & 15)]) {
                    (rep3, rep2, rep1) = (rep2, rep1, rep0);
                    len = length(&mut range, &mut model.matched, position);
                    rep0 = distance(&mut range, model, len);
                    state = if state < 7 { 7 } else { 10 };
                    if rep0 == u32::MAX {
                        len = 0;
                        break 'symbols Stop::Marker;
                    }
                    continue;
                }
                if full + (pos - begin) == 0 {
                    return Err(Error::corrupt("lzma: refers to something before the start"));
                }
                if !range.bit(&mut model.is_rep0[usize::from(state & 15)]) {
                    if !range.bit(&mut model.is_rep0_long[usize::from(state & 15)][position]) {
                        state = if state < 7 { 9 } else { 11 };
                        len = 1;
                        continue;
                    }
                } else if !range.bit(&mut model.is_rep1[usize::from(state & 15)]) {
                    (rep0, rep1) = (rep1, rep0);
                } else if !range.bit(&mut model.is_rep2[usize::from(state & 15)]) {
                    (rep0, rep1, rep2) = (rep2, rep0, rep1);
                } else {
                    (rep0, rep1, rep2, rep3) = (rep3, rep0, rep1, rep2);
                }
                len = length(&mut range, &mut model.repeated, position);
                state = if state < 7 { 8 } else { 11 };
            }
        };
        // The bits of the last symbols were no real ones; what came of them is not given out.
        if range.is_overrun() {
            return Err(Error::Truncated);
        }
        self.range = range.range;
        self.code = range.code;
        self.state = state;
        self.reps = [rep0, rep1, rep2, rep3];
        self.pending = len;
        let consumed = range.pos;
        self.ring.advance(pos);
        Ok(Run { consumed, written: pos - begin, stop })
    }

    /// Packs everything but the history.
    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        out.extend([self.properties.byte(), self.state, self.ring.phase()]);
        for number in [self.range, self.code, self.pending].iter().chain(&self.reps) {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.ring.total().to_le_bytes());
        self.model.pack(self.properties, out);
    }

    /// Makes a decoder of what [`pack`](Self::pack) gave and of the history.
    pub(super) fn unpack(mut bytes: &[u8], history: &Window, mut ring: Ring) -> Result<Self> {
        let wrong = || Error::corrupt("lzma: not a state to go on from");
        let ([properties, state, phase], rest) = bytes.split_first_chunk().ok_or_else(wrong)?;
        bytes = rest;
        let properties = Properties::parse(*properties)?;
        let mut number = || {
            let (number, rest) = bytes.split_first_chunk().ok_or_else(wrong)?;
            bytes = rest;
            Ok::<_, Error>(u32::from_le_bytes(*number))
        };
        let (range, code, pending) = (number()?, number()?, number()?);
        let reps = [number()?, number()?, number()?, number()?];
        let (total, bytes) = bytes.split_first_chunk().ok_or_else(wrong)?;
        let model = Model::unpack(properties, bytes).ok_or_else(wrong)?;
        if *state >= STATES || pending as usize > MOST_COPIED {
            return Err(wrong());
        }
        let total = u64::from_le_bytes(*total);
        history.unpack(ring.restore(history.len(), *phase, total).ok_or_else(wrong)?)?;
        Ok(Self { properties, ring, model, state: *state, reps, range, code, pending })
    }
}

#[inline(always)]
fn literal(range: &mut Range<'_>, slots: &mut [u16; 1024]) -> u8 {
    let mut symbol = 1;
    for _ in 0..8 {
        symbol = symbol << 1 | range.coin(&mut slots[symbol as usize & 0xff]);
    }
    symbol as u8
}

/// A literal after a match differs from the byte that would have gone on the match, so that one's bits say which slots to use.
#[inline(always)]
fn literal_after_match(range: &mut Range<'_>, slots: &mut [u16; 1024], matched: u8) -> u8 {
    let mut matched = u32::from(matched);
    let mut same = 0x100;
    let mut symbol = 1;
    for _ in 0..8 {
        matched <<= 1;
        let expected = matched & same;
        let bit = range.coin(&mut slots[(same + expected + symbol) as usize & 1023]);
        symbol = symbol << 1 | bit;
        // Stays while bits are as expected.
        same &= expected ^ bit.wrapping_sub(1);
    }
    symbol as u8
}

#[inline(always)]
fn length(range: &mut Range<'_>, slots: &mut Lengths, position: usize) -> u32 {
    LEAST_COPIED
        + if !range.bit(&mut slots.choice) {
            range.tree(&mut slots.low[position & 15])
        } else if !range.bit(&mut slots.choice2) {
            8 + range.tree(&mut slots.middle[position & 15])
        } else {
            16 + range.tree(&mut slots.high)
        }
}

/// One less than the bytes to go back; all ones for the end marker.
#[inline(always)]
fn distance(range: &mut Range<'_>, model: &mut Model, len: u32) -> u32 {
    let slot = range.tree(&mut model.slot[(len - LEAST_COPIED).min(3) as usize]);
    if slot < 4 {
        return slot;
    }
    let extra = (slot >> 1) - 1;
    let base = 2 | slot & 1;
    if slot < 14 {
        let base = base << extra;
        let mut node = 1;
        let mut low = 0;
        for i in 0..extra {
            let bit = range.coin(&mut model.special[(base + node).wrapping_sub(slot + 1) as usize & 127]);
            node = node << 1 | bit;
            low |= bit << i;
        }
        return base + low;
    }
    let high = range.direct(base, extra - 4);
    let mut node = 1;
    let mut low = 0;
    for i in 0..4 {
        let bit = range.coin(&mut model.align[node & 15]);
        node = node << 1 | bit as usize;
        low |= bit << i;
    }
    high << 4 | low
}

/// Copies `n` bytes that lie `distance` behind `pos` in a ring; the caller has seen to it that they are there.
#[inline(always)]
fn repeat(buf: &mut [u8], ring: usize, pos: usize, distance: usize, n: usize) {
    let from = if distance <= pos { pos - distance } else { (pos + ring).wrapping_sub(distance) };
    if distance >= STEP && from.max(pos) + n + STEP <= buf.len() {
        let mut at = 0;
        while at < n {
            let (Some(source), target) =
                (buf.get(from + at..).and_then(<[u8]>::first_chunk::<STEP>).copied(), pos + at)
            else {
                return;
            };
            if let Some(target) = buf.get_mut(target..).and_then(<[u8]>::first_chunk_mut) {
                *target = source;
            }
            at += STEP;
        }
    } else if distance == 1 && pos > 0 {
        let byte = buf.get(from).copied().unwrap_or(0);
        if let Some(target) = buf.get_mut(pos..pos + n) {
            target.fill(byte);
        }
    } else {
        repeat_slowly(buf, ring, pos, from, n);
    }
}

/// Byte by byte: what overlaps, and what lies at the end of the ring.
fn repeat_slowly(buf: &mut [u8], ring: usize, pos: usize, mut from: usize, n: usize) {
    for at in pos..pos + n {
        let byte = buf.get(from).copied().unwrap_or(0);
        if let Some(slot) = buf.get_mut(at) {
            *slot = byte;
        }
        from += 1;
        if from == ring {
            from = 0;
        }
    }
}
