//! Compressed and split raw, both ways.

use std::fs::File;
use std::path::Path;
use tintype_tests::{Layout, Need::*, Scratch, assert_same, ours, sample_file, tool};

tintype_tests::topic! {
    gzip_in_every_form: [Tool("gzip"), Tool("pigz"), Tool("bgzip")],
    gzip_of_several_members: [Tool("gzip")],
    zlib_and_lzma_alone: [Tool("pigz"), Tool("xz")],
    xz_in_every_form: [Tool("xz")],
    bzip2_in_every_form: [Tool("bzip2")],
    zstd_in_every_form: [Tool("zstd")],
    lz4_in_every_form: [Tool("lz4")],
    lzop_in_every_form: [Tool("lzop")],
    zip_of_one_file: [Tool("zip")],
    zip_of_two_files_is_refused: [Tool("zip")],
    split_in_every_form: [Tool("split")],
    ours_reads_in_gunzip_and_bgzip: [Tool("gunzip"), Tool("bgzip"), Tool("pigz")],
    ours_reads_in_zstd: [Tool("zstd")],
    ours_reads_in_cat: [],
    ours_takes_levels: [Tool("gzip"), Tool("zstd")],
    a_flip_in_a_checked_stream_is_found: [
        Tool("gzip"), Tool("pigz"), Tool("bgzip"), Tool("bzip2"), Tool("xz"), Tool("zstd"), Tool("lz4"), Tool("lzop"), Tool("zip"),
    ],
    what_has_no_checksum_is_not_called_verified: [Tool("xz"), Tool("zstd"), Tool("lz4"), Tool("lzop")],
    a_stream_whose_name_it_does_not_bear_out_is_told: [
        Tool("gzip"), Tool("pigz"), Tool("bgzip"), Tool("xz"), Tool("zstd"), Tool("lz4"),
    ],
    garbage_after_the_end_is_told: [Tool("gzip"), Tool("xz"), Tool("zstd")],
}

const LEN: usize = 2_600_000;

/// Makes `name` of the disk with a shell's pipe, and reads it in every way we have.
fn read_of(name: &str, format: &str, command: &str) {
    read_of_len(name, format, command, LEN);
}

fn read_of_len(name: &str, format: &str, command: &str, len: usize) {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk.raw", len, 110, Layout::Full);
    tool("bash", &[&"-o", &"pipefail", &"-c", &command]).folder(scratch.path()).ok();
    check(&scratch, &scratch.join(name), format, &disk, command);
}

fn check(scratch: &Scratch, packed: &Path, format: &str, disk: &Path, how: &str) {
    let json = ours(&[&"info", &packed, &"--json"]).ok().json();
    assert_eq!(json["format"], format, "{how}: {json}");
    let out = scratch.join("out.img");
    ours(&[&"convert", &packed, &out, &"-q"]).ok();
    assert_same(disk, &out);
    ours(&[&"compare", &packed, &disk]).ok();
    ours(&[&"verify", &packed, &"--against", &disk]).ok();
    std::fs::remove_file(out).unwrap();
}

/// Streams with a checksum over every byte of the disk.
const CHECKED: [(&str, &str); 13] = [
    ("t.gz", "gzip -c disk.raw > t.gz"),
    ("t.gz", "pigz -b 128 -c disk.raw > t.gz"),
    ("t.gz", "bgzip -c disk.raw > t.gz"),
    ("t.zz", "pigz -z -c disk.raw > t.zz"),
    ("t.bz2", "bzip2 -c disk.raw > t.bz2"),
    ("t.xz", "xz -0 -c disk.raw > t.xz"),
    ("t.xz", "xz -0 --check=crc32 --block-size=65536 -c disk.raw > t.xz"),
    ("t.zst", "zstd -q -c disk.raw > t.zst"),
    ("t.lz4", "lz4 -q -c disk.raw > t.lz4"),
    ("t.lzo", "lzop -c disk.raw > t.lzo"),
    ("t.lzo", "lzop --crc32 -c disk.raw > t.lzo"),
    ("t.zip", "zip -q t.zip disk.raw"),
    ("t.zip", "zip -q -0 t.zip disk.raw"),
];

