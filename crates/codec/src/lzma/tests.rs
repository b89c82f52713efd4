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
    (0u64..).flat_map(|i| format!("line {} of {:x};\n", i * i % 7919, i.wrapping_mul(77_777) >> 3).into_bytes()).take(len).collect()
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

#[test]
fn tmp_speed() {
    let Ok(path) = std::env::var("SPEED") else { return };
    for name in ["mixed.0.xz", "mixed.xz"] {
        let file = std::fs::read(format!("{path}/{name}")).unwrap();
        let raw = &file[12 + (file[12] as usize + 1) * 4..];
        for _ in 0..2 {
            let t = std::time::Instant::now();
            let mut d = Lzma2::new(8 << 20, MEMORY);
            let mut at = 0;
            let mut n = 0u64;
            loop {
                let s = d.step(&raw[at..], 128 << 10).unwrap();
                at += s.consumed;
                n += s.written as u64;
                if s.ended {
                    break;
                }
            }
            let ours = t.elapsed();
            let t = std::time::Instant::now();
            let mut o = preset(6, |o| {
                o.dict_size(8 << 20);
            });
            let mut st = Stream::new_raw_decoder(&lzma2_filters(&mut o)).unwrap();
            let mut out = vec![0; 128 << 10];
            loop {
                let at = st.total_in() as usize;
                if st.process(&raw[at..], &mut out, Action::Run).unwrap() == Status::StreamEnd {
                    break;
                }
            }
            let their = t.elapsed();
            println!("{name}: {n} bytes, ours {ours:?}, theirs {their:?}, ratio {:.2}", their.as_secs_f64() / ours.as_secs_f64());
        }
    }
}
