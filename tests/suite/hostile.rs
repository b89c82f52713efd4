//! Numbers that lie, in every format of virtual disks: whatever they say, the program keeps to its bounds, and says what is wrong.

mod fields;
mod made;
mod tables;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tintype_tests::{Mount, Need::*, Run, Scratch, ours};

tintype_tests::topic! {
    every_field_at_every_edge: [Long, Tool("qemu-img"), Tool("bximage"), Tool("create_compressed_fs"), Tool("img2simg")],
    tables_that_cannot_be: [Tool("qemu-img"), Tool("bximage"), Tool("create_compressed_fs")],
    two_hundred_images_in_a_chain: [Tool("qemu-img")],
}

/// Most memory.
const BOUND: u64 = 256 << 20;
/// Most time that anything here may take, on a machine that does other things too.
const SECONDS: f64 = 30.0;
/// Seconds after which nobody waits any longer.
const LIMIT: u64 = 60;

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
            "info" => ours(&[&"info", &image, &"--extents", &"--json", &"-q"]).stdout(null).within(LIMIT),
            "verify" => ours(&[&"verify", &image]).within(LIMIT),
            _ => {
                let out = sink.folder.join("out.img");
                let run = ours(&[&"convert", &image, &out, &"--to", &"raw", &"--hash", &"none", &"-q"]).within(LIMIT);
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
            let folder = image.parent().unwrap().to_string_lossy();
            assert!(said.contains(&*folder) || said.contains("out.img"), "{case}: no file is named: {run}");
        }
        run
    })
}

/// Calls `each` with everything in `list`, on two threads, with a sink of its own each; all that go wrong are told, not only the first.
fn on_two_threads<T: Sync>(scratch: &Scratch, list: &[T], each: impl Fn(&T, &Sink, &Path, &mut Vec<String>) + Sync) {
    let next = AtomicUsize::new(0);
    let wrong = std::thread::scope(|threads| {
        let workers = ["a", "b"].map(|worker| {
            let (next, each) = (&next, &each);
            threads.spawn(move || {
                let (sink, folder) = (Sink::new(scratch, &format!("sink-{worker}")), scratch.folder(worker));
                let mut wrong = Vec::new();
                while let Some(item) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
                    each(item, &sink, &folder, &mut wrong);
                    std::fs::remove_dir_all(&folder).unwrap();
                    std::fs::create_dir(&folder).unwrap();
                }
                wrong
            })
        });
        workers.into_iter().flat_map(|w| w.join().expect("it is told what is wrong")).collect::<Vec<_>>()
    });
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n\n"));
}

/// What `look` panics with becomes one more that is wrong.
fn noted(wrong: &mut Vec<String>, look: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(look)) {
        let words = panic.downcast_ref::<String>().cloned();
        wrong.push(words.unwrap_or_else(|| "a test that says nothing".to_owned()));
    }
}

/// Every field of every header at the edges of what 8, 16, 31, 32, 63 and 64 bits hold.
fn every_field_at_every_edge() {
    let scratch = Scratch::new();
    let kinds = fields::kinds(&scratch);
    on_two_threads(&scratch, &kinds, |kind, sink, folder, wrong| {
        kind.sweep(folder, &mut |image, case| noted(wrong, || drop(shown(image, sink, case))));
    });
}

fn tables_that_cannot_be() {
    let scratch = Scratch::new();
    let bases = made::Bases::new(&scratch);
    on_two_threads(&scratch, &tables::cases(), |case, sink, folder, wrong| {
        let image = (case.make)(&bases, folder);
        noted(wrong, || {
            let runs = shown(&image, sink, case.name);
            let codes = runs.each_ref().map(|run| run.code().unwrap_or(-1));
            // All of it; what is shown of it is less.
            let whole: String = runs.iter().map(|run| run.stderr.clone() + &run.out()).collect();
            let said: String = runs.iter().map(|run| format!("{run}\n")).collect();
            assert_eq!(codes, case.exits, "{}: {said}", case.name);
            assert!(whole.contains(case.says), "{}: {:?} is not said: {said}", case.name, case.says);
        });
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
