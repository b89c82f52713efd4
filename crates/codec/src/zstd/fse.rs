//! Finite state entropy: descriptions of distributions, and how their states follow each other (RFC 8878, 4.1).

use super::bits::Forward;
use crate::error::{Error, Result};

/// More symbols than any distribution has.
const SYMBOLS: usize = 64;
/// States of the largest table.
const STATES: usize = 512;

/// How often each symbol comes; -1 is less than once.
pub(super) struct Distribution {
    counts: [i16; SYMBOLS],
    symbols: usize,
    log: u32,
}

impl Distribution {
    /// One that is known beforehand; the counts add up to 2^`log`.
    pub fn known(known: &[i16], log: u32) -> Self {
        let mut counts = [0; SYMBOLS];
        counts[..known.len()].copy_from_slice(known);
        Distribution { counts, symbols: known.len(), log }
    }

    /// Parses a description of at most `most` symbols, and says how many bytes it has.
    pub fn parse(src: &[u8], most: usize, most_log: u32) -> Result<(Self, usize)> {
        let wrong = || Error::corrupt("zstd: a distribution is wrong");
        let mut bits = Forward::new(src);
        let log = bits.peek(4) + 5;
        bits.skip(4);
        if log > most_log {
            return Err(wrong());
        }
        let mut this = Distribution { counts: [0; SYMBOLS], symbols: 0, log };
        let mut left = 1_u32 << log;
        while left > 0 {
            if this.symbols >= most {
                return Err(wrong());
            }
            // A value of 0 ..= left + 1, where the small ones take a bit less.
            let width = (left + 1).ilog2() + 1;
            let small = (1 << width) - 2 - left;
            let value = bits.peek(width);
            let low = value & ((1 << (width - 1)) - 1);
            let value = if low < small {
                bits.skip(width - 1);
                low
            } else {
                bits.skip(width);
                if value == low { value } else { value - small }
            };
            let count = value as i16 - 1;
            this.counts[this.symbols] = count;
            this.symbols += 1;
            left -= u32::from(count.unsigned_abs());
            if count == 0 {
                loop {
                    let more = bits.peek(2);
                    bits.skip(2);
                    this.symbols += more as usize;
                    if this.symbols >= most {
                        return Err(wrong());
                    }
                    if more < 3 {
                        break;
                    }
                }
            }
        }
        Ok((this, bits.bytes()?))
    }
}

/// A state: what it stands for, and which state follows.
#[derive(Clone, Copy, Default)]
pub(super) struct Entry<T> {
    pub value: T,
    /// The next state is this and the value of the next `bits` bits.
    pub next: u16,
    pub bits: u8,
}

/// The states of a distribution.
#[derive(Clone)]
pub(super) struct Table<T> {
    entries: Box<[Entry<T>; STATES]>,
    pub log: u32,
}

impl<T: Copy + Default> Table<T> {
    pub fn new() -> Self {
        Table { entries: Box::new([Entry::default(); STATES]), log: 0 }
    }

    #[inline(always)]
    pub fn at(&self, state: usize) -> Entry<T> {
        self.entries[state % STATES]
    }

    /// One state, which stands for the same forever.
    pub fn set_single(&mut self, value: T) {
        self.entries[0] = Entry { value, next: 0, bits: 0 };
        self.log = 0;
    }

    /// Makes the states of a distribution whose symbols stand for `values`.
    pub fn set(&mut self, distribution: &Distribution, values: &[T]) {
        let size = 1_usize << distribution.log;
        let mut symbols = [0_u8; STATES];
        let counts = &distribution.counts[..distribution.symbols];
        // Rare symbols have the last states; the others are spread over the rest.
        let mut rest = size;
        for (symbol, _) in counts.iter().enumerate().filter(|(_, n)| **n < 0) {
            rest -= 1;
            symbols[rest] = symbol as u8;
        }
        let step = (size >> 1) + (size >> 3) + 3;
        let mut at = 0;
        for (symbol, count) in counts.iter().enumerate() {
            for _ in 0..*count {
                symbols[at] = symbol as u8;
                at = (at + step) % size;
                while at >= rest {
                    at = (at + step) % size;
                }
            }
        }
        let mut next = distribution.counts.map(i16::unsigned_abs);
        for (entry, symbol) in self.entries.iter_mut().zip(&symbols[..size]) {
            let symbol = usize::from(*symbol);
            let n = next[symbol];
            next[symbol] += 1;
            let bits = distribution.log - n.ilog2();
            *entry = Entry { value: values[symbol], next: (n << bits) - size as u16, bits: bits as u8 };
        }
        self.log = distribution.log;
    }
}
