//! The command line that other people's scripts depend on: help, exit statuses, JSON, refusals.

use std::os::unix::fs::PermissionsExt;
use tintype_tests::{Layout, Need::*, Scratch, assert_same, e01_name, ours, read, sample_file, tintype_binary, tool};

tintype_tests::topic! {
    help_names_every_verb: [],
    every_verb_has_help_and_statuses_are_explained: [],
    version_is_one_line: [],
    wrong_usage_exits_2_and_says_what_is_right: [],
    a_missing_source_is_named: [],
    a_folder_is_no_source: [],
    a_source_without_permission_is_named: [Root, Tool("setpriv")],
    a_target_folder_that_cannot_be_written_is_named: [Root, Tool("setpriv")],
    an_empty_file_is_an_image_of_nothing: [],
    the_format_comes_from_the_content: [Tool("gzip"), Tool("ewfacquire")],
    from_overrides_the_content: [Tool("gzip")],
    an_unknown_extension_is_refused: [],
    an_existing_target_is_left_alone: [],
    an_empty_image_is_created: [],
    force_replaces_the_target: [],
    the_source_as_target_is_refused: [],
    a_finished_command_says_so: [],
    closed_standard_output_is_no_panic: [],
    json_has_the_common_fields: [],
    json_errors_have_kind_and_path: [],
    json_goes_to_a_file_on_request: [],
    progress_json_is_one_event_a_line: [],
    nothing_is_drawn_where_there_is_no_terminal: [],
    sizes_take_binary_units: [],
    devices_lists_a_loop_device: [Loop],
    info_shows_the_partition_table: [Tool("sfdisk")],
    info_lists_extents_that_cover_the_image: [],
    compare_says_where: [],
    completions_and_man_pages_come_out: [],
}

const VERBS: [&str; 12] =
    ["devices", "info", "image", "rescue", "verify", "convert", "create", "restore", "clone", "compare", "hash", "map"];

fn help_names_every_verb() {
    let out = ours(&[&"--help"]).ok().out();
    for verb in VERBS {
        assert!(out.lines().any(|l| l.trim_start().starts_with(verb)), "{verb} is missing in: {out}");
    }
}

fn every_verb_has_help_and_statuses_are_explained() {
    for verb in VERBS {
        let out = ours(&[&verb, &"--help"]).ok().out();
        assert!(out.contains("--json") && out.contains(&format!("tintype {verb}")), "{verb}: {out}");
    }
    let out = ours(&[&"--help"]).ok().out();
    for status in ["0 ", "1 ", "2 ", "3 ", "130 "] {
        assert!(out.contains(status), "exit status {status} is not explained: {out}");
    }
}

fn version_is_one_line() {
    let out = ours(&[&"--version"]).ok().out();
    assert!(out.starts_with("tintype ") && out.lines().count() == 1, "{out}");
}

fn wrong_usage_exits_2_and_says_what_is_right() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.img", 5000, 1, Layout::Full);
    let out = scratch.join("o.img");
    let cases: &[&[&dyn AsRef<std::ffi::OsStr>]] = &[
        &[],
        &[&"frobnicate"],
        &[&"image"],
        &[&"image", &disk],
        &[&"image", &disk, &out, &"--no-such-option"],
        &[&"image", &disk, &out, &"--hash", &"md17"],
        &[&"image", &disk, &out, &"--to", &"nosuchformat"],
        &[&"image", &disk, &out, &"--compression", &"zlib:x"],
        &[&"image", &disk, &out, &"--option", &"nosuch=1"],
        &[&"image", &disk, &out, &"--split", &"-5"],
        &[&"convert", &disk, &out, &"--from", &"nosuchformat"],
        &[&"convert", &disk, &""],
        &[&"hash", &disk, &"--hash", &""],
    ];
    for words in cases {
        let run = ours(words).run();
        assert_eq!(run.code(), Some(2), "{run}");
        assert!(!run.stderr.trim().is_empty(), "silent: {run}");
        assert!(run.stdout.is_empty(), "usage errors belong on standard error: {run}");
        assert_eq!(scratch.names(), ["d.img"], "something was touched: {run}");
    }
    let run = ours(&[&"image", &disk, &out, &"--to", &"nosuchformat"]).exits(2);
    assert!(run.stderr.contains(e01_name()) && run.stderr.contains("raw"), "the formats are not listed: {run}");
}

