//! QED both ways, beside QEMU's own programs.

use std::path::Path;
use tintype_tests::qemu::{
    Verdict, assert_judged_alike, assert_sound, assert_zeros_agree, our_verdict, qemu_img, qemu_io,
};
use tintype_tests::{Layout, Need::*, Scratch, assert_same, ours, read, sample, sample_file, tool};

tintype_tests::topic! {
    every_image_qemu_makes: [Tool("qemu-img")],
    ours_reads_in_qemu: [Tool("qemu-img")],
    patterns_that_qemu_writes_into_ours_come_back: [Tool("qemu-img"), Tool("qemu-io")],
    odd_lengths_are_padded: [Tool("qemu-img")],
    chains_qemu_makes: [Tool("qemu-img"), Tool("qemu-io")],
    ours_on_a_backing_file: [Tool("qemu-img")],
    an_image_that_was_not_closed_is_told: [Tool("qemu-img"), Tool("qemu-io")],
    damage_is_judged_as_qemu_judges_it: [Tool("qemu-img")],
    sixteen_tebibytes_take_seconds: [Tool("qemu-img"), Tool("qemu-io")],
}

/// Whole clusters; a few sectors more; nothing round at all; a part of the smallest cluster.
const SIZES: [usize; 4] = [4 << 20, (3 << 20) + 1536, 12_345 * 512, 512];

/// Bytes of a cluster and clusters of a table; none: what the program takes by itself.
const KINDS: [Option<(u64, u64)>; 9] = [
    None,
    Some((4096, 2)),
    Some((4096, 16)),
    Some((8192, 4)),
    Some((16384, 8)),
    Some((65536, 2)),
    Some((1 << 20, 16)),
    Some((2 << 20, 8)),
    Some((4 << 20, 2)),
];

fn decoded(scratch: &Scratch, image: &Path) -> std::path::PathBuf {
    let out = scratch.join("ours.raw");
    ours(&[&"convert", &image, &out, &"--to", &"raw", &"--hash", &"none", &"-q", &"--force"]).ok();
    out
}

fn every_image_qemu_makes() {
    for len in SIZES {
        for kind in KINDS {
            let scratch = Scratch::new();
            let (raw, bytes) = sample_file(&scratch, "disk.raw", len, len as u64, Layout::Sparse);
            let image = scratch.join("d.qed");
            let mut make = tool("qemu-img", &[&"convert", &"-q", &"-f", &"raw", &"-O", &"qed"]);
            if let Some((cluster, table)) = kind {
                make = make.args(["-o", &format!("cluster_size={cluster},table_size={table}")]);
            }
            make.arg(&raw).arg(&image).ok();
            assert_same(&raw, decoded(&scratch, &image));
            assert_zeros_agree("qed", &image, &bytes);
            assert_sound("qed", &image);
            ours(&[&"verify", &image, &"--against", &raw]).ok();
        }
    }
}

fn write(raw: &Path, image: &Path, kind: Option<(u64, u64)>, words: &[&str]) {
    let mut run = ours(&[&"convert", &raw, &image, &"--verify", &"-q", &"--force"]).args(words);
    if let Some((cluster, table)) = kind {
        run = run.args(["--option", &format!("cluster_size={cluster}"), "--option", &format!("table_size={table}")]);
    }
    run.ok();
}

fn ours_reads_in_qemu() {
    for len in SIZES {
        for kind in KINDS {
            let scratch = Scratch::new();
            let (raw, bytes) = sample_file(&scratch, "disk.raw", len, 40 + len as u64, Layout::Full);
            let image = scratch.join("d.qed");
            write(&raw, &image, kind, &[]);
            assert_sound("qed", &image);
            qemu_img(&[&"compare", &"-f", &"raw", &"-F", &"qed", &raw, &image]);
            assert_zeros_agree("qed", &image, &bytes);
            assert_same(&raw, decoded(&scratch, &image));
            let info = ours(&[&"info", &image, &"--json"]).ok().json();
            let theirs = tool("qemu-img", &[&"info", &"--output=json", &"-f", &"qed", &image]).ok().json();
            assert_eq!(info["size"], theirs["virtual-size"], "{kind:?}");
            assert_eq!(info["facts"]["cluster_size"], theirs["cluster-size"].to_string(), "{kind:?}");
        }
    }
}

fn patterns_that_qemu_writes_into_ours_come_back() {
    for kind in KINDS {
        let scratch = Scratch::new();
        let (raw, _) = sample_file(&scratch, "disk.raw", (3 << 20) + 1536, 50, Layout::Full);
        let image = scratch.join("d.qed");
        write(&raw, &image, kind, &[]);
        let commands = ["write -P 0x5a 65000 70000", "write -z 1M 300k", "write -P 7 3M 1536", "discard 2M 128k"];
        qemu_io("qed", &image, &commands);
        let back = scratch.join("theirs.raw");
        qemu_img(&[&"convert", &"-f", &"qed", &"-O", &"raw", &image, &back]);
        assert_same(&back, decoded(&scratch, &image));
        assert_sound("qed", &image);
        assert_zeros_agree("qed", &image, &read(&back));
    }
}

