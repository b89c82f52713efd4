use super::*;
use liblzma::stream::{Check, Stream};
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use tintype_core::testing::{MemoryOutlet, Model, check_source, open_bytes};
use tintype_core::{Checksums, Entry, Kind, OpenRequest, Severity, Source};

fn packed(pieces: &[&[u8]], check: Check) -> Vec<u8> {
    let stream = Stream::new_easy_encoder(0, check).unwrap();
    let mut writer = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    for (i, piece) in pieces.iter().enumerate() {
        if i > 0 {
            // Ends the block.
            writer.flush().unwrap();
        }
        writer.write_all(piece).unwrap();
    }
    writer.finish().unwrap()
}

fn one_block(plain: &[u8]) -> Vec<u8> {
    packed(&[plain], Check::Crc64)
}

fn blocks(plain: &[u8], check: Check) -> Vec<u8> {
    packed(&plain.chunks(100_000).collect::<Vec<_>>(), check)
}

fn model(len: usize) -> Model {
    Model::mixed(len, &[State::Data, State::Zero], 512, len as u64)
}

#[test]
fn streams_of_every_kind_are_read() {
    for len in [0, 1, 450_001] {
        let model = model(len);
        let (head, tail) = model.bytes.split_at(len / 3);
        let files = [
            ("one block", one_block(&model.bytes), 0),
            ("blocks", blocks(&model.bytes, Check::Crc32), 0),
            ("sha256", blocks(&model.bytes, Check::Sha256), 0),
            ("no check", blocks(&model.bytes, Check::None), 0),
            ("two streams", [blocks(head, Check::Crc64), one_block(tail)].concat(), 0),
            ("padding", [blocks(head, Check::Crc64), vec![0; 8], one_block(tail), vec![0; 4]].concat(), 0),
            ("something after", [blocks(&model.bytes, Check::Crc64), b"something".to_vec()].concat(), 1),
        ];
        for (what, file, warnings) in files {
            let image = read::open(&open_bytes("d.xz", file)).unwrap_or_else(|e| panic!("{what}: {}", e.chain()));
            check_source(&*image.disk, &model);
            assert_eq!(image.notes().len(), warnings, "{what}");
            assert_eq!(image.variant, if warnings == 0 { "blocks" } else { "stream" }, "{what}");
        }
    }
}

#[test]
fn cuts_and_flipped_bits_are_found() {
    let model = model(250_000);
    let whole = blocks(&model.bytes, Check::Crc64);
    let read = |file: Vec<u8>| {
        read::open(&open_bytes("d.xz", file)).and_then(|image| {
            let mut bytes = vec![0; image.disk.len().min(1 << 20) as usize];
            image.disk.read_at(&mut bytes, 0).map(|()| (bytes, image.notes()))
        })
    };
    for cut in (0..whole.len()).step_by(37 * 11) {
        match read(whole[..cut].to_vec()) {
            Ok(_) => panic!("cut at {cut} was read"),
            Err(e) => assert_eq!(e.kind(), Kind::Corrupt, "{cut}: {}", e.chain()),
        }
        let findings = read::check(&open_bytes("d.xz", whole[..cut].to_vec())).unwrap();
        assert_eq!(findings[0].severity, Severity::Damage);
    }
    assert!(read::check(&open_bytes("d.xz", whole.clone())).unwrap().is_empty());
    for i in 0..300 {
        let mut file = whole.clone();
        let bit = i * 7919 % (file.len() * 8);
        file[bit / 8] ^= 1 << (bit % 8);
        match read(file) {
            Ok((bytes, warnings)) => assert!(bytes == model.bytes || !warnings.is_empty(), "bit {bit}"),
            Err(e) => {
                assert!(matches!(e.kind(), Kind::Corrupt | Kind::Unsupported | Kind::Limit), "{bit}: {}", e.chain())
            }
        }
    }
}

