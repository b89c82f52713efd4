//! The options of a rescue, beside ddrescue with the same line; when it stops, what it tells, and what it does not believe.

use std::collections::BTreeSet;
use std::path::Path;
use tintype_tests::{Behaviour, Drive, LoopDevice, Need::*, Scratch, ours, read, sample, tool};

tintype_tests::topic! {
    the_same_line_rescues_the_same: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("ddrescue"), Tool("ddrescuelog")],
    the_same_line_on_a_test_map: [Tool("ddrescue"), Tool("ddrescuelog")],
    the_same_line_fills_the_same: [Tool("ddrescue")],
    the_same_line_generates_the_same: [Tool("ddrescue"), Tool("ddrescuelog")],
    the_same_line_logs_the_same: [Tool("ddrescue")],
    the_same_commands_are_answered_the_same: [Tool("ddrescue"), Tool("ddrescuelog")],
    growing_domains_read_nothing_twice: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    every_option_of_ddrescue_is_in_the_table: [Tool("ddrescue")],
    it_stops_when_it_was_told_to: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    everything_is_logged_as_json: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    zeros_where_data_is_are_suspect: [],
    a_drive_that_says_too_much_is_suspect: [],
    what_ordinary_files_hold_too_is_no_loss: [],
    checked_reads_of_a_sound_drive_are_not_suspect: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit")],
    what_stands_for_bad_sectors_is_not_believed: [],
    images_are_made_as_they_were_asked_for: [],
    what_has_no_effect_is_refused: [],
    a_file_in_shared_memory_is_a_file: [],
    a_drive_that_repeats_a_pattern_is_sound: [],
    sound_file_systems_are_not_suspect: [Loop, Tool("mke2fs"), Tool("mkfs.fat"), Tool("mkswap"), Tool("sqlite3")],
    a_rescue_onto_a_drive_goes_on_and_becomes_an_e01: [Loop, Fuse, Tool("nbdfuse"), Tool("nbdkit"), Tool("ewfinfo"), Tool("ewfexport")],
}

const LEN: usize = 16 << 20;
const BAD: [(u64, u64); 5] = [(0, 1), (300, 1), (8_000, 8), (20_001, 3), (32_767, 1)];

fn bad_drive(scratch: &Scratch) -> (Vec<u8>, Drive) {
    let bytes: Vec<u8> = sample(LEN, 310).into_iter().map(|b| b | 1).collect();
    let file = scratch.file("backing", &bytes);
    let drive = Drive::new(&file, &scratch.folder("drive"), &Behaviour { bad: BAD.to_vec(), ..Behaviour::default() });
    (bytes, drive)
}

/// What ddrescue and ours made of the same line.
struct Both {
    image: [std::path::PathBuf; 2],
    map: [std::path::PathBuf; 2],
}

fn both(scratch: &Scratch, n: usize) -> Both {
    let name = |who: &str, what: &str| scratch.join(format!("{who}{n}.{what}"));
    Both { image: [name("peer", "img"), name("ours", "img")], map: [name("peer", "map"), name("ours", "map")] }
}

impl Both {
    /// Gives both the same line.
    fn run(&self, line: &str, source: &Path) {
        let mut peer = tool("ddrescue", &[&"-q"]);
        for word in line.split_whitespace() {
            peer = peer.arg(word.trim_matches('\''));
        }
        peer.arg(source).arg(&self.image[0]).arg(&self.map[0]).ok();
        let ours = ours(&[&"rescue", &source, &self.image[1], &self.map[1], &"-q", &"--ddrescue-args", &line]);
        ours.run().exited_any(&[0, 1]);
    }

    /// The same is finished in both maps, and the images hold the same; ours may be longer by zeros.
    fn agree(&self, line: &str) {
        let same = tool("ddrescuelog", &[&"-q", &"-P", &self.map[0], &self.map[1]]).run();
        let list = |map: &Path| tool("ddrescuelog", &[&"-l+", &map]).run().out().lines().count();
        assert_eq!(same.code(), Some(0), "{line}: {} and {} sectors", list(&self.map[0]), list(&self.map[1]));
        let (peer, ours) = (read(&self.image[0]), read(&self.image[1]));
        assert!(ours.len() >= peer.len(), "{line}");
        assert!(ours[..peer.len()] == peer && ours[peer.len()..].iter().all(|b| *b == 0), "{line}: the images differ");
    }
}

