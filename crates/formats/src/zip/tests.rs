use super::*;
use tintype_codec::checksum::crc32;
use tintype_codec::deflate::{Compressor, Level};
use tintype_core::testing::{Model, check_source, open_bytes};
use tintype_core::{Checksums, Kind, State};

#[derive(Clone, Copy, Default)]
struct Made {
    deflated: bool,
    descriptor: bool,
    wide: bool,
}

/// An archive with these files, as `zip` would make it.
fn archive(files: &[(&str, &[u8])], made: Made) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, plain) in files {
        let mut data = Vec::new();
        if made.deflated {
            Compressor::new(Level::Fast).raw(plain, &mut data);
        } else {
            data.extend_from_slice(plain);
        }
        let at = out.len() as u32;
        let flags: u16 = if made.descriptor { 8 } else { 0 };
        let method: u16 = if made.deflated { 8 } else { 0 };
        let (crc, packed, len) = (crc32(plain), data.len() as u32, plain.len() as u32);
        let narrow = |n: u32| if made.wide { u32::MAX } else { n };
        let local = if made.descriptor { [0; 3] } else { [crc, narrow(packed), narrow(len)] };
        let wide: Vec<u8> = [u64::from(len), u64::from(packed)].iter().flat_map(|n| n.to_le_bytes()).collect();
        let extra = if made.wide { [&[1, 0, 16, 0][..], &wide].concat() } else { Vec::new() };
        let names = [(name.len() as u16).to_le_bytes(), (extra.len() as u16).to_le_bytes()].concat();
        out.extend_from_slice(b"PK\x03\x04\x14\0");
        out.extend([flags.to_le_bytes(), method.to_le_bytes(), [0; 2], [0; 2]].concat());
        out.extend(local.iter().flat_map(|n| n.to_le_bytes()));
        out.extend([&names, name.as_bytes(), &extra, &data].concat());
        if made.descriptor {
            out.extend([crc, packed, len].iter().flat_map(|n| n.to_le_bytes()));
        }
        directory.extend_from_slice(b"PK\x01\x02\x14\0\x14\0");
        directory.extend([flags.to_le_bytes(), method.to_le_bytes(), [0; 2], [0; 2]].concat());
        directory.extend([crc, narrow(packed), narrow(len)].iter().flat_map(|n| n.to_le_bytes()));
        directory.extend([&names[..], &[0; 10], &at.to_le_bytes(), name.as_bytes(), &extra].concat());
    }
    let (at, count) = (out.len(), files.len());
    out.extend_from_slice(&directory);
    if made.wide {
        let at64 = out.len() as u64;
        out.extend_from_slice(b"PK\x06\x06");
        out.extend([&44u64.to_le_bytes()[..], &[45, 0, 45, 0], &[0; 8]].concat());
        out.extend(
            [count as u64, count as u64, directory.len() as u64, at as u64].iter().flat_map(|n| n.to_le_bytes()),
        );
        out.extend([&b"PK\x06\x07\0\0\0\0"[..], &at64.to_le_bytes(), &1u32.to_le_bytes()].concat());
    }
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    let (count, at) = if made.wide { (u16::MAX, u32::MAX) } else { (count as u16, at as u32) };
    out.extend([&count.to_le_bytes()[..], &count.to_le_bytes(), &(directory.len() as u32).to_le_bytes()].concat());
    out.extend([&at.to_le_bytes()[..], &[0, 0]].concat());
    out
}

fn all() -> Vec<Made> {
    let both = [false, true];
    both.iter()
        .flat_map(|&deflated| both.iter().map(move |&descriptor| (deflated, descriptor)))
        .flat_map(|(deflated, descriptor)| both.iter().map(move |&wide| Made { deflated, descriptor, wide }))
        .collect()
}

