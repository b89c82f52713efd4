//! QCOW2 both ways, beside QEMU's own programs.

use serde_json::Value;
use std::path::Path;
use tintype_tests::qemu::{
    Verdict, assert_judged_alike, assert_sound, assert_zeros_agree, our_verdict, qemu_img, qemu_io,
};
use tintype_tests::{Layout, Need::*, Scratch, ours, read, sample, sample_file, tool};

tintype_tests::topic! {
    every_image_qemu_makes: [Tool("qemu-img")],
    ours_in_every_way_reads_in_qemu: [Tool("qemu-img")],
    odd_lengths_stay_exact_here_and_whole_there: [Tool("qemu-img")],
    chains_qemu_makes: [Tool("qemu-img"), Tool("qemu-io")],
    ours_on_a_backing_file: [Tool("qemu-img")],
    snapshots: [Tool("qemu-img"), Tool("qemu-io")],
    bitmaps: [Tool("qemu-img"), Tool("qemu-io")],
    encrypted_images: [Tool("qemu-img")],
    damage_is_judged_as_qemu_judges_it: [Tool("qemu-img"), Tool("qemu-io")],
    huge_and_nearly_empty: [Tool("qemu-img")],
    hostile_headers_are_refused_by_name: [Tool("qemu-img")],
    a_compressed_stream_needs_4_kib: [Tool("qemu-img"), Tool("python3")],
}

/// Runs commands of `qemu-io` on an image.
fn io(image: &Path, commands: &[String]) {
    qemu_io("qcow2", image, &commands.iter().map(String::as_str).collect::<Vec<_>>());
}

