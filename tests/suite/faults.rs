//! Bad days: sectors that cannot be read, drives that vanish, targets that are full.

use rustix::process::Signal;
use std::collections::BTreeSet;
use tintype_tests::{
    Behaviour, Drive, Layout, LoopDevice, Mount, Need::*, Scratch, ours, read, runs_that_differ, sample, sample_file,
    tool,
};

tintype_tests::topic! {
    exactly_the_bad_sectors_are_lost: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    bad_sectors_are_kept_in_e01: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("ewfinfo"), Tool("ewfverify"), Tool("ewfexport")],
    bad_sectors_follow_through_a_conversion: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    formats_that_cannot_say_it_are_told_before: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    the_fill_is_what_was_asked_for: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    a_long_bad_stretch_is_left_and_rescue_advised: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    max_errors_ends_the_run: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    a_bad_first_sector: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    a_clone_of_a_bad_drive_says_so: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    a_source_that_vanishes: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    a_source_that_shrinks: [],
    a_source_that_grows: [],
    a_full_target: [Root, Tool("mount")],
    a_full_target_goes_on_when_there_is_room: [Root, Tool("mount")],
    one_target_full_the_other_not: [Root, Tool("mount")],
    a_target_drive_that_vanishes: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    a_target_file_system_that_vanishes: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("mkfs.ext4")],
    a_read_only_file_system_as_target: [Root, Tool("mount")],
    a_bad_sector_under_an_e01_costs_its_chunk: [Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    a_read_that_hangs_can_be_stopped: [Fuse, Tool("nbdfuse"), Tool("nbdkit")],
}

const BAD: [(u64, u64); 4] = [(300, 1), (20_000, 8), (40_001, 1), (65_535, 1)];
const LEN: usize = 32 << 20;

fn bad_drive(scratch: &Scratch, bad: &[(u64, u64)]) -> (Drive, Vec<u8>) {
    // No byte is zero, so that a fill is told from what was there.
    let bytes: Vec<u8> = sample(LEN, 120).into_iter().map(|b| b | 1).collect();
    let backing = scratch.file("backing", &bytes);
    let behaviour = Behaviour { bad: bad.to_vec(), ..Behaviour::default() };
    (Drive::new(&backing, &scratch.folder("drive"), &behaviour), bytes)
}

/// `bad` of a result, as sectors.
fn bad_sectors(json: &serde_json::Value) -> BTreeSet<u64> {
    let mut sectors = BTreeSet::new();
    for range in json["bad"].as_array().unwrap_or_else(|| panic!("no list of bad ranges in {json}")) {
        let (offset, len) = (range["offset"].as_u64().unwrap(), range["len"].as_u64().unwrap());
        assert!(offset % 512 == 0 && len % 512 == 0, "{range}");
        sectors.extend(offset / 512..(offset + len) / 512);
    }
    sectors
}

fn sectors_of(bad: &[(u64, u64)]) -> BTreeSet<u64> {
    bad.iter().flat_map(|(first, count)| *first..first + count).collect()
}

fn lost_in(bytes: &[u8], copy: &[u8]) -> BTreeSet<u64> {
    runs_that_differ(bytes, copy, 512).into_iter().flat_map(|(o, n)| o / 512..(o + n) / 512).collect()
}

fn exactly_the_bad_sectors_are_lost() {
    let scratch = Scratch::new();
    let (drive, bytes) = bad_drive(&scratch, &BAD);
    for name in ["t.img", "t.gz", "t.zst", "t.001", "t.E01"] {
        let target = scratch.join(name);
        let json = ours(&[&"image", &drive.path(), &target, &"--json"]).exits(1).json();
        assert_eq!(bad_sectors(&json), sectors_of(&BAD), "{name}: {json}");
        assert_eq!(json["extents"]["bad"], sectors_of(&BAD).len() as u64 * 512, "{json}");
        let back = scratch.join("back.raw");
        ours(&[&"convert", &target, &back, &"--force", &"-q"]).ok();
        assert_eq!(lost_in(&bytes, &read(&back)), sectors_of(&BAD), "{name}");
    }
}

