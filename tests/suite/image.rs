//! One read of a healthy source into one or several images.

use std::os::unix::fs::MetadataExt;
use tintype_tests::{Layout, LoopDevice, Need::*, Scratch, assert_same, ours, read, sample_file, tool};

tintype_tests::topic! {
    any_length_comes_back_from_every_format: [],
    holes_stay_holes: [],
    several_targets_cost_one_read: [],
    digests_are_those_of_other_programs: [Tool("b3sum")],
    no_digest_on_request: [],
    verify_reads_back: [],
    a_loop_device_of_either_sector_size: [Loop],
    a_loop_device_gives_its_sector_size_to_the_image: [Loop, Tool("ewfinfo")],
    a_report_lies_beside_the_image: [],
    a_report_on_request: [],
    nothing_is_left_behind: [],
    the_source_is_not_touched: [],
    case_data_arrives: [Tool("ewfinfo")],
    a_partition_is_a_source: [Tool("sfdisk")],
    an_image_of_an_image_is_of_its_bytes: [],
}

const TARGETS: [&str; 5] = ["t.img", "t.001", "t.gz", "t.zst", "t.E01"];

fn any_length_comes_back_from_every_format() {
    for len in [1usize, 511, 512, 513, 4095, 4097, 32_767, 32_769, 1_048_575, 1_048_577, 4_194_305] {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "d.raw", len, len as u64, Layout::Full);
        for name in TARGETS {
            let target = scratch.join(name);
            let run = ours(&[&"image", &disk, &target]).run();
            if name.ends_with("E01") && len % 512 != 0 && run.code() == Some(2) {
                // It may say that it cannot, before it starts; it may not round in silence.
                assert!(!target.exists(), "{run}");
                continue;
            }
            let run = run.exited(0);
            let back = scratch.join(format!("{name}.back.raw"));
            ours(&[&"convert", &target, &back]).ok();
            assert_same(&disk, &back);
            drop(run);
        }
    }
}

fn holes_stay_holes() {
    let scratch = Scratch::new();
    let disk = scratch.join("d.img");
    let file = std::fs::File::create(&disk).unwrap();
    file.set_len(300 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[5; 70_000], 100 << 20).unwrap();
    drop(file);
    let target = scratch.join("t.img");
    let json = ours(&[&"image", &disk, &target, &"--json"]).ok().json();
    assert_same(&disk, &target);
    let blocks = |p: &std::path::Path| std::fs::metadata(p).unwrap().blocks() * 512;
    assert!(blocks(&target) <= blocks(&disk) + (1 << 20), "{} stored bytes", blocks(&target));
    assert!(json["extents"]["zero"].as_u64().unwrap_or(0) > 299 << 20, "{json}");
    // Zeros that were written are found too.
    let full = scratch.file("full.img", &vec![0; 8 << 20]);
    let sparse = scratch.join("sparse.img");
    ours(&[&"image", &full, &sparse]).ok();
    assert_same(&full, &sparse);
    assert!(blocks(&sparse) <= 1 << 20, "{} stored bytes", blocks(&sparse));
}

fn several_targets_cost_one_read() {
    let scratch = Scratch::new();
    let (disk, bytes) = sample_file(&scratch, "d.raw", 24 << 20, 20, Layout::Full);
    let device = scratch.folder("drive");
    let words: Vec<_> = TARGETS.iter().map(|t| scratch.join(t)).collect();
    let log = |reads: &[(u64, u64)]| reads.iter().map(|(_, n)| n).sum::<u64>();
    let everything = tintype_tests::Need::Fuse.is_met()
        && tintype_tests::Need::Loop.is_met()
        && Tool("nbdfuse").is_met()
        && Tool("nbdkit").is_met();
    if everything {
        let drive = tintype_tests::Drive::new(&disk, &device, &tintype_tests::Behaviour::default());
        let before = log(&drive.reads());
        ours(&[&"image", &drive.path()]).args(&words).ok();
        let cost = log(&drive.reads()) - before;
        assert!(cost < bytes.len() as u64 * 11 / 10, "{cost} bytes were read of {}", bytes.len());
    } else {
        ours(&[&"image", &disk]).args(&words).ok();
    }
    for target in &words {
        ours(&[&"compare", &disk, target]).ok();
        ours(&[&"verify", target]).ok();
    }
}

