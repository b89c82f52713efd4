//! From bytes to tokens: literals, and matches found by one look into a table of places.

use std::hint::select_unpredictable;
use std::ops::Range;

/// How many bytes make a block.
pub(super) const SPAN: usize = 65536;
/// How far back deflate can refer.
const REACH: usize = 32768;
/// Where a block's bytes begin in the window. So far that an unset entry of the table, 0, is out of reach.
const START: usize = REACH + 64;
/// What follows a block and may be hashed or compared with it.
const AHEAD: usize = 16;
const MASK: usize = 0x1_ffff;
const WINDOW: usize = MASK + 1 + 8;
const TABLE_BITS: u32 = 13;
const SKIP: u32 = 8;
/// No match is longer.
const LONGEST: usize = 258;
/// The distance index of a token without a distance or second literal.
pub(super) const NO_DISTANCE: u32 = 30;

/// What a block consists of.
///
/// A token's low ten bits are a literal, or 254 more than the length of a match. The next nine are a match's distance symbol; or
/// [`NO_DISTANCE`]; or, counted from 31, a second literal. The upper 13 are the extra bits of the distance.
pub(super) struct Tokens {
    list: Box<[u32; SPAN]>,
    count: usize,
    /// By the low ten bits of tokens.
    pub(super) firsts: [u32; 1024],
    /// By the next nine.
    pub(super) seconds: [u32; 512],
}

impl Tokens {
    pub(super) fn list(&self) -> &[u32] {
        &self.list[..self.count]
    }
}

/// Finds matches.
pub(super) struct Parser {
    window: Box<[u8; WINDOW]>,
    table: Box<[u32; 1 << TABLE_BITS]>,
    tokens: Tokens,
}

fn boxed<T: Copy, const N: usize>(value: T) -> Box<[T; N]> {
    vec![value; N].into_boxed_slice().try_into().unwrap_or_else(|_| unreachable!("the length is N"))
}

fn load(window: &[u8; WINDOW], at: usize) -> u64 {
    let at = at & MASK;
    u64::from_le_bytes(*window[at..at + 8].first_chunk().expect("eight bytes were cut out"))
}

fn load32(window: &[u8; WINDOW], at: usize) -> u32 {
    let at = at & MASK;
    u32::from_le_bytes(*window[at..at + 4].first_chunk().expect("four bytes were cut out"))
}

fn hash(word: u32) -> usize {
    (word.wrapping_mul(0x9e37_79b1) >> (32 - TABLE_BITS)) as usize
}

/// How many bytes from `at` on repeat what is `distance` before; the first eight are known to.
fn extend(window: &[u8; WINDOW], at: usize, distance: usize, most: usize) -> usize {
    let mut len = 16;
    while len < most {
        let differ = load(window, at + len) ^ load(window, at + len - distance);
        if differ != 0 {
            return most.min(len + (differ.trailing_zeros() >> 3) as usize);
        }
        len += 8;
    }
    most
}

fn match_token(len: usize, distance: usize) -> (u32, u32, u32) {
    let d = (distance - 1) as u32;
    let extra_bits = (d | 2).ilog2() - 1;
    let symbol = (d >> extra_bits) + 2 * extra_bits;
    let extra = d & ((1 << extra_bits) - 1);
    (len as u32 + 254, symbol, extra)
}

impl Parser {
    pub(super) fn new() -> Self {
        Self {
            window: boxed(0),
            table: boxed(0),
            tokens: Tokens { list: boxed(0), count: 0, firsts: [0; 1024], seconds: [0; 512] },
        }
    }

    /// Forgets what was parsed before.
    pub(super) fn start(&mut self) {
        self.table.fill(0);
    }

    /// Parses `plain[span]`; what lies before it has been parsed by the call before.
    pub(super) fn parse(&mut self, plain: &[u8], span: Range<usize>) -> &Tokens {
        if span.start > 0 {
            self.window.copy_within(SPAN..SPAN + START, 0);
            for place in self.table.iter_mut() {
                *place = place.saturating_sub(SPAN as u32);
            }
        }
        let len = span.len();
        let ahead = plain.len().min(span.end + AHEAD);
        let bytes = &plain[span.start..ahead];
        let (held, after) = self.window[START..].split_at_mut(bytes.len());
        held.copy_from_slice(bytes);
        after[..AHEAD + 8].fill(0);
        self.tokens.firsts.fill(0);
        self.tokens.seconds.fill(0);
        self.tokens.count = find(&self.window, &mut self.table, &mut self.tokens, START + len);
        &self.tokens
    }
}

