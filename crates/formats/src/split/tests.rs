use super::*;
use tintype_core::testing::{
    MemoryOutlet, Model, Recorder, Step, check_source, check_writer, create_request, feed_model, open_request,
};
use tintype_core::{Checkpoint, Error, Image, Kind, Outlet, Partial, Result, Seal};

/// A folder with `model` cut into the named files of the given lengths; the last takes the rest.
fn folder(model: &Model, names: &[&str], len: usize) -> MemoryOutlet {
    let folder = MemoryOutlet::new();
    for (i, name) in names.iter().enumerate() {
        let end = if i + 1 == names.len() { model.bytes.len() } else { (i + 1) * len };
        folder.insert(name, model.bytes[i * len..end].to_vec());
    }
    folder
}

fn open(folder: &MemoryOutlet, name: &str) -> Result<Image> {
    read::open(&open_request(folder, name))
}

fn refused(folder: &MemoryOutlet, name: &str) -> Error {
    open(folder, name).err().unwrap_or_else(|| panic!("{name} was opened"))
}

#[test]
fn every_naming_is_read() {
    let model = Model::noise(100_001, 1);
    for names in [
        &["d.001", "d.002", "d.003"][..],
        &["d.000", "d.001", "d.002"],
        &["d.img.001", "d.img.002", "d.img.003"],
        &["d.aa", "d.ab", "d.ac"],
        &["d.aaa", "d.aab", "d.aac"],
        &["d.AA", "D.ab", "d.AC"],
        &["d.r01", "d.r02", "d.r03"],
        &["d.1of3", "d.2of3", "d.3of3"],
        &["d.00", "d.01", "d.02"],
        &["d.0001", "d.0002", "d.0003"],
        &["xaa", "xab", "xac"],
        &["x00", "x01", "x02"],
        &["d.001"],
    ] {
        let folder = folder(&model, names, 30_000);
        folder.insert("photo.img", vec![1]);
        folder.insert("d.E01", vec![1]);
        folder.insert("d.log", vec![1]);
        folder.insert("d.txt", vec![1]);
        let image = open(&folder, names[0]).unwrap();
        assert_eq!(image.files, names);
        check_source(&*image.disk, &model);
    }
}