fn bad_sectors_are_kept_in_e01() {
    let scratch = Scratch::new();
    let (drive, bytes) = bad_drive(&scratch, &BAD);
    let target = scratch.join("t.E01");
    ours(&[&"image", &drive.path(), &target]).exits(1);
    let info = tool("ewfinfo", &[&target]).ok().out();
    for (first, count) in BAD {
        let last = first + count - 1;
        let line = info.lines().find(|l| l.contains("at sector(s)") && l.contains(&format!(" {first} - {last}")));
        assert!(line.is_some(), "sectors {first} - {last} are not in: {info}");
    }
    // The stored digests cover the fill, so the image itself is sound.
    tool("ewfverify", &[&"-q", &"-d", &"sha1", &target]).ok();
    let run = ours(&[&"verify", &target, &"--json"]).ok();
    assert_eq!(bad_sectors(&run.json()), sectors_of(&BAD), "{run}");
    let info = ours(&[&"info", &target, &"--json"]).ok().json();
    assert_eq!(info["extents"]["bad"], sectors_of(&BAD).len() as u64 * 512, "{info}");
    tool(
        "ewfexport",
        &[&"-u", &"-q", &"-f", &"raw", &"-l", &"/dev/null", &"-S", &"0", &"-t", &scratch.join("x"), &target],
    )
    .ok();
    let copy = read(scratch.join("x.raw"));
    assert_eq!(lost_in(&bytes, &copy), sectors_of(&BAD));
}

fn bad_sectors_follow_through_a_conversion() {
    let scratch = Scratch::new();
    let (drive, _) = bad_drive(&scratch, &BAD);
    let first = scratch.join("a.E01");
    ours(&[&"image", &drive.path(), &first]).exits(1);
    drop(drive);
    let second = scratch.join("b.E01");
    let json = ours(&[&"convert", &first, &second, &"--compression", &"best", &"--json"]).ok().json();
    assert_eq!(bad_sectors(&json), sectors_of(&BAD), "{json}");
    let info = ours(&[&"info", &second, &"--json"]).ok().json();
    assert_eq!(info["extents"]["bad"], sectors_of(&BAD).len() as u64 * 512, "{info}");
    // Bytes that nobody has read cannot be called equal; the rest is.
    let run = ours(&[&"compare", &first, &second]).exits(1);
    assert!(run.out().contains("equal where both could be read"), "{run}");
    // Raw cannot carry it: said, and listed all the same.
    let run = ours(&[&"convert", &first, &scratch.join("c.img"), &"--json"]).ok();
    assert_eq!(bad_sectors(&run.json()), sectors_of(&BAD), "{run}");
    assert!(!run.stderr.trim().is_empty(), "the loss of the map is not said: {run}");
}

fn formats_that_cannot_say_it_are_told_before() {
    let scratch = Scratch::new();
    let (drive, _) = bad_drive(&scratch, &[(300, 1)]);
    let first = scratch.join("a.E01");
    ours(&[&"image", &drive.path(), &first]).exits(1);
    let run = ours(&[&"convert", &first, &scratch.join("c.img"), &"--dry-run"]).ok();
    let said = format!("{}{}", run.out(), run.stderr).to_lowercase();
    assert!(said.contains("bad"), "{run}");
}

fn the_fill_is_what_was_asked_for() {
    let scratch = Scratch::new();
    let (drive, _) = bad_drive(&scratch, &[(300, 1)]);
    let target = scratch.join("zero.img");
    ours(&[&"image", &drive.path(), &target, &"--fill", &"zero"]).exits(1);
    assert!(read(&target)[300 * 512..301 * 512].iter().all(|b| *b == 0));
    let target = scratch.join("pattern.img");
    let run = ours(&[&"image", &drive.path(), &target, &"--fill", &"BAD!"]).exits(1);
    let bytes = read(&target);
    let fill = &bytes[300 * 512..301 * 512];
    assert!(fill.chunks(4).all(|c| c == b"BAD!"), "{:?} {run}", &fill[..16]);
}

fn a_long_bad_stretch_is_left_and_rescue_advised() {
    let scratch = Scratch::new();
    let (drive, bytes) = bad_drive(&scratch, &[(10_000, 6000)]);
    let target = scratch.join("t.img");
    let run = ours(&[&"image", &drive.path(), &target, &"--json"]).exits(1);
    let json = run.json();
    let lost = lost_in(&bytes, &read(&target));
    assert!(sectors_of(&[(10_000, 6000)]).is_subset(&lost), "sectors are missing in the loss: {json}");
    let known = json["extents"]["bad"].as_u64().unwrap_or(0) + json["extents"]["unread"].as_u64().unwrap_or(0);
    assert_eq!(known, lost.len() as u64 * 512, "what is lost is not what is said: {json}");
    assert!(run.stderr.contains("rescue") || json.to_string().contains("rescue"), "{run}");
}

