//! Drives that fail, rescued: nothing that can be read is lost, nothing is claimed that was not read.

use rustix::process::Signal;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tintype_tests::{Behaviour, Deadline, Drive, LoopDevice, Need::*, Scratch, ours, read, sample, tool};

tintype_tests::topic! {
    a_healthy_drive: [Loop],
    a_healthy_file: [],
    a_rescue_is_played: [],
    a_mapfile_is_played: [Tool("ddrescuelog")],
    exactly_the_bad_sectors_are_left: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("ddrescuelog")],
    killed_again_and_again: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    nothing_is_read_twice: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    ddrescue_begins_and_we_go_on: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("ddrescue")],
    we_begin_and_ddrescue_goes_on: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("ddrescue"), Tool("ddrescuelog")],
    what_was_left_follows_into_an_e01: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("ewfinfo")],
    why_reads_failed_is_told: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    another_drive_is_refused: [],
    an_image_without_its_map_is_refused: [],
    a_map_without_its_image_is_refused: [],
    limits_end_it_and_it_goes_on: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    a_drive_that_vanishes_and_comes_back: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    a_full_target_keeps_what_is_there: [Root, Tool("mount")],
    onto_a_drive: [Loop],
    two_at_once_are_one_too_many: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    a_read_that_hangs_is_left_behind: [Fuse, Tool("nbdfuse"), Tool("nbdkit")],
}

const LEN: usize = 32 << 20;
const BAD: [(u64, u64); 5] = [(0, 1), (300, 1), (20_000, 8), (40_001, 3), (65_535, 1)];

/// The bytes of a drive, none of them zero, and the file that holds them.
fn backing(scratch: &Scratch) -> (Vec<u8>, PathBuf) {
    let bytes: Vec<u8> = sample(LEN, 300).into_iter().map(|b| b | 1).collect();
    let file = scratch.file("backing", &bytes);
    (bytes, file)
}

fn drive(scratch: &Scratch, behaviour: &Behaviour) -> (Vec<u8>, Drive) {
    let (bytes, file) = backing(scratch);
    (bytes, Drive::new(&file, &scratch.folder("drive"), behaviour))
}

fn bad() -> Behaviour {
    Behaviour { bad: BAD.to_vec(), ..Behaviour::default() }
}

fn bad_sectors() -> BTreeSet<u64> {
    BAD.iter().flat_map(|(first, count)| *first..first + count).collect()
}

/// Sectors of `ranges`, a list in a result.
fn sectors(ranges: &serde_json::Value) -> BTreeSet<u64> {
    let all = ranges.as_array().unwrap_or_else(|| panic!("no list: {ranges}"));
    all.iter()
        .flat_map(|r| {
            let (offset, len) = (r["offset"].as_u64().unwrap(), r["len"].as_u64().unwrap());
            assert!(offset % 512 == 0 && len % 512 == 0, "{r}");
            offset / 512..(offset + len) / 512
        })
        .collect()
}

/// What the files of a rescue say of the drive.
fn check_map(map: &Path, image: &Path, bytes: &[u8]) -> BTreeSet<u64> {
    tintype_tests::check_map(&String::from_utf8(read(map)).unwrap(), &read(image), bytes)
}

/// Waits until a journal names something.
fn something_is_kept(journal: &Path) {
    let kept = || String::from_utf8_lossy(&std::fs::read(journal).unwrap_or_default()).contains("\nr ");
    assert!(Deadline::after(60).poll(|| kept().then_some(())).is_some(), "the journal grows");
}

fn a_healthy_drive() {
    let scratch = Scratch::new();
    let (bytes, file) = backing(&scratch);
    for device in [LoopDevice::read_only_direct(&file), LoopDevice::new(&file, 4096)] {
        let image = scratch.join(format!("{}.img", device.path().file_name().unwrap().to_string_lossy()));
        let json = ours(&[&"rescue", &device.path(), &image, &"--json"]).ok().json();
        assert_eq!((&json["rescued"], &json["size"]), (&LEN.into(), &LEN.into()));
        assert_eq!(json["failed_reads"], 0);
        assert!(read(&image) == bytes);
        assert_eq!(check_map(&scratch.join(format!("{}.map", image.display())), &image, &bytes), BTreeSet::new());
    }
}

