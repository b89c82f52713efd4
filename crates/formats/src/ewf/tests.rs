use super::layout::{COMPRESSED, Descriptor, FileHeader, Hash, Sealed, SmallVolume, TableHeader, Volume};
use super::{check::check, plan::losses, read::open, resume::resume, write::create};
use std::sync::Arc;
use tintype_codec::checksum::adler32;
use tintype_codec::deflate::{Compressor, Level};
use tintype_codec::digest::{Algorithm, digest};
use tintype_core::testing::{
    MemoryOutlet, Model, Recorder, Step, check_source, check_writer, create_request, feed_model, open_bytes,
    open_request,
};
use tintype_core::{
    Checkpoint, Compression, CreateRequest, Extent, Image, Kind, OpenRequest, Options, Outlet, Piece, PieceBody, Seal,
    Source, State, extents,
};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromZeros, IntoBytes};

const STATES: [State; 3] = [State::Data, State::Zero, State::Bad];

fn options(chunk: &str) -> Options {
    Options::parse(super::FORMAT.options, &[format!("chunk={chunk}")]).unwrap()
}

/// The same request every time: the present time is never asked for.
fn settle(request: &mut CreateRequest) {
    request.facts.case.acquired = "2024-05-06T07:08:09Z".into();
    request.facts.case.notes = "näh".into();
}

#[test]
fn every_size_and_chunk_comes_back() {
    for (n, len) in [0, 1, 511, 512, 513, 16 << 10, (32 << 10) - 1, 32 << 10, (32 << 10) + 1, 1_000_003, 3 << 20]
        .into_iter()
        .enumerate()
    {
        for chunk in ["16KiB", "32KiB", "1MiB"] {
            let sector = if n % 2 == 0 { 512 } else { 4096 };
            let model = Model::mixed(len, &STATES, sector, len as u64);
            let (image, outlet) = check_writer(create, open, "d.E01", &model, |r| {
                settle(r);
                r.options = options(chunk);
            });
            assert_eq!(image.variant, "EnCase 6");
            assert_eq!(image.warnings, Vec::<String>::new());
            assert_eq!(check(&open_request(&outlet, "d.E01")).unwrap(), vec![]);
        }
    }
}

#[test]
fn every_compression_comes_back_in_segments_of_any_size() {
    let model = Model::mixed(2_000_000, &STATES, 512, 7);
    for compression in ["none", "empty", "fast", "best", "zlib:1", "zlib:12"] {
        for split in [60_000, 100_000, 1 << 20, 1 << 30] {
            let (image, outlet) = check_writer(create, open, "d.e01", &model, |r| {
                settle(r);
                r.compression = Some(compression.parse().unwrap());
                r.split = Some(split);
            });
            for name in outlet.names() {
                assert!(outlet.bytes(&name).unwrap().len() as u64 <= split, "{name} with {compression}, {split}");
            }
            assert_eq!(image.files, outlet.names());
            assert_eq!(check(&open_request(&outlet, "d.e01")).unwrap(), vec![]);
        }
    }
}

#[test]
fn a_stream_of_unknown_length_becomes_the_same_image() {
    for len in [0, 5, 70_000, 1 << 20] {
        let model = Model::mixed(len, &STATES, 512, 3);
        let change = |r: &mut CreateRequest| {
            settle(r);
            r.split = Some(100_000);
            r.len = None;
        };
        let (_, outlet) = check_writer(create, open, "d.E01", &model, change);
        assert_eq!(check(&open_request(&outlet, "d.E01")).unwrap(), vec![]);
    }
}