/// The raw bytes that we make of an image, and of a part of it.
fn decoded(scratch: &Scratch, image: &str) -> Vec<u8> {
    let target = scratch.join("decoded.raw");
    let image = scratch.join(image);
    ours(&[&"convert", &image, &target, &"--to", &"raw", &"--hash", &"none", &"-q", &"--force"]).ok();
    read(&target)
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn same(a: &[u8], b: &[u8], what: &str) {
    assert_eq!(a.len(), b.len(), "length: {what}");
    if a != b {
        let at = a.iter().zip(b).position(|(a, b)| a != b);
        panic!("{what}: other bytes from {at:?} on");
    }
}

/// Runs of zeros and of data, neighbours joined.
fn joined(runs: impl Iterator<Item = (u64, u64, bool)>) -> Vec<(u64, u64, bool)> {
    let mut list: Vec<(u64, u64, bool)> = Vec::new();
    for (at, len, zero) in runs {
        match list.last_mut() {
            Some(last) if last.2 == zero && last.0 + last.1 == at => last.1 += len,
            _ => list.push((at, len, zero)),
        }
    }
    list
}

/// Options of QEMU's, and whether it compresses.
const THEIRS: &[(&str, bool)] = &[
    ("compat=1.1", false),
    ("compat=0.10", false),
    ("compat=0.10", true),
    ("compat=1.1,lazy_refcounts=on", false),
    ("cluster_size=512", false),
    ("cluster_size=512", true),
    ("cluster_size=1k", true),
    ("cluster_size=4k", false),
    ("cluster_size=4k", true),
    ("cluster_size=2M", false),
    ("cluster_size=2M", true),
    ("compression_type=zlib", true),
    ("compression_type=zstd", true),
    ("compression_type=zstd,cluster_size=2M", true),
    ("compression_type=zstd,cluster_size=8k,extended_l2=off", true),
    ("extended_l2=on,cluster_size=16k", false),
    ("extended_l2=on,cluster_size=128k", false),
    ("extended_l2=on,cluster_size=2M", false),
    ("extended_l2=on,cluster_size=64k", true),
    ("extended_l2=on,compression_type=zstd", true),
    ("refcount_bits=1", false),
    ("refcount_bits=1", true),
    ("refcount_bits=2", false),
    ("refcount_bits=4", true),
    ("refcount_bits=8", false),
    ("refcount_bits=32,cluster_size=512", true),
    ("refcount_bits=64", false),
    ("preallocation=metadata", false),
    ("preallocation=metadata,extended_l2=on", false),
    ("preallocation=falloc", false),
    ("preallocation=full,cluster_size=4k", false),
    ("data_file=d.data", false),
    ("data_file=d.data,data_file_raw=on", false),
    ("data_file=d.data,cluster_size=4k,preallocation=metadata", false),
];

fn every_image_qemu_makes() {
    for (i, (options, compressed)) in THEIRS.iter().enumerate() {
        for len in [(3 << 20) + 512 * 3, (1 << 20) - 700, 65536] {
            let scratch = Scratch::new();
            let (disk, bytes) = sample_file(&scratch, "disk.raw", len, 500 + i as u64, Layout::Full);
            let image = scratch.join("d.qcow2");
            let mut run = tool("qemu-img", &[&"convert", &"-f", &"raw", &"-O", &"qcow2"]).folder(scratch.path());
            if *compressed {
                run = run.arg("-c");
            }
            run.args(["-o", options]).arg(&disk).arg("d.qcow2").ok();
            same(&decoded(&scratch, "d.qcow2"), &padded(&bytes), options);
            if !options.contains("data_file") {
                assert_zeros_agree("qcow2", &image, &padded(&bytes));
            }
            // The names of data files are relative to the folder where QEMU runs.
            let check = tool("qemu-img", &[&"check", &"-f", &"qcow2", &"d.qcow2"]).folder(scratch.path()).run();
            let (verdict, json) = our_verdict(&image);
            assert_eq!(Verdict::of(&check), verdict, "{options}: {json}\n{check}");
            let info = ours(&[&"info", &image, &"--json", &"-q"]).ok().json();
            assert_eq!(info["format"], "qcow2");
            for (key, fact) in [("cluster_size", "cluster_size"), ("refcount_bits", "refcount_bits")] {
                let theirs =
                    tool("qemu-img", &[&"info", &"--output=json", &"d.qcow2"]).folder(scratch.path()).ok().json();
                let theirs = match key {
                    "cluster_size" => &theirs["cluster-size"],
                    _ => &theirs["format-specific"]["data"]["refcount-bits"],
                };
                let (missing_in_version_2, said) = (theirs.is_null(), theirs.to_string());
                assert!(
                    missing_in_version_2 || info["facts"][fact].as_str() == Some(said.as_str()),
                    "{options}: {info} {theirs}"
                );
            }
        }
    }
}

/// Options of ours, with the word for compression.
const OURS: &[(&[&str], &str)] = &[
    (&[], "none"),
    (&[], "zlib"),
    (&[], "fast"),
    (&[], "best"),
    (&[], "zstd"),
    (&["compat=v2"], "none"),
    (&["compat=v2"], "zlib"),
    (&["lazy_refcounts=on"], "none"),
    (&["cluster_size=512"], "none"),
    (&["cluster_size=512"], "zlib"),
    (&["cluster_size=1KiB"], "zstd"),
    (&["cluster_size=4KiB"], "zlib"),
    (&["cluster_size=2MiB"], "none"),
    (&["cluster_size=2MiB"], "zlib"),
    (&["cluster_size=2MiB"], "zstd"),
    (&["extended_l2=on", "cluster_size=16KiB"], "none"),
    (&["extended_l2=on"], "none"),
    (&["extended_l2=on"], "zlib"),
    (&["refcount_bits=1"], "none"),
    (&["refcount_bits=1"], "zlib"),
    (&["refcount_bits=2"], "zlib"),
    (&["refcount_bits=4", "cluster_size=512"], "zstd"),
    (&["refcount_bits=8"], "zlib"),
    (&["refcount_bits=32"], "none"),
    (&["refcount_bits=64", "cluster_size=512"], "zlib"),
    (&["preallocation=metadata"], "none"),
    (&["preallocation=metadata", "extended_l2=on"], "none"),
    (&["preallocation=falloc", "cluster_size=4KiB"], "none"),
    (&["preallocation=full"], "none"),
    (&["data_file=d.data"], "none"),
    (&["data_file=d.data", "data_file_raw=on"], "none"),
    (&["data_file=d.data", "preallocation=falloc"], "none"),
];

fn ours_in_every_way_reads_in_qemu() {
    for (i, (options, compression)) in OURS.iter().enumerate() {
        let scratch = Scratch::new();
        let layout = if i % 2 == 0 { Layout::Full } else { Layout::Sparse };
        let (disk, bytes) = sample_file(&scratch, "disk.raw", (5 << 20) + 512 * 5, 600 + i as u64, layout);
        let image = scratch.join("d.qcow2");
        let mut run = ours(&[&"convert", &disk, &image, &"--compression", compression, &"--hash", &"none", &"-q"]);
        for option in *options {
            run = run.args(["--option", option]);
        }
        run.ok();
        let check = tool("qemu-img", &[&"check", &"-f", &"qcow2", &"d.qcow2"]).folder(scratch.path()).run();
        assert_eq!(check.code(), Some(0), "{options:?} {compression}: {check}");
        let mut compare = tool("qemu-img", &[&"compare", &"-f", &"raw", &"-F", &"qcow2"]).folder(scratch.path());
        compare = compare.arg(&disk).arg("d.qcow2");
        compare.ok();
        if !options.iter().any(|o| o.contains("data_file")) {
            assert_zeros_agree("qcow2", &image, &bytes);
            let back = scratch.join("back.raw");
            qemu_img(&[&"convert", &"-f", &"qcow2", &"-O", &"raw", &image, &back]);
            same(&read(&back), &bytes, &format!("{options:?} {compression}"));
        } else if options.contains(&"data_file_raw=on") {
            same(&read(scratch.join("d.data")), &bytes, "the data file by itself");
        }
        assert_eq!(our_verdict(&image).0, Verdict::Good);
        same(&decoded(&scratch, "d.qcow2"), &bytes, &format!("{options:?} {compression}"));
    }
}

fn odd_lengths_stay_exact_here_and_whole_there() {
    for len in [1usize, 511, 513, 65_537, 1_000_003] {
        let scratch = Scratch::new();
        let (disk, bytes) = sample_file(&scratch, "disk.raw", len, len as u64, Layout::Full);
        for compression in ["none", "zlib"] {
            let image = scratch.join("d.qcow2");
            let words: [&dyn AsRef<std::ffi::OsStr>; 7] =
                [&"convert", &disk, &image, &"--compression", &compression, &"--verify", &"--force"];
            ours(&words).ok();
            same(&decoded(&scratch, "d.qcow2"), &bytes, compression);
            assert_sound("qcow2", &image);
            qemu_img(&[&"compare", &"-f", &"raw", &"-F", &"qcow2", &disk, &image]);
            let theirs: Value = serde_json::from_str(&qemu_img(&[&"info", &"--output=json", &image])).unwrap();
            assert_eq!(theirs["virtual-size"], len.next_multiple_of(512));
        }
        // A machine that writes behind the end has its say.
        if tool("qemu-io", &[&"--version"]).run().code() == Some(0) {
            let image = scratch.join("d.qcow2");
            let last = (len - 1) / 512 * 512;
            io(&image, &[format!("write -P 0x55 {last} 512")]);
            assert_eq!(decoded(&scratch, "d.qcow2").len(), len.next_multiple_of(512));
        }
    }
}

fn chains_qemu_makes() {
    for options in
        ["cluster_size=4k", "cluster_size=64k", "extended_l2=on,cluster_size=64k", "compat=0.10", "cluster_size=2M"]
    {
        let scratch = Scratch::new();
        let (_, _) = sample_file(&scratch, "base.raw", (2 << 20) + 512, 700, Layout::Full);
        let make = |name: &str, below: &str, format: &str, size: &str| {
            tool(
                "qemu-img",
                &[&"create", &"-q", &"-f", &"qcow2", &"-o", &options, &"-b", &below, &"-F", &format, &name, &size],
            )
            .folder(scratch.path())
            .ok();
        };
        make("mid.qcow2", "base.raw", "raw", "3M");
        io(
            &scratch.join("mid.qcow2"),
            &["write -P 0x5a 65000 70000".into(), "write -z 1M 300k".into(), "write -P 7 2900k 3k".into()],
        );
        make("top.qcow2", "mid.qcow2", "qcow2", "5000k");
        io(
            &scratch.join("top.qcow2"),
            &[
                "write -P 1 100k 10k".into(),
                "write -z 1500k 100k".into(),
                "discard 200k 64k".into(),
                "write -P 3 4M 5k".into(),
            ],
        );
        let image = scratch.join("top.qcow2");
        let back = scratch.join("back.raw");
        qemu_img(&[&"convert", &"-f", &"qcow2", &"-O", &"raw", &image, &back]);
        same(&decoded(&scratch, "top.qcow2"), &read(&back), options);
        assert_zeros_agree("qcow2", &image, &read(&back));
        assert_sound("qcow2", &image);
        let info = ours(&[&"info", &image, &"--json", &"-q"]).ok().json();
        let names: Vec<_> = info["chain"].as_array().unwrap().iter().map(|l| l["name"].clone()).collect();
        assert_eq!(names, ["mid.qcow2", "base.raw"]);
        // Onto another backing file, and flattened.
        let moved = scratch.join("moved.qcow2");
        ours(&[&"convert", &image, &moved, &"--backing", &scratch.join("base.raw"), &"-q"]).ok();
        qemu_img(&[&"compare", &"-f", &"raw", &"-F", &"qcow2", &back, &moved]);
        assert_sound("qcow2", &moved);
        ours(&[&"compare", &moved, &back]).ok();
    }
}

fn ours_on_a_backing_file() {
    for (i, (options, compression)) in OURS.iter().enumerate() {
        if options.iter().any(|o| o.contains("preallocation") || o.contains("data_file_raw")) {
            continue;
        }
        let scratch = Scratch::new();
        let base = sample(3 << 20, 800 + i as u64);
        let mut top = base.clone();
        top.resize((4 << 20) + 512, 0);
        top[700_000..900_000].copy_from_slice(&sample(200_000, 900 + i as u64));
        top[1 << 20..(1 << 20) + 150_000].fill(0);
        top[(3 << 20) + 5000..(3 << 20) + 9000].fill(9);
        let (base, top) = (scratch.file("base.raw", &base), scratch.file("top.raw", &top));
        let below = scratch.join("base.qcow2");
        ours(&[&"convert", &base, &below, &"-q"]).ok();
        let image = scratch.join("d.qcow2");
        let mut run = ours(&[&"convert", &top, &image, &"--compression", compression, &"--backing", &below, &"-q"]);
        for option in *options {
            run = run.args(["--option", option]);
        }
        run.ok();
        let compared = tool("qemu-img", &[&"compare", &"-f", &"raw", &"-F", &"qcow2", &"top.raw", &"d.qcow2"]);
        compared.folder(scratch.path()).ok();
        let check = tool("qemu-img", &[&"check", &"-f", &"qcow2", &"d.qcow2"]).folder(scratch.path()).run();
        assert_eq!(check.code(), Some(0), "{options:?} {compression}: {check}");
        ours(&[&"compare", &top, &image]).ok();
        let stored = std::fs::metadata(&image).unwrap().len();
        let large = options.contains(&"cluster_size=2MiB");
        assert!(large || stored < 3 << 20, "{options:?} {compression}: {stored} bytes for what differs");
    }
}

fn snapshots() {
    for options in ["compat=1.1", "compat=0.10", "cluster_size=4k", "extended_l2=on", "refcount_bits=8"] {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "disk.raw", 3 << 20, 1000, Layout::Full);
        let image = scratch.join("d.qcow2");
        qemu_img(&[&"convert", &"-f", &"raw", &"-O", &"qcow2", &"-o", &options, &disk, &image]);
        qemu_img(&[&"snapshot", &"-c", &"one", &image]);
        io(&image, &["write -P 0xaa 0 100k".into(), "write -z 1M 200k".into()]);
        qemu_img(&[&"snapshot", &"-c", &"two words", &image]);
        if options == "compat=1.1" {
            qemu_img(&[&"resize", &"-q", &image, &"4M"]);
        }
        io(&image, &["write -P 0xbb 50k 100k".into(), "discard 2M 512k".into()]);
        let info = ours(&[&"info", &image, &"--json", &"-q"]).ok().json();
        let parts: Vec<_> = info["parts"].as_array().unwrap().iter().map(|p| p["part"].clone()).collect();
        assert_eq!(parts, ["#snap=one", "#snap=two words"]);
        for name in ["one", "two words"] {
            let back = scratch.join("back.raw");
            qemu_img(&[
                &"convert",
                &"-l",
                &format!("snapshot.name={name}"),
                &"-f",
                &"qcow2",
                &"-O",
                &"raw",
                &image,
                &back,
            ]);
            let mut theirs = read(&back);
            // QEMU gives a snapshot the length that the disk has now.
            theirs.truncate(3 << 20);
            same(&decoded(&scratch, &format!("d.qcow2#snap={name}")), &theirs, name);
        }
        same(&decoded(&scratch, "d.qcow2#snap=one"), &read(&disk), "the first one is what was there at first");
        ours(&[&"info", &format!("{}#snap=three", image.display())]).exits(2);
        assert_sound("qcow2", &image);
        qemu_img(&[&"snapshot", &"-d", &"one", &image]);
        assert_sound("qcow2", &image);
    }
}