fn the_same_line_rescues_the_same() {
    let scratch = Scratch::new();
    let (_, drive) = bad_drive(&scratch);
    let domain = scratch.join("domain.map");
    std::fs::write(&domain, "0 + 1\n0 0x1000 ?\n0x1000 0x30000 +\n0x31000 0x300000 -\n0x331000 0x800000 +\n").unwrap();
    let loose = scratch.join("loose.map");
    std::fs::write(&loose, "0 + 1\n0x900000 0x100000 +\n0x3E0000 0x40000 +\n").unwrap();
    let lines = [
        "-d".to_owned(),
        "-d -i 1MiB -s 3Mi".to_owned(),
        "-di0x3E0000 --size=8ks".to_owned(),
        "-d -i4096s -s 4_194_304 -o 0".replace('_', ""),
        "-d --input-position=7Mi --output-position=9MiB".to_owned(),
        format!("-d -m {}", domain.display()),
        format!("-d -Lm {} -r1", loose.display()),
        "-d -r2 -R".to_owned(),
        "-d -R -i 512 -s 20ks".to_owned(),
        "-d -u -K0".to_owned(),
        "-d -b 4096".to_owned(),
        "-d -S -W -p -O -a 1k --delay-slow=1 -Z 1Gi".to_owned(),
        "-d -x 20MiB -e 100 -E 1G -T 1h -X 100000".to_owned(),
    ];
    for (n, line) in lines.iter().enumerate() {
        let both = both(&scratch, n);
        both.run(line, drive.path());
        both.agree(line);
    }
    // And going on, with what failed tried anew.
    let both = both(&scratch, 0);
    both.run("-d -A -M -r1 -I", drive.path());
    both.agree("again");
}

fn the_same_line_on_a_test_map() {
    let scratch = Scratch::new();
    let file = scratch.file("disk", &sample(LEN, 311));
    let test = scratch.join("test.map");
    std::fs::write(
        &test,
        "0 + 1\n0 0x200 -\n0x200 0x400000 +\n0x400200 0x9600 -\n0x409800 0x800000 +\n0xC09800 0x100000 /\n0xD09800 0x2F0000 +\n",
    )
    .unwrap();
    for (n, line) in ["", "-r1 -R", "-s 8MB", "-i 5Mi"].iter().enumerate() {
        let both = both(&scratch, n);
        let line = format!("-b512 -H {} {line}", test.display());
        both.run(&line, &file);
        both.agree(&line);
    }
}

fn the_same_line_fills_the_same() {
    let scratch = Scratch::new();
    let image = sample(1 << 20, 312);
    let pattern = scratch.file("pattern", b"NOT RESCUED ");
    let map = "0 + 1\n0 0x20000 +\n0x20000 0x30000 -\n0x50000 0x8200 /\n0x58200 0x10000 *\n0x68200 0x97E00 ?\n";
    let lines =
        ["-F-", "-F-l", "-F?/*-", "-F/*l -i 0x50200 -s 0xA000", "-F- -i 100s -o 4KiB -s 0x20000", "-F -l -b2048"];
    for (n, line) in lines.iter().enumerate() {
        let both = both(&scratch, n);
        for i in 0..2 {
            std::fs::write(&both.image[i], &image).unwrap();
            std::fs::write(&both.map[i], map).unwrap();
        }
        both.run(line, &pattern);
        let (peer, ours) = (read(&both.image[0]), read(&both.image[1]));
        assert!(peer != image, "{line}: something is filled");
        assert!(peer == ours, "{line}: the images differ");
        assert_eq!(String::from_utf8(read(&both.map[1])).unwrap(), map, "{line}: the map is left alone");
    }
    // What was read is not written over by mistake.
    let both = both(&scratch, 0);
    let said = ours(&[&"map", &"fill", &both.map[1], &both.image[1], &"--status", &"+"]).exits(2).stderr;
    assert!(said.contains("--yes"), "{said}");
}