#[test]
fn facts_and_digests_come_back() {
    let model = Model::noise(100_000, 1);
    let outlet = MemoryOutlet::new();
    let mut request = create_request(outlet.clone(), "d.E01", &model);
    settle(&mut request);
    request.facts.identity.model = "Model".into();
    request.facts.identity.serial = "123".into();
    request.facts.case.case = "№ 7".into();
    request.digests = vec!["md5".into(), "sha256".into(), "sha1".into()];
    let mut sink = create(&request).unwrap();
    assert_eq!(sink.feed().digests, ["md5", "sha1"]);
    feed_model(&mut *sink, &model, 0, 100_000, 2).unwrap();
    let of = |a| digest(a, &model.bytes).as_bytes().to_vec();
    let digests = vec![("md5".to_owned(), of(Algorithm::Md5)), ("sha1".to_owned(), of(Algorithm::Sha1))];
    let written = sink.finish(&Seal { len: 100_000, digests: digests.clone(), lost: Vec::new() }).unwrap();
    assert_eq!(written.bytes, outlet.bytes("d.E01").unwrap().len() as u64);
    let image = open(&open_request(&outlet, "d.E01")).unwrap();
    let facts = image.disk.facts();
    assert_eq!(facts.identity.model, "Model");
    assert_eq!((&facts.case.case[..], &facts.case.notes[..]), ("№ 7", "näh"));
    assert_eq!(facts.case.acquired, "2024-05-06T07:08:09Z");
    let stored: Vec<_> = facts.digests.iter().map(|d| (d.algorithm.clone(), d.value.clone())).collect();
    assert_eq!(stored, digests);
    assert_eq!(facts.fields["sectors"], (100_000 / 32).to_string());
}

#[test]
fn what_cannot_be_carried_out_is_refused_before_a_file_is_made() {
    let model = Model::noise(1 << 20, 1);
    type Change = fn(&mut CreateRequest);
    let cases: [(&str, Change); 7] = [
        ("end in", |r| r.name = "d.img".into()),
        ("end in", |r| r.name = "d.S01".into()),
        ("power", |r| r.options = options("48KiB")),
        ("split", |r| r.split = Some(10_000)),
        ("split", |r| {
            r.split = Some(100_000);
            r.len = Some(2 << 30);
        }),
        ("chunk", |r| r.len = Some(200 << 40)),
        ("zlib", |r| r.compression = Some(Compression::Codec { name: "zlib".into(), level: Some(13) })),
    ];
    for (word, change) in cases {
        let outlet = MemoryOutlet::new();
        let mut request = create_request(outlet.clone(), "d.E01", &model);
        change(&mut request);
        let e = create(&request).err().unwrap();
        assert!(e.kind() == Kind::Usage && e.to_string().contains(word), "{e}");
        assert_eq!(outlet.names(), Vec::<String>::new());
    }
}

#[test]
fn losses_are_told() {
    let model = Model::noise(512, 1);
    let mut request = create_request(MemoryOutlet::new(), "d.E01", &model);
    assert_eq!(losses(&request), Vec::<String>::new());
    request.len = Some(3 << 40);
    request.facts.identity.wwn = "5000".into();
    request.facts.case.notes = "a\nb".into();
    request.facts.case.acquired = "yesterday".into();
    assert_eq!(losses(&request).len(), 4);
}

#[test]
fn unread_ranges_are_lost_ranges_too() {
    let model = Model::noise(200_000, 1);
    let outlet = MemoryOutlet::new();
    let mut request = create_request(outlet.clone(), "d.E01", &model);
    settle(&mut request);
    request.len = Some(200_000);
    let mut sink = create(&request).unwrap();
    feed_model(&mut *sink, &model, 0, 200_000, 2).unwrap();
    let lost = vec![
        Extent::new(0, 512, State::Bad),
        Extent::new(512, 1024, State::Unread),
        Extent::new(100_000, 1, State::Bad),
    ];
    sink.finish(&Seal { len: 200_000, digests: Vec::new(), lost }).unwrap();
    let image = open(&open_request(&outlet, "d.E01")).unwrap();
    check_source(&*image.disk, &model);
    let bad: Vec<_> = extents(&*image.disk, 0, 200_000).map(Result::unwrap).filter(|e| e.state == State::Bad).collect();
    // 200,000 bytes are 3,125 sectors of 64 bytes.
    assert_eq!(bad, [Extent::new(0, 1536, State::Bad), Extent::new(99_968, 64, State::Bad)]);
}