fn bitmaps() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk.raw", 8 << 20, 1100, Layout::Full);
    let image = scratch.join("d.qcow2");
    qemu_img(&[&"convert", &"-f", &"raw", &"-O", &"qcow2", &disk, &image]);
    qemu_img(&[&"bitmap", &"--add", &"-g", &"64k", &image, &"b0"]);
    io(&image, &["write -P 0xaa 0 100k".into(), "write -P 0xab 3M 1".into(), "write -P 1 8388000 608".into()]);
    qemu_img(&[&"bitmap", &"--disable", &image, &"b0"]);
    qemu_img(&[&"bitmap", &"--add", &"-g", &"4k", &image, &"empty"]);
    io(&image, &["write -P 0xac 5M 4k".into()]);
    let info = ours(&[&"info", &image, &"--json", &"-q"]).ok().json();
    let parts: Vec<_> = info["parts"].as_array().unwrap().iter().map(|p| p["part"].clone()).collect();
    assert_eq!(parts, ["#bitmap=b0", "#bitmap=empty"]);
    let now = decoded(&scratch, "d.qcow2");
    let k = 64 << 10;
    for (name, marked) in [("b0", vec![(0, 2 * k), (3 << 20, k), ((8 << 20) - k, k)]), ("empty", vec![(5 << 20, 4096)])]
    {
        for kind in ["bitmap", "snap"] {
            let part = format!("{}#{kind}={name}", image.display());
            let info = ours(&[&"info", &part, &"--extents", &"--json", &"-q"]).ok().json();
            let list = info["extent_list"].as_array().unwrap();
            let number = |v: &Value| v.as_u64().unwrap() as usize;
            let used = list.iter().filter(|e| e["state"] != "unused");
            let used = joined(used.map(|e| (number(&e["offset"]) as u64, number(&e["len"]) as u64, false)));
            let expected: Vec<_> = marked.iter().map(|(at, len)| (*at as u64, *len as u64, false)).collect();
            assert_eq!(used, expected, "{part}");
        }
        let mut expected = vec![0; now.len()];
        for (at, len) in marked {
            expected[at..at + len].copy_from_slice(&now[at..at + len]);
        }
        same(&decoded(&scratch, &format!("d.qcow2#bitmap={name}")), &expected, name);
    }
    assert_sound("qcow2", &image);
}