fn the_same_line_generates_the_same() {
    let scratch = Scratch::new();
    let drive = scratch.file("drive", &sample(3 << 20, 313));
    let mut copy = read(&drive);
    copy[70_144..500_224].fill(0);
    copy[1 << 20..(1 << 20) + 512].fill(0);
    copy[2_000_000..2_000_700].fill(0);
    copy.truncate((2 << 20) + 512);
    for (n, line) in ["-G", "-G -i 64KiB -s 1MiB", "-G -i 1MiB -o 0", "-G -b4096"].iter().enumerate() {
        let both = both(&scratch, n);
        for image in &both.image {
            std::fs::write(image, &copy).unwrap();
        }
        both.run(line, &drive);
        both.agree(line);
    }
}

fn the_same_line_logs_the_same() {
    let scratch = Scratch::new();
    let file = scratch.file("disk", &sample(1 << 20, 314));
    let log = |who: &str, what: &str| scratch.join(format!("{who}.{what}"));
    let line = |who: &str| {
        ["events", "rates", "reads"].map(|what| format!("--log-{what}={}", log(who, what).display())).join(" ")
    };
    let both = both(&scratch, 0);
    let mut peer = tool("ddrescue", &[&"-q", &"-b512"]);
    for word in line("peer").split(' ') {
        peer = peer.arg(word);
    }
    peer.arg(&file).arg(&both.image[0]).arg(&both.map[0]).ok();
    ours(&[&"rescue", &file, &both.image[1], &both.map[1], &"--ddrescue-args", &line("ours")]).ok();
    // The tables have the same heads, and their rows as many columns.
    for (what, head) in [("events", "#         Time"), ("rates", "#Time"), ("reads", "#  Ipos")] {
        let text = |who| String::from_utf8(read(log(who, what))).unwrap();
        let (peer, ours) = (text("peer"), text("ours"));
        let line = |text: &str| text.lines().find(|l| l.starts_with(head)).map(str::to_owned);
        assert_eq!(line(&peer), line(&ours), "{what}");
        let columns = |text: &str| -> BTreeSet<usize> {
            let rows = text.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
            rows.map(|l| if what == "events" { l.find('%').unwrap() } else { l.split_whitespace().count() }).collect()
        };
        assert_eq!(columns(&peer), columns(&ours), "{what}:\n{peer}\n{ours}");
    }
    // What was read is in both logs, all of it.
    let total = |who| -> u64 {
        let text = String::from_utf8(read(log(who, "reads"))).unwrap();
        let rows = text.lines().filter(|l| l.starts_with("0x"));
        rows.map(|l| l.split('\t').nth(2).unwrap().parse::<u64>().unwrap()).sum()
    };
    assert_eq!((total("peer"), total("ours")), (1 << 20, 1 << 20));
}

fn the_same_commands_are_answered_the_same() {
    let scratch = Scratch::new();
    let file = scratch.file("disk", &sample(1 << 20, 319));
    let commands = "s 0 1048576\nc 0x1000 8192\ns 0 65536\nc 4096 65536\nu\nf\n";
    let lines = scratch.file("lines", commands.as_bytes());
    let both = both(&scratch, 0);
    let input = || std::fs::File::open(&lines).unwrap();
    let peer: &[&dyn AsRef<std::ffi::OsStr>] = &[&"-q", &"--command-mode", &file, &both.image[0], &both.map[0]];
    let peer = tool("ddrescue", peer).stdin(input()).run().out();
    let line = "-b512 --command-mode";
    let command: &[&dyn AsRef<std::ffi::OsStr>] =
        &[&"rescue", &file, &both.image[1], &both.map[1], &"-q", &"--ddrescue-args", &line];
    let ours = ours(command).stdin(input()).run().exited_any(&[0, 1]).out();
    assert_eq!(peer, ours);
    both.agree("--command-mode");
}