/// A medium of 3 TiB of zeros, and what the error table cannot hold.
#[test]
fn ranges_beyond_the_error_table_go_to_a_mapfile() {
    let outlet = MemoryOutlet::new();
    let len = 3 << 40;
    let mut request = create_request(outlet.clone(), "d.E01", &Model::noise(0, 1));
    settle(&mut request);
    request.len = Some(len);
    request.options = options("1MiB");
    // 3 million chunks would take some seconds; what counts are the ranges.
    let mut sink = create(&CreateRequest { len: None, ..request.clone() }).unwrap();
    let short = 1 << 20;
    sink.put(Piece { offset: 0, len: short, body: PieceBody::Run(State::Zero) }).unwrap();
    let lost = vec![Extent::new(512, 512, State::Bad), Extent::new(5 << 40, 4096, State::Unread)];
    let written = sink.finish(&Seal { len: short, digests: Vec::new(), lost }).unwrap();
    assert_eq!(written.files, ["d.E01", "d.E01.map"]);
    let map = String::from_utf8(outlet.bytes("d.E01.map").unwrap()).unwrap();
    let map = tintype_core::mapfile::parse_mapfile(&map).unwrap();
    assert_eq!(map.get(5 << 40), Some(Extent::new(5 << 40, 4096, State::Unread)));
    assert_eq!(map.get(512).unwrap().state, State::Bad);
    assert_eq!(losses(&request).len(), 1);
}

// ---- resume ----

struct Run {
    checkpoints: Vec<(u64, Checkpoint)>,
    recorder: Recorder,
}

fn resumable(model: &Model, split: u64) -> CreateRequest {
    let mut request = create_request(MemoryOutlet::new(), "d.E01", model);
    settle(&mut request);
    request.split = Some(split);
    request.options = options("16KiB");
    request
}

fn seal(model: &Model) -> Seal {
    let lost = model.runs.iter().filter(|r| r.state.is_lost()).copied().collect();
    let digests = vec![("md5".to_owned(), digest(Algorithm::Md5, &model.bytes).as_bytes().to_vec())];
    Seal { len: model.bytes.len() as u64, digests, lost }
}

/// Writes the whole, with a checkpoint after every `step` bytes.
fn write_all(model: &Model, request: &CreateRequest, step: u64) -> Run {
    let recorder = Recorder::new();
    let mut sink = create(&CreateRequest { outlet: Arc::new(recorder.clone()), ..request.clone() }).unwrap();
    let mut checkpoints = Vec::new();
    let len = model.bytes.len() as u64;
    let mut at = 0;
    while at < len {
        let end = (at + step).min(len);
        feed_model(&mut *sink, model, at, end, 2).unwrap();
        at = end;
        if let Some(checkpoint) = sink.checkpoint().unwrap() {
            let mark = checkpoints.len() as u64;
            checkpoints.push((mark, checkpoint));
            recorder.mark(mark);
        }
    }
    sink.finish(&seal(model)).unwrap();
    Run { checkpoints, recorder }
}

fn files(outlet: &MemoryOutlet) -> Vec<(String, Vec<u8>)> {
    outlet.names().into_iter().map(|n| (n.clone(), outlet.bytes(&n).unwrap())).collect()
}

