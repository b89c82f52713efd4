use super::*;
use std::sync::Arc;
use tintype_codec::deflate::{Compressor, Level};
use tintype_codec::{bgzf, checksum};
use tintype_core::testing::{
    MemoryOutlet, Model, Recorder, Step, check_source, check_writer, create_request, feed_model, open_bytes,
    open_request,
};
use tintype_core::{Checkpoint, Checksums, Compression, Kind, Seal, Severity};

const STATES: [State; 2] = [State::Data, State::Zero];

fn member(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    Compressor::new(Level::Fast).raw(plain, &mut out);
    out.extend_from_slice(&checksum::crc32(plain).to_le_bytes());
    out.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    out
}

fn written(model: &Model, level: &str) -> Vec<u8> {
    let change = |r: &mut tintype_core::CreateRequest| r.compression = Some(level.parse().unwrap());
    let (_, outlet) = check_writer(write::create, read::open, "d.gz", model, change);
    outlet.bytes("d.gz").unwrap()
}

#[test]
fn any_size_comes_back_at_any_level() {
    for len in [0, 1, 511, 65_535, 65_536, 65_537, 131_072, 700_001] {
        for level in ["none", "empty", "fast", "best", "gzip:1", "zlib:12", "gzip"] {
            let file = written(&Model::mixed(len, &STATES, 512, len as u64), level);
            assert!(file.ends_with(&bgzf::END));
        }
        let (image, _) = check_writer(write::create, read::open, "d.gz", &Model::noise(len, 1), |r| r.len = None);
        assert_eq!(image.variant, "BGZF");
        assert!(image.notes().is_empty(), "{:?}", image.notes());
    }
}

#[test]
fn levels_that_are_none_are_refused() {
    for level in ["gzip:0", "gzip:13", "zstd", "gzip:-1"] {
        let mut request = create_request(MemoryOutlet::new(), "d.gz", &Model::noise(1, 1));
        request.compression = Some(level.parse().unwrap());
        assert_eq!(write::create(&request).err().map(|e| e.kind()), Some(Kind::Usage), "{level}");
    }
    assert_eq!("none".parse::<Compression>().unwrap(), Compression::None);
}

#[test]
fn members_of_every_kind_are_read() {
    let model = Model::mixed(500_000, &STATES, 512, 3);
    let (head, tail) = model.bytes.split_at(200_000);
    let bgzf = |bytes: &[u8]| {
        let mut out = Vec::new();
        let mut encoder = bgzf::Encoder::new(Level::Fast);
        bytes.chunks(bgzf::MAX_PLAIN).for_each(|chunk| {
            encoder.block(chunk, &mut out).unwrap();
        });
        out
    };
    let files = [
        ("one member", member(&model.bytes), 0),
        ("two members", [member(head), member(tail)].concat(), 0),
        ("zeros after", [member(&model.bytes), vec![0; 700]].concat(), 0),
        ("something after", [member(&model.bytes), b"something".to_vec()].concat(), 1),
        ("blocks", [bgzf(&model.bytes), bgzf::END.to_vec()].concat(), 0),
        ("blocks, end in the middle", [bgzf(head), bgzf::END.to_vec(), bgzf(tail), bgzf::END.to_vec()].concat(), 0),
        ("blocks without end", bgzf(&model.bytes), 1),
        ("blocks, then a member", [bgzf(head), member(tail)].concat(), 0),
        ("blocks, then something", [bgzf(&model.bytes), bgzf::END.to_vec(), b"something".to_vec()].concat(), 1),
    ];
    for (what, file, warnings) in files {
        let image = read::open(&open_bytes("d.gz", file)).unwrap_or_else(|e| panic!("{what}: {}", e.chain()));
        check_source(&*image.disk, &model);
        assert_eq!(image.notes().len(), warnings, "{what}: {:?}", image.notes());
    }
}

#[test]
fn a_cut_file_is_refused_and_says_what_can_be_read() {
    let model = Model::mixed(200_000, &STATES, 512, 5);
    for whole in [written(&model, "fast"), member(&model.bytes)] {
        let end = if whole.ends_with(&bgzf::END) { whole.len() - bgzf::END.len() } else { whole.len() };
        for cut in (0..end).step_by(37) {
            let result = read::open(&open_bytes("d.gz", whole[..cut].to_vec()));
            let Err(e) = result else {
                // Cut between two blocks: there is no telling but by the missing end.
                let image = result.unwrap();
                assert!(!image.notes().is_empty() && image.disk.len() < model.bytes.len() as u64);
                continue;
            };
            assert_eq!(e.kind(), Kind::Corrupt, "{cut}: {}", e.chain());
            assert!(e.to_string().contains("can be read"), "{}", e.chain());
        }
    }
}

#[test]
fn a_flipped_bit_is_found_or_does_no_harm() {
    let model = Model::mixed(150_000, &STATES, 512, 6);
    for whole in [written(&model, "fast"), member(&model.bytes)] {
        for i in 0..600 {
            let mut file = whole.clone();
            let bit = i * 7919 % (file.len() * 8);
            file[bit / 8] ^= 1 << (bit % 8);
            let read = read::open(&open_bytes("d.gz", file)).and_then(|image| {
                let mut bytes = vec![0; image.disk.len() as usize];
                image.disk.read_at(&mut bytes, 0)?;
                Ok((bytes, image.notes()))
            });
            match read {
                Ok((bytes, warnings)) => assert!(bytes == model.bytes || !warnings.is_empty(), "bit {bit}"),
                Err(e) => assert!(matches!(e.kind(), Kind::Corrupt | Kind::Unsupported), "bit {bit}: {}", e.chain()),
            }
        }
    }
}

