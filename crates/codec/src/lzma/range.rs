//! The range decoder: one bit after the other.

use super::model::{ONE, SHIFT};
use std::hint::select_unpredictable;

const TOP: u32 = 1 << 24;
/// Bits a probability moves by: one part in 32 of what is missing.
const RATE: u32 = 5;

/// Kept in registers while symbols are decoded.
pub(super) struct Range<'a> {
    pub(super) range: u32,
    pub(super) code: u32,
    src: &'a [u8],
    /// May lie beyond the end of `src`: then the bits are not real ones, and whoever asked has to find out.
    pub(super) pos: usize,
}

impl<'a> Range<'a> {
    #[inline(always)]
    pub(super) fn new(range: u32, code: u32, src: &'a [u8]) -> Self {
        Self { range, code, src, pos: 0 }
    }

    #[inline(always)]
    pub(super) fn is_overrun(&self) -> bool {
        self.pos > self.src.len()
    }

    #[inline(always)]
    pub(super) fn normalize(&mut self) {
        if self.range < TOP {
            let byte = self.src.get(self.pos).copied().unwrap_or(0);
            self.range <<= 8;
            self.code = self.code << 8 | u32::from(byte);
            self.pos += 1;
        }
    }

    /// A bit that is mostly the same.
    #[inline(always)]
    pub(super) fn bit(&mut self, slot: &mut u16) -> bool {
        self.normalize();
        let probability = u32::from(*slot);
        let bound = (self.range >> SHIFT) * probability;
        if self.code < bound {
            self.range = bound;
            *slot = (probability + ((ONE - probability) >> RATE)) as u16;
            false
        } else {
            self.range -= bound;
            self.code -= bound;
            *slot = (probability - (probability >> RATE)) as u16;
            true
        }
    }

    /// A bit that nobody could guess: without a branch.
    #[inline(always)]
    pub(super) fn coin(&mut self, slot: &mut u16) -> u32 {
        self.normalize();
        let probability = u32::from(*slot);
        let bound = (self.range >> SHIFT) * probability;
        let is_zero = self.code < bound;
        self.range = select_unpredictable(is_zero, bound, self.range.wrapping_sub(bound));
        self.code = select_unpredictable(is_zero, self.code, self.code.wrapping_sub(bound));
        // Towards ONE or towards 0, both rounded as above.
        let goal = select_unpredictable(is_zero, ONE - (1 << RATE) + 1, 0);
        *slot = probability.wrapping_sub((probability.wrapping_sub(goal) as i32 >> RATE) as u32) as u16;
        u32::from(!is_zero)
    }

    /// A tree of `SIZE` leaves, its root at 1, the highest bit first.
    #[inline(always)]
    pub(super) fn tree<const SIZE: usize>(&mut self, slots: &mut [u16; SIZE]) -> u32 {
        let mut symbol = 1;
        for _ in 0..SIZE.trailing_zeros() {
            symbol = symbol << 1 | self.coin(&mut slots[symbol as usize & (SIZE - 1)]);
        }
        symbol & (SIZE as u32 - 1)
    }

    /// Bits of equal chance, the highest first, after those of `number`.
    #[inline(always)]
    pub(super) fn direct(&mut self, mut number: u32, count: u32) -> u32 {
        for _ in 0..count {
            self.normalize();
            self.range >>= 1;
            self.code = self.code.wrapping_sub(self.range);
            let is_zero = 0u32.wrapping_sub(self.code >> 31);
            self.code = self.code.wrapping_add(self.range & is_zero);
            number = (number << 1).wrapping_add(is_zero.wrapping_add(1));
        }
        number
    }
}
