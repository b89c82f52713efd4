//! Work that was cut short goes on, and comes to the same.

use rustix::process::Signal;
use std::path::{Path, PathBuf};
use tintype_tests::{
    Behaviour, Deadline, Drive, Layout, Need::*, Running, Scratch, assert_same, ours, read, sample_file, tool,
};

tintype_tests::topic! {
    killed_again_and_again_raw: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    killed_again_and_again_split: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    killed_again_and_again_e01: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("ewfverify")],
    killed_again_and_again_gzip: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("gzip")],
    killed_again_and_again_zstd: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("zstd")],
    several_targets_go_on: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    what_is_stored_is_not_read_again: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    bad_sectors_are_remembered: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    a_signal_leaves_a_state_to_go_on_from: [],
    killed_without_a_drive: [],
    a_truncated_journal_is_no_reason_to_fail: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    a_changed_source_is_not_continued: [],
    other_arguments_are_not_a_continuation: [],
    restore_goes_on: [Loop],
    a_hangup_stops_unless_it_is_ignored: [Tool("sh")],
}

const LEN: usize = 96 << 20;
/// Slow enough that several checkpoints are made on the way.
const RATE: u64 = 12 << 20;

fn slow_drive(scratch: &Scratch, bad: &[(u64, u64)]) -> (Drive, PathBuf) {
    let bytes: Vec<u8> = tintype_tests::sample(LEN, 130).into_iter().map(|b| b | 2).collect();
    let backing = scratch.file("backing", &bytes);
    let behaviour = Behaviour { bad: bad.to_vec(), rate: RATE, ..Behaviour::default() };
    (Drive::new(&backing, &scratch.folder("drive"), &behaviour), backing)
}

/// The furthest offset that is on the medium, as the journal says: `offset` of its last checkpoint.
fn checkpoint(journal: &Path) -> u64 {
    let text = std::fs::read_to_string(journal).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["checkpoint"]["offset"].as_u64())
        .max()
        .unwrap_or(0)
}

/// Waits until the journal has come past `offset`; false if the work was over before.
fn comes_past(running: &mut Running, journal: &Path, offset: u64) -> bool {
    let answer = Deadline::after(120).poll(|| {
        if running.ended().is_some() {
            return Some(false);
        }
        (checkpoint(journal) > offset).then_some(true)
    });
    answer.expect("the journal grows while there is work")
}

/// Numbers that differ from run to run; printed, so that a failure can be done again.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let seed = std::env::var("TINTYPE_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(now);
    eprintln!("TINTYPE_TEST_SEED={seed}");
    seed
}

fn again_and_again(name: &str, words: &[&str]) -> (Scratch, PathBuf, PathBuf) {
    let scratch = Scratch::new();
    let (drive, backing) = slow_drive(&scratch, &[]);
    let target = scratch.join(name);
    let journal = scratch.join(format!("{name}.journal"));
    let mut seed = seed();
    let mut finished = false;
    for round in 0..3 {
        // xorshift; the moment is anywhere in what is left, in bytes that reached the drive.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let before: u64 = drive.reads().iter().map(|(_, n)| n).sum();
        let more = seed % (LEN as u64 / 2) + (1 << 20);
        let mut running = ours(&[&"image", &drive.path(), &target, &"-q"]).args(words).start();
        Deadline::after(120).poll(|| {
            let now: u64 = drive.reads().iter().map(|(_, n)| n).sum();
            (running.ended().is_some() || now - before >= more).then_some(())
        });
        finished = running.ended().is_some();
        running.signal(if round == 1 { Signal::TERM } else { Signal::KILL });
        let run = running.wait();
        if finished {
            run.exited(0);
            break;
        }
        assert!(run.code().is_none_or(|c| c == 130 || c == 0), "{run}");
        finished = run.code() == Some(0);
        assert!(finished || !target.exists(), "unfinished work looks whole: {run}");
    }
    if !finished {
        ours(&[&"image", &drive.path(), &target, &"-q"]).args(words).ok();
    }
    assert!(!journal.exists() && !scratch.join(format!("{name}.partial")).exists(), "{:?}", scratch.names());
    (scratch, backing, target)
}

/// The same work, not interrupted.
fn in_one_go(scratch: &Scratch, backing: &Path, name: &str, words: &[&str]) -> PathBuf {
    let folder = scratch.folder("one go");
    let device = tintype_tests::LoopDevice::read_only(backing);
    let target = folder.join(name);
    ours(&[&"image", &device, &target, &"-q"]).args(words).ok();
    target
}

