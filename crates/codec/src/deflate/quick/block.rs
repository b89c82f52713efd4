//! From tokens to bits.

use super::codes;
use super::tokens::{NO_DISTANCE, SECOND, Tokens};

/// The order in which the lengths of the code for lengths are stored (RFC 1951, 3.2.7).
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const END: usize = 256;
/// Two more than are ever used: the fixed code has words for them.
const LITERALS: usize = 288;
const DISTANCES: usize = 30;
/// The most bytes of a stored block.
const STORED: usize = 65535;
/// So much is kept free behind the last byte, where whole words are written.
const ROOM: usize = 16;

/// By the length of a match less 3: its symbol less 257, its extra bits, and how many these are (RFC 1951, 3.2.5).
static LENGTHS: [(u8, u8, u8); 256] = length_symbols();

const fn length_symbols() -> [(u8, u8, u8); 256] {
    let mut symbols = [(0, 0, 0); 256];
    let mut len = 0;
    while len < 255 {
        symbols[len] = if len < 8 {
            (len as u8, 0, 0)
        } else {
            let bits = len.ilog2() - 2;
            (((len >> bits) as u32 + 4 * bits) as u8, (len & ((1 << bits) - 1)) as u8, bits as u8)
        };
        len += 1;
    }
    symbols[255] = (28, 0, 0);
    symbols
}

/// Where bits are put into a buffer.
#[derive(Clone, Copy)]
struct Bits {
    /// The bits of a byte that is not full; its upper ones are zero.
    held: u64,
    /// How many, below 8.
    count: u32,
    /// Where that byte belongs.
    pos: usize,
}

impl Bits {
    /// Puts at most 56 bits. Writes eight bytes, of which those behind the last bit do not count.
    #[inline(always)]
    fn put(&mut self, bits: u64, count: u32, out: &mut [u8]) {
        self.held |= bits << (self.count & 7);
        self.count += count;
        out[self.pos..self.pos + 8].copy_from_slice(&self.held.to_le_bytes());
        self.pos += (self.count >> 3) as usize;
        self.held >>= self.count & 56;
        self.count &= 7;
    }

    fn end(&self) -> u64 {
        self.pos as u64 * 8 + u64::from(self.count)
    }
}

/// Writes the blocks of a stream.
pub(super) struct Writer {
    bits: Bits,
    /// Where the stream has to end.
    max_end: usize,
}

/// Frequencies of a block's symbols.
struct Frequencies {
    literals: [u32; LITERALS],
    distances: [u32; DISTANCES],
}

impl Frequencies {
    fn of(tokens: &Tokens) -> Self {
        let mut literals = [0; LITERALS];
        for ((sum, first), second) in
            literals.iter_mut().zip(&tokens.firsts[..256]).zip(&tokens.seconds[SECOND as usize..])
        {
            *sum = first + second;
        }
        literals[END] = 1;
        for (count, symbol) in tokens.firsts[257..].iter().zip(&LENGTHS) {
            literals[257 + usize::from(symbol.0)] += count;
        }
        let mut distances = [0; DISTANCES];
        distances.copy_from_slice(&tokens.seconds[..DISTANCES]);
        Self { literals, distances }
    }

    /// How many bits go behind words.
    fn extra_bits(&self) -> u64 {
        let lengths = self.literals[265..285].iter().enumerate().map(|(i, n)| u64::from(*n) * (i as u64 / 4 + 1));
        let distances = self.distances[4..].iter().enumerate().map(|(i, n)| u64::from(*n) * (i as u64 / 2 + 1));
        lengths.sum::<u64>() + distances.sum::<u64>()
    }
}

/// The lengths of a block's words.
struct Codes {
    literals: [u8; LITERALS],
    distances: [u8; DISTANCES],
}

impl Codes {
    /// How many bits the words take.
    fn cost(&self, frequencies: &Frequencies) -> u64 {
        let literals = self.literals.iter().zip(&frequencies.literals).map(|(len, n)| u32::from(*len) * n).sum::<u32>();
        let distances =
            self.distances.iter().zip(&frequencies.distances).map(|(len, n)| u32::from(*len) * n).sum::<u32>();
        u64::from(literals) + u64::from(distances)
    }

    fn fixed() -> Self {
        let mut literals = [8; LITERALS];
        literals[144..256].fill(9);
        literals[256..280].fill(7);
        Self { literals, distances: [5; DISTANCES] }
    }
}

/// The description of a block's codes (RFC 1951, 3.2.7).
struct Header {
    /// The lengths of words, runs of them as one: a symbol, and its extra bits from bit 5 on.
    items: [u16; LITERALS + DISTANCES],
    count: usize,
    /// Of the words for symbols of items.
    lengths: [u8; 19],
    literals: usize,
    distances: usize,
    /// How many of `lengths` are stored.
    stored: usize,
    /// How many bits all this takes.
    bits: u64,
}