fn odd_lengths_are_padded() {
    for len in [0usize, 1, 511, 65_537, 1_000_003] {
        let scratch = Scratch::new();
        let (raw, mut bytes) = sample_file(&scratch, "disk.raw", len, len as u64, Layout::Full);
        let image = scratch.join("d.qed");
        let run = ours(&[&"convert", &raw, &image, &"--verify"]).ok();
        assert_eq!(run.stderr.contains("bytes of zeros are added"), len % 512 != 0, "{run}");
        bytes.resize(len.next_multiple_of(512), 0);
        assert_eq!(read(decoded(&scratch, &image)), bytes);
        assert_sound("qed", &image);
        qemu_img(&[&"compare", &"-f", &"raw", &"-F", &"qed", &raw, &image]);
    }
}

fn chains_qemu_makes() {
    for (below, kind) in
        [("raw", "cluster_size=4k,table_size=2"), ("qcow2", "cluster_size=64k"), ("qed", "cluster_size=1M")]
    {
        let scratch = Scratch::new();
        let (raw, _) = sample_file(&scratch, "disk.raw", (2 << 20) + 512, 61, Layout::Full);
        let base = scratch.join(format!("base.{below}"));
        qemu_img(&[&"convert", &"-f", &"raw", &"-O", &below, &raw, &base]);
        let image = scratch.join("top.qed");
        let name = format!("base.{below}");
        qemu_img(&[&"create", &"-q", &"-f", &"qed", &"-o", &kind, &"-b", &name, &"-F", &below, &image, &"3000k"]);
        let commands = ["write -P 0x5a 65000 70000", "write -z 1M 300k", "write -P 7 2900k 3k", "discard 200k 64k"];
        qemu_io("qed", &image, &commands);
        let back = scratch.join("theirs.raw");
        qemu_img(&[&"convert", &"-f", &"qed", &"-O", &"raw", &image, &back]);
        assert_same(&back, decoded(&scratch, &image));
        assert_zeros_agree("qed", &image, &read(&back));
        assert_sound("qed", &image);
        let info = ours(&[&"info", &image, &"--json"]).ok().json();
        assert_eq!((&info["chain"][0]["name"], &info["chain"][0]["format"]), (&name.into(), &below.into()));
        // Onto another backing file.
        let moved = scratch.join("moved.qed");
        ours(&[&"convert", &image, &moved, &"--backing", &raw, &"-q"]).ok();
        qemu_img(&[&"compare", &"-f", &"raw", &"-F", &"qed", &back, &moved]);
        assert_sound("qed", &moved);
    }
}

fn ours_on_a_backing_file() {
    for kind in KINDS {
        for below in ["raw", "qcow2", "qed"] {
            let scratch = Scratch::new();
            let base = sample(3 << 20, 71);
            let mut top = base.clone();
            top.resize((4 << 20) + 512, 0);
            top[700_000..900_000].copy_from_slice(&sample(200_000, 72));
            top[1 << 20..(1 << 20) + 150_000].fill(0);
            top[(3 << 20) + 5000..(3 << 20) + 9000].fill(9);
            let (raw, top) = (scratch.file("base.raw", &base), scratch.file("top.raw", &top));
            let name = scratch.join(format!("base.{below}"));
            if below != "raw" {
                ours(&[&"convert", &raw, &name, &"-q"]).ok();
            }
            let image = scratch.join("d.qed");
            write(&top, &image, kind, &["--backing", name.to_str().unwrap()]);
            qemu_img(&[&"compare", &"-f", &"raw", &"-F", &"qed", &top, &image]);
            assert_sound("qed", &image);
            assert_zeros_agree("qed", &image, &read(&top));
            let info = tool("qemu-img", &[&"info", &"--output=json", &"-f", &"qed", &image]).ok().json();
            assert_eq!(info["backing-filename"], format!("base.{below}"));
            let stored = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&image).unwrap()) * 512;
            let large = kind.is_some_and(|(cluster, _)| cluster > 65536);
            assert!(large || stored < 1 << 20, "{kind:?}: {stored} bytes for what differs");
        }
    }
    // What the format cannot say.
    let scratch = Scratch::new();
    let (raw, _) = sample_file(&scratch, "disk.raw", 1 << 20, 73, Layout::Full);
    let base = scratch.join("base.img");
    ours(&[&"convert", &raw, &base, &"--to", &"qcow2", &"-q"]).ok();
    let run = ours(&[&"convert", &raw, &scratch.join("d.qed"), &"--backing", &base]).exits(2);
    assert!(run.stderr.contains(".qcow2"), "{run}");
}

