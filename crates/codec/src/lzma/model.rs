//! The probabilities of all bits, by what they mean.

use super::Properties;

/// Bits of a probability.
pub(super) const SHIFT: u32 = 11;
/// Certainty that a bit is 0.
pub(super) const ONE: u32 = 1 << SHIFT;
const HALF: u16 = 1 << (SHIFT - 1);

/// States there are; the tables have more, so that an index of four bits always fits.
pub(super) const STATES: u8 = 12;
const POSITIONS: usize = 16;
/// Probabilities of a literal in one context. The table has more, so that an index of ten bits always fits.
const LITERAL: usize = 0x300;

#[derive(Clone)]
pub(super) struct Lengths {
    pub(super) choice: u16,
    pub(super) choice2: u16,
    pub(super) low: [[u16; 8]; POSITIONS],
    pub(super) middle: [[u16; 8]; POSITIONS],
    pub(super) high: [u16; 256],
}

#[derive(Clone)]
pub(super) struct Model {
    pub(super) is_match: [[u16; POSITIONS]; 16],
    pub(super) is_rep: [u16; 16],
    pub(super) is_rep0: [u16; 16],
    pub(super) is_rep0_long: [[u16; POSITIONS]; 16],
    pub(super) is_rep1: [u16; 16],
    pub(super) is_rep2: [u16; 16],
    pub(super) slot: [[u16; 64]; 4],
    pub(super) special: [u16; 128],
    pub(super) align: [u16; 16],
    pub(super) matched: Lengths,
    pub(super) repeated: Lengths,
    pub(super) literal: [[u16; 1024]; 16],
}

impl Lengths {
    fn visit(&mut self, f: &mut impl FnMut(&mut [u16])) {
        f(std::slice::from_mut(&mut self.choice));
        f(std::slice::from_mut(&mut self.choice2));
        f(self.low.as_flattened_mut());
        f(self.middle.as_flattened_mut());
        f(&mut self.high);
    }
}

impl Model {
    pub(super) fn new() -> Box<Self> {
        const LENGTHS: Lengths = Lengths {
            choice: HALF,
            choice2: HALF,
            low: [[HALF; 8]; POSITIONS],
            middle: [[HALF; 8]; POSITIONS],
            high: [HALF; 256],
        };
        static FRESH: Model = Model {
            is_match: [[HALF; POSITIONS]; 16],
            is_rep: [HALF; 16],
            is_rep0: [HALF; 16],
            is_rep0_long: [[HALF; POSITIONS]; 16],
            is_rep1: [HALF; 16],
            is_rep2: [HALF; 16],
            slot: [[HALF; 64]; 4],
            special: [HALF; 128],
            align: [HALF; 16],
            matched: LENGTHS,
            repeated: LENGTHS,
            literal: [[HALF; 1024]; 16],
        };
        Box::new(FRESH.clone())
    }

    pub(super) fn reset(&mut self) {
        self.visit(16, &mut |slots| slots.fill(HALF));
    }

    /// All probabilities, in an order that never changes.
    fn visit(&mut self, literals: usize, f: &mut impl FnMut(&mut [u16])) {
        f(self.is_match.as_flattened_mut());
        f(&mut self.is_rep);
        f(&mut self.is_rep0);
        f(self.is_rep0_long.as_flattened_mut());
        f(&mut self.is_rep1);
        f(&mut self.is_rep2);
        f(self.slot.as_flattened_mut());
        f(&mut self.special);
        f(&mut self.align);
        self.matched.visit(f);
        self.repeated.visit(f);
        self.literal[..literals].iter_mut().for_each(|slots| f(&mut slots[..LITERAL]));
    }

    /// Appends what is in use with these properties.
    pub(super) fn pack(&self, properties: Properties, out: &mut Vec<u8>) {
        self.clone().visit(literals(properties), &mut |slots| {
            out.extend(slots.iter().flat_map(|slot| slot.to_le_bytes()));
        });
    }

    /// The inverse of [`pack`](Self::pack); `None` for what cannot come from it.
    pub(super) fn unpack(properties: Properties, bytes: &[u8]) -> Option<Box<Self>> {
        // What updates lead to: never certain.
        const POSSIBLE: std::ops::RangeInclusive<u16> = 31..=ONE as u16 - 31;
        let (packed, odd) = bytes.as_chunks();
        let mut packed = packed.iter().map(|p| u16::from_le_bytes(*p));
        let mut fits = odd.is_empty();
        let mut model = Self::new();
        model.visit(literals(properties), &mut |slots| {
            for slot in slots {
                match packed.next().filter(|p| POSSIBLE.contains(p)) {
                    Some(probability) => *slot = probability,
                    None => fits = false,
                }
            }
        });
        (fits && packed.next().is_none()).then_some(model)
    }
}

fn literals(properties: Properties) -> usize {
    1 << (properties.lc + properties.lp)
}