/// How many extra bits a symbol of an item has.
fn item_extra_bits(symbol: usize) -> u32 {
    match symbol {
        16 => 2,
        17 => 3,
        18 => 7,
        _ => 0,
    }
}

impl Header {
    fn of(codes: &Codes) -> Self {
        let literals = used(&codes.literals).max(257);
        let distances = used(&codes.distances).max(1);
        let mut lens = [0_u8; LITERALS + DISTANCES + 1];
        lens[..literals].copy_from_slice(&codes.literals[..literals]);
        lens[literals..literals + distances].copy_from_slice(&codes.distances[..distances]);
        // This ends the last run.
        lens[literals + distances] = u8::MAX;
        let (lens, end) = (&lens, literals + distances);
        let mut items = [0_u16; LITERALS + DISTANCES];
        let mut frequencies = [0_u32; 19];
        let mut count = 0;
        let mut put = |symbol: u16, extra: usize| {
            items[count] = symbol | (extra as u16) << 5;
            frequencies[usize::from(symbol)] += 1;
            count += 1;
        };
        let mut at = 0;
        while at < end {
            let len = lens[at];
            let mut run = 1;
            while lens[at + run] == len {
                run += 1;
            }
            at += run;
            if len == 0 {
                while run >= 11 {
                    let n = run.min(138);
                    put(18, n - 11);
                    run -= n;
                }
                if run >= 3 {
                    put(17, run - 3);
                    run = 0;
                }
            } else {
                put(len.into(), 0);
                run -= 1;
                while run >= 3 {
                    let n = run.min(6);
                    put(16, n - 3);
                    run -= n;
                }
            }
            for _ in 0..run {
                put(len.into(), 0);
            }
        }
        let lengths = codes::lengths(&frequencies, 7);
        let stored = ORDER.iter().rposition(|symbol| lengths[*symbol] != 0).map_or(4, |last| (last + 1).max(4));
        let words: u32 = lengths.iter().zip(&frequencies).map(|(len, n)| u32::from(*len) * n).sum();
        let extra: u32 = frequencies.iter().enumerate().map(|(symbol, n)| n * item_extra_bits(symbol)).sum();
        let bits = 14 + 3 * stored as u64 + u64::from(words + extra);
        Self { items, count, lengths, literals, distances, stored, bits }
    }
}

