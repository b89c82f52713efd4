use super::alone::Alone;
use super::lzma2::Lzma2;
use super::*;
use liblzma::stream::{Action, Filters, LzmaOptions, MatchFinder, Mode, Status, Stream};

/// Runs liblzma over all of `src`; `None` if it fails.
fn theirs(mut stream: Stream, src: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        out.reserve(1 << 20);
        let at = stream.total_in() as usize;
        let before = stream.total_out();
        match stream.process_vec(&src[at..], &mut out, Action::Finish).ok()? {
            Status::StreamEnd => return Some(out),
            _ if stream.total_in() as usize == at && stream.total_out() == before => return None,
            _ => {}
        }
    }
}

fn lzma2_filters(options: &LzmaOptions) -> Filters {
    let mut filters = Filters::new();
    filters.lzma2(options);
    filters
}

fn lzma2(plain: &[u8], options: &LzmaOptions) -> Vec<u8> {
    theirs(Stream::new_raw_encoder(&lzma2_filters(options)).unwrap(), plain).unwrap()
}

fn alone(plain: &[u8], options: &LzmaOptions) -> Vec<u8> {
    theirs(Stream::new_lzma_encoder(options).unwrap(), plain).unwrap()
}

/// Ours over all of `src`, in steps of at most `most`.
fn ours2(mut decoder: Lzma2, src: &[u8], most: usize) -> Result<Vec<u8>> {
    let (mut out, mut at) = (Vec::new(), 0);
    loop {
        let step = decoder.step(&src[at..], most)?;
        at += step.consumed;
        out.extend_from_slice(decoder.tail(step.written));
        if step.ended {
            return Ok(out);
        }
        assert!(step.consumed + step.written > 0, "stands still at {at}");
    }
}

fn ours1(mut decoder: Alone, src: &[u8], piece: usize, most: usize) -> Result<Vec<u8>> {
    let (mut out, mut at) = (Vec::new(), 0);
    let mut offered = piece.min(src.len());
    loop {
        let rest = if offered == src.len() { Rest::Ended } else { Rest::Follows };
        let step = decoder.step(&src[at..offered], most, rest)?;
        at += step.consumed;
        out.extend_from_slice(decoder.tail(step.written));
        if step.ended {
            return Ok(out);
        }
        if step.consumed + step.written == 0 {
            assert!(rest == Rest::Follows, "stands still at {at}");
            offered = (offered + piece).min(src.len());
        }
    }
}

fn ours_alone(file: &[u8], piece: usize, most: usize) -> Result<Vec<u8>> {
    let (header, rest) = file.split_first_chunk().ok_or(Error::Truncated)?;
    ours1(Alone::new(header, MEMORY)?, rest, piece, most)
}

const MEMORY: u64 = 64 << 20;

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut x = seed | 1;
    std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 24) as u8
    })
    .take(len)
    .collect()
}

fn text(len: usize) -> Vec<u8> {
    (0u64..)
        .flat_map(|i| format!("line {} of {:x};\n", i * i % 7919, i.wrapping_mul(77_777) >> 3).into_bytes())
        .take(len)
        .collect()
}

/// All that disks are made of, in turns.
fn mixed(len: usize) -> Vec<u8> {
    let part = len / 8;
    let mut out = text(part);
    out.extend(noise(part / 2, 5));
    out.resize(out.len() + part, 0);
    out.extend(text(part * 2));
    out.extend(noise(part, 9));
    out.extend((0..part as u32).flat_map(|i| (i / 3).to_le_bytes()).take(part));
    out.resize(len, 7);
    out
}

fn preset(level: u32, change: impl FnOnce(&mut LzmaOptions)) -> LzmaOptions {
    let mut options = LzmaOptions::new_preset(level).unwrap();
    options.dict_size(1 << 16);
    change(&mut options);
    options
}

fn options() -> Vec<LzmaOptions> {
    vec![
        preset(0, |_| {}),
        preset(6, |_| {}),
        preset(9, |o| {
            o.dict_size(4096);
        }),
        preset(1, |o| {
            o.literal_context_bits(0).literal_position_bits(4).position_bits(0);
        }),
        preset(1, |o| {
            o.literal_context_bits(4).literal_position_bits(0).position_bits(4);
        }),
        preset(1, |o| {
            o.literal_context_bits(1).literal_position_bits(3).position_bits(1).dict_size(3 << 15);
        }),
        preset(3, |o| {
            o.mode(Mode::Fast).nice_len(273).match_finder(MatchFinder::HashChain4);
        }),
        preset(3, |o| {
            o.mode(Mode::Normal).nice_len(8).match_finder(MatchFinder::BinaryTree2).dict_size(1 << 20);
        }),
    ]
}