fn a_missing_source_is_named() {
    let scratch = Scratch::new();
    let missing = scratch.join("no such.img");
    for verb in ["info", "hash", "verify"] {
        let run = ours(&[&verb, &missing]).run().exited_any(&[2, 3]);
        assert!(run.stderr.contains("no such.img"), "{run}");
    }
    for verb in ["image", "convert", "restore", "compare"] {
        let run = ours(&[&verb, &missing, &scratch.join("o.img")]).run().exited_any(&[2, 3]);
        assert!(run.stderr.contains("no such.img"), "{run}");
        assert!(scratch.names().is_empty(), "a target was left: {:?}", scratch.names());
    }
}

fn a_folder_is_no_source() {
    let scratch = Scratch::new();
    let folder = scratch.folder("a folder");
    for verb in ["info", "hash", "verify"] {
        let run = ours(&[&verb, &folder]).run().exited_any(&[2, 3]);
        assert!(run.stderr.contains("a folder"), "{run}");
    }
    ours(&[&"image", &folder, &scratch.join("o.img")]).run().exited_any(&[2, 3]);
    assert_eq!(scratch.names(), ["a folder"]);
}

/// A copy of the program that everybody may run, and the words to run it as nobody.
fn as_nobody(scratch: &Scratch) -> Vec<std::ffi::OsString> {
    let all = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode can be set");
    };
    let copy = scratch.join("tintype");
    std::fs::copy(tintype_binary(), &copy).unwrap();
    all(&copy, 0o755);
    let mut words: Vec<std::ffi::OsString> =
        ["--reuid=65534", "--regid=65534", "--clear-groups"].iter().map(Into::into).collect();
    words.push(copy.into());
    words
}

fn a_source_without_permission_is_named() {
    let scratch = Scratch::for_everybody();
    let nobody = as_nobody(&scratch);
    let secret = scratch.file("secret.img", &[1; 5000]);
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    for words in [vec!["hash"], vec!["info"], vec!["verify"]] {
        let run = tool("setpriv", &[]).args(&nobody).args(words).arg(&secret).run().exited_any(&[2, 3]);
        assert!(run.stderr.contains("secret.img"), "{run}");
    }
    let target = scratch.join("o.img");
    tool("setpriv", &[]).args(&nobody).arg("image").arg(&secret).arg(&target).run().exited_any(&[2, 3]);
    assert!(!scratch.names().iter().any(|n| n.starts_with("o.img")), "{:?}", scratch.names());
}

fn a_target_folder_that_cannot_be_written_is_named() {
    let scratch = Scratch::for_everybody();
    let nobody = as_nobody(&scratch);
    let disk = scratch.file("d.img", &[1; 5000]);
    std::fs::set_permissions(&disk, std::fs::Permissions::from_mode(0o644)).unwrap();
    let locked = scratch.folder("locked");
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o555)).unwrap();
    let run =
        tool("setpriv", &[]).args(&nobody).arg("image").arg(&disk).arg(locked.join("o.E01")).run().exited_any(&[2, 3]);
    assert!(run.stderr.contains("locked"), "{run}");
    assert_eq!(std::fs::read_dir(&locked).unwrap().count(), 0);
}

fn an_empty_file_is_an_image_of_nothing() {
    let scratch = Scratch::new();
    let empty = scratch.file("empty.img", b"");
    // What the digest of nothing is, every other program knows.
    let known = tool("sha256sum", &[&empty]).ok().out();
    let json = ours(&[&"hash", &empty, &"--hash", &"sha256", &"--json"]).ok().json();
    assert_eq!(json["size"], 0);
    assert_eq!(json["digests"]["sha256"].as_str(), known.split_whitespace().next());
    ours(&[&"info", &empty]).ok();
    let copy = scratch.join("copy.img");
    ours(&[&"image", &empty, &copy]).ok();
    assert_eq!(std::fs::metadata(&copy).unwrap().len(), 0);
}