fn growing_domains_read_nothing_twice() {
    let scratch = Scratch::new();
    let (bytes, drive) = bad_drive(&scratch);
    let image = scratch.join("t.img");
    let line = |words: &[&str]| {
        let mut command = ours(&[&"rescue", &drive.path(), &image, &"--json", &"--exhaustive"]);
        for word in words {
            command = command.arg(word);
        }
        command.run().exited_any(&[0, 1]).json()
    };
    let first = line(&["--offset", "1MiB", "--size", "2MiB"]);
    assert_eq!(
        (&first["rescued"], &first["domain"], &first["size"]),
        (&(2 << 20).into(), &(2 << 20).into(), &LEN.into())
    );
    assert_eq!(first["reads"], 2);
    let whole = read(&image);
    assert_eq!(whole.len(), LEN);
    assert!(whole[1 << 20..3 << 20] == bytes[1 << 20..3 << 20]);
    assert!(whole[..1 << 20].iter().chain(&whole[3 << 20..]).all(|b| *b == 0), "nothing else was read");
    line(&["--size", "8MiB"]);
    let last = line(&[]);
    let lost: u64 = BAD.iter().map(|(_, count)| count * 512).sum();
    assert_eq!(last["rescued"], LEN as u64 - lost);
    let nothing = ours(&[&"rescue", &drive.path(), &image, &"--offset", &"1GiB"]).exits(2).stderr;
    assert!(nothing.contains("none of the"), "{nothing}");
}

fn every_option_of_ddrescue_is_in_the_table() {
    let help = tool("ddrescue", &[&"--help"]).ok().out();
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rescue/rescue.md");
    let docs = String::from_utf8(read(docs)).unwrap();
    let mut options = 0;
    for line in help.lines().filter(|l| l.trim_start().starts_with('-')) {
        for word in line.split_whitespace().take_while(|w| w.starts_with('-')) {
            let name = word.trim_end_matches(',').split(['=', '[']).next().unwrap();
            options += 1;
            assert!(
                ["`", " ", "="].iter().any(|end| docs.contains(&format!("`{name}{end}"))),
                "{name} is not in the table"
            );
        }
    }
    assert!(options > 90, "{options} options were found");
}

fn it_stops_when_it_was_told_to() {
    let scratch = Scratch::new();
    let (_, drive) = bad_drive(&scratch);
    for (n, (option, value, by)) in [
        ("--max-errors", "1", "max-errors"),
        ("--max-bad-areas", "+0", "max-bad-areas"),
        ("--max-error-rate", "1", "max-error-rate"),
        ("--max-time", "0", "max-time"),
        ("--max-idle", "0", "max-idle"),
        ("--enough", "40", "enough"),
    ]
    .into_iter()
    .enumerate()
    {
        let image = scratch.join(format!("{n}.img"));
        let json = ours(&[&"rescue", &drive.path(), &image, &option, &value, &"--json"]).exits(1).json();
        assert_eq!(json["stopped_by"], by, "{json}");
        assert!(json["stopped"].as_str().unwrap().len() > 10, "{json}");
        assert!(json["rescued"].as_u64() < Some(LEN as u64 - 512 * 14), "{option}: {json}");
        let said = ours(&[&"rescue", &drive.path(), &image, &option, &value]).exits(1).out();
        assert!(said.contains("stopped: "), "{said}");
        // And the same command without the limit goes on to the end.
        let json = ours(&[&"rescue", &drive.path(), &image, &"--json"]).exits(1).json();
        assert_eq!((&json["stopped"], &json["rescued"]), (&serde_json::Value::Null, &(LEN - 512 * 14).into()));
    }
    let said = ours(&[&"rescue", &drive.path(), &scratch.join("x"), &"--max-slow-reads", &"1"]).exits(2).stderr;
    assert!(said.contains("--min-rate"), "{said}");
}

