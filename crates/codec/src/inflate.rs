//! A deflate (RFC 1951) decoder that can stop at every block boundary and be taken up there again.
//!
//! It exists beside libdeflate because that one decodes whole buffers only. Here input may arrive in pieces, the place after
//! every block is known to the bit, and one well-known firmware fault can be forgiven ([`Rules`]).

use crate::error::{Error, Result};

/// How far back deflate can refer, hence how much history a resumed decoder needs.
pub const WINDOW: usize = 32 * 1024;

/// No block header is longer, so input offered in pieces of this size always brings the decoder forward.
pub(crate) const ENOUGH_INPUT: usize = 1024;

/// How strictly the format is taken, where there is a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The complement of a stored block's length.
    pub complement: Complement,
    /// The bits between the end of a block's codes and the next whole byte.
    pub padding: Padding,
}

/// What the complement of a stored block's length has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complement {
    /// What RFC 1951 says.
    Right,
    /// Anything: Tableau TD3 firmware leaves it wrong.
    Any,
}

/// What the bits have to be that fill up a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Zeros, as every known encoder writes them.
    Zero,
    /// Anything, as RFC 1951 leaves it.
    Any,
}

impl Rules {
    /// As RFC 1951 says.
    pub const STRICT: Self = Self { complement: Complement::Right, padding: Padding::Any };
}

/// Why a decoder came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It needs more input than it was given.
    Input,
    /// It needs more room for output.
    Output,
    /// A block ended, others follow.
    BlockEnd,
    /// The last block ended.
    End,
}

/// What one run did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Whole bytes of input used up; up to seven bits of the last one may be left and are kept in the decoder.
    pub(crate) consumed: usize,
    /// Where output goes on.
    pub(crate) out: usize,
    pub(crate) stop: Stop,
}

enum State {
    Header,
    Stored { left: usize },
    Codes,
    Done,
}

/// The decoder's state between runs; the history stays with the caller.
pub(crate) struct Inflater {
    rules: Rules,
    state: State,
    last: bool,
    held: u64,
    held_bits: u32,
    codes: Box<Codes>,
    fixed_loaded: bool,
}

struct Codes {
    literals: Table<LITERAL_BITS, { 1 << LITERAL_BITS }>,
    distances: Table<DISTANCE_BITS, { 1 << DISTANCE_BITS }>,
}

const LITERAL_BITS: u32 = 11;
const DISTANCE_BITS: u32 = 8;
const MAX_CODE: usize = 15;

// An entry: bits 0..8 code length (for a link: index bits of the second table), 8..12 number of extra bits, 12..16 flags,
// 16..31 literal, base or link, 31 set for literals.
const LITERAL: u32 = 1 << 31;
const SPECIAL: u32 = 1 << 15;
const LINK: u32 = SPECIAL | 1 << 14;
const END: u32 = SPECIAL | 1 << 13;
const INVALID: u32 = SPECIAL | 1 << 12;

const fn code_len(entry: u32) -> u32 {
    entry & 0x3f
}

const fn extra_bits(entry: u32) -> u32 {
    (entry >> 8) & 0xf
}

const fn value(entry: u32) -> usize {
    ((entry >> 16) & 0x7fff) as usize
}

/// A decoding table of two levels; the second holds the codes longer than `BITS`.
struct Table<const BITS: u32, const SIZE: usize> {
    first: [u32; SIZE],
    second: Vec<u32>,
}

impl<const BITS: u32, const SIZE: usize> Table<BITS, SIZE> {
    const fn new() -> Self {
        Self { first: [INVALID; SIZE], second: Vec::new() }
    }

    #[inline(always)]
    fn find(&self, bits: u64) -> u32 {
        let entry = self.first[bits as usize & (SIZE - 1)];
        if entry & LINK == LINK { self.follow(entry, bits) } else { entry }
    }