fn the_format_comes_from_the_content() {
    let scratch = Scratch::new();
    let (disk, bytes) = sample_file(&scratch, "d.raw", 300 << 10, 2, Layout::Full);
    let packed = scratch.join("looks-raw.img");
    tool("gzip", &[&"-c", &disk]).stdout(std::fs::File::create(&packed).unwrap()).ok();
    let json = ours(&[&"info", &packed, &"--json"]).ok().json();
    assert_eq!((&json["format"], &json["size"]), (&"gzip".into(), &bytes.len().into()));

    ewf_of(&disk, &scratch.join("e"));
    let renamed = scratch.join("looks-gz.gz");
    std::fs::rename(scratch.join("e.E01"), &renamed).unwrap();
    let json = ours(&[&"info", &renamed, &"--json"]).ok().json();
    assert_eq!(json["format"], e01_name());
    let out = scratch.join("out.img");
    ours(&[&"convert", &renamed, &out]).ok();
    assert_same(&disk, &out);
}

fn ewf_of(disk: &std::path::Path, target: &std::path::Path) {
    tool("ewfacquire", &[&"-u", &"-q", &"-l", &"/dev/null", &"-t", &target, &disk]).ok();
}

fn from_overrides_the_content() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 100 << 10, 3, Layout::Full);
    let packed = scratch.join("d.gz");
    tool("gzip", &[&"-c", &disk]).stdout(std::fs::File::create(&packed).unwrap()).ok();
    let out = scratch.join("o.img");
    ours(&[&"convert", &packed, &out, &"--from", &"raw"]).ok();
    assert_same(&packed, &out);
    ours(&[&"convert", &disk, &scratch.join("p.img"), &"--from", &e01_name()]).run().exited_any(&[2, 3]);
    assert!(!scratch.join("p.img").exists());
}

fn an_unknown_extension_is_refused() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.img", 5000, 4, Layout::Full);
    let run = ours(&[&"image", &disk, &scratch.join("o.xyzzy")]).exits(2);
    assert!(run.stderr.contains("--to"), "it does not say what to do: {run}");
    assert_eq!(scratch.names(), ["d.img"]);
    ours(&[&"image", &disk, &scratch.join("o.xyzzy"), &"--to", &"raw"]).ok();
    assert_same(&disk, scratch.join("o.xyzzy"));
}

fn an_empty_image_is_created() {
    let scratch = Scratch::new();
    let (image, evidence, overlay) = (scratch.join("empty.img"), scratch.join("x.E01"), scratch.join("x.img"));
    let json = ours(&[&"create", &image, &"--size", &"3MiB", &"--json"]).ok().json();
    assert_eq!((&json["size"], &json["format"]), (&(3 << 20).into(), &"raw".into()), "{json}");
    assert_eq!(read(&image), vec![0; 3 << 20]);
    ours(&[&"create", &image, &"--size", &"1MiB"]).exits(2);
    assert_eq!(read(&image).len(), 3 << 20);
    ours(&[&"create", &image, &"--size", &"1MiB", &"--force"]).ok();
    assert_eq!(read(&image).len(), 1 << 20);
    // An overlay needs a format that knows backing files; evidence is made of something.
    ours(&[&"create", &overlay, &"--backing", &image]).exits(2);
    ours(&[&"create", &evidence, &"--size", &"1MiB"]).exits(2);
    ours(&[&"create", &overlay]).exits(2);
    assert_eq!(scratch.names(), ["empty.img"]);
}

fn an_existing_target_is_left_alone() {
    for name in ["t.img", "t.E01", "t.gz", "t.zst", "t.001"] {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "d.raw", 70_000, 5, Layout::Full);
        let target = scratch.file(name, b"somebody's work");
        for verb in ["image", "convert"] {
            let run = ours(&[&verb, &disk, &target]).exits(2);
            assert!(run.stderr.contains("--force") && run.stderr.contains(name), "{run}");
            assert_eq!(read(&target), b"somebody's work", "{run}");
            assert_eq!(scratch.names(), ["d.raw", name]);
        }
    }
}

