use crate::checksum::crc32;
use crate::error::{Error, Result};
use crate::stream::{Checkpoint, Kind, Limits, Memory, Window, open, resume};
use crate::xz::BlockHeader;
use liblzma::stream::{Action, Check, Filters, LzmaOptions, Stream};

const LIMITS: Limits = Limits { memory: 1 << 20 };

fn plain() -> Vec<u8> {
    let mut out: Vec<u8> = (0..60_000u32).flat_map(|i| format!("{:x}/", i.wrapping_mul(77_777)).into_bytes()).collect();
    out.resize(out.len() + 2_500_000, 0);
    out.extend_from_within(..300_000);
    out
}

fn filters(filtered: impl FnOnce(&mut Filters)) -> Filters {
    let mut options = LzmaOptions::new_preset(0).unwrap();
    options.dict_size(1 << 18);
    let mut filters = Filters::new();
    filtered(&mut filters);
    filters.lzma2(&options);
    filters
}

/// One stream of one block.
fn stream(plain: &[u8], check: Check, filters: &Filters) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + 1000);
    Stream::new_stream_encoder(filters, check).unwrap().process_vec(plain, &mut out, Action::Finish).unwrap();
    out
}

fn places(file: &[u8]) -> Vec<Checkpoint> {
    let mut decoder = open(Kind::Xz, Box::new(Memory(file.to_vec())), LIMITS).unwrap();
    decoder.set_spacing(30_000);
    let mut buf = vec![0; 1 << 20];
    let mut places = Vec::new();
    while decoder.read(&mut buf).unwrap() > 0 {
        places.extend(decoder.checkpoint());
    }
    places
}

/// What comes from a place on, in pieces that stop at places too.
fn rest(file: &[u8], place: &Checkpoint) -> (Vec<u8>, Result<()>) {
    let mut decoder = match resume(Kind::Xz, Box::new(Memory(file.to_vec())), LIMITS, place) {
        Ok(decoder) => decoder,
        Err(e) => return (Vec::new(), Err(e)),
    };
    decoder.set_spacing(100_000);
    let (mut out, mut buf) = (Vec::new(), vec![0; 300_000]);
    loop {
        match decoder.read(&mut buf) {
            Ok(0) => return (out, Ok(())),
            Ok(n) => out.extend_from_slice(&buf[..n]),
            Err(e) => return (out, Err(e)),
        }
    }
}

fn start() -> Checkpoint {
    Checkpoint { in_offset: 0, in_bits: 0, out_offset: 0, window: Window::default(), extra: Vec::new() }
}

#[test]
fn one_block_is_taken_up_after_every_chunk_and_still_verified() {
    let plain = plain();
    for (check, len) in [(Check::None, 0), (Check::Crc32, 4), (Check::Crc64, 8), (Check::Sha256, 32)] {
        let file = stream(&plain, check, &filters(|_| {}));
        let places = places(&file);
        assert!(places.len() > 4, "{}", places.len());
        // Before the footer (12) and the index (12): the check.
        let mut unlike = file.clone();
        let at = file.len() - 12 - 12 - len;
        unlike[at] ^= 1;
        for place in &places {
            assert!(place.extra.len() <= Checkpoint::MOST_EXTRA);
            let (got, end) = rest(&file, place);
            assert!(end.is_ok() && got == plain[place.out_offset as usize..], "{check:?} at {}", place.out_offset);
            let end = rest(&unlike, place).1;
            assert!(matches!(end, Err(Error::Corrupt(_))), "{check:?} at {}: {end:?}", place.out_offset);
        }
        // What lies before a place cannot be noticed after it, all else is.
        let place = &places[places.len() / 2];
        for at in (place.in_offset as usize..file.len()).step_by(1499) {
            let mut bad = file.clone();
            bad[at] ^= 0x20;
            let (got, end) = rest(&bad, place);
            assert!(end.is_err() || len == 0 && at < file.len() - 24, "{check:?} {at}");
            assert!(end.is_err() || got.len() == plain.len() - place.out_offset as usize);
        }
    }
}

#[test]
fn the_index_is_held_against_the_blocks_before_a_place_too() {
    let plain = plain();
    let file = stream(&plain, Check::Crc32, &filters(|_| {}));
    let place = &places(&file)[3];
    // The index of another stream, with another length in it.
    let other = stream(&plain[..plain.len() - 1], Check::Crc32, &filters(|_| {}));
    let swapped = [&file[..file.len() - 24], &other[other.len() - 24..]].concat();
    assert!(matches!(rest(&swapped, place).1, Err(Error::Corrupt(_))));
}