    #[inline(always)]
    fn follow(&self, link: u32, bits: u64) -> u32 {
        let index = (bits >> BITS) as usize & ((1 << code_len(link)) - 1);
        self.second.get(value(link) + index).copied().unwrap_or(INVALID)
    }

    fn build(&mut self, lengths: &[u8], entry_of: impl Fn(usize) -> u32) -> Result<()> {
        let mut counts = [0_u32; MAX_CODE + 1];
        for len in lengths {
            counts[usize::from(*len)] += 1;
        }
        let used = lengths.len() as u32 - counts[0];
        counts[0] = 0;
        let mut next = [0_u32; MAX_CODE + 2];
        let mut code = 0;
        for len in 1..=MAX_CODE {
            code = (code + counts[len - 1]) << 1;
            next[len] = code;
            if code + counts[len] > 1 << len {
                return Err(Error::corrupt("deflate: too many codes of one length"));
            }
        }
        let complete = next[MAX_CODE] + counts[MAX_CODE] == 1 << MAX_CODE;
        // A lone code of one bit is how encoders write "only one distance in use".
        if !complete && (used > 1 || used != counts[1]) {
            return Err(Error::corrupt("deflate: incomplete set of codes"));
        }
        let longest = counts.iter().rposition(|n| *n > 0).unwrap_or(0) as u32;
        self.first.fill(INVALID);
        self.second.clear();
        for (symbol, len) in lengths.iter().enumerate().filter(|(_, len)| **len > 0) {
            let len = u32::from(*len);
            let code = next[len as usize];
            next[len as usize] += 1;
            let reversed = (code.reverse_bits() >> (32 - len)) as usize;
            let entry = entry_of(symbol) | len;
            if len <= BITS {
                self.first[reversed..].iter_mut().step_by(1 << len).for_each(|slot| *slot = entry);
                continue;
            }
            let slot = &mut self.first[reversed & (SIZE - 1)];
            let size = 1 << (longest - BITS);
            if *slot == INVALID {
                *slot = LINK | (self.second.len() as u32) << 16 | (longest - BITS);
                self.second.resize(self.second.len() + size, INVALID);
            }
            let start = value(*slot);
            self.second[start..start + size][reversed >> BITS..]
                .iter_mut()
                .step_by(1 << (len - BITS))
                .for_each(|slot| *slot = entry);
        }
        Ok(())
    }
}

fn literal_entry(symbol: usize) -> u32 {
    const BASES: [u16; 29] = [
        3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227,
        258,
    ];
    const EXTRAS: [u8; 29] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
    match symbol {
        0..=255 => LITERAL | (symbol as u32) << 16,
        256 => END,
        257..=285 => u32::from(BASES[symbol - 257]) << 16 | u32::from(EXTRAS[symbol - 257]) << 8,
        _ => INVALID,
    }
}

fn distance_entry(symbol: usize) -> u32 {
    match symbol {
        0..=3 => (symbol as u32 + 1) << 16,
        4..=29 => {
            let extra = symbol as u32 / 2 - 1;
            (((2 + (symbol as u32 & 1)) << extra) + 1) << 16 | extra << 8
        }
        _ => INVALID,
    }
}

/// Bits of a byte slice, lowest first; a copy is a place to return to.
#[derive(Clone, Copy)]
struct Bits<'a> {
    src: &'a [u8],
    pos: usize,
    held: u64,
    count: u32,
}