/// Resumes in `folder` from the checkpoints and finishes; returns the files.
fn finish_from(
    folder: &MemoryOutlet,
    model: &Model,
    request: &CreateRequest,
    checkpoints: &[Checkpoint],
) -> Vec<(String, Vec<u8>)> {
    let request = CreateRequest { outlet: Arc::new(folder.clone()), ..request.clone() };
    let resumed = resume(&request, checkpoints).unwrap_or_else(|e| panic!("resume: {}", e.chain()));
    let upto = resumed.offset;
    assert_eq!(upto, checkpoints.last().unwrap().offset);
    let part = Model {
        bytes: model.bytes[..upto as usize].to_vec(),
        runs: model.runs.iter().filter_map(|r| r.clip(0, upto)).collect(),
        sector: 512,
    };
    check_source(&*resumed.stored, &part);
    for run in part.runs.iter().filter(|r| r.state == State::Bad) {
        for extent in extents(&*resumed.stored, run.offset, run.end()) {
            assert_eq!(extent.unwrap().state, State::Bad);
        }
    }
    let mut sink = resumed.sink;
    feed_model(&mut *sink, model, upto, model.bytes.len() as u64, 3).unwrap();
    sink.finish(&seal(model)).unwrap();
    files(folder)
}

#[test]
fn resumed_images_are_the_same_byte_for_byte_after_any_crash() {
    for (split, len) in [(60_000, 400_000), (1 << 30, 500_001)] {
        let model = Model::mixed(len, &STATES, 512, 11);
        let request = resumable(&model, split);
        let whole = write_all(&model, &request, 16 << 10);
        let expected = files(whole.recorder.folder());
        let once = write_all(&model, &request, len as u64);
        assert_eq!(files(once.recorder.folder()), expected, "checkpoints change nothing");
        let steps = whole.recorder.steps();
        for cut in 0..=steps.len() {
            let durable = steps[..cut].iter().filter(|s| matches!(s, Step::Mark(_))).count();
            if durable == 0 {
                continue;
            }
            let checkpoints: Vec<_> = whole.checkpoints[..durable].iter().map(|(_, c)| c.clone()).collect();
            for torn in [None, Some(7)] {
                let folder = Recorder::after(&steps[..cut], torn).unwrap();
                assert_eq!(
                    finish_from(&folder, &model, &request, &checkpoints),
                    expected,
                    "cut {cut} of {}",
                    steps.len()
                );
            }
        }
    }
}

#[test]
fn an_image_can_be_resumed_again_and_again() {
    let model = Model::mixed(600_000, &STATES, 512, 5);
    let request = resumable(&model, 90_000);
    let expected = files(write_all(&model, &request, 600_000).recorder.folder());
    let folder = MemoryOutlet::new();
    let request = CreateRequest { outlet: Arc::new(folder.clone()), ..request };
    let mut sink = create(&request).unwrap();
    let mut checkpoints = Vec::new();
    let mut at = 0;
    while at + (64 << 10) < 600_000 {
        feed_model(&mut *sink, &model, at, at + (48 << 10), 2).unwrap();
        checkpoints.push(sink.checkpoint().unwrap().unwrap());
        // This part is lost again.
        feed_model(&mut *sink, &model, at + (48 << 10), at + (64 << 10), 1).unwrap();
        drop(sink);
        let resumed = resume(&request, &checkpoints).unwrap();
        (sink, at) = (resumed.sink, resumed.offset);
    }
    feed_model(&mut *sink, &model, at, 600_000, 2).unwrap();
    sink.finish(&seal(&model)).unwrap();
    assert_eq!(files(&folder), expected);
}