fn everything_is_logged_as_json() {
    let scratch = Scratch::new();
    let (_, drive) = bad_drive(&scratch);
    let (image, log) = (scratch.join("t.img"), scratch.join("t.log"));
    let command: &[&dyn AsRef<std::ffi::OsStr>] =
        &[&"rescue", &drive.path(), &image, &"--log", &log, &"--log-reads", &"--progress", &"json", &"--json"];
    let run = ours(command).exits(1);
    let result = run.json();
    let events: Vec<serde_json::Value> =
        String::from_utf8(read(&log)).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let count = |name: &str| events.iter().filter(|e| e["event"] == name).count() as u64;
    assert!(events.iter().all(|e| e["time"].is_string()));
    assert_eq!(count("failed_read"), result["failed_reads"].as_u64().unwrap());
    assert_eq!(count("failed_read") + count("read"), result["reads"].as_u64().unwrap());
    let passes: BTreeSet<_> = events.iter().filter_map(|e| e["pass"].as_str()).collect();
    assert!(passes.contains("copy") && passes.contains("scrape"), "{passes:?}");
    let told: Vec<serde_json::Value> =
        run.stderr.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{l}: {e}"))).collect();
    let last = told.iter().rev().find(|e| e["event"] == "standing").expect("it is told how it stands");
    assert_eq!((&last["domain"], last["map"].as_str().map(|m| m.chars().count())), (&LEN.into(), Some(256)));
    assert!(last["rescued"].as_u64() > Some(LEN as u64 / 2) && last["outlook"].is_string(), "{last}");
}

fn what_ordinary_files_hold_too_is_no_loss() {
    let scratch = Scratch::new();
    let mut bytes: Vec<u8> = sample(1 << 20, 312).into_iter().map(|b| b | 1).collect();
    let sector = tintype_core::testing::Model::noise(512, 313).bytes;
    for i in 100..131 {
        bytes[i * 512..][..512].copy_from_slice(&sector);
    }
    let (drive, image) = (scratch.file("drive", &bytes), scratch.join("t.img"));
    let json = ours(&[&"rescue", &drive, &image, &"--json"]).exits(0).json();
    assert_eq!(json["suspect"][0]["reason"], "repeated_sector", "it is told all the same: {json}");
    assert!(read(&image) == bytes);
}

fn zeros_where_data_is_are_suspect() {
    let scratch = Scratch::new();
    // A bridge that gives zeros for what it cannot read, and says nothing.
    let bytes = sample(8 << 20, 315);
    let mut lies = bytes.clone();
    lies[3 << 20..5 << 20].fill(0);
    let disk = scratch.file("disk", &lies);
    let used = scratch.join("used.map");
    std::fs::write(&used, "0 + 1\n0 0x480000 +\n0x480000 0x380000 ?\n").unwrap();
    let (image, map) = (scratch.join("t.img"), scratch.join("t.map"));
    let json = ours(&[&"rescue", &disk, &image, &map, &"--expect", &used, &"--json"]).exits(1).json();
    let found = serde_json::json!([{"offset": 3 << 20, "len": 0x18_0000, "reason": "zeros_where_data_is"}]);
    assert_eq!((&json["suspect"], &json["rescued"]), (&found, &(8 << 20).into()));
    // It is remembered, and said again.
    let said = ours(&[&"rescue", &disk, &image, &map]).exits(1).out();
    assert!(said.contains("SUSPECT") && said.contains("zeros"), "{said}");
    // The drive answers right now: what is suspect is read again, and is suspect no longer.
    std::fs::write(&disk, &bytes).unwrap();
    let (again, next) = (scratch.join("again.map"), scratch.join("next.map"));
    let suspect = scratch.join("t.map.suspect");
    ours(&[&"map", &"convert", &suspect, &"--from", &"json", &"-o", &again, &"-q"]).ok();
    ours(&[&"map", &"subtract", &map, &again, &"--removed", &"?", &"-o", &next, &"-q"]).ok();
    std::fs::rename(&next, &map).unwrap();
    let json = ours(&[&"rescue", &disk, &image, &map, &"--expect", &used, &"--json"]).run().json();
    assert_eq!((&json["suspect"], &json["rescued"]), (&serde_json::json!([]), &(8 << 20).into()));
    assert!(read(&image)[..0x48_0000] == bytes[..0x48_0000] && !suspect.exists());
}