/// Streams without.
const UNCHECKED: [(&str, &str); 7] = [
    ("t.lzma", "xz --format=lzma -c disk.raw > t.lzma"),
    ("t.xz", "xz -0 --check=none -c disk.raw > t.xz"),
    ("t.zst", "zstd -q --no-check -c disk.raw > t.zst"),
    ("t.lz4", "lz4 -q --no-frame-crc -c disk.raw > t.lz4"),
    ("t.lz4", "lz4 -q -l -c disk.raw > t.lz4"),
    ("t.lzo", "lzop -F -c disk.raw > t.lzo"),
    ("t.001", "split -b 100000 -d -a 3 --numeric-suffixes=1 disk.raw t."),
];

fn a_flip_in_a_checked_stream_is_found() {
    for (name, command) in CHECKED {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "disk.raw", 300_000, 114, Layout::Full);
        tool("bash", &[&"-c", &command]).folder(scratch.path()).ok();
        let packed = scratch.join(name);
        ours(&[&"verify", &packed]).ok();
        let good = tintype_tests::read(&packed);
        // What the stream is known by is left alone: without it, it is something else.
        for i in (16..good.len()).step_by((good.len() / 60).max(1)) {
            let mut bytes = good.clone();
            bytes[i] ^= 1 << (i % 8);
            std::fs::write(&packed, &bytes).unwrap();
            let run = ours(&[&"verify", &packed, &"-q"]).run();
            if run.code() == Some(0) {
                // Names, time stamps and the bits after the last symbol prove nothing and change nothing.
                let same = ours(&[&"compare", &packed, &disk]).run();
                assert!(same.code() == Some(0), "{command}: byte {i} of {} was called verified: {same}", good.len());
            } else {
                // A zlib stream is known only by what unpacks, so that a broken one is nothing at all.
                let nothing = name == "t.zz" && run.code() == Some(2);
                assert!(nothing || run.code() == Some(1), "{command}: byte {i} of {}: {run}", good.len());
            }
        }
    }
}

fn what_has_no_checksum_is_not_called_verified() {
    for (name, command) in UNCHECKED {
        let scratch = Scratch::new();
        sample_file(&scratch, "disk.raw", 300_000, 115, Layout::Full);
        tool("bash", &[&"-c", &command]).folder(scratch.path()).ok();
        let run = ours(&[&"verify", &scratch.join(name)]).run();
        assert!(run.code() == Some(2) && run.stderr.contains("--against"), "{command}: {run}");
    }
}

fn a_stream_whose_name_it_does_not_bear_out_is_told() {
    for (name, command) in CHECKED.iter().take(3).chain(&CHECKED[5..9]) {
        let scratch = Scratch::new();
        sample_file(&scratch, "disk.raw", 300_000, 116, Layout::Full);
        tool("bash", &[&"-c", command]).folder(scratch.path()).ok();
        let packed = scratch.join(name);
        let mut bytes = tintype_tests::read(&packed);
        bytes[0] ^= 1;
        std::fs::write(&packed, bytes).unwrap();
        let run = ours(&[&"convert", &packed, &scratch.join("o.img")]).run();
        assert!(run.code() != Some(0) || run.stderr.contains("warning"), "compressed bytes became a disk: {run}");
    }
}