#[test]
fn only_what_has_checks_is_called_proved() {
    let model = model(250_000);
    for (check, proved) in [
        (Check::None, Checksums::None),
        (Check::Crc32, Checksums::Every),
        (Check::Crc64, Checksums::Every),
        (Check::Sha256, Checksums::Every),
    ] {
        let file = blocks(&model.bytes, check);
        assert_eq!(read::open(&open_bytes("d.xz", file.clone())).unwrap().checksums, proved);
        let whole = if proved == Checksums::None { proved } else { Checksums::Whole };
        let image = read::open(&open_bytes("d.xz", [file, b"something".to_vec()].concat())).unwrap();
        assert_eq!((image.checksums, image.damage.len()), (whole, 1));
    }
    let mixed = [one_block(&model.bytes), packed(&[&model.bytes], Check::None)].concat();
    assert_eq!(read::open(&open_bytes("d.xz", mixed)).unwrap().checksums, Checksums::None);
}

/// Counts the bytes that are read.
struct Counting(Arc<dyn Source>, Mutex<u64>);

impl Source for Counting {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> tintype_core::Result<()> {
        *self.1.lock().unwrap() += buf.len() as u64;
        self.0.read_at(buf, offset)
    }
}

fn counted(file: &[u8]) -> (OpenRequest, Arc<Counting>) {
    let request = open_bytes("d.xz", file.to_vec());
    let counting = Arc::new(Counting(Arc::clone(request.entry.source().unwrap()), Mutex::new(0)));
    (OpenRequest { entry: Entry::bytes("d.xz", counting.clone()), ..request }, counting)
}

/// One block that is too large to be decoded at once. Its data is found only where the block is decoded.
fn large() -> (Vec<u8>, Vec<u8>) {
    let mut plain = Vec::new();
    for i in 0..72 {
        plain.extend_from_slice(&Model::noise(100_000, i).bytes);
        plain.resize(plain.len() + 900_000, i as u8);
    }
    let file = one_block(&plain);
    (plain, file)
}

#[test]
fn a_jump_into_one_large_block_does_not_start_it_over() {
    let (plain, file) = large();
    let (mut request, counting) = counted(&file);
    let outlet = MemoryOutlet::new();
    request.sidecars = Some(Arc::new(outlet.clone()));
    let read = |disk: &dyn Source, at: u64| {
        let before = *counting.1.lock().unwrap();
        let mut buf = vec![0; 5000];
        disk.read_at(&mut buf, at).unwrap();
        assert!(buf == plain[at as usize..][..5000], "at {at}");
        *counting.1.lock().unwrap() - before
    };
    let image = read::open(&request).unwrap();
    assert_eq!((image.variant.as_str(), image.checksums), ("stream", Checksums::Whole));
    // The end is where GPT keeps its copy.
    read(&*image.disk, plain.len() as u64 - 5000);
    for at in (0..plain.len() as u64 - 5000).rev().step_by(7_777_777) {
        let n = read(&*image.disk, at);
        assert!(n < file.len() as u64 / 3, "{n} of {} bytes for a jump to {at}", file.len());
    }
    // What was found out is kept.
    assert_eq!(outlet.names(), ["d.xz.tintype-index"]);
    let image = read::open(&request).unwrap();
    let n = read(&*image.disk, plain.len() as u64 - 5000);
    assert!(n < file.len() as u64 / 3, "{n} bytes with a side-car");
    let mut all = vec![0; plain.len()];
    image.disk.read_at(&mut all, 0).unwrap();
    assert!(all == plain);
}

#[test]
fn damage_before_a_jump_is_found_when_all_is_read() {
    let (plain, mut file) = large();
    // In noise that no match refers to: the bytes are others, and only the check tells.
    let at = file.len() / 2;
    file[at] ^= 0x10;
    let image = read::open(&open_bytes("d.xz", file)).unwrap();
    let mut last = [0; 512];
    let end = plain.len() as u64 - 512;
    assert_eq!(image.disk.read_at(&mut last, end).map_err(|e| e.kind()), Err(Kind::Corrupt));
    // Again, from a place behind the damage: the check that was kept does not match either.
    assert_eq!(image.disk.read_at(&mut last, end).map_err(|e| e.kind()), Err(Kind::Corrupt));
}