#[test]
fn what_liblzma_writes_is_read() {
    for (i, options) in options().iter().enumerate() {
        for plain in [Vec::new(), vec![9], vec![0; 3_000_000], noise(200_000, 1), text(300_000), mixed(1_200_000)] {
            let packed = lzma2(&plain, options);
            for most in [usize::MAX, 128 << 10, 999] {
                let got = ours2(Lzma2::new(1 << 20, MEMORY), &packed, most).unwrap();
                assert!(got == plain, "{i}: {} bytes in steps of {most}", plain.len());
            }
            let mut file = alone(&plain, options);
            assert!(ours_alone(&file, 4096, 50_000).unwrap() == plain, "{i}: {} bytes alone", plain.len());
            file[5..13].copy_from_slice(&(plain.len() as u64).to_le_bytes());
            assert!(ours_alone(&file, 777, 999).unwrap() == plain, "{i}: {} bytes alone, sized", plain.len());
        }
    }
}

/// All output that comes after the state of `decoder` was packed and unpacked again at every place there is.
#[test]
fn decoding_goes_on_from_every_place() {
    let plain = mixed(800_000);
    for (i, options) in options().iter().enumerate() {
        let packed = lzma2(&plain, options);
        let mut decoder = Lzma2::new(1 << 20, MEMORY);
        let (mut at, mut out, mut places) = (0, 0, 0);
        loop {
            if decoder.is_between_chunks() {
                let mut state = Vec::new();
                let window = decoder.pack(&mut state).unwrap();
                assert!(state.len() < 30_000);
                let again = Lzma2::unpack(&state, &window, 1 << 20, MEMORY).unwrap();
                if places % 5 == 0 {
                    assert!(ours2(again, &packed[at..], 1 << 20).unwrap() == plain[out..], "{i} at {out}");
                } else {
                    decoder = again;
                }
                places += 1;
            }
            let step = decoder.step(&packed[at..], 60_000).unwrap();
            at += step.consumed;
            out += step.written;
            if step.ended {
                break;
            }
        }
        assert!(places >= 4 && out == plain.len(), "{i}: {places} places");
        let file = alone(&plain, options);
        let (header, body) = file.split_first_chunk().unwrap();
        let mut decoder = Alone::new(header, MEMORY).unwrap();
        let (mut at, mut out) = (0, 0);
        loop {
            let step = decoder.step(&body[at..], 39_999, Rest::Ended).unwrap();
            at += step.consumed;
            out += step.written;
            if step.ended {
                break;
            }
            let mut state = Vec::new();
            let window = decoder.pack(&mut state).unwrap();
            decoder = Alone::unpack(&state, &window, MEMORY).unwrap();
            if out % 7 == 0 {
                let again = Alone::unpack(&state, &window, MEMORY).unwrap();
                assert!(ours1(again, &body[at..], 5000, 1 << 20).unwrap() == plain[out..], "{i} at {out}, alone");
            }
        }
        assert_eq!(out, plain.len());
    }
}

#[test]
fn nonsense_is_no_state() {
    let plain = text(100_000);
    let packed = lzma2(&plain, &preset(1, |_| {}));
    let mut decoder = Lzma2::new(1 << 16, MEMORY);
    let mut at = 0;
    for _ in 0..2 {
        at += decoder.step(&packed[at..], 1 << 20).unwrap().consumed;
    }
    let mut state = Vec::new();
    let window = decoder.pack(&mut state).unwrap();
    assert!(Lzma2::unpack(&state, &window, 4096, MEMORY).is_err(), "more history than the dictionary allows");
    assert!(Lzma2::unpack(&state, &crate::stream::Window::default(), 1 << 16, MEMORY).is_ok());
    for i in 0..state.len() {
        assert!(Lzma2::unpack(&state[..i], &window, 1 << 16, MEMORY).is_err());
    }
    for i in (0..state.len()).filter(|i| *i < 64 || i % 31 == 0) {
        for flip in [1, 0x10, 0x80, 0xff] {
            let mut bad = state.clone();
            bad[i] ^= flip;
            if let Ok(again) = Lzma2::unpack(&bad, &window, 1 << 16, MEMORY) {
                let _ = ours2(again, &packed[at..], 1 << 20);
            }
        }
    }
}

/// Whatever is damaged, liblzma and this decoder have to make the same of it.
#[test]
fn damage_is_seen_as_liblzma_sees_it() {
    let plain = [text(3000), noise(200, 3), vec![0; 3000], text(2000)].concat();
    for options in &options() {
        let packed = lzma2(&plain, options);
        let file = alone(&plain, options);
        for i in 0..packed.len().max(file.len()) {
            for flip in [1, 0x40, 0xff] {
                if let Some(bad) = flipped(&packed, i, flip) {
                    let their = theirs(Stream::new_raw_decoder(&lzma2_filters(options)).unwrap(), &bad);
                    let our = ours2(Lzma2::new(1 << 20, MEMORY), &bad, 1 << 20).ok();
                    assert!(their == our, "byte {i} ^ {flip:#x}");
                }
                if let Some(bad) = flipped(&file, i, flip) {
                    let their = theirs(Stream::new_lzma_decoder(u64::MAX).unwrap(), &bad);
                    let our = ours_alone(&bad, 4096, 1 << 20).ok();
                    assert!(their == our, "byte {i} ^ {flip:#x}, alone");
                }
            }
        }
    }
}

