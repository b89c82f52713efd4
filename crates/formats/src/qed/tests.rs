use super::FORMAT;
use super::check::check;
use super::read::open;
use super::write::{OPTIONS, create};
use std::sync::Arc;
use tintype_core::testing::{
    Damage, MemoryOutlet, Model, Sweep, check_source, check_writer, create_request, feed_model, open_request,
};
use tintype_core::{Backing, CreateRequest, Extent, Finding, Image, Kind, Options, Piece, PieceBody, Seal, State};

const STATES: [State; 2] = [State::Data, State::Zero];

fn options(words: &[&str]) -> Options {
    Options::parse(OPTIONS, words).unwrap()
}

fn model(len: usize, seed: u64) -> Model {
    Model::mixed(len, &STATES, 512, seed)
}

/// The model with zeros up to the end of its last sector: the format has no other sizes.
fn whole(mut model: Model) -> Model {
    let len = model.bytes.len().next_multiple_of(512);
    let more = (len - model.bytes.len()) as u64;
    if more > 0 {
        model.runs.push(Extent::new(model.bytes.len() as u64, more, State::Zero));
    }
    model.bytes.resize(len, 0);
    model
}

fn findings(outlet: &MemoryOutlet, name: &str) -> Vec<Finding> {
    check(&open_request(outlet, name)).unwrap_or_else(|e| panic!("{}", e.chain()))
}

fn round(model: &Model, words: &[&str]) -> (Image, MemoryOutlet) {
    let (image, outlet) = check_writer(create, open, "d.qed", model, |request| request.options = options(words));
    assert_eq!(findings(&outlet, "d.qed"), [], "{words:?} {}", model.bytes.len());
    (image, outlet)
}

fn write(request: &CreateRequest, model: &Model) -> u64 {
    let mut sink = create(request).unwrap_or_else(|e| panic!("{}", e.chain()));
    let len = model.bytes.len() as u64;
    feed_model(&mut *sink, model, 0, len, 3).unwrap_or_else(|e| panic!("{}", e.chain()));
    sink.finish(&Seal { len, ..Seal::default() }).unwrap_or_else(|e| panic!("{}", e.chain())).bytes
}

fn over(request: &mut CreateRequest, name: &str, format: &'static str, base: &Model) {
    let (name, source) = (name.into(), Arc::new(base.clone()));
    request.backing = Some(Backing { name, format, variant: String::new(), source, fields: Default::default() });
}

#[test]
fn any_size_comes_back() {
    for len in [0, 512, 65536, 66048, 5_000_192] {
        round(&model(len, len as u64), &[]);
    }
    for len in [1, 511, 65537, 1_000_003] {
        let model = model(len, len as u64);
        let outlet = MemoryOutlet::new();
        write(&create_request(outlet.clone(), "d.qed", &model), &model);
        check_source(&*open(&open_request(&outlet, "d.qed")).unwrap().disk, &whole(model));
        assert_eq!(findings(&outlet, "d.qed"), []);
    }
}

#[test]
fn every_size_of_clusters_and_tables_comes_back() {
    for bits in 12..=22 {
        for table in [2, 4, 8, 16] {
            let entries: u64 = table << bits >> 3;
            if (entries * entries).checked_mul(1 << bits).is_none() {
                continue;
            }
            let model = model((3 << 20) + 512 * bits as usize, bits + table);
            let words = [format!("cluster_size={}", 1u64 << bits), format!("table_size={table}")];
            let (image, _) = round(&model, &[&words[0], &words[1]]);
            let fields = &image.disk.facts().fields;
            assert_eq!(
                (&*fields["cluster_size"], &*fields["table_size"]),
                (&*(1u64 << bits).to_string(), &*table.to_string())
            );
        }
    }
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let model = model(1 << 20, 3);
    for words in [
        "cluster_size=2048",
        "cluster_size=12KiB",
        "cluster_size=8MiB",
        "cluster_size=4MiB",
        "table_size=1",
        "table_size=3",
        "table_size=32",
    ] {
        let outlet = MemoryOutlet::new();
        let mut request = create_request(outlet.clone(), "d.qed", &model);
        request.options = options(&[words]);
        let e = create(&request).err().unwrap_or_else(|| panic!("{words} was not refused"));
        assert_eq!(e.kind(), Kind::Usage, "{}", e.chain());
        assert!(outlet.names().is_empty(), "{words}");
    }
    let mut request = create_request(MemoryOutlet::new(), "d.qed", &model);
    request.len = Some(65 << 40);
    assert!(create(&request).err().unwrap().to_string().contains("cluster_size"));
    request.len = Some(64 << 40);
    create(&request).unwrap();
}

#[test]
fn an_overlay_holds_what_differs() {
    for (base_len, top_len) in [(3 << 20, 3 << 20), (2 << 20, 3_000_000), (3 << 20, 1_000_001), (0, 1 << 20)] {
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
        for words in [&["cluster_size=4096", "table_size=2"][..], &[], &["cluster_size=1MiB"]] {
            let outlet = MemoryOutlet::new();
            outlet.insert("base.img", base.bytes.clone());
            let mut request = create_request(outlet.clone(), "top.qed", &top);
            request.options = options(words);
            over(&mut request, "base.img", "raw", &base);
            let written = write(&request, &top);
            let image = open(&open_request(&outlet, "top.qed")).unwrap_or_else(|e| panic!("{}", e.chain()));
            assert_eq!(findings(&outlet, "top.qed"), []);
            check_source(&*image.disk, &whole(top.clone()));
            assert_eq!((image.chain.len(), image.chain[0].format.name), (1, "raw"));
            let most = if words.contains(&"cluster_size=1MiB") { 13 << 20 } else { top_len as u64 * 3 / 4 + (2 << 20) };
            assert!(written < most, "{words:?}: {written} of {top_len}");
        }
    }
}

