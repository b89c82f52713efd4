use super::*;
use crate::deflate::{Decompressor, Progress};
use crate::inflate::{Inflater, Rules, Stop};
use proptest::prelude::*;

/// What comes back from the decoder that forgives nothing.
fn inflate(packed: &[u8], len: usize) -> Vec<u8> {
    let mut inflater = Inflater::new(Rules::STRICT);
    let mut plain = vec![0; len];
    let (mut pos, mut out) = (0, 0);
    loop {
        let run = inflater.run(&packed[pos..], &mut plain, out, 0).unwrap();
        pos += run.consumed;
        out = run.out;
        match run.stop {
            Stop::BlockEnd => {}
            Stop::End => break,
            stop => panic!("{stop:?}"),
        }
    }
    assert_eq!((pos, out), (packed.len(), len));
    plain
}

/// Encodes in both wrappings with an encoder that was used before and with a new one; both decoders have to bring it back.
fn round(used: &mut Encoder, plain: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    let len = used.encode(Wrap::Raw, plain, usize::MAX, &mut raw).unwrap();
    assert_eq!(len, raw.len());
    let whole = Progress { consumed: len, written: plain.len() };
    let mut back = vec![0; plain.len()];
    assert_eq!(Decompressor::new().raw(&raw, &mut back).unwrap(), whole);
    assert!(back == plain, "libdeflate brings back other bytes");
    assert!(inflate(&raw, plain.len()) == plain, "our decoder brings back other bytes");

    let mut again = b"x".to_vec();
    assert_eq!(Encoder::new().encode(Wrap::Raw, plain, len, &mut again), Some(len));
    assert!(again[1..] == raw, "the result depends on what was encoded before");
    assert_eq!(used.encode(Wrap::Raw, plain, len - 1, &mut again), None);
    assert_eq!(again.len(), len + 1);

    let mut zlib = Vec::new();
    assert_eq!(used.encode(Wrap::Zlib, plain, len + 6, &mut zlib), Some(len + 6));
    assert!(zlib[2..len + 2] == raw);
    assert_eq!(Decompressor::new().zlib(&zlib, &mut back).unwrap().consumed, zlib.len());
    assert_eq!(used.encode(Wrap::Zlib, plain, len + 5, &mut zlib), None);
    assert!(len <= plain.len() + 10 * plain.len().div_ceil(BLOCK).max(1));
    raw
}

fn noise(len: usize, mut seed: u64) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn small_and_uniform() {
    let mut encoder = Encoder::new();
    for len in (0..70).chain([255, 256, 258, 259, 4096, 32767, 32768, 32769, 65535, 65536, 65537, 98304, 200_001]) {
        round(&mut encoder, &vec![0; len]);
        let packed = round(&mut encoder, &vec![b'a'; len]);
        assert!(packed.len() < 20 + len / 100);
        round(&mut encoder, &noise(len, len as u64));
        round(&mut encoder, &(0..len).map(|i| i as u8).collect::<Vec<_>>());
    }
}

#[test]
fn every_length_of_match_at_near_and_far_distances() {
    let mut encoder = Encoder::new();
    for distance in [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 100, 1000, 32766, 32767, 32768, 32769] {
        for len in (3..=20).chain([31, 32, 33, 63, 64, 65, 255, 256, 257, 258, 259, 300]) {
            let mut plain = noise(distance.max(40), 9);
            for i in 0..len {
                plain.push(plain[plain.len() - distance]);
                // A copy ends where the bytes differ.
                if i == len - 1 {
                    let other = !plain[plain.len() - distance];
                    plain.push(other);
                }
            }
            plain.extend(noise(20, 10));
            round(&mut encoder, &plain);
        }
    }
}

#[test]
fn the_whole_reach_is_used_and_no_more() {
    let mut encoder = Encoder::new();
    let phrase = noise(200, 3);
    let [within, beyond] = [32768, 32769].map(|distance| {
        let mut plain = phrase.clone();
        // Nothing between repeats anything, and little of it is looked at.
        plain.extend(noise(distance - phrase.len(), 4));
        plain.extend(&phrase);
        plain.extend(noise(65536 - plain.len(), 5));
        round(&mut encoder, &plain).len()
    });
    assert!(within + 100 < beyond, "{within} {beyond}");
}