fn encrypted_images() {
    for (kind, extra) in [
        ("luks", ",encrypt.iter-time=10"),
        (
            "luks",
            ",encrypt.iter-time=10,encrypt.cipher-alg=aes-128,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256",
        ),
        ("luks", ",encrypt.iter-time=10,encrypt.hash-alg=sha1,cluster_size=4k"),
        ("luks", ",encrypt.iter-time=10,encrypt.hash-alg=sha512,extended_l2=on"),
        ("aes", ""),
    ] {
        let scratch = Scratch::new();
        let (disk, bytes) = sample_file(&scratch, "disk.raw", (2 << 20) + 512, 1200, Layout::Full);
        let image = scratch.join("d.qcow2");
        let secret = "secret,id=s0,data=a pass phrase";
        let options = format!("encrypt.format={kind},encrypt.key-secret=s0{extra}");
        let words: [&dyn AsRef<std::ffi::OsStr>; 11] =
            [&"convert", &"--object", &secret, &"-f", &"raw", &"-O", &"qcow2", &"-o", &options, &disk, &image];
        qemu_img(&words);
        let right = scratch.file("right", b"a pass phrase\n");
        let target = scratch.join("out.raw");
        let convert: [&dyn AsRef<std::ffi::OsStr>; 6] =
            [&"convert", &image, &target, &"--passphrase-file", &right, &"-q"];
        ours(&convert).ok();
        same(&read(&target), &bytes, &options);
        std::fs::remove_file(&target).unwrap();
        ours(&[&"convert", &image, &target, &"-q"]).exits(2);
        if kind == "luks" {
            let wrong = scratch.file("wrong", b"another\n");
            ours(&[&"convert", &image, &target, &"--passphrase-file", &wrong, &"-q"]).exits(2);
            assert!(!target.exists());
        }
        let info = ours(&[&"info", &image, &"--json", &"-q", &"--passphrase-file", &right]).ok().json();
        assert_eq!(info["facts"]["encryption"], kind);
        let verified = ours(&[&"verify", &image, &"--json", &"-q", &"--passphrase-file", &right]).ok().json();
        assert_eq!(verified["findings"], serde_json::json!([]));
    }
}