fn gzip_in_every_form() {
    for command in [
        "gzip -1 -c disk.raw > t.gz",
        "gzip -9 -c disk.raw > t.gz",
        "gzip -c < disk.raw > t.gz",
        "pigz -1 -c disk.raw > t.gz",
        "pigz -9 -b 128 -c disk.raw > t.gz",
        "pigz -i -c disk.raw > t.gz",
        "pigz -11 -I 1 -c disk.raw > t.gz",
        "bgzip -c disk.raw > t.gz",
        "bgzip -l 0 -c disk.raw > t.gz",
    ] {
        read_of("t.gz", "gzip", command);
    }
    read_of_len("t.gz", "gzip", "gzip -c disk.raw > t.gz", 0);
    read_of_len("t.gz", "gzip", "bgzip -c disk.raw > t.gz", 1);
}

fn gzip_of_several_members() {
    read_of(
        "t.gz",
        "gzip",
        "for i in 0 1 2 3; do tail -c +$((i*650000+1)) disk.raw | head -c 650000 | gzip -c; done > t.gz",
    );
    read_of("t.gz", "gzip", "(gzip -c disk.raw; printf '' | gzip -c) > t.gz");
}

fn zlib_and_lzma_alone() {
    read_of("t.zz", "zlib", "pigz -z -c disk.raw > t.zz");
    read_of("t.lzma", "lzma", "xz --format=lzma -c disk.raw > t.lzma");
    read_of("t.lzma", "lzma", "xz --format=lzma -9 -c < disk.raw > t.lzma");
}

fn xz_in_every_form() {
    for command in [
        "xz -0 -c disk.raw > t.xz",
        "xz -9 -c < disk.raw > t.xz",
        "xz -T2 -c disk.raw > t.xz",
        "xz -T2 --block-size=262144 -c disk.raw > t.xz",
        "xz -T1 --block-size=1000000 -c disk.raw > t.xz",
        "xz --check=none -c disk.raw > t.xz",
        "xz --check=crc32 -c disk.raw > t.xz",
        "xz --check=sha256 -c disk.raw > t.xz",
        "xz --x86 --lzma2 -c disk.raw > t.xz",
        "xz --delta=dist=4 --lzma2 -c disk.raw > t.xz",
        "(head -c 1000000 disk.raw | xz -c; head -c 8 /dev/zero; tail -c +1000001 disk.raw | xz -c) > t.xz",
    ] {
        read_of("t.xz", "xz", command);
    }
}

fn bzip2_in_every_form() {
    for command in [
        "bzip2 -1 -c disk.raw > t.bz2",
        "bzip2 -9 -c disk.raw > t.bz2",
        "(head -c 1000000 disk.raw | bzip2 -c; tail -c +1000001 disk.raw | bzip2 -c) > t.bz2",
    ] {
        read_of("t.bz2", "bzip2", command);
    }
}

fn zstd_in_every_form() {
    for command in [
        "zstd -q -1 -c disk.raw > t.zst",
        "zstd -q -19 -c disk.raw > t.zst",
        "zstd -q --fast=5 -c disk.raw > t.zst",
        "zstd -q -T2 -3 -c disk.raw > t.zst",
        "zstd -q --no-check -c disk.raw > t.zst",
        "zstd -q --long=31 -c disk.raw > t.zst",
        "zstd -q --long=27 -T2 -c < disk.raw > t.zst",
        "zstd -q --ultra -22 -c disk.raw > t.zst",
        "zstd -q --rsyncable -c disk.raw > t.zst",
        "zstd -q -c < disk.raw > t.zst",
        "zstd -q -19 -c < disk.raw > t.zst",
        "zstd -q --ultra -22 --no-check -c < disk.raw > t.zst",
        "zstd -q --zstd=wlog=10 -c < disk.raw > t.zst",
        "zstd -q --no-compress-literals -c < disk.raw > t.zst",
        "zstd -q --target-compressed-block-size=1340 -c < disk.raw > t.zst",
        "zstd -q --adapt -c < disk.raw > t.zst",
        "(head -c 1000000 disk.raw | zstd -q -c; tail -c +1000001 disk.raw | zstd -q -c) > t.zst",
        // A frame that is to be skipped, in front.
        "(printf '\\x50\\x2a\\x4d\\x18\\x04\\x00\\x00\\x00abcd'; zstd -q -c disk.raw) > t.zst",
    ] {
        read_of("t.zst", "zstd", command);
    }
}

