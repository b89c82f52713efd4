use super::layout::{COMPRESSED, Descriptor, FileHeader, Hash, Sealed, SmallVolume, TableHeader, Volume};
use super::{check::check, plan::losses, read::open, resume::resume, write::create};
use std::sync::Arc;
use tintype_codec::checksum::adler32;
use tintype_codec::deflate::{Compressor, Level};
use tintype_codec::digest::{Algorithm, digest};
use tintype_core::mapfile::{Gaps, Mapfile};
use tintype_core::testing::{
    Damage, MemoryOutlet, Model, Recorder, Step, Sweep, check_source, check_writer, create_request, feed_model,
    open_bytes, open_request,
};
use tintype_core::{
    Care, Checkpoint, Compression, CreateRequest, Extent, Image, Kind, OpenRequest, Options, Outlet, Piece, PieceBody,
    Seal, Source, State, extents,
};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromZeros, IntoBytes};

mod damage;
mod foreign;
mod resume;

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
    let map = outlet.bytes("d.E01.map").unwrap();
    let map = Mapfile::parse(&map, Gaps::Refused).unwrap().extents();
    assert_eq!(map.get(5 << 40), Some(Extent::new(5 << 40, 4096, State::Unread)));
    assert_eq!(map.get(512).unwrap().state, State::Bad);
    assert_eq!(losses(&request).len(), 1);
}