fn an_image_that_was_not_closed_is_told() {
    let scratch = Scratch::new();
    let (raw, _) = sample_file(&scratch, "disk.raw", 3 << 20, 81, Layout::Sparse);
    let image = scratch.join("d.qed");
    write(&raw, &image, Some((4096, 2)), &[]);
    // It takes a place for a cluster, and is killed before it has put its books in order.
    let run =
        tool("qemu-io", &[&"-f", &"qed", &"-c", &"write -P 1 1000k 200k", &"-c", &"flush", &"-c", &"abort", &image]);
    assert_ne!(run.run().code(), Some(0));
    assert_eq!(read(&image)[16] & 2, 2, "QEMU has set the flag");
    let told = |json: &serde_json::Value| json.to_string().contains("was not closed");
    assert!(told(&ours(&[&"info", &image, &"--json"]).ok().json()["warnings"]));
    assert!(told(&our_verdict(&image).1["findings"]));
    let back = scratch.join("theirs.raw");
    qemu_img(&[&"convert", &"-f", &"qed", &"-O", &"raw", &image, &back]);
    assert_same(&back, decoded(&scratch, &image));
    // Nothing of it was changed by reading; QEMU takes the flag away when it repairs.
    assert_eq!(read(&image)[16] & 2, 2);
    qemu_img(&[&"check", &"-q", &"-r", &"all", &"-f", &"qed", &image]);
    assert_sound("qed", &image);
}

/// Changes bytes of header and tables of an image, and has both programs judge each result.
fn damage_is_judged_as_qemu_judges_it() {
    let scratch = Scratch::new();
    let mut seen = Vec::new();
    for kind in ["cluster_size=4k,table_size=2", "cluster_size=64k,table_size=2"] {
        let (raw, _) = sample_file(&scratch, "disk.raw", 3 << 20, 91, Layout::Full);
        let image = scratch.join("d.qed");
        qemu_img(&[&"convert", &"-q", &"-f", &"raw", &"-O", &"qed", &"-o", &kind, &raw, &image]);
        let good = read(&image);
        let le64 = |at: usize| u64::from_le_bytes(good[at..at + 8].try_into().unwrap()) as usize;
        let l1 = le64(40);
        let l2 = le64(l1);
        // Not the flag of a backing file: QEMU takes one without a name for none.
        let header = (4..16).chain(17..24).chain(40..56).map(|at| (at, 0x01u8)).chain([
            (9, 0x80),
            (41, 0x10),
            (48, 0x02),
            (55, 0x80),
        ]);
        let entries = [l1, l1 + 8, l2, l2 + 8, l2 + 80];
        let tables = entries.into_iter().flat_map(|at| at..at + 8).flat_map(|at| [(at, 0x01), (at, 0x10), (at, 0x80)]);
        for (at, bits) in header.chain(tables) {
            let mut bad = good.clone();
            bad[at] ^= bits;
            let path = scratch.file("bad.qed", &bad);
            seen.push(assert_judged_alike("qed", &path, &format!("{kind}: byte {at} ^ {bits:x}")));
        }
        for len in [good.len() - 4096, good.len() - 1, good.len() / 2, l2 + 100, l1 + 8, 64, 63, 0] {
            // QEMU goes on behind the end of a file as if zeros were there.
            let path = scratch.file("bad.qed", &good[..len]);
            assert_ne!(our_verdict(&path).0, Verdict::Good, "{kind}: cut to {len}");
        }
    }
    let count = |verdict| seen.iter().filter(|v| **v == verdict).count();
    assert!(count(Verdict::Damaged) > 50 && count(Verdict::Leaks) > 1, "{seen:?}");
}

fn sixteen_tebibytes_take_seconds() {
    let scratch = Scratch::new();
    let image = scratch.join("big.qed");
    let began = std::time::Instant::now();
    ours(&[&"create", &image, &"--size", &"16TiB", &"-q"]).ok();
    qemu_io("qed", &image, &["write -P 1 0 64k", "write -P 2 2199023255040 70144", "write -P 3 17592186040320 4096"]);
    let (packed, again) = (scratch.join("packed.qcow2"), scratch.join("again.qed"));
    let zstd: [&dyn AsRef<std::ffi::OsStr>; 2] = [&"--compression", &"zstd"];
    for (from, to, words) in [(&image, &packed, &zstd[..]), (&packed, &again, &[])] {
        let mut run = ours(&[&"convert", from, to, &"--hash", &"none", &"-q"]);
        for word in words {
            run = run.arg(word);
        }
        let run = run.ok();
        assert!(run.peak < 256 << 20, "{} MiB", run.peak >> 20);
    }
    ours(&[&"compare", &image, &again]).ok();
    qemu_img(&[&"compare", &image, &again]);
    assert_sound("qed", &again);
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
}