#[test]
fn a_foreign_or_damaged_journal_is_refused() {
    let model = Model::mixed(300_000, &STATES, 512, 5);
    let request = resumable(&model, 90_000);
    let run = write_all(&model, &request, 32 << 10);
    let all: Vec<_> = run.checkpoints.iter().map(|(_, c)| c.clone()).collect();
    let folder = || {
        let folder = MemoryOutlet::new();
        files(run.recorder.folder()).into_iter().for_each(|(n, b)| folder.insert(&n, b));
        folder
    };
    let attempt = |folder: MemoryOutlet, checkpoints: &[Checkpoint]| {
        resume(&CreateRequest { outlet: Arc::new(folder), ..request.clone() }, checkpoints).err().map(|e| e.kind())
    };
    assert_eq!(attempt(folder(), &all), None);
    assert_eq!(attempt(folder(), &all[1..2]), Some(Kind::Corrupt));
    assert_eq!(attempt(folder(), &[Checkpoint { offset: 0, state: vec![1, 2] }]), Some(Kind::Corrupt));
    let cut = folder();
    cut.reopen("d.E01").unwrap().set_len(3000).unwrap();
    assert_eq!(attempt(cut, &all), Some(Kind::Corrupt));
    for at in 0..all[0].state.len() {
        let mut changed = all[..1].to_vec();
        changed[0].state[at] ^= 1;
        // Either it is found out, or what is stored is still what was written.
        let folder = folder();
        if let Ok(resumed) = resume(&CreateRequest { outlet: Arc::new(folder), ..request.clone() }, &changed) {
            let mut bytes = vec![0; resumed.offset as usize];
            resumed.stored.read_at(&mut bytes, 0).unwrap();
            assert_eq!(bytes, model.bytes[..bytes.len()]);
        }
    }
}

// ---- damage ----

fn small_image() -> (Model, Vec<u8>) {
    let model = Model::mixed(90_000, &STATES, 512, 2);
    let outlet = MemoryOutlet::new();
    let mut request = create_request(outlet.clone(), "d.E01", &model);
    settle(&mut request);
    request.options = options("16KiB");
    let mut sink = create(&request).unwrap();
    feed_model(&mut *sink, &model, 0, 90_000, 2).unwrap();
    sink.finish(&seal(&model)).unwrap();
    (model, outlet.bytes("d.E01").unwrap())
}

/// Opens and reads; panics if bytes come out that are not those of the model.
fn never_wrong(model: &Model, bytes: Vec<u8>, what: &str) -> Result<(), Kind> {
    let request = open_bytes("d.E01", bytes);
    let _ = check(&request);
    let image = open(&request).map_err(|e| e.kind())?;
    let len = image.disk.len().min(1 << 24) as usize;
    let mut result = if len == model.bytes.len() { Ok(()) } else { Err(Kind::Corrupt) };
    for from in (0..len).step_by(5000) {
        let mut buf = vec![0; 5000.min(len - from)];
        match image.disk.read_at(&mut buf, from as u64) {
            Ok(()) if len == model.bytes.len() => {
                assert_eq!(buf, model.bytes[from..from + buf.len()], "{what}, from {from}")
            }
            Ok(()) => {}
            Err(e) => result = Err(e.kind()),
        }
    }
    for extent in extents(&*image.disk, 0, len as u64) {
        result = result.and(extent.map(drop).map_err(|e| e.kind()));
    }
    result
}

#[test]
fn truncated_images_are_refused() {
    let (model, bytes) = small_image();
    for len in (0..bytes.len()).step_by(37) {
        let result = never_wrong(&model, bytes[..len].to_vec(), "cut");
        assert!(matches!(result, Err(Kind::Corrupt)), "cut at {len}: {result:?}");
    }
}

#[test]
fn flipped_bits_never_give_wrong_bytes() {
    let (model, bytes) = small_image();
    assert_eq!(never_wrong(&model, bytes.clone(), "whole"), Ok(()));
    let mut seed = 12345u64;
    for _ in 0..3000 {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let at = (seed >> 33) as usize % bytes.len();
        let bit = (seed >> 20) as usize % 8;
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << bit;
        let _ = never_wrong(&model, damaged, &format!("bit {bit} of {at}"));
    }
}

#[test]
fn a_flipped_bit_in_any_section_is_found() {
    let (model, bytes) = small_image();
    // Whole bytes: single bits behind the end of a deflate stream stand for nothing.
    for at in (13..bytes.len()).step_by(11) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        let findings = check(&open_bytes("d.E01", damaged.clone())).unwrap();
        let read = never_wrong(&model, damaged, "flip");
        assert!(!findings.is_empty() || read.is_err(), "byte {at} of {}", bytes.len());
    }
}

// ---- files of other programs, by hand ----