/// Changes bytes of the tables of an image, and has both programs judge each result.
fn damage_is_judged_as_qemu_judges_it() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk.raw", 2 << 20, 1300, Layout::Full);
    let image = scratch.join("d.qcow2");
    let mut seen = Vec::new();
    for (options, compressed) in [
        ("cluster_size=4k", false),
        ("cluster_size=64k", true),
        ("extended_l2=on,cluster_size=16k", false),
        ("cluster_size=4k,refcount_bits=1", false),
        ("cluster_size=512,refcount_bits=64", true),
    ] {
        let mut run = tool("qemu-img", &[&"convert", &"-f", &"raw", &"-O", &"qcow2", &"-o", &options]);
        if compressed {
            run = run.arg("-c");
        }
        run.arg(&disk).arg(&image).ok();
        if !options.contains("refcount_bits=1") {
            qemu_img(&[&"snapshot", &"-c", &"one", &image]);
            io(&image, &["write -P 5 100k 30k".into(), "write -z 1M 64k".into()]);
        }
        if options == "cluster_size=4k" {
            qemu_img(&[&"bitmap", &"--add", &"-g", &"64k", &image, &"b0"]);
            io(&image, &["write -P 6 300k 30k".into()]);
        }
        let good = read(&image);
        let be64 = |at: usize| u64::from_be_bytes(good[at..at + 8].try_into().unwrap());
        let mask = 0x00ff_ffff_ffff_fe00;
        let (l1, table) = (be64(40) as usize, be64(48) as usize);
        let (l2, block) = ((be64(l1) & mask) as usize, be64(table) as usize);
        let mut places: Vec<(usize, &[u8])> = Vec::new();
        for base in [l1, l2, l2 + 16, l2 + 64, table] {
            places.extend([
                (base, &[0x80][..]),
                (base, &[0x01]),
                (base + 2, &[0x40]),
                (base + 5, &[0x01]),
                (base + 5, &[0x10]),
            ]);
            places.extend([
                (base + 6, &[0x02][..]),
                (base + 6, &[0x80]),
                (base + 7, &[0x01]),
                (base + 7, &[0x40]),
                (base, &[0x40]),
            ]);
        }
        for at in [0, 1, 2, 3, 5, 8, 13, 40] {
            places.extend([(block + at, &[0x01][..]), (block + at, &[0x81])]);
        }
        if options.contains("extended") {
            places.extend([(l2 + 8, &[0x01][..]), (l2 + 15, &[0x01]), (l2 + 11, &[0x80]), (l2 + 31, &[0xff])]);
        }
        for (at, change) in places {
            let mut bad = good.clone();
            for (i, byte) in change.iter().enumerate() {
                bad[at + i] ^= byte;
            }
            let path = scratch.file("bad.qcow2", &bad);
            seen.push(assert_judged_alike("qcow2", &path, &format!("{options}: byte {at} ^ {change:x?}")));
        }
    }
    let count = |verdict| seen.iter().filter(|v| **v == verdict).count();
    assert!(count(Verdict::Good) > 0 && count(Verdict::Damaged) > 50 && count(Verdict::Leaks) > 5, "{seen:?}");
}