fn a_drive_that_says_too_much_is_suspect() {
    let scratch = Scratch::new();
    let disk = scratch.file("disk", &sample(2 << 20, 316).repeat(4));
    let json = ours(&[&"rescue", &disk, &scratch.join("t.img"), &"--json"]).exits(1).json();
    let found = serde_json::json!([{"offset": 2 << 20, "len": 6 << 20, "reason": "wraps_around"}]);
    assert_eq!(json["suspect"], found);
}

fn checked_reads_of_a_sound_drive_are_not_suspect() {
    let scratch = Scratch::new();
    let (_, drive) = bad_drive(&scratch);
    let image = scratch.join("t.img");
    let command: &[&dyn AsRef<std::ffi::OsStr>] = &[
        &"rescue",
        &drive.path(),
        &image,
        &"--check-reads",
        &"50",
        &"--check-on-error",
        &"--offset",
        &"4096",
        &"--json",
    ];
    let json = ours(command).exits(1).json();
    assert_eq!((&json["suspect"], &json["stopped"]), (&serde_json::json!([]), &serde_json::Value::Null));
    assert!(json["checked_reads"].as_u64() > Some(5), "{json}");
}

fn what_stands_for_bad_sectors_is_not_believed() {
    let scratch = Scratch::new();
    let mut bytes = sample(1 << 20, 317);
    let stands = scratch.file("stands", &b"BAD!".repeat(128));
    for sector in [100, 1000] {
        bytes[sector * 512..][..512].copy_from_slice(&b"BAD!".repeat(128));
    }
    let disk = scratch.file("disk", &bytes);
    let command: &[&dyn AsRef<std::ffi::OsStr>] =
        &[&"rescue", &disk, &scratch.join("t.img"), &"--sector", &"512", &"--bad-sector-data", &stands, &"--json"];
    let json = ours(command).exits(1).json();
    let bad = serde_json::json!([{"offset": 51_200, "len": 512}, {"offset": 512_000, "len": 512}]);
    assert_eq!(json["bad"], bad);
}

fn images_are_made_as_they_were_asked_for() {
    use std::os::unix::fs::MetadataExt;
    let scratch = Scratch::new();
    let mut bytes = sample(4 << 20, 318);
    bytes[1 << 20..3 << 20].fill(0);
    let disk = scratch.file("disk", &bytes);
    let made = |name: &str, before: Option<&[u8]>, words: &[&str]| {
        let image = scratch.join(name);
        if let Some(before) = before {
            std::fs::write(&image, before).unwrap();
        }
        let mut command = ours(&[&"rescue", &disk, &image, &"-q"]);
        for word in words {
            command = command.arg(word);
        }
        (command.run(), image)
    };
    let old = vec![0xEE; 6 << 20];
    // What is there and known to nobody is not touched.
    let (run, image) = made("old", Some(&old), &[]);
    run.exited(2);
    assert!(read(&image) == old);
    // Emptied first, or written into.
    let (run, image) = made("truncated", Some(&old), &["--truncate"]);
    run.exited(0);
    assert!(read(&image) == bytes);
    let (run, image) =
        made("into", Some(&old), &["--force", "--offset", "1MiB", "--size", "2MiB", "--target-offset", "2MiB"]);
    run.exited(0);
    let there = read(&image);
    assert!(there[2 << 20..4 << 20] == bytes[1 << 20..3 << 20] && there.len() == old.len());
    assert!(there[..2 << 20].iter().chain(&there[4 << 20..]).all(|b| *b == 0xEE), "and nowhere else");
    // Sparse, or not.
    let blocks = |image: &Path| std::fs::metadata(image).unwrap().blocks() * 512;
    let (run, image) = made("sparse", None, &[]);
    run.exited(0);
    assert!(read(&image) == bytes && blocks(&image) < 3 << 20);
    let (run, image) = made("reserved", None, &["--preallocate", "--size", "1MiB"]);
    run.exited(0);
    assert!(blocks(&image) >= 4 << 20);
    let (run, image) = made("extended", None, &["--extend", "5MiB"]);
    run.exited(0);
    assert!(read(&image)[..4 << 20] == bytes && read(&image).len() == 5 << 20);
}

