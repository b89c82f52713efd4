//! MD5 (RFC 1321), written for the shortest chain of dependent operations.
//!
//! MD5 is strictly serial, so its speed is the latency of 64 steps and nothing else. Per step, what does not depend on the newest
//! register is computed ahead, leaving four or five single-cycle operations on the chain. With AVX-512VL every round function is one
//! operation and the chain is four everywhere; but some processors (Zen 5) take two cycles for each of them, so the two engines race
//! once.

use std::sync::OnceLock;

type State = [u32; 4];
type Compress = fn(&mut State, &[[u8; 64]]);

/// A running MD5.
#[derive(Clone)]
pub(super) struct Md5 {
    state: State,
    pending: [u8; 64],
    len: u64,
}

impl Md5 {
    pub(super) fn new() -> Self {
        Self { state: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476], pending: [0; 64], len: 0 }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        let filled = (self.len % 64) as usize;
        // RFC 1321 counts the length modulo 2^64 bits.
        self.len = self.len.wrapping_add(bytes.len() as u64);
        if filled > 0 {
            let taken = bytes.len().min(64 - filled);
            self.pending[filled..filled + taken].copy_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if filled + taken < 64 {
                return;
            }
            compress()(&mut self.state, &[self.pending]);
        }
        let (blocks, rest) = bytes.as_chunks();
        if !blocks.is_empty() {
            compress()(&mut self.state, blocks);
        }
        self.pending[..rest.len()].copy_from_slice(rest);
    }

    pub(super) fn finish(mut self) -> [u8; 16] {
        let bits = self.len.wrapping_mul(8);
        let filled = (self.len % 64) as usize;
        let padding = if filled < 56 { 56 - filled } else { 120 - filled };
        let mut tail = [0; 72];
        tail[0] = 0x80;
        tail[padding..padding + 8].copy_from_slice(&bits.to_le_bytes());
        self.update(&tail[..padding + 8]);
        let mut out = [0; 16];
        for (bytes, word) in out.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        out
    }
}

fn compress() -> Compress {
    static CHOSEN: OnceLock<Compress> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && race(avx512::compress_checked) < race(compress_portable)
        {
            return avx512::compress_checked;
        }
        compress_portable
    })
}

/// The time an engine takes for a few kilobytes, about ten microseconds; the best of some runs, as others may be using the processor.
#[cfg(target_arch = "x86_64")]
fn race(compress: Compress) -> std::time::Duration {
    let blocks = [[0x5a; 64]; 128];
    let run = || {
        let started = std::time::Instant::now();
        let mut state = [1, 2, 3, 4];
        compress(&mut state, std::hint::black_box(&blocks));
        std::hint::black_box(state);
        started.elapsed()
    };
    (0..6).map(|_| run()).min().unwrap_or_default()
}

#[cfg(target_arch = "x86_64")]
macro_rules! settle {
    ($sum:ident) => {
        std::arch::asm!("/* {0:e} */", inout(reg) $sum, options(pure, nomem, nostack, preserves_flags))
    };
}

#[cfg(target_arch = "aarch64")]
macro_rules! settle {
    ($sum:ident) => {
        std::arch::asm!("/* {0:w} */", inout(reg) $sum, options(pure, nomem, nostack, preserves_flags))
    };
}

/// Hides from the compiler how a sum came about; left alone it regroups the additions and puts more of them on the chain.
#[inline(always)]
fn settled(sum: u32) -> u32 {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        let mut sum = sum;
        // SAFETY: there is no instruction in it, only a register that is read and written.
        unsafe { settle!(sum) };
        sum
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    sum
}

const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// floor(2^32 * |sin(i + 1)|)
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

/// Runs `$step!(round, index, word, a, b, c, d)` for all 64 steps, unrolled, with the registers rotated by name.
macro_rules! all_steps {
    ($step:ident, $a:ident, $b:ident, $c:ident, $d:ident) => {
        all_steps!(@four $step, 0, $a $b $c $d, [0, 0], [1, 1], [2, 2], [3, 3]);
        all_steps!(@four $step, 0, $a $b $c $d, [4, 4], [5, 5], [6, 6], [7, 7]);
        all_steps!(@four $step, 0, $a $b $c $d, [8, 8], [9, 9], [10, 10], [11, 11]);
        all_steps!(@four $step, 0, $a $b $c $d, [12, 12], [13, 13], [14, 14], [15, 15]);
        all_steps!(@four $step, 1, $a $b $c $d, [16, 1], [17, 6], [18, 11], [19, 0]);
        all_steps!(@four $step, 1, $a $b $c $d, [20, 5], [21, 10], [22, 15], [23, 4]);
        all_steps!(@four $step, 1, $a $b $c $d, [24, 9], [25, 14], [26, 3], [27, 8]);
        all_steps!(@four $step, 1, $a $b $c $d, [28, 13], [29, 2], [30, 7], [31, 12]);
        all_steps!(@four $step, 2, $a $b $c $d, [32, 5], [33, 8], [34, 11], [35, 14]);
        all_steps!(@four $step, 2, $a $b $c $d, [36, 1], [37, 4], [38, 7], [39, 10]);
        all_steps!(@four $step, 2, $a $b $c $d, [40, 13], [41, 0], [42, 3], [43, 6]);
        all_steps!(@four $step, 2, $a $b $c $d, [44, 9], [45, 12], [46, 15], [47, 2]);
        all_steps!(@four $step, 3, $a $b $c $d, [48, 0], [49, 7], [50, 14], [51, 5]);
        all_steps!(@four $step, 3, $a $b $c $d, [52, 12], [53, 3], [54, 10], [55, 1]);
        all_steps!(@four $step, 3, $a $b $c $d, [56, 8], [57, 15], [58, 6], [59, 13]);
        all_steps!(@four $step, 3, $a $b $c $d, [60, 4], [61, 11], [62, 2], [63, 9]);
    };
    (@four $step:ident, $round:tt, $a:ident $b:ident $c:ident $d:ident,
     [$i0:literal, $w0:literal], [$i1:literal, $w1:literal], [$i2:literal, $w2:literal], [$i3:literal, $w3:literal]) => {
        $step!($round, 0, $i0, $w0, $a, $b, $c, $d);
        $step!($round, 1, $i1, $w1, $d, $a, $b, $c);
        $step!($round, 2, $i2, $w2, $c, $d, $a, $b);
        $step!($round, 3, $i3, $w3, $b, $c, $d, $a);
    };
}