fn max_errors_ends_the_run() {
    let scratch = Scratch::new();
    let (drive, _) = bad_drive(&scratch, &BAD);
    let target = scratch.join("t.img");
    let run = ours(&[&"image", &drive.path(), &target, &"--max-errors", &"3"]).run();
    assert!(matches!(run.code(), Some(1 | 3)), "{run}");
    assert!(!target.exists(), "an image that was given up looks whole: {run}");
    ours(&[&"image", &drive.path(), &scratch.join("u.img"), &"--max-errors", &"100"]).exits(1);
}

fn a_bad_first_sector() {
    let scratch = Scratch::new();
    let (drive, bytes) = bad_drive(&scratch, &[(0, 1)]);
    let target = scratch.join("t.E01");
    let json = ours(&[&"image", &drive.path(), &target, &"--json"]).exits(1).json();
    assert_eq!(bad_sectors(&json), BTreeSet::from([0]), "{json}");
    let back = scratch.join("b.raw");
    ours(&[&"convert", &target, &back]).ok();
    assert_eq!(lost_in(&bytes, &read(&back)), BTreeSet::from([0]));
    ours(&[&"info", &drive.path()]).ok();
}

fn a_clone_of_a_bad_drive_says_so() {
    let scratch = Scratch::new();
    let (drive, bytes) = bad_drive(&scratch, &BAD);
    let backing = scratch.file("to", &vec![0xA4; LEN]);
    let to = LoopDevice::new(&backing, 512);
    let json = ours(&[&"clone", &drive.path(), &to, &"--yes", &"--json"]).exits(1).json();
    assert_eq!(bad_sectors(&json), sectors_of(&BAD), "{json}");
    assert_eq!(lost_in(&bytes, &read(to.path())), sectors_of(&BAD));
}

fn a_source_that_vanishes() {
    let scratch = Scratch::new();
    let backing = scratch.file("backing", &sample(64 << 20, 121));
    let behaviour = Behaviour { rate: 40 << 20, ..Behaviour::default() };
    let drive = Drive::new(&backing, &scratch.folder("drive"), &behaviour);
    let target = scratch.join("t.E01");
    let running = ours(&[&"image", &drive.path(), &target]).start();
    let far = tintype_tests::Deadline::after(60)
        .poll(|| drive.reads().iter().any(|(o, _)| *o > 10 << 20 && *o < 60 << 20).then_some(()));
    assert!(far.is_some(), "nothing was read");
    drive.vanish();
    let run = running.wait();
    // Everything from here on is unreadable: that is loss (1), or the end (3), but never a whole image in silence.
    assert!(matches!(run.code(), Some(1 | 3)), "{run}");
    drive.come_back();
    if run.code() == Some(3) {
        assert!(!target.exists(), "{run}");
        // The same command goes on when the drive is back.
        ours(&[&"image", &drive.path(), &target]).ok();
        ours(&[&"compare", &backing, &target]).ok();
    }
}

/// Starts an image of a file and stops it in the middle, changes the file, and lets it go on.
fn changed_in_the_middle(change: impl Fn(&std::fs::File)) -> (tintype_tests::Run, Scratch, u64) {
    let scratch = Scratch::new();
    let len = 256u64 << 20;
    let (disk, _) = sample_file(&scratch, "d.raw", len as usize, 122, Layout::Full);
    let target = scratch.join("t.E01");
    let mut running = ours(&[&"image", &disk, &target, &"--compression", &"fast"]).start();
    assert!(running.has_written(1 << 20), "it was over before it could be stopped");
    running.signal(Signal::STOP);
    change(&std::fs::OpenOptions::new().write(true).open(&disk).unwrap());
    running.signal(Signal::CONT);
    (running.wait(), scratch, len)
}

