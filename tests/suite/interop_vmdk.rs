//! VMDK, beside qemu and libvmdk.

use serde_json::Value;
use std::path::Path;
use tintype_tests::{Layout, Need::*, Scratch, assert_same, ours, python, read, sample_file, tool};

tintype_tests::topic! {
    every_kind_of_qemu_is_read: [Tool("qemu-img")],
    every_kind_of_ours_is_read_by_qemu: [Tool("qemu-img")],
    every_kind_of_ours_is_read_by_libvmdk: [Python("pyvmdk")],
    extents_are_those_of_qemu: [Tool("qemu-img")],
    deltas_of_qemu_are_read: [Tool("qemu-img"), Tool("qemu-io")],
    deltas_of_ours_are_read_by_qemu: [Tool("qemu-img"), Tool("qemu-io")],
    ours_can_be_written_to_by_qemu: [Tool("qemu-img"), Tool("qemu-io")],
    a_stream_goes_through_a_pipe: [Tool("qemu-img")],
    a_damaged_directory_is_told: [Tool("qemu-img")],
    what_cannot_be_is_refused: [],
    sixteen_tebibytes_take_seconds: [Tool("qemu-io")],
}

const KINDS: [&str; 5] =
    ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"];

/// Not a multiple of a grain, and one that is less than a grain.
const LENGTHS: [usize; 3] = [(5 << 20) + 1536, 40 * 65536, 1024];

fn folder(scratch: &Scratch, name: &str) -> std::path::PathBuf {
    let folder = scratch.join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    folder.join("a b.vmdk")
}

fn every_kind_of_qemu_is_read() {
    let scratch = Scratch::new();
    for (i, len) in LENGTHS.into_iter().enumerate() {
        let (disk, _) = sample_file(&scratch, "disk", len, 300 + i as u64, Layout::Sparse);
        for kind in KINDS {
            for more in ["", ",adapter_type=lsilogic", ",hwversion=13", ",compat6=on", ",zeroed_grain=on"] {
                if more.contains("zeroed") && kind.contains("Flat") {
                    continue;
                }
                let image = folder(&scratch, "q");
                let options = format!("subformat={kind}{more}");
                tool("qemu-img", &[&"convert", &"-f", &"raw", &"-O", &"vmdk", &"-o", &options, &disk, &image]).ok();
                let json = ours(&[&"info", &image, &"--json"]).ok().json();
                assert_eq!((&json["format"], &json["variant"]), (&"vmdk".into(), &kind.into()), "{json}");
                let back = scratch.join("back");
                ours(&[&"convert", &image, &back, &"--to", &"raw", &"-q", &"--force"]).ok();
                assert_same(&disk, &back);
                ours(&[&"verify", &image, &"--against", &disk]).ok();
            }
        }
    }
}

/// Every kind of ours over options, given to `each` with the bytes it has to hold.
fn of_ours(each: impl Fn(&str, &Path, &Path)) {
    let scratch = Scratch::new();
    // One that no sector divides, too: others see it with zeros up to the next.
    for (i, len) in LENGTHS.into_iter().chain([70_001]).enumerate() {
        let (disk, _) = sample_file(&scratch, "disk", len, 310 + i as u64, Layout::Full);
        for kind in KINDS {
            for more in ["adapter_type=buslogic", "hwversion=11", "zeroed_grain=on"] {
                if more.contains("zeroed") && (kind.contains("Flat") || kind.contains("stream")) {
                    continue;
                }
                let image = folder(&scratch, "o");
                let kind_word = format!("subformat={kind}");
                ours(&[&"convert", &disk, &image, &"--option", &kind_word, &"--option", &more, &"-q"]).ok();
                each(kind, &image, &disk);
                ours(&[&"compare", &image, &disk]).ok();
            }
        }
    }
}

fn every_kind_of_ours_is_read_by_qemu() {
    of_ours(|kind, image, disk| {
        tool("qemu-img", &[&"compare", &"-F", &"raw", &"-f", &"vmdk", &image, &disk]).ok();
        let json = tool("qemu-img", &[&"info", &"--output=json", &image]).ok().json();
        assert_eq!(json["format-specific"]["data"]["create-type"], kind, "{json}");
        if !kind.contains("Flat") {
            let json = tool("qemu-img", &[&"check", &"--output=json", &image]).ok().json();
            assert_eq!(json["check-errors"], 0, "{json}");
        }
    });
}

fn every_kind_of_ours_is_read_by_libvmdk() {
    const SCRIPT: &str = "import pyvmdk, sys
h = pyvmdk.handle(); h.open(sys.argv[1]); h.open_extent_data_files()
data = h.read_buffer_at_offset(h.get_media_size(), 0)
want = open(sys.argv[2], 'rb').read()
assert data[:len(want)] == want and len(data) - len(want) < 512 and not any(data[len(want):]), 'the bytes differ'
h.close()";
    of_ours(|_, image, disk| {
        tool(&python().to_string_lossy(), &[&"-c", &SCRIPT, &image, &disk]).ok();
    });
}

