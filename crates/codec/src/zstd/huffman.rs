//! Huffman coded literals (RFC 8878, 4.2).

use super::bits::Backward;
use super::fse::{Distribution, Table};
use crate::error::{Error, Result};

/// The longest code.
const LONGEST: u32 = 11;
const SIZE: usize = 1 << LONGEST;
/// Codes that are decoded between two refills.
const AT_ONCE: usize = (Backward::HELD / LONGEST) as usize;
/// The longest description: a byte of length, and as many bytes as it can say.
const DESCRIPTION: usize = 128;

/// The codes of literals, and the description they came from.
pub(super) struct Huffman {
    /// By the next eleven bits: the symbol in the upper byte, the length of its code in the lower one.
    codes: Box<[u16; SIZE]>,
    weights: Table<u8>,
    description: Vec<u8>,
}

fn wrong() -> Error {
    Error::corrupt("zstd: a Huffman table is wrong")
}

impl Huffman {
    pub fn new() -> Self {
        Huffman { codes: Box::new([0; SIZE]), weights: Table::new(), description: Vec::with_capacity(DESCRIPTION) }
    }

    /// The description of the codes in use; empty if there are none.
    pub fn description(&self) -> &[u8] {
        &self.description
    }

    pub fn forget(&mut self) {
        self.description.clear();
    }

    /// Takes the codes described in `src[start..end]`, and says how many bytes the description has.
    pub fn parse(&mut self, src: &[u8], start: usize, end: usize) -> Result<usize> {
        let mut weights = [0; 256];
        let bytes = src.get(start..end).unwrap_or_default();
        let (first, rest) = bytes.split_first().ok_or_else(wrong)?;
        let (count, len) = match usize::from(*first) {
            len @ 0..128 => {
                let packed = rest.get(..len).ok_or_else(wrong)?;
                (self.packed_weights(src, packed, start + 1, &mut weights)?, len)
            }
            n => {
                let count = n - 127;
                let packed = rest.get(..count.div_ceil(2)).ok_or_else(wrong)?;
                for (i, weight) in weights[..count].iter_mut().enumerate() {
                    *weight = packed[i / 2] >> (4 * (1 - i % 2)) & 15;
                }
                (count, packed.len())
            }
        };
        self.description.clear();
        self.set(&mut weights, count)?;
        self.description.extend_from_slice(&bytes[..1 + len]);
        Ok(1 + len)
    }

    /// The weights that were coded with two states taking turns.
    fn packed_weights(&mut self, src: &[u8], packed: &[u8], start: usize, weights: &mut [u8; 256]) -> Result<usize> {
        const MOST: usize = 255;
        const VALUES: [u8; LONGEST as usize + 1] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
        let (distribution, len) = Distribution::parse(packed, VALUES.len(), 6)?;
        self.weights.set(&distribution, &VALUES);
        let mut bits = Backward::new(src, start + len, start + packed.len())?;
        let mut states = [0; 2];
        for state in &mut states {
            *state = bits.take(self.weights.log) as usize;
        }
        if bits.left() < 0 {
            return Err(wrong());
        }
        for n in 0..MOST {
            let entry = self.weights.at(states[n % 2]);
            weights[n] = entry.value;
            // Where the bits end, the other state's symbol is the last one.
            if bits.left() < i64::from(entry.bits) {
                if n + 1 >= MOST {
                    break;
                }
                weights[n + 1] = self.weights.at(states[(n + 1) % 2]).value;
                return Ok(n + 2);
            }
            bits.refill()?;
            states[n % 2] = usize::from(entry.next) + bits.take(entry.bits.into()) as usize;
        }
        Err(wrong())
    }