fn a_source_that_shrinks() {
    let (run, scratch, _) = changed_in_the_middle(|file| file.set_len(120 << 20).unwrap());
    assert!(matches!(run.code(), Some(1 | 3)), "bytes that do not exist were imaged in silence: {run}");
    assert!(run.code() == Some(1) || !scratch.join("t.E01").exists(), "{run}");
    assert!(!run.stderr.contains("panicked"), "{run}");
}

fn a_source_that_grows() {
    let (run, scratch, len) = changed_in_the_middle(|file| file.set_len(300 << 20).unwrap());
    // The image is of what was there when it began, or the change is told.
    if run.code() == Some(0) {
        let json = ours(&[&"info", &scratch.join("t.E01"), &"--json"]).ok().json();
        assert_eq!(json["size"], len);
        assert!(
            run.stderr.contains("grew") || run.stderr.contains("changed") || run.stderr.contains("longer"),
            "{run}"
        );
    } else {
        run.exited_any(&[1, 3]);
    }
}

fn a_full_target() {
    for name in ["t.img", "t.gz", "t.zst", "t.001", "t.E01"] {
        let scratch = Scratch::new();
        let disk = scratch.file("d.raw", &tintype_core::testing::Model::noise(12 << 20, 123).bytes);
        let mount = Mount::tmpfs(scratch.folder("small"), 5 << 20);
        let target = mount.path().join(name);
        for verb in ["image", "convert"] {
            let run = ours(&[&verb, &disk, &target]).run();
            assert!(matches!(run.code(), Some(2 | 3)), "{run}");
            assert!(!target.exists(), "it looks whole: {run}");
            let said = run.stderr.to_lowercase();
            assert!(said.contains("space") || said.contains("full") || said.contains("fit"), "{run}");
            for entry in std::fs::read_dir(mount.path()).unwrap() {
                std::fs::remove_file(entry.unwrap().path()).unwrap();
            }
        }
    }
}

fn a_full_target_goes_on_when_there_is_room() {
    for name in ["t.001", "t.E01"] {
        let scratch = Scratch::new();
        let disk = scratch.file("d.raw", &tintype_core::testing::Model::noise(12 << 20, 124).bytes);
        let mount = Mount::tmpfs(scratch.folder("small"), 16 << 20);
        let ballast = mount.path().join("ballast");
        std::fs::write(&ballast, vec![1; 8 << 20]).unwrap();
        let target = mount.path().join(name);
        let run = ours(&[&"image", &disk, &target, &"--compression", &"none"]).run();
        assert!(matches!(run.code(), Some(2 | 3)), "{run}");
        std::fs::remove_file(&ballast).unwrap();
        ours(&[&"image", &disk, &target, &"--compression", &"none"]).ok();
        ours(&[&"compare", &disk, &target]).ok();
        ours(&[&"verify", &target]).ok();
    }
}

fn one_target_full_the_other_not() {
    let scratch = Scratch::new();
    let disk = scratch.file("d.raw", &tintype_core::testing::Model::noise(12 << 20, 125).bytes);
    let mount = Mount::tmpfs(scratch.folder("small"), 5 << 20);
    let (full, good) = (mount.path().join("t.img"), scratch.join("u.E01"));
    let run = ours(&[&"image", &disk, &full, &good]).run();
    assert!(run.code().is_some_and(|c| c != 0), "a target is missing, and it says done: {run}");
    assert!(!full.exists(), "{run}");
    if good.exists() {
        ours(&[&"verify", &good]).ok();
        ours(&[&"compare", &disk, &good]).ok();
    }
}

fn a_target_drive_that_vanishes() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 48 << 20, 126, Layout::Full);
    let backing = scratch.file("backing", &vec![0xA5; 48 << 20]);
    let behaviour = Behaviour { rate: 60 << 20, writable: true, ..Behaviour::default() };
    let drive = Drive::new(&backing, &scratch.folder("drive"), &behaviour);
    let mut running = ours(&[&"restore", &disk, &drive.path(), &"--yes"]).start();
    assert!(running.has_written(8 << 20), "it was over before the drive went");
    drive.vanish();
    let run = running.wait();
    assert_eq!(run.code(), Some(3), "{run}");
    assert!(!run.stderr.contains("panicked"), "{run}");
    drive.come_back();
    ours(&[&"restore", &disk, &drive.path(), &"--yes"]).ok();
    ours(&[&"compare", &disk, &drive.path()]).ok();
}