/// Offset and length of each.
type Ranges = Vec<(u64, u64)>;

/// The ranges that hold data, as ours tells it and as qemu does.
fn data_ranges(image: &Path) -> (Ranges, Ranges) {
    let number = |v: &Value| v.as_u64().unwrap();
    let mut own = Ranges::new();
    let json = ours(&[&"info", &image, &"--extents", &"--json"]).ok().json();
    for e in json["extent_list"].as_array().unwrap().iter().filter(|e| e["state"] == "data") {
        join(&mut own, number(&e["offset"]), number(&e["len"]));
    }
    let mut theirs = Ranges::new();
    let json = tool("qemu-img", &[&"map", &"--output=json", &image]).ok().json();
    for e in json.as_array().unwrap().iter().filter(|e| e["data"] == true && e["zero"] == false) {
        join(&mut theirs, number(&e["start"]), number(&e["length"]));
    }
    (own, theirs)
}

fn join(list: &mut Ranges, start: u64, len: u64) {
    match list.last_mut() {
        Some((from, before)) if *from + *before == start => *before += len,
        _ => list.push((start, len)),
    }
}

fn extents_are_those_of_qemu() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk", (80 << 20) + 512, 320, Layout::Sparse);
    for kind in KINDS {
        let image = folder(&scratch, "q");
        let options = format!("subformat={kind}");
        tool("qemu-img", &[&"convert", &"-f", &"raw", &"-O", &"vmdk", &"-o", &options, &disk, &image]).ok();
        let (own, theirs) = data_ranges(&image);
        assert_eq!(own, theirs, "{kind} of qemu");
        let image = folder(&scratch, "o");
        ours(&[&"convert", &disk, &image, &"--option", &options, &"-q"]).ok();
        let (own, theirs) = data_ranges(&image);
        assert_eq!(own, theirs, "{kind} of ours");
    }
}

fn deltas_of_qemu_are_read() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk", (3 << 20) + 512, 330, Layout::Full);
    let (base, middle, top) = (scratch.join("base.vmdk"), scratch.join("middle.vmdk"), scratch.join("top.vmdk"));
    tool("qemu-img", &[&"convert", &"-f", &"raw", &"-O", &"vmdk", &disk, &base]).ok();
    let create = |on: &str, new: &Path, size: &str| {
        let run = tool("qemu-img", &[&"create", &"-q", &"-f", &"vmdk", &"-F", &"vmdk", &"-b", &on, &new, &size]);
        run.folder(scratch.path()).ok();
    };
    create("base.vmdk", &middle, "3146240");
    tool("qemu-io", &[&"-f", &"vmdk", &"-c", &"write -P 7 70000 100000", &"-c", &"write -z 1M 512k", &middle]).ok();
    // Larger than what it stands on.
    create("middle.vmdk", &top, "5M");
    tool("qemu-io", &[&"-f", &"vmdk", &"-c", &"write -P 9 3100000 70000", &"-c", &"write -P 1 4M 64k", &top]).ok();
    let (back, theirs) = (scratch.join("back"), scratch.join("theirs"));
    for image in [&middle, &top] {
        ours(&[&"convert", image, &back, &"--to", &"raw", &"-q", &"--force"]).ok();
        tool("qemu-img", &[&"convert", &"-O", &"raw", image, &theirs]).ok();
        assert_same(&theirs, &back);
    }
    let json = ours(&[&"info", &top, &"--json"]).ok().json();
    let chain: Vec<_> = json["chain"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect();
    assert_eq!(chain, ["middle.vmdk", "base.vmdk"], "{json}");

    // A path of Windows names the file beside; one that is not there is told.
    let mut bytes = read(&middle);
    let hint = b"parentFileNameHint=\"base.vmdk\"";
    let at = bytes.windows(hint.len()).position(|w| w == hint).unwrap();
    let mut text = bytes[at..at + 2000].to_vec();
    let long = br#"parentFileNameHint="D:\vm\base.vmdk""#;
    text.splice(..hint.len(), long.iter().copied());
    text.truncate(2000);
    bytes[at..at + 2000].copy_from_slice(&text);
    let moved = scratch.file("moved.vmdk", &bytes);
    ours(&[&"compare", &moved, &middle]).ok();

    // A parent that was written to since is no parent any more; qemu does not read it either.
    tool("qemu-io", &[&"-f", &"vmdk", &"-c", &"write -P 3 0 512", &base]).ok();
    let run = ours(&[&"convert", &middle, &scratch.join("no"), &"--to", &"raw"]).exits(3);
    assert!(run.stderr.contains("content identifier"), "{run}");
    std::fs::remove_file(&base).unwrap();
    let run = ours(&[&"info", &top]).exits(3);
    assert!(run.stderr.contains("base.vmdk"), "{run}");
}