fn force_replaces_the_target() {
    for name in ["t.img", "t.E01", "t.gz", "t.zst", "t.001"] {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "d.raw", 65_536, 6, Layout::Full);
        let target = scratch.file(name, &[7; 200_000]);
        ours(&[&"image", &disk, &target, &"--force"]).ok();
        ours(&[&"compare", &disk, &target]).ok();
    }
}

fn the_source_as_target_is_refused() {
    let scratch = Scratch::new();
    let (disk, bytes) = sample_file(&scratch, "d.img", 70_000, 7, Layout::Full);
    let link = scratch.join("link.img");
    std::os::unix::fs::symlink(&disk, &link).unwrap();
    let hard = scratch.join("hard.img");
    std::fs::hard_link(&disk, &hard).unwrap();
    for target in [&disk, &link, &hard] {
        for force in [&[][..], &["--force"]] {
            for verb in ["image", "convert", "restore", "clone"] {
                let run = ours(&[&verb, &disk, target, &"--yes"]).args(force).run();
                assert_eq!(run.code(), Some(2), "{run}");
                assert_eq!(read(&disk), bytes, "the source was written: {run}");
            }
        }
    }
}

fn a_finished_command_says_so() {
    for name in ["t.img", "t.E01", "t.gz", "t.zst", "t.001"] {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "d.raw", 131_072, 8, Layout::Full);
        let target = scratch.join(name);
        ours(&[&"image", &disk, &target]).ok();
        let before = std::fs::metadata(&target).unwrap().modified().unwrap();
        let names = scratch.names();
        let run = ours(&[&"image", &disk, &target]).run();
        assert_eq!(run.code(), Some(0), "the same command again: {run}");
        assert_eq!(std::fs::metadata(&target).unwrap().modified().unwrap(), before, "it was written again");
        assert_eq!(scratch.names(), names);
        // Other arguments are no repetition.
        ours(&[&"image", &disk, &target, &"--hash", &"sha512"]).exits(2);
        // Neither is another source.
        std::fs::write(&disk, vec![9; 131_072]).unwrap();
        ours(&[&"image", &disk, &target]).exits(2);
    }
}

fn closed_standard_output_is_no_panic() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.img", 3 << 20, 9, Layout::Full);
    let whole: &[&[&dyn AsRef<std::ffi::OsStr>]] = &[
        &[&"--help"],
        &[&"info", &disk, &"--extents"],
        &[&"hash", &disk, &"--json"],
        &[&"devices"],
        &[&"convert", &disk, &"-", &"--to", &"raw"],
    ];
    for words in whole {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let run = ours(words).stdout(writer).run();
        assert!(!run.stderr.contains("panicked") && run.code() != Some(101), "{run}");
    }
    // A copy that did not arrive is not done.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = ours(&[&"convert", &disk, &"-", &"--to", &"raw"]).stdout(writer).run();
    assert_ne!(run.code(), Some(0), "{run}");
}

fn json_has_the_common_fields() {
    let scratch = Scratch::new();
    let (disk, bytes) = sample_file(&scratch, "d.img", 1_000_448, 10, Layout::Full);
    let target = scratch.join("t.E01");
    let json = ours(&[&"image", &disk, &target, &"--json"]).ok().json();
    assert_eq!(json["source"].as_str(), disk.to_str());
    assert_eq!(json["size"], bytes.len());
    assert_eq!(json["bad"], serde_json::json!([]));
    assert!(json["seconds"].is_number(), "{json}");
    for (name, tool_name) in [("md5", "md5sum"), ("sha1", "sha1sum")] {
        let known = tool(tool_name, &[&disk]).ok().out();
        assert_eq!(json["digests"][name].as_str(), known.split_whitespace().next(), "{name} in {json}");
    }
    let total: u64 = json["extents"].as_object().expect("extents").values().map(|v| v.as_u64().unwrap()).sum();
    assert_eq!(total, bytes.len() as u64, "{json}");
    let info = ours(&[&"info", &target, &"--json"]).ok().json();
    assert_eq!((&info["format"], &info["size"]), (&e01_name().into(), &bytes.len().into()), "{info}");
    let hash = ours(&[&"hash", &target, &"--json"]).ok().json();
    let known = tool("sha256sum", &[&disk]).ok().out();
    assert_eq!(hash["digests"]["sha256"].as_str(), known.split_whitespace().next(), "sha256 is the default: {hash}");
    let verify = ours(&[&"verify", &target, &"--json"]).ok().json();
    assert_eq!(verify["size"], bytes.len(), "{verify}");
}