#[test]
fn every_prefix_of_the_writing_can_be_gone_on_with() {
    let model = Model::mixed(1_000_000, &STATES, 512, 9);
    let recorder = Recorder::new();
    let mut request = create_request(MemoryOutlet::new(), "d.gz", &model);
    request.outlet = Arc::new(recorder.clone());
    let mut sink = write::create(&request).unwrap();
    let mut checkpoints = vec![Checkpoint::default()];
    recorder.mark(0);
    let len = model.bytes.len() as u64;
    for from in (0..len).step_by(196_608) {
        feed_model(&mut *sink, &model, from, (from + 196_608).min(len), 1).unwrap();
        checkpoints.push(sink.checkpoint().unwrap().unwrap());
        recorder.mark(checkpoints.len() as u64 - 1);
    }
    sink.finish(&Seal { len, ..Seal::default() }).unwrap();
    let whole = recorder.folder().bytes("d.gz").unwrap();
    let steps = recorder.steps();
    for cut in 0..steps.len() {
        let marks = steps[..cut].iter().filter_map(|s| if let Step::Mark(n) = s { Some(*n as usize) } else { None });
        let Some(known) = marks.max() else { continue };
        let folder = Recorder::after(&steps[..cut], Some(100)).unwrap();
        request.outlet = Arc::new(folder.clone());
        let mut resumed = write::resume(&request, &checkpoints[..=known]).unwrap();
        assert_eq!(resumed.offset, checkpoints[known].offset);
        let mut held = vec![0; resumed.offset as usize];
        resumed.stored.read_at(&mut held, 0).unwrap();
        assert_eq!(held, model.bytes[..held.len()]);
        feed_model(&mut *resumed.sink, &model, resumed.offset, len, 1).unwrap();
        resumed.sink.finish(&Seal { len, ..Seal::default() }).unwrap();
        assert!(folder.bytes("d.gz").unwrap() == whole, "the same as without the interruption");
    }
    let short = MemoryOutlet::new();
    short.insert("d.gz", whole[..100].to_vec());
    request.outlet = Arc::new(short);
    assert_eq!(write::resume(&request, &checkpoints).err().map(|e| e.kind()), Some(Kind::Corrupt));
}

#[test]
fn the_check_finds_cuts_without_decoding() {
    let model = Model::noise(300_000, 8);
    let whole = written(&model, "fast");
    assert!(check::check(&open_bytes("d.gz", whole.clone())).unwrap().is_empty());
    let findings = check::check(&open_bytes("d.gz", whole[..whole.len() - 28].to_vec())).unwrap();
    assert_eq!(findings[0].severity, Severity::Damage);
    assert_eq!(findings[0].what, read::NO_END);
    let cut = read::open(&open_bytes("d.gz", whole[..whole.len() - 28].to_vec())).unwrap();
    assert_eq!(cut.warnings, [read::NO_END]);
    let findings = check::check(&open_bytes("d.gz", whole[..whole.len() / 2].to_vec())).unwrap();
    assert_eq!(findings[0].severity, Severity::Damage);
}

#[test]
fn a_cut_up_file_is_read_as_one() {
    let model = Model::noise(300_000, 8);
    let whole = written(&model, "fast");
    let folder = MemoryOutlet::new();
    folder.insert("d.gz.aa", whole[..100_000].to_vec());
    folder.insert("d.gz.ab", whole[100_000..].to_vec());
    let image = read::open(&open_request(&folder, "d.gz.aa")).unwrap();
    check_source(&*image.disk, &model);
    assert_eq!(image.files, ["d.gz.aa", "d.gz.ab"]);
}

#[test]
fn a_block_that_says_another_length_is_corrupt_and_named() {
    let model = Model::mixed(4096, &STATES, 512, 10);
    let whole = written(&model, "fast");
    let len_at = whole.len() - bgzf::END.len() - 4;
    for len in [0, 1, 4095, 4097, 65_536u32] {
        let mut file = whole.clone();
        file[len_at..len_at + 4].copy_from_slice(&len.to_le_bytes());
        let read = read::open(&open_bytes("d.gz", file)).and_then(|image| {
            assert_eq!(image.checksums, Checksums::Every);
            image.disk.read_at(&mut vec![0; image.disk.len() as usize], 0)
        });
        let e = read.expect_err("the length is a lie");
        assert_eq!(e.kind(), Kind::Corrupt, "{len}: {}", e.chain());
        assert!(e.offset().is_some() && e.path().is_some_and(|p| p.ends_with("d.gz")), "{len}: {e}");
    }
}

#[test]
fn what_follows_is_damage() {
    let model = Model::noise(100_000, 11);
    for whole in [written(&model, "fast"), member(&model.bytes)] {
        let image = read::open(&open_bytes("d.gz", [&whole[..], b"something"].concat())).unwrap();
        assert_eq!((image.damage[0].severity, image.damage[0].offset), (Severity::Damage, Some(whole.len() as u64)));
        assert_ne!(image.checksums, Checksums::None);
    }
}