fn a_target_file_system_that_vanishes() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 48 << 20, 127, Layout::Full);
    let backing = scratch.join("backing");
    std::fs::File::create(&backing).unwrap().set_len(96 << 20).unwrap();
    tool("mkfs.ext4", &[&"-q", &"-F", &"-E", &"lazy_itable_init=0,lazy_journal_init=0", &backing]).ok();
    let behaviour = Behaviour { writable: true, ..Behaviour::default() };
    let drive = Drive::new(&backing, &scratch.folder("drive"), &behaviour);
    let mount = Mount::device(drive.path(), scratch.folder("mnt"), "errors=remount-ro");
    let target = mount.path().join("t.img");
    let mut running = ours(&[&"image", &disk, &target]).start();
    assert!(running.has_written(4 << 20), "it was over before the drive went");
    running.signal(Signal::STOP);
    drive.vanish();
    running.signal(Signal::CONT);
    let run = running.wait();
    assert_eq!(run.code(), Some(3), "what was not stored is called done: {run}");
    drop(mount);
}

fn a_read_only_file_system_as_target() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 128, Layout::Full);
    let mount = Mount::tmpfs(scratch.folder("ro"), 8 << 20);
    tool("mount", &[&"-o", &"remount,ro", &mount.path()]).ok();
    let run = ours(&[&"image", &disk, &mount.path().join("t.img")]).run().exited_any(&[2, 3]);
    assert!(run.stderr.to_lowercase().contains("read-only"), "{run}");
}

fn a_read_that_hangs_can_be_stopped() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 64 << 20, 129, Layout::Full);
    // `image` gives a drive that is in trouble ten seconds; where nothing is written there is nothing to wait for.
    for (verb, seconds) in [("compare", 8), ("verify", 8), ("image", 20)] {
        let behaviour = Behaviour { rate: 16 << 20, ..Behaviour::default() };
        let drive = Drive::as_file(&disk, &scratch.folder(verb), &behaviour);
        let file = drive.file();
        let mut running = match verb {
            "compare" => ours(&[&verb, &disk, &file]),
            "verify" => ours(&[&verb, &disk, &"--against", &file]),
            _ => ours(&[&verb, &file, &scratch.join("t.img")]),
        }
        .start();
        let far = tintype_tests::Deadline::after(60).poll(|| {
            assert!(running.ended().is_none(), "it was over: {}", running.stderr_so_far());
            drive.reads().iter().any(|(o, n)| *o > 2 << 20 && o + n < 60 << 20).then_some(())
        });
        assert!(far.is_some(), "nothing was read");
        drive.hang(&running);
        running.signal(Signal::INT);
        let said = || running.stderr_so_far().contains("stopped on request").then_some(());
        let given_up = tintype_tests::Deadline::after(seconds).poll(said);
        assert!(given_up.is_some(), "{verb} waits for a drive that does not answer: {}", running.stderr_so_far());
        // It is done; but a file in user space holds up the end of whoever has it open, until it answers.
        drive.answer();
        running.wait().exited(130);
    }
}

fn a_bad_sector_under_an_e01_costs_its_chunk() {
    let scratch = Scratch::new();
    let noise = tintype_core::testing::Model::noise(4 << 20, 119).bytes;
    let disk = scratch.file("d.raw", &noise);
    let image = scratch.join("t.E01");
    ours(&[&"image", &disk, &image, &"-q", &"--compression", &"none", &"--option", &"chunk=64KiB"]).ok();
    let stored = read(&image);
    let chunk = 17 * (64 << 10);
    let at = stored.windows(512).position(|w| w == &noise[chunk..chunk + 512]).expect("it is stored as it is");
    let bad = vec![((at / 512 + 60) as u64, 1)];
    let drive = Drive::as_file(&image, &scratch.folder("drive"), &Behaviour { bad, ..Behaviour::default() });
    let back = scratch.join("back.img");
    let json = ours(&[&"convert", &drive.file(), &back, &"--json"]).exits(1).json();
    // It is this chunk and not the rest of what was read at once.
    let lost = lost_in(&noise, &read(&back));
    let sectors: BTreeSet<u64> = (chunk as u64 / 512..(chunk as u64 + (64 << 10)) / 512).collect();
    assert_eq!(lost, sectors, "{json}");
    assert_eq!(json["newly_lost"], 64 << 10, "{json}");
}
