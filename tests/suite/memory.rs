//! Memory has a bound, whatever the size of the source.

use std::os::unix::fs::FileExt;
use tintype_tests::{Run, Scratch, ours};

tintype_tests::topic! {
    imaging_stays_below_the_bound: [],
    converting_and_verifying_stay_below_the_bound: [],
    reading_packed_images_stays_below_the_bound: [],
    three_million_fragments_stay_below_the_bound: [tintype_tests::Need::Long],
}

const BOUND: u64 = 256 << 20;

fn bounded(run: &Run) {
    assert!(run.peak > 0, "nobody looked: {run}");
    assert!(run.peak < BOUND, "{} MiB at once: {run}", run.peak >> 20);
}

/// The same for what only reads, and may have ended before anybody looked: it is done again until somebody did.
fn bounded_reading(run: impl Fn() -> Run) {
    let looked_at = (0..100).map(|_| run()).find(|run| run.peak > 0);
    bounded(&looked_at.expect("one of a hundred runs was looked at"));
}

/// `gib` GiB and a bit, with 80 MiB of noise spread over it.
fn disk(scratch: &Scratch, gib: u64) -> std::path::PathBuf {
    let path = scratch.join("d.raw");
    let file = std::fs::File::create(&path).expect("the scratch folder can be written");
    file.set_len((gib << 30) + 1536).expect("a length can be set");
    let noise = tintype_core::testing::Model::noise(4 << 20, 150).bytes;
    for i in 0..20u64 {
        file.write_all_at(&noise, i * ((gib << 30) / 21) + 12_345).expect("the scratch folder can be written");
    }
    path
}

fn imaging_stays_below_the_bound() {
    let scratch = Scratch::new();
    let large = disk(&scratch, 3);
    let words: &[&str] = &["--hash", "md5,sha256"];
    bounded(&ours(&[&"image", &large, &scratch.join("t.E01")]).args(words).ok());
    let disk = disk(&scratch, 1);
    for (name, words) in [
        ("t.img", words),
        ("u.E01", &["--hash", "md5,sha1,sha256,sha512,blake3", "--compression", "best", "--option", "chunk=1MiB"]),
        ("t.zst", &["--hash", "blake3"]),
        ("t.gz", &["--hash", "none"]),
    ] {
        bounded(&ours(&[&"image", &disk, &scratch.join(name)]).args(words).ok());
    }
    let several = ["a.img", "a.E01", "a.zst"].map(|n| scratch.join(n));
    bounded(&ours(&[&"image", &disk]).args(several).ok());
}

fn converting_and_verifying_stay_below_the_bound() {
    let scratch = Scratch::new();
    let disk = disk(&scratch, 1);
    for name in ["t.E01", "t.zst", "t.gz", "t.001"] {
        let image = scratch.join(name);
        ours(&[&"convert", &disk, &image, &"-q"]).ok();
        let back = scratch.join(format!("{name}.img"));
        bounded_reading(|| ours(&[&"verify", &image, &"--against", &disk]).ok());
        bounded(&ours(&[&"convert", &image, &back]).ok());
        bounded_reading(|| ours(&[&"compare", &image, &disk]).ok());
        bounded_reading(|| ours(&[&"hash", &image, &"--hash", &"blake3"]).ok());
        bounded_reading(|| ours(&[&"info", &image, &"--extents"]).ok());
        std::fs::remove_file(back).expect("it was just made");
    }
}

fn reading_packed_images_stays_below_the_bound() {
    let scratch = Scratch::new();
    // More than the bound when unpacked, and quick to pack.
    let disk = disk(&scratch, 1);
    for (name, command) in [
        ("t.gz", "gzip -1 -c d.raw > t.gz"),
        ("t.xz", "xz -0 -T1 -c d.raw > t.xz"),
        ("t.bz2", "bzip2 -1 -c d.raw > t.bz2"),
        ("t.lz4", "lz4 -q -c d.raw > t.lz4"),
        ("t.zst", "zstd -q -1 -c d.raw > t.zst"),
        ("w.zst", "zstd -q -1 --zstd=wlog=23 -c < d.raw > w.zst"),
        ("x.zst", "zstd -q -1 --long=27 -c < d.raw > x.zst"),
    ] {
        let program = command.split_whitespace().next().expect("a command has a first word");
        if !tintype_tests::Need::Tool(program).is_met() {
            continue;
        }
        tintype_tests::tool("bash", &[&"-c", &command]).folder(scratch.path()).ok();
        let out = scratch.join(format!("{name}.img"));
        bounded(&ours(&[&"convert", &scratch.join(name), &out, &"--hash", &"none"]).ok());
        tintype_tests::assert_same(&disk, &out);
        std::fs::remove_file(out).expect("it was just made");
    }
}

fn three_million_fragments_stay_below_the_bound() {
    const BLOCKS: u64 = 3_000_000;
    const BLOCK: u64 = 4096;
    let scratch = Scratch::new();
    let map = |name: &str, signs: &[char]| {
        let mut text = "0x0 ? 1\n".to_owned();
        for (i, sign) in (0..BLOCKS).zip(signs.iter().cycle()) {
            text += &format!("0x{:X} 0x{BLOCK:X} {sign}\n", i * BLOCK);
        }
        scratch.file(name, text.as_bytes())
    };
    let (a, b) = (map("a.map", &['+', '/']), map("b.map", &['-', '+', '?']));
    bounded(&ours(&[&"map", &"invert", &a, &"-o", &scratch.join("c.map")]).ok());
    bounded(&ours(&[&"map", &"merge", &a, &b, &"-o", &scratch.join("d.map")]).ok());
    // Nothing but a hole, half of which was read.
    for name in ["disk", "t.img"] {
        std::fs::File::create(scratch.join(name)).unwrap().set_len(BLOCKS * BLOCK).unwrap();
    }
    // From the mapfile, and from the journal that this leaves.
    for _ in 0..2 {
        let rescue = ours(&[&"rescue", &scratch.join("disk"), &scratch.join("t.img"), &a]);
        bounded(&rescue.args(["--max-time", "3", "-q"]).exits(1));
    }
    assert!(std::fs::metadata(scratch.join("a.map.journal")).unwrap().len() > 20 * BLOCKS / 2);
}