fn section(file: &mut Vec<u8>, kind: &str, data: &[u8]) {
    file.extend_from_slice(Descriptor::new(kind, file.len() as u64, data.len() as u64).as_bytes());
    file.extend_from_slice(data);
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new(Level::Best).zlib(plain, &mut out);
    out
}

fn small_volume(len: u64) -> SmallVolume {
    let mut volume = SmallVolume::new_zeroed();
    volume.reserved1 = U32::new(1);
    volume.chunks = U32::new(len.div_ceil(32768) as u32);
    volume.sectors_per_chunk = U32::new(64);
    volume.bytes_per_sector = U32::new(512);
    volume.sectors = U32::new((len / 512) as u32);
    volume
}

/// A table section with the chunks inside, as SMART (no checksum behind the entries) and EnCase 1 (with it) write it.
fn table_with_data(file: &mut Vec<u8>, chunks: &[(Vec<u8>, bool)], footer: bool) {
    let head = file.len() + 76 + 24 + 4 * chunks.len() + if footer { 4 } else { 0 };
    let mut at = head as u32;
    let mut entries = Vec::new();
    for (bytes, compressed) in chunks {
        entries.extend_from_slice(&(at | if *compressed { COMPRESSED } else { 0 }).to_le_bytes());
        at += bytes.len() as u32;
    }
    let mut data = TableHeader::new(chunks.len() as u32, 0).as_bytes().to_vec();
    data.extend_from_slice(&entries);
    if footer {
        data.extend_from_slice(&adler32(&entries).to_le_bytes());
    }
    chunks.iter().for_each(|(bytes, _)| data.extend_from_slice(bytes));
    section(file, "table", &data);
}

fn hash(md5: &[u8]) -> Hash {
    let mut hash = Hash::new_zeroed();
    hash.md5.copy_from_slice(md5);
    hash.sealed()
}

fn checked(image: &Image, model: &Model) {
    check_source(&*image.disk, model);
    assert_eq!(image.disk.facts().digests[0].value, digest(Algorithm::Md5, &model.bytes).as_bytes());
}

#[test]
fn smart_and_encase_1_tables_hold_their_chunks() {
    let model = Model::noise(80 * 1024, 4);
    for (signature, footer, header, variant) in [
        (
            *b"SMART",
            false,
            "1\nmain\nc\tn\ta\te\tt\tav\tov\tm\tu\tp\tr\n1\t2\t3\t4\t5\t3\tWin\t2002 3 4 10 19 59\t\t0\tb\n",
            "SMART (S01)",
        ),
        (
            [0; 5],
            true,
            "1\r\nmain\r\nc\tn\ta\te\tt\tm\tu\tp\tr\r\n1\t2\t3\t4\t5\t2002 3 4 10 19 59\t\t0\tb\r\n\r\n",
            "EnCase 1",
        ),
    ] {
        let mut file = FileHeader::new(1).as_bytes().to_vec();
        section(&mut file, "header", &zlib(header.as_bytes()));
        let mut volume = small_volume(80 * 1024);
        volume.signature = signature;
        section(&mut file, "volume", volume.sealed().as_bytes());
        let chunks: Vec<_> = model
            .bytes
            .chunks(32768)
            .map(|c| if footer { ([c, &adler32(c).to_le_bytes()].concat(), false) } else { (zlib(c), true) })
            .collect();
        table_with_data(&mut file, &chunks, footer);
        section(&mut file, "hash", hash(digest(Algorithm::Md5, &model.bytes).as_bytes()).as_bytes());
        let at = file.len() as u64;
        // SMART gives these a size of 76.
        let mut done = Descriptor::last("done", at);
        done.size = U64::new(76);
        file.extend_from_slice(done.sealed().as_bytes());
        let request = open_bytes("x.s01", file);
        let image = open(&request).unwrap_or_else(|e| panic!("{}", e.chain()));
        checked(&image, &model);
        assert_eq!(image.variant, variant);
        assert_eq!(image.disk.facts().case.acquired, "2002-03-04T10:19:59");
        assert_eq!(check(&request).unwrap(), vec![]);
    }
}

