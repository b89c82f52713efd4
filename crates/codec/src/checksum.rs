//! Checksums: guards against accident, not against malice.
//!
//! Each streaming type has `update` and `value`; each has a one-shot function of the same name in lower case.

/// Adler-32 (RFC 1950) of a buffer, starting from 1.
pub fn adler32(bytes: &[u8]) -> u32 {
    simd_adler32::adler32(&bytes)
}

/// A running Adler-32.
#[derive(Clone, Default)]
pub struct Adler32(simd_adler32::Adler32);

impl Adler32 {
    /// The checksum of nothing, which is 1.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on from an earlier [`value`](Self::value).
    pub fn resume(value: u32) -> Self {
        Self(simd_adler32::Adler32::from_checksum(value))
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// The checksum so far.
    pub fn value(&self) -> u32 {
        self.0.finish()
    }
}

/// CRC-32 (IEEE 802.3, as gzip, PNG and GPT use it) of a buffer.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// A running CRC-32.
#[derive(Clone, Default)]
pub struct Crc32(crc32fast::Hasher);

impl Crc32 {
    /// The checksum of nothing, which is 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on from an earlier [`value`](Self::value).
    pub fn resume(value: u32) -> Self {
        Self(crc32fast::Hasher::new_with_initial(value))
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Takes in `piece` so many times; costs O(log `times`).
    pub fn repeat(&mut self, piece: &[u8], times: u64) {
        let mut step = crc32fast::Hasher::new();
        step.update(piece);
        let mut left = times;
        while left > 0 {
            if left % 2 == 1 {
                self.0.combine(&step);
            }
            left /= 2;
            if left > 0 {
                let half = step.clone();
                step.combine(&half);
            }
        }
    }

    /// The checksum so far.
    pub fn value(&self) -> u32 {
        self.0.clone().finalize()
    }
}

/// CRC-32C (Castagnoli, as iSCSI, ext4, btrfs and VHDX use it) of a buffer.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = Crc32c::new();
    crc.update(bytes);
    crc.value()
}

/// A running CRC-32C.
#[derive(Clone)]
pub struct Crc32c(u32);

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

impl Crc32c {
    /// The checksum of nothing, which is 0.
    pub fn new() -> Self {
        Self(u32::MAX)
    }

    /// Goes on from an earlier [`value`](Self::value).
    pub fn resume(value: u32) -> Self {
        Self(!value)
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("sse4.2") {
            // SAFETY: SSE4.2 was just detected.
            self.0 = unsafe { crc32c_sse42(self.0, bytes) };
            return;
        }
        self.0 = sliced(&CRC32C, u64::from(self.0), bytes) as u32;
    }

    /// The checksum so far.
    pub fn value(&self) -> u32 {
        !self.0
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn crc32c_sse42(crc: u32, bytes: &[u8]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u64};
    let (words, rest) = bytes.as_chunks();
    let crc = words.iter().fold(u64::from(crc), |crc, word| _mm_crc32_u64(crc, u64::from_le_bytes(*word)));
    rest.iter().fold(crc as u32, |crc, byte| _mm_crc32_u8(crc, *byte))
}

/// CRC-64/XZ (ECMA-182, reflected) of a buffer.
pub fn crc64(bytes: &[u8]) -> u64 {
    let mut crc = Crc64::new();
    crc.update(bytes);
    crc.value()
}

/// A running CRC-64/XZ.
#[derive(Clone)]
pub struct Crc64(u64);

impl Default for Crc64 {
    fn default() -> Self {
        Self::new()
    }
}

impl Crc64 {
    /// The checksum of nothing, which is 0.
    pub fn new() -> Self {
        Self(u64::MAX)
    }

    /// Goes on from an earlier [`value`](Self::value).
    pub fn resume(value: u64) -> Self {
        Self(!value)
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 = sliced(&CRC64, self.0, bytes);
    }

