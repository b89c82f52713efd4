//! QCOW version 1, read beside QEMU's own programs and libqcow.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tintype_core::testing::{MemoryOutlet, Model, Sweep};
use tintype_core::{Extent, Secrets, State};
use tintype_tests::qemu::{Verdict, assert_zeros_agree, our_verdict, qemu_img, qemu_io};
use tintype_tests::{Layout, Need::*, Scratch, assert_same, ours, python, read, sample, sample_file, tool};

tintype_tests::topic! {
    every_image_qemu_makes: [Tool("qemu-img")],
    encrypted_images: [Tool("qemu-img")],
    chains_qemu_makes: [Tool("qemu-img"), Tool("qemu-io")],
    libqcow_reads_the_same: [Tool("qemu-img"), Python("pyqcow")],
    hostile_headers_are_refused_by_name: [Tool("qemu-img")],
    damage_ends_in_an_error_or_in_what_was_there: [Tool("qemu-img")],
}

/// Whole clusters, a part of one, and more than an L2 table.
const SIZES: [usize; 4] = [1 << 20, 12_345 * 512, 512, (3 << 20) + 1536];

/// Plain and compressed; QEMU compresses no part of a cluster.
fn ways(len: usize) -> &'static [&'static [&'static str]] {
    if len.is_multiple_of(4096) { &[&[], &["-c"]] } else { &[&[]] }
}

fn make(raw: &Path, image: &Path, words: &[&str]) {
    let _ = std::fs::remove_file(image);
    let run =
        tool("qemu-img", &[&"convert", &"-q", &"-f", &"raw", &"-O", &"qcow"]).args(words).arg(raw).arg(image).run();
    if words == ["-c"] {
        // It fails without a word after the last cluster (7.2): what it wrote is all there, it says itself.
        qemu_img(&[&"compare", &"-q", &"-f", &"raw", &"-F", &"qcow", &raw, &image]);
    } else {
        assert_eq!(run.code(), Some(0), "{run}");
    }
}

fn decoded(scratch: &Scratch, image: &Path, words: &[&str]) -> PathBuf {
    let out = scratch.join("ours.raw");
    ours(&[&"convert", &image, &out, &"--to", &"raw", &"--hash", &"none", &"-q", &"--force"]).args(words).ok();
    out
}

fn every_image_qemu_makes() {
    for len in SIZES {
        for words in ways(len) {
            for layout in [Layout::Full, Layout::Sparse] {
                let scratch = Scratch::new();
                let (raw, bytes) = sample_file(&scratch, "disk.raw", len, len as u64, layout);
                let image = scratch.join("d.qcow");
                make(&raw, &image, words);
                assert_same(&raw, decoded(&scratch, &image, &[]));
                assert_zeros_agree("qcow", &image, &bytes);
                ours(&[&"verify", &image, &"--against", &raw]).ok();
                let (verdict, json) = our_verdict(&image);
                assert_eq!((verdict, &json["findings"]), (Verdict::Good, &serde_json::json!([])), "{len} {words:?}");
                let info = ours(&[&"info", &image, &"--json"]).ok().json();
                let theirs = tool("qemu-img", &[&"info", &"--output=json", &image]).ok().json();
                assert_eq!((&info["format"], &info["size"]), (&"qcow".into(), &theirs["virtual-size"]));
                assert_eq!(info["facts"]["cluster_size"], theirs["cluster-size"].to_string());
            }
        }
    }
}

/// The words that have QEMU make and read images with the passphrase `secret`.
const SECRET: [&str; 2] = ["--object", "secret,id=s,data=secret"];

fn encrypted(raw: &Path, image: &Path) {
    make(raw, image, &[&SECRET[..], &["-o", "encrypt.format=aes,encrypt.key-secret=s"]].concat());
}

fn encrypted_images() {
    for len in SIZES {
        let scratch = Scratch::new();
        let (raw, _) = sample_file(&scratch, "disk.raw", len, len as u64, Layout::Sparse);
        let (image, back) = (scratch.join("d.qcow"), scratch.join("theirs.raw"));
        encrypted(&raw, &image);
        let option = format!("driver=qcow,file.filename={},encrypt.format=aes,encrypt.key-secret=s", image.display());
        let words: [&dyn AsRef<OsStr>; 8] =
            [&"convert", &SECRET[0], &SECRET[1], &"--image-opts", &option, &"-O", &"raw", &back];
        qemu_img(&words);
        assert_same(&raw, &back);
        let (right, wrong) = (scratch.file("right", b"secret"), scratch.file("wrong", b"another"));
        let word = |path: &Path| path.to_str().unwrap().to_owned();
        assert_same(&raw, decoded(&scratch, &image, &["--passphrase-file", &word(&right)]));
        // Nothing tells a wrong passphrase from the right one.
        if len > 512 {
            assert_ne!(read(&raw), read(decoded(&scratch, &image, &["--passphrase-file", &word(&wrong)])));
        }
        let run = ours(&[&"convert", &image, &scratch.join("x.raw"), &"-q"]).exits(2);
        assert!(run.stderr.contains("--passphrase-file"), "{run}");
        let info = ours(&[&"info", &image, &"--json", &"--passphrase-file", &right]).ok().json();
        assert_eq!(info["facts"]["encryption"], "aes");
    }
}

