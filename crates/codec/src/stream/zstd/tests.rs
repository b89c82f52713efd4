use super::super::{Decoder, Kind, Memory, Window, open, resume};
use super::*;
use crate::zstd::{Decompressor, error};
use proptest::prelude::*;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

const LIMITS: Limits = Limits { memory: 2 << 30 };

fn encode(plain: &[u8], parameters: &[CParameter]) -> Vec<u8> {
    let mut context = CCtx::create();
    for parameter in parameters {
        context.set_parameter(*parameter).map_err(error).unwrap();
    }
    let mut out = vec![0; zstd_safe::compress_bound(plain.len()) * 2 + 1000];
    let mut dst = OutBuffer::around(&mut out[..]);
    for part in plain.chunks(100_000) {
        let mut src = InBuffer::around(part);
        while src.pos() < part.len() {
            context.compress_stream(&mut dst, &mut src).map_err(error).unwrap();
        }
    }
    assert_eq!(context.end_stream(&mut dst).map_err(error).unwrap(), 0);
    let len = dst.pos();
    out.truncate(len);
    out
}

fn drain(decoder: &mut dyn Decoder, places: &mut Vec<Checkpoint>) -> (Vec<u8>, Result<()>) {
    let (mut out, mut buf) = (Vec::new(), vec![0; 70_001]);
    loop {
        match decoder.read(&mut buf) {
            Ok(0) => return (out, Ok(())),
            Ok(n) => out.extend_from_slice(&buf[..n]),
            Err(e) => return (out, Err(e)),
        }
        places.extend(decoder.checkpoint());
    }
}

fn decode(file: &[u8]) -> (Vec<u8>, Result<()>) {
    drain(&mut *open(Kind::Zstd, Box::new(Memory(file.to_vec())), LIMITS).unwrap(), &mut Vec::new())
}

/// Decodes a file, and again from every place that is at least `spacing` from the one before; returns how many there were.
fn check(file: &[u8], plain: &[u8], spacing: u64) -> usize {
    let opened = || Box::new(Memory(file.to_vec()));
    let mut decoder = open(Kind::Zstd, opened(), LIMITS).unwrap();
    decoder.set_spacing(spacing);
    let mut places = Vec::new();
    let (got, end) = drain(&mut *decoder, &mut places);
    assert!(end.is_ok(), "{end:?} after {}", got.len());
    assert!(got == plain, "other bytes");
    for place in &places {
        assert!(place.extra.len() <= Checkpoint::MOST_EXTRA);
        let mut decoder = resume(Kind::Zstd, opened(), LIMITS, place).unwrap();
        let (got, end) = drain(&mut *decoder, &mut Vec::new());
        assert!(end.is_ok(), "{end:?} from {}", place.out_offset);
        assert!(got == plain[place.out_offset as usize..], "other bytes from {}", place.out_offset);
    }
    places.len()
}