fn a_healthy_file() {
    let scratch = Scratch::new();
    // No whole number of sectors.
    let bytes = sample(3_000_001, 301);
    let file = scratch.file("disk", &bytes);
    let image = scratch.join("t.img");
    ours(&[&"rescue", &file, &image]).ok();
    assert!(read(&image) == bytes);
    // Once more: it is all there.
    let json = ours(&[&"rescue", &file, &image, &"--json"]).ok().json();
    assert_eq!((&json["reads"], &json["rescued"]), (&0.into(), &bytes.len().into()));
}

fn exactly_the_bad_sectors_are_left() {
    let scratch = Scratch::new();
    let (bytes, drive) = drive(&scratch, &bad());
    let (image, map) = (scratch.join("t.img"), scratch.join("t.map"));
    let json = ours(&[&"rescue", &drive.path(), &image, &map, &"--json"]).exits(1).json();
    assert_eq!(sectors(&json["bad"]), bad_sectors(), "{json}");
    assert_eq!(json["unread"], serde_json::json!([]));
    assert_eq!(check_map(&map, &image, &bytes), bad_sectors());
    let status = tool("ddrescuelog", &[&"-t", &map]).ok().out();
    assert!(status.contains("bad-sector"), "{status}");
    let list: BTreeSet<u64> =
        tool("ddrescuelog", &[&"-l-", &map]).ok().out().lines().map(|l| l.trim().parse().unwrap()).collect();
    assert_eq!(list, bad_sectors());
}

fn a_rescue_is_played() {
    let scratch = Scratch::new();
    let mut text = format!("size {LEN}\ngarbage 1048576 4096\n");
    for (first, count) in BAD {
        text += &format!("bad {} {}\n", first * 512, count * 512);
    }
    let model = scratch.file("drive.model", text.as_bytes());
    let json = ours(&[&"rescue", &"--simulate", &model, &"--json"]).exits(1).json();
    // What a real drive of this kind comes to: see exactly_the_bad_sectors_are_left.
    assert_eq!(sectors(&json["bad"]), bad_sectors(), "{json}");
    assert_eq!(json["rescued"], LEN - bad_sectors().len() * 512);
    assert_eq!(json["untrue"], 4096);
    let curve = json["curve"].as_array().unwrap();
    assert_eq!(
        curve.iter().map(|p| p["percent"].as_f64().unwrap()).collect::<Vec<_>>(),
        [50.0, 90.0, 99.0, 99.9, 100.0]
    );
    let failed: Vec<_> = curve.iter().map(|p| p["failed_reads"].as_u64().unwrap()).collect();
    assert!(failed.is_sorted() && *failed.last().unwrap() <= json["failed_reads"].as_u64().unwrap());
    assert_eq!(std::fs::read_dir(model.parent().unwrap()).unwrap().count(), 1, "nothing is written");
    let wrong = scratch.file("wrong.model", b"worse 0 512\n");
    let said = ours(&[&"rescue", &"--simulate", &wrong]).exits(3).stderr;
    assert!(said.contains("line 1"), "{said}");
}

fn a_mapfile_is_played() {
    let scratch = Scratch::new();
    let mut text = String::from("# Mapfile. Created by GNU ddrescue version 1.27\n0x0 + 1\n");
    let mut at = 0;
    for (first, count) in BAD {
        let (start, len) = (first * 512, count * 512);
        if start > at {
            text += &format!("{at:#x} {:#x} +\n", start - at);
        }
        text += &format!("{start:#x} {len:#x} -\n");
        at = start + len;
    }
    let map = scratch.file("disk.map", text.as_bytes());
    assert_eq!(at, LEN as u64);
    tool("ddrescuelog", &[&"-t", &map]).ok();
    let json = ours(&[&"rescue", &"--simulate", &map, &"--json"]).exits(1).json();
    assert_eq!(sectors(&json["bad"]), bad_sectors(), "{json}");
    assert_eq!(json["recoverable"], LEN - bad_sectors().len() * 512);
}