fn find(window: &[u8; WINDOW], table: &mut [u32; 1 << TABLE_BITS], tokens: &mut Tokens, end: usize) -> usize {
    let Tokens { list, firsts, seconds, .. } = tokens;
    let mut n = 0;
    let mut at = START;
    let mut hopeful = START;
    while at + 16 <= end {
        let word = load(window, at);
        let mut distances = [0; 4];
        let mut hits = 16_u32;
        for k in 0..4 {
            let bytes = (word >> (8 * k)) as u32;
            let slot = &mut table[hash(bytes)];
            let distance = (at + k).wrapping_sub(*slot as usize);
            *slot = (at + k) as u32;
            distances[k] = distance;
            let hit = (distance <= REACH) & (load32(window, (at + k).wrapping_sub(distance)) == bytes);
            hits |= u32::from(hit) << k;
        }
        let [l0, l1, l2, l3] = [word as u8, (word >> 8) as u8, (word >> 16) as u8, (word >> 24) as u8];
        let pair = |a: u8, b: u8| u32::from(a) | (31 + u32::from(b)) << 10;
        let single = |a: u8| u32::from(a) | NO_DISTANCE << 10;
        if hits == 16 {
            firsts[usize::from(l0)] += 1;
            seconds[31 + usize::from(l1)] += 1;
            firsts[usize::from(l2)] += 1;
            seconds[31 + usize::from(l3)] += 1;
            list[n & (SPAN - 1)] = pair(l0, l1);
            list[(n + 1) & (SPAN - 1)] = pair(l2, l3);
            n += 2;
            at += 4;
            let step = ((at - hopeful) >> SKIP).min(8);
            for _ in 0..step {
                if at + 12 > end { break; }
                let [first, second] = *window[at & MASK..][..2].first_chunk().expect("two bytes were cut out");
                firsts[usize::from(first)] += 1;
                seconds[31 + usize::from(second)] += 1;
                list[n & (SPAN - 1)] = u32::from(first) | (31 + u32::from(second)) << 10;
                n += 1;
                at += 2;
            }
            continue;
        }
        let skipped = hits.trailing_zeros() as usize & 3;
        firsts[usize::from(l0)] += u32::from(skipped > 0);
        seconds[31 + usize::from(l1)] += u32::from(skipped > 1);
        firsts[usize::from(l2)] += u32::from(skipped > 2);
        list[n & (SPAN - 1)] = select_unpredictable(skipped > 1, pair(l0, l1), single(l0));
        list[(n + 1) & (SPAN - 1)] = single(l2);
        n += (skipped + 1) / 2;
        at += skipped;
        let distance = distances[skipped];
        let differ = load(window, at) ^ load(window, at - distance);
        let more = load(window, at + 8) ^ load(window, at + 8 - distance);
        let len = if differ | more == 0 {
            extend(window, at, distance, LONGEST.min(end - at))
        } else {
            let low = select_unpredictable(differ == 0, more, differ);
            let base = select_unpredictable(differ == 0, 8, 0);
            (base + (low.trailing_zeros() >> 3) as usize).min(end - at)
        };
        let (first, second, extra) = match_token(len, distance);
        firsts[first as usize & 1023] += 1;
        seconds[second as usize & 511] += 1;
        list[n & (SPAN - 1)] = first | second << 10 | extra << 19;
        n += 1;
        at += len;
        hopeful = at;
    }
    while at + 2 <= end {
        let [first, second] = *window[at & MASK..][..2].first_chunk().expect("two bytes were cut out");
        firsts[usize::from(first)] += 1;
        seconds[31 + usize::from(second)] += 1;
        list[n & (SPAN - 1)] = u32::from(first) | (31 + u32::from(second)) << 10;
        n += 1;
        at += 2;
    }
    if at < end {
        let first = window[at & MASK];
        firsts[usize::from(first)] += 1;
        list[n & (SPAN - 1)] = u32::from(first) | NO_DISTANCE << 10;
        n += 1;
    }
    n
}