fn killed_again_and_again_raw() {
    let (scratch, backing, target) = again_and_again("t.img", &[]);
    assert_same(&backing, &target);
    assert_same(in_one_go(&scratch, &backing, "t.img", &[]), &target);
}

fn killed_again_and_again_split() {
    let (scratch, backing, target) = again_and_again("t.001", &["--split", "7MiB"]);
    let whole = in_one_go(&scratch, &backing, "t.001", &["--split", "7MiB"]);
    for i in 1..=LEN.div_ceil(7 << 20) {
        let name = format!("t.{i:03}");
        assert_same(whole.with_file_name(&name), target.with_file_name(&name));
    }
}

fn killed_again_and_again_gzip() {
    let (scratch, backing, target) = again_and_again("t.gz", &[]);
    assert_same(in_one_go(&scratch, &backing, "t.gz", &[]), &target);
    tool("gzip", &[&"-t", &target]).ok();
}

fn killed_again_and_again_zstd() {
    let (scratch, backing, target) = again_and_again("t.zst", &[]);
    assert_same(in_one_go(&scratch, &backing, "t.zst", &[]), &target);
    tool("zstd", &[&"-q", &"-t", &target]).ok();
}

fn killed_again_and_again_e01() {
    let words = ["--split", "30MiB", "--case", "resumed"];
    let (scratch, backing, target) = again_and_again("t.E01", &words);
    tool("ewfverify", &[&"-q", &"-d", &"sha1", &target]).ok();
    ours(&[&"verify", &target]).ok();
    ours(&[&"compare", &backing, &target]).ok();
    // Time stamps aside, which lie in the headers at the front of the first segment, the files are the same.
    let whole = in_one_go(&scratch, &backing, "t.E01", &words);
    let mut segments: Vec<_> = scratch.names().into_iter().filter(|n| n.starts_with("t.E")).collect();
    segments.retain(|n| !n.ends_with(".txt") && !n.ends_with(".json"));
    for name in segments.iter().skip(1) {
        // The identity of a set is random.
        let (a, b) = (read(whole.with_file_name(name)), read(target.with_file_name(name)));
        assert_eq!(a.len(), b.len(), "{name}");
    }
}

fn several_targets_go_on() {
    let scratch = Scratch::new();
    let (drive, backing) = slow_drive(&scratch, &[]);
    let targets = [scratch.join("a.img"), scratch.join("b.E01"), scratch.join("c.zst")];
    let mut running = ours(&[&"image", &drive.path(), &"-q"]).args(&targets).start();
    let journal = scratch.join("a.img.journal");
    assert!(comes_past(&mut running, &journal, 8 << 20), "it was over before it could be killed");
    running.signal(Signal::KILL);
    running.wait();
    ours(&[&"image", &drive.path(), &"-q"]).args(&targets).ok();
    for target in &targets {
        ours(&[&"compare", &backing, target]).ok();
        ours(&[&"verify", target]).ok();
    }
}

fn what_is_stored_is_not_read_again() {
    for name in ["t.img", "t.001", "t.E01", "t.gz", "t.zst"] {
        let scratch = Scratch::new();
        let (drive, backing) = slow_drive(&scratch, &[]);
        let target = scratch.join(name);
        let journal = scratch.join(format!("{name}.journal"));
        let mut running = ours(&[&"image", &drive.path(), &target, &"-q"]).start();
        assert!(comes_past(&mut running, &journal, 16 << 20), "it was over before it could be killed");
        running.signal(Signal::KILL);
        running.wait();
        let (safe, seen) = (checkpoint(&journal), drive.reads().len());
        assert!(safe > 16 << 20, "the journal says {safe}");
        let run = ours(&[&"image", &drive.path(), &target, &"--json"]).ok();
        // The head and the tail of a drive are looked at to know what it is.
        let probed = |offset: u64, len: u64| offset + len <= 1 << 20 || offset >= LEN as u64 - (1 << 20);
        let again: Vec<_> =
            drive.reads()[seen..].iter().copied().filter(|(o, n)| *o < safe && !probed(*o, *n)).collect();
        assert!(again.is_empty(), "{name}: stored up to {safe}, and read again: {again:?} {run}");
        assert_same_logical(&backing, &target);
        // Digests cover what was stored before, too.
        let known = tool(if name.ends_with("E01") { "md5sum" } else { "sha256sum" }, &[&backing]).ok().out();
        let digest = known.split_whitespace().next().unwrap().to_owned();
        assert!(run.json()["digests"].to_string().contains(&digest), "{run}");
    }
}