#[test]
fn long_sets_are_read_in_every_way_of_growing() {
    let model = Model::noise(120_000, 2);
    let digits = |i: usize| format!("d.{i:03}");
    let lettered = |i: usize| if i < 1000 { digits(i) } else { format!("d.A{:02}", i - 1000) };
    let letters = |i: usize| match i.checked_sub(676) {
        None => format!("d.{}{}", (b'a' + (i / 26) as u8) as char, (b'a' + (i % 26) as u8) as char),
        Some(i) => format!("d.aa{}", (b'a' + i as u8) as char),
    };
    let grown = |i: usize| match i.checked_sub(90) {
        None => format!("d.{i:02}"),
        Some(i) => format!("d.{}", 9000 + i),
    };
    type Way<'a> = (usize, usize, &'a dyn Fn(usize) -> String);
    let ways: [Way<'_>; 5] =
        [(1, 1050, &digits), (0, 1050, &lettered), (0, 690, &letters), (0, 120, &grown), (0, 90, &grown)];
    for (from, count, name) in ways {
        let names: Vec<String> = (from..from + count).map(name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let folder = folder(&model, &names, 100);
        let image = open(&folder, names[0]).unwrap();
        assert_eq!(image.files, names);
        let mut whole = vec![0; model.bytes.len()];
        image.disk.read_at(&mut whole, 0).unwrap();
        assert!(whole == model.bytes);
        image.disk.read_at(&mut whole[..5000], 12_345).unwrap();
        assert!(whole[..5000] == model.bytes[12_345..17_345]);
        for gone in [1, count / 2, count - 2] {
            folder.remove(names[gone]).unwrap();
            let e = refused(&folder, names[0]);
            assert_eq!(e.kind(), Kind::Corrupt, "{e}");
            assert_eq!(e.offset(), Some(gone as u64 * 100));
            folder.insert(names[gone], vec![0; 100]);
        }
    }
}

#[test]
fn a_gap_is_named() {
    let model = Model::noise(50_000, 3);
    for (names, gone) in [
        (&["d.001", "d.002", "d.003", "d.004"][..], 2),
        (&["d.001", "d.002", "d.003"], 1),
        (&["d.aa", "d.ab", "d.ac"], 1),
        (&["d.1of3", "d.2of3", "d.3of3"], 2),
        (&["d.1of3", "d.2of3", "d.3of3"], 1),
    ] {
        let folder = folder(&model, names, 10_000);
        folder.remove(names[gone]).unwrap();
        let e = refused(&folder, names[0]);
        assert_eq!(e.kind(), Kind::Corrupt);
        assert!(e.to_string().contains(names[gone]), "{e}");
        assert_eq!(e.offset(), Some(gone as u64 * 10_000));
    }
}

#[test]
fn later_parts_lead_to_the_first() {
    let model = Model::noise(50_000, 4);
    for (first, second, third) in [
        ("d.001", "d.002", "d.003"),
        ("d.000", "d.001", "d.002"),
        ("d.aaa", "d.aab", "d.aac"),
        ("d.1of3", "d.2of3", "d.3of3"),
    ] {
        let folder = folder(&model, &[first, second, third], 10_000);
        for name in [second, third] {
            let e = refused(&folder, name);
            assert_eq!(e.kind(), Kind::Usage, "{e}");
            assert!(e.to_string().contains(first), "{e}");
        }
        folder.remove(first).unwrap();
        let e = refused(&folder, third);
        // Of a set that began with zero a shorter one is left, which begins with one.
        assert!(e.to_string().contains(if second == "d.001" { second } else { "is missing" }), "{e}");
    }
}

#[test]
fn what_only_looks_like_a_part() {
    let folder = MemoryOutlet::new();
    for name in ["photo.2024", "disk.ab", "backup.aa", "other.001"] {
        folder.insert(name, vec![7; 1000]);
        let image = open(&folder, name).unwrap();
        assert_eq!(image.files, [name]);
        assert_eq!(image.disk.len(), 1000);
    }
    let score = |name| probe(&Probe { name, folder: false, head: &[], tail: &[], len: 0 });
    for name in ["photo.img", "disk.E01", "disk.e01", "a.raw", "a.s01", "disk01", "a.gz", "a.iso"] {
        assert_eq!(score(name), 0, "{name}");
    }
    assert!(score("d.001") > crate::raw::FORMAT.extensions.len() as u8 / 4);
}

#[test]
fn a_part_that_was_cut_off_is_noticed() {
    let model = Model::noise(50_000, 5);
    let folder = folder(&model, &["d.001", "d.002", "d.003", "d.004"], 10_000);
    assert!(open(&folder, "d.001").unwrap().warnings.is_empty());
    folder.insert("d.002", vec![0; 9000]);
    assert!(open(&folder, "d.001").unwrap().warnings[0].contains("d.002"));
}

#[test]
fn any_size_comes_back() {
    for len in [0, 1, 4096, 8192, 8193, 300_001, 1_000_003] {
        for split in [4096, 5000, 65_536, 1 << 30] {
            let model = Model::mixed(len, &[State::Data, State::Zero], 512, len as u64);
            for name in ["d.001", "d.img"] {
                for unknown in [false, true] {
                    let open = |request: &tintype_core::OpenRequest| read::open(request);
                    let create = |request: &tintype_core::CreateRequest| {
                        // What is asked for as `d.img` is found as `d.img.001`.
                        assert!(request.name == name || request.name == first_name(name));
                        write::create(request)
                    };
                    let (image, folder) = check_writer(create, open, &first_name(name), &model, |r| {
                        r.split = Some(split);
                        if unknown {
                            r.len = None;
                        }
                    });
                    assert_eq!(image.files.len() as u64, (len as u64).div_ceil(split).max(1));
                    assert_eq!(folder.names().len(), image.files.len());
                }
            }
        }
    }
}

#[test]
fn every_prefix_of_the_writing_can_be_gone_on_with() {
    let model = Model::mixed(200_000, &[State::Data, State::Zero], 512, 9);
    let recorder = Recorder::new();
    let mut request = create_request(MemoryOutlet::new(), "d.001", &model);
    request.split = Some(30_000);
    request.outlet = std::sync::Arc::new(Partial::new(std::sync::Arc::new(recorder.clone()), &[]));
    let mut sink = write::create(&request).unwrap();
    let mut checkpoints = vec![Checkpoint::default()];
    recorder.mark(0);
    for from in (0..model.bytes.len() as u64).step_by(40_960) {
        let to = (from + 40_960).min(model.bytes.len() as u64);
        feed_model(&mut *sink, &model, from, to, 2).unwrap();
        checkpoints.push(sink.checkpoint().unwrap().unwrap());
        recorder.mark(checkpoints.len() as u64 - 1);
    }
    let steps = recorder.steps();
    for cut in 0..=steps.len() {
        for torn in [None, Some(100)] {
            let known =
                steps[..cut].iter().filter_map(|s| if let Step::Mark(n) = s { Some(*n as usize) } else { None }).max();
            let Some(known) = known else { continue };
            let folder = Recorder::after(&steps[..cut], torn).unwrap();
            let partial = std::sync::Arc::new(Partial::new(std::sync::Arc::new(folder.clone()), &[]));
            request.outlet = partial.clone();
            let mut resumed = write::resume(&request, &checkpoints[..=known]).unwrap();
            assert_eq!(resumed.offset, checkpoints[known].offset);
            let mut held = vec![0; resumed.offset as usize];
            resumed.stored.read_at(&mut held, 0).unwrap();
            assert_eq!(held, model.bytes[..held.len()]);
            let len = model.bytes.len() as u64;
            feed_model(&mut *resumed.sink, &model, resumed.offset, len, 3).unwrap();
            let written = resumed.sink.finish(&Seal { len, ..Seal::default() }).unwrap();
            let mut names = partial.names();
            names.sort();
            assert_eq!(written.files, names);
            Partial::commit(&folder, &partial.names(), &[]).unwrap();
            check_source(&*open(&folder, "d.001").unwrap().disk, &model);
            assert_eq!(folder.names().len(), written.files.len(), "no stray part is left");
        }
    }
}

#[test]
fn nonsense_is_refused_before_anything_is_made() {
    let model = Model::noise(1_000_000, 1);
    let outlet = MemoryOutlet::new();
    let mut request = create_request(outlet.clone(), "d.001", &model);
    request.split = Some(100);
    assert_eq!(write::create(&request).err().map(|e| e.kind()), Some(Kind::Usage));
    request.split = Some(4096);
    request.len = Some(1 << 40);
    assert_eq!(write::create(&request).err().map(|e| e.kind()), Some(Kind::Usage));
    assert!(outlet.names().is_empty());
    request.len = Some(1_000_000);
    drop(write::create(&request).unwrap());
    request.split = Some(8192);
    let checkpoint = Checkpoint { offset: 4096, state: 4096u64.to_le_bytes().to_vec() };
    assert_eq!(write::resume(&request, &[checkpoint]).err().map(|e| e.kind()), Some(Kind::Usage));
}