impl Bits<'_> {
    /// Afterwards at least 56 bits are held, unless the input ends before.
    #[inline(always)]
    fn refill(&mut self) {
        if let Some(word) = self.src.get(self.pos..).and_then(<[u8]>::first_chunk) {
            self.refill_from(word);
        } else {
            while self.count <= 56
                && let Some(byte) = self.src.get(self.pos)
            {
                self.held |= u64::from(*byte) << self.count;
                self.pos += 1;
                self.count += 8;
            }
        }
    }

    #[inline(always)]
    fn refill_from(&mut self, word: &[u8; 8]) {
        // Only whole bytes are counted; bits above the count are those the next refill puts there again.
        self.held |= u64::from_le_bytes(*word) << self.count;
        self.pos += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    #[inline(always)]
    fn peek(&self, n: u32) -> usize {
        (self.held & ((1 << n) - 1)) as usize
    }

    #[inline(always)]
    fn drop(&mut self, n: u32) {
        self.held >>= n;
        self.count -= n;
    }

    /// The next `n` <= 16 bits, or `None` when the input ends before.
    fn take(&mut self, n: u32) -> Option<usize> {
        if self.count < n {
            self.refill();
        }
        if self.count < n {
            return None;
        }
        let taken = self.peek(n);
        self.drop(n);
        Some(taken)
    }

    fn give_back_bytes(&mut self) {
        self.pos -= (self.count / 8) as usize;
        self.count %= 8;
        self.held &= (1 << self.count) - 1;
    }
}

