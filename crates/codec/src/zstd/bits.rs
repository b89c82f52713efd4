//! Bits of a stream that is read from its end, and of one that is read from its start.

use crate::error::{Error, Result};

/// Bytes that have to lie before the first stream of a buffer: words are loaded whole.
pub(super) const PAD: usize = 8;

/// A stream whose last bits come first. Its last byte's highest set bit is a mark and no part of it.
#[derive(Clone, Copy)]
pub(super) struct Backward<'a> {
    src: &'a [u8],
    /// The next bits, the first one at the top; `used` of those loaded from `at` are gone.
    held: u64,
    used: u32,
    at: usize,
    start: usize,
}

impl<'a> Backward<'a> {
    /// After a refill this many bits can be taken.
    pub const HELD: u32 = 57;

    /// The stream in `src[start..end]`; `start` is at least [`PAD`].
    pub fn new(src: &'a [u8], start: usize, end: usize) -> Result<Self> {
        let last = src.get(start..end).and_then(<[u8]>::last).copied().unwrap_or(0);
        if last == 0 || start < PAD {
            return Err(Error::corrupt("zstd: a bit stream has no end"));
        }
        let mut bits = Backward { src, held: 0, used: last.leading_zeros() + 1, at: end - 8, start };
        bits.refill()?;
        Ok(bits)
    }

    #[inline(always)]
    pub fn refill(&mut self) -> Result<()> {
        match self.at.checked_sub((self.used >> 3) as usize) {
            Some(at) if let Some(word) = self.src.get(at..at + 8).and_then(<[u8]>::first_chunk) => {
                self.at = at;
                self.used &= 7;
                self.held = u64::from_le_bytes(*word) << self.used;
                Ok(())
            }
            _ => Err(ended()),
        }
    }

    /// The next `n` bits, fewer than 57.
    #[inline(always)]
    pub fn take(&mut self, n: u32) -> u32 {
        let taken = (self.held >> 1) >> (63 - n);
        self.held <<= n;
        self.used += n;
        taken as u32
    }

    /// The next eleven bits, which stay where they are.
    #[inline(always)]
    pub fn peek11(&self) -> usize {
        (self.held >> 53) as usize
    }

    #[inline(always)]
    pub fn skip(&mut self, n: u32) {
        self.held <<= n;
        self.used += n;
    }

    /// Bits that are left; negative when more were taken than there are.
    pub fn left(&self) -> i64 {
        (self.at as i64 - self.start as i64) * 8 + 64 - i64::from(self.used)
    }
}

#[cold]
fn ended() -> Error {
    Error::corrupt("zstd: a bit stream ends too early")
}

/// A stream whose first bits come first.
pub(super) struct Forward<'a> {
    src: &'a [u8],
    bit: usize,
}

impl<'a> Forward<'a> {
    pub fn new(src: &'a [u8]) -> Self {
        Forward { src, bit: 0 }
    }

    /// The next `n` bits, at most 16, as if zeros followed the end; they stay where they are.
    pub fn peek(&self, n: u32) -> u32 {
        let mut word = [0; 4];
        for (to, from) in word.iter_mut().zip(self.src.iter().skip(self.bit / 8)) {
            *to = *from;
        }
        (u32::from_le_bytes(word) >> (self.bit % 8)) & ((1 << n) - 1)
    }

    pub fn skip(&mut self, n: u32) {
        self.bit += n as usize;
    }

    /// Whole bytes used up; an error when those are more than there are.
    pub fn bytes(&self) -> Result<usize> {
        let bytes = self.bit.div_ceil(8);
        if bytes > self.src.len() { Err(ended()) } else { Ok(bytes) }
    }
}