fn digests_are_those_of_other_programs() {
    let scratch = Scratch::new();
    let (disk, bytes) = sample_file(&scratch, "d.img", 7_654_321, 21, Layout::Full);
    // A hole of several units, and data behind it.
    let file = std::fs::File::options().write(true).open(&disk).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 45_000_007).unwrap();
    let known = |program: &str| tool(program, &[&disk]).ok().out().split_whitespace().next().unwrap().to_owned();
    let pairs = [
        ("md5", known("md5sum")),
        ("sha1", known("sha1sum")),
        ("sha256", known("sha256sum")),
        ("sha512", known("sha512sum")),
        ("blake3", known("b3sum")),
    ];
    let all = "md5,sha1,sha256,sha512,blake3";
    let image = ours(&[&"image", &disk, &scratch.join("t.raw"), &"--hash", &all, &"--json"]).ok().json();
    let hash = ours(&[&"hash", &disk, &"--hash", &all, &"--json"]).ok().json();
    for (name, value) in &pairs {
        assert_eq!(image["digests"][name].as_str(), Some(&**value), "image: {name}");
        assert_eq!(hash["digests"][name].as_str(), Some(&**value), "hash: {name}");
        let one = ours(&[&"hash", &disk, &"--hash", name, &"--json"]).ok().json();
        assert_eq!(one["digests"], serde_json::json!({ *name: value }));
    }
}

fn no_digest_on_request() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.img", 1 << 20, 22, Layout::Full);
    let json = ours(&[&"image", &disk, &scratch.join("t.raw"), &"--hash", &"none", &"--json"]).ok().json();
    assert!(json["digests"].as_object().is_none_or(serde_json::Map::is_empty), "{json}");
    assert_same(&disk, scratch.join("t.raw"));
}

fn verify_reads_back() {
    for name in TARGETS {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "d.img", 9 << 20, 23, Layout::Full);
        ours(&[&"image", &disk, &scratch.join(name), &"--verify"]).ok();
        ours(&[&"compare", &disk, &scratch.join(name)]).ok();
    }
}

fn a_loop_device_of_either_sector_size() {
    for sector in [512, 4096] {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "backing", 21 << 20, u64::from(sector), Layout::Full);
        let device = LoopDevice::new(&disk, sector);
        for name in TARGETS {
            let target = scratch.join(name);
            let json = ours(&[&"image", &device, &target, &"--json"]).ok().json();
            assert_eq!(json["size"], 21 << 20);
            let back = scratch.join(format!("{name}.raw"));
            ours(&[&"convert", &target, &back]).ok();
            assert_same(&disk, &back);
        }
        ours(&[&"compare", &device, &scratch.join("t.E01")]).ok();
    }
}

fn a_loop_device_gives_its_sector_size_to_the_image() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "backing", 4 << 20, 24, Layout::Full);
    let device = LoopDevice::new(&disk, 4096);
    let target = scratch.join("t.E01");
    ours(&[&"image", &device, &target]).ok();
    let out = tool("ewfinfo", &[&target]).ok().out();
    let line = out.lines().find(|l| l.contains("Bytes per sector")).unwrap_or_default();
    assert!(line.trim_end().ends_with("4096"), "{out}");
    let line = out.lines().find(|l| l.contains("Number of sectors")).unwrap_or_default();
    assert!(line.trim_end().ends_with("1024"), "{out}");
}

fn a_report_lies_beside_the_image() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 25, Layout::Full);
    let folder = scratch.folder("out");
    ours(&[&"image", &disk, &folder.join("t.E01")]).ok();
    let known = tool("md5sum", &[&disk]).ok().out();
    let md5 = known.split_whitespace().next().unwrap();
    let mut kinds = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "txt" || e == "json") {
            let text = String::from_utf8(read(&path)).unwrap();
            assert!(text.contains(md5), "{} has no digest: {text}", path.display());
            assert!(text.contains("tintype"), "{} does not say who wrote it", path.display());
            kinds.push(path.extension().unwrap().to_owned());
        }
    }
    kinds.sort();
    assert_eq!(kinds, ["json", "txt"], "reports in {:?}", std::fs::read_dir(&folder).unwrap().collect::<Vec<_>>());
}