impl Inflater {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            state: State::Header,
            last: false,
            held: 0,
            held_bits: 0,
            codes: Box::new(Codes { literals: Table::new(), distances: Table::new() }),
            fixed_loaded: false,
        }
    }

    /// Makes it ready for a new stream, or for the block that starts after the lowest `skip` < 8 bits of `byte`.
    pub(crate) fn restart(&mut self, byte: u8, skip: u32) {
        self.state = State::Header;
        self.last = false;
        self.held = if skip == 0 { 0 } else { u64::from(byte) >> skip };
        self.held_bits = (8 - skip) % 8;
    }

    /// How many bits of the last consumed byte have not been used.
    pub(crate) fn unused_bits(&self) -> u32 {
        self.held_bits
    }

    /// Decodes from `src` into `dst[out..]`; what lies in `dst[floor..out]` is the history.
    ///
    /// Comes back after every block. Whole unused bytes are given back, so that what follows the stream can be found.
    pub(crate) fn run(&mut self, src: &[u8], dst: &mut [u8], mut out: usize, floor: usize) -> Result<Run> {
        let mut bits = Bits { src, pos: 0, held: self.held, count: self.held_bits };
        let stop = loop {
            match self.state {
                State::Header => {
                    let before = bits;
                    if self.header(&mut bits)?.is_none() {
                        bits = before;
                        break Stop::Input;
                    }
                }
                State::Stored { left } => {
                    // The header left whole bytes only, and they were given back.
                    let n = left.min(src.len() - bits.pos).min(dst.len() - out);
                    dst[out..out + n].copy_from_slice(&src[bits.pos..bits.pos + n]);
                    out += n;
                    bits.pos += n;
                    if n == left {
                        break self.end_block();
                    }
                    self.state = State::Stored { left: left - n };
                    break if out == dst.len() { Stop::Output } else { Stop::Input };
                }
                State::Codes => match self.codes.run(&mut bits, dst, &mut out, floor)? {
                    Stop::BlockEnd => {
                        let stop = self.end_block();
                        if let Stop::End = stop {
                            self.padding(bits.peek(bits.count % 8))?;
                        }
                        break stop;
                    }
                    stop => break stop,
                },
                State::Done => break Stop::End,
            }
        };
        bits.give_back_bytes();
        self.held = bits.held;
        self.held_bits = bits.count;
        Ok(Run { consumed: bits.pos, out, stop })
    }

    fn padding(&self, bits: usize) -> Result<()> {
        if self.rules.padding == Padding::Zero && bits != 0 {
            return Err(Error::corrupt("deflate: bits that stand for nothing are not zero"));
        }
        Ok(())
    }

    fn end_block(&mut self) -> Stop {
        if self.last {
            self.state = State::Done;
            Stop::End
        } else {
            self.state = State::Header;
            Stop::BlockEnd
        }
    }

    /// `None` when the input ends inside the header.
    fn header(&mut self, bits: &mut Bits<'_>) -> Result<Option<()>> {
        let Some(first) = bits.take(3) else { return Ok(None) };
        match first >> 1 {
            0 => {
                self.padding(bits.peek(bits.count % 8))?;
                bits.drop(bits.count % 8);
                let (Some(len), Some(complement)) = (bits.take(16), bits.take(16)) else { return Ok(None) };
                if self.rules.complement == Complement::Right && complement != len ^ 0xffff {
                    return Err(Error::corrupt("deflate: stored block's length does not match its complement"));
                }
                bits.give_back_bytes();
                self.state = State::Stored { left: len };
            }
            1 => {
                if !self.fixed_loaded {
                    let mut lengths = [8; 288];
                    lengths[144..256].fill(9);
                    lengths[256..280].fill(7);
                    self.codes.literals.build(&lengths, literal_entry)?;
                    self.codes.distances.build(&[5; 32], distance_entry)?;
                    self.fixed_loaded = true;
                }
                self.state = State::Codes;
            }
            2 => {
                self.fixed_loaded = false;
                if self.dynamic_codes(bits)?.is_none() {
                    return Ok(None);
                }
                self.state = State::Codes;
            }
            _ => return Err(Error::corrupt("deflate: unknown type of block")),
        }
        self.last = first & 1 == 1;
        Ok(Some(()))
    }

    fn dynamic_codes(&mut self, bits: &mut Bits<'_>) -> Result<Option<()>> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let (Some(literals), Some(distances), Some(lens)) = (bits.take(5), bits.take(5), bits.take(4)) else {
            return Ok(None);
        };
        let (literals, distances) = (literals + 257, distances + 1);
        if literals > 286 || distances > 30 {
            return Err(Error::corrupt("deflate: too many codes"));
        }
        let mut code_lens = [0; 19];
        for place in &ORDER[..lens + 4] {
            let Some(len) = bits.take(3) else { return Ok(None) };
            code_lens[*place] = len as u8;
        }
        let mut table = Table::<7, 128>::new();
        table.build(&code_lens, |symbol| (symbol as u32) << 16)?;
        let mut lengths = [0_u8; 286 + 30];
        let mut filled = 0;
        while filled < literals + distances {
            bits.refill();
            let entry = table.find(bits.held);
            if entry & SPECIAL != 0 {
                // What a bit short of input looks like is unknown.
                return if bits.count < 7 { Ok(None) } else { Err(Error::corrupt("deflate: invalid code length")) };
            }
            let symbol = value(entry);
            let extra = [2, 3, 7].get(symbol.wrapping_sub(16)).copied().unwrap_or(0);
            if bits.count < code_len(entry) + extra {
                return Ok(None);
            }
            bits.drop(code_len(entry));
            let more = bits.peek(extra);
            bits.drop(extra);
            let (len, repeat) = match symbol {
                16 => {
                    let Some(before) = filled.checked_sub(1) else {
                        return Err(Error::corrupt("deflate: nothing to repeat"));
                    };
                    (lengths[before], 3 + more)
                }
                17 => (0, 3 + more),
                18 => (0, 11 + more),
                len => (len as u8, 1),
            };
            if repeat > literals + distances - filled {
                return Err(Error::corrupt("deflate: too many code lengths"));
            }
            lengths[filled..filled + repeat].fill(len);
            filled += repeat;
        }
        if lengths[256] == 0 {
            return Err(Error::corrupt("deflate: block without end"));
        }
        self.codes.literals.build(&lengths[..literals], literal_entry)?;
        self.codes.distances.build(&lengths[literals..literals + distances], distance_entry)?;
        Ok(Some(()))
    }
}

impl Codes {
    /// Decodes symbols until the block ends, or input or room run out.
    fn run(&self, bits: &mut Bits<'_>, dst: &mut [u8], out: &mut usize, floor: usize) -> Result<Stop> {
        if self.run_fast(bits, dst, out, floor)? {
            return Ok(Stop::BlockEnd);
        }
        self.run_careful(bits, dst, out, floor)
    }

