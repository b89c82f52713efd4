//! How long good reads usually take, to tell places that the drive has trouble with: it tries again and again by itself before it fails.

/// What is judged at once, in bytes: short reads say little one by one.
const WINDOW: u64 = 256 << 10;

/// Shorter reads than this take as long as their command does, and are not counted.
const LEAST: u64 = 16 << 10;

/// Windows that are remembered.
const REMEMBERED: usize = 32;

/// So many have to be known before one is called slow.
const ENOUGH: usize = 8;

/// A window is slow if it takes so many times what windows usually take ...
const TIMES: f64 = 8.0;

/// ... and so many seconds: a drive that tries again waits for its disk to turn, a few times at least.
const FLOOR: f64 = 0.02;

/// Times of the latest good reads.
#[derive(Default)]
pub(super) struct Latency {
    // A ring, and where it is.
    windows: Vec<f64>,
    next: usize,
    bytes: u64,
    seconds: f64,
}

impl Latency {
    /// Counts a good read; at the end of a window says whether that was slow. What most of the latest windows took is usual, so that
    /// a drive that is slow all over is not called slow, and a hiccup changes nothing.
    pub fn good(&mut self, bytes: u64, seconds: f64) -> Option<bool> {
        if bytes < LEAST {
            return None;
        }
        self.bytes += bytes;
        self.seconds += seconds;
        if self.bytes < WINDOW {
            return None;
        }
        let seconds = self.seconds * WINDOW as f64 / self.bytes as f64;
        self.anew();
        let slow = seconds >= FLOOR && self.windows.len() >= ENOUGH && seconds > TIMES * self.usual();
        if self.windows.len() < REMEMBERED {
            self.windows.push(seconds);
        } else {
            self.windows[self.next] = seconds;
            self.next = (self.next + 1) % REMEMBERED;
        }
        Some(slow)
    }

    /// What comes next is elsewhere.
    pub fn anew(&mut self) {
        (self.bytes, self.seconds) = (0, 0.0);
    }

    fn usual(&self) -> f64 {
        let mut sorted = self.windows.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unusual_is_slow() {
        let mut latency = Latency::default();
        assert_eq!(latency.good(1 << 20, 9.0), Some(false), "nothing is known yet");
        assert!((0..40).all(|_| latency.good(1 << 20, 0.007) == Some(false)));
        assert_eq!(latency.good(1 << 20, 0.2), Some(true));
        assert_eq!(latency.good(1 << 20, 0.06), Some(false), "not long enough for a drive that tries again");
        let short: Vec<_> = (0..4).map(|_| latency.good(64 << 10, 0.01)).collect();
        assert_eq!((short[2], short[3]), (None, Some(true)), "short reads are judged together");
        assert!((0..1000).all(|_| latency.good(4096, 0.01).is_none()));
        let slow = (0..100).filter(|_| latency.good(1 << 20, 0.2) == Some(true)).count();
        assert!(slow < 30, "in the end it is what is usual: {slow}");
    }
}
