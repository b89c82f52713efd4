//! Sizes past every edge of 31 and 32 bits. Everything here is sparse; it takes time all the same.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tintype_core::Format;
use tintype_tests::{Need::*, Scratch, ours, read, tool};

tintype_tests::topic! {
    twenty_tebibytes_of_nothing_take_seconds: [Long],
    sixteen_tebibytes_go_through_every_disk: [Tool("qemu-img"), Tool("qemu-io")],
    sixteen_tebibytes_go_between_any_two: [Long, Tool("qemu-img"), Tool("qemu-io")],
    e01_past_two_tebibytes: [Long, Tool("ewfinfo"), Tool("ewfexport")],
    e01_segments_past_four_gibibytes: [Long, Tool("ewfverify"), Tool("ewfexport")],
    killed_a_hundred_times: [Long, Tool("ewfverify")],
    every_byte_of_an_e01: [Long],
}

/// A sparse file with a block of noise at each of these offsets.
fn sparse(scratch: &Scratch, name: &str, len: u64, places: &[u64]) -> std::path::PathBuf {
    let path = scratch.join(name);
    let file = File::create(&path).unwrap();
    file.set_len(len).expect("the file system takes sparse files of this length");
    for at in places {
        let noise = tintype_core::testing::Model::noise(65_536, *at).bytes;
        file.write_all_at(&noise, *at).unwrap();
    }
    path
}

fn at(path: &std::path::Path, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    File::open(path).unwrap().read_exact_at(&mut bytes, offset).unwrap();
    bytes
}

fn twenty_tebibytes_of_nothing_take_seconds() {
    // A single file of 20 TiB is more than ext4 takes with 4 KiB blocks; tmpfs takes it.
    let scratch = Scratch::new();
    let mount = Rooted::tmpfs(&scratch);
    let folder = mount.0.as_ref().map_or_else(|| scratch.path().to_owned(), |m| m.path().to_owned());
    let len = 20u64 << 40;
    let places = [0, (1 << 31) - 1000, (1 << 32) + 77, (1 << 41) - 512, (1 << 44) + 4096, len - 65_536];
    let disk = folder.join("d.raw");
    let file = File::create(&disk).unwrap();
    file.set_len(len).expect("this file system takes 20 TiB");
    for place in places {
        file.write_all_at(&tintype_core::testing::Model::noise(65_536, place).bytes, place).unwrap();
    }
    let (copy, back) = (folder.join("t.img"), folder.join("b.img"));
    for (from, to, verb) in [(&disk, &copy, "image"), (&copy, &back, "restore")] {
        let began = Instant::now();
        let run = ours(&[&verb, from, to, &"--hash", &"none"]).ok();
        assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
        assert!(run.peak < 256 << 20, "{} MiB", run.peak >> 20);
    }
    assert_eq!(std::fs::metadata(&back).unwrap().len(), len);
    for place in places {
        assert!(at(&disk, place, 65_536) == at(&back, place, 65_536), "at {place}");
    }
    ours(&[&"compare", &disk, &back]).ok();
}

/// Those formats of virtual disks that take 16 TiB.
const DISKS: [&str; 8] = ["vmdk", "vhdx", "vdi", "parallels", "simg", "qed", "ova", "qcow2"];

fn disks() -> impl Iterator<Item = &'static Format> {
    DISKS.into_iter().filter_map(|name| tintype_formats::by_name(name).ok()).filter(|f| f.create.is_some())
}

/// A disk of 16 TiB with a few MiB at every edge, made by QEMU.
fn nearly_empty(scratch: &Scratch) -> PathBuf {
    let base = scratch.join("base.qcow2");
    tool("qemu-img", &[&"create", &"-q", &"-f", &"qcow2", &base, &"16T"]).ok();
    let places =
        ["0 64k", "2147483136 1M", "4294966784 70000", "2199023254528 1M", "8796093022208 512", "17592185978880 64k"];
    let mut run = tool("qemu-io", &[&"-f", &"qcow2"]);
    for (i, place) in places.iter().enumerate() {
        run = run.args(["-c", &format!("write -P {} {place}", i + 1)]);
    }
    assert!(!run.arg(&base).ok().out().contains("failed"));
    base
}

/// Converts it, which takes seconds and little memory; checks the books of what it has become.
fn quickly(from: &Path, to: &Path, format: &Format) {
    let began = Instant::now();
    let run = ours(&[&"convert", &from, &to, &"--to", &format.name, &"--hash", &"none", &"-q"]).ok();
    let took = began.elapsed();
    assert!(took.as_secs() < 60, "{}: {took:?}", format.name);
    assert!(run.peak < 256 << 20, "{}: {} MiB", format.name, run.peak >> 20);
    assert!(std::fs::metadata(to).unwrap().blocks() * 512 < 200 << 20, "{} holds holes", format.name);
    ours(&[&"verify", &to, &"-q"]).ok();
}

fn sixteen_tebibytes_go_through_every_disk() {
    let scratch = Scratch::new();
    let base = nearly_empty(&scratch);
    let mut last = base.clone();
    for format in disks() {
        let next = scratch.join(format!("d.{}", format.extensions[0]));
        quickly(&last, &next, format);
        if last != base {
            std::fs::remove_file(&last).unwrap();
        }
        last = next;
    }
    ours(&[&"compare", &base, &last]).ok();
    tool("qemu-img", &[&"compare", &"-f", &"qcow2", &"-F", &"qcow2", &base, &last]).ok();
    // What holds no more than 2,040 GiB says so, before anything is made.
    let vhd = scratch.join("d.vhd");
    let run = ours(&[&"convert", &last, &vhd, &"--hash", &"none"]).run().exited_any(&[2, 3]);
    assert!(run.stderr.contains("2,040 GiB") && !vhd.exists(), "{run}");
}

