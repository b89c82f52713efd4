//! The same command once more, another command onto the same target, and strangers' files in the way.

use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tintype_tests::{Layout, Scratch, assert_same, ours, read, sample_file};

tintype_tests::topic! {
    another_command_never_goes_on_with_an_unfinished_image: [],
    another_command_never_takes_a_finished_image_for_its_own: [],
    a_finished_image_is_proved_again_on_request: [],
    a_name_that_comes_to_exist_is_not_overwritten: [],
    a_part_that_comes_to_exist_is_not_overwritten: [],
    a_strangers_map_is_left_alone: [],
    a_strangers_journal_is_left_alone: [],
    a_strangers_partial_file_is_left_alone: [],
}

/// Everything in a folder: names and bytes.
fn everything(scratch: &Scratch) -> BTreeMap<String, Vec<u8>> {
    scratch.names().into_iter().map(|n| (n.clone(), read(scratch.join(n)))).collect()
}

/// The options with which the images of the table are begun.
const BEGUN: [&str; 18] = [
    "--case",
    "C1",
    "--evidence",
    "E1",
    "--examiner",
    "Ex1",
    "--description",
    "D1",
    "--notes",
    "N1",
    "--compression",
    "best",
    "--split",
    "40MiB",
    "--option",
    "chunk=64KiB",
    "--hash",
    "md5,sha1",
];

/// `BEGUN` with one option given differently, or with `None` left out.
fn with(option: &str, value: Option<&str>) -> Vec<String> {
    let mut words: Vec<String> = BEGUN.iter().map(|w| (*w).to_owned()).collect();
    let at = words.iter().position(|w| w == option);
    match (at, value) {
        (Some(at), Some(value)) => words[at + 1] = value.to_owned(),
        (Some(at), None) => drop(words.drain(at..at + 2)),
        (None, Some(value)) => words.extend([option.to_owned(), value.to_owned()]),
        (None, None) => {}
    }
    words
}

/// Every way in which a second command can mean another target, by what to call it.
fn other_commands(disk: &Path, others: &Path) -> Vec<(String, Vec<String>)> {
    let disk = disk.to_string_lossy().into_owned();
    let mut table = Vec::new();
    let mut add = |name: String, verb: &str, source: &str, words: Vec<String>| {
        let mut all = vec![verb.to_owned(), source.to_owned()];
        all.extend(words);
        table.push((name, all));
    };
    for (option, values) in [
        ("--case", &[Some("C2"), None][..]),
        ("--evidence", &[Some("E2"), None]),
        ("--examiner", &[Some("Ex2"), None]),
        ("--description", &[Some("D2"), None]),
        ("--notes", &[Some("N2"), None]),
        ("--compression", &[Some("fast"), Some("none"), Some("empty"), None]),
        ("--split", &[Some("41MiB"), None]),
        ("--option", &[Some("chunk=32KiB"), None]),
        ("--hash", &[Some("md5"), Some("md5,sha1,sha256"), Some("none")]),
        ("--fill", &[Some("zero"), Some("0x4241")]),
        ("--to", &[Some("raw")]),
        ("--map", &[Some("MAP")]),
    ] {
        for value in values {
            let map = others.join("bad.map").to_string_lossy().into_owned();
            let given = value.map(|v| if v == "MAP" { &map } else { v });
            let mut words = with(option, given);
            if value == &Some("raw") {
                // What raw images do not have is refused anyway; here it is the format that counts.
                words = vec!["--to".into(), "raw".into(), "--hash".into(), "md5,sha1".into()];
            }
            add(format!("{option} {value:?}"), "image", &disk, words);
        }
    }
    let same = with("--case", Some("C1"));
    add("verb".into(), "convert", &disk, same.clone());
    let copy = others.join("copy.raw").to_string_lossy().into_owned();
    add("another source".into(), "image", &copy, same.clone());
    add("a part of the source".into(), "image", &format!("{disk}#p1"), same.clone());
    table
}