fn a_rescue_onto_a_drive_goes_on_and_becomes_an_e01() {
    let scratch = Scratch::new();
    let (bytes, drive) = bad_drive(&scratch);
    let target = scratch.file("target", &vec![0xEE; LEN + (1 << 20)]);
    let device = LoopDevice::new(&target, 512);
    let map = scratch.join("t.map");
    let line = |more: &[&str]| {
        let mut command = ours(&[&"rescue", &drive.path(), &device.path(), &map, &"--yes", &"-q"]);
        for word in more {
            command = command.arg(word);
        }
        command.exits(1);
    };
    line(&["--max-errors", "2"]);
    line(&["--size", "8MiB", "--enough", "30"]);
    line(&[]);
    let image = scratch.file("t.img", &read(&target)[..LEN]);
    drop(device);
    assert!(read(&target)[LEN..].iter().all(|b| *b == 0xEE), "what lies beyond is left alone");
    let e01 = scratch.join("t.E01");
    ours(&[&"convert", &image, &e01, &"--map", &map, &"--fill", &"zero", &"-q"]).ok();
    let said = tool("ewfinfo", &[&e01]).ok().out();
    let lost: u64 = BAD.iter().map(|(_, count)| count).sum();
    assert!(said.contains(&format!("total number: {}", BAD.len())), "{said}");
    for (first, count) in BAD {
        let range = format!("at sector(s): {first} - {} number: {count}", first + count - 1);
        assert!(said.contains(&range), "{range}: {said}");
    }
    let raw = scratch.join("exported");
    tool("ewfexport", &[&"-u", &"-q", &"-f", &"raw", &"-t", &raw, &e01]).ok();
    let raw = read(scratch.join("exported.raw"));
    let mut expected = bytes;
    for (first, count) in BAD {
        expected[first as usize * 512..(first + count) as usize * 512].fill(0);
    }
    assert!(raw == expected, "all but {lost} sectors are the drive's");
}

fn what_has_no_effect_is_refused() {
    let scratch = Scratch::new();
    let model = scratch.file("model", b"size 1048576\n");
    let refused = |words: &[&str]| {
        let run = ours(&[&"rescue", &"--simulate", &model]).args(words).exits(2);
        assert!(run.stderr.contains("--simulate") && run.stderr.contains(words[0]), "{run}");
    };
    for words in [
        &["--preallocate"][..],
        &["--first", "*.jpg"],
        &["--reverse"],
        &["--commands"],
        &["--prepare"],
        &["--put-back"],
        &["--pause-on-error", "1"],
        &["--map-interval", "10"],
        &["--ddrescue-args", "-r3"],
    ] {
        refused(words);
    }
    ours(&[&"rescue", &"--simulate", &model, &"--max-time", &"1h", &"--without", &"value", &"--size", &"64K"]).ok();
    let file = scratch.file("disk", &sample(1 << 20, 3));
    for option in ["--reverse", "--commands"] {
        let run = ours(&[&"rescue", &file, &scratch.join("t.img"), &"--first", &"*", &option]).exits(2);
        assert!(run.stderr.contains(option) && run.stderr.contains("leave one of them out"), "{run}");
    }
    assert!(!scratch.join("t.img").exists());
    // Nothing was left changed, and nothing is read.
    let run = ours(&[&"rescue", &file, &scratch.join("t.img"), &"--put-back"]).ok();
    assert!(run.out().contains("nothing was left changed") && !scratch.join("t.img").exists(), "{run}");
    std::fs::write(scratch.join("t.img.map.settings"), "tintype drive settings 1\nserial X\n").unwrap();
    ours(&[&"rescue", &file, &scratch.join("t.img"), &"--put-back"]).exits(3);
}