    /// Makes the codes of `count` weights and one more, which follows from them.
    fn set(&mut self, weights: &mut [u8; 256], count: usize) -> Result<()> {
        let sum = weights[..count].iter().map(|w| (1_u32 << w) >> 1).sum::<u32>();
        if sum == 0 || count > 255 || weights[..count].iter().any(|w| u32::from(*w) > LONGEST) {
            return Err(wrong());
        }
        let log = sum.ilog2() + 1;
        let rest = (1_u32 << log) - sum;
        if log > LONGEST || !rest.is_power_of_two() {
            return Err(wrong());
        }
        weights[count] = rest.ilog2() as u8 + 1;
        // Long codes first: their weight is 1, and there are at least two.
        let mut starts = [0_usize; LONGEST as usize + 2];
        for weight in &weights[..=count] {
            starts[usize::from(*weight) + 1] += (1 << weight) >> 1 << (LONGEST - log);
        }
        if starts[2] < 2 << (LONGEST - log) {
            return Err(wrong());
        }
        starts[1] = 0;
        for weight in 1..starts.len() - 1 {
            starts[weight + 1] += starts[weight];
        }
        for (symbol, weight) in weights[..=count].iter().enumerate().filter(|(_, w)| **w > 0) {
            let start = &mut starts[usize::from(*weight)];
            let len = (1 << weight) >> 1 << (LONGEST - log);
            let code = (symbol as u16) << 8 | (log as u16 + 1 - u16::from(*weight));
            self.codes.get_mut(*start..*start + len).ok_or_else(wrong)?.fill(code);
            *start += len;
        }
        Ok(())
    }

    #[inline(always)]
    fn next(&self, bits: &mut Backward<'_>) -> u8 {
        let code = self.codes[bits.peek11() % SIZE];
        bits.skip(u32::from(code & 15));
        (code >> 8) as u8
    }

    /// Decodes what a stream holds into all of `out`.
    fn finish(&self, mut bits: Backward<'_>, out: &mut [u8]) -> Result<()> {
        for part in out.chunks_mut(AT_ONCE) {
            bits.refill()?;
            for byte in part {
                *byte = self.next(&mut bits);
            }
        }
        if bits.left() != 0 {
            return Err(Error::corrupt("zstd: a stream of literals does not end where it should"));
        }
        Ok(())
    }

    /// Decodes one stream, `src[start..end]`, into all of `out`.
    pub fn one(&self, src: &[u8], start: usize, end: usize, out: &mut [u8]) -> Result<()> {
        self.finish(Backward::new(src, start, end)?, out)
    }

    /// Decodes four streams, `src[start..end]` with the lengths of three of them in front, into all of `out`.
    pub fn four(&self, src: &[u8], start: usize, end: usize, out: &mut [u8]) -> Result<()> {
        let wrong = || Error::corrupt("zstd: the streams of literals do not fit");
        let lens: &[u8; 6] = src.get(start..end).and_then(<[u8]>::first_chunk).ok_or_else(wrong)?;
        let mut at = start + lens.len();
        let mut open = |len: Option<[u8; 2]>| {
            let to = len.map_or(end, |len| at + usize::from(u16::from_le_bytes(len)));
            let bits = Backward::new(src, at, to.min(end));
            at = to;
            bits
        };
        let [a, b, c, d, e, f] = *lens;
        let mut s1 = open(Some([a, b]))?;
        let mut s2 = open(Some([c, d]))?;
        let mut s3 = open(Some([e, f]))?;
        let mut s4 = open(None)?;
        let quarter = out.len().div_ceil(4);
        let (o1, rest) = out.split_at_mut_checked(quarter).ok_or_else(wrong)?;
        let (o2, rest) = rest.split_at_mut_checked(quarter).ok_or_else(wrong)?;
        let (o3, o4) = rest.split_at_mut_checked(quarter).ok_or_else(wrong)?;
        let (c1, _) = o1.as_chunks_mut::<AT_ONCE>();
        let (c2, _) = o2.as_chunks_mut::<AT_ONCE>();
        let (c3, _) = o3.as_chunks_mut::<AT_ONCE>();
        let (c4, _) = o4.as_chunks_mut::<AT_ONCE>();
        let together = c4.len();
        for (((p1, p2), p3), p4) in c1.iter_mut().zip(c2).zip(c3).zip(c4) {
            s1.refill()?;
            s2.refill()?;
            s3.refill()?;
            s4.refill()?;
            for i in 0..AT_ONCE {
                p1[i] = self.next(&mut s1);
                p2[i] = self.next(&mut s2);
                p3[i] = self.next(&mut s3);
                p4[i] = self.next(&mut s4);
            }
        }
        let done = together * AT_ONCE;
        self.finish(s1, &mut o1[done..])?;
        self.finish(s2, &mut o2[done..])?;
        self.finish(s3, &mut o3[done..])?;
        self.finish(s4, &mut o4[done..])
    }
}
