use super::*;
use std::sync::Arc;
use tintype_codec::zstd::{Checksum, Compressor};
use tintype_codec::zstd_seekable::{Entry, encode_table};
use tintype_core::testing::{
    MemoryOutlet, Model, Recorder, Step, check_source, check_writer, create_request, feed_model, open_bytes,
};
use tintype_core::{Checkpoint, Checksums, Kind as ErrorKind, Seal, Severity};

const STATES: [State; 2] = [State::Data, State::Zero];

fn frame(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new(3, Checksum::Written).unwrap().frame(plain, &mut out).unwrap();
    out
}

fn written(model: &Model, level: &str) -> Vec<u8> {
    let change = |r: &mut tintype_core::CreateRequest| r.compression = Some(level.parse().unwrap());
    let (image, outlet) = check_writer(write::create, read::open, "d.zst", model, change);
    assert_eq!(image.variant, "seekable");
    outlet.bytes("d.zst").unwrap()
}

#[test]
fn any_size_comes_back_at_any_level() {
    for len in [0, 1, 511, 4 << 20, (4 << 20) + 1, 13_000_001] {
        let levels: &[&str] = if len > 1000 { &["zstd"] } else { &["fast", "best", "zstd:1", "zstd:22"] };
        for level in levels {
            written(&Model::mixed(len, &STATES, 512, len as u64), level);
        }
    }
    let mut zeros = Model::mixed(20 << 20, &[State::Zero], 4096, 1);
    zeros.runs = vec![tintype_core::Extent::new(0, 20 << 20, State::Zero)];
    assert!(written(&zeros, "zstd").len() < 2000);
    check_writer(write::create, read::open, "d.zst", &Model::noise(70_000, 1), |r| r.len = None);
}

#[test]
fn levels_that_are_none_are_refused() {
    for level in ["zstd:0", "zstd:23", "gzip", "none"] {
        let mut request = create_request(MemoryOutlet::new(), "d.zst", &Model::noise(1, 1));
        request.compression = Some(level.parse().unwrap());
        assert_eq!(write::create(&request).err().map(|e| e.kind()), Some(ErrorKind::Usage), "{level}");
    }
}

#[test]
fn frames_of_every_kind_are_read() {
    let model = Model::mixed(500_000, &STATES, 512, 3);
    let (head, tail) = model.bytes.split_at(200_000);
    let skippable = [&[0x55, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], &[9; 4]].concat();
    let two = [frame(head), frame(tail)].concat();
    let mut lying = two.clone();
    encode_table(&[Entry { packed_len: 5, len: 5, checksum: None }], &mut lying).unwrap();
    let sum = |bytes: &[u8]| Some(tintype_codec::checksum::xxh64(bytes) as u32);
    let mut summed = two.clone();
    let entries =
        [head, tail].map(|p| Entry { packed_len: frame(p).len() as u32, len: p.len() as u32, checksum: sum(p) });
    encode_table(&entries, &mut summed).unwrap();
    let files = [
        ("one frame", frame(&model.bytes), "frames", 0),
        ("two frames", two.clone(), "frames", 0),
        (
            "skippable frames",
            [skippable.clone(), frame(head), skippable.clone(), frame(tail), skippable].concat(),
            "frames",
            0,
        ),
        ("something after", [two.clone(), b"something".to_vec()].concat(), "frames", 1),
        ("a table that lies", lying, "frames", 1),
        ("a table with checksums", summed, "seekable", 0),
        (
            "without length",
            {
                let mut bytes = frame(head);
                bytes.extend(unsized_frame(tail));
                bytes
            },
            "stream",
            0,
        ),
    ];
    for (what, file, variant, warnings) in files {
        let image = read::open(&open_bytes("d.zst", file)).unwrap_or_else(|e| panic!("{what}: {}", e.chain()));
        check_source(&*image.disk, &model);
        assert_eq!((&image.variant[..], image.notes().len()), (variant, warnings), "{what}: {:?}", image.notes());
    }
}

/// A frame of stored blocks that does not say its length.
fn unsized_frame(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
    let mut blocks = plain.chunks(100_000).peekable();
    while let Some(block) = blocks.next() {
        let header = (block.len() as u32) << 3 | u32::from(blocks.peek().is_none());
        out.extend_from_slice(&header.to_le_bytes()[..3]);
        out.extend_from_slice(block);
    }
    out
}