fn a_file_in_shared_memory_is_a_file() {
    let scratch = Scratch::new();
    let (bytes, shm) = (sample(1 << 20, 4), tempfile::tempdir_in("/dev/shm").unwrap());
    let (file, path) = (scratch.file("disk", &bytes), |name: &str| shm.path().join(name));
    ours(&[&"rescue", &file, &path("rescued.img"), &"-q"]).ok();
    ours(&[&"image", &file, &path("image.img"), &"-q"]).ok();
    ours(&[&"restore", &file, &path("restored.img"), &"-q"]).ok();
    for name in ["rescued.img", "image.img", "restored.img"] {
        assert!(read(path(name)) == bytes, "{name}");
    }
    for verb in ["rescue", "image", "restore"] {
        let run = ours(&[&verb, &file, &"/dev/no such drive.img"]).exits(2);
        assert!(run.stderr.contains("there is no such drive"), "{run}");
    }
}

fn rescued_whole(disk: &Path, target: &Path) {
    let run = ours(&[&"rescue", &disk, &target, &"--json"]).ok();
    assert_eq!(run.json()["suspect"].as_array().map(Vec::len), Some(0), "{run}");
    let text = ours(&[&"rescue", &disk, &target]).ok();
    assert!(!format!("{text}").contains("suspect"), "{text}");
}

fn a_drive_that_repeats_a_pattern_is_sound() {
    let scratch = Scratch::new();
    let page = sample(4096, 5);
    let track = sample(64 << 10, 6);
    // Wiped with zeros and ones, with a pattern of four bytes, and with a page and a track over and over.
    let patterns: [&[u8]; 6] = [&[0], &[0xff], &[0x55, 0xaa], &[0xde, 0xad, 0xbe, 0xef], &page, &track];
    for (i, pattern) in patterns.into_iter().enumerate() {
        let bytes: Vec<u8> = pattern.iter().copied().cycle().take(12 << 20).collect();
        let disk = scratch.file(&format!("disk{i}"), &bytes);
        rescued_whole(&disk, &scratch.join(format!("disk{i}.img")));
    }
}

fn sound_file_systems_are_not_suspect() {
    let scratch = Scratch::new();
    let image = |name: &str, len: u64| {
        let path = scratch.join(name);
        std::fs::File::create(&path).unwrap().set_len(len).unwrap();
        path
    };
    let tree = scratch.folder("tree");
    // A database, whose pages look alike, and one that is full of one row.
    let database = tree.join("data.sqlite");
    let orders = "create table t(a, b); with recursive n(i) as (select 1 union all select i + 1 from n where i < 40000) \
                  insert into t select 7, 'the same again, and again, and again' from n; vacuum;";
    tool("sqlite3", &[&database, &orders]).ok();
    let database_bytes = read(&database);
    std::fs::write(tree.join("copy of it"), &database_bytes).unwrap();
    std::fs::write(tree.join("zeros"), vec![0; 5 << 20]).unwrap();
    std::fs::write(tree.join("ones"), vec![0xff; 5 << 20]).unwrap();
    let (ext, fat, swap) = (image("ext.img", 64 << 20), image("fat.img", 48 << 20), image("swap.img", 32 << 20));
    tool("mke2fs", &[&"-q", &"-F", &"-t", &"ext4", &"-d", &tree, &ext]).ok();
    tool("mkfs.fat", &[&"-F", &"32", &"-s", &"1", &fat]).ok();
    tool("mkswap", &[&swap]).ok();
    let raw = scratch.file("raw.img", &database_bytes.repeat(3)[..(database_bytes.len() * 3) / 4096 * 4096]);
    for disk in [ext, fat, swap, raw] {
        let device = LoopDevice::new(&disk, 512);
        let name = disk.file_stem().unwrap().to_string_lossy().into_owned();
        let target = scratch.join(format!("{name}.rescued"));
        rescued_whole(device.path(), &target);
        assert!(read(&disk) == read(&target), "{name}");
    }
}