#[test]
fn streams_and_blocks_follow_a_place_inside_a_block() {
    let plain = plain();
    let one = stream(&plain, Check::Crc64, &filters(|_| {}));
    let other = stream(
        &plain,
        Check::Sha256,
        &filters(|f| {
            f.delta_properties(&[1]).unwrap();
        }),
    );
    let file = [&one[..], &[0; 8], &other, &[0; 4], &one].concat();
    let whole = [&plain[..], &plain, &plain].concat();
    let places = places(&file);
    for range in [0..plain.len(), 2 * plain.len()..whole.len()] {
        assert!(places.iter().filter(|p| range.contains(&(p.out_offset as usize))).count() > 2);
    }
    for place in &places {
        let (got, end) = rest(&file, place);
        assert!(end.is_ok() && got == whole[place.out_offset as usize..], "at {}", place.out_offset);
    }
}

#[test]
fn every_filter_is_undone() {
    // Something that looks like code of every machine.
    let plain: Vec<u8> = (0..300_000u32)
        .flat_map(|i| [0xe8, (i >> 3) as u8, (i >> 11) as u8, 0, 0xeb, 0x48, 0x97, 0x94, 0x17, 0xf0, 0xff, 0xf8])
        .take(700_001)
        .collect();
    let chains: [fn(&mut Filters); 10] = [
        |f| {
            f.x86();
        },
        |f| {
            f.powerpc();
        },
        |f| {
            f.ia64();
        },
        |f| {
            f.arm();
        },
        |f| {
            f.arm_thumb();
        },
        |f| {
            f.sparc();
        },
        |f| {
            f.arm64();
        },
        |f| {
            f.riscv();
        },
        |f| {
            f.delta_properties(&[255]).unwrap();
        },
        |f| {
            f.delta_properties(&[3]).unwrap().x86().arm64();
        },
    ];
    for (i, chain) in chains.into_iter().enumerate() {
        let file = stream(&plain, Check::Crc32, &filters(chain));
        let (got, end) = rest(&file, &start());
        assert!(end.is_ok() && got == plain, "{i}: {end:?}");
        let (got, end) = rest(&file[..file.len() / 2], &start());
        assert!(matches!(end, Err(Error::Truncated)) && plain.starts_with(&got), "{i}: {end:?}");
    }
}

#[test]
fn a_dictionary_of_four_gigabytes_takes_no_more_than_the_content() {
    let plain = plain();
    for filtered in [false, true] {
        let chain = filters(|f| {
            if filtered {
                f.x86();
            }
        });
        let mut file = stream(&plain, Check::Crc32, &chain);
        let header = &mut file[12..];
        let len = BlockHeader::len_of(header[0]);
        let size = header[..len].windows(3).position(|w| w[..2] == [0x21, 1]).unwrap() + 2;
        header[size] = 40;
        let sum = crc32(&header[..len - 4]).to_le_bytes();
        header[len - 4..len].copy_from_slice(&sum);
        // The limit is below what the header claims and the content is, but not below what matches need.
        let (got, end) = rest(&file, &start());
        assert!(end.is_ok() && got == plain, "{end:?}");
        let mut decoder = open(Kind::Xz, Box::new(Memory(file)), Limits { memory: 100_000 }).unwrap();
        let mut buf = vec![0; plain.len()];
        let mut got = 0;
        let end = loop {
            match decoder.read(&mut buf[got..]) {
                Ok(n) => got += n,
                Err(e) => break e,
            }
            assert!(got < plain.len());
        };
        assert!(matches!(end, Error::TooLarge(_)) && plain.starts_with(&buf[..got]), "{end}");
    }
}

#[test]
fn nonsense_is_no_place() {
    let plain = plain();
    let file = stream(&plain, Check::Sha256, &filters(|_| {}));
    let place = &places(&file)[2];
    for i in 0..place.extra.len() {
        let extra = place.extra[..i].to_vec();
        let end = rest(&file, &Checkpoint { extra, ..place.clone() }).1;
        assert!(end.is_err(), "{i} bytes");
    }
    for i in (0..place.extra.len()).filter(|i| *i < 250 || i % 499 == 0) {
        for flip in [1, 0xff] {
            let mut extra = place.extra.clone();
            extra[i] ^= flip;
            let _ = rest(&file, &Checkpoint { extra, ..place.clone() });
        }
    }
    for window in [Window::default(), Window::from_packed(100, vec![1, 2, 3]).unwrap()] {
        assert!(rest(&file, &Checkpoint { window, ..place.clone() }).1.is_err());
    }
}
