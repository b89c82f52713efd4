//! What is refused before anything is made, and that a dry run refuses the same.

use rustix::process::Signal;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use tintype_tests::{Layout, LoopDevice, Mount, Need::*, Run, Scratch, assert_same, ours, read, sample_file, tool};

tintype_tests::topic! {
    a_report_of_another_image_is_left_alone: [],
    a_report_that_comes_to_exist_is_not_overwritten: [],
    a_report_of_a_restore_is_left_alone: [Loop],
    a_report_has_a_folder_before_the_work_begins: [],
    names_are_too_long_before_the_work_begins: [],
    a_finished_conversion_is_known_by_its_report: [],
    a_finished_conversion_without_a_report_says_what_to_do: [],
    a_dry_run_refuses_what_the_real_run_refuses: [],
    a_dry_run_refuses_folders_that_cannot_be_written: [Root, Tool("mount"), Tool("setpriv")],
    a_dry_run_refuses_drives_that_the_real_run_refuses: [Loop, Tool("mkfs.ext4")],
    a_dry_run_says_what_is_there: [],
    errors_name_files_with_their_folder: [],
}

/// Names and bytes of everything in a folder.
fn everything(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut list: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .map(|path| {
            let bytes = path.is_file().then(|| read(&path));
            (path, bytes)
        })
        .collect();
    list.sort();
    list
}

fn a_report_of_another_image_is_left_alone() {
    for verb in ["image", "convert"] {
        for name in ["t.img", "t.001", "t.E01"] {
            let scratch = Scratch::new();
            let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 150, Layout::Full);
            let (other, _) = sample_file(&scratch, "other.raw", 1 << 20, 151, Layout::Full);
            let target = scratch.join(name);
            let prefix = if name == "t.001" { "t.report".to_owned() } else { format!("{name}.report") };
            let report = scratch.join(&prefix);
            let words = if verb == "image" { words(&[]) } else { words(&[&"--report", &report]) };
            ours(&[&verb, &disk, &target, &"-q"]).args(&words).ok();
            let known = read(scratch.join(format!("{prefix}.json")));
            // The image went elsewhere, its report stayed.
            std::fs::rename(&target, scratch.join("elsewhere")).unwrap();
            for both in [true, false] {
                if !both {
                    std::fs::remove_file(scratch.join(format!("{prefix}.json"))).unwrap();
                }
                let before = everything(scratch.path());
                // Another image, and the same one again: what is reported there is no more.
                for source in [&other, &disk] {
                    for dry in [&[][..], &["--dry-run"]] {
                        let run = ours(&[&verb, source, &target]).args(&words).args(dry).exits(2);
                        assert!(run.stderr.contains(&*scratch.join(&prefix).to_string_lossy()), "{run}");
                        assert!(run.stderr.contains("--force"), "it does not say what to do: {run}");
                        assert!(everything(scratch.path()) == before, "something was touched: {run}");
                    }
                }
            }
            ours(&[&verb, &other, &target, &"--force"]).args(&words).ok();
            assert_ne!(read(scratch.join(format!("{prefix}.json"))), known);
            ours(&[&"verify", &target, &"--against", &other]).ok();
        }
    }
    // Nor is anything else under such a name.
    for name in ["t.img.report.json", "t.img.report.txt"] {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 150, Layout::Full);
        scratch.file(name, b"my own notes");
        let run = ours(&[&"image", &disk, &scratch.join("t.img")]).exits(2);
        assert!(run.stderr.contains(&*scratch.join(name).to_string_lossy()), "{run}");
        assert_eq!(read(scratch.join(name)), b"my own notes");
        assert_eq!(scratch.names(), ["d.raw", name]);
    }
    // And what merely has the name of a report in the making.
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 150, Layout::Full);
    let strangers = ["t.img.report.new", "t.img.report.json.new", "t.img.report.txt.new"];
    for name in strangers {
        scratch.file(name, b"my own notes");
    }
    ours(&[&"image", &disk, &scratch.join("t.img")]).ok();
    for name in strangers {
        assert_eq!(read(scratch.join(name)), b"my own notes", "{name}");
    }
    assert_eq!(scratch.names().len(), 4 + strangers.len(), "{:?}", scratch.names());
}

