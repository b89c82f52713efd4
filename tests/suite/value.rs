//! What matters first: metadata and the files that somebody names are in after a fraction of the failures.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tintype_tests::{Behaviour, Drive, Need::*, Scratch, ours, read, sample, tool};

tintype_tests::topic! {
    named_files_of_ext_come_first: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("mke2fs"), Tool("debugfs")],
    named_files_of_fat_come_first: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("mkfs.fat"), Tool("mcopy")],
    what_is_in_use_comes_before_what_is_free: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("mke2fs")],
    a_lost_superblock_is_made_up_for: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("mke2fs")],
    everything_is_read_in_the_end: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("mke2fs")],
    what_is_wanted_first_and_not_at_all_is_refused: [],
}

const LEN: u64 = 96 << 20;

fn full(len: usize, seed: u64) -> Vec<u8> {
    sample(len, seed).into_iter().map(|b| b | 1).collect()
}

/// Large files, and some small ones that are wanted, which come last.
fn tree(scratch: &Scratch) -> PathBuf {
    let tree = scratch.folder("tree");
    for i in 0..8 {
        std::fs::write(tree.join(format!("a large file {i}")), full(4 << 20, i)).unwrap();
    }
    std::fs::create_dir(tree.join("wanted")).unwrap();
    for i in 0..5 {
        std::fs::write(tree.join(format!("wanted/picture {i}.jpg")), full(150_000, 100 + i)).unwrap();
    }
    tree
}

fn ext(scratch: &Scratch) -> PathBuf {
    let (tree, image) = (tree(scratch), scratch.join("ext.img"));
    std::fs::write(&image, b"").unwrap();
    std::fs::File::options().write(true).open(&image).unwrap().set_len(LEN).unwrap();
    tool("mke2fs", &[&"-q", &"-F", &"-t", &"ext4", &"-b", &"4096", &"-d", &tree, &image]).ok();
    image
}

/// Sectors that a file takes.
fn sectors(image: &Path, path: &str) -> BTreeSet<u64> {
    let told = ours(&[&"files", &"stat", &image, &path, &"--json"]).ok().json();
    let runs = told["extents"].as_array().unwrap();
    runs.iter()
        .flat_map(|run| {
            let (at, len) = (run["disk_offset"].as_u64().unwrap(), run["len"].as_u64().unwrap());
            at / 512..(at + len) / 512
        })
        .collect()
}

/// A bad sector in every 256 KiB of the large files.
fn bad(image: &Path) -> Vec<(u64, u64)> {
    let all: BTreeSet<u64> = (0..8).flat_map(|i| sectors(image, &format!("/a large file {i}"))).collect();
    all.into_iter().step_by(512).map(|sector| (sector, 1)).collect()
}

