use super::*;
use crate::deflate::{Compressor, Level};
use std::io::{Read as _, Write as _};

fn text(len: usize) -> Vec<u8> {
    let mut out: Vec<u8> =
        (0_u32..).flat_map(|i| format!("{} ", i.wrapping_mul(i) % 9973).into_bytes()).take(len * 3 / 4).collect();
    let mut x = 0x1234_5678_u32;
    out.extend(
        std::iter::repeat_with(|| {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            x as u8
        })
        .take(len - out.len()),
    );
    out
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3, b'n', 0];
    Compressor::new(Level::number(6).unwrap()).raw(plain, &mut out);
    out.extend_from_slice(&crate::checksum::crc32(plain).to_le_bytes());
    out.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    out
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new(Level::Fast).zlib(plain, &mut out);
    out
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new(Level::Fast).raw(plain, &mut out);
    out
}

fn xz(plain: &[u8]) -> Vec<u8> {
    use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
    let mut options = LzmaOptions::new_preset(0).unwrap();
    options.dict_size(1 << 16);
    let mut filters = Filters::new();
    filters.x86().lzma2(&options);
    let stream = Stream::new_stream_encoder(&filters, Check::Sha256).unwrap();
    let mut out = Vec::new();
    liblzma::read::XzEncoder::new_stream(plain, stream).read_to_end(&mut out).unwrap();
    out
}

fn lzma(plain: &[u8]) -> Vec<u8> {
    use liblzma::stream::{LzmaOptions, Stream};
    let mut options = LzmaOptions::new_preset(0).unwrap();
    options.dict_size(1 << 16);
    let mut out = Vec::new();
    liblzma::read::XzEncoder::new_stream(plain, Stream::new_lzma_encoder(&options).unwrap())
        .read_to_end(&mut out)
        .unwrap();
    out
}

fn zstd_frame(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::zstd::Compressor::new(1, crate::zstd::Checksum::Written).unwrap().frame(plain, &mut out).unwrap();
    out
}