fn json_errors_have_kind_and_path() {
    let scratch = Scratch::new();
    let missing = scratch.join("missing.img");
    let run = ours(&[&"hash", &missing, &"--json"]).run().exited_any(&[2, 3]);
    let json = run.json();
    assert_eq!(json["error"]["kind"], "io", "{json}");
    assert_eq!(json["error"]["path"].as_str(), missing.to_str(), "{json}");
    assert!(json["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{json}");
    let (disk, _) = sample_file(&scratch, "d.img", 5000, 11, Layout::Full);
    let taken = scratch.file("taken.img", b"x");
    let json = ours(&[&"image", &disk, &taken, &"--json"]).exits(2).json();
    assert!(json["error"]["kind"].is_string(), "{json}");
}

fn json_goes_to_a_file_on_request() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.img", 5000, 12, Layout::Full);
    let file = scratch.join("result.json");
    ours(&[&"hash", &disk, &format!("--json={}", file.display())]).ok();
    let json: serde_json::Value = serde_json::from_slice(&read(&file)).unwrap();
    assert_eq!(json["size"], 5000);
}

fn progress_json_is_one_event_a_line() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.img", 8 << 20, 13, Layout::Full);
    let run = ours(&[&"image", &disk, &scratch.join("o.img"), &"--progress", &"json"]).ok();
    assert!(!run.stderr.trim().is_empty(), "no events: {run}");
    for line in run.stderr.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert!(event.is_object(), "{line}");
    }
}

fn nothing_is_drawn_where_there_is_no_terminal() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.img", 4 << 20, 14, Layout::Full);
    let run = ours(&[&"image", &disk, &scratch.join("o.img")]).ok();
    assert!(!run.stderr.contains('\r') && !run.stderr.contains('\u{1b}'), "{run}");
    assert!(!run.out().contains('\u{1b}'), "{run}");
    let run = ours(&[&"image", &disk, &scratch.join("q.img"), &"-q"]).ok();
    assert!(run.stderr.is_empty(), "quiet is not quiet: {run}");
}

fn sizes_take_binary_units() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.img", 5 << 20, 15, Layout::Full);
    ours(&[&"image", &disk, &scratch.join("a.001"), &"--split", &"2MiB"]).ok();
    let lens: Vec<u64> =
        ["a.001", "a.002", "a.003"].map(|n| std::fs::metadata(scratch.join(n)).unwrap().len()).to_vec();
    assert_eq!(lens, [2 << 20, 2 << 20, 1 << 20]);
    assert!(!scratch.join("a.004").exists());
}

fn devices_lists_a_loop_device() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.img", 9 << 20, 16, Layout::Full);
    let device = tintype_tests::LoopDevice::new(&disk, 4096);
    let text = ours(&[&"devices"]).ok().out();
    let name = device.path().to_string_lossy().into_owned();
    let json = ours(&[&"devices", &"--json"]).ok().json();
    // Whether loop devices are shown without being asked for is for people to decide; asked by JSON they are there.
    let list = json["devices"].as_array().unwrap_or_else(|| panic!("no list: {json}"));
    let found = list.iter().find(|d| d["path"].as_str() == Some(&name));
    let found = found.unwrap_or_else(|| panic!("{name} is not in {json} nor, maybe, in {text}"));
    assert_eq!(found["size"], 9 << 20, "{found}");
}

