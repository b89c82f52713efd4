//! What files of others do not show.

use super::*;
use tintype_codec::deflate::{Compressor, Level};
use tintype_core::Kind;
use tintype_core::testing::{Model, check_source, open_bytes};

fn cloop(model: &Model, block: usize) -> Vec<u8> {
    let mut file = b"#!/bin/sh\n#V2.0 Format\nexit 1\n".to_vec();
    file.resize(128, 0);
    let blocks: Vec<&[u8]> = model.bytes.chunks(block).collect();
    file.extend((block as u32).to_be_bytes());
    file.extend((blocks.len() as u32).to_be_bytes());
    let mut packed = Vec::new();
    let first = file.len() + 8 * (blocks.len() + 1);
    for plain in blocks {
        file.extend(((first + packed.len()) as u64).to_be_bytes());
        Compressor::new(Level::Fast).zlib(plain, &mut packed);
    }
    file.extend(((first + packed.len()) as u64).to_be_bytes());
    file.extend(packed);
    file
}

#[test]
fn blocks_of_every_size_are_read() {
    for block in [512, 65536, 1 << 20] {
        let model = Model::mixed(block * 5, &[State::Data, State::Zero], 512, block as u64);
        let file = cloop(&model, block);
        check_source(&*read::open(&open_bytes("d.cloop", file.clone())).unwrap().disk, &model);
        assert_eq!(check::check(&open_bytes("d.cloop", file)).unwrap(), []);
    }
}

#[test]
fn damage_is_found() {
    let model = Model::mixed(65536 * 4, &[State::Data], 512, 1);
    let good = cloop(&model, 65536);
    let mut bad = good.clone();
    bad[136 + 8..136 + 16].fill(0);
    let found = check::check(&open_bytes("d.cloop", bad.clone())).unwrap();
    assert!(found.len() == 2 && found[0].touches == Some((0, 65536)), "{found:?}");
    let image = read::open(&open_bytes("d.cloop", bad)).unwrap();
    assert_eq!(image.disk.read_at(&mut [0; 9], 5).unwrap_err().kind(), Kind::Corrupt);
    image.disk.read_at(&mut [0; 9], 65536 * 3).unwrap();
    let mut bad = good.clone();
    let at = bad.len() - 100;
    bad[at] ^= 1;
    let image = read::open(&open_bytes("d.cloop", bad)).unwrap();
    assert_eq!(image.disk.read_at(&mut [0; 9], 65536 * 3).unwrap_err().kind(), Kind::Corrupt);
    for (at, byte, kind) in
        [(12, b'4', Kind::Unsupported), (130, 1, Kind::Corrupt), (132, 9, Kind::Corrupt), (128, 200, Kind::Limit)]
    {
        let mut bad = good.clone();
        bad[at] = byte;
        let e = read::open(&open_bytes("d.cloop", bad)).err().unwrap_or_else(|| panic!("{at}"));
        assert_eq!(e.kind(), kind, "{at}: {e}");
    }
}
