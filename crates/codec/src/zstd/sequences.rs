//! Sequences: how many literals, then how long a match from how far back (RFC 8878, 3.1.1.3.2).

use super::bits::Backward;
use super::fse::{Distribution, Table};
use super::history::Output;
use crate::error::{Error, Result};

/// What a code stands for: `base` and the value of the next `extra` bits.
#[derive(Clone, Copy, Default)]
pub(super) struct Code {
    base: u32,
    extra: u8,
}

const LITERAL_CODES: usize = 36;
const MATCH_CODES: usize = 53;
const OFFSET_CODES: usize = 32;

/// The first of `count` values is `base`; each of the `extras` is the bits of one code, whose values follow those before.
const fn codes<const N: usize>(base: u32, extras: &[u8]) -> [Code; N] {
    let mut codes = [Code { base: 0, extra: 0 }; N];
    let mut base = base;
    let mut i = 0;
    while i < N {
        let plain = N - extras.len();
        let extra = if i < plain { 0 } else { extras[i - plain] };
        codes[i] = Code { base, extra };
        base += 1 << extra;
        i += 1;
    }
    codes
}

/// From 16 and from 35 on several lengths share a code.
static LITERALS: [Code; LITERAL_CODES] = codes(0, &[1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
static MATCHES: [Code; MATCH_CODES] = codes(3, &[1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
static OFFSETS: [Code; OFFSET_CODES] = {
    let mut codes = [Code { base: 0, extra: 0 }; OFFSET_CODES];
    let mut i = 0;
    while i < OFFSET_CODES {
        codes[i] = Code { base: 1 << i, extra: i as u8 };
        i += 1;
    }
    codes
};

const LITERALS_KNOWN: [i16; 36] =
    [4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1];
const MATCHES_KNOWN: [i16; 53] = [
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
];
const OFFSETS_KNOWN: [i16; 29] =
    [1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1];

/// One of the three kinds of numbers.
struct Kind {
    values: &'static [Code],
    known: &'static [i16],
    known_log: u32,
    most_log: u32,
}

static KINDS: [Kind; 3] = [
    Kind { values: &LITERALS, known: &LITERALS_KNOWN, known_log: 6, most_log: 9 },
    Kind { values: &OFFSETS, known: &OFFSETS_KNOWN, known_log: 5, most_log: 8 },
    Kind { values: &MATCHES, known: &MATCHES_KNOWN, known_log: 6, most_log: 9 },
];

/// How a table is given.
const KNOWN: u8 = 0;
const SINGLE: u8 = 1;
const DESCRIBED: u8 = 2;
const REPEATED: u8 = 3;

/// The states of one kind, and where they came from.
struct States {
    table: Table<Code>,
    /// [`KNOWN`], [`SINGLE`] or [`DESCRIBED`], then what describes them; empty if there are none.
    origin: Vec<u8>,
}

impl States {
    /// Takes what `mode` says; returns how many bytes of `src` that used up.
    fn set(&mut self, kind: &Kind, mode: u8, src: &[u8]) -> Result<usize> {
        let missing = || Error::corrupt("zstd: a table of sequences is wrong");
        let len = match mode {
            KNOWN if self.origin.first() == Some(&KNOWN) => return Ok(0),
            KNOWN => {
                self.table.set(&Distribution::known(kind.known, kind.known_log), kind.values);
                0
            }
            SINGLE => {
                let code = *src.first().ok_or_else(missing)?;
                self.table.set_single(*kind.values.get(usize::from(code)).ok_or_else(missing)?);
                1
            }
            DESCRIBED => {
                let (distribution, len) = Distribution::parse(src, kind.values.len(), kind.most_log)?;
                self.table.set(&distribution, kind.values);
                len
            }
            _ if self.origin.is_empty() => return Err(missing()),
            _ => return Ok(0),
        };
        self.origin.clear();
        self.origin.push(mode);
        self.origin.extend_from_slice(&src[..len]);
        Ok(len)
    }
}

/// What sequences of one block leave for those of the next.
pub(super) struct Sequences {
    states: [States; 3],
    /// The last three distances.
    recent: [u32; 3],
}

impl Sequences {
    pub fn new() -> Self {
        let states = || States { table: Table::new(), origin: Vec::new() };
        Sequences { states: [states(), states(), states()], recent: [1, 4, 8] }
    }

    /// Forgets the frame before.
    pub fn restart(&mut self) {
        self.recent = [1, 4, 8];
        self.states.iter_mut().for_each(|s| s.origin.clear());
    }

    /// Appends what [`load`](Self::load) needs.
    pub fn save(&self, to: &mut Vec<u8>) {
        self.recent.iter().for_each(|distance| to.extend(distance.to_le_bytes()));
        for states in &self.states {
            to.push(states.origin.len() as u8);
            to.extend_from_slice(&states.origin);
        }
    }

    /// Takes what [`save`](Self::save) appended from the start of `src`.
    pub fn load(&mut self, src: &mut &[u8]) -> Option<()> {
        for distance in &mut self.recent {
            *distance = u32::from_le_bytes(*src.split_off(..4)?.first_chunk()?);
        }
        for (states, kind) in self.states.iter_mut().zip(&KINDS) {
            states.origin.clear();
            let len = usize::from(*src.split_off_first()?);
            if let Some((mode, description)) = src.split_off(..len)?.split_first() {
                let used = states.set(kind, *mode, description).ok()?;
                if *mode == REPEATED || used != description.len() {
                    return None;
                }
            }
        }
        Some(())
    }

    /// Carries out the sequences in `src[start..end]`, with `count` literals at the start of `literals`.
    pub fn run(
        &mut self,
        src: &[u8],
        start: usize,
        end: usize,
        literals: &[u8],
        count: usize,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let missing = || Error::corrupt("zstd: the sequences of a block are cut off");
        let section = src.get(start..end).ok_or_else(missing)?;
        let (sequences, mut at) = match *section {
            [0] => return out.push(&literals[..count]),
            [0, ..] => return Err(Error::corrupt("zstd: something follows the sequences")),
            [255, a, b, ..] => (usize::from(u16::from_le_bytes([a, b])) + 0x7f00, 3),
            [255, ..] => return Err(missing()),
            [a, ..] if a < 128 => (usize::from(a), 1),
            [a, b, ..] => ((usize::from(a) - 128) << 8 | usize::from(b), 2),
            _ => return Err(missing()),
        };
        if sequences == 0 {
            return if at == section.len() { out.push(&literals[..count]) } else { Err(missing()) };
        }
        let modes = *section.get(at).ok_or_else(missing)?;
        at += 1;
        if modes & 3 != 0 {
            return Err(Error::corrupt("zstd: a reserved bit is set"));
        }
        for (i, (states, kind)) in self.states.iter_mut().zip(&KINDS).enumerate() {
            at += states.set(kind, modes >> (6 - 2 * i) & 3, &section[at..])?;
        }
        let bits = Backward::new(src, start + at, end)?;
        let used = self.carry_out(bits, sequences, literals, count, out)?;
        out.push(&literals[used..count])
    }

    /// Returns how many literals were used.
    fn carry_out(
        &mut self,
        mut bits: Backward<'_>,
        sequences: usize,
        literals: &[u8],
        count: usize,
        out: &mut Output<'_>,
    ) -> Result<usize> {
        let [literal_states, offset_states, match_states] = &self.states;
        let (lits, offs, mats) = (&literal_states.table, &offset_states.table, &match_states.table);
        let mut l = bits.take(lits.log) as usize;
        let mut o = bits.take(offs.log) as usize;
        let mut m = bits.take(mats.log) as usize;
        let [mut first, mut second, mut third] = self.recent;
        let mut used = 0;
        for left in (0..sequences).rev() {
            let (lit, off, mat) = (lits.at(l), offs.at(o), mats.at(m));
            bits.refill()?;
            let offset = off.value.base.wrapping_add(bits.take(off.value.extra.into()));
            let len = mat.value.base + bits.take(mat.value.extra.into());
            // The states take up to 26 bits more.
            if off.value.extra + mat.value.extra + lit.value.extra > 30 {
                bits.refill()?;
            }
            let literal = (lit.value.base + bits.take(lit.value.extra.into())) as usize;
            if off.value.extra > 1 {
                (first, second, third) = (offset - 3, first, second);
            } else {
                match offset + u32::from(literal == 0) {
                    1 => {}
                    2 => (first, second) = (second, first),
                    3 => (first, second, third) = (third, first, second),
                    // 0 is no distance, and is found out when it is used.
                    _ => (first, second, third) = (first.wrapping_sub(1), first, second),
                }
            }
            if left > 0 {
                l = usize::from(lit.next) + bits.take(lit.bits.into()) as usize;
                m = usize::from(mat.next) + bits.take(mat.bits.into()) as usize;
                o = usize::from(off.next) + bits.take(off.bits.into()) as usize;
            }
            if literal > count - used {
                return Err(Error::corrupt("zstd: more literals are used than there are"));
            }
            out.sequence(&literals[used..], literal, first as usize, len as usize)?;
            used += literal;
        }
        if bits.left() != 0 {
            return Err(Error::corrupt("zstd: the sequences do not end where they should"));
        }
        self.recent = [first, second, third];
        Ok(used)
    }
}