fn a_report_that_comes_to_exist_is_not_overwritten() {
    for ending in ["json", "txt"] {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "d.raw", 96 << 20, 152, Layout::Full);
        let target = scratch.join("t.E01");
        let words: [&dyn AsRef<OsStr>; 6] = [&"image", &disk, &target, &"-q", &"--compression", &"best"];
        let mut running = ours(&words).start();
        assert!(running.has_written(1 << 20), "it was over before anything could come to exist");
        running.signal(Signal::STOP);
        assert!(!target.exists(), "it was over before anything could come to exist");
        let stranger = scratch.file(&format!("t.E01.report.{ending}"), b"my own notes");
        running.signal(Signal::CONT);
        let run = running.wait().exited(2);
        assert!(run.stderr.contains(&*stranger.to_string_lossy()), "{run}");
        ours(&words).exits(2);
        assert_eq!(read(&stranger), b"my own notes");
        std::fs::rename(&stranger, scratch.join("elsewhere")).unwrap();
        ours(&words).ok();
        ours(&[&"verify", &target]).ok();
        assert!(scratch.join("t.E01.report.txt").exists() && !scratch.join("t.E01.journal").exists());
    }
}

fn a_report_of_a_restore_is_left_alone() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 153, Layout::Full);
    let backing = scratch.file("backing", &vec![0xA5; 1 << 20]);
    let device = LoopDevice::new(&backing, 512);
    let source = LoopDevice::read_only(&disk);
    let prefix = scratch.join("r");
    let stranger = scratch.file("r.txt", b"my own notes");
    for (verb, from) in [("restore", disk.as_path()), ("clone", source.path())] {
        for dry in [&[][..], &["--dry-run"]] {
            let run = ours(&[&verb, &from, &device, &"--yes", &"--report", &prefix]).args(dry).exits(2);
            assert!(run.stderr.contains(&*stranger.to_string_lossy()), "{run}");
        }
        assert!(read(&backing).iter().all(|b| *b == 0xA5), "something was written");
    }
    assert_eq!(read(&stranger), b"my own notes");
    ours(&[&"restore", &disk, &device, &"--yes", &"--report", &prefix, &"--force"]).ok();
    assert_ne!(read(&stranger), b"my own notes");
    assert_same(&disk, device.path());
}

fn a_report_has_a_folder_before_the_work_begins() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 154, Layout::Full);
    for verb in ["image", "convert", "restore"] {
        let prefix = scratch.join("no such folder/r");
        let run = ours(&[&verb, &disk, &scratch.join("t.img"), &"--report", &prefix]).run().exited_any(&[2, 3]);
        assert!(run.stderr.contains("no such folder"), "{run}");
        assert_eq!(scratch.names(), ["d.raw"], "{run}");
    }
}

fn names_are_too_long_before_the_work_begins() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 64 << 10, 155, Layout::Full);
    for ending in [".img", ".E01", ".001", ".zst"] {
        // What is restored into a file are the plain bytes, under the name of such.
        let verbs = if ending == ".img" { &["image", "convert", "restore"][..] } else { &["image", "convert"] };
        for verb in verbs {
            let mut refused = None;
            for len in [230, 235, 300].into_iter().chain(238..=249).chain(255..=256) {
                let folder = scratch.folder("out");
                let name = format!("{}{ending}", "n".repeat(len - ending.len()));
                let target = folder.join(&name);
                let dry = ours(&[&verb, &disk, &target, &"--dry-run"]).run();
                assert!(everything(&folder).is_empty(), "a dry run made something: {dry}");
                let run = ours(&[&verb, &disk, &target]).run();
                assert_eq!(dry.code(), run.code(), "{dry} {run}");
                match run.code() {
                    Some(0) => {
                        assert!(refused.is_none_or(|r| len < r), "{len} bytes are taken, {refused:?} are not: {run}");
                        ours(&[&"compare", &disk, &target]).ok();
                        let reports = everything(&folder).len() - 1;
                        assert_eq!(reports, if *verb == "image" { 2 } else { 0 }, "{run}");
                    }
                    Some(2) => {
                        refused = Some(refused.map_or(len, |r: usize| r.min(len)));
                        assert!(run.stderr.contains("too long") && run.stderr.contains("shorter"), "{run}");
                        assert!(everything(&folder).is_empty(), "something was made: {run}");
                    }
                    _ => panic!("{len} bytes: {run}"),
                }
                std::fs::remove_dir_all(&folder).unwrap();
            }
            assert!(refused.is_some_and(|len| len > 235), "{verb} {ending}: {refused:?}");
        }
    }
    // It is bytes that count.
    let run = ours(&[&"image", &disk, &scratch.join(format!("{}.img", "ü".repeat(124)))]).exits(2);
    assert!(run.stderr.contains("too long"), "{run}");
}