fn lz4_in_every_form() {
    for command in [
        "lz4 -q -1 -c disk.raw > t.lz4",
        "lz4 -q -9 -c disk.raw > t.lz4",
        "lz4 -q -l -c disk.raw > t.lz4",
        "lz4 -q -B4 -c disk.raw > t.lz4",
        "lz4 -q -B5 -BD -c disk.raw > t.lz4",
        "lz4 -q -B7 -BX -c disk.raw > t.lz4",
        "lz4 -q --content-size -c disk.raw > t.lz4",
        "lz4 -q --no-frame-crc -c disk.raw > t.lz4",
        "lz4 -q --fast=8 -c < disk.raw > t.lz4",
        "(head -c 1000000 disk.raw | lz4 -q -c; tail -c +1000001 disk.raw | lz4 -q -c) > t.lz4",
    ] {
        read_of("t.lz4", "lz4", command);
    }
}

fn lzop_in_every_form() {
    for command in [
        "lzop -1 -c disk.raw > t.lzo",
        "lzop -3 -c disk.raw > t.lzo",
        "lzop -9 -c disk.raw > t.lzo",
        "lzop -F -c disk.raw > t.lzo",
        "lzop --crc32 -c disk.raw > t.lzo",
        "lzop -c < disk.raw > t.lzo",
    ] {
        read_of("t.lzo", "lzop", command);
    }
}

fn zip_of_one_file() {
    for command in [
        "zip -q t.zip disk.raw",
        "zip -q -0 t.zip disk.raw",
        "zip -q -9 t.zip disk.raw",
        "cat disk.raw | zip -q t.zip -",
        "zip -q -fz t.zip disk.raw",
        "mkdir d; mv disk.raw d/; zip -q -r t.zip d/disk.raw; mv d/disk.raw .",
    ] {
        read_of("t.zip", "zip", command);
    }
}

fn zip_of_two_files_is_refused() {
    let scratch = Scratch::new();
    sample_file(&scratch, "disk.raw", 10_000, 111, Layout::Full);
    scratch.file("other", b"two");
    tool("zip", &[&"-q", &"t.zip", &"disk.raw", &"other"]).folder(scratch.path()).ok();
    let run = ours(&[&"convert", &scratch.join("t.zip"), &scratch.join("o.img"), &"--from", &"zip"]).exits(3);
    assert!(run.stderr.contains("t.zip"), "{run}");
    assert!(!scratch.join("o.img").exists());
}

fn split_in_every_form() {
    for (first, command) in [
        ("t.001", "split -b 300000 -d -a 3 --numeric-suffixes=1 disk.raw t."),
        ("t.000", "split -b 300000 -d -a 3 disk.raw t."),
        ("t.01", "split -b 300000 -d -a 2 --numeric-suffixes=1 disk.raw t."),
        ("t.00", "split -b 300000 -d -a 2 disk.raw t."),
        ("t.aa", "split -b 300000 disk.raw t."),
        ("t.aaa", "split -b 300000 -a 3 disk.raw t."),
        ("t.0001", "split -b 300000 -d -a 4 --numeric-suffixes=1 disk.raw t."),
        ("t.dd.001", "split -b 300000 -d -a 3 --numeric-suffixes=1 disk.raw t.dd."),
        (
            "t.001",
            "split -b 1000 -d -a 3 --numeric-suffixes=1 <(head -c 900000 disk.raw) t.; truncate -s 900000 disk.raw",
        ),
    ] {
        read_of(first, "split", command);
    }
}