fn killed_again_and_again() {
    let scratch = Scratch::new();
    let (bytes, drive) = drive(&scratch, &Behaviour { rate: 16 << 20, ..bad() });
    let (image, map) = (scratch.join("t.img"), scratch.join("t.map"));
    let journal = scratch.join("t.map.journal");
    let mut size = 0;
    for _ in 0..3 {
        let mut running = ours(&[&"rescue", &drive.path(), &image, &map, &"-q"]).start();
        let grown = Deadline::after(60).poll(|| {
            let now = std::fs::metadata(&journal).map_or(0, |m| m.len());
            (running.ended().is_some() || now > size + 100).then_some(now)
        });
        size = grown.expect("the journal grows");
        running.signal(Signal::KILL);
        running.wait();
    }
    ours(&[&"rescue", &drive.path(), &image, &map, &"-q"]).exits(1);
    assert_eq!(check_map(&map, &image, &bytes), bad_sectors());
}

fn nothing_is_read_twice() {
    let scratch = Scratch::new();
    let (_, drive) = drive(&scratch, &Behaviour { rate: 8 << 20, ..Behaviour::default() });
    let (image, journal) = (scratch.join("t.img"), scratch.join("t.img.map.journal"));
    let running = ours(&[&"rescue", &drive.path(), &image, &"-q"]).start();
    something_is_kept(&journal);
    running.signal(Signal::TERM);
    running.wait();
    let before = drive.reads().len();
    let json = ours(&[&"rescue", &drive.path(), &image, &"--json"]).ok().json();
    let reads = json["reads"].as_u64().unwrap();
    assert!(before > 0 && reads > 0 && reads < LEN as u64 >> 20, "{reads} reads after {before}");
}

fn ddrescue_begins_and_we_go_on() {
    let scratch = Scratch::new();
    let (bytes, drive) = drive(&scratch, &bad());
    let (image, map) = (scratch.join("t.img"), scratch.join("t.map"));
    tool("ddrescue", &[&"-q", &"-d", &"-n", &"-N", &"-s", &"24MiB", &drive.path(), &image, &map]).run();
    extend(&image);
    let begun = check_map(&map, &image, &bytes);
    assert!(begun.len() > bad_sectors().len());
    let json = ours(&[&"rescue", &drive.path(), &image, &map, &"--json"]).exits(1).json();
    assert_eq!(sectors(&json["bad"]), bad_sectors());
    assert_eq!(check_map(&map, &image, &bytes), bad_sectors());
}

/// ddrescue leaves the image as short as what it copied.
fn extend(image: &Path) {
    std::fs::File::options().write(true).open(image).unwrap().set_len(LEN as u64).unwrap();
}

fn we_begin_and_ddrescue_goes_on() {
    let scratch = Scratch::new();
    let (bytes, drive) = drive(&scratch, &bad());
    let (image, map) = (scratch.join("t.img"), scratch.join("t.map"));
    ours(&[&"rescue", &drive.path(), &image, &map, &"-q", &"--max-errors", &"2"]).exits(1);
    assert!(check_map(&map, &image, &bytes).len() > bad_sectors().len());
    tool("ddrescue", &[&"-q", &"-d", &drive.path(), &image, &map]).run();
    assert_eq!(check_map(&map, &image, &bytes), bad_sectors());
    // And back: the map that ddrescue wrote is believed, not our older journal.
    let json = ours(&[&"rescue", &drive.path(), &image, &map, &"--json", &"--retries", &"0"]).exits(1).json();
    assert_eq!((&json["reads"], sectors(&json["bad"])), (&0.into(), bad_sectors()));
}

fn what_was_left_follows_into_an_e01() {
    let scratch = Scratch::new();
    let (_, drive) = drive(&scratch, &bad());
    let (image, e01) = (scratch.join("t.img"), scratch.join("t.E01"));
    ours(&[&"rescue", &drive.path(), &image, &"-q"]).exits(1);
    let map = scratch.join("t.img.map");
    ours(&[&"convert", &image, &e01, &"--map", &map, &"-q"]).ok();
    let json = ours(&[&"info", &e01, &"--extents", &"--json"]).ok().json();
    assert_eq!(json["extents"]["bad"], bad_sectors().len() * 512, "{json}");
    let said = tool("ewfinfo", &[&e01]).ok().out();
    assert!(said.contains("Read errors during acquiry"), "{said}");
}

