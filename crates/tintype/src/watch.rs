//! Shows progress, keeps the log, and hears the signals.

use crate::cli::{Common, ProgressKind};
use crate::standing;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tintype_core::{Error, Event, Result, Standing, Watch, human_size};

static STOP: AtomicBool = AtomicBool::new(false);

/// Makes SIGINT, SIGTERM and SIGHUP ask the work to stop; a second one ends the program at once. A SIGHUP that is
/// ignored (nohup) stays so.
pub fn hear_signals() -> Result<()> {
    let mut signals = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        signals.push(SIGHUP);
    }
    let mut signals = Signals::new(signals).map_err(|e| Error::io("signals cannot be heard", e))?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if STOP.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        }
    });
    Ok(())
}

/// True if whoever started the program has it ignore `signal`.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask =
        status.lines().find_map(|l| l.strip_prefix("SigIgn:")).and_then(|m| u64::from_str_radix(m.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// How often progress is told in JSON.
const JSON_EVERY: Duration = Duration::from_millis(500);

/// How often a log hears how a rescue stands.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The watch of the command line.
pub struct Teller {
    progress: ProgressKind,
    quiet: bool,
    verbose: bool,
    log: Option<Mutex<File>>,
    stage: Mutex<Stage>,
}

#[derive(Default)]
struct Stage {
    bar: Option<ProgressBar>,
    title: String,
    total: Option<u64>,
    since: Option<Instant>,
    told: Option<Instant>,
    done: u64,
    // Of a rescue: its pass, and when the log heard of it.
    pass: &'static str,
    logged: Option<Instant>,
    // Set once words have taken the place of the bar.
    words: bool,
}

/// How wide the terminal is that progress is shown on.
fn console_columns() -> u16 {
    rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| size.ws_col)
}

impl Teller {
    /// A watch that shows what `common` asks for.
    pub fn new(common: &Common) -> Result<Arc<Self>> {
        let log = match &common.log {
            Some(path) => {
                let file = File::options().create(true).append(true).open(path);
                Some(Mutex::new(file.map_err(|e| Error::io("cannot open the log", e).in_path(path))?))
            }
            None => None,
        };
        let progress = match common.progress {
            Some(kind) => kind,
            None if !common.quiet && std::io::stderr().is_terminal() => ProgressKind::Bar,
            None => ProgressKind::None,
        };
        Ok(Arc::new(Teller {
            progress,
            quiet: common.quiet,
            verbose: common.verbose > 0,
            log,
            stage: Mutex::new(Stage::default()),
        }))
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an event to the log, with the time.
    fn log(&self, event: serde_json::Value) {
        if let Some(log) = &self.log {
            let mut line = serde_json::json!({"time": tintype_engine::report::now()});
            if let (Some(line), serde_json::Value::Object(event)) = (line.as_object_mut(), event) {
                line.extend(event);
            }
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = writeln!(log, "{line}");
        }
    }

    /// How a rescue stands: as a text with a map on a terminal, as JSON, and now and then in the log.
    fn standing(&self, standing: &Standing) {
        let mut stage = self.stage();
        let changed = stage.pass != standing.pass;
        stage.pass = standing.pass;
        if let Some(bar) = stage.bar.clone() {
            if !std::mem::replace(&mut stage.words, true)
                && let Ok(style) = ProgressStyle::with_template("{msg}")
            {
                bar.set_style(style);
            }
            let columns = usize::from(console_columns()).saturating_sub(1).max(20);
            bar.set_message(standing::lines(standing, columns, standing::Paint::of_stderr()));
            bar.tick();
        }
        let json =
            self.progress == ProgressKind::Json && (changed || stage.told.is_none_or(|t| t.elapsed() >= JSON_EVERY));
        if json {
            stage.told = Some(Instant::now());
        }
        let log = self.log.is_some() && (changed || stage.logged.is_none_or(|t| t.elapsed() >= LOG_EVERY));
        if log {
            stage.logged = Some(Instant::now());
        }
        stage.done = standing.rescued;
        drop(stage);
        if json {
            self.json(standing::json(standing, standing::Cells::Shown));
        }
        if log {
            self.log(standing::json(standing, standing::Cells::Left));
        }
    }

    fn json(&self, value: serde_json::Value) {
        if self.progress == ProgressKind::Json {
            let _ = writeln!(std::io::stderr().lock(), "{value}");
        }
    }

    fn begin(&self, title: &str, total: Option<u64>) {
        let mut stage = self.stage();
        *stage = Stage { title: title.to_owned(), total, since: Some(Instant::now()), ..Stage::default() };
        if self.progress == ProgressKind::Bar {
            let bar = match total {
                Some(total) => ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()),
                None => ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()),
            };
            let template = match total {
                Some(_) => {
                    "{msg} {wide_bar} {percent}% {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left"
                }
                None => "{msg} {binary_bytes} {binary_bytes_per_sec} {elapsed}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_message(title.to_owned());
            stage.bar = Some(bar);
        }
        drop(stage);
        if self.verbose && self.progress == ProgressKind::None {
            self.say("note", title);
        }
        self.json(serde_json::json!({"event": "begin", "title": title, "total": total}));
    }

    fn progress(&self, done: u64, lost: u64) {
        let mut stage = self.stage();
        stage.done = done;
        if let Some(bar) = &stage.bar {
            bar.set_position(done);
            if lost > 0 {
                bar.set_message(format!("{} ({lost} bytes lost)", stage.title));
            }
        }
        if self.progress == ProgressKind::Json && stage.told.is_none_or(|t| t.elapsed() >= JSON_EVERY) {
            stage.told = Some(Instant::now());
            let seconds = stage.since.map_or(0.0, |s| s.elapsed().as_secs_f64());
            let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
            let left = stage.total.filter(|_| rate > 0.0).map(|t| t.saturating_sub(done) as f64 / rate);
            let total = stage.total;
            drop(stage);
            self.json(serde_json::json!({
                "event": "progress", "done": done, "total": total, "lost": lost,
                "bytes_per_second": rate.round(), "seconds_left": left.map(f64::round),
            }));
        }
    }

    fn end(&self) {
        let mut stage = self.stage();
        if let Some(bar) = stage.bar.take() {
            bar.finish_and_clear();
        }
        let done = stage.done;
        let title = std::mem::take(&mut stage.title);
        let seconds = stage.since.map_or(0.0, |s| s.elapsed().as_secs_f64());
        drop(stage);
        if self.verbose && self.progress != ProgressKind::Json {
            let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
            self.say("note", &format!("{title}: {done} bytes in {seconds:.1} s, {}/s", human_size(rate as u64)));
        }
        self.json(serde_json::json!({"event": "end", "title": title, "done": done}));
    }

    fn say(&self, kind: &str, text: &str) {
        let stage = self.stage();
        match (&stage.bar, self.progress) {
            (_, ProgressKind::Json) => {
                drop(stage);
                self.json(serde_json::json!({"event": kind, "message": text}));
            }
            (Some(bar), _) => bar.suspend(|| {
                let _ = writeln!(std::io::stderr().lock(), "tintype: {text}");
            }),
            (None, _) if self.quiet && kind != "warning" => {}
            (None, _) => {
                let _ = writeln!(std::io::stderr().lock(), "tintype: {text}");
            }
        }
    }
}

impl Watch for Teller {
    fn event(&self, event: &Event) {
        match event {
            Event::Begin { title, total } => {
                self.log(serde_json::json!({"event": "begin", "title": title, "total": total}));
                self.begin(title, *total);
            }
            Event::Progress { done, lost } => self.progress(*done, *lost),
            Event::Standing(standing) => self.standing(standing),
            Event::Read { offset, len, good, seconds } => self.log(serde_json::json!({
                "event": if good < len { "failed_read" } else { "read" },
                "offset": offset, "len": len, "good": good, "seconds": seconds,
            })),
            Event::End => {
                self.log(serde_json::json!({"event": "end"}));
                self.end();
            }
            Event::Note(text) => {
                self.log(serde_json::json!({"event": "note", "message": text}));
                self.say("note", text);
            }
            Event::Warning(text) => {
                self.log(serde_json::json!({"event": "warning", "message": text}));
                self.say("warning", &format!("warning: {text}"));
            }
        }
    }

    fn cancelled(&self) -> bool {
        STOP.load(Ordering::Relaxed)
    }
}