/// Our image of the disk under `name`.
fn packed(scratch: &Scratch, name: &str, words: &[&str]) -> (std::path::PathBuf, std::path::PathBuf) {
    let (disk, _) = sample_file(scratch, "disk.raw", 9_000_001, 112, Layout::Full);
    let target = scratch.join(name);
    ours(&[&"image", &disk, &target, &"-q"]).args(words).ok();
    (disk, target)
}

fn gives(scratch: &Scratch, program: &str, words: &[&str], image: &Path, disk: &Path) {
    let out = scratch.join("plain");
    tool(program, &[]).args(words).stdin(File::open(image).unwrap()).stdout(File::create(&out).unwrap()).ok();
    assert_same(disk, &out);
}

fn ours_reads_in_gunzip_and_bgzip() {
    let scratch = Scratch::new();
    let (disk, image) = packed(&scratch, "t.gz", &[]);
    gives(&scratch, "gunzip", &["-c"], &image, &disk);
    gives(&scratch, "pigz", &["-dc"], &image, &disk);
    gives(&scratch, "bgzip", &["-dc"], &image, &disk);
    tool("gunzip", &[&"-t", &image]).ok();
    // By position, with bgzip's own index made from our file.
    tool("bgzip", &[&"-r", &image]).ok();
    let out = scratch.join("range");
    tool("bgzip", &[&"-b", &"5000000", &"-s", &"100000", &"-c", &image]).stdout(File::create(&out).unwrap()).ok();
    assert!(tintype_tests::read(&out) == tintype_tests::read(&disk)[5_000_000..5_100_000], "the range differs");
}

fn ours_reads_in_zstd() {
    let scratch = Scratch::new();
    let (disk, image) = packed(&scratch, "t.zst", &[]);
    gives(&scratch, "zstd", &["-q", "-d", "-c"], &image, &disk);
    tool("zstd", &[&"-q", &"-t", &image]).ok();
    let list = tool("zstd", &[&"-l", &image]).ok().out();
    assert!(list.contains("Skips") || list.lines().count() > 1, "{list}");
}

fn ours_reads_in_cat() {
    let scratch = Scratch::new();
    let (disk, _) = packed(&scratch, "t.001", &["--split", "1MiB"]);
    let out = scratch.join("plain");
    tool("bash", &[&"-c", &"cat t.0??"]).folder(scratch.path()).stdout(File::create(&out).unwrap()).ok();
    assert_same(disk, out);
}

fn ours_takes_levels() {
    for (name, program, words) in [("t.gz", "gzip", ["-q", "-d", "-c"]), ("t.zst", "zstd", ["-q", "-d", "-c"])] {
        let mut sizes = Vec::new();
        for level in ["fast", "best"] {
            let scratch = Scratch::new();
            let (disk, image) = packed(&scratch, name, &["--compression", level]);
            gives(&scratch, program, &words, &image, &disk);
            sizes.push(std::fs::metadata(&image).unwrap().len());
        }
        assert!(sizes[0] < 9_000_001 && sizes[1] <= sizes[0] / 100 * 101, "{name}: {sizes:?}");
    }
}

fn garbage_after_the_end_is_told() {
    for (name, command) in [
        ("t.gz", "(gzip -c disk.raw; echo garbage-garbage) > t.gz"),
        ("t.xz", "(xz -0 -c disk.raw; echo garbage-garbage) > t.xz"),
        ("t.zst", "(zstd -q -c disk.raw; echo garbage-garbage) > t.zst"),
    ] {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "disk.raw", 300_000, 113, Layout::Full);
        tool("bash", &[&"-c", &command]).folder(scratch.path()).ok();
        let run = ours(&[&"verify", &scratch.join(name)]).run();
        assert!(run.code() != Some(0) || run.out().contains("warning"), "{name}: {run}");
        let out = scratch.join("o.img");
        let run = ours(&[&"convert", &scratch.join(name), &out]).run();
        if run.code() == Some(0) {
            assert_same(&disk, &out);
        }
    }
}