fn info_shows_the_partition_table() {
    let scratch = Scratch::new();
    let disk = scratch.join("d.img");
    std::fs::File::create(&disk).unwrap().set_len(64 << 20).unwrap();
    let script = scratch.file("script", b"label: gpt\nstart=2048, size=20480, name=first\nstart=22528, size=4096\n");
    tool("sfdisk", &[&"-q", &disk]).stdin(std::fs::File::open(&script).unwrap()).ok();
    let json = ours(&[&"info", &disk, &"--json"]).ok().json();
    let known: serde_json::Value = serde_json::from_slice(&tool("sfdisk", &[&"-J", &disk]).ok().stdout).unwrap();
    let text = json.to_string();
    for part in known["partitiontable"]["partitions"].as_array().unwrap() {
        let start = part["start"].as_u64().unwrap() * 512;
        let len = part["size"].as_u64().unwrap() * 512;
        assert!(text.contains(&format!(":{start}")) && text.contains(&format!(":{len}")), "{part} in {json}");
    }
    let table = ours(&[&"info", &disk]).ok().out();
    assert!(table.to_lowercase().contains("gpt"), "{table}");
    // A partition is a source.
    let out = scratch.join("p1.img");
    ours(&[&"convert", &format!("{}#p1", disk.display()), &out]).ok();
    assert_eq!(std::fs::metadata(&out).unwrap().len(), 20480 * 512);

    let script = scratch.file(
        "script",
        b"label: dos\nstart=2048, size=8192, type=83\nstart=10240, size=40960, type=5\nstart=12288, size=4096, type=7\nstart=18432, size=6144, type=c\n",
    );
    let disk = scratch.join("m.img");
    std::fs::File::create(&disk).unwrap().set_len(64 << 20).unwrap();
    tool("sfdisk", &[&"-q", &disk]).stdin(std::fs::File::open(&script).unwrap()).ok();
    let json = ours(&[&"info", &disk, &"--json"]).ok().json().to_string();
    for start in [2048u64, 12288, 18432] {
        assert!(json.contains(&format!(":{}", start * 512)), "the partition at sector {start} is not in {json}");
    }
}

fn info_lists_extents_that_cover_the_image() {
    let scratch = Scratch::new();
    let (disk, bytes) = sample_file(&scratch, "d.img", 3 << 20, 17, Layout::Sparse);
    let json = ours(&[&"info", &disk, &"--extents", &"--json"]).ok().json();
    let total: u64 = json["extents"].as_object().expect("extents").values().map(|v| v.as_u64().unwrap()).sum();
    assert_eq!(total, bytes.len() as u64, "{json}");
}

fn compare_says_where() {
    let scratch = Scratch::new();
    let (a, mut bytes) = sample_file(&scratch, "a.img", 3 << 20, 18, Layout::Full);
    ours(&[&"compare", &a, &a]).ok();
    for i in [5_000usize, 1_234_567, (3 << 20) - 1] {
        bytes[i] ^= 0x40;
    }
    let b = scratch.file("b.img", &bytes);
    let run = ours(&[&"compare", &a, &b, &"--json"]).exits(1);
    let json = run.json();
    let known = tintype_tests::runs_that_differ(&read(&a), &bytes, 1);
    let text = json.to_string();
    for (offset, _) in known {
        let near = [offset, offset / 512 * 512, offset / 4096 * 4096];
        assert!(near.iter().any(|o| text.contains(&format!(":{o}"))), "{offset} is not in {json}");
    }
    // One longer than the other differs too.
    bytes.truncate(1 << 20);
    let c = scratch.file("c.img", &read(&a)[..1 << 20]);
    ours(&[&"compare", &a, &c]).exits(1);
    ours(&[&"compare", &c, &a]).exits(1);
}

fn completions_and_man_pages_come_out() {
    let scratch = Scratch::new();
    let folder = scratch.folder("pages");
    ours(&[&"pages", &folder]).ok();
    for verb in VERBS {
        let page = folder.join(format!("man/tintype-{verb}.1"));
        assert!(page.exists(), "{} is missing", page.display());
    }
    let formats = String::from_utf8(read(folder.join("man/tintype-formats.5"))).unwrap();
    for format in tintype_formats::FORMATS {
        assert!(formats.contains(format.name), "{} has no place in the manual", format.name);
    }
    for (shell, name) in [("bash", "tintype.bash"), ("zsh", "_tintype"), ("fish", "tintype.fish")] {
        let text = String::from_utf8(read(folder.join("completions").join(name))).unwrap();
        assert!(VERBS.iter().all(|v| text.contains(v)), "{shell}: {text}");
    }
    // The shell that is there takes it.
    tool("bash", &[&"-n", &folder.join("completions/tintype.bash")]).ok();
}