/// Paths that the losses of a rescue touch, and whether metadata is among them.
fn hurt(image: &Path) -> (BTreeSet<String>, bool) {
    let mut map = image.as_os_str().to_owned();
    map.push(".map");
    let found = ours(&[&"map", &"files", &map, &image, &"--json"]).run().exited_any(&[0, 1]).json();
    let paths =
        found["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap_or("?").to_owned()).collect();
    let precious =
        found["metadata"].as_array().unwrap().iter().filter(|m| !m["what"].as_str().unwrap().contains("copy of"));
    (paths, precious.count() > 0)
}

#[track_caller]
fn first_beside_plain(scratch: &Scratch, image: &Path, bad: Vec<(u64, u64)>, errors: &str) {
    let drive = Drive::new(image, &scratch.folder("drive"), &Behaviour { bad, ..Behaviour::default() });
    let (value, plain) = (scratch.join("value.img"), scratch.join("plain.img"));
    let run =
        ours(&[&"rescue", &drive.path(), &value, &"--first", &"*.jpg", &"--max-errors", &errors, &"--json"]).exits(1);
    let json = run.json();
    assert!(json["failed_reads"].as_u64().unwrap() <= errors.parse().unwrap(), "{run}");
    let (paths, metadata) = hurt(&value);
    assert!(!metadata, "metadata is missing: {run}");
    assert!(paths.iter().all(|p| !p.ends_with(".jpg")), "{paths:?} {run}");
    // In the order of the drive they are not in after as many failures.
    ours(&[&"rescue", &drive.path(), &plain, &"--without", &"value", &"--max-errors", &errors, &"-q"]).exits(1);
    let found = ours(&[&"files", &"find", &plain, &"*.jpg", &"--map", &scratch.join("plain.img.map"), &"--json"]).run();
    let listed = found.code().is_some_and(|c| c <= 1).then(|| found.json()["files"].as_array().map_or(0, Vec::len));
    let (paths, _) = if listed == Some(5) { hurt(&plain) } else { (BTreeSet::from(["x.jpg".to_owned()]), true) };
    assert!(paths.iter().any(|p| p.ends_with(".jpg")), "the plain order is as good: {paths:?}");
    // And the bytes are right.
    for i in 0..5 {
        let name = format!("/wanted/picture {i}.jpg");
        let cat = ours(&[&"files", &"cat", &value, &name, &"--map", &scratch.join("value.img.map")]).ok();
        assert!(cat.stdout == read(scratch.join("tree").join(&name[1..])), "{name}");
    }
}

fn named_files_of_ext_come_first() {
    let scratch = Scratch::new();
    let image = ext(&scratch);
    let bad = bad(&image);
    assert!(bad.len() > 100);
    first_beside_plain(&scratch, &image, bad, "6");
}

fn named_files_of_fat_come_first() {
    let scratch = Scratch::new();
    let (tree, image) = (tree(&scratch), scratch.join("fat.img"));
    std::fs::write(&image, b"").unwrap();
    std::fs::File::options().write(true).open(&image).unwrap().set_len(LEN).unwrap();
    tool("mkfs.fat", &[&"-F", &"32", &"-s", &"1", &image]).ok();
    for i in 0..8 {
        tool("mcopy", &[&"-i", &image, &tree.join(format!("a large file {i}")), &"::/"]).ok();
    }
    tool("mcopy", &[&"-i", &image, &"-s", &tree.join("wanted"), &"::/"]).ok();
    let bad = bad(&image);
    first_beside_plain(&scratch, &image, bad, "6");
}

fn what_is_in_use_comes_before_what_is_free() {
    let scratch = Scratch::new();
    let image = ext(&scratch);
    let used = ours(&[&"map", &"used", &image, &"-o", &scratch.join("used.map"), &"--json"]).ok().json();
    let used: u64 = used["used"].as_u64().unwrap();
    // A bad sector in every 128 KiB of free space.
    let map = String::from_utf8(read(scratch.join("used.map"))).unwrap();
    let number = |s: &str| u64::from_str_radix(s.trim_start_matches("0x"), 16).unwrap();
    let mut bad = Vec::new();
    for line in map.lines().filter(|l| !l.starts_with('#')).skip(1).filter(|l| l.ends_with('?')) {
        let words: Vec<_> = line.split_whitespace().collect();
        let (at, len) = (number(words[0]), number(words[1]));
        bad.extend((at..at + len).step_by(128 << 10).map(|at| (at / 512 + 3, 1)));
    }
    assert!(bad.len() > 50, "{map}");
    let drive = Drive::new(&image, &scratch.folder("drive"), &Behaviour { bad, ..Behaviour::default() });
    let target = scratch.join("t.img");
    let run = ours(&[&"rescue", &drive.path(), &target, &"--max-errors", &"2", &"--json"]).exits(1);
    let rescued = run.json()["rescued"].as_u64().unwrap();
    assert!(rescued >= used, "{used} {run}");
    let (paths, metadata) = hurt(&target);
    assert!(paths.is_empty() && !metadata, "{paths:?} {run}");
}

fn a_lost_superblock_is_made_up_for() {
    let scratch = Scratch::new();
    let tree = tree(&scratch);
    let image = scratch.join("small.img");
    std::fs::write(&image, b"").unwrap();
    std::fs::File::options().write(true).open(&image).unwrap().set_len(LEN).unwrap();
    tool("mke2fs", &[&"-q", &"-F", &"-t", &"ext4", &"-b", &"1024", &"-d", &tree, &image]).ok();
    let mut bad = bad(&image);
    bad.insert(0, (2, 2));
    let drive = Drive::new(&image, &scratch.folder("drive"), &Behaviour { bad, ..Behaviour::default() });
    let target = scratch.join("t.img");
    ours(&[&"rescue", &drive.path(), &target, &"--first", &"/wanted", &"--max-errors", &"8", &"-q"]).exits(1);
    for i in 0..5 {
        let name = format!("/wanted/picture {i}.jpg");
        let cat = ours(&[&"files", &"cat", &target, &name, &"--map", &scratch.join("t.img.map")]).ok();
        assert!(cat.stdout == read(tree.join(&name[1..])), "{name}");
    }
}

fn everything_is_read_in_the_end() {
    let scratch = Scratch::new();
    let image = ext(&scratch);
    let bad = bad(&image);
    let lost: BTreeSet<u64> = bad.iter().map(|(sector, _)| *sector).collect();
    let drive = Drive::new(&image, &scratch.folder("drive"), &Behaviour { bad, ..Behaviour::default() });
    let (target, map) = (scratch.join("t.img"), scratch.join("t.img.map"));
    // Stopped in between, and gone on with.
    ours(&[&"rescue", &drive.path(), &target, &"--max-errors", &"10", &"-q"]).exits(1);
    let json = ours(&[&"rescue", &drive.path(), &target, &"--json"]).exits(1).json();
    let missing: BTreeSet<u64> = ["bad", "unread"]
        .iter()
        .flat_map(|list| json[list].as_array().unwrap())
        .flat_map(|r| {
            r["offset"].as_u64().unwrap() / 512..(r["offset"].as_u64().unwrap() + r["len"].as_u64().unwrap()) / 512
        })
        .collect();
    assert_eq!(missing, lost, "{json}");
    let (drive, target) = (read(&image), read(&target));
    let differ = drive.chunks(512).zip(target.chunks(512)).enumerate().filter(|(_, (a, b))| a != b);
    assert!(differ.map(|(i, _)| i as u64).all(|i| lost.contains(&i)), "{}", map.display());
}

fn what_is_wanted_first_and_not_at_all_is_refused() {
    let scratch = Scratch::new();
    let file = scratch.file("disk", &sample(1 << 20, 1));
    let run = ours(&[&"rescue", &file, &scratch.join("t.img"), &"--first", &"*", &"--without", &"value"]).exits(2);
    assert!(run.stderr.contains("leave one of them out"), "{run}");
}
