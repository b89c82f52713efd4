use super::*;
use crate::stream::{Input, Kind, Limits, Memory, open, resume};
use liblzma::stream::{Action, Check as Sum, Filters, LzmaOptions, Stream};
use std::io;

const MEMORY: u64 = 1 << 20;

fn text() -> Vec<u8> {
    (0..40_000u32).flat_map(|i| format!("{:x}/", i.wrapping_mul(77_777)).into_bytes()).collect()
}

/// One stream, a block for every part.
fn stream(parts: &[&[u8]], sum: Sum, filters: &Filters) -> Vec<u8> {
    let mut encoder = Stream::new_stream_encoder(filters, sum).unwrap();
    let mut out = Vec::with_capacity(1 << 20);
    for part in parts {
        let before = encoder.total_in();
        encoder.process_vec(part, &mut out, Action::FullFlush).unwrap();
        assert_eq!(encoder.total_in() - before, part.len() as u64);
    }
    encoder.process_vec(&[], &mut out, Action::Finish).unwrap();
    out
}

fn options() -> LzmaOptions {
    let mut options = LzmaOptions::new_preset(0).unwrap();
    options.dict_size(1 << 16);
    options
}

fn plain_filters() -> Filters {
    let mut filters = Filters::new();
    filters.lzma2(&options());
    filters
}

fn delta_filters() -> Filters {
    let mut filters = Filters::new();
    filters.delta_properties(&[3]).unwrap();
    filters.arm64().lzma2(&options());
    filters
}

fn file() -> (Vec<u8>, Vec<u8>) {
    let plain = text();
    let mut file = stream(&[&plain[..50_000], &plain[50_000..120_000]], Sum::Crc64, &plain_filters());
    file.extend_from_slice(&[0; 8]);
    file.extend(stream(&[], Sum::Crc32, &plain_filters()));
    file.extend(stream(&[&plain[120_000..200_000], &plain[200_000..]], Sum::Sha256, &delta_filters()));
    file.extend_from_slice(&[0; 5000]);
    file.extend(stream(&[b"last"], Sum::None, &plain_filters()));
    file.extend_from_slice(&[0; 4]);
    (file, [&plain[..], b"last"].concat())
}

#[test]
fn every_block_is_found_and_decoded() {
    let (file, plain) = file();
    let mut input = Memory(&file);
    let index = Index::read(&mut input, file.len() as u64, 100).unwrap();
    assert_eq!(index.len, plain.len() as u64);
    assert_eq!(index.blocks.len(), 5);
    let mut refused = 0;
    for block in &index.blocks {
        let want = &plain[block.out_offset as usize..][..block.len as usize];
        let mut out = vec![0; want.len()];
        block.decode(&mut input, MEMORY, &mut out).unwrap();
        assert!(out == want);
        assert_eq!(index.find(block.out_offset), Some(block));
        assert_eq!(index.find(block.out_offset + block.len - 1), Some(block));
        assert!(block.decode(&mut input, MEMORY, &mut out[1..]).is_err());
        match block.decode(&mut input, 5000, &mut out) {
            Err(Error::TooLarge(_)) => refused += 1,
            // Nothing in it refers back further.
            end => assert!(end.is_ok() && out == want),
        }
        let mut decoder =
            resume(Kind::Xz, Box::new(Memory(file.clone())), Limits::default(), &block.checkpoint()).unwrap();
        let mut rest = vec![0; plain.len()];
        let mut filled = 0;
        loop {
            match decoder.read(&mut rest[filled..]).unwrap() {
                0 => break,
                n => filled += n,
            }
        }
        assert!(rest[..filled] == plain[block.out_offset as usize..]);
    }
    assert_eq!(refused, 4);
    assert_eq!(index.find(index.len), None);
    assert!(matches!(Index::read(&mut input, file.len() as u64, 3), Err(Error::TooLarge(_))));
}

#[test]
fn a_damaged_block_is_noticed() {
    let (mut file, _) = file();
    let index = Index::read(&mut Memory(&file), file.len() as u64, 100).unwrap();
    let block = index.blocks[1];
    file[block.in_offset as usize + 5000] ^= 4;
    let mut out = vec![0; block.len as usize];
    assert!(matches!(block.decode(&mut Memory(&file), MEMORY, &mut out), Err(Error::Corrupt(_))));
    assert!(block.decode(&mut Memory(&file[..block.in_offset as usize + 100]), MEMORY, &mut out).is_err());
}

#[test]
fn damaged_indexes_are_errors_and_nothing_worse() {
    let (good, _) = file();
    for at in (0..good.len()).filter(|at| at % 1009 == 0 || good.len() - at < 300) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        if let Ok(index) = Index::read(&mut Memory(&bad), bad.len() as u64, 100) {
            for block in index.blocks {
                let mut out = vec![0; block.len as usize];
                let _ = block.decode(&mut Memory(&bad), MEMORY, &mut out);
            }
        }
        assert!(Index::read(&mut Memory(&good[..at]), at as u64, 100).is_err() || at > 5000);
    }
    assert!(matches!(Index::read(&mut Memory(&[0; 64]), 64, 9), Err(Error::Corrupt(_))));
    assert!(matches!(Index::read(&mut Memory(&[0; 0]), 0, 9), Err(Error::Truncated)));
    struct Endless;
    impl Input for Endless {
        fn read_at(&mut self, buf: &mut [u8], _: u64) -> io::Result<usize> {
            buf.fill(b'Z');
            Ok(buf.len())
        }
    }
    assert!(Index::read(&mut Endless, u64::MAX, 9).is_err());
}

#[test]
fn streams_of_several_blocks_and_checks_decode() {
    let (file, plain) = file();
    let mut decoder = open(Kind::Xz, Box::new(Memory(file)), Limits::default()).unwrap();
    let mut out = vec![0; plain.len() + 1];
    assert_eq!(decoder.read(&mut out).unwrap(), plain.len());
    assert!(out[..plain.len()] == plain);
    assert_eq!(decoder.read(&mut out).unwrap(), 0);
}

#[test]
fn numbers() {
    assert_eq!(parse_number(&[0x7f, 1]).unwrap(), (127, &[1][..]));
    assert_eq!(parse_number(&[0x80, 1]).unwrap(), (128, &[][..]));
    assert!(matches!(parse_number(&[0x80]), Err(Error::Truncated)));
    assert!(matches!(parse_number(&[0x80, 0]), Err(Error::Corrupt(_))));
    assert!(matches!(parse_number(&[0xff; 10]), Err(Error::Corrupt(_))));
}