fn sixteen_tebibytes_go_between_any_two() {
    let scratch = Scratch::new();
    let base = nearly_empty(&scratch);
    for a in disks() {
        let first = scratch.join(format!("a.{}", a.extensions[0]));
        quickly(&base, &first, a);
        for b in disks() {
            let second = scratch.join(format!("b.{}", b.extensions[0]));
            quickly(&first, &second, b);
            ours(&[&"compare", &base, &second]).ok();
            std::fs::remove_file(second).unwrap();
        }
        std::fs::remove_file(first).unwrap();
    }
}

struct Rooted(Option<tintype_tests::Mount>);

impl Rooted {
    fn tmpfs(scratch: &Scratch) -> Self {
        Rooted(Root.is_met().then(|| tintype_tests::Mount::tmpfs(scratch.folder("large"), 256 << 20)))
    }
}

fn e01_past_two_tebibytes() {
    let scratch = Scratch::new();
    let len = (21u64 << 40) / 10 / 512 * 512;
    let places = [0, (1 << 31) - 512, (1 << 32) - 512, (1u64 << 41) - 4096, (1u64 << 41) + 512, len - 65_536];
    let disk = sparse(&scratch, "d.raw", len, &places);
    let image = scratch.join("t.E01");
    let run = ours(&[&"image", &disk, &image, &"--option", &"chunk=1MiB", &"--hash", &"none"]).ok();
    assert!(run.peak < 256 << 20, "{} MiB", run.peak >> 20);
    let info = tool("ewfinfo", &[&image]).ok().out();
    assert!(info.contains(&format!("({len} bytes)")), "{info}");
    let line = info.lines().find(|l| l.contains("Number of sectors")).unwrap_or_default();
    assert!(line.trim_end().ends_with(&(len / 512).to_string()), "{info}");
    for place in places {
        let (name, start) = (format!("x{place}"), place / 512 * 512);
        tool(
            "ewfexport",
            &[&"-u", &"-q", &"-f", &"raw", &"-S", &"0", &"-l", &"/dev/null", &"-t", &scratch.join(&name)],
        )
        .args(["-o", &start.to_string(), "-B", "66048"])
        .arg(&image)
        .run();
        let got = read(scratch.join(format!("{name}.raw")));
        assert!(got.len() >= 65_024 && got == at(&disk, start, got.len()), "at {place}: {} bytes", got.len());
    }
}

fn e01_segments_past_four_gibibytes() {
    let scratch = Scratch::new();
    let disk = scratch.join("d.raw");
    let file = File::create(&disk).unwrap();
    for i in 0..80u64 {
        file.write_all_at(&tintype_core::testing::Model::noise(64 << 20, i).bytes, i * (64 << 20)).unwrap();
    }
    drop(file);
    let image = scratch.join("t.E01");
    ours(&[&"image", &disk, &image, &"--compression", &"none", &"--split", &"16GiB"]).ok();
    assert!(std::fs::metadata(&image).unwrap().len() > 5 << 30, "it is in one segment");
    tool("ewfverify", &[&"-q", &"-d", &"sha1", &image]).ok();
    ours(&[&"verify", &image]).ok();
    ours(&[&"compare", &disk, &image]).ok();
}

fn killed_a_hundred_times() {
    for round in 0..100u64 {
        let scratch = Scratch::new();
        let disk = scratch.file("d.raw", &tintype_tests::sample(96 << 20, round));
        let image = scratch.join("t.E01");
        for i in 1..=10u64 {
            let mut running = ours(&[&"image", &disk, &image, &"-q"]).start();
            running.has_written((round * 7919 + i * 104_729 * 37) % (48 << 20));
            running.signal(rustix::process::Signal::KILL);
            running.wait();
        }
        ours(&[&"image", &disk, &image, &"-q"]).ok();
        tool("ewfverify", &[&"-q", &"-d", &"sha1", &image]).ok();
        ours(&[&"compare", &disk, &image]).ok();
    }
}

fn every_byte_of_an_e01() {
    let scratch = Scratch::new();
    // Two chunks, the second one short.
    let disk = scratch.file("d.raw", &tintype_tests::sample(18 << 10, 160));
    for compression in ["none", "fast"] {
        let image = scratch.join(format!("{compression}.E01"));
        ours(&[&"image", &disk, &image, &"-q", &"--compression", &compression, &"--option", &"chunk=16KiB"]).ok();
        let good = read(&image);
        // Half of the bytes each.
        let unnoticed: Vec<usize> = std::thread::scope(|threads| {
            let halves = [0, 1].map(|half| {
                let (good, scratch) = (&good, &scratch);
                threads.spawn(move || {
                    let copy = scratch.folder(&format!("{compression}-{half}")).join("t.E01");
                    let bytes = (half..good.len()).step_by(2);
                    bytes.filter(|i| !is_noticed(&copy, good, *i)).collect::<Vec<_>>()
                })
            });
            halves.into_iter().flat_map(|half| half.join().expect("no byte makes this test die")).collect()
        });
        assert!(unnoticed.is_empty(), "{compression}: {unnoticed:?} of {}", good.len());
    }
}

/// True if `verify` notices a flipped bit in byte `i` of an image, or if nothing depends on that bit.
fn is_noticed(copy: &std::path::Path, good: &[u8], i: usize) -> bool {
    let mut bytes = good.to_vec();
    bytes[i] ^= 1 << (i % 8);
    std::fs::write(copy, &bytes).unwrap();
    ours(&[&"verify", &copy, &"-q"]).run().code() != Some(0) || crate::verify::is_padding(copy, good, i)
}