fn used(lengths: &[u8]) -> usize {
    lengths.iter().rposition(|len| *len != 0).map_or(0, |last| last + 1)
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { bits: Bits { held: 0, count: 0, pos: 0 }, max_end: 0 }
    }

    /// Begins a stream at `pos` of its output, which may get `max_len` bytes long.
    pub(super) fn start(&mut self, pos: usize, max_len: usize) {
        *self = Self { bits: Bits { held: 0, count: 0, pos }, max_end: pos.saturating_add(max_len) };
    }

    /// Writes the last bits.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        if self.bits.count > 0 {
            out.push(self.bits.held as u8);
        }
    }

    /// Writes a block in its shortest form; `None`, and nothing written, when the stream gets too long.
    pub(super) fn block(&mut self, tokens: &Tokens, plain: &[u8], last: bool, out: &mut Vec<u8>) -> Option<()> {
        let frequencies = Frequencies::of(tokens);
        let own = Codes {
            literals: codes::lengths(&frequencies.literals, 15),
            distances: codes::lengths(&frequencies.distances, 15),
        };
        let header = Header::of(&own);
        let extra = frequencies.extra_bits();
        let own_bits = 3 + header.bits + own.cost(&frequencies) + extra;
        let fixed = Codes::fixed();
        let fixed_bits = 3 + fixed.cost(&frequencies) + extra;
        let stored_bits = self.stored_bits(plain.len());
        let least = own_bits.min(fixed_bits).min(stored_bits);
        let end = self.bits.end() + least;
        if end.div_ceil(8) > self.max_end as u64 {
            return None;
        }
        if least == stored_bits {
            self.stored(plain, last, out);
        } else {
            out.resize(self.bits.pos + (least / 8) as usize + ROOM, 0);
            if own_bits <= fixed_bits {
                self.bits.put(u64::from(last) | 2 << 1, 3, out);
                self.header(&header, out);
                self.tokens(tokens, &own, out);
            } else {
                self.bits.put(u64::from(last) | 1 << 1, 3, out);
                self.tokens(tokens, &fixed, out);
            }
            out.truncate(self.bits.pos);
        }
        assert!(self.bits.end() == end, "a block took other bits than its frequencies need");
        Some(())
    }

    /// How many bits a block takes that is stored as it is.
    fn stored_bits(&self, len: usize) -> u64 {
        let fill = (13 - u64::from(self.bits.count)) % 8;
        // Those after the first begin with a byte of their own.
        let others = len.div_ceil(STORED).saturating_sub(1) as u64;
        3 + fill + 32 + others * 40 + 8 * len as u64
    }

    fn stored(&mut self, plain: &[u8], last: bool, out: &mut Vec<u8>) {
        let mut rest = plain;
        loop {
            let (piece, after) = rest.split_at(rest.len().min(STORED));
            rest = after;
            out.resize(self.bits.pos + ROOM, 0);
            self.bits.put(u64::from(last && rest.is_empty()), 3, out);
            self.bits.put(0, (8 - self.bits.count) % 8, out);
            let len = piece.len() as u64;
            self.bits.put(len | (len ^ 0xffff) << 16, 32, out);
            out.truncate(self.bits.pos);
            out.extend_from_slice(piece);
            self.bits.pos = out.len();
            if rest.is_empty() {
                break;
            }
        }
    }

    fn header(&mut self, header: &Header, out: &mut [u8]) {
        let Header { literals, distances, stored, .. } = *header;
        let counts = (literals - 257) | (distances - 1) << 5 | (stored - 4) << 10;
        self.bits.put(counts as u64, 14, out);
        for symbol in &ORDER[..stored] {
            self.bits.put(header.lengths[*symbol].into(), 3, out);
        }
        let words = codes::words(&header.lengths);
        for item in &header.items[..header.count] {
            let symbol = usize::from(item & 31);
            let len = u32::from(header.lengths[symbol]);
            self.bits.put(u64::from(words[symbol]) | u64::from(item >> 5) << len, len + item_extra_bits(symbol), out);
        }
    }

    fn tokens(&mut self, tokens: &Tokens, codes: &Codes, out: &mut [u8]) {
        let literals = codes::words(&codes.literals);
        let distances = codes::words(&codes.distances);
        // Word with extra bits, and their count from bit 24 on.
        let mut firsts = [0_u32; 1024];
        for ((entry, word), len) in firsts.iter_mut().zip(&literals).zip(&codes.literals).take(257) {
            *entry = u32::from(*word) | u32::from(*len) << 24;
        }
        for (entry, (symbol, extra, extra_bits)) in firsts[257..].iter_mut().zip(&LENGTHS) {
            let symbol = 257 + usize::from(*symbol);
            let len = codes.literals[symbol];
            *entry = u32::from(literals[symbol]) | u32::from(*extra) << len | u32::from(len + extra_bits) << 24;
        }
        // Word, its length from bit 16 on, and the count of bits with extra bits from bit 24 on.
        let mut seconds = [0_u32; 512];
        for (symbol, ((entry, word), len)) in seconds.iter_mut().zip(&distances).zip(&codes.distances).enumerate() {
            let extra_bits = (symbol as u32 / 2).saturating_sub(1);
            *entry = u32::from(*word) | u32::from(*len) << 16 | (u32::from(*len) + extra_bits) << 24;
        }
        for (entry, (word, len)) in
            seconds[SECOND as usize..].iter_mut().zip(literals.iter().zip(&codes.literals)).take(256)
        {
            *entry = u32::from(*word) | u32::from(*len) << 16 | u32::from(*len) << 24;
        }
        let code = |token: u32| {
            let first = firsts[(token & 1023) as usize];
            let second = seconds[(token >> 10 & 511) as usize];
            let first_bits = first >> 24;
            let behind = u64::from(second & 0xffff) | u64::from(token >> 19) << (second >> 16 & 31);
            (u64::from(first & 0xff_ffff) | behind << (first_bits & 31), first_bits + (second >> 24))
        };
        // A copy, that it may live in registers.
        let mut bits = self.bits;
        let (twos, rest) = tokens.list().as_chunks::<2>();
        for [one, two] in twos {
            let (one, one_bits) = code(*one);
            let (two, two_bits) = code(*two);
            // Hardly ever false: a token may take 48 bits, but few take 20.
            if one_bits + two_bits <= 56 {
                bits.put(one | two << (one_bits & 63), one_bits + two_bits, out);
            } else {
                bits.put(one, one_bits, out);
                bits.put(two, two_bits, out);
            }
        }
        for token in rest.iter().chain(&[END as u32 | NO_DISTANCE << 10]) {
            let (word, count) = code(*token);
            bits.put(word, count, out);
        }
        self.bits = bits;
    }
}