fn a_report_on_request() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 26, Layout::Full);
    let prefix = scratch.join("my-report");
    ours(&[&"image", &disk, &scratch.join("t.E01"), &"--report", &prefix, &"--case", &"C-17"]).ok();
    let names = scratch.names();
    let reports: Vec<_> = names.iter().filter(|n| n.starts_with("my-report")).collect();
    assert_eq!(reports.len(), 2, "{names:?}");
    for name in reports {
        let text = String::from_utf8(read(scratch.join(name))).unwrap();
        assert!(text.contains("C-17"), "{name}: {text}");
    }
}

fn nothing_is_left_behind() {
    for name in TARGETS {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 27, Layout::Full);
        ours(&[&"image", &disk, &scratch.join(name)]).ok();
        let names = scratch.names();
        assert!(!names.iter().any(|n| n.ends_with(".partial") || n.ends_with(".journal")), "{names:?}");
    }
}

fn the_source_is_not_touched() {
    let scratch = Scratch::new();
    let (disk, bytes) = sample_file(&scratch, "d.raw", 1 << 20, 28, Layout::Full);
    let before = std::fs::metadata(&disk).unwrap();
    for name in TARGETS {
        ours(&[&"image", &disk, &scratch.join(name)]).ok();
    }
    let after = std::fs::metadata(&disk).unwrap();
    assert_eq!((before.mtime(), before.mtime_nsec()), (after.mtime(), after.mtime_nsec()));
    assert_eq!(read(&disk), bytes);
}

fn case_data_arrives() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 29, Layout::Full);
    let target = scratch.join("t.E01");
    let words = [
        ("--case", "2026-041", "Case number"),
        ("--evidence", "E7", "Evidence number"),
        ("--examiner", "B. Müller", "Examiner name"),
        ("--description", "laptop, left bay", "Description"),
        ("--notes", "sealed bag 4", "Notes"),
    ];
    ours(&[&"image", &disk, &target]).args(words.iter().flat_map(|(o, v, _)| [*o, *v])).ok();
    let out = tool("ewfinfo", &[&target]).env("LC_ALL", "C.UTF-8").ok().out();
    for (_, value, label) in words {
        let line = out.lines().find(|l| l.contains(label)).unwrap_or_else(|| panic!("no {label} in {out}"));
        assert!(line.trim_end().ends_with(value), "{line}");
    }
    let json = ours(&[&"info", &target, &"--json"]).ok().json().to_string();
    for (_, value, _) in words {
        assert!(json.contains(value), "{value} is not in {json}");
    }
}

fn a_partition_is_a_source() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.img", 16 << 20, 30, Layout::Full);
    let script =
        scratch.file("script", b"label: dos\nstart=2048, size=4096, type=83\nstart=8192, size=2048, type=83\n");
    tool("sfdisk", &[&"-q", &"--wipe=never", &disk]).stdin(std::fs::File::open(&script).unwrap()).ok();
    let target = scratch.join("p2.img");
    ours(&[&"image", &format!("{}#p2", disk.display()), &target]).ok();
    assert_eq!(read(&target), read(&disk)[8192 * 512..10240 * 512]);
    ours(&[&"image", &format!("{}#p3", disk.display()), &scratch.join("p3.img")]).run().exited_any(&[2, 3]);
    assert!(!scratch.join("p3.img").exists());
}

fn an_image_of_an_image_is_of_its_bytes() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.img", 3 << 20, 31, Layout::Full);
    let packed = scratch.join("a.zst");
    ours(&[&"convert", &disk, &packed]).ok();
    let out = scratch.join("b.img");
    ours(&[&"convert", &packed, &out]).ok();
    assert_same(&disk, &out);
}
