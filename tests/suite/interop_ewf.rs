//! E01 both ways, beside the programs that its users trust.

use std::path::{Path, PathBuf};
use tintype_tests::{Layout, Need::*, Scratch, assert_same, e01_name, ours, python, read, sample_file, tool};

tintype_tests::topic! {
    ours_passes_ewfverify: [Tool("ewfverify"), Tool("ewfexport"), Tool("ewfinfo")],
    no_flipped_bit_passes_here_only: [Tool("ewfverify")],
    ours_in_every_chunk_size: [Tool("ewfverify"), Tool("ewfexport")],
    ours_in_segments: [Tool("ewfverify"), Tool("ewfexport")],
    ours_past_segment_e99: [Tool("ewfverify"), Tool("ewfexport")],
    ours_reads_in_pyewf: [Python("pyewf")],
    ours_reads_in_sleuthkit: [Tool("img_stat"), Tool("mmls"), Tool("fls"), Tool("sfdisk"), Tool("mkfs.ext4"), Tool("debugfs")],
    digests_agree_with_ewfinfo: [Tool("ewfinfo")],
    every_ewfacquire_format: [Tool("ewfacquire")],
    every_ewfacquire_chunk_size: [Tool("ewfacquire")],
    ewfacquire_segments: [Tool("ewfacquire")],
    ewfacquire_digests_and_case: [Tool("ewfacquire"), Tool("ewfinfo")],
    ewfacquire_with_4096_byte_sectors: [Tool("ewfacquire")],
    ewfacquirestream: [Tool("ewfacquirestream")],
}

/// What `ewfexport` makes of an image.
fn exported(scratch: &Scratch, image: &Path, name: &str) -> PathBuf {
    let target = scratch.join(name);
    tool("ewfexport", &[&"-u", &"-q", &"-f", &"raw", &"-o", &"0", &"-S", &"0", &"-l", &"/dev/null", &"-t", &target])
        .arg(image)
        .ok();
    scratch.join(format!("{name}.raw"))
}

fn ours_passes_ewfverify() {
    for compression in ["none", "empty", "fast", "best"] {
        for (digests, words) in [("md5,sha1", &["-d", "sha1"][..]), ("md5", &[]), ("md5,sha1,sha256", &["-d", "sha1"])]
        {
            let scratch = Scratch::new();
            let (disk, bytes) = sample_file(&scratch, "d.raw", 5 << 20, 90, Layout::Full);
            let image = scratch.join("t.E01");
            ours(&[&"image", &disk, &image, &"--compression", &compression, &"--hash", &digests]).ok();
            let said = tool("ewfverify", &[&"-q"]).args(words).arg(&image).ok().out();
            assert!(said.contains("SUCCESS"), "{said}");
            assert_same(&disk, exported(&scratch, &image, "x"));
            let info = tool("ewfinfo", &[&image]).ok().out();
            assert!(info.contains(&format!("({} bytes)", bytes.len())), "{info}");
            assert!(!info.to_lowercase().contains("corrupt"), "{info}");
        }
    }
}

/// Where one byte repeats, many flipped bits leave a stream of the same bytes; what passes has to pass elsewhere too.
fn no_flipped_bit_passes_here_only() {
    let scratch = Scratch::new();
    let (disk, image) = (scratch.join("d.raw"), scratch.join("t.E01"));
    std::fs::write(&disk, vec![7; 32 << 10]).unwrap();
    ours(&[&"image", &disk, &image]).ok();
    let good = read(&image);
    let place = |name: &[u8]| good.windows(name.len()).position(|w| w == name).unwrap();
    let bits = place(b"sectors\0") * 8 + 76 * 8..place(b"table\0") * 8;
    let (mut passed, mut tried) = (0, 0);
    for at in bits.step_by(3) {
        let mut bytes = good.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        std::fs::write(&image, &bytes).unwrap();
        tried += 1;
        if ours(&[&"verify", &image, &"-q"]).run().code() == Some(0) {
            passed += 1;
            let said = tool("ewfverify", &[&"-q", &image]).run();
            assert!(said.code() == Some(0), "bit {at}: {said}");
        }
    }
    assert!(passed < tried / 2, "{passed} of {tried} flipped bits passed");
}

fn ours_in_every_chunk_size() {
    for chunk in ["16KiB", "32KiB", "64KiB", "128KiB", "256KiB", "512KiB", "1MiB"] {
        // A length that ends inside a chunk, and one that does not.
        for len in [3 << 20, (3 << 20) + 512] {
            let scratch = Scratch::new();
            let (disk, _) = sample_file(&scratch, "d.raw", len, 91, Layout::Full);
            let image = scratch.join("t.E01");
            ours(&[&"image", &disk, &image, &"--option", &format!("chunk={chunk}")]).ok();
            tool("ewfverify", &[&"-q", &"-d", &"sha1", &image]).ok();
            assert_same(&disk, exported(&scratch, &image, "x"));
            ours(&[&"verify", &image]).ok();
        }
    }
}