fn a_finished_conversion_is_known_by_its_report() {
    for verb in ["convert", "restore"] {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 156, Layout::Full);
        let image = scratch.join("d.E01");
        ours(&[&"image", &disk, &image, &"-q"]).ok();
        let (target, prefix) = (scratch.join("t.img"), scratch.join("r"));
        let words: [&dyn AsRef<OsStr>; 5] = [&verb, &image, &target, &"--report", &prefix];
        ours(&words).ok();
        let before = everything(scratch.path());
        let run = ours(&words).ok();
        assert!(run.out().contains("finished it before"), "{run}");
        assert!(everything(scratch.path()) == before, "something was touched: {run}");
        // Proved, where that is asked for.
        ours(&words).arg("--verify").ok();
        let good = read(&target);
        let mut bytes = good.clone();
        bytes[77] ^= 1;
        std::fs::write(&target, &bytes).unwrap();
        let run = ours(&words).arg("--verify").exits(1);
        assert!(run.out().contains("NOT VERIFIED"), "{run}");
        std::fs::write(&target, &good).unwrap();
        // A file of the same name and length elsewhere is not what the report tells of.
        let elsewhere = scratch.folder("elsewhere").join("t.img");
        std::fs::write(&elsewhere, &bytes).unwrap();
        let run = ours(&[&verb, &image, &elsewhere, &"--report", &prefix]).exits(2);
        assert!(run.stderr.contains(&*elsewhere.to_string_lossy()), "{run}");
        // Another source is another command.
        ours(&[&verb, &disk, &target, &"--report", &prefix]).exits(2);
        assert_eq!(read(&target), good);
        // And what has another length now is not what was finished.
        std::fs::write(&target, &good[..1 << 19]).unwrap();
        ours(&words).exits(2);
        assert_eq!(std::fs::metadata(&target).unwrap().len(), 1 << 19);
    }
}

fn a_finished_conversion_without_a_report_says_what_to_do() {
    for verb in ["convert", "restore"] {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 157, Layout::Full);
        let target = scratch.join("t.img");
        ours(&[&verb, &disk, &target]).ok();
        // Nobody asked for further files.
        assert_eq!(scratch.names(), ["d.raw", "t.img"]);
        let run = ours(&[&verb, &disk, &target]).exits(2);
        for word in ["--report", "--force", "tintype compare", &*target.to_string_lossy()] {
            assert!(run.stderr.contains(word), "{word} is not in: {run}");
        }
        assert_same(&disk, &target);
        ours(&[&verb, &disk, &target, &"--force"]).ok();
    }
}

/// Runs the words once dry and once for real: both have to refuse alike, in the same words, and make nothing.
fn both_refuse(folder: &Path, words: &[OsString]) -> Run {
    let before = everything(folder);
    let dry = ours(&[]).args(words).arg("--dry-run").run();
    assert_eq!(dry.code(), Some(2), "the dry run: {dry}");
    assert!(everything(folder) == before, "the dry run made something: {dry}");
    let run = ours(&[]).args(words).run();
    assert_eq!(run.code(), Some(2), "{run}");
    assert_eq!(dry.stderr, run.stderr, "{run}");
    assert!(everything(folder) == before, "something was made: {run}");
    run
}

fn words(list: &[&dyn AsRef<OsStr>]) -> Vec<OsString> {
    list.iter().map(|w| (*w).as_ref().to_owned()).collect()
}