fn chains_qemu_makes() {
    for below in ["raw", "qcow", "qcow2"] {
        let scratch = Scratch::new();
        let (raw, _) = sample_file(&scratch, "disk.raw", (2 << 20) + 512, 31, Layout::Full);
        let base = scratch.join(format!("base.{below}"));
        qemu_img(&[&"convert", &"-f", &"raw", &"-O", &below, &raw, &base]);
        let image = scratch.join("top.qcow");
        qemu_img(&[&"create", &"-q", &"-f", &"qcow", &"-b", &base, &"-F", &below, &image, &"3000k"]);
        qemu_io("qcow", &image, &["write -P 0x5a 65000 70000", "write -z 1M 300k", "write -P 7 2900k 3k"]);
        let back = scratch.join("theirs.raw");
        qemu_img(&[&"convert", &"-f", &"qcow", &"-O", &"raw", &image, &back]);
        assert_same(&back, decoded(&scratch, &image, &[]));
        assert_zeros_agree("qcow", &image, &read(&back));
        assert_eq!(our_verdict(&image).0, Verdict::Good);
        let info = ours(&[&"info", &image, &"--json"]).ok().json();
        assert_eq!(info["chain"][0]["format"], below);
    }
}

/// Reads all of an image with libqcow.
const LIBQCOW: &str = "import pyqcow, sys\n\
    f = pyqcow.file()\n\
    if sys.argv[3:]: f.set_password(sys.argv[3])\n\
    f.open(sys.argv[1])\n\
    n = f.get_media_size(); out = open(sys.argv[2], 'wb')\n\
    while n:\n  b = f.read_buffer(min(n, 1 << 20)); out.write(b); n -= len(b)\n";

fn libqcow_reads_the_same() {
    let read_by_both = |scratch: &Scratch, image: &Path, raw: &Path, how: &str| {
        let theirs = scratch.join("theirs.raw");
        tool(python().to_str().unwrap(), &[&"-c", &LIBQCOW, &image, &theirs]).ok();
        assert!(read(&theirs) == read(raw), "libqcow: {how}");
        assert_same(&theirs, decoded(scratch, image, &[]));
    };
    for len in [1 << 20, 12_345 * 512] {
        let scratch = Scratch::new();
        let (raw, _) = sample_file(&scratch, "disk.raw", len, len as u64, Layout::Sparse);
        for words in ways(len) {
            let image = scratch.join("d.qcow");
            make(&raw, &image, words);
            read_by_both(&scratch, &image, &raw, &format!("version 1 {words:?}"));
        }
        // Of compressed clusters of version 2 it reads other bytes (20260703), also of those that QEMU made.
        for options in ["cluster_size=64KiB", "cluster_size=4KiB", "compat=v2"] {
            let image = scratch.join("d.qcow2");
            ours(&[&"convert", &raw, &image, &"--option", &options, &"--hash", &"none", &"-q", &"--force"]).ok();
            read_by_both(&scratch, &image, &raw, &format!("ours, {options}"));
        }
    }
}

fn hostile_headers_are_refused_by_name() {
    let scratch = Scratch::new();
    let image = scratch.join("d.qcow");
    qemu_img(&[&"create", &"-q", &"-f", &"qcow", &image, &"1M"]);
    let good = read(&image);
    for (at, bytes, word) in [
        (8, &[0, 0, 0, 0, 0, 0, 0, 48, 0xff][..], "backing file"),
        (24, &[0xff; 8], "a disk of"),
        (24, &[0x00, 0xff], "L1 table"),
        (32, &[17], "2^17"),
        (33, &[20], "2^20"),
        (36, &[0, 0, 0, 2], "way 2"),
        (40, &[0, 0xff], "L1 table"),
        (4, &[0, 0, 0, 9], "version 9"),
    ] {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        let run = ours(&[&"info", &scratch.file("bad.qcow", &bad)]).run().exited(3);
        assert!(run.stderr.contains(word), "{word}: {run}");
    }
}

struct Passphrase;

impl Secrets for Passphrase {
    fn passphrase(&self, _: &str) -> tintype_core::Result<Vec<u8>> {
        Ok(b"secret".to_vec())
    }
}

/// An image that QEMU made of `len` bytes, to be damaged.
fn sweep(words: &[&str], len: usize) -> Sweep {
    let scratch = Scratch::new();
    let bytes = sample(len, 77);
    let (raw, image) = (scratch.file("disk.raw", &bytes), scratch.join("d.qcow"));
    if words.is_empty() || words == ["-c"] {
        make(&raw, &image, words)
    } else {
        encrypted(&raw, &image)
    }
    let folder = MemoryOutlet::new();
    folder.insert("d.qcow", read(&image));
    let runs = vec![Extent::new(0, len as u64, State::Data)];
    let format = tintype_formats::by_name("qcow").unwrap();
    Sweep::with_secrets(format, &folder, "d.qcow", &Model { bytes, runs, sector: 512 }, Arc::new(Passphrase))
}

fn damage_ends_in_an_error_or_in_what_was_there() {
    for words in [&[][..], &["-c"], &["aes"]] {
        let sweep = sweep(words, 74 << 12);
        for seen in sweep.cuts(509) {
            assert!(seen.wrong.is_none() && seen.len.is_none(), "{words:?} {seen:?}");
        }
        let seen = sweep.flips(sweep.places(499));
        // There is nothing in the file that could tell that the length, the sizes of tables, the encryption or the place of the first
        // table are others. An entry that leads elsewhere mostly leads to where something is, and else nobody can tell.
        let elsewhere = sweep.silent(&seen).iter().filter(|damage| !(24..48).contains(&damage.at())).count();
        assert!(elsewhere * 50 < seen.len(), "{words:?}: {elsewhere} of {}", seen.len());
    }
}