/// A disk with one partition, and beside it, in a folder of its own, what makes other commands.
fn disk_and_others(len: usize, seed: u64) -> (Scratch, PathBuf, Scratch) {
    let (scratch, others) = (Scratch::new(), Scratch::new());
    let (disk, mut bytes) = sample_file(&scratch, "d.raw", len, seed, Layout::Full);
    // One partition over everything behind the first sector, so that a part is a source too.
    bytes[446..510].fill(0);
    bytes[450] = 0x83;
    bytes[454..458].copy_from_slice(&1u32.to_le_bytes());
    bytes[458..462].copy_from_slice(&((len / 512 - 1) as u32).to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
    std::fs::write(&disk, &bytes).unwrap();
    std::fs::write(others.join("copy.raw"), &bytes).unwrap();
    std::fs::write(others.join("bad.map"), format!("0x0 + 1\n0x0 0x200 -\n0x200 0x{:x} +\n", len - 512)).unwrap();
    (scratch, disk, others)
}

fn another_command_never_goes_on_with_an_unfinished_image() {
    let (scratch, disk, others) = disk_and_others(96 << 20, 140);
    let target = scratch.join("t.E01");
    let mut running = ours(&[&"image", &disk, &target, &"-q"]).args(BEGUN).start();
    assert!(running.has_written(1 << 20), "it was over before it could be killed");
    running.signal(Signal::KILL);
    running.wait();
    let before = everything(&scratch);
    assert!(before.contains_key("t.E01.partial") && before.contains_key("t.E01.journal"), "{:?}", scratch.names());
    for (name, words) in other_commands(&disk, others.path()) {
        let run = ours(&[]).args(&words).arg(&target).arg("-q").run();
        assert_eq!(run.code(), Some(2), "{name}: {run}");
        assert!(run.stderr.contains("t.E01") && run.stderr.contains("--force"), "{name}: {run}");
        assert!(everything(&scratch) == before, "{name}: something was touched: {run}");
    }
    // The same command still finishes it.
    ours(&[&"image", &disk, &target, &"-q"]).args(BEGUN).ok();
    ours(&[&"verify", &target]).ok();
    ours(&[&"compare", &disk, &target]).ok();
}

fn another_command_never_takes_a_finished_image_for_its_own() {
    let (scratch, disk, others) = disk_and_others(3 << 20, 141);
    let target = scratch.join("t.E01");
    ours(&[&"image", &disk, &target, &"-q"]).args(BEGUN).ok();
    let before = everything(&scratch);
    for (name, words) in other_commands(&disk, others.path()) {
        let run = ours(&[]).args(&words).arg(&target).arg("-q").run();
        assert_eq!(run.code(), Some(2), "{name}: {run}");
        assert!(run.stderr.contains("t.E01") && run.stderr.contains("--force"), "{name}: {run}");
        assert!(everything(&scratch) == before, "{name}: something was touched: {run}");
    }
    let run = ours(&[&"image", &disk, &target]).args(BEGUN).ok();
    assert!(run.out().contains("finished it before"), "{run}");
    assert!(everything(&scratch) == before, "something was touched: {run}");
}

fn a_finished_image_is_proved_again_on_request() {
    for name in ["t.img", "t.001", "t.gz", "t.zst", "t.E01"] {
        let scratch = Scratch::new();
        let disk = scratch.file("d.raw", &tintype_core::testing::Model::noise(2 << 20, 142).bytes);
        let target = scratch.join(name);
        ours(&[&"image", &disk, &target, &"-q"]).ok();
        let run = ours(&[&"image", &disk, &target, &"--verify"]).ok();
        assert!(run.out().contains("verified"), "it does not say that it was proved: {run}");
        let good = read(&target);
        // In the middle, and in the first bytes, where the format's own structures are.
        for at in [good.len() / 2 + 1000, 5] {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&target, &bytes).unwrap();
            let run = ours(&[&"image", &disk, &target, &"--verify"]).run();
            if at == 5 && run.code() == Some(0) {
                // A time stamp in a gzip header; every byte of the disk is still what it was.
                ours(&[&"compare", &disk, &target]).ok();
                continue;
            }
            assert_eq!(run.code(), Some(1), "byte {at}: {run}");
            assert!(run.out().contains("NOT VERIFIED"), "it does not say what is wrong: {run}");
            let json = ours(&[&"image", &disk, &target, &"--verify", &"--json"]).exits(1).json();
            assert_eq!(json["verification"]["matches"], false, "{json}");
            assert!(read(&target) == bytes, "the finished image was written");
        }
        std::fs::write(&target, &good).unwrap();
        ours(&[&"image", &disk, &target, &"--verify"]).ok();
    }
}