fn deltas_of_ours_are_read_by_qemu() {
    let scratch = Scratch::new();
    let (disk, mut bytes) = sample_file(&scratch, "disk", (6 << 20) + 512, 340, Layout::Full);
    let base = scratch.join("base.vmdk");
    ours(&[&"convert", &disk, &base, &"-q"]).ok();
    bytes[100_000..170_000].fill(0x55);
    bytes[1 << 20..2 << 20].fill(0);
    bytes[(6 << 20) - 10..].fill(1);
    let changed = scratch.file("changed", &bytes);
    for more in ["subformat=monolithicSparse", "subformat=twoGbMaxExtentSparse", "zeroed_grain=on"] {
        let top = scratch.join("top.vmdk");
        for old in scratch.names().iter().filter(|n| n.starts_with("top")) {
            std::fs::remove_file(scratch.join(old)).unwrap();
        }
        ours(&[&"convert", &changed, &top, &"--backing", &base, &"--option", &more, &"-q"]).ok();
        tool("qemu-img", &[&"compare", &"-F", &"raw", &"-f", &"vmdk", &top, &changed]).ok();
        ours(&[&"compare", &top, &changed]).ok();
        let json = tool("qemu-img", &[&"info", &"--output=json", &top]).ok().json();
        assert_eq!(json["backing-filename"], "base.vmdk", "{json}");
        // Two grains hold the first change, one the last; the zeros are sixteen, or none.
        let stored: u64 = scratch
            .names()
            .iter()
            .filter(|n| n.starts_with("top"))
            .map(|n| std::fs::metadata(scratch.join(n)).unwrap().len())
            .sum();
        let most = if more.contains("zeroed") { 4 } else { 20 };
        assert!(stored <= (most + 1) * 65536 + 2048, "{more}: {stored} bytes");
    }
    // Put on nothing again.
    let flat = scratch.join("flat.vmdk");
    ours(&[&"convert", &scratch.join("top.vmdk"), &flat, &"-q"]).ok();
    tool("qemu-img", &[&"compare", &"-F", &"raw", &"-f", &"vmdk", &flat, &changed]).ok();
    // An empty one holds what it stands on, and qemu can go on with it.
    let empty = scratch.join("empty.vmdk");
    ours(&[&"create", &empty, &"--backing", &base, &"-q"]).ok();
    ours(&[&"compare", &empty, &disk]).ok();
    tool("qemu-io", &[&"-f", &"vmdk", &"-c", &"write -P 1 1000000 5000", &empty]).ok();
    tool("qemu-io", &[&"-f", &"vmdk", &"-c", &"read -P 1 1000000 5000", &empty]).ok();
    let theirs = scratch.join("theirs");
    tool("qemu-img", &[&"convert", &"-O", &"raw", &empty, &theirs]).ok();
    ours(&[&"compare", &empty, &theirs]).ok();
}

fn ours_can_be_written_to_by_qemu() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk", 40 << 20, 350, Layout::Sparse);
    for kind in ["monolithicSparse", "twoGbMaxExtentSparse", "monolithicFlat", "twoGbMaxExtentFlat"] {
        let image = folder(&scratch, "o");
        ours(&[&"convert", &disk, &image, &"--option", &format!("subformat={kind}"), &"-q"]).ok();
        let commands = ["write -P 7 100 1000000", "write -P 8 39M 1M", "read -P 7 100 1000000", "read -P 8 39M 1M"];
        let [a, b, c, d] = commands;
        tool("qemu-io", &[&"-f", &"vmdk", &"-c", &a, &"-c", &b, &"-c", &c, &"-c", &d, &image]).ok();
        let theirs = scratch.join("theirs");
        tool("qemu-img", &[&"convert", &"-O", &"raw", &image, &theirs]).ok();
        ours(&[&"verify", &image, &"--against", &theirs]).ok();
    }
}

fn a_stream_goes_through_a_pipe() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk", (3 << 20) + 512, 360, Layout::Full);
    let words: &[&dyn AsRef<std::ffi::OsStr>] =
        &[&"convert", &disk, &"-", &"--to", &"vmdk", &"--option", &"subformat=streamOptimized", &"-q"];
    let run = ours(words).ok();
    let image = scratch.file("piped.vmdk", &run.stdout);
    tool("qemu-img", &[&"compare", &"-F", &"raw", &"-f", &"vmdk", &image, &disk]).ok();
    let run = ours(&[&"convert", &disk, &"-", &"--to", &"vmdk", &"-q"]).exits(2);
    assert!(run.stderr.contains("streamOptimized"), "{run}");
}