fn assert_same_logical(a: &Path, b: &Path) {
    ours(&[&"compare", &a, &b]).ok();
}

fn bad_sectors_are_remembered() {
    let scratch = Scratch::new();
    let bad = [(2_000, 3), (190_000, 1)];
    let (drive, _) = slow_drive(&scratch, &bad);
    let target = scratch.join("t.E01");
    let journal = scratch.join("t.E01.journal");
    let mut running = ours(&[&"image", &drive.path(), &target, &"-q"]).start();
    assert!(comes_past(&mut running, &journal, 8 << 20), "it was over before it could be killed");
    running.signal(Signal::KILL);
    running.wait();
    let seen = drive.reads().len();
    let json = ours(&[&"image", &drive.path(), &target, &"--json"]).exits(1).json();
    let ranges: Vec<_> = bad.iter().map(|(s, n)| serde_json::json!({"offset": s * 512, "len": n * 512})).collect();
    assert_eq!(json["bad"], serde_json::Value::from(ranges), "{json}");
    let touched = drive.reads()[seen..].iter().any(|(o, n)| *o <= 2_000 * 512 && o + n > 2_000 * 512);
    assert!(!touched, "a sector that had failed before was tried again");
    let info = ours(&[&"info", &target, &"--json"]).ok().json();
    assert_eq!(info["extents"]["bad"], 4 * 512, "{info}");
}

fn a_signal_leaves_a_state_to_go_on_from() {
    for signal in [Signal::TERM, Signal::INT] {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "d.raw", 192 << 20, 131, Layout::Full);
        let target = scratch.join("t.E01");
        let mut running = ours(&[&"image", &disk, &target, &"--compression", &"best"]).start();
        assert!(running.has_written(2 << 20), "it was over before it could be stopped");
        running.signal(signal);
        let run = running.wait().exited(130);
        assert!(!target.exists() && scratch.join("t.E01.journal").exists(), "{:?}", scratch.names());
        assert!(!run.stderr.is_empty(), "it does not say what is kept: {run}");
        ours(&[&"image", &disk, &target, &"--compression", &"best"]).ok();
        ours(&[&"compare", &disk, &target]).ok();
    }
}

fn killed_without_a_drive() {
    for name in ["t.img", "t.001", "t.gz", "t.zst", "t.E01"] {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "d.raw", 64 << 20, 132, Layout::Full);
        let target = scratch.join(name);
        let mut seed = seed();
        for _ in 0..5 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let mut running = ours(&[&"image", &disk, &target, &"-q"]).start();
            let alive = running.has_written(seed % (24 << 20));
            running.signal(Signal::KILL);
            let run = running.wait();
            if !alive {
                run.exited(0);
            }
        }
        ours(&[&"image", &disk, &target, &"-q"]).ok();
        ours(&[&"compare", &disk, &target]).ok();
        ours(&[&"verify", &target]).ok();
        let names = scratch.names();
        assert!(!names.iter().any(|n| n.ends_with(".partial") || n.ends_with(".journal")), "{names:?}");
    }
}

fn a_truncated_journal_is_no_reason_to_fail() {
    let scratch = Scratch::new();
    let (drive, backing) = slow_drive(&scratch, &[]);
    let target = scratch.join("t.E01");
    let journal = scratch.join("t.E01.journal");
    let mut running = ours(&[&"image", &drive.path(), &target, &"-q"]).start();
    assert!(comes_past(&mut running, &journal, 24 << 20), "it was over before it could be killed");
    running.signal(Signal::KILL);
    running.wait();
    drop(drive);
    // The same drive, under the same name, without the delay.
    let keep = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("t.E") {
                std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
            }
        }
    };
    let store = scratch.join("store");
    keep(scratch.path(), &store);
    let whole = read(&journal);
    let device = tintype_tests::LoopDevice::read_only(&backing);
    for cut in [whole.len() - 1, whole.len() - 30, whole.len() / 2, 10, 0] {
        for name in scratch.names().iter().filter(|n| n.starts_with("t.E")) {
            std::fs::remove_file(scratch.join(name)).unwrap();
        }
        keep(&store, scratch.path());
        std::fs::write(&journal, &whole[..cut]).unwrap();
        let run = ours(&[&"image", &device, &target, &"-q"]).run();
        // The device may have another name now, and an unfinished image without a journal may be refused; what comes out
        // is right, or it is not there.
        match run.code() {
            Some(0) => {
                ours(&[&"verify", &target]).ok();
                ours(&[&"compare", &backing, &target]).ok();
            }
            Some(2 | 3) => assert!(!target.exists() && run.stderr.contains("t.E01"), "{run}"),
            _ => panic!("{cut} bytes kept: {run}"),
        }
    }
}

