//! The program and other people's tools as child processes.

use crate::need::find_tool;
use crate::{Deadline, Scratch};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, OnceLock};

/// Seconds after which a child counts as hanging.
const PATIENCE: u64 = 600;

/// The program under test: `TINTYPE_BIN`, else what cargo builds in the profile of the tests.
pub fn tintype_binary() -> &'static PathBuf {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(|| match std::env::var_os("TINTYPE_BIN") {
        Some(path) => std::fs::canonicalize(&path).unwrap_or_else(|e| panic!("TINTYPE_BIN {path:?}: {e}")),
        None => build(),
    });
    &BINARY
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--message-format=json", "--package=tintype", "--bin=tintype"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
    assert!(output.status.success(), "the program does not build: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .expect("cargo says where the program is")
}

/// A command that is about to run.
#[derive(Debug)]
pub struct Invocation {
    command: Command,
    words: Vec<OsString>,
    stdin: Option<Stdio>,
    stdout: Option<Stdio>,
}

/// A call of the program with these words.
pub fn ours(words: &[&dyn AsRef<OsStr>]) -> Invocation {
    let mut invocation = Invocation::of(tintype_binary().as_os_str(), words);
    // What a person set for themselves must not change what the tests see.
    invocation.command.env_remove("NO_COLOR").env("LC_ALL", "C").env("TZ", "UTC");
    for name in ["XDG_CACHE_HOME", "XDG_STATE_HOME"] {
        invocation.command.env(name, home());
    }
    invocation
}

/// What stands for the user's own folders.
fn home() -> &'static Path {
    HOME.get_or_init(Scratch::new).path()
}

static HOME: OnceLock<Scratch> = OnceLock::new();

/// Removes what the program left in the user's folders: a static is never dropped.
pub(crate) fn remove_home() {
    if let Some(home) = HOME.get() {
        let _ = std::fs::remove_dir_all(home.path());
    }
}

/// A call of somebody else's program with these words.
pub fn tool(name: &str, words: &[&dyn AsRef<OsStr>]) -> Invocation {
    let program = if name.contains('/') { Some(PathBuf::from(name)) } else { find_tool(name) };
    let mut invocation = Invocation::of(program.unwrap_or_else(|| name.into()).as_os_str(), words);
    invocation.command.env("LC_ALL", "C").env("TZ", "UTC");
    invocation
}

impl Invocation {
    fn of(program: &OsStr, words: &[&dyn AsRef<OsStr>]) -> Self {
        let words: Vec<OsString> = words.iter().map(|w| (*w).as_ref().to_owned()).collect();
        let mut command = Command::new(program);
        command.args(&words);
        Invocation { command, words, stdin: None, stdout: None }
    }

    /// One more word.
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words.push(word.as_ref().to_owned());
        self.command.arg(word);
        self
    }

    /// Further words.
    pub fn args<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        for word in words {
            self = self.arg(word);
        }
        self
    }

    /// Standard input from here; without it, there is nothing to read.
    pub fn stdin(mut self, from: impl Into<Stdio>) -> Self {
        self.stdin = Some(from.into());
        self
    }

    /// Standard output to here instead of into the result.
    pub fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.stdout = Some(to.into());
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The folder it runs in.
    pub fn folder(mut self, path: impl AsRef<std::path::Path>) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Starts it.
    #[track_caller]
    pub fn start(mut self) -> Running {
        let out = tempfile::tempfile().expect("a temporary file can be made");
        let err = tempfile::tempfile().expect("a temporary file can be made");
        let words = format!("{:?} {:?}", self.command.get_program(), self.words);
        self.command.stdin(self.stdin.unwrap_or_else(Stdio::null));
        self.command.stdout(self.stdout.unwrap_or_else(|| out.try_clone().expect("a handle can be copied").into()));
        self.command.stderr(err.try_clone().expect("a handle can be copied"));
        let program = std::path::Path::new(self.command.get_program()).file_name().unwrap_or_default();
        let name = program.to_string_lossy().chars().take(15).collect();
        let child = self.command.spawn().unwrap_or_else(|e| panic!("{words}: {e}"));
        Running { child, out, err, words, name, peak: 0 }
    }

    /// Runs it to its end, whatever that is.
    #[track_caller]
    pub fn run(self) -> Run {
        self.start().wait()
    }

    /// Runs it to its end, or kills it after so many seconds: then it has no exit status.
    #[track_caller]
    pub fn within(self, seconds: u64) -> Run {
        let mut running = self.start();
        let ended = Deadline::after(seconds).poll(|| {
            running.note_peak();
            running.ended()
        });
        if ended.is_none() {
            running.kill();
        }
        running.wait()
    }

    /// Runs it to its end, and panics unless it exits with `status`.
    #[track_caller]
    pub fn exits(self, status: i32) -> Run {
        self.run().exited(status)
    }

    /// Runs it to its end, and panics unless it exits with 0.
    #[track_caller]
    pub fn ok(self) -> Run {
        self.exits(0)
    }
}