fn noise(len: usize, mut x: u64) -> Vec<u8> {
    let mut next = || {
        x = x.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (x >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Parts of several kinds: zeros, noise, words, numbers, short periods, and what was there before.
fn content(parts: &[(u8, usize, u64)]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    for (kind, len, seed) in parts {
        let (len, seed) = (*len, *seed);
        match kind % 7 {
            0 => out.resize(out.len() + len, seed as u8),
            1 => out.extend(noise(len, seed)),
            2 => out.extend((seed..).flat_map(|i| format!("{:x} ", i * i % 4099).into_bytes()).take(len)),
            3 => out.extend((0..len).map(|i| ((i as u64 * seed) >> 5) as u8 & 15)),
            4 => {
                let period = noise(1 + seed as usize % 40, seed);
                out.extend(period.iter().cycle().take(len));
            }
            _ => {
                let back = (1 + seed as usize % 200_000).min(out.len());
                let from = out.len() - back;
                out.extend_from_within(from..from + len.min(back));
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn whatever_libzstd_writes_is_read_from_every_place(
        parts in prop::collection::vec((any::<u8>(), 1..120_000_usize, 0..1_000_000_u64), 0..12),
        level in prop_oneof![-5..=-1_i32, 1..=22_i32],
        window in prop_oneof![Just(None), (10..=18_u32).prop_map(Some)],
        checksum: bool,
        small_blocks: bool,
        long: bool,
        spacing in 1..300_000_u64,
    ) {
        let plain = content(&parts);
        let mut parameters = vec![CParameter::CompressionLevel(level), CParameter::ChecksumFlag(checksum)];
        parameters.extend(window.map(CParameter::WindowLog));
        if small_blocks {
            parameters.push(CParameter::TargetCBlockSize(1340));
        }
        if long {
            parameters.push(CParameter::EnableLongDistanceMatching(true));
        }
        check(&encode(&plain, &parameters), &plain, spacing);
        let mut whole = Vec::new();
        let kind = if checksum { crate::zstd::Checksum::Written } else { crate::zstd::Checksum::Omitted };
        crate::zstd::Compressor::new(level, kind).unwrap().frame(&plain, &mut whole).unwrap();
        check(&whole, &plain, spacing);
    }
}

#[test]
fn a_frame_has_places_inside() {
    let plain = content(&[(2, 700_000, 9), (1, 300_000, 5), (5, 150_000, 170_000), (0, 300_000, 0)]);
    for level in [1, 3, 19, 22] {
        let file = encode(&plain, &[CParameter::CompressionLevel(level), CParameter::ChecksumFlag(true)]);
        assert!(check(&file, &plain, 0) >= 10, "{level}");
    }
}

/// A frame that states its window by one byte and holds `blocks`, without checksum.
fn frame(window: u8, blocks: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window];
    for (i, block) in blocks.iter().enumerate() {
        let header = (block.len() as u32) << 3 | u32::from(i + 1 == blocks.len());
        out.extend(&header.to_le_bytes()[..3]);
        out.extend_from_slice(block);
    }
    out
}

#[test]
fn a_window_takes_memory_only_as_content_fills_it() {
    // 1.625 GiB.
    let stated = 20 << 3 | 5;
    let block = noise(100_000, 3);
    for count in [1, 2, 60] {
        let file = frame(stated, &vec![&block[..]; count]);
        let mut stage = Zstd::new(Feed::new(Box::new(Memory(file)), 0), LIMITS);
        let mut len = 0;
        while stage.advance().unwrap() {
            len += stage.piece().len();
            assert!(stage.history.reserved() <= len + len / 4 + 2 * BLOCK, "{} for {len}", stage.history.reserved());
        }
        assert_eq!(len, count * block.len());
    }
    // A frame with another window gives back what it does not need.
    let file = [frame(stated, &[&block[..]; 60]), frame(0, &[b"x"])].concat();
    let mut stage = Zstd::new(Feed::new(Box::new(Memory(file)), 0), LIMITS);
    while stage.advance().unwrap() {}
    assert!(stage.history.reserved() < 3 * BLOCK);
}

#[test]
fn windows_beyond_the_limit_are_refused_by_name() {
    let (got, end) = decode(&frame(21 << 3, &[b"two gibibytes"]));
    assert!(end.is_ok() && got == b"two gibibytes");
    for window in [21 << 3 | 1, 31 << 3 | 7] {
        let (_, end) = decode(&frame(window, &[b"more"]));
        assert!(matches!(&end, Err(Error::TooLarge(text)) if text.contains("window of")), "{end:?}");
    }
    // One segment of 3 GiB.
    let header = [0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 1, 0, 0];
    assert!(matches!(decode(&header).1, Err(Error::TooLarge(_))));
}

#[test]
fn dictionaries_are_refused_by_name() {
    let (_, end) = decode(&[0x28, 0xb5, 0x2f, 0xfd, 1, 0, 7, 1, 0, 0]);
    assert!(matches!(&end, Err(Error::Unsupported(text)) if text.contains("dictionary")), "{end:?}");
}

#[test]
fn a_flipped_bit_is_found_or_does_no_harm() {
    let plain = content(&[(2, 9000, 9), (1, 700, 5), (5, 4000, 3000), (4, 2000, 7), (3, 5000, 77)]);
    for level in [1, 19] {
        let file = encode(&plain, &[CParameter::CompressionLevel(level), CParameter::ChecksumFlag(true)]);
        for bit in 0..file.len() * 8 {
            let mut file = file.clone();
            file[bit / 8] ^= 1 << (bit % 8);
            let (got, end) = decode(&file);
            // A bit of the header may say that there is no checksum, and then the last four bytes are something that follows.
            assert!(end.is_err() || got == plain, "bit {bit} at level {level}");
        }
    }
}

/// Without a checksum much is possible, but not that the two decoders give different bytes.
#[test]
fn damage_is_read_as_libzstd_reads_it() {
    let plain = content(&[(2, 9000, 9), (1, 700, 5), (5, 4000, 3000), (4, 2000, 7), (3, 5000, 77)]);
    let file = encode(&plain, &[CParameter::CompressionLevel(5), CParameter::TargetCBlockSize(1340)]);
    let (mut theirs, mut both) = (vec![0; 1 << 20], 0);
    for i in 0..20_000_usize {
        let mut file = file.clone();
        let bit = i * 7919 % (file.len() * 8);
        file[bit / 8] ^= 1 << (bit % 8);
        let (got, end) = decode(&file);
        if end.is_ok() {
            let n = Decompressor::new().unwrap().frame(&file, &mut theirs);
            assert!(n.is_ok_and(|n| got == theirs[..n]), "bit {bit}");
            both += 1;
        }
    }
    assert!(both > 10);
}

#[test]
fn cuts_are_found() {
    let plain = content(&[(2, 9000, 9), (1, 700, 5), (0, 300_000, 0)]);
    let file = encode(&plain, &[CParameter::ChecksumFlag(true)]);
    for cut in 0..file.len() {
        let (_, end) = decode(&file[..cut]);
        assert!(matches!(end, Err(Error::Truncated)) || (cut < 4 && end.is_err()), "{cut}");
    }
}

#[test]
fn frames_follow_each_other() {
    let (a, b) = (content(&[(2, 300_000, 9)]), content(&[(3, 200_000, 77), (1, 1000, 1)]));
    let skippable = [&[0x55, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"any"].concat();
    let parameters = [CParameter::ChecksumFlag(true), CParameter::WindowLog(12)];
    let empty = encode(&[], &parameters);
    let file = [&skippable[..], &encode(&a, &[]), &empty, &skippable, &encode(&b, &parameters), &skippable].concat();
    assert!(check(&file, &[a, b].concat(), 1000) >= 5);
    let (_, end) = decode(&[&file[..], b"foreign"].concat());
    assert!(matches!(end, Err(Error::Trailing { offset }) if offset == file.len() as u64));
}

#[test]
fn hostile_checkpoints_do_no_harm() {
    let plain = content(&[(2, 200_000, 9), (1, 700, 5), (3, 50_000, 77)]);
    let file = encode(&plain, &[CParameter::ChecksumFlag(true)]);
    let mut decoder = open(Kind::Zstd, Box::new(Memory(file.clone())), LIMITS).unwrap();
    decoder.set_spacing(1);
    let mut places = Vec::new();
    drain(&mut *decoder, &mut places).1.unwrap();
    let place = places.iter().max_by_key(|p| p.extra.len()).unwrap();
    let go_on = |place: &Checkpoint| -> Result<Vec<u8>> {
        let mut decoder = resume(Kind::Zstd, Box::new(Memory(file.clone())), LIMITS, place)?;
        let (got, end) = drain(&mut *decoder, &mut Vec::new());
        end.map(|()| got)
    };
    let right = go_on(place).unwrap();
    for i in 0..place.extra.len() * 8 {
        let mut place = place.clone();
        place.extra[i / 8] ^= 1 << (i % 8);
        // The checksum finds it, unless it is the bits of it that count for nothing or the word that says there is one.
        let got = go_on(&place);
        assert!(got.is_err() || got.is_ok_and(|got| got.len() == right.len()), "bit {i}");
        place.extra.truncate(i / 8);
        assert!(go_on(&place).is_err());
    }
    let other = Checkpoint { window: Window::pack(&plain[..100], &[]).unwrap(), ..place.clone() };
    assert!(go_on(&other).is_err());
    let mut packed = place.window.packed().to_vec();
    packed.truncate(packed.len() - 5);
    let window = Window::from_packed(place.window.len() as u32, packed).unwrap();
    assert!(go_on(&Checkpoint { window, ..place.clone() }).is_err());
}

#[test]
fn windows_that_take_too_much_are_none() {
    let noise = noise(Window::LONGEST + (1 << 20), 1);
    assert!(Window::pack(&noise, &[]).is_none());
    let window = Window::pack(&noise[..5000], &vec![0; 20 << 20]).unwrap();
    assert!(window.packed().len() < 20_000);
    let mut out = vec![1; window.len()];
    window.unpack(&mut out).unwrap();
    assert!(out[..5000] == noise[..5000] && out[5000..].iter().all(|b| *b == 0));
    assert!(Window::pack(&vec![0; Window::LARGEST], &[0]).is_none());
    assert!(Window::pack(&[], &[]).is_some_and(|w| w.is_empty()));
}
