//! From bytes to tokens: literals, and matches found by one look into a table of places.

use std::hint::select_unpredictable;
use std::ops::Range;

/// How many bytes make a block: a whole number of spans.
pub(super) const BLOCK: usize = 65536;
/// How far back deflate can refer.
const REACH: usize = 32768;
/// Where new bytes stand in the window, behind those that can be referred to.
const START: usize = REACH;
/// How many new bytes the window takes. Every place in it is a number of 16 bits.
const SPAN: usize = 65536 - START;
/// What may be read behind a place.
const AHEAD: usize = 16;
const TABLE_BITS: u32 = 14;
/// No match is longer.
pub(super) const LONGEST: usize = 258;
/// So many places are looked at together, because whether there is a match at one of four is foreseen better than whether there is one
/// at each.
const TOGETHER: usize = 4;
/// After so many bytes, as a power of two, without a match some places are passed over.
const PATIENCE: u32 = 7;
/// What stands for the distance in a token of one literal.
pub(super) const NO_DISTANCE: u32 = 30;
/// What is added to the second literal of a token.
pub(super) const SECOND: u32 = 31;

type Window = [u8; START + SPAN + AHEAD];
/// Where four bytes with this hash were last seen in the window.
type Table = [u16; 1 << TABLE_BITS];

/// What a block consists of.
///
/// A token's low ten bits are a literal, or 254 more than the length of a match. The next nine are the symbol of a match's distance; or
/// [`NO_DISTANCE`]; or a second literal, from [`SECOND`] on. The upper 13 are the extra bits of the distance.
pub(super) struct Tokens {
    list: Box<[u32; BLOCK]>,
    count: usize,
    /// By the low ten bits of tokens.
    pub(super) firsts: [u32; 1024],
    /// By the next nine.
    pub(super) seconds: [u32; 512],
}

impl Tokens {
    pub(super) fn new() -> Self {
        Tokens { list: boxed(0), count: 0, firsts: [0; 1024], seconds: [0; 512] }
    }

    pub(super) fn clear(&mut self) {
        self.firsts.fill(0);
        self.seconds.fill(0);
        self.count = 0;
    }

    pub(super) fn list(&self) -> &[u32] {
        &self.list[..self.count]
    }

    /// Adds literals.
    #[inline(always)]
    pub(super) fn literals(&mut self, bytes: &[u8]) {
        let (pairs, rest) = bytes.as_chunks::<2>();
        for [first, second] in pairs {
            self.pair(*first, *second);
        }
        if let [last] = rest {
            self.firsts[usize::from(*last)] += 1;
            self.put(single(*last));
        }
    }

    /// Adds a match of `len` bytes, 3 to [`LONGEST`], that lie `distance` before.
    #[inline(always)]
    pub(super) fn matched(&mut self, len: usize, distance: usize) {
        let d = (distance - 1) as u32;
        let extra_bits = (d | 2).ilog2() - 1;
        let symbol = (d >> extra_bits) + 2 * extra_bits;
        let first = len as u32 + 254;
        self.firsts[first as usize % 1024] += 1;
        self.seconds[symbol as usize % 512] += 1;
        self.put(first | symbol << 10 | (d & ((1 << extra_bits) - 1)) << 19);
    }

    #[inline(always)]
    fn put(&mut self, token: u32) {
        self.list[self.count % BLOCK] = token;
        self.count += 1;
    }

    #[inline(always)]
    fn pair(&mut self, first: u8, second: u8) {
        self.firsts[usize::from(first)] += 1;
        self.seconds[SECOND as usize + usize::from(second)] += 1;
        self.put(pair(first, second));
    }
}

fn single(literal: u8) -> u32 {
    u32::from(literal) | NO_DISTANCE << 10
}

fn pair(first: u8, second: u8) -> u32 {
    u32::from(first) | (SECOND + u32::from(second)) << 10
}

/// Finds matches.
pub(super) struct Parser {
    window: Box<Window>,
    table: Box<Table>,
    tokens: Tokens,
}

pub(super) fn boxed<T: Copy, const N: usize>(value: T) -> Box<[T; N]> {
    vec![value; N].into_boxed_slice().try_into().unwrap_or_else(|_| unreachable!("the length is N"))
}

#[inline(always)]
fn load<const N: usize>(window: &Window, at: usize) -> [u8; N] {
    const { assert!(N <= AHEAD) };
    let at = usize::from(at as u16);
    *window[at..at + N].first_chunk().expect("N bytes were cut out")
}

#[inline(always)]
fn load64(window: &Window, at: usize) -> u64 {
    u64::from_le_bytes(load(window, at))
}

#[inline(always)]
fn hash(word: u32) -> usize {
    (word.wrapping_mul(0x9e37_79b1) >> (32 - TABLE_BITS)) as usize
}