#[test]
fn cuts_are_found() {
    let model = Model::mixed(100_000, &STATES, 512, 5);
    let seekable = written(&model, "zstd");
    for (whole, end) in [(frame(&model.bytes), None), (seekable.clone(), Some(frame(&model.bytes).len()))] {
        for cut in (0..whole.len()).step_by(37) {
            let read = read::open(&open_bytes("d.zst", whole[..cut].to_vec())).and_then(|image| {
                let mut bytes = vec![0; image.disk.len() as usize];
                image.disk.read_at(&mut bytes, 0).map(|()| bytes)
            });
            match read {
                // The table may be cut off: the frames are whole.
                Ok(bytes) => assert!(end.is_some_and(|end| cut >= end) && bytes == model.bytes, "{cut}"),
                Err(e) => assert_eq!(e.kind(), ErrorKind::Corrupt, "{cut}: {}", e.chain()),
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_found_or_does_no_harm() {
    let model = Model::mixed(60_000, &STATES, 512, 6);
    for whole in [written(&model, "zstd"), frame(&model.bytes), unsized_frame(&model.bytes)] {
        let is_summed = whole[4] & 4 != 0;
        for i in 0..600 {
            let mut file = whole.clone();
            let bit = i * 7919 % (file.len() * 8);
            file[bit / 8] ^= 1 << (bit % 8);
            let read = read::open(&open_bytes("d.zst", file)).and_then(|image| {
                let mut bytes = vec![0; image.disk.len().min(1 << 24) as usize];
                image.disk.read_at(&mut bytes, 0)?;
                Ok((bytes, image.notes()))
            });
            match read {
                // The flag that announces the checksum is not covered by it.
                Ok((bytes, warnings)) => {
                    assert!(bytes == model.bytes || !warnings.is_empty() || !is_summed || bit / 8 == 4, "bit {bit}");
                }
                Err(e) => {
                    let kinds = matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::Limit);
                    assert!(kinds, "bit {bit}: {}", e.chain());
                }
            }
        }
    }
}

#[test]
fn lying_lengths_are_corrupt() {
    let model = Model::mixed(100_000, &STATES, 512, 5);
    let good = frame(&model.bytes);
    for len in [99_999u32, 100_001, 1 << 20, u32::MAX] {
        let mut file = good.clone();
        encode_table(&[Entry { packed_len: good.len() as u32, len, checksum: None }], &mut file).unwrap();
        let read = read::open(&open_bytes("d.zst", file.clone()))
            .and_then(|image| image.disk.read_at(&mut vec![0; image.disk.len().min(1 << 20) as usize], 0));
        if len != u32::MAX {
            assert_eq!(read.err().map(|e| e.kind()), Some(ErrorKind::Corrupt), "{len}");
        }
        let findings = check::check(&open_bytes("d.zst", file)).unwrap();
        assert!(findings.iter().any(|f| f.severity == Severity::Damage), "{len}");
    }
}

#[test]
fn every_prefix_of_the_writing_can_be_gone_on_with() {
    let model = Model::mixed(17 << 20, &STATES, 512, 9);
    let recorder = Recorder::new();
    let mut request = create_request(MemoryOutlet::new(), "d.zst", &model);
    request.outlet = Arc::new(recorder.clone());
    let mut sink = write::create(&request).unwrap();
    let mut checkpoints = vec![Checkpoint::default()];
    recorder.mark(0);
    let len = model.bytes.len() as u64;
    for from in (0..len).step_by(8 << 20) {
        feed_model(&mut *sink, &model, from, (from + (8 << 20)).min(len), 1).unwrap();
        checkpoints.push(sink.checkpoint().unwrap().unwrap());
        recorder.mark(checkpoints.len() as u64 - 1);
    }
    sink.finish(&Seal { len, ..Seal::default() }).unwrap();
    let whole = recorder.folder().bytes("d.zst").unwrap();
    let steps = recorder.steps();
    for cut in 0..steps.len() {
        let marks = steps[..cut].iter().filter_map(|s| if let Step::Mark(n) = s { Some(*n as usize) } else { None });
        let Some(known) = marks.max() else { continue };
        let folder = Recorder::after(&steps[..cut], Some(100)).unwrap();
        request.outlet = Arc::new(folder.clone());
        let mut resumed = write::resume(&request, &checkpoints[..=known]).unwrap();
        let mut held = vec![0; resumed.offset as usize];
        resumed.stored.read_at(&mut held, 0).unwrap();
        assert!(held == model.bytes[..held.len()]);
        feed_model(&mut *resumed.sink, &model, resumed.offset, len, 1).unwrap();
        resumed.sink.finish(&Seal { len, ..Seal::default() }).unwrap();
        assert!(folder.bytes("d.zst").unwrap() == whole, "the same as without the interruption");
    }
}

#[test]
fn only_what_has_checksums_is_called_proved() {
    let model = Model::mixed(100_000, &STATES, 512, 12);
    let (head, tail) = model.bytes.split_at(40_000);
    let bare = |plain: &[u8]| {
        let mut out = Vec::new();
        Compressor::new(3, Checksum::Omitted).unwrap().frame(plain, &mut out).unwrap();
        out
    };
    let table = |frames: [Vec<u8>; 2], sums: [Option<u32>; 2]| {
        let mut out = frames.concat();
        let entry = |i: usize, plain: &[u8]| Entry {
            packed_len: frames[i].len() as u32,
            len: plain.len() as u32,
            checksum: sums[i],
        };
        encode_table(&[entry(0, head), entry(1, tail)], &mut out).unwrap();
        out
    };
    let sums = [head, tail].map(|p| Some(tintype_codec::checksum::xxh64(p) as u32));
    let files = [
        ("ours", written(&model, "zstd"), Checksums::Every),
        ("one frame", frame(&model.bytes), Checksums::Every),
        ("one bare frame", bare(&model.bytes), Checksums::None),
        ("the second is bare", [frame(head), bare(tail)].concat(), Checksums::None),
        ("a bare frame without length", [frame(head), unsized_frame(tail)].concat(), Checksums::None),
        ("summed by the table", table([bare(head), bare(tail)], sums), Checksums::Every),
        ("bare frames in a table", table([bare(head), bare(tail)], [None; 2]), Checksums::None),
        ("frames in a table", table([frame(head), frame(tail)], [None; 2]), Checksums::Every),
    ];
    for (what, file, proved) in files {
        let image = read::open(&open_bytes("d.zst", file)).unwrap();
        assert_eq!(image.checksums, proved, "{what}");
        check_source(&*image.disk, &model);
    }
    // A table is not read frame by frame: the one that has no checksum is found when it is decoded.
    let image = read::open(&open_bytes("d.zst", table([frame(head), bare(tail)], [None; 2]))).unwrap();
    assert_eq!(image.checksums, Checksums::Every);
    image.disk.read_at(&mut [0; 100], 0).unwrap();
    assert_eq!(image.disk.read_at(&mut [0; 100], 50_000).err().map(|e| e.kind()), Some(ErrorKind::Corrupt));
}

#[test]
fn content_that_is_said_not_to_be_there_is_missed() {
    let plain = vec![7; 1 << 20];
    let good = frame(&plain);
    let mut file = good.clone();
    encode_table(&[Entry { packed_len: good.len() as u32, len: 0, checksum: None }], &mut file).unwrap();
    assert_eq!(check::check(&open_bytes("d.zst", file.clone())).unwrap()[0].severity, Severity::Damage);
    assert_eq!(read::open(&open_bytes("d.zst", file)).unwrap().disk.len(), 1 << 20, "the frame knows better");
    let header = tintype_codec::zstd::parse_frame_header(&good).unwrap();
    let at = good.windows(4).take(header.len).position(|w| w == (1u32 << 20).to_le_bytes()).unwrap();
    let mut file = good.clone();
    file[at..at + 4].fill(0);
    let read = read::open(&open_bytes("d.zst", file));
    assert_eq!(read.err().map(|e| e.kind()), Some(ErrorKind::Corrupt));
}

#[test]
fn a_footer_that_cannot_be_right_does_not_hide_the_frames() {
    let model = Model::mixed(100_000, &STATES, 512, 13);
    let whole = written(&model, "zstd");
    // The count of frames, and a reserved bit.
    for (back, bit) in [(6, 7), (5, 4)] {
        let mut file = whole.clone();
        let at = file.len() - back;
        file[at] ^= 1 << bit;
        let image = read::open(&open_bytes("d.zst", file.clone())).unwrap();
        assert_eq!((&image.variant[..], image.warnings.len()), ("frames", 1));
        check_source(&*image.disk, &model);
        assert_eq!(check::check(&open_bytes("d.zst", file)).unwrap()[0].severity, Severity::Damage);
    }
}
