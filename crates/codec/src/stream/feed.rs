//! Compressed input, buffered.

use super::Input;
use crate::error::{Error, Result};
use std::io;

/// A window that slides forward over an [`Input`].
pub(crate) struct Feed {
    input: Box<dyn Input>,
    buf: Box<[u8]>,
    start: usize,
    end: usize,
    /// Where in the input `buf[start]` lies.
    offset: u64,
    ended: bool,
}

impl Feed {
    /// No more than this can be wanted at once.
    pub(crate) const CAPACITY: usize = 256 * 1024;

    pub(crate) fn new(input: Box<dyn Input>, offset: u64) -> Self {
        Self::with_capacity(input, offset, Self::CAPACITY)
    }

    /// A feed that reads little at a time, for hopping from header to header.
    pub(crate) fn for_headers(input: Box<dyn Input>) -> Self {
        Self::with_capacity(input, 0, 4096)
    }

    fn with_capacity(input: Box<dyn Input>, offset: u64, capacity: usize) -> Self {
        Self { input, buf: vec![0; capacity].into(), start: 0, end: 0, offset, ended: false }
    }

    /// Where in the input the next byte lies.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// All bytes at hand.
    pub(crate) fn at_hand(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// Whether nothing follows the bytes at hand.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// At least `n` bytes, unless the input ends before; all that are at hand.
    pub(crate) fn want(&mut self, n: usize) -> Result<&[u8]> {
        debug_assert!(n <= self.buf.len());
        if self.end - self.start < n && !self.ended {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            while self.end < n && !self.ended {
                let read = read_once(&mut *self.input, &mut self.buf[self.end..], self.offset + self.end as u64)?;
                self.end += read;
                self.ended = read == 0;
            }
        }
        Ok(self.at_hand())
    }

    /// The next `n` bytes; [`Error::Truncated`] when there are fewer.
    pub(crate) fn need(&mut self, n: usize) -> Result<&[u8]> {
        self.want(n)?.get(..n).ok_or(Error::Truncated)
    }

    /// The next `N` bytes, used up.
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = *self.want(N)?.first_chunk().ok_or(Error::Truncated)?;
        self.skip(N);
        Ok(bytes)
    }

    /// Uses up `n` bytes of those at hand.
    pub(crate) fn skip(&mut self, n: usize) {
        debug_assert!(n <= self.end - self.start);
        self.start += n;
        self.offset += n as u64;
    }

    /// Uses up `n` bytes, unread as far as they are not at hand; [`Error::Truncated`] when there are fewer.
    pub(crate) fn hop(&mut self, n: u64) -> Result<()> {
        let at_hand = (self.end - self.start) as u64;
        if n <= at_hand {
            self.skip(n as usize);
            return Ok(());
        }
        let last = self.offset.checked_add(n - 1).ok_or(Error::Truncated)?;
        if self.ended || read_once(&mut *self.input, &mut [0], last)? == 0 {
            return Err(Error::Truncated);
        }
        self.offset = last + 1;
        (self.start, self.end) = (0, 0);
        Ok(())
    }

    /// Fills `out` with the next bytes; [`Error::Truncated`] when there are fewer.
    pub(crate) fn fill(&mut self, mut out: &mut [u8]) -> Result<()> {
        while !out.is_empty() {
            let at_hand = self.want(1)?;
            if at_hand.is_empty() {
                return Err(Error::Truncated);
            }
            let n = at_hand.len().min(out.len());
            out[..n].copy_from_slice(&at_hand[..n]);
            out = &mut out[n..];
            self.skip(n);
        }
        Ok(())
    }

    /// Skips zero bytes; true when the input ends with them.
    pub(crate) fn skip_zeros(&mut self) -> Result<bool> {
        loop {
            let at_hand = self.want(1)?;
            let zeros = at_hand.iter().take_while(|b| **b == 0).count();
            let all = zeros == at_hand.len();
            self.skip(zeros);
            if !all {
                return Ok(false);
            }
            if self.ended {
                return Ok(true);
            }
        }
    }

    /// [`Error::Trailing`] for the place reached.
    pub(crate) fn trailing(&self) -> Error {
        Error::Trailing { offset: self.offset }
    }
}

fn read_once(input: &mut dyn Input, buf: &mut [u8], offset: u64) -> Result<usize> {
    loop {
        match input.read_at(buf, offset) {
            // An input that claims more than fits is broken; believing it would not be safe for those after us.
            Ok(n) => return Ok(n.min(buf.len())),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::Io(e)),
        }
    }
}