    /// Runs while one round cannot overrun either buffer; true when the block ended.
    fn run_fast(&self, outer: &mut Bits<'_>, dst: &mut [u8], outer_out: &mut usize, floor: usize) -> Result<bool> {
        // Two refills of eight bytes; two literals and the longest match, copied in pieces of 16.
        const INPUT: usize = 16;
        const ROOM: usize = 2 + 258 + 16;
        let mut bits = *outer;
        let mut out = *outer_out;
        let mut ended = false;
        while bits.pos + INPUT <= bits.src.len() && out + ROOM <= dst.len() {
            bits.refill();
            let mut entry = self.literals.first[bits.held as usize & ((1 << LITERAL_BITS) - 1)];
            if entry & LITERAL != 0 {
                bits.drop(code_len(entry));
                dst[out] = value(entry) as u8;
                out += 1;
                entry = self.literals.first[bits.held as usize & ((1 << LITERAL_BITS) - 1)];
                if entry & LITERAL != 0 {
                    bits.drop(code_len(entry));
                    dst[out] = value(entry) as u8;
                    out += 1;
                    entry = self.literals.first[bits.held as usize & ((1 << LITERAL_BITS) - 1)];
                    if entry & LITERAL != 0 {
                        bits.drop(code_len(entry));
                        dst[out] = value(entry) as u8;
                        out += 1;
                        continue;
                    }
                }
            }
            if entry & SPECIAL != 0 {
                if entry & LINK == LINK {
                    entry = self.literals.follow(entry, bits.held);
                }
                if entry & LITERAL != 0 {
                    bits.drop(code_len(entry));
                    dst[out] = value(entry) as u8;
                    out += 1;
                    continue;
                }
                if entry & SPECIAL != 0 {
                    if entry & END != END {
                        return Err(Error::corrupt("deflate: invalid code"));
                    }
                    bits.drop(code_len(entry));
                    ended = true;
                    break;
                }
            }
            bits.drop(code_len(entry));
            let extra = extra_bits(entry);
            let len = value(entry) + bits.peek(extra);
            bits.drop(extra);
            bits.refill();
            let entry = self.distances.find(bits.held);
            if entry & SPECIAL != 0 {
                return Err(Error::corrupt("deflate: invalid distance"));
            }
            bits.drop(code_len(entry));
            let extra = extra_bits(entry);
            let distance = value(entry) + bits.peek(extra);
            bits.drop(extra);
            if distance > out - floor {
                return Err(Error::corrupt("deflate: distance reaches before the start"));
            }
            copy_with_slack(dst, out, distance, len);
            out += len;
        }
        *outer = bits;
        *outer_out = out;
        Ok(ended)
    }

    fn run_careful(&self, bits: &mut Bits<'_>, dst: &mut [u8], out: &mut usize, floor: usize) -> Result<Stop> {
        loop {
            let before = *bits;
            bits.refill();
            let entry = self.literals.find(bits.held);
            if code_len(entry) > bits.count || (entry & INVALID == INVALID && bits.count < MAX_CODE as u32) {
                *bits = before;
                return Ok(Stop::Input);
            }
            if entry & LITERAL != 0 {
                if *out == dst.len() {
                    *bits = before;
                    return Ok(Stop::Output);
                }
                bits.drop(code_len(entry));
                dst[*out] = value(entry) as u8;
                *out += 1;
                continue;
            }
            if entry & SPECIAL != 0 {
                if entry & END != END {
                    return Err(Error::corrupt("deflate: invalid code"));
                }
                bits.drop(code_len(entry));
                return Ok(Stop::BlockEnd);
            }
            let extra = extra_bits(entry);
            if code_len(entry) + extra > bits.count {
                *bits = before;
                return Ok(Stop::Input);
            }
            bits.drop(code_len(entry));
            let len = value(entry) + bits.peek(extra);
            bits.drop(extra);
            bits.refill();
            let entry = self.distances.find(bits.held);
            if entry & SPECIAL != 0 && bits.count >= MAX_CODE as u32 {
                return Err(Error::corrupt("deflate: invalid distance"));
            }
            let extra = extra_bits(entry);
            if entry & SPECIAL != 0 || code_len(entry) + extra > bits.count {
                *bits = before;
                return Ok(Stop::Input);
            }
            bits.drop(code_len(entry));
            let distance = value(entry) + bits.peek(extra);
            bits.drop(extra);
            if distance > *out - floor {
                return Err(Error::corrupt("deflate: distance reaches before the start"));
            }
            if len > dst.len() - *out {
                *bits = before;
                return Ok(Stop::Output);
            }
            for at in *out..*out + len {
                dst[at] = dst[at - distance];
            }
            *out += len;
        }
    }
}