    /// The checksum so far.
    pub fn value(&self) -> u64 {
        !self.0
    }
}

/// XXH32 of a buffer with seed 0, as LZ4 frames use it.
pub fn xxh32(bytes: &[u8]) -> u32 {
    xxhash_rust::xxh32::xxh32(bytes, 0)
}

/// A running XXH32 with seed 0.
#[derive(Clone)]
pub struct Xxh32(xxhash_rust::xxh32::Xxh32);

impl Default for Xxh32 {
    fn default() -> Self {
        Self::new()
    }
}

impl Xxh32 {
    /// The checksum of nothing.
    pub fn new() -> Self {
        Self(xxhash_rust::xxh32::Xxh32::new(0))
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum so far.
    pub fn value(&self) -> u32 {
        self.0.digest()
    }
}

/// XXH64 of a buffer with seed 0, as zstd frames use it.
pub fn xxh64(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh64::xxh64(bytes, 0)
}

/// A running XXH64 with seed 0, which can be kept and gone on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xxh64 {
    lanes: [u64; 4],
    len: u64,
    /// The last bytes, fewer than a stripe.
    tail: [u8; XXH64_STRIPE],
}

const XXH64_STRIPE: usize = 32;
const XXH64_PRIMES: [u64; 5] =
    [0x9e37_79b1_85eb_ca87, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0x85eb_ca77_c2b2_ae63, 0x27d4_eb2f_1656_67c5];

impl Default for Xxh64 {
    fn default() -> Self {
        Self::new()
    }
}

impl Xxh64 {
    /// Bytes of [`state`](Self::state).
    pub const STATE: usize = 4 * 8 + 8 + XXH64_STRIPE;

    /// The checksum of nothing.
    pub fn new() -> Self {
        let [p1, p2, ..] = XXH64_PRIMES;
        Self { lanes: [p1.wrapping_add(p2), p2, 0, 0u64.wrapping_sub(p1)], len: 0, tail: [0; XXH64_STRIPE] }
    }

    /// What [`resume`](Self::resume) goes on from.
    pub fn state(&self) -> [u8; Self::STATE] {
        let mut state = [0; Self::STATE];
        for (to, number) in state.as_chunks_mut::<8>().0.iter_mut().zip(self.lanes.iter().chain([&self.len])) {
            *to = number.to_le_bytes();
        }
        state[40..].copy_from_slice(&self.tail);
        state
    }

    /// Goes on where [`state`](Self::state) was taken.
    pub fn resume(state: &[u8; Self::STATE]) -> Self {
        let mut this = Self::new();
        let numbers = this.lanes.iter_mut().chain([&mut this.len]);
        numbers.zip(state.as_chunks::<8>().0).for_each(|(number, from)| *number = u64::from_le_bytes(*from));
        this.tail.copy_from_slice(&state[40..]);
        this
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let held = (self.len % XXH64_STRIPE as u64) as usize;
        self.len = self.len.wrapping_add(bytes.len() as u64);
        if held > 0 {
            let n = bytes.len().min(XXH64_STRIPE - held);
            self.tail[held..held + n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if held + n < XXH64_STRIPE {
                return;
            }
            Self::stripes(&mut self.lanes, &[self.tail]);
        }
        let (stripes, rest) = bytes.as_chunks();
        Self::stripes(&mut self.lanes, stripes);
        self.tail[..rest.len()].copy_from_slice(rest);
    }

    fn stripes(lanes: &mut [u64; 4], stripes: &[[u8; XXH64_STRIPE]]) {
        let mut now = *lanes;
        for stripe in stripes {
            let (words, _) = stripe.as_chunks();
            for (lane, word) in now.iter_mut().zip(words) {
                *lane = Self::round(*lane, u64::from_le_bytes(*word));
            }
        }
        *lanes = now;
    }

    fn round(lane: u64, word: u64) -> u64 {
        let [p1, p2, ..] = XXH64_PRIMES;
        lane.wrapping_add(word.wrapping_mul(p2)).rotate_left(31).wrapping_mul(p1)
    }

    /// The checksum so far.
    pub fn value(&self) -> u64 {
        let [p1, p2, p3, p4, p5] = XXH64_PRIMES;
        let mut hash = if self.len >= XXH64_STRIPE as u64 {
            let mixed = self
                .lanes
                .iter()
                .zip([1, 7, 12, 18])
                .fold(0u64, |sum, (lane, turn)| sum.wrapping_add(lane.rotate_left(turn)));
            self.lanes.iter().fold(mixed, |hash, lane| (hash ^ Self::round(0, *lane)).wrapping_mul(p1).wrapping_add(p4))
        } else {
            p5
        };
        hash = hash.wrapping_add(self.len);
        let tail = &self.tail[..(self.len % XXH64_STRIPE as u64) as usize];
        let (words, rest) = tail.as_chunks();
        for word in words {
            hash ^= Self::round(0, u64::from_le_bytes(*word));
            hash = hash.rotate_left(27).wrapping_mul(p1).wrapping_add(p4);
        }
        let (halves, rest) = rest.as_chunks();
        for half in halves {
            hash ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(p1);
            hash = hash.rotate_left(23).wrapping_mul(p2).wrapping_add(p3);
        }
        for byte in rest {
            hash ^= u64::from(*byte).wrapping_mul(p5);
            hash = hash.rotate_left(11).wrapping_mul(p1);
        }
        hash = (hash ^ hash >> 33).wrapping_mul(p2);
        hash = (hash ^ hash >> 29).wrapping_mul(p3);
        hash ^ hash >> 32
    }
}

type Tables = [[u64; 256]; 8];

static CRC32C: Tables = tables(0x82f6_3b78);
static CRC64: Tables = tables(0xc96c_5795_d787_0f42);

/// Table `n` advances the remainder of a byte by `n` further zero bytes, so that eight bytes are done at once.
const fn tables(polynomial: u64) -> Tables {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ polynomial } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut n = 1;
    while n < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[n - 1][byte];
            tables[n][byte] = (before >> 8) ^ tables[0][(before & 255) as usize];
            byte += 1;
        }
        n += 1;
    }
    tables
}

