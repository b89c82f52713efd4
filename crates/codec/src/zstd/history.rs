//! What was decoded, as far as matches refer back to it.
//!
//! ```text
//!   buf:  | current part ......... pos |  (room)  | rest of the part before ....... old_end |
//!                                 next block goes here; what it covers lies further back than the window reaches
//! ```

use crate::error::{Error, Result};
use crate::stream::Window;

/// No block has more content.
pub(crate) const BLOCK: usize = 128 << 10;
/// Copies are made in steps of this size, so up to one less is written behind their end.
pub(super) const STEP: usize = 16;

/// The last bytes of a frame, at least as many as its window has.
pub(crate) struct History {
    buf: Vec<u8>,
    /// Where the current part ends; it starts at 0.
    pos: usize,
    /// Where the part before ends, or 0.
    old_end: usize,
    window: usize,
}

impl History {
    pub fn new() -> Self {
        History { buf: Vec::new(), pos: 0, old_end: 0, window: 0 }
    }

    /// Forgets all of it, for a frame with another window.
    pub fn restart(&mut self, window: usize) {
        (self.pos, self.old_end, self.window) = (0, 0, window);
        // One frame with a huge window must not cost memory for all that follow.
        self.buf.truncate(self.full());
        self.buf.shrink_to(self.full());
    }

    /// Goes on after what `window` holds.
    pub fn resume(&mut self, window: usize, from: &Window) -> Result<()> {
        self.restart(window);
        self.grow(from.len())?;
        from.unpack(&mut self.buf[..from.len()])?;
        self.pos = from.len();
        Ok(())
    }

    /// The most bytes ever needed: the window, the block being decoded, and as much again that may not suffice for another one.
    fn full(&self) -> usize {
        self.window.saturating_add(2 * BLOCK + STEP)
    }

    fn grow(&mut self, len: usize) -> Result<()> {
        if len > self.buf.len() {
            let more = len - self.buf.len();
            self.buf.try_reserve_exact(more).map_err(|_| Error::too_large("zstd: no memory for the window"))?;
            self.buf.resize(len, 0);
        }
        Ok(())
    }

    /// Makes room for a block, and gives it.
    pub fn block(&mut self, most: usize) -> Result<Output<'_>> {
        let needed = self.pos + BLOCK + STEP;
        if needed > self.buf.len() {
            if self.buf.len() < self.full() {
                // As much as there is content for, and a quarter more so that growing is seldom.
                self.grow(needed.max(self.buf.len() + self.buf.len() / 4).min(self.full()))?;
            }
            if needed > self.buf.len() {
                (self.old_end, self.pos) = (self.pos, 0);
            }
        }
        let limit = self.pos + most.min(BLOCK);
        Ok(Output { buf: &mut self.buf, pos: self.pos, limit, old_end: self.old_end, window: self.window })
    }

    /// Takes what the last block wrote; returns where it lies.
    pub fn advance(&mut self, to: usize) -> std::ops::Range<usize> {
        let from = std::mem::replace(&mut self.pos, to);
        from..to
    }

    pub fn bytes(&self, range: std::ops::Range<usize>) -> &[u8] {
        self.buf.get(range).unwrap_or_default()
    }

    /// The last `len` bytes, in two parts; fewer if there are not so many.
    pub fn last(&self, len: usize) -> (&[u8], &[u8]) {
        let tail = len.min(self.pos);
        let head = (len - tail).min(self.old_end - self.pos.min(self.old_end));
        (&self.buf[self.old_end - head..self.old_end], &self.buf[self.pos - tail..self.pos])
    }

    #[cfg(test)]
    pub fn reserved(&self) -> usize {
        self.buf.capacity()
    }
}

/// Where a block goes, and what it refers back to.
pub(crate) struct Output<'a> {
    buf: &'a mut [u8],
    pos: usize,
    limit: usize,
    old_end: usize,
    window: usize,
}

#[cold]
fn too_long() -> Error {
    Error::corrupt("zstd: a block holds more than it may")
}

#[cold]
fn too_far() -> Error {
    Error::corrupt("zstd: a match refers to what is not there")
}

