//! Every writer, every reader, as the table of formats has them. A new format gets its row for nothing.

use std::sync::Arc;
use tintype_core::testing::{MemoryOutlet, Model, check_source, create_request, feed_model, open_request};
use tintype_core::{Extent, Format, Image, Seal, State, extents};
use tintype_formats::FORMATS;
use tintype_tests::{Layout, Need, Scratch, assert_same, ours, sample_file};

tintype_tests::topic! {
    bytes_come_through_every_pair: [],
    states_come_through_every_pair: [],
    every_compression_word_comes_back: [],
    the_table_is_what_the_program_says: [],
    long_chains_come_back: [Need::Long],
}

fn writers() -> impl Iterator<Item = &'static Format> {
    FORMATS.iter().copied().filter(|f| f.create.is_some() && f.open.is_some())
}

fn file_name(stem: &str, format: &Format) -> String {
    let ending = match format.extensions[0] {
        "e01" => "E01",
        ending => ending,
    };
    format!("{stem}.{ending}")
}

fn bytes_come_through_every_pair() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk", (3 << 20) + 1536, 140, Layout::Full);
    for a in writers() {
        let first = scratch.join(file_name("a", a));
        ours(&[&"convert", &disk, &first, &"--to", &a.name, &"-q", &"--force"]).ok();
        for b in writers() {
            let second = scratch.join(file_name(&format!("a-{}", a.name), b));
            ours(&[&"convert", &first, &second, &"--to", &b.name, &"-q"]).ok();
            let back = scratch.join(format!("back-{}-{}", a.name, b.name));
            ours(&[&"convert", &second, &back, &"--to", &"raw", &"-q"]).ok();
            assert_same(&disk, &back);
            let json = ours(&[&"info", &second, &"--json"]).ok().json();
            assert_eq!(json["format"], b.name, "{json}");
            std::fs::remove_file(back).unwrap();
        }
    }
}

/// Writes `model` in a format, in memory, and opens it.
fn written(format: &Format, model: &Model) -> (Image, MemoryOutlet) {
    let outlet = MemoryOutlet::new();
    let name = file_name("m", format);
    let request = create_request(outlet.clone(), &name, model);
    let fail = |e: tintype_core::Error| -> ! { panic!("{}: {}", format.name, e.chain()) };
    let mut sink = (format.create.expect("it is a writer"))(&request).unwrap_or_else(|e| fail(e));
    let digests = sink.feed().digests;
    let len = model.bytes.len() as u64;
    feed_model(&mut *sink, model, 0, len, 2).unwrap_or_else(|e| fail(e));
    let lost: Vec<Extent> = model.runs.iter().filter(|r| r.state.is_lost()).copied().collect();
    // What is not under test here gets digests of the right length.
    let digests = digests.into_iter().map(|d| (d.clone(), vec![0; length_of(&d)])).collect();
    sink.finish(&Seal { len, digests, lost }).unwrap_or_else(|e| fail(e));
    let image = (format.open.expect("it is a reader"))(&open_request(&outlet, &name)).unwrap_or_else(|e| fail(e));
    (image, outlet)
}

fn length_of(digest: &str) -> usize {
    match digest {
        "md5" => 16,
        "sha1" => 20,
        "sha512" => 64,
        _ => 32,
    }
}

/// What a disk says about itself, as a model.
fn model_of(image: &Image, sector: u32) -> Model {
    let disk = Arc::clone(&image.disk);
    let mut bytes = vec![0; disk.len() as usize];
    disk.read_at(&mut bytes, 0).unwrap_or_else(|e| panic!("{}", e.chain()));
    let runs = extents(&*disk, 0, disk.len()).map(|e| e.expect("an extent")).collect();
    Model { bytes, runs, sector }
}

fn states_come_through_every_pair() {
    for sector in [512, 4096] {
        let model = Model::mixed(2 << 20, &State::ALL, sector, 141);
        for a in writers() {
            let (first, _keep) = written(a, &model);
            check_source(&*first.disk, &model);
            let middle = model_of(&first, sector);
            for b in writers() {
                let (second, _keep) = written(b, &middle);
                check_source(&*second.disk, &model);
                for run in &model.runs {
                    let carried = a.caps.states.has(run.state) && b.caps.states.has(run.state);
                    if carried && run.state.is_lost() {
                        for extent in extents(&*second.disk, run.offset, run.end()) {
                            let state = extent.expect("an extent").state;
                            assert_eq!(state, run.state, "{} to {}: {run:?}", a.name, b.name);
                        }
                    }
                }
                // Nothing that was read is called lost, and nothing lost is invented.
                for extent in extents(&*second.disk, 0, second.disk.len()) {
                    let extent = extent.expect("an extent");
                    if extent.state.is_lost() {
                        for run in model.runs.iter().filter_map(|r| r.clip(extent.offset, extent.end())) {
                            assert!(run.state.is_lost(), "{} to {}: {extent:?} was {run:?}", a.name, b.name);
                        }
                    }
                }
            }
        }
    }
}

fn every_compression_word_comes_back() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk", 3 << 20, 142, Layout::Full);
    for format in writers() {
        for word in format.caps.compression {
            let target = scratch.join(file_name(&format!("{}-{word}", format.name), format));
            ours(&[&"convert", &disk, &target, &"--to", &format.name, &"--compression", word, &"-q"]).ok();
            ours(&[&"compare", &disk, &target]).ok();
            ours(&[&"verify", &target, &"--against", &disk]).ok();
        }
        let target = scratch.join(file_name("wrong", format));
        ours(&[&"convert", &disk, &target, &"--to", &format.name, &"--compression", &"nosuchcodec"]).exits(2);
        assert!(!target.exists());
    }
}

fn the_table_is_what_the_program_says() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk", 5000, 143, Layout::Full);
    let run = ours(&[&"convert", &disk, &scratch.join("o"), &"--to", &"nosuchformat"]).exits(2);
    for format in writers() {
        assert!(run.stderr.contains(format.name), "{}: {run}", format.name);
    }
}

fn long_chains_come_back() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk", 300 << 20, 144, Layout::Full);
    let mut last = disk.clone();
    for round in 0..3 {
        for format in writers() {
            let next = scratch.join(file_name(&format!("{round}-{}", format.name), format));
            ours(&[&"convert", &last, &next, &"--to", &format.name, &"-q", &"--verify"]).ok();
            last = next;
        }
    }
    ours(&[&"compare", &disk, &last]).ok();
}