fn sliced(tables: &Tables, mut crc: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let x = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
        crc = tables[7][usize::from(x[0])]
            ^ tables[6][usize::from(x[1])]
            ^ tables[5][usize::from(x[2])]
            ^ tables[4][usize::from(x[3])]
            ^ tables[3][usize::from(x[4])]
            ^ tables[2][usize::from(x[5])]
            ^ tables[1][usize::from(x[6])]
            ^ tables[0][usize::from(x[7])];
    }
    for byte in rest {
        crc = (crc >> 8) ^ tables[0][usize::from(crc as u8 ^ byte)];
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_values() {
        // The customary check input of every CRC catalogue.
        let text = b"123456789";
        assert_eq!(adler32(text), 0x091e_01de);
        assert_eq!(crc32(text), 0xcbf4_3926);
        assert_eq!(crc32c(text), 0xe306_9283);
        assert_eq!(crc64(text), 0x995d_c9bb_df19_39fa);
        assert_eq!(xxh32(text), 0x937b_ad67);
        assert_eq!(xxh64(text), 0x8cb8_41db_40e6_ae83);
    }

    #[test]
    fn splits_and_resumes_make_no_difference() {
        let data: Vec<u8> = (0..1000u32).map(|i| ((i * i) >> 3) as u8).collect();
        for cut in [0, 1, 7, 8, 9, 500, 999, 1000] {
            let (head, tail) = data.split_at(cut);
            let mut adler = Adler32::resume(adler32(head));
            adler.update(tail);
            assert_eq!(adler.value(), adler32(&data));
            let mut crc = Crc32::resume(crc32(head));
            crc.update(tail);
            assert_eq!(crc.value(), crc32(&data));
            let mut castagnoli = Crc32c::resume(crc32c(head));
            castagnoli.update(tail);
            assert_eq!(castagnoli.value(), crc32c(&data));
            let mut crc = Crc64::new();
            crc.update(head);
            crc.update(tail);
            assert_eq!(crc.value(), crc64(&data));
            let mut xxh = Xxh32::new();
            xxh.update(head);
            xxh.update(tail);
            assert_eq!(xxh.value(), xxh32(&data));
            let mut xxh = Xxh64::new();
            xxh.update(head);
            assert_eq!(xxh.value(), xxh64(head));
            let mut xxh = Xxh64::resume(&xxh.state());
            xxh.update(tail);
            assert_eq!(xxh.value(), xxh64(&data));
        }
    }

    #[test]
    fn the_table_engine_agrees_with_the_instruction() {
        let data: Vec<u8> = (0..777u32).map(|i| (i * 31) as u8).collect();
        assert_eq!(!(sliced(&CRC32C, u64::from(u32::MAX), &data) as u32), crc32c(&data));
    }
}
