//! What a rescue has read is kept: whatever is killed, pulled out, full or damaged, nothing is called finished that the image lacks,
//! and the same command goes on.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tintype_core::mapfile::{Gaps, Mapfile, Status};
use tintype_tests::{
    Behaviour, Deadline, Drive, LoopDevice, Mount, Need::*, Running, Scratch, ours, read, runs_that_differ, sample,
    tool,
};

tintype_tests::topic! {
    killed_at_ten_random_moments: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    killed_at_a_hundred_random_moments: [Long, Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    a_target_drive_that_vanishes: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    a_target_file_system_that_vanishes: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("mkfs.ext4")],
    a_read_only_target: [Root, Tool("mount")],
    no_room_for_the_map: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("mount")],
    a_mapfile_with_a_flipped_bit_is_not_believed: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    a_torn_journal_goes_on: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    a_nameless_drive_is_known_by_what_it_holds: [Loop],
    a_shorter_image_is_refused: [],
    zeros_become_holes: [],
    what_is_suspect_outlives_a_kill: [],
}

const LEN: usize = 32 << 20;
const BAD: [(u64, u64); 4] = [(300, 1), (20_000, 8), (40_001, 3), (65_535, 1)];

fn backing(scratch: &Scratch, seed: u64) -> (Vec<u8>, PathBuf) {
    // No byte is zero, so that what was not written shows.
    let bytes: Vec<u8> = sample(LEN, seed).into_iter().map(|b| b | 1).collect();
    let file = scratch.file(&format!("backing{seed}"), &bytes);
    (bytes, file)
}

fn bad(rate: u64) -> Behaviour {
    Behaviour { bad: BAD.to_vec(), rate, ..Behaviour::default() }
}

fn bad_bytes() -> u64 {
    BAD.iter().map(|(_, n)| n * 512).sum()
}

/// Everything that the mapfile and the journal call finished is in the image; returns how much that is by the mapfile.
fn nothing_false(map: &Path, image: &[u8], bytes: &[u8]) -> u64 {
    let there = |from: u64, to: u64, who: &str| {
        let range = from as usize..to as usize;
        assert!(
            image.get(range.clone()) == Some(&bytes[range]),
            "{who} calls {from}..{to} finished, and it is not there"
        );
    };
    let mut finished = 0;
    if map.exists() {
        let parsed = Mapfile::parse(&read(map), Gaps::Refused).expect("a mapfile is whole or not there");
        for (range, _) in parsed.blocks().iter().filter(|(_, s)| *s == Status::Finished) {
            there(range.start, range.end, "the mapfile");
            finished += range.end - range.start;
        }
    }
    let journal = journal(map);
    if journal.exists() {
        let text = String::from_utf8(read(&journal)).expect("a journal is text");
        let valid = text.rfind("\nc ").unwrap_or(0);
        for line in text[..valid].lines().filter(|l| l.starts_with("r ")) {
            let words: Vec<_> = line.split(' ').collect();
            if words[3] == "+" {
                let (from, len): (u64, u64) = (words[1].parse().unwrap(), words[2].parse().unwrap());
                there(from, from + len, "the journal");
            }
        }
    }
    finished
}

fn journal(map: &Path) -> PathBuf {
    map.with_file_name(format!("{}.journal", map.file_name().unwrap().to_string_lossy()))
}

/// Waits until a journal names something that was read.
fn something_is_kept(map: &Path, running: &mut Running) {
    let journal = journal(map);
    let kept = || {
        let text = String::from_utf8_lossy(&std::fs::read(&journal).unwrap_or_default()).into_owned();
        text.lines().any(|l| l.starts_with("r ") && l.contains('+'))
    };
    let seen = Deadline::after(60).poll(|| (running.ended().is_some() || kept()).then_some(()));
    assert!(seen.is_some() && kept(), "the journal does not grow: {}", running.stderr_so_far());
}

/// Only what lies in bad sectors differs.
fn all_that_can_be_had(image: &[u8], bytes: &[u8]) {
    let lost: u64 = runs_that_differ(bytes, image, 512).into_iter().map(|(_, n)| n).sum();
    assert!(lost <= bad_bytes(), "{lost} bytes differ");
}

fn killed_at_ten_random_moments() {
    killed(10, 310);
}

fn killed_at_a_hundred_random_moments() {
    killed(100, 311);
}

