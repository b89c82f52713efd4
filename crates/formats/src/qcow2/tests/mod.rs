mod damage;
mod names;
mod sound;

use super::FORMAT;
use super::check::check;
use super::open::open;
use super::write::{OPTIONS, create};
use std::sync::Arc;
use tintype_core::testing::{
    MemoryOutlet, Model, check_source, check_writer, create_request, feed_model, open_request,
};
use tintype_core::{
    Backing, Compression, CreateRequest, Extent, Finding, Image, Options, Seal, Source, State, extents,
};

const STATES: [State; 2] = [State::Data, State::Zero];

fn options(words: &[&str]) -> Options {
    Options::parse(OPTIONS, words).unwrap()
}

/// A disk with runs of up to some hundred sectors.
fn model(len: usize, seed: u64) -> Model {
    Model::mixed(len, &STATES, 512, seed)
}

fn findings(outlet: &MemoryOutlet, name: &str) -> Vec<Finding> {
    check(&open_request(outlet, name)).unwrap_or_else(|e| panic!("{}", e.chain()))
}

/// Writes and reads back, and checks what was written.
fn round(model: &Model, words: &[&str], compression: Option<&str>) -> (Image, MemoryOutlet) {
    let told = format!("{words:?} {compression:?} {}", model.bytes.len());
    let (image, outlet) = check_writer(create, open, "d.qcow2", model, |request| {
        request.options = options(words);
        request.compression = compression.map(|c| c.parse().unwrap());
    });
    let found = findings(&outlet, "d.qcow2");
    assert!(found.is_empty(), "{told}: {found:?}");
    (image, outlet)
}

#[test]
fn any_size_comes_back() {
    for len in [0, 1, 511, 512, 65536, 65537, 1_000_003] {
        let model = model(len, len as u64);
        for compression in [None, Some("zlib"), Some("zstd"), Some("fast"), Some("best")] {
            round(&model, &[], compression);
        }
    }
}

#[test]
fn every_cluster_size_comes_back() {
    for bits in 9..=21 {
        let size = format!("cluster_size={}", 1u32 << bits);
        let model = model((5 << 20) + 512, bits);
        for compression in [None, Some("zlib:1"), Some("zstd:1")] {
            round(&model, &[&size], compression);
        }
        if bits >= 14 {
            for compression in [None, Some("zlib:1")] {
                round(&model, &[&size, "extended_l2=on"], compression);
            }
        }
    }
}

#[test]
fn every_width_of_reference_counts_comes_back() {
    for bits in [1, 2, 4, 8, 16, 32, 64] {
        let width = format!("refcount_bits={bits}");
        let model = model(3 << 20, bits);
        for compression in [None, Some("zlib")] {
            round(&model, &[&width, "cluster_size=512"], compression);
            round(&model, &[&width, "lazy_refcounts=on"], compression);
        }
    }
}

#[test]
fn other_options_come_back() {
    let model = model((3 << 20) + 1000, 7);
    for words in [
        &["compat=v2"][..],
        &["preallocation=metadata"],
        &["preallocation=falloc", "cluster_size=4096"],
        &["preallocation=full"],
        &["preallocation=metadata", "extended_l2=on"],
        &["data_file=d.data"],
        &["data_file=d.data", "data_file_raw=on"],
        &["data_file=d.data", "preallocation=full"],
    ] {
        let (image, outlet) = round(&model, words, None);
        if words.contains(&"data_file_raw=on") {
            assert_eq!(outlet.bytes("d.data").unwrap()[..model.bytes.len()], model.bytes);
        }
        assert_eq!(image.files.len(), 1 + usize::from(words[0].starts_with("data_file")));
    }
    round(&model, &["compat=v2"], Some("zlib"));
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let model = model(1 << 20, 3);
    for (words, compression) in [
        (&["cluster_size=1000"][..], None),
        (&["cluster_size=4MiB"], None),
        (&["compat=v2", "refcount_bits=8"], None),
        (&["compat=v2", "extended_l2=on"], None),
        (&["compat=v2"], Some("zstd")),
        (&["compat=v4"], None),
        (&["cluster_size=8192", "extended_l2=on"], None),
        (&["preallocation=metadata"], Some("zlib")),
        (&["data_file=d.data"], Some("zlib")),
        (&["data_file=../d.data"], None),
        (&["data_file=d.qcow2"], None),
        (&["data_file_raw=on"], None),
        (&[], Some("zlib:13")),
        (&[], Some("lzma")),
    ] {
        let outlet = MemoryOutlet::new();
        let mut request = create_request(outlet.clone(), "d.qcow2", &model);
        request.options = options(words);
        request.compression = compression.map(|c| c.parse::<Compression>().unwrap());
        let e = create(&request).err().unwrap_or_else(|| panic!("{words:?} {compression:?} was not refused"));
        assert_eq!(e.kind(), tintype_core::Kind::Usage, "{}", e.chain());
        assert!(outlet.names().is_empty(), "{words:?}");
    }
    let mut request = create_request(MemoryOutlet::new(), "d.qcow2", &model);
    request.len = Some(16 << 40);
    request.options = options(&["cluster_size=4096"]);
    assert!(create(&request).err().unwrap().to_string().contains("cluster_size"));
}