fn bzip2_stream(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn lz4_frame(plain: &[u8]) -> Vec<u8> {
    // Independent blocks of 64 KiB, block and content checksums, content size.
    let mut out = vec![4, 0x22, 0x4d, 0x18, 0x40 | 0x20 | 0x10 | 8 | 4, 4 << 4];
    out.extend_from_slice(&(plain.len() as u64).to_le_bytes());
    out.push((crate::checksum::xxh32(&out[4..]) >> 8) as u8);
    for block in plain.chunks(65536) {
        let mut packed = Vec::new();
        let len = crate::lz4::block_encode(block, &mut packed) as u32;
        let (len, bytes) =
            if packed.len() < block.len() { (len, &packed[..]) } else { (block.len() as u32 | 1 << 31, block) };
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(&crate::checksum::xxh32(bytes).to_le_bytes());
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&crate::checksum::xxh32(plain).to_le_bytes());
    out
}

fn lz4_legacy(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![2, 0x21, 0x4c, 0x18];
    for block in plain.chunks(8 << 20) {
        let mut packed = Vec::new();
        out.extend_from_slice(&(crate::lz4::block_encode(block, &mut packed) as u32).to_le_bytes());
        out.extend_from_slice(&packed);
    }
    out
}

fn lzop_file(plain: &[u8]) -> Vec<u8> {
    let mut out = crate::lzop::MAGIC.to_vec();
    out.extend_from_slice(&[0x10, 0x40, 0x20, 0xa0, 0x09, 0x40, 1, 5]);
    // Adler-32 of the plain and of the packed block.
    out.extend_from_slice(&[0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'n']);
    out.extend_from_slice(&crate::checksum::adler32(&out[9..]).to_be_bytes());
    for block in plain.chunks(65536) {
        let packed = lzo_runs(block);
        let bytes = if packed.len() < block.len() { &packed[..] } else { block };
        out.extend_from_slice(&(block.len() as u32).to_be_bytes());
        out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        out.extend_from_slice(&crate::checksum::adler32(block).to_be_bytes());
        if bytes.len() < block.len() {
            out.extend_from_slice(&crate::checksum::adler32(bytes).to_be_bytes());
        }
        out.extend_from_slice(bytes);
    }
    out.extend_from_slice(&[0; 4]);
    out
}

/// The simplest LZO1X there is: four literals, then, if all is the same byte, one long copy.
fn lzo_runs(block: &[u8]) -> Vec<u8> {
    if block.len() < 300 || block.iter().any(|b| *b != block[0]) {
        return block.to_vec();
    }
    let mut out = vec![17 + 4, block[0], block[0], block[0], block[0], 32];
    let rest = block.len() - 4 - 2 - 31 - 1;
    out.extend(std::iter::repeat_n(0, rest / 255));
    out.push((rest % 255 + 1) as u8);
    out.extend_from_slice(&[0, 0, 0x11, 0, 0]);
    out
}

type Encode = fn(&[u8]) -> Vec<u8>;

fn is_legacy(encode: Encode) -> bool {
    std::ptr::fn_addr_eq(encode, lz4_legacy as Encode)
}

const CASES: [(Kind, Encode); 10] = [
    (Kind::Gzip, gzip),
    (Kind::Zlib, zlib),
    (Kind::Deflate, deflate),
    (Kind::Xz, xz),
    (Kind::Lzma, lzma),
    (Kind::Zstd, zstd_frame),
    (Kind::Bzip2, bzip2_stream),
    (Kind::Lz4, lz4_frame),
    (Kind::Lz4, lz4_legacy),
    (Kind::Lzop, lzop_file),
];

const LIMITS: Limits = Limits { memory: 16 << 20 };

fn opened(kind: Kind, file: &[u8]) -> Box<dyn Decoder> {
    open(kind, Box::new(Memory(file.to_vec())), LIMITS).unwrap()
}

/// Everything up to the end or the first error; stops in any case after `most` bytes.
fn drain(decoder: &mut dyn Decoder, most: usize) -> (Vec<u8>, Result<()>) {
    let mut out = Vec::new();
    let mut buf = vec![0; 30_011];
    loop {
        match decoder.read(&mut buf) {
            Ok(0) => return (out, Ok(())),
            Ok(n) => out.extend_from_slice(&buf[..n]),
            Err(e) => return (out, Err(e)),
        }
        if out.len() > most {
            return (out, Err(Error::too_large("test")));
        }
    }
}

fn decoded(kind: Kind, file: &[u8]) -> (Vec<u8>, Result<()>) {
    drain(&mut *opened(kind, file), 100 << 20)
}

fn plains() -> Vec<Vec<u8>> {
    vec![Vec::new(), b"x".to_vec(), vec![0; 400_000], text(1_000_000)]
}

#[test]
fn every_kind_is_decoded_to_its_end() {
    for (kind, encode) in CASES {
        for plain in plains() {
            let file = encode(&plain);
            let (got, end) = decoded(kind, &file);
            assert!(end.is_ok() && got == plain, "{}: {end:?}, {} of {}", kind.name(), got.len(), plain.len());
        }
    }
}

#[test]
fn every_kind_is_recognised() {
    for (kind, encode) in CASES {
        let file = encode(&text(100_000));
        let guess = probe(&file[..8192]);
        if kind == Kind::Deflate {
            assert_eq!(guess, None);
        } else {
            assert_eq!(guess.map(|(kind, _)| kind), Some(kind));
        }
        assert!(probe(&file[..3]).is_none_or(|(guess, _)| guess == kind));
    }
    assert_eq!(probe(b""), None);
    assert_eq!(probe(&[0; 4096]), None);
    let skippable_then_lz4 = [&[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9][..], &lz4_frame(b"x")].concat();
    assert_eq!(probe(&skippable_then_lz4), Some((Kind::Lz4, Certainty::Sure)));
}

#[test]
fn containers_may_be_strung_together_and_trailing_bytes_are_told() {
    let plain = text(200_000);
    let twice = [&plain[..], &plain].concat();
    for (kind, encode) in CASES {
        let file = encode(&plain);
        let many = !matches!(kind, Kind::Zlib | Kind::Deflate | Kind::Lzma);
        if many {
            let (got, end) = decoded(kind, &[&file[..], &file].concat());
            assert!(end.is_ok() && got == twice, "{}: {end:?}", kind.name());
        }
        if is_legacy(encode) {
            // A legacy frame ends where something ends that is too long to be a block.
            continue;
        }
        let mut decoder = opened(kind, &[&file[..], b"tail"].concat());
        let (got, end) = drain(&mut *decoder, 1 << 30);
        assert!(got == plain, "{}", kind.name());
        assert!(
            matches!(end, Err(Error::Trailing { offset }) if offset == file.len() as u64),
            "{}: {end:?}",
            kind.name()
        );
        assert_eq!(decoder.read(&mut [0; 10]).unwrap(), 0);
    }
    for (kind, encode) in [(Kind::Gzip, gzip as Encode), (Kind::Xz, xz)] {
        let padded = [&encode(&plain)[..], &[0; 4096]].concat();
        assert!(decoded(kind, &padded).1.is_ok());
    }
    let skippable = [0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    for (kind, encode) in [(Kind::Zstd, zstd_frame as Encode), (Kind::Lz4, lz4_frame)] {
        let file = [&skippable[..], &encode(&plain), &skippable, &encode(&plain), &skippable].concat();
        let (got, end) = decoded(kind, &file);
        assert!(end.is_ok() && got == twice, "{}: {end:?}", kind.name());
        assert!(matches!(decoded(kind, &file[..file.len() - 1]).1, Err(Error::Truncated)));
    }
}

#[test]
fn decoding_goes_on_from_every_checkpoint() {
    let plain = [text(700_000), vec![0; 300_000], text(50_000)].concat();
    for (kind, encode) in CASES {
        let mut file = encode(&plain);
        let mut whole = plain.clone();
        if !matches!(kind, Kind::Zlib | Kind::Deflate | Kind::Lzma) {
            file.extend(encode(b"a second part"));
            whole.extend_from_slice(b"a second part");
        }
        let mut decoder = opened(kind, &file);
        decoder.set_spacing(50_000);
        let mut places = vec![];
        let mut buf = vec![0; 1 << 20];
        loop {
            places.extend(decoder.checkpoint());
            if decoder.read(&mut buf).unwrap() == 0 {
                break;
            }
        }
        let few = matches!(kind, Kind::Xz | Kind::Bzip2) || is_legacy(encode);
        let least = if kind == Kind::Lzma {
            0
        } else if few {
            1
        } else {
            4
        };
        assert!(places.len() >= least, "{}: {}", kind.name(), places.len());
        for place in places {
            let mut decoder = resume(kind, Box::new(Memory(file.clone())), LIMITS, &place).unwrap();
            assert_eq!(decoder.out_offset(), place.out_offset);
            let (got, end) = drain(&mut *decoder, 1 << 30);
            assert!(end.is_ok(), "{} at {}: {end:?}", kind.name(), place.out_offset);
            assert!(got == whole[place.out_offset as usize..], "{} at {}", kind.name(), place.out_offset);
        }
    }
}

#[test]
fn nonsense_is_no_checkpoint() {
    let window = Window::pack(&[0; 100_000], &[]).unwrap();
    let place = Checkpoint { in_offset: 10, in_bits: 9, out_offset: 5, window, extra: vec![1, 2, 3] };
    for (kind, encode) in CASES {
        if kind != Kind::Bzip2 {
            let file = Memory(encode(b"some data"));
            assert!(resume(kind, Box::new(file), LIMITS, &place).is_err(), "{}", kind.name());
        }
    }
}

#[test]
fn truncation_is_an_error_everywhere() {
    let plain = text(60_000);
    for (kind, encode) in CASES {
        let file = encode(&plain);
        for end in (0..file.len()).filter(|end| *end < 100 || end % 997 == 0 || file.len() - end < 40) {
            let (got, result) = decoded(kind, &file[..end]);
            assert!(plain.starts_with(&got), "{} cut at {end}", kind.name());
            // A legacy frame has no end of its own, so one cut between blocks is whole.
            if !(is_legacy(encode) && end == 4) {
                assert!(result.is_err(), "{} cut at {end}", kind.name());
            }
        }
    }
}

#[test]
fn damage_gives_errors_and_never_more() {
    let plain = text(100_000);
    let mut x = 1_u64;
    let mut random = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 33) as usize
    };
    for (kind, encode) in CASES {
        let good = encode(&plain);
        let checked = !matches!(kind, Kind::Deflate | Kind::Lzma) && !is_legacy(encode);
        for round in 0..400 {
            let mut file = good.clone();
            for _ in 0..1 + round % 3 {
                // Half of the damage goes where headers are.
                let at = if random() % 2 == 0 { random() % file.len().min(64) } else { random() % file.len() };
                file[at] ^= 1 << (random() % 8);
            }
            let mut decoder = opened(kind, &file);
            let (got, end) = drain(&mut *decoder, 40 << 20);
            // Holds for this seed, not for all: Adler-32 is blind to neighbours changed by -4, +8, -4.
            if checked && end.is_ok() {
                assert!(got == plain, "{}: damage went through, round {round}", kind.name());
            }
            if !matches!(end, Ok(()) | Err(Error::Trailing { .. })) {
                assert!(decoder.read(&mut [0; 8]).is_err());
            }
        }
    }
}

