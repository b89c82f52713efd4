//! From bytes to tokens within 4 KiB: chains of places with the same hash, and a second thought about every match.

use super::tokens::{LONGEST, Tokens, boxed};
use std::ops::Range;

/// How far back a match can lie.
const REACH: usize = 4096;
const BITS_3: u32 = 12;
const BITS_4: u32 = 13;
/// A match of three bytes farther away than this takes more than three literals.
const FAR_FOR_THREE: usize = 1024;

/// How much is done to find the best match.
#[derive(Clone, Copy, Debug)]
pub(in crate::deflate) struct Effort {
    /// Places of a chain that are looked at.
    depth: u32,
    /// A match of this length is not bettered.
    nice: usize,
}

impl Effort {
    /// By the number of a level, 1 to 12.
    pub(in crate::deflate) const fn of(level: u8) -> Self {
        match level {
            0 | 1 => Effort { depth: 4, nice: 16 },
            2 => Effort { depth: 6, nice: 24 },
            3 => Effort { depth: 8, nice: 32 },
            4 => Effort { depth: 12, nice: 48 },
            5 => Effort { depth: 16, nice: 64 },
            6 => Effort { depth: 24, nice: 96 },
            7 => Effort { depth: 32, nice: 128 },
            8 => Effort { depth: 64, nice: LONGEST },
            _ => Effort { depth: 256, nice: LONGEST },
        }
    }
}

/// Finds matches.
pub(super) struct Chains {
    effort: Effort,
    /// One more than the last place of three bytes with this hash.
    threes: Box<[u32; 1 << BITS_3]>,
    /// The same for four.
    fours: Box<[u32; 1 << BITS_4]>,
    /// One more than the place before with the same hash of four bytes.
    before: Box<[u32; REACH]>,
    /// Places before this are in the tables.
    held: usize,
    tokens: Tokens,
}

#[derive(Clone, Copy)]
struct Match {
    len: usize,
    distance: usize,
}

#[inline(always)]
fn word(plain: &[u8], at: usize) -> u32 {
    plain[at..at + 4].first_chunk().map_or(0, |b| u32::from_le_bytes(*b))
}

#[inline(always)]
fn hash<const BITS: u32>(word: u32) -> usize {
    (word.wrapping_mul(0x9e37_79b1) >> (32 - BITS)) as usize
}

/// How many bytes from `a` and from `b` on are the same, at most `most`; `b + most` is within `plain`.
#[inline(always)]
fn common(plain: &[u8], a: usize, b: usize, most: usize) -> usize {
    let (left, right) = (&plain[a..a + most], &plain[b..b + most]);
    let mut len = 0;
    for (x, y) in left.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0) {
        let differ = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differ != 0 {
            return len + (differ.trailing_zeros() >> 3) as usize;
        }
        len += 8;
    }
    while len < most && left[len] == right[len] {
        len += 1;
    }
    len
}

impl Chains {
    pub(super) fn new(effort: Effort) -> Self {
        Chains { effort, threes: boxed(0), fours: boxed(0), before: boxed(0), held: 0, tokens: Tokens::new() }
    }

    /// Forgets what was parsed before.
    pub(super) fn start(&mut self) {
        self.threes.fill(0);
        self.fours.fill(0);
        self.held = 0;
    }

    /// Puts places before `to` into the tables.
    #[inline(always)]
    fn hold(&mut self, plain: &[u8], to: usize) {
        while self.held < to.min(plain.len().saturating_sub(3)) {
            self.take(plain);
        }
        self.held = self.held.max(to);
    }

    /// Puts the next place into the tables; returns who stood there, for three and four bytes.
    #[inline(always)]
    fn take(&mut self, plain: &[u8]) -> (u32, u32) {
        let at = self.held;
        let bytes = word(plain, at);
        let place = at as u32 + 1;
        let three = std::mem::replace(&mut self.threes[hash::<BITS_3>(bytes << 8)], place);
        let four = std::mem::replace(&mut self.fours[hash::<BITS_4>(bytes)], place);
        self.before[at % REACH] = four;
        self.held = at + 1;
        (three, four)
    }

    /// The longest match at `at` that is longer than `best`, within `end`.
    #[inline(always)]
    fn longest(&mut self, plain: &[u8], at: usize, end: usize, mut best: usize) -> Option<Match> {
        self.hold(plain, at);
        if at + 4 > end {
            return None;
        }
        let most = LONGEST.min(end - at);
        let bytes = word(plain, at);
        let (three, mut place) = self.take(plain);
        let mut found = None;
        let oldest = at.saturating_sub(REACH);
        if best < 3 && three > 0 {
            let candidate = three as usize - 1;
            let near = candidate >= oldest && at - candidate <= FAR_FOR_THREE;
            if near && (word(plain, candidate) ^ bytes) << 8 == 0 {
                best = common(plain, candidate, at, most);
                found = Some(Match { len: best, distance: at - candidate });
            }
        }
        best = best.max(3);
        let mut left = self.effort.depth;
        while place > oldest as u32 && left > 0 && best < most {
            let candidate = place as usize - 1;
            // A longer match has to be the same at its end too.
            if plain[candidate + best] == plain[at + best] && word(plain, candidate) == bytes {
                let len = common(plain, candidate, at, most);
                if len > best {
                    best = len;
                    found = Some(Match { len, distance: at - candidate });
                    if len >= self.effort.nice {
                        break;
                    }
                }
            }
            let earlier = self.before[candidate % REACH];
            // The link of the oldest place has just been written over.
            if earlier >= place {
                break;
            }
            place = earlier;
            left -= 1;
        }
        found
    }

    /// Parses a block of `plain`; what lies before it was parsed by the call before.
    pub(super) fn parse(&mut self, plain: &[u8], block: Range<usize>) -> &Tokens {
        self.tokens.clear();
        let mut at = block.start;
        let mut literals = at;
        while at < block.end {
            let Some(mut here) = self.longest(plain, at, block.end, 2) else {
                at += 1;
                continue;
            };
            while here.len < self.effort.nice {
                let Some(next) = self.longest(plain, at + 1, block.end, here.len) else { break };
                at += 1;
                here = next;
            }
            self.tokens.literals(&plain[literals..at]);
            self.tokens.matched(here.len, here.distance);
            at += here.len;
            literals = at;
        }
        self.hold(plain, at);
        self.tokens.literals(&plain[literals..block.end]);
        &self.tokens
    }
}