/// Repeats `len` bytes from `distance` before `out`; may scribble over up to 15 bytes after them.
#[inline(always)]
fn copy_with_slack(dst: &mut [u8], out: usize, distance: usize, len: usize) {
    let from = out - distance;
    if distance >= 16 {
        let span = &mut dst[from..out + len + 16];
        let mut done = 0;
        while done < len {
            span.copy_within(done..done + 16, distance + done);
            done += 16;
        }
    } else if distance == 1 {
        let byte = dst[from];
        dst[out..out + len].fill(byte);
    } else {
        let span = &mut dst[from..out + len];
        for at in distance..span.len() {
            span[at] = span[at - distance];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflate_in_pieces(src: &[u8], size: usize, piece: usize) -> Result<Vec<u8>> {
        let mut inflater = Inflater::new(Rules::STRICT);
        let mut dst = vec![0; size];
        let (mut pos, mut out, mut window) = (0, 0, piece);
        loop {
            let end = src.len().min(pos + window);
            let run = inflater.run(&src[pos..end], &mut dst, out, 0)?;
            window = if run.consumed == 0 && run.out == out { window + piece } else { piece };
            pos += run.consumed;
            out = run.out;
            match run.stop {
                Stop::End => break,
                Stop::BlockEnd => {}
                Stop::Output => return Err(Error::too_large("test")),
                Stop::Input if end == src.len() => return Err(Error::Truncated),
                Stop::Input => {}
            }
        }
        dst.truncate(out);
        Ok(dst)
    }

    fn samples() -> Vec<Vec<u8>> {
        let text: Vec<u8> = (0..60_000u32).flat_map(|i| format!("{} ", i * i % 977).into_bytes()).collect();
        let noise: Vec<u8> = (0..90_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 15) as u8).collect();
        vec![Vec::new(), b"a".to_vec(), vec![7; 100_000], text, noise, (0..=255).collect()]
    }

    #[test]
    fn decodes_what_libdeflate_encodes_whatever_the_pieces() {
        for level in [1, 6, 12] {
            let mut compressor = crate::deflate::Compressor::new(crate::deflate::Level::number(level).unwrap());
            for plain in samples() {
                let mut packed = Vec::new();
                compressor.raw(&plain, &mut packed);
                for piece in [1, 7, 333, packed.len().max(1)] {
                    assert!(inflate_in_pieces(&packed, plain.len(), piece).unwrap() == plain);
                }
                if !plain.is_empty() {
                    assert!(inflate_in_pieces(&packed, plain.len() - 1, 4096).is_err());
                }
                assert!(inflate_in_pieces(&packed[..packed.len() - 1], plain.len(), 4096).is_err());
            }
        }
    }

    #[test]
    fn refuses_what_the_format_forbids() {
        // Block type 3; stored length against its complement; a distance before the start (fixed codes: literal, then match).
        for bad in [&[0x07_u8][..], &[1, 5, 0, 0, 0, 1, 2, 3, 4, 5], &[0x4b, 0x04, 0x12, 0x00]] {
            assert!(matches!(inflate_in_pieces(bad, 100, 100), Err(Error::Corrupt(_))), "{bad:x?}");
        }
    }
}