/// A command that runs; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: File,
    err: File,
    words: String,
    // As the kernel knows it.
    name: String,
    peak: u64,
}

impl Running {
    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A counter of `/proc/PID/io`, such as `wchar`; `None` once it is gone.
    pub fn counter(&self, name: &str) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/io", self.id())).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().parse().ok()
    }

    fn note_peak(&mut self) {
        let Ok(text) = std::fs::read_to_string(format!("/proc/{}/status", self.id())) else { return };
        // Until it has become the program, its memory is that of whoever starts it.
        let is_itself = text.lines().find_map(|l| l.strip_prefix("Name:")).is_some_and(|name| name.trim() == self.name);
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:").filter(|_| is_itself));
        let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0);
        self.peak = self.peak.max(kib << 10);
    }

    /// Sends a signal; nothing happens if it is gone.
    pub fn signal(&self, signal: rustix::process::Signal) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.id() as i32) {
            // It may have ended in between, and then there is nobody to send to.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// True if every thread of it is stopped by a signal.
    pub fn is_stopped(&self) -> bool {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{}/task", self.id())) else { return false };
        let stopped = |task: std::fs::DirEntry| {
            let text = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            text.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
        };
        tasks.flatten().all(stopped)
    }

    /// Kills it, as a power cut would.
    pub fn kill(&self) {
        self.signal(rustix::process::Signal::KILL);
    }

    /// Waits until it has written at least `bytes` (as `/proc/PID/io` counts); false if it ended before.
    pub fn has_written(&mut self, bytes: u64) -> bool {
        let deadline = Deadline::after(PATIENCE);
        loop {
            if self.ended().is_some() {
                return false;
            }
            if self.counter("wchar").is_some_and(|n| n >= bytes) {
                return true;
            }
            assert!(!deadline.passed(), "{} hangs", self.words);
            std::thread::yield_now();
        }
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked")
    }

    /// What it said on standard error so far.
    pub fn stderr_so_far(&self) -> String {
        text(&self.err)
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(mut self) -> Run {
        let status = Deadline::after(PATIENCE).poll(|| {
            self.note_peak();
            self.child.try_wait().expect("a child can be asked")
        });
        let Some(status) = status else {
            panic!("{} hangs; it said: {}", self.words, text(&self.err));
        };
        Run { status, stdout: bytes(&self.out), stderr: text(&self.err), peak: self.peak, words: self.words.clone() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn bytes(file: &File) -> Vec<u8> {
    let mut all = Vec::new();
    let mut file = file;
    file.rewind().expect("a temporary file can be rewound");
    file.read_to_end(&mut all).expect("a temporary file can be read");
    all
}

fn text(file: &File) -> String {
    let mut all = vec![0; file.metadata().map_or(0, |m| m.len()) as usize];
    // The child shares the position of this handle, so it is read without moving it.
    std::os::unix::fs::FileExt::read_exact_at(file, &mut all, 0).expect("a temporary file can be read");
    String::from_utf8_lossy(&all).into_owned()
}

/// A command that has ended.
#[derive(Debug)]
pub struct Run {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
    /// The most memory it held at once, in bytes.
    pub peak: u64,
    words: String,
}

impl Run {
    /// Its exit status; `None` if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Itself, if it exited with `status`.
    #[track_caller]
    pub fn exited(self, status: i32) -> Run {
        assert!(self.code() == Some(status), "expected exit status {status}\n{self}");
        self
    }

    /// Itself, if it exited with one of these.
    #[track_caller]
    pub fn exited_any(self, statuses: &[i32]) -> Run {
        assert!(self.code().is_some_and(|c| statuses.contains(&c)), "expected exit status {statuses:?}\n{self}");
        self
    }

    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The one JSON document on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|e| panic!("standard output is no JSON: {e}\n{self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let clip = |t: &str| t.chars().take(3000).collect::<String>();
        write!(f, "{}\n{}\nstdout: {}\nstderr: {}", self.words, self.status, clip(&self.out()), clip(&self.stderr))
    }
}