fn ours_in_segments() {
    let scratch = Scratch::new();
    let disk = scratch.file("d.raw", &tintype_core::testing::Model::noise(9 << 20, 92).bytes);
    let image = scratch.join("t.E01");
    ours(&[&"image", &disk, &image, &"--split", &"1MiB"]).ok();
    let segments: Vec<_> = scratch.names().into_iter().filter(|n| n.starts_with("t.E")).collect();
    assert!(segments.len() >= 9, "{segments:?}");
    for name in &segments {
        assert!(std::fs::metadata(scratch.join(name)).unwrap().len() <= 1 << 20, "{name} is too long");
    }
    tool("ewfverify", &[&"-q", &"-d", &"sha1", &image]).ok();
    assert_same(&disk, exported(&scratch, &image, "x"));
    ours(&[&"verify", &image]).ok();
}

fn ours_past_segment_e99() {
    let scratch = Scratch::new();
    let disk = scratch.file("d.raw", &tintype_core::testing::Model::noise(126 << 20, 93).bytes);
    let image = scratch.join("t.E01");
    ours(&[&"image", &disk, &image, &"--split", &"1MiB"]).ok();
    let names = scratch.names();
    for name in ["t.E99", "t.EAA", "t.EAB", "t.EAZ", "t.EBA"] {
        assert!(names.iter().any(|n| n == name), "{name} is not in {names:?}");
    }
    tool("ewfverify", &[&"-q", &"-d", &"sha1", &image]).ok();
    assert_same(&disk, exported(&scratch, &image, "x"));
    ours(&[&"verify", &image]).ok();
}

fn ours_reads_in_pyewf() {
    let scratch = Scratch::new();
    let (disk, bytes) = sample_file(&scratch, "d.raw", 5 << 20, 94, Layout::Full);
    let image = scratch.join("t.E01");
    ours(&[&"image", &disk, &image, &"--case", &"pyewf-case", &"--split", &"1MiB", &"--compression", &"none"]).ok();
    let script = "import pyewf, sys, hashlib\n\
                  h = pyewf.handle(); h.open(pyewf.glob(sys.argv[1]))\n\
                  d = hashlib.sha256()\n\
                  n = 0\n\
                  while n < h.get_media_size():\n\
                  \x20   b = h.read(1 << 20)\n\
                  \x20   d.update(b); n += len(b)\n\
                  print(n, d.hexdigest(), h.get_hash_value('MD5'), h.get_header_value('case_number'))\n\
                  h.seek(1234567); print(h.read(100).hex())\n";
    let out = tool(&python().to_string_lossy(), &[&"-c", &script, &image]).ok().out();
    let known = |program: &str| tool(program, &[&disk]).ok().out().split_whitespace().next().unwrap().to_owned();
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(words[..4], [&bytes.len().to_string(), &known("sha256sum"), &known("md5sum"), "pyewf-case"]);
    let hex: String = bytes[1_234_567..1_234_667].iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(words[4], hex);
}

fn ours_reads_in_sleuthkit() {
    let scratch = Scratch::new();
    let part = scratch.join("part");
    std::fs::File::create(&part).unwrap().set_len(16 << 20).unwrap();
    let folder = scratch.folder("tree");
    std::fs::write(folder.join("evidence.txt"), b"found it").unwrap();
    tool("mkfs.ext4", &[&"-q", &"-F", &"-d", &folder, &part]).ok();
    let disk = scratch.join("d.raw");
    std::fs::File::create(&disk).unwrap().set_len(20 << 20).unwrap();
    let script = scratch.file("script", b"label: dos\nstart=2048, size=32768, type=83\n");
    tool("sfdisk", &[&"-q", &disk]).stdin(std::fs::File::open(&script).unwrap()).ok();
    let file = std::fs::OpenOptions::new().write(true).open(&disk).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &read(&part), 1 << 20).unwrap();
    drop(file);

    let image = scratch.join("t.E01");
    ours(&[&"image", &disk, &image]).ok();
    let stat = tool("img_stat", &[&image]).ok().out();
    assert!(stat.contains("ewf") && stat.contains(&(20u64 << 20).to_string()), "{stat}");
    let known = tool("md5sum", &[&disk]).ok().out();
    assert!(stat.contains(known.split_whitespace().next().unwrap()), "{stat}");
    let table = tool("mmls", &[&image]).ok().out();
    assert!(table.contains("0000002048"), "{table}");
    let list = tool("fls", &[&"-o", &"2048", &image]).ok().out();
    assert!(list.contains("evidence.txt"), "{list}");
}

