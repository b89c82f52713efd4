//! The rig's fault drive: a file in user space whose reads fail as a model says, with a clock of its own and a record of every read.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tintype_tests::Deadline;

/// Seconds that a program may take.
const PATIENCE: u64 = 900;

/// Where things lie.
pub struct Rig {
    /// The rig's folder.
    pub scripts: PathBuf,
    /// The fault drive, compiled.
    program: PathBuf,
    /// Where everything is written.
    folder: PathBuf,
}

/// A read that reached the drive.
pub struct Read {
    pub offset: u64,
    pub len: u64,
    pub failed: bool,
    /// The drive's clock when it ended.
    pub seconds: f64,
}

/// What a program did.
pub struct Played {
    pub reads: Vec<Read>,
    /// What it wrote.
    pub image: PathBuf,
    /// Seconds by the clock, and of processor time that it had had by then, its own and the system's for it.
    pub processor: Vec<(f64, f64)>,
}

impl Played {
    /// Seconds by the clock.
    pub fn wall(&self) -> f64 {
        self.processor.last().map_or(0.0, |(wall, _)| *wall)
    }

    /// Seconds of processor time.
    pub fn processor_seconds(&self) -> f64 {
        self.processor.last().map_or(0.0, |(_, processor)| *processor)
    }
}

/// A file that is there before a program runs, with its text; without, it is as long as the drive and empty.
pub type Before = (&'static str, Option<String>);

impl Rig {
    /// The rig beside the checkout, its fault drive compiled into `folder`.
    pub fn new(folder: &Path) -> Result<Self, String> {
        // Beside the checkout, or beside what a worktree of it lies in.
        let mut beside = crate::root().ancestors().skip(1).map(|p| p.join("shared/rigs/rescue"));
        let scripts = beside.find(|p| p.exists());
        let scripts = scripts.ok_or("the models need the project's rig: ../shared/rigs/rescue is not there")?;
        std::fs::create_dir_all(folder.join("mnt")).map_err(|e| format!("{}: {e}", folder.display()))?;
        let program = folder.join("faultdisk");
        let compile = "gcc -O2 -o \"$1\" \"$2\" $(pkg-config --cflags --libs fuse3)";
        let status =
            Command::new("sh").args(["-c", compile, "sh"]).arg(&program).arg(scripts.join("faultdisk.c")).status();
        match status {
            Ok(status) if status.success() => Ok(Rig { scripts, program, folder: folder.to_owned() }),
            _ => Err("the fault drive does not compile: it needs gcc, pkg-config and libfuse3-dev".into()),
        }
    }

    /// Runs `words` on the drive of `model`, in which `{src}`, `{dst}` and `{map}` stand for the drive, the image and the map.
    pub fn play(
        &self,
        model: &Path,
        backing: &Path,
        size: u64,
        scale: f64,
        words: &[String],
    ) -> Result<Played, String> {
        self.play_from(&[], model, backing, size, scale, words)
    }

    /// The same, with files that are there before.
    pub fn play_from(
        &self,
        before: &[Before],
        model: &Path,
        backing: &Path,
        size: u64,
        scale: f64,
        words: &[String],
    ) -> Result<Played, String> {
        let file = |name: &str| self.folder.join(name);
        for name in std::fs::read_dir(&self.folder).map_err(|e| e.to_string())?.flatten() {
            if name.file_name().to_string_lossy().starts_with("x.") {
                std::fs::remove_file(name.path()).map_err(|e| format!("{}: {e}", name.path().display()))?;
            }
        }
        for (name, text) in before {
            let made = std::fs::File::create(file(name)).and_then(|mut f| match text {
                Some(text) => f.write_all(text.as_bytes()),
                None => f.set_len(size),
            });
            made.map_err(|e| format!("{name}: {e}"))?;
        }
        let (trace, mount) = (file("x.trace"), file("mnt"));
        let status = Command::new(&self.program)
            .arg(backing)
            .arg(size.to_string())
            .arg(model)
            .arg(&trace)
            .arg(scale.to_string())
            .arg(&mount)
            .status();
        if !status.is_ok_and(|s| s.success()) {
            return Err("the fault drive does not start".into());
        }
        let image = file("x.img");
        let put = |word: &String| {
            let paths = [("{src}", mount.join("disk")), ("{dst}", image.clone()), ("{map}", file("x.map"))];
            paths.iter().fold(word.clone(), |word, (name, path)| word.replace(name, &path.display().to_string()))
        };
        let run = run(&words.iter().map(put).collect::<Vec<_>>());
        let _ = Command::new("fusermount3").arg("-u").arg(&mount).status();
        // The record is whole when nobody serves the drive any more.
        let gone = Deadline::after(60).poll(|| (!serves(&trace)).then_some(()));
        gone.ok_or("the fault drive does not end")?;
        Ok(Played { processor: run?, reads: reads(&trace)?, image })
    }
}

/// Seconds by the clock and of the processor, once a second and at the end.
fn run(words: &[String]) -> Result<Vec<(f64, f64)>, String> {
    let began = std::time::Instant::now();
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("{}: {e}", words[0]))?;
    let stat = format!("/proc/{}/stat", child.id());
    let mut samples: Vec<(f64, f64)> = Vec::new();
    let mut last = (0.0, 0.0);
    let status = Deadline::after(PATIENCE).poll(|| {
        if let Some(processor) = of_processor(&stat) {
            last = (began.elapsed().as_secs_f64(), processor);
            if samples.last().is_none_or(|(at, _)| last.0 - at >= 1.0) {
                samples.push(last);
            }
        }
        child.try_wait().ok().flatten()
    });
    samples.push(last);
    let Some(status) = status else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("{} took more than {PATIENCE} s", words.join(" ")));
    };
    match status.code() {
        // What cannot be read is no mistake of theirs.
        Some(0 | 1) => Ok(samples),
        _ => Err(format!("{}: {status}", words.join(" "))),
    }
}

/// Seconds of processor time that a process has had, from its line in /proc.
fn of_processor(stat: &str) -> Option<f64> {
    let text = std::fs::read_to_string(stat).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    // USER_HZ is 100 on every architecture that this runs on.
    Some((ticks()? + ticks()?) / 100.0)
}

/// True if a process was started with this path.
fn serves(trace: &Path) -> bool {
    let wanted = trace.display().to_string();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|p| std::fs::read(p.path().join("cmdline")).ok())
        .any(|line| line.split(|b| *b == 0).any(|word| word == wanted.as_bytes()))
}

/// `{u64 offset; u32 len; i32 result; double virtual end; double real end}`.
fn reads(trace: &Path) -> Result<Vec<Read>, String> {
    let bytes = std::fs::read(trace).map_err(|e| format!("{}: {e}", trace.display()))?;
    let read = |record: &[u8]| -> Option<Read> {
        let (offset, rest) = record.split_first_chunk::<8>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (result, rest) = rest.split_first_chunk::<4>()?;
        let (seconds, _) = rest.split_first_chunk::<8>()?;
        let (asked, result) = (u64::from(u32::from_le_bytes(*len)), i32::from_le_bytes(*result));
        Some(Read {
            offset: u64::from_le_bytes(*offset),
            len: u64::try_from(result).unwrap_or(asked),
            failed: result < 0,
            seconds: f64::from_le_bytes(*seconds),
        })
    };
    Ok(bytes.chunks_exact(32).filter_map(read).collect())
}