/// Writes `top` over `base` and opens it.
fn overlay(base: &Model, top: &Model, words: &[&str], compression: Option<&str>) -> (Image, MemoryOutlet, u64) {
    let outlet = MemoryOutlet::new();
    outlet.insert("base.img", base.bytes.clone());
    let mut request = create_request(outlet.clone(), "top.qcow2", top);
    request.options = options(words);
    request.compression = compression.map(|c| c.parse().unwrap());
    request.backing = Some(Backing {
        name: "base.img".into(),
        format: "raw",
        variant: "raw".into(),
        source: Arc::new(base.clone()),
        fields: Default::default(),
    });
    let written = write(&request, top);
    let image = open(&open_request(&outlet, "top.qcow2")).unwrap_or_else(|e| panic!("{}", e.chain()));
    let found = findings(&outlet, "top.qcow2");
    assert!(found.is_empty(), "{words:?} {compression:?}: {found:?}");
    (image, outlet, written)
}

fn write(request: &CreateRequest, model: &Model) -> u64 {
    let mut sink = create(request).unwrap_or_else(|e| panic!("{}", e.chain()));
    let len = model.bytes.len() as u64;
    feed_model(&mut *sink, model, 0, len, 3).unwrap_or_else(|e| panic!("{}", e.chain()));
    sink.finish(&Seal { len, ..Seal::default() }).unwrap_or_else(|e| panic!("{}", e.chain())).bytes
}

#[test]
fn an_overlay_holds_what_differs() {
    for (base_len, top_len) in [(3 << 20, 3 << 20), (2 << 20, 3_000_000), (3 << 20, 1_000_000), (0, 1 << 20)] {
        let base = model(base_len, 1);
        let changed = model(top_len, 2);
        // Half of it as below, with what is beyond the end of that; the other half new.
        let mut top = changed.clone();
        let half = top_len / 2;
        let mut below = base.bytes.clone();
        below.resize(top_len.max(base_len), 0);
        top.bytes[..half].copy_from_slice(&below[..half]);
        top.runs = vec![Extent::new(0, half as u64, State::Data)];
        top.runs.extend(changed.runs.iter().filter_map(|r| r.clip(half as u64, top_len as u64)));
        for words in [&["cluster_size=4096"][..], &["extended_l2=on"], &["compat=v2"], &["cluster_size=512"]] {
            for compression in [None, Some("zlib")] {
                let (image, _, written) = overlay(&base, &top, words, compression);
                check_source(&*image.disk, &top);
                assert_eq!((image.chain.len(), image.chain[0].format.name), (1, "raw"));
                assert!(written < top_len as u64 * 3 / 4 + (1 << 20), "{words:?}: {written} of {top_len}");
            }
        }
    }
}

#[test]
fn zeros_over_something_are_kept() {
    let base = Model::noise(2 << 20, 5);
    let top = Model { bytes: vec![0; 2 << 20], runs: vec![Extent::new(0, 2 << 20, State::Zero)], sector: 512 };
    for (words, compression) in [
        (&[][..], None),
        (&[], Some("zlib")),
        (&["extended_l2=on"], None),
        (&["extended_l2=on"], Some("zlib")),
        (&["compat=v2"], None),
    ] {
        let (image, _, written) = overlay(&base, &top, words, compression);
        check_source(&*image.disk, &top);
        assert!(words.contains(&"compat=v2") || written < 1 << 20, "{words:?}: {written}");
    }
}