#[test]
fn one_file_is_read_however_it_was_stored() {
    for made in all() {
        for len in [0, 1, 200_001] {
            let model = Model::mixed(len, &[State::Data, State::Zero], 512, 4);
            let file = archive(&[("d.img", &model.bytes)], made);
            for file in [file.clone(), [&b"#!/bin/sh\n"[..], &file].concat()] {
                // Offsets of 64 bits are not relative to anything that stands before.
                if made.wide && file.starts_with(b"#") {
                    continue;
                }
                check_source(&*read::open(&open_bytes("d.zip", file)).unwrap().disk, &model);
            }
        }
    }
}

#[test]
fn anything_but_one_file_is_refused_by_name() {
    let e = read::open(&open_bytes("d.zip", archive(&[("a", b"1"), ("b", b"2")], Made::default()))).err().unwrap();
    assert_eq!(e.kind(), Kind::Unsupported);
    assert!(e.to_string().contains("a, b"), "{e}");
    let e = read::open(&open_bytes("d.zip", archive(&[], Made::default()))).err().unwrap();
    assert_eq!(e.kind(), Kind::Unsupported);
    let file = archive(&[("folder/", b""), ("folder/d.img", b"disk")], Made::default());
    assert_eq!(read::open(&open_bytes("d.zip", file)).unwrap().disk.len(), 4);
}

#[test]
fn cuts_and_flipped_bits_are_found() {
    let model = Model::mixed(60_000, &[State::Data, State::Zero], 512, 4);
    for made in all() {
        let whole = archive(&[("d.img", &model.bytes)], made);
        let read = |file: Vec<u8>| {
            read::open(&open_bytes("d.zip", file)).and_then(|image| {
                let mut bytes = vec![0; image.disk.len().min(1 << 20) as usize];
                image.disk.read_at(&mut bytes, 0).map(|()| bytes)
            })
        };
        for cut in (0..whole.len()).step_by(37 * 11) {
            assert_eq!(read(whole[..cut].to_vec()).err().map(|e| e.kind()), Some(Kind::Corrupt), "{cut}");
        }
        for i in 0..150 {
            let mut file = whole.clone();
            let bit = i * 7919 % (file.len() * 8);
            file[bit / 8] ^= 1 << (bit % 8);
            match read(file) {
                Ok(bytes) => assert!(bytes == model.bytes, "bit {bit}"),
                Err(e) => {
                    assert!(matches!(e.kind(), Kind::Corrupt | Kind::Unsupported | Kind::Limit), "{bit}: {}", e.chain())
                }
            }
        }
    }
}

#[test]
fn the_checksum_of_the_whole_is_compared_and_stays_wrong() {
    let model = Model::noise(300_000, 4);
    for made in all() {
        let mut file = archive(&[("d.img", &model.bytes)], made);
        // Noise is stored by either method, so that a flip is a flip.
        file[200_000] ^= 4;
        let image = read::open(&open_bytes("d.zip", file)).unwrap();
        assert_eq!(image.checksums, Checksums::Whole);
        let mut buf = vec![0; 100_000];
        image.disk.read_at(&mut buf, 0).unwrap();
        image.disk.read_at(&mut buf, 100_000).unwrap();
        for _ in 0..2 {
            let e = image.disk.read_at(&mut buf, 200_000).expect_err("the checksum does not match");
            assert_eq!((e.kind(), e.path().is_some()), (Kind::Corrupt, true), "{e}");
            // Asked for in pieces, the end still fails.
            assert!(image.disk.read_at(&mut buf[..4096], 300_000 - 4096).is_err());
        }
    }
}

#[test]
fn a_directory_that_hides_content_is_corrupt() {
    let plain = vec![0; 1 << 16];
    let made = Made { deflated: true, descriptor: true, wide: false };
    let good = archive(&[("d.img", &plain)], made);
    let entry = good.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let end = good.windows(4).position(|w| w == b"PK\x05\x06").unwrap();
    for (at, bit) in [(entry + 26, 0), (end + 10, 0)] {
        let mut file = good.clone();
        file[at] ^= 1 << bit;
        assert_eq!(read::open(&open_bytes("d.zip", file)).err().map(|e| e.kind()), Some(Kind::Corrupt), "{at}");
    }
}