/// The last chunk holds more than the sectors say: a file whose size was no multiple of 512, or a chunk that was padded.
#[test]
fn the_last_chunk_may_be_longer_than_the_sectors_say() {
    for (sectors, stored, compressed, expect) in [
        (8, 4097, false, 4097),
        (8, 4097, true, 4097),
        (8, 32768, true, 4096),
        (8, 32768, false, 4096),
        (64, 32768 + 100, false, 32868),
        (64, 32768, true, 32768),
    ] {
        let model = Model::noise(stored, 4);
        let mut file = FileHeader::new(1).as_bytes().to_vec();
        let mut volume = Volume::new_zeroed();
        volume.chunks = U32::new(stored.div_ceil(32768) as u32);
        volume.sectors_per_chunk = U32::new(64);
        volume.bytes_per_sector = U32::new(512);
        volume.sectors = U64::new(sectors);
        section(&mut file, "disk", volume.sealed().as_bytes());
        let base = file.len();
        let (mut data, mut entries) = (Vec::new(), Vec::new());
        for chunk in model.bytes.chunks(32768) {
            let flag = if compressed { COMPRESSED } else { 0 };
            entries.extend_from_slice(&((76 + data.len()) as u32 | flag).to_le_bytes());
            data.extend(if compressed { zlib(chunk) } else { [chunk, &adler32(chunk).to_le_bytes()].concat() });
        }
        section(&mut file, "sectors", &data);
        let head = TableHeader::new(entries.len() as u32 / 4, base as u64);
        section(&mut file, "table", &[head.as_bytes(), &entries, &adler32(&entries).to_le_bytes()].concat());
        let at = file.len() as u64;
        file.extend_from_slice(Descriptor::last("done", at).as_bytes());
        let image = open(&open_bytes("x.E01", file)).unwrap_or_else(|e| panic!("{}", e.chain()));
        assert_eq!(image.disk.len(), expect, "{sectors} sectors, {stored} bytes");
        let model = Model { bytes: model.bytes[..expect as usize].to_vec(), ..model };
        check_source(&*image.disk, &model);
    }
}

struct Huge;