#[test]
fn a_second_block_refers_to_the_first() {
    let mut plain = noise(BLOCK, 3);
    plain.extend_from_within(BLOCK - 20_000..);
    let packed = round(&mut Encoder::new(), &plain);
    assert!(packed.len() < BLOCK + 1000, "{}", packed.len());
}

#[test]
fn frequencies_that_want_words_longer_than_allowed() {
    let mut plain = Vec::new();
    let (mut a, mut b) = (1_usize, 1);
    for symbol in 0..23_u8 {
        plain.extend(std::iter::repeat_n(symbol * 7, a));
        (a, b) = (b, a + b);
    }
    // Runs would be matches: mixed, but always in the same way.
    let order = noise(plain.len(), 77);
    for i in 0..plain.len() {
        let other = (usize::from(order[i]) << 8 | usize::from(order[(i * 7 + 1) % order.len()])) % plain.len();
        plain.swap(i, other);
    }
    let mut encoder = Encoder::new();
    for cut in [30_000, 60_000, plain.len()] {
        round(&mut encoder, &plain[..cut.min(plain.len())]);
    }
}

#[test]
fn codes_are_complete_and_kept_within_their_limit() {
    let mut fibonacci = [0; 30];
    (fibonacci[0], fibonacci[1]) = (1, 1);
    for i in 2..24 {
        fibonacci[i] = fibonacci[i - 1] + fibonacci[i - 2];
    }
    for limit in [5, 7, 10, 15] {
        let lengths = codes::lengths(&fibonacci, limit);
        assert_complete(&lengths, limit);
        assert!(lengths.iter().zip(&fibonacci).all(|(len, n)| (*len == 0) == (*n == 0)));
    }
    // None, or only one, gets company: a code of one word is not read by all decoders.
    for only in [None, Some(0), Some(1), Some(29)] {
        let mut frequencies = [0; 30];
        if let Some(only) = only {
            frequencies[only] = 5;
        }
        let lengths = codes::lengths(&frequencies, 15);
        assert_eq!(lengths.iter().filter(|len| **len == 1).count(), 2);
        assert!(only.is_none_or(|only| lengths[only] == 1));
        assert_complete(&lengths, 15);
    }
}

fn assert_complete(lengths: &[u8], limit: usize) {
    assert!(lengths.iter().all(|len| usize::from(*len) <= limit));
    let used: u32 = lengths.iter().filter(|len| **len > 0).map(|len| 1 << (limit - usize::from(*len))).sum();
    assert_eq!(used, 1 << limit);
}

proptest! {
    #[test]
    fn codes_are_as_short_as_huffmans(frequencies in prop::array::uniform30(prop_oneof![Just(0_u32), 1..50_u32, 1..70_000_u32])) {
        let lengths = codes::lengths(&frequencies, 15);
        assert_complete(&lengths, 15);
        let used = frequencies.iter().filter(|n| **n > 0).count();
        if used > 1 && lengths.iter().all(|len| *len < 15) {
            // The cost of an optimal code is the sum of all sums made by joining the two smallest.
            let mut left: Vec<u32> = frequencies.iter().copied().filter(|n| *n > 0).collect();
            let mut least = 0;
            while left.len() > 1 {
                left.sort_unstable_by(|a, b| b.cmp(a));
                let sum = left.pop().unwrap() + left.pop().unwrap();
                least += sum;
                left.push(sum);
            }
            let cost: u32 = frequencies.iter().zip(&lengths).map(|(n, len)| n * u32::from(*len)).sum();
            prop_assert_eq!(cost, least);
        }
    }

    #[test]
    fn any_bytes_come_back(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 1..5)) {
        let mut encoder = Encoder::new();
        for piece in &pieces {
            round(&mut encoder, piece);
        }
        round(&mut encoder, &pieces.concat());
    }

    #[test]
    fn what_repeats_comes_back(orders in prop::collection::vec(order(), 1..60), cut in 1..100_000_usize) {
        let mut plain = Vec::new();
        for order in orders {
            match order {
                Order::Noise(len, seed) => plain.extend(noise(len, seed)),
                Order::Letters(len, seed) => plain.extend(noise(len, seed).iter().map(|b| b"etaoin shrdlu,.\n"[usize::from(b >> 4)])),
                Order::Run(byte, len) => plain.extend(std::iter::repeat_n(byte, len)),
                Order::Copy(distance, len) => for _ in 0..len {
                    plain.push(plain.len().checked_sub(distance).map_or(0, |from| plain[from]));
                }
            }
        }
        let mut encoder = Encoder::new();
        round(&mut encoder, &plain);
        for chunk in plain.chunks(cut).take(4) {
            round(&mut encoder, chunk);
        }
    }
}