impl Output<'_> {
    /// Where the next byte goes.
    pub fn pos(&self) -> usize {
        self.pos
    }

    /// Bytes that may follow.
    pub fn room(&self) -> usize {
        self.limit - self.pos
    }

    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() > self.room() {
            return Err(too_long());
        }
        self.buf[self.pos..self.pos + bytes.len()].copy_from_slice(bytes);
        self.pos += bytes.len();
        Ok(())
    }

    pub fn fill(&mut self, byte: u8, n: usize) -> Result<()> {
        if n > self.room() {
            return Err(too_long());
        }
        self.buf[self.pos..self.pos + n].fill(byte);
        self.pos += n;
        Ok(())
    }

    /// Copies `literals` bytes from `src`, which has at least [`STEP`] more, then `len` bytes from `distance` back.
    #[inline(always)]
    pub fn sequence(&mut self, src: &[u8], literals: usize, distance: usize, len: usize) -> Result<()> {
        if literals + len > self.limit - self.pos {
            return Err(too_long());
        }
        let mut at = self.pos;
        let end = at + literals;
        if literals <= STEP {
            self.step(src, at);
        } else {
            self.buf[at..end].copy_from_slice(&src[..literals]);
        }
        at = end;
        let end = at + len;
        self.pos = end;
        if distance > self.window || distance == 0 {
            return Err(too_far());
        }
        if distance > at {
            return self.reach_back(at, distance, len);
        }
        let mut from = at - distance;
        if distance >= STEP {
            loop {
                let step: [u8; STEP] = self.load(from);
                self.store(at, step);
                at += STEP;
                from += STEP;
                if at >= end {
                    return Ok(());
                }
                if distance >= 4 * STEP && end - at > 4 * STEP {
                    return self.long(from, at, end, distance);
                }
            }
        }
        self.repeat(from, at, end, distance);
        Ok(())
    }

    #[inline(always)]
    fn step(&mut self, src: &[u8], at: usize) {
        let step: &[u8; STEP] = src.first_chunk().expect("literals have more behind them");
        self.store(at, *step);
    }

    #[inline(always)]
    fn load(&self, at: usize) -> [u8; STEP] {
        *self.buf[at..].first_chunk().expect("there is room behind the block")
    }

    #[inline(always)]
    fn store(&mut self, at: usize, step: [u8; STEP]) {
        *self.buf[at..].first_chunk_mut().expect("there is room behind the block") = step;
    }

    /// The rest of a long match.
    #[inline(never)]
    fn long(&mut self, mut from: usize, mut at: usize, end: usize, distance: usize) -> Result<()> {
        while at < end {
            let n = distance.min(end - at);
            self.buf.copy_within(from..from + n, at);
            from += n;
            at += n;
        }
        Ok(())
    }

    /// A match that is nearer than a step, so that it repeats itself.
    #[inline(always)]
    fn repeat(&mut self, from: usize, mut at: usize, end: usize, distance: usize) {
        // The largest multiple of the distance that is in a step.
        const WHOLE: [u8; STEP] = [0, 16, 16, 15, 16, 15, 12, 14, 16, 9, 10, 11, 12, 13, 14, 15];
        const INDEX: [[u8; STEP]; STEP] = {
            let mut index = [[0; STEP]; STEP];
            let mut distance = 1;
            while distance < STEP {
                let mut i = 0;
                while i < STEP {
                    index[distance][i] = (i % distance) as u8;
                    i += 1;
                }
                distance += 1;
            }
            index
        };
        let distance = distance % STEP;
        let period = self.load(from);
        let mut step = [0; STEP];
        for (to, i) in step.iter_mut().zip(INDEX[distance]) {
            *to = period[usize::from(i) % STEP];
        }
        while at < end {
            self.store(at, step);
            at += usize::from(WHOLE[distance]);
        }
    }

    /// A match that begins in the part before.
    #[cold]
    fn reach_back(&mut self, at: usize, distance: usize, len: usize) -> Result<()> {
        let from = self.old_end.checked_sub(distance - at).ok_or_else(too_far)?;
        let old = len.min(self.old_end - from);
        self.buf.copy_within(from..from + old, at);
        // It goes on at the start of the current part, and may run into itself.
        let (mut from, mut at, end) = (0, at + old, at + len);
        while at < end {
            let n = (at - from).min(end - at);
            self.buf.copy_within(from..from + n, at);
            from += n;
            at += n;
        }
        Ok(())
    }
}