fn a_dry_run_refuses_what_the_real_run_refuses() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 24 << 20, 158, Layout::Full);
    let at = |name: &str| scratch.join(name);
    // Somebody else's files in the way.
    scratch.file("taken.img", b"x");
    scratch.file("strange.img.journal", b"dear diary\n");
    scratch.file("half.img.partial", b"half");
    scratch.file("set.E02", b"x");
    scratch.file("parts.002", b"x");
    scratch.file("told.img.report.json", b"{}");
    scratch.folder("folder.img");
    // An unfinished image of another command.
    let noise = scratch.file("noise.raw", &tintype_core::testing::Model::noise(24 << 20, 159).bytes);
    let mut running = ours(&[&"image", &noise, &at("begun.E01"), &"-q", &"--compression", &"best"]).start();
    assert!(running.has_written(1 << 20), "it was over before it could be killed");
    running.signal(Signal::KILL);
    running.wait();

    for verb in ["image", "convert"] {
        for name in ["taken.img", "strange.img", "half.img", "set.E01", "parts.001", "folder.img", "begun.E01", "d.raw"]
        {
            let run = both_refuse(scratch.path(), &words(&[&verb, &disk, &at(name)]));
            assert!(run.stderr.contains(&*scratch.path().to_string_lossy()), "{run}");
        }
        for more in [
            &["t.E01", "--option", "chunk=17"][..],
            &["t.E01", "--option", "nosuch=1"],
            &["t.E01", "--split", "4096"],
            &["t.001", "--split", "1"],
            &["t.img", "--split", "1MiB", "--to", "raw"],
            &["t.img", "--compression", "best"],
            &["t.xyzzy"],
        ] {
            let mut all = words(&[&verb, &disk, &at(more[0])]);
            all.extend(more[1..].iter().map(OsString::from));
            both_refuse(scratch.path(), &all);
        }
        both_refuse(scratch.path(), &words(&[&verb, &disk, &"-", &"--to", &"e01"]));
        both_refuse(scratch.path(), &words(&[&verb, &disk, &"/dev/null", &"--to", &"raw"]));
    }
    both_refuse(scratch.path(), &words(&[&"image", &disk, &at("told.img")]));
    both_refuse(scratch.path(), &words(&[&"image", &disk, &at("t.img"), &at("t.img")]));
    let again = scratch.path().join(".").join("t.img");
    both_refuse(scratch.path(), &words(&[&"image", &disk, &at("t.img"), &again]));
    for name in ["taken.img", "folder.img", "d.raw"] {
        both_refuse(scratch.path(), &words(&[&"restore", &disk, &at(name), &"--yes"]));
    }
    // Another run that works on the target.
    let (reader, writer) = std::io::pipe().unwrap();
    let running = ours(&[&"image", &"-", &at("busy.img"), &"-q"]).stdin(reader).start();
    let begun = tintype_tests::Deadline::after(60).poll(|| at("busy.img.partial").exists().then_some(()));
    assert!(begun.is_some(), "{}", running.stderr_so_far());
    let run = both_refuse(scratch.path(), &words(&[&"image", &disk, &at("busy.img")]));
    assert!(run.stderr.contains("another run"), "{run}");
    drop(writer);
    running.wait().exited(0);
}

fn a_dry_run_refuses_folders_that_cannot_be_written() {
    let scratch = Scratch::for_everybody();
    let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 160, Layout::Full);
    let mount = Mount::tmpfs(scratch.folder("ro"), 1 << 20);
    tool("mount", &[&"-o", &"remount,ro", &mount.path()]).ok();
    for verb in ["image", "convert", "restore"] {
        for folder in [mount.path().to_owned(), scratch.join("no such folder")] {
            let target = folder.join("t.img");
            let dry = ours(&[&verb, &disk, &target, &"--dry-run"]).run().exited_any(&[2, 3]);
            let run = ours(&[&verb, &disk, &target]).run().exited_any(&[2, 3]);
            assert_eq!((dry.code(), &dry.stderr), (run.code(), &run.stderr));
            assert!(run.stderr.contains(&*folder.to_string_lossy()), "{run}");
        }
    }
}

fn a_dry_run_refuses_drives_that_the_real_run_refuses() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 16 << 20, 161, Layout::Full);
    let source = LoopDevice::read_only(&disk);
    let small = LoopDevice::new(scratch.file("small", &vec![0xA5; 1 << 20]), 512);
    let protected = LoopDevice::read_only(scratch.file("protected", &vec![0xA5; 16 << 20]));
    let used = LoopDevice::new(scratch.file("used", &vec![0xA5; 32 << 20]), 512);
    tool("mkfs.ext4", &[&"-q", &"-F", &used]).ok();
    let _mount = Mount::device(used.path(), scratch.folder("mnt"), "ro");
    let free = LoopDevice::new(scratch.file("free", &vec![0xA5; 16 << 20]), 512);
    let outside = Scratch::new();
    for (verb, from) in [("restore", disk.as_path()), ("clone", source.path())] {
        for device in [&small, &protected, &used, &source] {
            let run = both_refuse(scratch.path(), &words(&[&verb, &from, device, &"--yes"]));
            assert!(run.stderr.contains(&*device.path().to_string_lossy()), "{run}");
        }
        let strange = outside.file("state", b"dear diary\n");
        let run = both_refuse(scratch.path(), &words(&[&verb, &from, &free, &"--yes", &"--state", &strange]));
        assert!(run.stderr.contains(&*strange.to_string_lossy()), "{run}");
        assert_eq!(read(&strange), b"dear diary\n");
        // A file is no folder to keep a journal in.
        let state = strange.join("journal");
        let dry = ours(&[&verb, &from, &free, &"--yes", &"--state", &state, &"--dry-run"]).run();
        let run = ours(&[&verb, &from, &free, &"--yes", &"--state", &state]).run().exited_any(&[2, 3]);
        assert_eq!((dry.code(), &dry.stderr), (run.code(), &run.stderr));
    }
    assert!(read(scratch.join("free")).iter().all(|b| *b == 0xA5), "something was written");
}