impl Source for Huge {
    fn len(&self) -> u64 {
        5 << 30
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> tintype_core::Result<()> {
        Ok(())
    }
}

/// EnCase 6.7.1 let the offsets of chunks that are not compressed grow into the bit that says: compressed.
#[test]
fn offsets_of_encase_6_7_1_use_all_bits() {
    use super::index::{Index, Stored};
    use super::scan::{Entries, Segment, Table};
    let first: u32 = (1 << 31) - 3 * 32772;
    let raw: Vec<u32> = (0..6).map(|n| first + n * 32772).collect();
    let of = |raw: Vec<u32>, end: u64| {
        let segment = Segment { name: "x.E01".into(), source: Arc::new(Huge) };
        let entries = Entries::Memory(Arc::new(raw));
        let table = Table { segment: 0, count: 6, first: 0, base: 0, entries, copy: None, data: (76, end) };
        let index = Index::new(vec![segment], vec![table], 32768);
        let (table, loaded) = index.find(0).unwrap();
        (0..6).map(|i| index.stored(table, &loaded, i)).collect::<Vec<_>>()
    };
    let expect: Vec<_> =
        (0..6).map(|n| Stored { at: u64::from(first) + n * 32772, len: 32772, compressed: false }).collect();
    assert_eq!(of(raw, u64::from(first) + 6 * 32772), expect);
    // The same numbers in a short section are compressed chunks.
    let short = of((0..6).map(|n| (100 + n * 50) | COMPRESSED).collect(), 400);
    assert_eq!(short[5], Stored { at: 350, len: 50, compressed: true });
}

#[test]
fn other_evidence_is_refused_by_name() {
    for (magic, word) in [(super::layout::MAGIC_LOGICAL, "L01"), (super::layout::MAGIC_V2, "Ex01")] {
        let mut file = FileHeader::new(1);
        file.magic = magic;
        let e = open(&open_bytes("x.E01", file.as_bytes().to_vec())).err().unwrap();
        assert!(e.kind() == Kind::Unsupported && e.to_string().contains(word), "{e}");
    }
}

// ---- sets ----

fn set() -> (Model, MemoryOutlet) {
    let model = Model::noise(300_000, 9);
    let (_, outlet) = check_writer(create, open, "Disk.E01", &model, |r| {
        settle(r);
        r.split = Some(100_000);
    });
    assert!(outlet.names().len() > 4);
    (model, outlet)
}

fn without(outlet: &MemoryOutlet, name: &str) -> MemoryOutlet {
    let other = MemoryOutlet::new();
    files(outlet).into_iter().filter(|(n, _)| n != name).for_each(|(n, b)| other.insert(&n, b));
    other
}

fn refused(request: &OpenRequest) -> String {
    open(request).err().expect("it is refused").to_string()
}

#[test]
fn sets_with_gaps_and_strangers() {
    let (model, outlet) = set();
    for (n, name) in outlet.names().into_iter().enumerate().skip(1) {
        let text = refused(&open_request(&without(&outlet, &name), "Disk.E01"));
        assert!(text.contains(&name) && text.contains("missing"), "{n}: {text}");
    }
    let text = refused(&open_request(&outlet, "Disk.E03"));
    assert!(text.contains("Disk.E01") && text.contains("segment 3"), "{text}");

    let lower = MemoryOutlet::new();
    files(&outlet).into_iter().for_each(|(n, b)| lower.insert(&n.replace(".E03", ".e03"), b));
    check_source(&*open(&open_request(&lower, "Disk.E01")).unwrap().disk, &model);

    let swapped = without(&outlet, "Disk.E02");
    swapped.insert("Disk.E02", outlet.bytes("Disk.E03").unwrap());
    assert!(refused(&open_request(&swapped, "Disk.E01")).contains("segment 3"));

    let (_, foreign) = check_writer(create, open, "Disk.E01", &model, |r| {
        settle(r);
        r.facts.case.case = "another".into();
        r.split = Some(100_000);
    });
    swapped.insert("Disk.E02", foreign.bytes("Disk.E02").unwrap());
    assert!(refused(&open_request(&swapped, "Disk.E01")).contains("another image"));

    let longer = without(&outlet, "");
    let beyond = format!("Disk.E{:02}", outlet.names().len() + 1);
    longer.insert(&beyond, outlet.bytes("Disk.E02").unwrap());
    let image = open(&open_request(&longer, "Disk.E01")).unwrap();
    assert!(image.warnings.iter().any(|w| w.contains(&beyond)), "{:?}", image.warnings);
    let alone = refused(&open_bytes("Disk.E01", outlet.bytes("Disk.E01").unwrap()));
    assert!(alone.contains("Disk.E02"), "{alone}");
}

#[test]
fn a_damaged_table_is_read_from_its_copy() {
    let (model, bytes) = small_image();
    let tables: Vec<usize> = (0..bytes.len() - 6).filter(|i| bytes[*i..].starts_with(b"table")).collect();
    let [first, second] = tables[..] else { panic!("one table and its copy") };
    for at in [76 + 3, 76 + 24 + 5] {
        for which in [first, second] {
            let mut damaged = bytes.clone();
            damaged[which + at] ^= 1;
            let request = open_bytes("d.E01", damaged);
            let image = open(&request).unwrap();
            check_source(&*image.disk, &model);
            assert!(which == second || !image.warnings.is_empty());
            assert!(!check(&request).unwrap().is_empty());
        }
        let mut damaged = bytes.clone();
        damaged[first + at] ^= 1;
        damaged[second + at] ^= 1;
        assert!(never_wrong(&model, damaged, "both").is_err());
    }
}
