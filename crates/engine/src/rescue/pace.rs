//! How long good reads usually take, to tell those that the drive had trouble with: it tries again and again by itself before it fails.

/// Reads of one length that are remembered.
const REMEMBERED: usize = 32;

/// So many have to be known before one is called slow.
const ENOUGH: usize = 8;

/// A read is slow if it takes so many times what reads of its length usually take ...
const TIMES: f64 = 8.0;

/// ... and so many seconds: a drive that tries again turns at least a few times more, and what costs less is not worth a detour.
const FLOOR: f64 = 0.05;

/// Times of the latest good reads, by their length.
#[derive(Default)]
pub(super) struct Pace {
    // By the power of two of the length; each a ring.
    times: Vec<Vec<f64>>,
    count: usize,
}

impl Pace {
    /// Counts a good read; true if it was slow. What most of the latest reads take is usual, so that a drive that is slow all over is
    /// not called slow, and a hiccup changes nothing.
    pub fn good(&mut self, len: u64, seconds: f64) -> bool {
        let class = len.max(1).ilog2() as usize;
        if self.times.len() <= class {
            self.times.resize_with(class + 1, Vec::new);
        }
        let times = &mut self.times[class];
        let slow = seconds >= FLOOR && times.len() >= ENOUGH && seconds > TIMES * median(times);
        self.count += 1;
        if times.len() < REMEMBERED {
            times.push(seconds);
        } else {
            times[self.count % REMEMBERED] = seconds;
        }
        slow
    }
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unusual_is_slow() {
        let mut pace = Pace::default();
        assert!(!pace.good(1 << 20, 9.0), "nothing is known yet");
        assert!((0..40).all(|_| !pace.good(1 << 20, 0.007)));
        assert!(pace.good(1 << 20, 0.2));
        assert!(!pace.good(1 << 20, 0.02), "not worth a detour");
        assert!(!pace.good(4096, 0.2), "another length");
        let slow = (0..100).filter(|_| pace.good(1 << 20, 0.2)).count();
        assert!(slow < 30, "in the end it is what is usual: {slow}");
    }
}