fn huge_and_nearly_empty() {
    let scratch = Scratch::new();
    let image = scratch.join("big.qcow2");
    qemu_img(&[&"create", &"-q", &"-f", &"qcow2", &image, &"16T"]);
    if tool("qemu-io", &[&"--version"]).run().code() == Some(0) {
        io(&image, &["write -P 7 15T 1M".into(), "write -P 8 1T 64k".into()]);
    }
    let clock = std::time::Instant::now();
    let copy = scratch.join("copy.qcow2");
    ours(&[&"convert", &image, &copy, &"--hash", &"none", &"-q"]).ok();
    let packed = scratch.join("packed.qcow2");
    ours(&[&"convert", &copy, &packed, &"--compression", &"zstd", &"--hash", &"none", &"-q"]).ok();
    assert_sound("qcow2", &packed);
    assert!(clock.elapsed().as_secs() < 60, "{:?}", clock.elapsed());
    assert!(std::fs::metadata(&packed).unwrap().len() < 4 << 20);
    ours(&[&"compare", &image, &packed]).ok();
    qemu_img(&[&"compare", &image, &packed]);
}

fn hostile_headers_are_refused_by_name() {
    let scratch = Scratch::new();
    let image = scratch.join("d.qcow2");
    qemu_img(&[&"create", &"-q", &"-f", &"qcow2", &image, &"1M"]);
    let good = read(&image);
    let refused = |at: usize, bytes: &[u8], word: &str| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        let path = scratch.file("bad.qcow2", &bad);
        let run = ours(&[&"info", &path]).run().exited(3);
        assert!(run.stderr.contains(word), "{word}: {run}");
    };
    refused(72, &(1u64 << 20).to_be_bytes(), "bit 20");
    refused(20, &30u32.to_be_bytes(), "2^30");
    refused(24, &u64::MAX.to_be_bytes(), "a disk of");
    refused(24, &(1u64 << 50).to_be_bytes(), "L1 table");
    refused(36, &0u32.to_be_bytes(), "L1 table");
    refused(40, &1234u64.to_be_bytes(), "L1 table");
    refused(96, &7u32.to_be_bytes(), "reference counts");
    refused(100, &u32::MAX.to_be_bytes(), "header");
    refused(4, &9u32.to_be_bytes(), "version 9");
    refused(32, &7u32.to_be_bytes(), "encrypted in way 7");
    refused(60, &u32::MAX.to_be_bytes(), "snapshots");
}