fn digests_agree_with_ewfinfo() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 2 << 20, 95, Layout::Full);
    let image = scratch.join("t.E01");
    let json = ours(&[&"image", &disk, &image, &"--json"]).ok().json();
    let info = tool("ewfinfo", &[&image]).ok().out();
    for (name, label) in [("md5", "MD5"), ("sha1", "SHA1")] {
        let line =
            info.lines().find(|l| l.trim_start().starts_with(label)).unwrap_or_else(|| panic!("{label}: {info}"));
        assert!(line.trim_end().ends_with(json["digests"][name].as_str().unwrap()), "{line}");
    }
}

/// Acquires `disk` as other people do, and returns the first segment.
fn acquired(scratch: &Scratch, disk: &Path, name: &str, words: &[&str]) -> PathBuf {
    let target = scratch.join(name);
    tool("ewfacquire", &[&"-u", &"-q", &"-l", &"/dev/null", &"-t", &target]).args(words).arg(disk).ok();
    first_segment(scratch, name)
}

fn first_segment(scratch: &Scratch, name: &str) -> PathBuf {
    let names = scratch.names();
    let first = names.iter().find(|n| {
        let ending = n.strip_prefix(name).unwrap_or_default().to_ascii_lowercase();
        [".e01", ".s01", ".l01", ".ex01"].contains(&&*ending)
    });
    scratch.join(first.unwrap_or_else(|| panic!("no first segment in {names:?}")))
}

/// Reads somebody else's image in every way we have.
fn reads(scratch: &Scratch, image: &Path, disk: &Path) {
    let size = std::fs::metadata(disk).unwrap().len();
    let json = ours(&[&"info", &image, &"--json"]).ok().json();
    assert_eq!((&json["format"], &json["size"]), (&e01_name().into(), &size.into()), "{json}");
    ours(&[&"verify", &image]).ok();
    let out = scratch.join("out.raw");
    ours(&[&"convert", &image, &out, &"-q"]).ok();
    assert_same(disk, &out);
    std::fs::remove_file(out).unwrap();
}

const FORMATS: [&str; 13] = [
    "ewf", "smart", "ftk", "encase2", "encase3", "encase4", "encase5", "encase6", "encase7", "linen5", "linen6",
    "linen7", "ewfx",
];

fn every_ewfacquire_format() {
    for format in FORMATS {
        for compression in ["none", "empty-block", "fast", "best"] {
            let scratch = Scratch::new();
            let (disk, _) = sample_file(&scratch, "d.raw", (2 << 20) + 1536, 96, Layout::Full);
            let image = acquired(&scratch, &disk, "t", &["-f", format, "-c", compression]);
            reads(&scratch, &image, &disk);
        }
    }
}

fn every_ewfacquire_chunk_size() {
    for sectors in ["16", "32", "64", "128", "1024", "8192", "32768"] {
        let scratch = Scratch::new();
        let (disk, _) = sample_file(&scratch, "d.raw", (17 << 20) + 512, 97, Layout::Full);
        let image = acquired(&scratch, &disk, "t", &["-b", sectors, "-c", "fast"]);
        reads(&scratch, &image, &disk);
    }
}

fn ewfacquire_segments() {
    for format in ["encase6", "smart", "ftk", "ewfx"] {
        let scratch = Scratch::new();
        let disk = scratch.file("d.raw", &tintype_core::testing::Model::noise(5 << 20, 98).bytes);
        let image = acquired(&scratch, &disk, "t", &["-f", format, "-S", "1MiB"]);
        assert!(scratch.names().len() > 4, "{:?}", scratch.names());
        reads(&scratch, &image, &disk);
    }
}

fn ewfacquire_digests_and_case() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 1 << 20, 99, Layout::Full);
    let words = ["-d", "sha1", "-C", "case 7", "-D", "a disk", "-e", "someone", "-E", "ev-1", "-N", "no notes"];
    let image = acquired(&scratch, &disk, "t", &words);
    let json = ours(&[&"info", &image, &"--json"]).ok().json().to_string();
    for word in ["case 7", "a disk", "someone", "ev-1", "no notes"] {
        assert!(json.contains(word), "{word} is not in {json}");
    }
    for program in ["md5sum", "sha1sum"] {
        let known = tool(program, &[&disk]).ok().out();
        assert!(json.contains(known.split_whitespace().next().unwrap()), "{program}: {json}");
    }
    // A stored digest that does not match is found.
    ours(&[&"verify", &image]).ok();
}

fn ewfacquire_with_4096_byte_sectors() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 4 << 20, 100, Layout::Full);
    let image = acquired(&scratch, &disk, "t", &["-P", "4096"]);
    reads(&scratch, &image, &disk);
}

fn ewfacquirestream() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.raw", 3 << 20, 101, Layout::Full);
    tool("ewfacquirestream", &[&"-q", &"-l", &"/dev/null", &"-t", &scratch.join("t")])
        .stdin(std::fs::File::open(&disk).unwrap())
        .ok();
    reads(&scratch, &first_segment(&scratch, "t"), &disk);
}