fn flipped(bytes: &[u8], at: usize, flip: u8) -> Option<Vec<u8>> {
    let mut bad = bytes.to_vec();
    *bad.get_mut(at)? ^= flip;
    Some(bad)
}

#[test]
fn memory_grows_with_the_output_not_with_the_header() {
    // Found by fuzzing: liblzma takes two gigabytes for it.
    let found = [0, 0xff, 2, 0, 0x75, 0, 0x75, 0, 0x75, 0xff, 0xff, 0x75, 0xff, 0xff];
    assert!(matches!(ours_alone(&found, 4096, 1 << 20), Err(Error::Truncated)));
    let plain = text(500_000);
    let options = preset(1, |_| {});
    let mut file = alone(&plain, &options);
    file[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
    let (header, body) = file.split_first_chunk().unwrap();
    let mut decoder = Alone::new(header, u64::MAX).unwrap();
    assert_eq!(decoder.decoder.ring.buf.len(), 0);
    decoder.step(body, 1000, Rest::Ended).unwrap();
    assert!(decoder.decoder.ring.buf.len() <= 64 << 10);
    assert!(ours_alone(&file, 4096, 1 << 20).unwrap() == plain);
    // The header's length bounds it too.
    file[5..13].copy_from_slice(&500_000_u64.to_le_bytes());
    let (header, body) = file.split_first_chunk().unwrap();
    let mut decoder = Alone::new(header, u64::MAX).unwrap();
    while decoder.step(body, usize::MAX, Rest::Ended).is_ok_and(|step| step.written > 0) {}
    assert!(decoder.decoder.ring.buf.len() <= 510_000);
    let packed = lzma2(&plain, &options);
    let mut decoder = Lzma2::new(u64::from(u32::MAX), u64::MAX);
    assert!(decoder.decoder.ring.buf.is_empty());
    assert_eq!(decoder.step(&packed, 1000).unwrap().written, 0);
    assert_eq!(decoder.step(&packed[11..], 1000).unwrap().written, 1000);
    assert!(decoder.decoder.ring.buf.len() <= 64 << 10);
}

#[test]
fn memory_stays_within_its_limit() {
    let near = vec![0; 3_000_000];
    let mut far = noise(300_000, 8);
    far.extend_from_within(..);
    let options = preset(1, |o| {
        o.dict_size(1 << 20);
    });
    let (near_packed, far_packed) = (lzma2(&near, &options), lzma2(&far, &options));
    let limited = |packed: &[u8]| ours2(Lzma2::new(1 << 20, 100_000), packed, 1 << 16);
    assert!(limited(&near_packed).unwrap() == near);
    assert!(matches!(limited(&far_packed), Err(Error::TooLarge(_))));
    let mut decoder = Lzma2::new(1 << 20, 100_000);
    let mut at = 0;
    loop {
        let step = decoder.step(&near_packed[at..], 1 << 16).unwrap();
        at += step.consumed;
        assert!(decoder.decoder.ring.buf.len() <= 110_000);
        if step.ended {
            break;
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(40))]

    #[test]
    fn sizes_of_steps_make_no_difference(
        words in proptest::collection::vec((0_u8..8, 1_usize..4000), 0..60),
        piece in 25_usize..5000,
        most in 1_usize..70_000,
        choice in 0_usize..8,
    ) {
        let plain: Vec<u8> = words
            .iter()
            .flat_map(|(kind, len)| match kind {
                0 => vec![0; *len],
                1 => noise(*len, *len as u64),
                kind => (0..*len).map(|i| ((i * i / usize::from(*kind)) >> 2) as u8).collect(),
            })
            .collect();
        let options = &options()[choice];
        proptest::prop_assert!(ours2(Lzma2::new(1 << 20, MEMORY), &lzma2(&plain, options), most).unwrap() == plain);
        proptest::prop_assert!(ours_alone(&alone(&plain, options), piece, most).unwrap() == plain);
    }

    #[test]
    fn any_bytes_are_harmless(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let head = [0x5d, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
        let file = [&head[..], &bytes].concat();
        let our = ours_alone(&file, 4096, 1 << 20).ok();
        proptest::prop_assert_eq!(our, theirs(Stream::new_lzma_decoder(u64::MAX).unwrap(), &file));
        let packed = [&[0xe0, 0, 200, 0, 255, 0x5d, 0][..], &bytes].concat();
        let our = ours2(Lzma2::new(1 << 16, MEMORY), &packed, 1 << 20).ok();
        proptest::prop_assert_eq!(our, theirs(Stream::new_raw_decoder(&lzma2_filters(&preset(0, |_| {}))).unwrap(), &packed));
    }
}