/// Starts an image and kills it when something is stored; with what is left.
fn killed(scratch: &Scratch, disk: &Path, target: &Path, words: &[&str]) {
    let mut running = ours(&[&"image", &disk, &target, &"-q"]).args(words).start();
    assert!(running.has_written(1 << 20), "it was over before it could be killed");
    running.signal(Signal::KILL);
    running.wait();
    assert!(scratch.names().iter().any(|n| n.ends_with(".partial")), "{:?}", scratch.names());
}

fn a_changed_source_is_not_continued() {
    let scratch = Scratch::new();
    let (disk, mut bytes) = sample_file(&scratch, "d.raw", 128 << 20, 133, Layout::Full);
    let target = scratch.join("t.E01");
    killed(&scratch, &disk, &target, &["--compression", "best"]);
    bytes[77] ^= 1;
    std::fs::write(&disk, &bytes).unwrap();
    let run = ours(&[&"image", &disk, &target, &"-q", &"--compression", &"best"]).run();
    match run.code() {
        // It began anew ...
        Some(0) => drop(ours(&[&"compare", &disk, &target]).ok()),
        // ... or says that this is another source.
        _ => drop(run.exited(2)),
    }
}

fn other_arguments_are_not_a_continuation() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 128 << 20, 134, Layout::Full);
    let target = scratch.join("t.E01");
    killed(&scratch, &disk, &target, &["--compression", "best"]);
    let run = ours(&[&"image", &disk, &target, &"-q", &"--compression", &"none"]).exits(2);
    assert!(run.stderr.contains("--force") || run.stderr.contains("journal"), "{run}");
    ours(&[&"image", &disk, &target, &"-q", &"--compression", &"none", &"--force"]).ok();
    ours(&[&"compare", &disk, &target]).ok();
}

fn restore_goes_on() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 128 << 20, 135, Layout::Full);
    let backing = scratch.file("backing", &vec![0xA5; 128 << 20]);
    let device = tintype_tests::LoopDevice::new(&backing, 512);
    let state = scratch.join("state");
    let words: [&dyn AsRef<std::ffi::OsStr>; 7] = [&"restore", &disk, &device, &"--yes", &"-q", &"--state", &state];
    let mut running = ours(&words).start();
    running.has_written(20 << 20);
    running.signal(Signal::KILL);
    running.wait();
    ours(&words).ok();
    assert_same(&disk, device.path());
}

/// True if the process has `signal` ignored, as the kernel says.
fn ignores(running: &Running, signal: u32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap_or_default();
    let mask =
        text.lines().find_map(|l| l.strip_prefix("SigIgn:")).and_then(|m| u64::from_str_radix(m.trim(), 16).ok());
    mask.is_some_and(|m| m >> (signal - 1) & 1 == 1)
}

fn a_hangup_stops_unless_it_is_ignored() {
    use std::io::Write;
    for nohup in [true, false] {
        let scratch = Scratch::new();
        let bytes = tintype_tests::sample(8 << 20, 136);
        let target = scratch.join("t.img");
        let (reader, mut writer) = std::io::pipe().unwrap();
        // What nohup does: the signal is ignored by whoever starts the program. These tests may run under nohup themselves.
        let signal = if nohup { "--ignore-signal=HUP" } else { "--default-signal=HUP" };
        let mut running =
            tool("env", &[&signal, &tintype_tests::tintype_binary(), &"image", &"-", &target]).stdin(reader).start();
        writer.write_all(&bytes[..4 << 20]).unwrap();
        let partial = scratch.join("t.img.partial");
        let begun = Deadline::after(60).poll(|| {
            assert!(running.ended().is_none(), "it ended at once: {}", running.stderr_so_far());
            std::fs::metadata(&partial).is_ok_and(|m| m.len() > 0).then_some(())
        });
        assert!(begun.is_some(), "nothing is written");
        assert_eq!(ignores(&running, 1), nohup);
        running.signal(Signal::HUP);
        if nohup {
            writer.write_all(&bytes[4 << 20..]).unwrap();
            drop(writer);
            running.wait().exited(0);
            assert!(read(&target) == bytes, "the image is not what came");
        } else {
            let run = running.wait().exited(130);
            assert!(!target.exists(), "{run}");
        }
    }
}