#[test]
fn zeros_over_something_are_kept() {
    let base = Model::noise(2 << 20, 5);
    for len in [2 << 20, (1 << 20) + 700] {
        let top = Model { bytes: vec![0; len], runs: vec![Extent::new(0, len as u64, State::Zero)], sector: 512 };
        let outlet = MemoryOutlet::new();
        outlet.insert("base.img", base.bytes.clone());
        let mut request = create_request(outlet.clone(), "top.qed", &top);
        over(&mut request, "base.img", "raw", &base);
        // Header and tables.
        assert_eq!(write(&request, &top), 9 << 16);
        check_source(&*open(&open_request(&outlet, "top.qed")).unwrap().disk, &whole(top));
        assert_eq!(findings(&outlet, "top.qed"), []);
    }
}

#[test]
fn nothing_put_is_nothing_changed() {
    let base = Model::noise(1 << 20, 6);
    let outlet = MemoryOutlet::new();
    outlet.insert("base.img", base.bytes.clone());
    let mut request = create_request(outlet.clone(), "top.qed", &base);
    over(&mut request, "base.img", "raw", &base);
    let sink = create(&request).unwrap();
    sink.finish(&Seal { len: 1 << 20, ..Seal::default() }).unwrap();
    check_source(&*open(&open_request(&outlet, "top.qed")).unwrap().disk, &base);
    assert_eq!(findings(&outlet, "top.qed"), []);
}

#[test]
fn a_format_below_that_nobody_could_find_out_is_refused() {
    let base = model(1 << 20, 8);
    let (_, outlet) = round(&base, &[]);
    for (name, refused) in [("d.qed", false), ("base.img", true)] {
        outlet.insert("base.img", outlet.bytes("d.qed").unwrap());
        let _ = tintype_core::Outlet::remove(&outlet, "top.qed");
        let mut request = create_request(outlet.clone(), "top.qed", &base);
        over(&mut request, name, "qed", &base);
        match create(&request) {
            Err(e) if refused => assert!(e.to_string().contains(".qed"), "{e}"),
            Ok(sink) if !refused => {
                sink.finish(&Seal { len: 1 << 20, ..Seal::default() }).unwrap();
                let image = open(&open_request(&outlet, "top.qed")).unwrap();
                check_source(&*image.disk, &base);
                assert_eq!(image.chain[0].format.name, "qed");
            }
            other => panic!("{name}: {:?}", other.map(drop)),
        }
    }
}

#[test]
fn absent_ranges_are_passed_over_in_large_steps() {
    let outlet = MemoryOutlet::new();
    let mut request = create_request(outlet.clone(), "d.qed", &model(0, 1));
    request.len = Some(16 << 40);
    let mut sink = create(&request).unwrap();
    sink.put(Piece { offset: 0, len: 16 << 40, body: PieceBody::Run(State::Zero) }).unwrap();
    sink.finish(&Seal { len: 16 << 40, ..Seal::default() }).unwrap();
    let image = open(&open_request(&outlet, "d.qed")).unwrap();
    let (mut at, mut steps) = (0, 0);
    while at < image.disk.len() {
        let extent = image.disk.extent_at(at).unwrap();
        assert_eq!(extent.state, State::Zero);
        (at, steps) = (extent.end(), steps + 1);
    }
    assert!(steps <= 20, "{steps} steps");
    assert_eq!(findings(&outlet, "d.qed"), []);
}

#[test]
fn the_row_is_found_by_content() {
    let (_, outlet) = round(&model(1024, 1), &[]);
    let found = crate::probe(&open_request(&outlet, "d.qed")).unwrap();
    assert!(std::ptr::eq(found, &FORMAT));
}

/// An image with data, zeros, and zeros over something, and the same without anything below.
fn sweeps() -> [Sweep; 2] {
    let words = ["cluster_size=4096", "table_size=2"];
    let mut top = model(300_032, 21);
    let (_, outlet) = round(&top, &words);
    let alone = Sweep::new(&FORMAT, &outlet, "d.qed", &top);
    let base = model(250_000, 22);
    top.bytes[..100_000].copy_from_slice(&base.bytes[..100_000]);
    top.bytes[120_000..200_000].fill(0);
    top.runs = vec![Extent::new(0, 300_032, State::Data)];
    outlet.insert("base.img", base.bytes.clone());
    let mut request = create_request(outlet.clone(), "top.qed", &top);
    request.options = options(&words);
    over(&mut request, "base.img", "raw", &base);
    write(&request, &top);
    [alone, Sweep::new(&FORMAT, &outlet, "top.qed", &top)]
}

#[test]
fn a_file_that_was_cut_off_never_gives_other_bytes() {
    for sweep in sweeps() {
        for seen in sweep.cuts(1021) {
            assert!(seen.is_told() && seen.wrong.is_none() && seen.len.is_none(), "{seen:?}");
        }
    }
}

#[test]
fn every_byte_of_the_tables_may_be_wrong() {
    for sweep in sweeps() {
        let seen = sweep.flips(sweep.places(199));
        for damage in sweep.silent(&seen) {
            let Damage::Flip { at, bits } = damage else { panic!("{damage:?}") };
            // The length of the disk; that it stands on something; a cluster that is zeros instead of absent. QEMU cannot know either.
            let unknowable = (48..56).contains(&at) || at == 16 || (at >= 4096 && at % 8 == 0 && bits == 1);
            assert!(unknowable, "{damage:?}");
        }
    }
}
