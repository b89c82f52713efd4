//! What files of others do not show.

use super::layout::{CRC, FILL, Header, MAGIC, RAW, SKIP};
use super::*;
use tintype_codec::checksum::crc32;
use tintype_core::testing::{
    MemoryOutlet, Model, check_source, check_writer, create_request, feed_model, open_bytes, open_request,
};
use tintype_core::{Kind, Seal, extents};

#[test]
fn any_size_comes_back_with_its_states() {
    for len in [0, 512, 4096, 70_000, 4096 * 700, 1_000_004] {
        for sector in [512, 4096] {
            let model = Model::mixed(len, &[State::Data, State::Zero, State::Unused], sector, len as u64);
            // The smallest thing a state can be of is a block.
            let coarse = len.is_multiple_of(4096) && sector == 512;
            if !coarse {
                let (_, outlet) = check_writer(write::create, read::open, "d.simg", &model, |_| {});
                assert_eq!(check::check(&open_request(&outlet, "d.simg")).unwrap(), []);
            }
        }
    }
}

#[test]
fn the_end_is_padded_to_a_word() {
    let model = Model::noise(1003, 1);
    let outlet = MemoryOutlet::new();
    let request = create_request(outlet.clone(), "d.simg", &model);
    assert!(write::losses(&request)[0].contains("1 bytes of zeros"));
    let mut sink = write::create(&request).unwrap();
    feed_model(&mut *sink, &model, 0, 1003, 1).unwrap();
    sink.finish(&Seal { len: 1003, ..Seal::default() }).unwrap();
    let mut padded = model.clone();
    padded.bytes.push(0);
    check_source(&*read::open(&open_request(&outlet, "d.simg")).unwrap().disk, &padded);
}

/// An image of `chunks`: kind, blocks, content; with longer headers than usual, which readers have to step over.
fn image(block: u32, blocks: u32, chunks: &[(u16, u32, &[u8])]) -> Vec<u8> {
    let mut file = MAGIC.to_le_bytes().to_vec();
    for half in [1u16, 0, 32, 16] {
        file.extend(half.to_le_bytes());
    }
    for word in [block, blocks, chunks.len() as u32, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    for (kind, blocks, content) in chunks {
        file.extend(kind.to_le_bytes());
        file.extend([0; 2]);
        file.extend(blocks.to_le_bytes());
        file.extend((16 + content.len() as u32).to_le_bytes());
        file.extend([0xEE; 4]);
        file.extend(*content);
    }
    file
}

#[test]
fn chunks_of_every_kind_are_read() {
    let raw = Model::noise(8192, 2).bytes;
    let mut bytes = raw.clone();
    bytes.extend([1, 2, 3, 4].iter().cycle().take(700 * 4096));
    bytes.resize(bytes.len() + 3 * 4096, 0);
    let sum = crc32(&bytes).to_le_bytes();
    bytes.extend(&raw[..4096]);
    let chunks: [(u16, u32, &[u8]); 6] = [
        (RAW, 2, &raw),
        (FILL, 700, &[1, 2, 3, 4]),
        (SKIP, 2, &[]),
        (FILL, 1, &[0; 4]),
        (CRC, 0, &sum),
        (RAW, 1, &raw[..4096]),
    ];
    let file = image(4096, 706, &chunks);
    let model = Model { bytes, runs: Vec::new(), sector: 512 };
    let opened = read::open(&open_bytes("d.simg", file.clone())).unwrap();
    check_source(&*opened.disk, &model);
    let states: Vec<_> = extents(&*opened.disk, 0, model.bytes.len() as u64).map(|e| e.unwrap().state).collect();
    assert_eq!(states, [State::Data, State::Unused, State::Zero, State::Data]);
    assert_eq!(check::check(&open_bytes("d.simg", file.clone())).unwrap(), []);
    let mut bad = file.clone();
    bad[32 + 16 + 100] ^= 1;
    let found = check::check(&open_bytes("d.simg", bad)).unwrap();
    assert!(found.len() == 1 && found[0].what.contains("checksum"), "{found:?}");
    let mut more = file;
    more.push(0);
    assert_eq!(check::check(&open_bytes("d.simg", more)).unwrap().len(), 1);
}

#[test]
fn what_cannot_be_is_refused() {
    let raw = [7; 4096];
    let good = image(4096, 2, &[(RAW, 1, &raw), (SKIP, 1, &[])]);
    assert!(read::open(&open_bytes("d.simg", good.clone())).is_ok());
    for (what, file, kind) in [
        ("cut off", good[..good.len() - 1].to_vec(), Kind::Corrupt),
        ("too short", image(4096, 3, &[(RAW, 1, &raw), (SKIP, 1, &[])]), Kind::Corrupt),
        ("too long", image(4096, 1, &[(RAW, 1, &raw), (SKIP, 1, &[])]), Kind::Corrupt),
        ("a raw chunk of another length", image(4096, 2, &[(RAW, 2, &raw)]), Kind::Corrupt),
        ("a fill of no word", image(4096, 2, &[(FILL, 2, &[1, 2])]), Kind::Corrupt),
        ("an unknown kind", image(4096, 2, &[(0xCAC5, 2, &[])]), Kind::Unsupported),
        ("no blocks", image(0, 2, &[(SKIP, 2, &[])]), Kind::Corrupt),
        ("half words", image(4098, 2, &[(SKIP, 2, &[])]), Kind::Corrupt),
        ("only a header", good[..Header::LEN as usize].to_vec(), Kind::Corrupt),
        ("less", good[..20].to_vec(), Kind::Corrupt),
    ] {
        let e = read::open(&open_bytes("d.simg", file)).err().unwrap_or_else(|| panic!("{what}"));
        assert_eq!(e.kind(), kind, "{what}: {e}");
    }
}