#[derive(Clone, Debug)]
enum Order {
    Noise(usize, u64),
    Letters(usize, u64),
    Run(u8, usize),
    Copy(usize, usize),
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        (0..3000_usize, any::<u64>()).prop_map(|(len, seed)| Order::Noise(len, seed)),
        (0..6000_usize, any::<u64>()).prop_map(|(len, seed)| Order::Letters(len, seed)),
        (any::<u8>(), 0..2000_usize).prop_map(|(byte, len)| Order::Run(byte, len)),
        (prop_oneof![1..40_usize, 1..32_770_usize, 32_760..32_775_usize], 3..600_usize)
            .prop_map(|(distance, len)| Order::Copy(distance, len)),
    ]
}

/// Decodes with a decoder that loses everything more than 4 KiB back.
fn inflate_near(packed: &[u8], len: usize) -> Vec<u8> {
    let mut inflater = Inflater::new(Rules::STRICT);
    let mut held = vec![0; len];
    let mut plain = vec![0; len];
    let (mut pos, mut out, mut room) = (0, 0, 0);
    loop {
        let run = inflater.run(&packed[pos..], &mut held[..room], out, 0).unwrap();
        plain[out..run.out].copy_from_slice(&held[out..run.out]);
        pos += run.consumed;
        out = run.out;
        held[..out.saturating_sub(4096)].fill(0xEE);
        match run.stop {
            Stop::BlockEnd => {}
            Stop::Output => room = (room + 100).min(len),
            Stop::End => break,
            stop => panic!("{stop:?}"),
        }
    }
    assert_eq!((pos, out), (packed.len(), len));
    plain
}

#[test]
fn near_streams_need_no_more_than_4_kib() {
    let far: Vec<u8> = noise(6000, 3).repeat(30);
    let text: Vec<u8> = (0..60_000u32).flat_map(|i| format!("{:x},", i.wrapping_mul(i)).into_bytes()).collect();
    let mut near = noise(4096, 5).repeat(3);
    near.extend_from_slice(&[7; 5000]);
    let samples =
        [vec![], vec![1], vec![9; 3], vec![0; 300_000], far, text, near, noise(200_000, 9), noise(4095, 2).repeat(9)];
    for level in [1, 2, 3, 4, 5, 6, 7, 8, 9, 12] {
        let mut encoder = Encoder::near(Effort::of(level));
        for plain in &samples {
            let mut packed = Vec::new();
            let len = encoder.encode(Wrap::Raw, plain, usize::MAX, &mut packed).unwrap();
            assert!(inflate_near(&packed, plain.len()) == *plain, "level {level}, {} bytes", plain.len());
            let mut again = Vec::new();
            Encoder::near(Effort::of(level)).encode(Wrap::Raw, plain, usize::MAX, &mut again);
            assert!(packed == again, "the result depends on what was encoded before");
            assert_eq!(encoder.encode(Wrap::Raw, plain, len - 1, &mut again), None);
        }
        // What lies 4096 bytes back is within reach, what lies 6000 back is not.
        let mut packed = Vec::new();
        let len = encoder.encode(Wrap::Raw, &samples[6], usize::MAX, &mut packed).unwrap();
        assert!(len < 4096 + 700, "level {level}: {len}");
    }
}

proptest! {
    #[test]
    fn near_brings_back_anything(words in proptest::collection::vec((0u8..6, 0usize..400), 0..400), level in 1u8..10) {
        let mut plain = Vec::new();
        for (what, len) in words {
            match what {
                0 => plain.extend(noise(len, len as u64)),
                1 => plain.extend(std::iter::repeat_n(len as u8, len)),
                _ => {
                    let from = (len * 37) % (plain.len() + 1);
                    let to = plain.len().min(from + len);
                    plain.extend_from_within(from..to);
                }
            }
        }
        let mut packed = Vec::new();
        Encoder::near(Effort::of(level)).encode(Wrap::Raw, &plain, usize::MAX, &mut packed).unwrap();
        prop_assert!(inflate_near(&packed, plain.len()) == plain);
    }
}
