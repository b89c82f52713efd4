//! Standard input and output as source and target.

use std::fs::File;
use tintype_tests::{Layout, Need::*, Scratch, assert_same, e01_name, ours, read, sample_file, tool};

tintype_tests::topic! {
    standard_input_becomes_an_image: [],
    a_pipe_becomes_an_image: [],
    standard_input_of_known_length_becomes_e01: [Tool("ewfverify")],
    a_stream_that_is_shorter_than_promised_is_told: [],
    a_stream_that_is_longer_than_promised_is_told: [],
    an_image_goes_to_standard_output: [],
    packed_streams_go_to_standard_output: [Tool("gunzip"), Tool("zstd")],
    what_cannot_be_a_stream_is_refused: [],
    the_result_goes_to_standard_error: [],
}

fn standard_input_becomes_an_image() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d", 5_000_001, 40, Layout::Full);
    for name in ["t.img", "t.gz", "t.zst"] {
        let target = scratch.join(name);
        let json = ours(&[&"image", &"-", &target, &"--json"]).stdin(File::open(&disk).unwrap()).ok().json();
        assert_eq!(json["size"], 5_000_001, "{json}");
        ours(&[&"compare", &disk, &target]).ok();
    }
}

fn a_pipe_becomes_an_image() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d", 3_000_000, 41, Layout::Full);
    let (reader, writer) = std::io::pipe().unwrap();
    let target = scratch.join("t.img");
    let cat = tool("cat", &[&disk]).stdout(writer).start();
    ours(&[&"image", &"-", &target]).stdin(reader).ok();
    cat.wait().exited(0);
    assert_same(&disk, &target);
}

fn standard_input_of_known_length_becomes_e01() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d", 4 << 20, 42, Layout::Full);
    let target = scratch.join("t.E01");
    ours(&[&"image", &"-", &target, &"--size", &"4MiB"]).stdin(File::open(&disk).unwrap()).ok();
    tool("ewfverify", &[&"-q", &target]).ok();
    ours(&[&"compare", &disk, &target]).ok();
}

fn a_stream_that_is_shorter_than_promised_is_told() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d", 3 << 20, 43, Layout::Full);
    for name in ["t.E01", "t.img"] {
        let target = scratch.join(name);
        let run = ours(&[&"image", &"-", &target, &"--size", &"4MiB"]).stdin(File::open(&disk).unwrap()).run();
        assert_ne!(run.code(), Some(0), "{run}");
        assert!(!target.exists(), "it looks whole: {run}");
    }
}

fn a_stream_that_is_longer_than_promised_is_told() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d", 5 << 20, 44, Layout::Full);
    let target = scratch.join("t.E01");
    let run = ours(&[&"image", &"-", &target, &"--size", &"4MiB"]).stdin(File::open(&disk).unwrap()).run();
    assert!(run.code() != Some(0) || run.stderr.contains("longer"), "bytes were left out in silence: {run}");
}

fn an_image_goes_to_standard_output() {
    let scratch = Scratch::new();
    let (disk, bytes) = sample_file(&scratch, "d.img", 3_333_333, 45, Layout::Full);
    let packed = scratch.join("d.zst");
    ours(&[&"convert", &disk, &packed]).ok();
    for source in [&disk, &packed] {
        for words in [&["--to", "raw"][..], &[]] {
            let run = ours(&[&"convert", source, &"-"]).args(words).ok();
            assert!(run.stdout == bytes, "{} bytes came", run.stdout.len());
        }
    }
    let out = scratch.join("o");
    ours(&[&"convert", &disk, &"-", &"--to", &"raw"]).stdout(File::create(&out).unwrap()).ok();
    assert_same(&disk, &out);
}

fn packed_streams_go_to_standard_output() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.img", 6_000_000, 46, Layout::Full);
    for (format, program, words) in [("gzip", "gunzip", vec!["-c"]), ("zstd", "zstd", vec!["-q", "-d", "-c"])] {
        let packed = scratch.join(format!("o.{format}"));
        ours(&[&"convert", &disk, &"-", &"--to", &format]).stdout(File::create(&packed).unwrap()).ok();
        let plain = scratch.join("plain");
        tool(program, &[]).args(words).stdin(File::open(&packed).unwrap()).stdout(File::create(&plain).unwrap()).ok();
        assert_same(&disk, &plain);
    }
}

fn what_cannot_be_a_stream_is_refused() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "d.img", 100_000, 47, Layout::Full);
    let run = ours(&[&"convert", &disk, &"-", &"--to", &e01_name()]).run();
    assert!(run.code() == Some(2) && run.stdout.is_empty(), "{run}");
    let run = ours(&[&"image", &"-", &scratch.join("t.E01")]).stdin(File::open(&disk).unwrap()).exits(2);
    assert!(run.stderr.contains("--size"), "{run}");
    assert_eq!(scratch.names(), ["d.img"]);
}

fn the_result_goes_to_standard_error() {
    let scratch = Scratch::new();
    let (disk, bytes) = sample_file(&scratch, "d.img", 100_000, 48, Layout::Full);
    let run = ours(&[&"convert", &disk, &"-", &"--to", &"raw", &"--json"]).ok();
    assert!(run.stdout == bytes, "the stream is not clean");
    let json: serde_json::Value = serde_json::from_str(&run.stderr).unwrap_or_else(|e| panic!("{e}: {run}"));
    assert_eq!(json["size"], 100_000);
    assert!(!read(&disk).is_empty());
}