/// How many of the bytes from `at` on, and at most how many, repeat what is `distance` before; the first 16 are known to.
#[inline(never)]
fn extend(window: &Window, at: usize, distance: usize, most: usize) -> usize {
    let mut len = 16;
    while len < most {
        let differ = load64(window, at + len) ^ load64(window, at + len - distance);
        if differ != 0 {
            return most.min(len + (differ.trailing_zeros() >> 3) as usize);
        }
        len += 8;
    }
    most
}

impl Parser {
    pub(super) fn new() -> Self {
        Self { window: boxed(0), table: boxed(0), tokens: Tokens::new() }
    }

    /// Forgets what was parsed before.
    pub(super) fn start(&mut self) {
        self.table.fill(0);
        // This is what the entries of an empty table refer to.
        self.window[..AHEAD].fill(0);
    }

    /// Parses a block of `plain`; what lies before it was parsed by the call before.
    pub(super) fn parse(&mut self, plain: &[u8], block: Range<usize>) -> &Tokens {
        self.tokens.clear();
        let mut at = block.start;
        while at < block.end {
            let next = block.end.min(at + SPAN);
            if at > 0 {
                // What was before is a whole span, because blocks consist of whole ones.
                self.window.copy_within(SPAN..SPAN + START, 0);
                for place in self.table.iter_mut() {
                    *place = place.saturating_sub(SPAN as u16);
                }
            }
            let bytes = &plain[at..plain.len().min(next + AHEAD)];
            let (held, behind) = self.window[START..].split_at_mut(bytes.len());
            held.copy_from_slice(bytes);
            let fill = behind.len().min(AHEAD);
            behind[..fill].fill(0);
            let oldest = if at > 0 { 0 } else { START };
            find(&self.window, &mut self.table, &mut self.tokens, oldest, START + next - at);
            at = next;
        }
        &self.tokens
    }
}

fn find(window: &Window, table: &mut Table, tokens: &mut Tokens, oldest: usize, end: usize) {
    let mut at = START;
    let mut hopeful = START;
    while at + AHEAD <= end {
        let word = load64(window, at);
        let mut places = [0; TOGETHER];
        let mut hits = 0;
        for (k, place) in places.iter_mut().enumerate() {
            let bytes = (word >> (8 * k)) as u32;
            let slot = &mut table[hash(bytes)];
            *place = usize::from(*slot);
            *slot = (at + k) as u16;
            hits |= u32::from(u32::from_le_bytes(load(window, *place)) == bytes) << k;
        }
        let [l0, l1, l2, l3] = [word as u8, (word >> 8) as u8, (word >> 16) as u8, (word >> 24) as u8];
        let (mut skipped, mut distance);
        loop {
            skipped = (hits | 1 << TOGETHER).trailing_zeros() as usize;
            let place = places[skipped % TOGETHER];
            distance = at.wrapping_add(skipped).wrapping_sub(place);
            if hits == 0 || place >= oldest.max(at + skipped - REACH) {
                break;
            }
            hits &= hits - 1;
        }
        if hits == 0 {
            tokens.pair(l0, l1);
            tokens.pair(l2, l3);
            at += TOGETHER;
            let hopeless = at - hopeful;
            if hopeless >> PATIENCE != 0 {
                let until = (at + (2 * (hopeless >> PATIENCE)).min(16)).min(end - AHEAD);
                while at < until {
                    let [first, second] = load(window, at);
                    tokens.pair(first, second);
                    at += 2;
                }
            }
            continue;
        }
        tokens.firsts[usize::from(l0)] += u32::from(skipped > 0);
        tokens.seconds[SECOND as usize + usize::from(l1)] += u32::from(skipped > 1);
        tokens.firsts[usize::from(l2)] += u32::from(skipped > 2);
        let n = tokens.count;
        tokens.list[n % BLOCK] = select_unpredictable(skipped > 1, pair(l0, l1), single(l0));
        tokens.list[(n + 1) % BLOCK] = single(l2);
        tokens.count += skipped.div_ceil(2);
        at += skipped;

        let low = load64(window, at) ^ load64(window, at - distance);
        let high = load64(window, at + 8) ^ load64(window, at - distance + 8);
        let len = if low | high == 0 {
            extend(window, at, distance, LONGEST.min(end - at))
        } else {
            let equal = select_unpredictable(low == 0, 64 + high.trailing_zeros(), low.trailing_zeros()) / 8;
            (equal as usize).min(end - at)
        };
        tokens.matched(len, distance);
        at += len;
        let last = at - 2;
        let word = load64(window, last);
        table[hash(word as u32)] = last as u16;
        table[hash((word >> 8) as u32)] = last as u16 + 1;
        hopeful = at;
    }
    while at + 2 <= end {
        let [first, second] = load(window, at);
        tokens.pair(first, second);
        at += 2;
    }
    if at < end {
        let [first] = load(window, at);
        tokens.firsts[usize::from(first)] += 1;
        tokens.put(single(first));
    }
}