fn why_reads_failed_is_told() {
    let scratch = Scratch::new();
    let (_, drive) = drive(&scratch, &bad());
    let (image, map) = (scratch.join("t.img"), scratch.join("t.map"));
    let json = ours(&[&"rescue", &drive.path(), &image, &map, &"--exhaustive", &"--json"]).exits(1).json();
    let failures = json["failures"].as_array().unwrap();
    let sum = |field: &str| failures.iter().map(|f| f[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("bytes"), bad_sectors().len() as u64 * 512, "{json}");
    // What the kernel says of a loop device whose file cannot be read.
    let said = std::io::Error::from_raw_os_error(5).to_string();
    assert!(failures.iter().all(|f| f["said"] == said.as_str()), "{json}");
    let took: u64 = json["took"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(json["rescued"], took, "{json}");
    let text = ours(&[&"rescue", &drive.path(), &image, &map, &"--without", &"retry"]).exits(1).out();
    assert!(text.contains(&said), "{text}");
    // Range by range, from the journal; how often each was tried is what --retries asked for, and more.
    let list = ours(&[&"map", &"list", &"--why", &map, &"--json"]).ok().json();
    assert_eq!(sectors(&list["failed"]), bad_sectors());
    let tries = |f: &serde_json::Value| f["tries"].as_u64().unwrap();
    assert!(list["failed"].as_array().unwrap().iter().all(|f| tries(f) >= 3 && f["status"] == "-"), "{list}");
    let text = ours(&[&"map", &"list", &"--why", &map]).ok().out();
    assert_eq!(text.matches(&said).count(), list["ranges"].as_u64().unwrap() as usize, "{text}");
    // A map that somebody else wrote has no journal.
    let alone = scratch.file("alone.map", &read(&map));
    let said = ours(&[&"map", &"list", &"--why", &alone]).exits(2).stderr;
    assert!(said.contains("no journal beside it"), "{said}");
}

fn another_drive_is_refused() {
    let scratch = Scratch::new();
    let (a, b) = (scratch.file("a", &sample(1 << 20, 302)), scratch.file("b", &sample(2 << 20, 303)));
    let image = scratch.join("t.img");
    ours(&[&"rescue", &a, &image]).ok();
    let before = (read(&image), read(scratch.join("t.img.map")));
    let said = ours(&[&"rescue", &b, &image]).exits(2).stderr;
    assert!(said.contains("another drive"), "{said}");
    assert!(before == (read(&image), read(scratch.join("t.img.map"))), "nothing was touched");
}

fn an_image_without_its_map_is_refused() {
    let scratch = Scratch::new();
    let disk = scratch.file("a", &sample(1 << 20, 304));
    let image = scratch.file("t.img", b"somebody's");
    let said = ours(&[&"rescue", &disk, &image]).exits(2).stderr;
    assert!(said.contains("mapfile"), "{said}");
    assert_eq!(read(&image), b"somebody's");
}

fn a_map_without_its_image_is_refused() {
    let scratch = Scratch::new();
    let disk = scratch.file("a", &sample(1 << 20, 305));
    let image = scratch.join("t.img");
    ours(&[&"rescue", &disk, &image]).ok();
    std::fs::remove_file(&image).unwrap();
    let said = ours(&[&"rescue", &disk, &image]).exits(2).stderr;
    assert!(said.contains("does not exist"), "{said}");
    assert!(!image.exists());
}

fn limits_end_it_and_it_goes_on() {
    let scratch = Scratch::new();
    let (bytes, drive) = drive(&scratch, &bad());
    let image = scratch.join("t.img");
    let json = ours(&[&"rescue", &drive.path(), &image, &"--max-errors", &"1", &"--json"]).exits(1).json();
    assert_eq!(json["failed_reads"], 1);
    assert!(json["stopped"].is_string());
    let json = ours(&[&"rescue", &drive.path(), &image, &"--json"]).exits(1).json();
    assert_eq!(sectors(&json["bad"]), bad_sectors());
    assert_eq!(check_map(&scratch.join("t.img.map"), &image, &bytes), bad_sectors());
}

fn a_drive_that_vanishes_and_comes_back() {
    let scratch = Scratch::new();
    let (bytes, drive) = drive(&scratch, &Behaviour { rate: 16 << 20, ..Behaviour::default() });
    let (image, journal) = (scratch.join("t.img"), scratch.join("t.img.map.journal"));
    let running = ours(&[&"rescue", &drive.path(), &image, &"-q", &"--max-errors", &"40"]).start();
    something_is_kept(&journal);
    drive.vanish();
    running.wait();
    drive.come_back();
    // What failed meanwhile is tried again, whatever it had been called.
    let json = ours(&[&"rescue", &drive.path(), &image, &"--json", &"--retries", &"5"]).ok().json();
    assert_eq!(json["rescued"], LEN);
    assert!(read(&image) == bytes);
}

fn a_full_target_keeps_what_is_there() {
    let scratch = Scratch::new();
    let (bytes, file) = backing(&scratch);
    let mount = tintype_tests::Mount::tmpfs(scratch.folder("small"), 8 << 20);
    let image = mount.path().join("t.img");
    let map = scratch.join("t.map");
    let said = ours(&[&"rescue", &file, &image, &map, &"-q"]).exits(3).stderr;
    assert!(said.contains("t.img") || said.contains("space"), "{said}");
    let missing = check_map(&map, &image, &bytes);
    assert!(!missing.is_empty() && missing.len() < LEN / 512);
}

fn onto_a_drive() {
    let scratch = Scratch::new();
    let (bytes, file) = backing(&scratch);
    let target = scratch.file("target", &vec![0xEE; LEN + (1 << 20)]);
    let device = LoopDevice::new(&target, 512);
    let map = scratch.join("t.map");
    ours(&[&"rescue", &file, &device.path(), &map]).exits(2);
    ours(&[&"rescue", &file, &device.path(), &map, &"--yes"]).ok();
    drop(device);
    let after = read(&target);
    assert!(after[..LEN] == bytes);
    assert!(after[LEN..].iter().all(|b| *b == 0xEE), "what lies beyond is left alone");
}

fn a_read_that_hangs_is_left_behind() {
    let scratch = Scratch::new();
    let (_, file) = backing(&scratch);
    let drive = Drive::as_file(&file, &scratch.folder("drive"), &Behaviour { rate: 8 << 20, ..Behaviour::default() });
    let (image, journal) = (scratch.join("t.img"), scratch.join("t.img.map.journal"));
    let running =
        ours(&[&"rescue", &drive.file(), &image, &"-q", &"--read-timeout", &"1", &"--max-errors", &"1"]).start();
    something_is_kept(&journal);
    drive.hang(&running);
    let map = scratch.join("t.img.map");
    let told = Deadline::after(30).poll(|| String::from_utf8_lossy(&read(&map)).contains('*').then_some(()));
    assert!(told.is_some(), "the read that hangs is in the map");
    drive.answer();
    running.wait();
}

fn two_at_once_are_one_too_many() {
    let scratch = Scratch::new();
    let (bytes, drive) = drive(&scratch, &Behaviour { rate: 2 << 20, ..Behaviour::default() });
    let (image, journal) = (scratch.join("t.img"), scratch.join("t.img.map.journal"));
    let running = ours(&[&"rescue", &drive.path(), &image, &"-q"]).start();
    something_is_kept(&journal);
    let said = ours(&[&"rescue", &drive.path(), &image, &"-q"]).exits(2).stderr;
    assert!(said.contains("another run"), "{said}");
    running.signal(Signal::KILL);
    // It may be used again at once.
    ours(&[&"rescue", &drive.path(), &image, &"-q", &"--max-time", &"1"]).exits(1);
    running.wait();
    check_map(&scratch.join("t.img.map"), &image, &bytes);
}
