//! Memory has a bound, whatever the size of the source.

use std::os::unix::fs::FileExt;
use tintype_tests::{Run, Scratch, ours};

tintype_tests::topic! {
    imaging_stays_below_the_bound: [],
    converting_and_verifying_stay_below_the_bound: [],
    reading_packed_images_stays_below_the_bound: [],
}

const BOUND: u64 = 256 << 20;

fn bounded(run: &Run) {
    assert!(run.peak > 0, "nobody looked: {run}");
    assert!(run.peak < BOUND, "{} MiB at once: {run}", run.peak >> 20);
}

/// 3 GiB and a bit with 200 MiB of noise spread over it.
fn disk(scratch: &Scratch) -> std::path::PathBuf {
    let path = scratch.join("d.raw");
    let file = std::fs::File::create(&path).expect("the scratch folder can be written");
    file.set_len((3 << 30) + 1536).expect("a length can be set");
    let noise = tintype_core::testing::Model::noise(4 << 20, 150).bytes;
    for i in 0..50u64 {
        file.write_all_at(&noise, i * (61 << 20) + 12_345).expect("the scratch folder can be written");
    }
    path
}

fn imaging_stays_below_the_bound() {
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    for (name, words) in [
        ("t.img", &["--hash", "md5,sha256"][..]),
        ("t.E01", &["--hash", "md5,sha1"]),
        ("t.E01", &["--hash", "md5,sha1,sha256,sha512,blake3", "--compression", "best", "--option", "chunk=1MiB"]),
        ("t.zst", &["--hash", "blake3"]),
        ("t.gz", &["--hash", "none"]),
    ] {
        let run = ours(&[&"image", &disk, &scratch.join(name), &"--force"]).args(words).run().exited(0);
        bounded(&run);
    }
    let several = ["a.img", "a.E01", "a.zst"].map(|n| scratch.join(n));
    bounded(&ours(&[&"image", &disk]).args(several).run().exited(0));
}

fn converting_and_verifying_stay_below_the_bound() {
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    for name in ["t.E01", "t.zst", "t.gz", "t.001"] {
        let image = scratch.join(name);
        ours(&[&"convert", &disk, &image, &"-q"]).ok();
        bounded(&ours(&[&"verify", &image]).ok());
        bounded(&ours(&[&"convert", &image, &scratch.join("o.img"), &"--force"]).ok());
        bounded(&ours(&[&"compare", &image, &disk]).ok());
        bounded(&ours(&[&"hash", &image]).ok());
        bounded(&ours(&[&"info", &image, &"--extents"]).ok());
    }
}

fn reading_packed_images_stays_below_the_bound() {
    let scratch = Scratch::new();
    let disk = scratch.join("d.raw");
    std::fs::write(&disk, tintype_tests::sample(400 << 20, 151)).expect("the scratch folder can be written");
    for (name, command) in [
        ("t.gz", "gzip -1 -c d.raw > t.gz"),
        ("t.xz", "xz -0 -T1 -c d.raw > t.xz"),
        ("t.bz2", "bzip2 -1 -c d.raw > t.bz2"),
        ("t.lz4", "lz4 -q -c d.raw > t.lz4"),
        ("t.zst", "zstd -q -1 -c d.raw > t.zst"),
    ] {
        let program = command.split_whitespace().next().expect("a command has a first word");
        if !tintype_tests::Need::Tool(program).is_met() {
            continue;
        }
        tintype_tests::tool("bash", &[&"-c", &command]).folder(scratch.path()).ok();
        let run = ours(&[&"convert", &scratch.join(name), &scratch.join("o.img"), &"--force"]).ok();
        bounded(&run);
        tintype_tests::assert_same(&disk, scratch.join("o.img"));
    }
}