fn killed(times: u64, seed: u64) {
    let scratch = Scratch::new();
    let (bytes, file) = backing(&scratch, seed);
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let (image, map) = (scratch.join("t.img"), scratch.join("t.map"));
    let mut kills = 0;
    while kills < times {
        // A loop device and a plain file in turns, and a new rescue when one is done.
        for name in ["t.img", "t.map", "t.map.journal", "t.map.new", "t.map.journal.new"] {
            let _ = std::fs::remove_file(scratch.join(name));
        }
        let folder = scratch.folder(&format!("drive{kills}"));
        let behaviour = bad(12 << 20);
        let drive = match kills % 2 {
            0 => Drive::new(&file, &folder, &behaviour),
            _ => Drive::as_file(&file, &folder, &behaviour),
        };
        let source = if kills % 2 == 0 { drive.path().to_path_buf() } else { drive.file() };
        let mut code = None;
        while code.is_none() && kills < times {
            let mut running = ours(&[&"rescue", &source, &image, &map, &"-q", &"--exhaustive"]).start();
            let (began, wait) = (Instant::now(), Duration::from_micros(next() % 700_000));
            let seen = Deadline::after(60).poll(|| (running.ended().is_some() || began.elapsed() > wait).then_some(()));
            assert!(seen.is_some());
            running.kill();
            let run = running.wait();
            code = run.code();
            if code.is_none() {
                kills += 1;
            }
            nothing_false(&map, &std::fs::read(&image).unwrap_or_default(), &bytes);
        }
        let json = ours(&[&"rescue", &source, &image, &map, &"--exhaustive", &"--json"]).exits(1).json();
        assert_eq!(json["rescued"], LEN as u64 - bad_bytes(), "{json}");
        let image = read(&image);
        assert_eq!(nothing_false(&map, &image, &bytes), LEN as u64 - bad_bytes());
        all_that_can_be_had(&image, &bytes);
    }
}

fn a_target_drive_that_vanishes() {
    let scratch = Scratch::new();
    let (bytes, file) = backing(&scratch, 312);
    let under = scratch.file("under", &vec![0; LEN]);
    let behaviour = Behaviour { rate: 4 << 20, writable: true, ..Behaviour::default() };
    let drive = Drive::new(&under, &scratch.folder("drive"), &behaviour);
    let map = scratch.join("t.map");
    let rescue = || ours(&[&"rescue", &file, &drive.path(), &map, &"--yes"]);
    let mut running = rescue().start();
    something_is_kept(&map, &mut running);
    drive.vanish();
    let run = running.wait().exited(3);
    assert!(run.stderr.contains(&*drive.path().to_string_lossy()), "{run}");
    drive.come_back();
    let finished = nothing_false(&map, &read(drive.path()), &bytes);
    assert!(finished > 0 && finished < LEN as u64, "{finished}");
    rescue().ok();
    assert!(read(drive.path()) == bytes);
}

fn a_target_file_system_that_vanishes() {
    let scratch = Scratch::new();
    let (bytes, file) = backing(&scratch, 313);
    let under = scratch.join("under");
    std::fs::File::create(&under).unwrap().set_len(96 << 20).unwrap();
    tool("mkfs.ext4", &[&"-q", &"-F", &"-E", &"lazy_itable_init=0,lazy_journal_init=0", &under]).ok();
    let behaviour = Behaviour { rate: 4 << 20, writable: true, ..Behaviour::default() };
    let drive = Drive::new(&under, &scratch.folder("drive"), &behaviour);
    let point = scratch.folder("mnt");
    let mount = Mount::device(drive.path(), &point, "errors=remount-ro");
    let (image, map) = (point.join("t.img"), scratch.join("t.map"));
    let rescue = || ours(&[&"rescue", &file, &image, &map]);
    let mut running = rescue().start();
    something_is_kept(&map, &mut running);
    drive.vanish();
    running.wait().exited(3);
    drop(mount);
    drive.come_back();
    // What was only in memory is gone; the file system comes up from its own journal.
    let mount = Mount::device(drive.path(), &point, "errors=remount-ro");
    let finished = nothing_false(&map, &read(&image), &bytes);
    assert!(finished > 0 && finished < LEN as u64, "{finished}");
    rescue().ok();
    assert!(read(&image) == bytes);
    drop(mount);
}

