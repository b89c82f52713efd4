//! The places in a stream where decoding can be taken up.

use tintype_codec::stream::Checkpoint;

/// How far apart the places are, and how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grain {
    /// Bytes of content between two places, to begin with.
    pub spacing: u64,
    /// Most places.
    pub most: usize,
    /// Most bytes that the packed windows of all places, and what else they need, take together.
    pub packed: usize,
    /// Streams with less content have no side-car: going through them again costs less.
    pub worth_keeping: u64,
}

/// When there are too many places, or their windows take too much, every other one is given up and the distance doubled.
pub(super) const GRAIN: Grain = Grain { spacing: 4 << 20, most: 1024, packed: 64 << 20, worth_keeping: 64 << 20 };

/// Places are at least so many windows apart, or packing the windows would take longer than decoding.
const WINDOWS_APART: u64 = 8;

/// All places known, ascending; the start of the stream is always one and not among them.
pub(super) struct Points {
    grain: Grain,
    pub spacing: u64,
    list: Vec<Checkpoint>,
}

impl Points {
    pub fn new(grain: Grain) -> Self {
        Points { grain, spacing: grain.spacing, list: Vec::new() }
    }

    /// The places that were kept, and their distance.
    pub fn restore(&mut self, list: Vec<Checkpoint>, spacing: u64) {
        (self.list, self.spacing) = (list, spacing);
    }

    pub fn list(&self) -> &[Checkpoint] {
        &self.list
    }

    /// Where the next place should lie, at the earliest.
    pub fn next(&self) -> u64 {
        self.list.last().map_or(0, |p| p.out_offset).saturating_add(self.spacing)
    }

    /// Adds a place behind all others.
    pub fn add(&mut self, place: Checkpoint) {
        self.spacing = self.spacing.max(place.window.len() as u64 * WINDOWS_APART);
        self.list.push(place);
        while self.list.len() >= self.grain.most || self.packed() > self.grain.packed {
            let mut index = 0;
            self.list.retain(|_| {
                index += 1;
                index % 2 == 0
            });
            self.spacing = self.spacing.saturating_mul(2);
        }
    }

    fn packed(&self) -> usize {
        self.list.iter().map(|p| p.window.packed().len() + p.extra.len()).sum()
    }

    /// The last place at or before `offset`; `None`: the start.
    pub fn before(&self, offset: u64) -> Option<&Checkpoint> {
        self.list[..self.list.partition_point(|p| p.out_offset <= offset)].last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_codec::stream::Window;

    fn place(out_offset: u64, window: u32, packed: usize) -> Checkpoint {
        let window = Window::from_packed(window, vec![7; packed]).unwrap();
        Checkpoint { in_offset: out_offset / 2, in_bits: 0, out_offset, window, extra: Vec::new() }
    }

    #[test]
    fn windows_together_stay_within_their_bound() {
        let grain = Grain { spacing: 1000, most: 100, packed: 10_000, worth_keeping: 0 };
        let mut points = Points::new(grain);
        let mut at = 0;
        while at < 10_000_000 {
            at = points.next();
            points.add(place(at, 500, 1700));
            assert!(points.packed() <= 10_000);
            assert!(points.list().is_sorted_by_key(|p| p.out_offset));
        }
        assert!(points.list().len() >= 3);
        let largest = points.list().windows(2).map(|p| p[1].out_offset - p[0].out_offset).max().unwrap();
        assert!(largest <= points.spacing && points.spacing <= 10_000_000 / 2);
    }

    #[test]
    fn large_windows_are_far_apart() {
        let mut points = Points::new(GRAIN);
        points.add(place(4 << 20, 4 << 20, 100));
        points.add(place(36 << 20, 8 << 20, 100));
        assert_eq!(points.next(), (36 << 20) + (64 << 20));
    }

    #[test]
    fn a_window_that_alone_takes_too_much_is_not_kept() {
        let mut points = Points::new(Grain { packed: 1000, ..GRAIN });
        points.add(place(4 << 20, 5000, 1001));
        assert!(points.list().is_empty());
        assert_eq!(points.next(), 8 << 20);
    }
}