fn compress_portable(state: &mut State, blocks: &[[u8; 64]]) {
    let [mut a, mut b, mut c, mut d] = *state;
    for block in blocks {
        let (words, _) = block.as_chunks::<4>();
        let before = [a, b, c, d];
        macro_rules! step {
            ($round:tt, $column:literal, $i:literal, $w:literal, $a:ident, $b:ident, $c:ident, $d:ident) => {
                let ahead = settled($a.wrapping_add(SINES[$i]).wrapping_add(u32::from_le_bytes(words[$w])));
                let sum = step!(@mix $round, ahead, $b, $c, $d);
                $a = sum.rotate_left(SHIFTS[$round][$column]).wrapping_add($b);
            };
            (@mix 0, $ahead:ident, $b:ident, $c:ident, $d:ident) => {
                $ahead.wrapping_add((($c ^ $d) & $b) ^ $d)
            };
            // The two halves have no common bits, so adding them one by one is or-ing them; only the last waits for b.
            (@mix 1, $ahead:ident, $b:ident, $c:ident, $d:ident) => {
                settled($ahead.wrapping_add($c & !$d)).wrapping_add($b & $d)
            };
            (@mix 2, $ahead:ident, $b:ident, $c:ident, $d:ident) => {
                $ahead.wrapping_add(($c ^ $d) ^ $b)
            };
            (@mix 3, $ahead:ident, $b:ident, $c:ident, $d:ident) => {
                $ahead.wrapping_add($c ^ ($b | !$d))
            };
        }
        all_steps!(step, a, b, c, d);
        a = a.wrapping_add(before[0]);
        b = b.wrapping_add(before[1]);
        c = c.wrapping_add(before[2]);
        d = d.wrapping_add(before[3]);
    }
    *state = [a, b, c, d];
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{SHIFTS, SINES, State};
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_cvtsi32_si128, _mm_cvtsi128_si32, _mm_rol_epi32, _mm_ternarylogic_epi32,
    };

    // Truth tables of the four round functions over (b, c, d), b being the highest bit of the index.
    const MIX: [i32; 4] = [0xca, 0xe4, 0x96, 0x39];

    pub(super) fn compress_checked(state: &mut State, blocks: &[[u8; 64]]) {
        // SAFETY: this function is only chosen after AVX-512F and AVX-512VL were detected.
        unsafe { compress(state, blocks) }
    }

    #[target_feature(enable = "avx512f,avx512vl")]
    fn compress(state: &mut State, blocks: &[[u8; 64]]) {
        let [mut a, mut b, mut c, mut d] = state.map(|word| _mm_cvtsi32_si128(word as i32));
        for block in blocks {
            let (words, _) = block.as_chunks::<4>();
            let before = [a, b, c, d];
            macro_rules! step {
                ($round:tt, $column:literal, $i:literal, $w:literal, $a:ident, $b:ident, $c:ident, $d:ident) => {
                    let word = u32::from_le_bytes(words[$w]).wrapping_add(SINES[$i]);
                    let ahead = _mm_add_epi32($a, _mm_cvtsi32_si128(word as i32));
                    let mixed: __m128i = _mm_ternarylogic_epi32::<{ MIX[$round] }>($b, $c, $d);
                    let sum = _mm_add_epi32(ahead, mixed);
                    $a = _mm_add_epi32(_mm_rol_epi32::<{ SHIFTS[$round][$column] as i32 }>(sum), $b);
                };
            }
            all_steps!(step, a, b, c, d);
            a = _mm_add_epi32(a, before[0]);
            b = _mm_add_epi32(b, before[1]);
            c = _mm_add_epi32(c, before[2]);
            d = _mm_add_epi32(d, before[3]);
        }
        *state = [a, b, c, d].map(|lane| _mm_cvtsi128_si32(lane) as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use md5::Digest as _;

    fn by_hand(compress: Compress, blocks: &[[u8; 64]]) -> State {
        let mut state = Md5::new().state;
        compress(&mut state, blocks);
        state
    }

    #[test]
    fn all_engines_agree() {
        let data: Vec<u8> = (0..64 * 37u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let (blocks, _) = data.as_chunks();
        assert_eq!(by_hand(compress_portable, blocks), by_hand(compress(), blocks));
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
            assert_eq!(by_hand(compress_portable, blocks), by_hand(avx512::compress_checked, blocks));
        }
    }

    #[test]
    fn agrees_with_the_md5_crate_however_split() {
        let data: Vec<u8> = (0..5000u32).map(|i| (i.wrapping_mul(2_246_822_519) >> 11) as u8).collect();
        for len in (0..300).chain([511, 512, 513, 4095, 5000]) {
            let want: [u8; 16] = md5::Md5::digest(&data[..len]).into();
            for step in [1, 3, 55, 56, 63, 64, 65, 127, 1000, 5000] {
                let mut ours = Md5::new();
                data[..len].chunks(step).for_each(|part| ours.update(part));
                assert_eq!(ours.finish(), want, "len {len} step {step}");
            }
        }
    }
}