fn a_read_only_target() {
    let scratch = Scratch::new();
    let (_, file) = backing(&scratch, 314);
    let mount = Mount::tmpfs(scratch.folder("ro"), 64 << 20);
    tool("mount", &[&"-o", &"remount,ro", &mount.path()]).ok();
    for (image, map) in
        [(mount.path().join("t.img"), scratch.join("t.map")), (scratch.join("u.img"), mount.path().join("u.map"))]
    {
        let run = ours(&[&"rescue", &file, &image, &map]).run().exited_any(&[2, 3]);
        assert!(run.stderr.to_lowercase().contains("read-only"), "{run}");
    }
}

fn no_room_for_the_map() {
    let scratch = Scratch::new();
    let (bytes, file) = backing(&scratch, 315);
    let drive = Drive::new(&file, &scratch.folder("drive"), &Behaviour { rate: 4 << 20, ..Behaviour::default() });
    let mount = Mount::tmpfs(scratch.folder("small"), 256 << 10);
    let (image, map) = (scratch.join("t.img"), mount.path().join("t.map"));
    let rescue = || ours(&[&"rescue", &drive.path(), &image, &map]);
    let mut running = rescue().start();
    something_is_kept(&map, &mut running);
    let filler = mount.path().join("filler");
    let full = std::fs::write(&filler, vec![1; 1 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let run = running.wait().exited(3);
    assert!(run.stderr.contains("full") && run.stderr.contains("t.map"), "{run}");
    nothing_false(&map, &read(&image), &bytes);
    std::fs::remove_file(&filler).unwrap();
    rescue().ok();
    assert!(read(&image) == bytes);
}

fn a_mapfile_with_a_flipped_bit_is_not_believed() {
    let scratch = Scratch::new();
    let (bytes, file) = backing(&scratch, 316);
    let drive = Drive::new(&file, &scratch.folder("drive"), &bad(0));
    let (image, map) = (scratch.join("t.img"), scratch.join("t.map"));
    ours(&[&"rescue", &drive.path(), &image, &map, &"--max-errors", &"1", &"-q"]).exits(1);
    let mut text = read(&map);
    let sign = text.windows(4).position(|w| w == b"  *\n").expect("a read failed") + 2;
    // One bit makes of what failed what was read.
    text[sign] ^= 1;
    assert_eq!(text[sign], b'+');
    let written = std::fs::metadata(&map).unwrap().modified().unwrap();
    std::fs::write(&map, &text).unwrap();
    std::fs::File::options().write(true).open(&map).unwrap().set_modified(written).unwrap();
    let run = ours(&[&"rescue", &drive.path(), &image, &map]).exits(3);
    assert!(run.stderr.contains("damaged") && run.stderr.contains("move it away"), "{run}");
    std::fs::remove_file(&map).unwrap();
    ours(&[&"rescue", &drive.path(), &image, &map, &"--exhaustive", &"-q"]).exits(1);
    assert_eq!(nothing_false(&map, &read(&image), &bytes), LEN as u64 - bad_bytes());
}

fn a_torn_journal_goes_on() {
    let scratch = Scratch::new();
    let (bytes, file) = backing(&scratch, 317);
    let drive = Drive::new(&file, &scratch.folder("drive"), &bad(0));
    let (image, map) = (scratch.join("t.img"), scratch.join("t.map"));
    ours(&[&"rescue", &drive.path(), &image, &map, &"--max-errors", &"2", &"-q"]).exits(1);
    let whole = read(journal(&map));
    std::fs::write(journal(&map), &whole[..whole.len() - 9]).unwrap();
    let run = ours(&[&"rescue", &drive.path(), &image, &map, &"--exhaustive", &"-v"]).exits(1);
    assert!(run.stderr.contains("not whole") || run.stderr.contains("going on with"), "{run}");
    assert_eq!(nothing_false(&map, &read(&image), &bytes), LEN as u64 - bad_bytes());
    // Its head is another matter.
    let mut damaged = whole;
    damaged[40] ^= 1;
    std::fs::write(journal(&map), &damaged).unwrap();
    let run = ours(&[&"rescue", &drive.path(), &image, &map]).exits(3);
    assert!(run.stderr.contains("t.map.journal") && run.stderr.contains("move it away"), "{run}");
}

fn a_nameless_drive_is_known_by_what_it_holds() {
    let scratch = Scratch::new();
    let ((bytes, mine), (_, other)) = (backing(&scratch, 318), backing(&scratch, 319));
    let (link, image, map) = (scratch.join("loop-stick"), scratch.join("t.img"), scratch.join("t.map"));
    let plug = |file: &Path| {
        let device = LoopDevice::read_only_direct(file);
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(device.path(), &link).unwrap();
        device
    };
    let device = plug(&mine);
    // Half of it.
    ours(&[&"rescue", &link, &image, &map, &"--size", &"16M"]).ok();
    drop(device);
    let before = (read(&image), read(journal(&map)));
    let device = plug(&other);
    let run = ours(&[&"rescue", &link, &image, &map]).exits(2);
    assert!(run.stderr.contains("holds something else"), "{run}");
    assert!(before == (read(&image), read(journal(&map))), "nothing was touched");
    drop(device);
    let device = plug(&mine);
    ours(&[&"rescue", &link, &image, &map]).ok();
    assert!(read(&image) == bytes);
    drop(device);
}

fn a_shorter_image_is_refused() {
    let scratch = Scratch::new();
    let (_, file) = backing(&scratch, 320);
    let (image, map) = (scratch.join("t.img"), scratch.join("t.map"));
    ours(&[&"rescue", &file, &image, &map]).ok();
    std::fs::File::options().write(true).open(&image).unwrap().set_len(1 << 20).unwrap();
    let run = ours(&[&"rescue", &file, &image, &map]).exits(2);
    assert!(run.stderr.contains("t.img") && run.stderr.contains("were rescued"), "{run}");
    assert_eq!(read(&image).len(), 1 << 20, "nothing was touched");
}

fn zeros_become_holes() {
    use std::os::unix::fs::MetadataExt;
    let scratch = Scratch::new();
    let mut bytes = sample(8 << 20, 321);
    bytes[1 << 20..5 << 20].fill(0);
    bytes[6 << 20..(6 << 20) + 4096].fill(0);
    let file = scratch.file("disk", &bytes);
    // What an image held before it was begun is no reason to leave it.
    let image = scratch.join("t.img");
    ours(&[&"rescue", &file, &image]).ok();
    assert!(read(&image) == bytes);
    let stored = std::fs::metadata(&image).unwrap().blocks() * 512;
    assert!(stored <= 5 << 20, "{stored} bytes are stored");
    let map = scratch.join("t.img.map");
    // As if nothing were known: zeros are read again over bytes that are none.
    let mut dirty = bytes.clone();
    dirty[1 << 20..5 << 20].fill(0xEE);
    std::fs::write(&image, &dirty).unwrap();
    std::fs::remove_file(scratch.join("t.img.map.journal")).unwrap();
    std::fs::write(&map, format!("0x0 ? 1\n0x0 0x{:x} ?\n", bytes.len())).unwrap();
    ours(&[&"rescue", &file, &image]).ok();
    assert!(read(&image) == bytes);
}

fn what_is_suspect_outlives_a_kill() {
    let scratch = Scratch::new();
    let (mut bytes, _) = backing(&scratch, 318);
    bytes[4 << 20..7 << 20].fill(0);
    let (disk, used) = (scratch.file("disk", &bytes), scratch.join("used.map"));
    std::fs::write(&used, format!("0 + 1\n0 {LEN:#x} +\n")).unwrap();
    let (image, map) = (scratch.join("t.img"), scratch.join("t.map"));
    let list = scratch.join("t.map.suspect");
    let mut running = ours(&[&"rescue", &disk, &image, &map, &"-q", &"--expect", &used, &"--max-rate", &"3M"]).start();
    let seen = Deadline::after(60).poll(|| (running.ended().is_some() || list.exists()).then_some(()));
    assert!(seen.is_some() && running.ended().is_none(), "it is written down while the run goes on");
    running.kill();
    assert_eq!(running.wait().code(), None);
    let said: serde_json::Value = serde_json::from_slice(&read(&list)).unwrap();
    let (first, rest) = said["extent_list"].as_array().and_then(|l| l.split_first()).unwrap();
    let (offset, len) = (first["offset"].as_u64().unwrap(), first["len"].as_u64().unwrap());
    assert!(offset == 4 << 20 && len >= 1 << 20 && offset + len <= 7 << 20 && rest.is_empty(), "{said}");
    // The next run goes on with it, and does not forget what the one that was killed had found.
    let json = ours(&[&"rescue", &disk, &image, &map, &"--expect", &used, &"--json"]).exits(1).json();
    let all = serde_json::json!([{"offset": 4 << 20, "len": 3 << 20, "reason": "zeros_where_data_is"}]);
    assert_eq!((&json["suspect"], &json["rescued"]), (&all, &LEN.into()));
    assert!(json["reads"].as_u64() < Some(32), "it is not read again: {json}");
    assert!(read(&image) == bytes);
}
