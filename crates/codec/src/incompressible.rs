//! A cheap look at data that tells whether deflate would do anything for it.

/// Bytes looked at together; matches in deflate reach no further.
const SEGMENT: usize = 32 * 1024;
/// Every so many bytes a few are counted.
const STRIDE: usize = 256;
const COUNTED: usize = 16;
/// Less than this shows too little.
const SMALLEST: usize = 32 * 1024;
/// Savings below this share of a chunk are not worth the work.
const WORTHWHILE: f64 = 0.0125;

/// Whether compressing these bytes would be in vain: true only if zlib's level 1 would save less than two or three per cent.
///
/// A false answer promises nothing. Costs about one per cent of compressing: some bytes of every kilobyte are counted, and repetitions
/// are looked for behind all places that hold one particular byte. Chunks below 32 KiB always get a false.
pub fn looks_incompressible(chunk: &[u8]) -> bool {
    if chunk.len() < SMALLEST {
        return false;
    }
    let mut saved = 0.0;
    let mut commonest = 0;
    for (i, segment) in chunk.chunks(SEGMENT).enumerate() {
        let counts = Counts::of(segment);
        saved += counts.saving() * segment.len() as f64;
        // Most data gives itself away at once.
        if saved >= WORTHWHILE * chunk.len() as f64 {
            return false;
        }
        if i == 0 {
            commonest = counts.commonest();
        }
    }
    saved / chunk.len() as f64 + share_repeated(chunk, commonest) < WORTHWHILE
}

/// How often each byte occurs in samples of a segment.
struct Counts {
    counts: [u16; 256],
    samples: u32,
}

impl Counts {
    fn of(segment: &[u8]) -> Self {
        // Two tables, so that equal neighbours do not wait for each other.
        let mut counts = [0_u16; 256];
        let mut others = [0_u16; 256];
        let mut samples = 0;
        for (i, spot) in segment.chunks_exact(STRIDE).enumerate() {
            // Moving about within the stride, lest records of its size show always the same field.
            let at = (i * 97) % (STRIDE - COUNTED + 1);
            let (pairs, _) = spot[at..at + COUNTED].as_chunks::<2>();
            for [a, b] in pairs {
                counts[usize::from(*a)] += 1;
                others[usize::from(*b)] += 1;
            }
            samples += COUNTED as u32;
        }
        for (count, other) in counts.iter_mut().zip(others) {
            *count += other;
        }
        Self { counts, samples }
    }

    fn commonest(&self) -> u8 {
        self.counts.iter().enumerate().max_by_key(|(_, count)| **count).map_or(0, |(byte, _)| byte as u8)
    }

    /// An estimate of what coding single bytes would save, as a share.
    fn saving(&self) -> f64 {
        if self.samples == 0 {
            // A short end; the segments before it speak for it.
            return 0.0;
        }
        let n = f64::from(self.samples);
        let squares = self.counts.iter().map(|count| u32::from(*count) * u32::from(*count)).sum::<u32>();
        let squares = f64::from(squares);
        // For evenly distributed bytes the sum of squares has this mean and deviation.
        let even = n + n * (n - 1.0) / 256.0;
        let deviation = (2.0 * n * n / 256.0).sqrt();
        if squares < even + 4.0 * deviation {
            return 0.0;
        }
        // The collision entropy, a lower bound of Shannon's, so that the estimate errs towards compressing.
        let collisions = ((squares - n) / (n * (n - 1.0))).max(1.0 / 256.0);
        (8.0 + collisions.log2()) / 8.0
    }
}

/// The share of samples that repeat something within reach.
///
/// Samples are what follows one particular byte: chosen by content, so that of a repetition both ends are chosen, or neither.
fn share_repeated(chunk: &[u8], chosen_by: u8) -> f64 {
    const SLOTS: usize = 512;
    // By hash: the three bytes that follow, and where.
    let mut table = [(u32::MAX, 0); SLOTS];
    let (mut chosen, mut found) = (0_u32, 0_u32);
    for at in memchr::memchr_iter(chosen_by, chunk) {
        let Some(word) = chunk[at..].first_chunk() else { break };
        let following = u32::from_le_bytes(*word) >> 8;
        let slot = &mut table[(following.wrapping_mul(0x9e37_79b1) >> 23) as usize];
        found += u32::from(slot.0 == following && at - slot.1 <= SEGMENT);
        *slot = (following, at);
        chosen += 1;
    }
    f64::from(found) / f64::from(chosen.max(1))
}

#[cfg(test)]
mod tests;