#[test]
fn nothing_put_is_nothing_changed() {
    let base = Model::noise(1 << 20, 6);
    let outlet = MemoryOutlet::new();
    outlet.insert("base.img", base.bytes.clone());
    let mut request = create_request(outlet.clone(), "top.qcow2", &base);
    let source: Arc<dyn Source> = Arc::new(base.clone());
    let (name, variant) = ("base.img".into(), "raw".into());
    request.backing = Some(Backing { name, format: "raw", variant, source, fields: Default::default() });
    let sink = create(&request).unwrap();
    sink.finish(&Seal { len: 1 << 20, ..Seal::default() }).unwrap();
    check_source(&*open(&open_request(&outlet, "top.qcow2")).unwrap().disk, &base);
    assert!(findings(&outlet, "top.qcow2").is_empty());
}

#[test]
fn a_format_below_is_believed_only_if_it_was_said_or_its_name_agrees() {
    let base = model(1 << 20, 8);
    let (_, outlet) = round(&base, &[], None);
    let inner = outlet.bytes("d.qcow2").unwrap();
    // A guest wrote an image of this format onto its raw disk.
    outlet.insert("base.img", inner.clone());
    outlet.insert("base.qcow2", inner.clone());
    let size = inner.len();
    for (below, format, len, refused) in [
        ("base.img", Some("raw"), size, false),
        ("base.img", None, size, true),
        ("base.qcow2", None, 1 << 20, false),
        ("base.img", Some("qcow2"), 1 << 20, false),
    ] {
        let top = Model { bytes: vec![0; len], runs: Vec::new(), sector: 512 };
        let mut request = create_request(outlet.clone(), "top.qcow2", &top);
        let source: Arc<dyn Source> = Arc::new(top.clone());
        let name = below.into();
        let format = format.unwrap_or("raw");
        request.backing = Some(Backing { name, format, variant: String::new(), source, fields: Default::default() });
        create(&request).unwrap().finish(&Seal { len: len as u64, ..Seal::default() }).unwrap();
        let mut bytes = outlet.bytes("top.qcow2").unwrap();
        if refused || below == "base.qcow2" {
            // The extension with the format becomes one that nobody knows.
            let at = bytes.windows(4).position(|w| w == [0xe2, 0x79, 0x2a, 0xca]).unwrap();
            bytes[at] = 1;
            outlet.insert("top.qcow2", bytes);
        }
        match open(&open_request(&outlet, "top.qcow2")) {
            Ok(image) if !refused => {
                let mut read = vec![0; len];
                image.disk.read_at(&mut read, 0).unwrap();
                let expected = if len == size { &inner } else { &base.bytes };
                assert!(read == *expected, "{below} {format}");
            }
            Err(e) if refused => assert_eq!(e.kind(), tintype_core::Kind::Denied, "{}", e.chain()),
            Ok(_) => panic!("{below} was taken for a container on its own word"),
            Err(e) => panic!("{below}: {}", e.chain()),
        }
        outlet_remove(&outlet, "top.qcow2");
    }
}

fn outlet_remove(outlet: &MemoryOutlet, name: &str) {
    tintype_core::Outlet::remove(outlet, name).unwrap();
}

#[test]
fn absent_ranges_are_passed_over_in_large_steps() {
    let outlet = MemoryOutlet::new();
    let mut request = create_request(outlet.clone(), "d.qcow2", &model(0, 1));
    request.len = Some(16 << 40);
    let mut sink = create(&request).unwrap();
    let body = tintype_core::PieceBody::Run(State::Zero);
    sink.put(tintype_core::Piece { offset: 0, len: 16 << 40, body }).unwrap();
    sink.finish(&Seal { len: 16 << 40, ..Seal::default() }).unwrap();
    let image = open(&open_request(&outlet, "d.qcow2")).unwrap();
    let (mut at, mut steps) = (0, 0);
    while at < image.disk.len() {
        let extent = image.disk.extent_at(at).unwrap();
        assert_eq!(extent.state, State::Zero);
        (at, steps) = (extent.end(), steps + 1);
    }
    assert!(steps <= 20, "{steps} steps");
    assert!(findings(&outlet, "d.qcow2").is_empty());
}

#[test]
fn the_row_is_found_by_content() {
    let (_, outlet) = round(&model(1000, 1), &[], None);
    let found = crate::probe(&open_request(&outlet, "d.qcow2")).unwrap();
    assert!(std::ptr::eq(found, &FORMAT));
    let image = open(&open_request(&outlet, "d.qcow2")).unwrap();
    assert!(extents(&*image.disk, 0, 1000).all(|e| e.is_ok()));
}