fn a_dry_run_says_what_is_there() {
    let scratch = Scratch::new();
    let disk = scratch.file("d.raw", &tintype_core::testing::Model::noise(48 << 20, 162).bytes);
    let target = scratch.join("t.E01");
    let all = words(&[&"image", &disk, &target, &"--compression", &"best"]);
    let mut running = ours(&[]).args(&all).start();
    assert!(running.has_written(1 << 20), "it was over before it could be killed");
    running.signal(Signal::KILL);
    running.wait();
    let before = everything(scratch.path());
    let run = ours(&[]).args(&all).arg("--dry-run").ok();
    assert!(run.out().contains("go on"), "{run}");
    assert!(everything(scratch.path()) == before, "{run}");
    ours(&[]).args(&all).ok();
    let before = everything(scratch.path());
    let run = ours(&[]).args(&all).arg("--dry-run").ok();
    assert!(run.out().contains("finished it before"), "{run}");
    assert!(everything(scratch.path()) == before, "{run}");
    // To a stream nothing goes either.
    let run = ours(&[&"convert", &target, &"-", &"--dry-run"]).ok();
    assert!(run.stdout.is_empty() && run.stderr.contains("would"), "{run}");
}

fn errors_name_files_with_their_folder() {
    let scratch = Scratch::new();
    let disk = scratch.file("d.raw", &tintype_core::testing::Model::noise(6 << 20, 163).bytes);
    let folder = scratch.folder("evidence");
    let split: &[&str] = &["--split", "1MiB"];
    ours(&[&"image", &disk, &folder.join("t.E01"), &"-q", &"--compression", &"none"]).args(split).ok();
    ours(&[&"image", &disk, &folder.join("t.001"), &"-q", &"--report", &folder.join("r")]).args(split).ok();
    for name in ["t.gz", "t.zst"] {
        ours(&[&"image", &disk, &folder.join(name), &"-q"]).ok();
    }
    let wrong = |part: &str, opened: &str| {
        for verb in ["hash", "convert"] {
            let mut call = ours(&[&verb, &folder.join(opened)]);
            if verb == "convert" {
                call = call.arg(scratch.join("o.img")).arg("--force");
            }
            let run = call.arg("--json").exits(3);
            // The file itself, or the image that it is a part of; either way as a person finds it.
            let json = run.json();
            let path = PathBuf::from(json["error"]["path"].as_str().unwrap_or_else(|| panic!("no path: {run}")));
            assert!(path == folder.join(part) || path == folder.join(opened), "{run}");
            assert!(run.stderr.contains(&*path.to_string_lossy()) && run.stderr.contains(part), "{run}");
            assert!(!scratch.join("o.img").exists(), "{run}");
        }
    };
    // Missing, cut, and damaged in the middle.
    for (opened, part) in [("t.E01", "t.E03"), ("t.001", "t.003")] {
        std::fs::rename(folder.join(part), scratch.join("away")).unwrap();
        wrong(part, opened);
        std::fs::rename(scratch.join("away"), folder.join(part)).unwrap();
    }
    for name in ["t.E03", "t.gz", "t.zst"] {
        let good = read(folder.join(name));
        let mut bytes = good.clone();
        let middle = good.len() / 2 + 100;
        bytes[middle] ^= 1;
        std::fs::write(folder.join(name), &bytes).unwrap();
        wrong(name, if name == "t.E03" { "t.E01" } else { name });
        std::fs::write(folder.join(name), &good).unwrap();
    }
}