/// zlib itself refuses, with a window of 4 KiB, what refers farther back, if it gets its output bit by bit.
fn a_compressed_stream_needs_4_kib() {
    let scratch = Scratch::new();
    let noise = tintype_core::testing::Model::noise(6000, 77).bytes;
    let bytes: Vec<u8> = noise.iter().copied().cycle().take(1 << 20).chain(sample(1 << 20, 78)).collect();
    let disk = scratch.file("disk.raw", &bytes);
    for word in ["fast", "zlib:6", "best"] {
        let image = scratch.join(format!("{}.qcow2", word.replace(':', "")));
        ours(&[&"convert", &disk, &image, &"--compression", &word, &"-q"]).ok();
        let script = "import sys, zlib, struct\n\
            f = open(sys.argv[1], 'rb').read(); u = lambda at: struct.unpack_from('>Q', f, at)[0]\n\
            l2 = u(u(40)) & 0x00fffffffffffe00; n = 0\n\
            for i in range(32):\n\
            \x20   e = u(l2 + 8 * i)\n\
            \x20   if not e >> 62 & 1: continue\n\
            \x20   at = e & ((1 << 54) - 1); size = ((e >> 54 & 255) + 1) * 512 - at % 512\n\
            \x20   d = zlib.decompressobj(-12); data = f[at:at + size]; out = b''\n\
            \x20   while not d.eof:\n\
            \x20       out += d.decompress(data, 64); data = d.unconsumed_tail\n\
            \x20   assert len(out) == 65536; n += 1\n\
            print(n)\n";
        let out = tool("python3", &[&"-c", &script, &image]).ok().out();
        assert!(out.trim().parse::<u32>().unwrap() > 8, "{out}");
        qemu_img(&[&"compare", &"-f", &"raw", &"-F", &"qcow2", &disk, &image]);
    }
}
