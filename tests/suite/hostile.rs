//! Numbers that lie, in every format of virtual disks: whatever they say, the program keeps to its bounds, and says what is wrong.

mod fields;
mod made;
mod tables;

use std::path::{Path, PathBuf};
use std::time::Instant;
use tintype_tests::{Mount, Need::*, Run, Scratch, ours};

tintype_tests::topic! {
    every_field_at_every_edge: [Tool("qemu-img"), Tool("bximage"), Tool("create_compressed_fs"), Tool("img2simg")],
    tables_that_cannot_be: [Tool("qemu-img"), Tool("bximage"), Tool("create_compressed_fs")],
    two_hundred_images_in_a_chain: [Tool("qemu-img")],
}

/// Most memory.
const BOUND: u64 = 256 << 20;
/// Most time that anything here may take, on a machine that does other things too.
const SECONDS: f64 = 20.0;

/// Where the results of conversions go: there is room for little, so that what claims to be much comes to an end.
struct Sink {
    folder: PathBuf,
    _mount: Option<Mount>,
}

impl Sink {
    fn new(scratch: &Scratch, name: &str) -> Self {
        let folder = scratch.folder(name);
        let mount = Root.is_met().then(|| Mount::tmpfs(folder.clone(), 32 << 20));
        Sink { folder, _mount: mount }
    }

    fn clear(&self) {
        for entry in std::fs::read_dir(&self.folder).unwrap().flatten() {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}

/// What the verbs say to an image, in this order.
const VERBS: [&str; 3] = ["info", "verify", "convert"];

/// Shows an image to every verb. All of them keep to the bounds, end by themselves, and name the file where they fail.
fn shown(image: &Path, sink: &Sink, case: &str) -> [Run; 3] {
    VERBS.map(|verb| {
        let null = std::fs::File::options().write(true).open("/dev/null").unwrap();
        let began = Instant::now();
        let run = match verb {
            "info" => ours(&[&"info", &image, &"--extents", &"--json", &"-q"]).stdout(null).run(),
            "verify" => ours(&[&"verify", &image]).run(),
            _ => {
                let out = sink.folder.join("out.img");
                let run = ours(&[&"convert", &image, &out, &"--to", &"raw", &"--hash", &"none", &"-q"]).run();
                sink.clear();
                run
            }
        };
        let took = began.elapsed().as_secs_f64();
        assert!(took < SECONDS, "{case}: {took:.1} s: {run}");
        assert!(run.peak < BOUND, "{case}: {} MiB: {run}", run.peak >> 20);
        let expected: &[i32] = if verb == "verify" { &[0, 1, 2, 3] } else { &[0, 2, 3] };
        assert!(run.code().is_some_and(|c| expected.contains(&c)), "{case}: {run}");
        if run.code() != Some(0) {
            let said = run.stderr.clone() + &run.out();
            let name = image.file_name().unwrap().to_string_lossy();
            assert!(said.contains(&*name) || said.contains("out.img"), "{case}: no file is named: {run}");
        }
        run
    })
}

/// Every field of every header at the edges of what 8, 16, 31, 32, 63 and 64 bits hold.
fn every_field_at_every_edge() {
    let scratch = Scratch::new();
    let kinds = fields::kinds(&scratch);
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for worker in 0..2 {
            let (next, kinds, scratch) = (&next, &kinds, &scratch);
            threads.spawn(move || {
                let sink = Sink::new(scratch, &format!("sink-{worker}"));
                while let Some(kind) = kinds.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    kind.sweep(&scratch.folder(kind.name), &mut |image, case| drop(shown(image, &sink, case)));
                }
            });
        }
    });
}

fn tables_that_cannot_be() {
    let scratch = Scratch::new();
    let bases = made::Bases::new(&scratch);
    let cases = tables::cases();
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for worker in 0..2 {
            let (next, cases, scratch, bases) = (&next, &cases, &scratch, &bases);
            threads.spawn(move || {
                let sink = Sink::new(scratch, &format!("sink-{worker}"));
                while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let folder = scratch.folder(&format!("case-{worker}"));
                    let began = Instant::now();
                    let image = (case.make)(bases, &folder);
                    let runs = shown(&image, &sink, case.name);
                    for ((run, want), verb) in runs.iter().zip(case.exits).zip(VERBS) {
                        assert_eq!(run.code(), Some(want), "{} of {}: {run}", verb, case.name);
                    }
                    let said: String = runs.iter().map(|run| run.stderr.clone() + &run.out()).collect();
                    assert!(said.contains(case.says), "{}: {:?} is not said: {said}", case.name, case.says);
                    if std::env::var_os("TINTYPE_TEST_TIMES").is_some() {
                        let peaks = runs.iter().map(|run| (run.peak >> 20).to_string()).collect::<Vec<_>>().join("/");
                        eprintln!("{:6.2} s, {peaks} MiB: {}", began.elapsed().as_secs_f64(), case.name);
                    }
                    std::fs::remove_dir_all(&folder).unwrap();
                }
            });
        }
    });
}

/// Chains as long as they may be, with tables and compressed clusters in every image of them; and one that is longer.
fn two_hundred_images_in_a_chain() {
    let scratch = Scratch::new();
    let sink = Sink::new(&scratch, "sink");
    for kind in made::chains() {
        let folder = scratch.folder(kind.name);
        let top = (kind.make)(&folder, 200);
        let [info, _, convert] = shown(&top, &sink, kind.name);
        assert!((info.code(), convert.code()) == (Some(0), Some(0)), "{}: {info} {convert}", kind.name);
        let out = sink.folder.join("again.img");
        ours(&[&"convert", &top, &out, &"-q", &"--hash", &"none"]).ok();
        (kind.same)(&top, &out);
        sink.clear();
        let longer = (kind.make)(&folder, 201);
        let [info, _, _] = shown(&longer, &sink, kind.name);
        assert!(info.code() == Some(3) && info.stderr.contains("longer than 200 images"), "{}: {info}", kind.name);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