/// Starts an image, and makes a file called `stranger` when the work is under way.
fn overtaken(target: &str, stranger: &str, words: &[&str]) {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 96 << 20, 143, Layout::Full);
    let target = scratch.join(target);
    let mut running = ours(&[&"image", &disk, &target, &"-q"]).args(words).start();
    assert!(running.has_written(1 << 20), "it was over before anything could come to exist");
    running.signal(Signal::STOP);
    assert!(!target.exists(), "it was over before anything could come to exist");
    let stranger = scratch.file(stranger, b"somebody's work");
    running.signal(Signal::CONT);
    let run = running.wait().exited(2);
    assert!(run.stderr.contains(&*stranger.to_string_lossy()), "{run}");
    assert_eq!(read(&stranger), b"somebody's work");
    let run = ours(&[&"image", &disk, &target, &"-q"]).args(words).exits(2);
    assert!(run.stderr.contains(&*stranger.to_string_lossy()), "{run}");
    assert_eq!(read(&stranger), b"somebody's work");
    // What was read is not lost.
    std::fs::rename(&stranger, scratch.join("elsewhere")).unwrap();
    ours(&[&"image", &disk, &target, &"-q"]).args(words).ok();
    ours(&[&"compare", &disk, &target]).ok();
    ours(&[&"verify", &target]).ok();
}

fn a_name_that_comes_to_exist_is_not_overwritten() {
    overtaken("t.E01", "t.E01", &["--compression", "best"]);
    overtaken("t.img", "t.img", &["--hash", "sha1,sha512,md5"]);
}

fn a_part_that_comes_to_exist_is_not_overwritten() {
    overtaken("t.E01", "t.E04", &["--compression", "best", "--split", "8MiB"]);
    overtaken("t.001", "t.009", &["--split", "10MiB", "--hash", "sha1,sha512,md5"]);
}

/// A raw image and a map of it that says that its first sector was lost.
fn with_a_loss(scratch: &Scratch) -> (PathBuf, PathBuf) {
    let (disk, _) = sample_file(scratch, "d.raw", 1 << 20, 144, Layout::Full);
    (disk, scratch.file("bad.map", b"0x0 + 1\n0x0 0x200 -\n0x200 0xffe00 +\n"))
}

fn a_strangers_map_is_left_alone() {
    for force in [&[][..], &["--force"]] {
        for verb in ["image", "convert"] {
            let scratch = Scratch::new();
            let (disk, map) = with_a_loss(&scratch);
            let stranger = scratch.file("t.img.map", b"somebody's map");
            let target = scratch.join("t.img");
            let run = ours(&[&verb, &disk, &target, &"--map", &map]).args(force).ok();
            assert_eq!(read(&stranger), b"somebody's map", "{run}");
            // Its own lies under a name that is told.
            assert!(run.out().contains("t.img.2.map"), "{run}");
            let json = ours(&[&"info", &target, &"--map", &scratch.join("t.img.2.map"), &"--json"]).ok().json();
            assert_eq!(json["extents"]["bad"], 512, "{json}");
        }
    }
}

fn a_strangers_journal_is_left_alone() {
    for force in [&[][..], &["--force"]] {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 145, Layout::Full);
        let stranger = scratch.file("t.img.journal", b"dear diary\n");
        let run = ours(&[&"image", &disk, &scratch.join("t.img")]).args(force).exits(2);
        assert!(run.stderr.contains(&*stranger.to_string_lossy()), "{run}");
        assert_eq!(read(&stranger), b"dear diary\n");
        assert_eq!(scratch.names(), ["d.raw", "t.img.journal"]);
    }
}

fn a_strangers_partial_file_is_left_alone() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 146, Layout::Full);
    let stranger = scratch.file("t.img.partial", b"half of a download");
    let run = ours(&[&"image", &disk, &scratch.join("t.img")]).exits(2);
    assert!(run.stderr.contains(&*stranger.to_string_lossy()), "{run}");
    assert_eq!(read(&stranger), b"half of a download");
    assert_eq!(scratch.names(), ["d.raw", "t.img.partial"]);
    ours(&[&"image", &disk, &scratch.join("t.img"), &"--force"]).ok();
    assert_same(&disk, scratch.join("t.img"));
}