fn a_damaged_directory_is_told() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk", 80 << 20, 370, Layout::Full);
    let image = scratch.join("q.vmdk");
    tool("qemu-img", &[&"convert", &"-f", &"raw", &"-O", &"vmdk", &disk, &image]).ok();
    let good = read(&image);
    let at = u64::from_le_bytes(*good[56..].first_chunk().unwrap()) as usize * 512;
    for (what, entry) in [("beyond the end", 0x7fff_ffffu32), ("forgotten", 0)] {
        let mut bytes = good.clone();
        bytes[at + 4..at + 8].copy_from_slice(&entry.to_le_bytes());
        let image = scratch.file("damaged.vmdk", &bytes);
        let back = scratch.join("back");
        let run = ours(&[&"convert", &image, &back, &"--to", &"raw", &"--force"]).ok();
        assert!(run.stderr.contains("its copy is used"), "{what}: {run}");
        assert_same(&disk, &back);
        ours(&[&"verify", &image, &"--against", &disk]).exits(1);
    }
    // A table that says something else than its copy.
    let mut bytes = good.clone();
    let table = u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize * 512;
    let first = (0..512).find(|i| bytes[table + i * 4..table + i * 4 + 4] != [0; 4]).unwrap();
    bytes[table + first * 4..table + first * 4 + 4].fill(0);
    let image = scratch.file("damaged.vmdk", &bytes);
    let run = ours(&[&"verify", &image, &"--against", &disk]).exits(1);
    assert!(run.out().contains("copy") || run.stderr.contains("copy"), "{run}");
}

fn what_cannot_be_is_refused() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk", 1 << 20, 380, Layout::Full);
    let image = scratch.join("x.vmdk");
    for words in [
        ["--option", "subformat=nosuch"],
        ["--option", "hwversion=x"],
        ["--option", "zeroed_grain=maybe"],
        ["--option", "adapter_type=nosuch"],
        ["--compression", "zlib:99"],
    ] {
        ours(&[&"convert", &disk, &image, &words[0], &words[1]]).exits(2);
        assert_eq!(scratch.names(), ["disk"], "{words:?}");
    }
    for kind in ["monolithicFlat", "streamOptimized"] {
        let word = format!("subformat={kind}");
        let base = scratch.join("base.vmdk");
        ours(&[&"convert", &disk, &base, &"-q", &"--force"]).ok();
        ours(&[&"convert", &disk, &image, &"--option", &word, &"--backing", &base]).exits(2);
        ours(&[&"convert", &disk, &image, &"--backing", &disk]).exits(2);
    }
    // One extent of several is no disk.
    let kind = "subformat=twoGbMaxExtentSparse";
    ours(&[&"convert", &disk, &image, &"--option", &kind, &"-q"]).ok();
    let run = ours(&[&"info", &scratch.join("x-s001.vmdk")]).exits(3);
    assert!(run.stderr.contains("descriptor"), "{run}");
    // A descriptor reaches no further than its folder.
    let text = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\
                RW 2 FLAT \"/etc/hostname\" 0\n";
    let run = ours(&[&"info", &scratch.file("evil.vmdk", text.as_bytes())]).run().exited_any(&[2, 3]);
    assert!(run.stderr.contains("--allow-outside"), "{run}");
}

fn sixteen_tebibytes_take_seconds() {
    let scratch = Scratch::new();
    let base = scratch.join("big.vmdk");
    let began = std::time::Instant::now();
    ours(&[&"create", &base, &"--size", &"16TiB", &"-q"]).ok();
    let writes = ["write -P 1 0 64k", "write -P 2 2199023255000 70000", "write -P 3 17592186040320 4096"];
    let [a, b, c] = writes;
    tool("qemu-io", &[&"-f", &"vmdk", &"-c", &a, &"-c", &b, &"-c", &c, &base]).ok();
    let packed = scratch.join("packed.vmdk");
    let run =
        ours(&[&"convert", &base, &packed, &"--option", &"subformat=streamOptimized", &"-q", &"--hash", &"none"]).ok();
    assert!(run.peak < 256 << 20, "{} MiB", run.peak >> 20);
    let again = scratch.join("again.vmdk");
    ours(&[&"convert", &packed, &again, &"-q", &"--hash", &"none"]).ok();
    ours(&[&"compare", &base, &again]).ok();
    let [a, b, c] = writes.map(|w| w.replace("write", "read"));
    tool("qemu-io", &[&"-f", &"vmdk", &"-c", &a, &"-c", &b, &"-c", &c, &packed]).ok();
    tool("qemu-io", &[&"-f", &"vmdk", &"-c", &a, &"-c", &b, &"-c", &c, &again]).ok();
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
}