#[test]
fn limits_are_kept() {
    let plain = text(1 << 20);
    for (kind, encode) in CASES {
        if matches!(kind, Kind::Gzip | Kind::Zlib | Kind::Deflate | Kind::Bzip2) {
            continue;
        }
        let little = Limits { memory: 20_000 };
        let end = open(kind, Box::new(Memory(encode(&plain))), little).and_then(|mut d| drain(&mut *d, 1 << 30).1);
        // The lzma decoder's own memory is granted on top.
        assert!(matches!(end, Err(Error::TooLarge(_))) || kind == Kind::Lzma, "{}: {end:?}", kind.name());
    }
}

#[test]
fn an_inputs_own_error_comes_through() {
    struct Broken;
    impl Input for Broken {
        fn read_at(&mut self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
    for kind in Kind::ALL {
        let end = open(kind, Box::new(Broken), LIMITS).and_then(|mut d| drain(&mut *d, 1).1);
        assert!(matches!(end, Err(Error::Io(_))), "{}", kind.name());
    }
}

/// Gives at most so many bytes at a time.
struct Dribble(Vec<u8>, usize);

impl Input for Dribble {
    fn read_at(&mut self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let most = buf.len().min(self.1);
        Memory(&self.0).read_at(&mut buf[..most], offset)
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(60))]

    #[test]
    fn sizes_of_reads_make_no_difference(
        words in proptest::collection::vec((0_u8..8, 1_usize..3000), 0..60),
        dribble in 1_usize..5000,
        step in 1_usize..70_000,
        spacing in 0_u64..100_000,
    ) {
        let plain: Vec<u8> = words
            .iter()
            .flat_map(|(kind, len)| (0..*len).map(move |i| match kind {
                0 => 0,
                1 => i as u8,
                kind => ((i * i / usize::from(*kind)) >> 2) as u8,
            }))
            .collect();
        for (kind, encode) in CASES {
            let mut decoder = open(kind, Box::new(Dribble(encode(&plain), dribble)), LIMITS).unwrap();
            decoder.set_spacing(spacing);
            let mut got = Vec::new();
            let mut buf = vec![0; step];
            loop {
                match decoder.read(&mut buf).unwrap() {
                    0 => break,
                    n => got.extend_from_slice(&buf[..n]),
                }
                proptest::prop_assert_eq!(decoder.out_offset(), got.len() as u64);
            }
            proptest::prop_assert!(got == plain, "{}", kind.name());
        }
    }
}

#[test]
fn deflate_alone_is_not_called_checked() {
    let plain = [7; 100_000];
    let mut compressor = crate::deflate::Compressor::new(crate::deflate::Level::Fast);
    let (mut raw, mut zlib) = (Vec::new(), Vec::new());
    compressor.raw(&plain, &mut raw);
    compressor.zlib(&plain, &mut zlib);
    for (kind, file, checked) in [(Kind::Deflate, raw, false), (Kind::Zlib, zlib, true)] {
        let mut decoder = open(kind, Box::new(Memory(file)), Limits::default()).unwrap();
        assert_eq!(decoder.read(&mut vec![0; 100_001]).unwrap(), 100_000);
        assert_eq!(decoder.is_checked(), checked);
    }
}

#[test]
fn lz4_blocks_that_are_too_long_are_corrupt() {
    // Independent blocks of 64 KiB; the legacy frame's may hold 8 MiB.
    let plain = vec![0; 9 << 20];
    let mut block = Vec::new();
    crate::lz4::block_encode(&plain, &mut block);
    let head = [0x64, 0x40];
    let check = (crate::checksum::xxh32(&head) >> 8) as u8;
    let len = (block.len() as u32).to_le_bytes();
    let modern = [&[0x04, 0x22, 0x4d, 0x18][..], &head, &[check], &len, &block, &[0; 8]].concat();
    let legacy = [&[0x02, 0x21, 0x4c, 0x18][..], &len, &block].concat();
    for file in [modern, legacy] {
        let mut decoder = open(Kind::Lz4, Box::new(Memory(file)), Limits::default()).unwrap();
        assert!(matches!(decoder.read(&mut [0; 1]), Err(Error::Corrupt(_))));
    }
}
