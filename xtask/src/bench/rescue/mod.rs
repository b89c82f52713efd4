//! The goals of `rescue`: every model of a failing drive, ours beside ddrescue on the same fault drive.
//!
//! Times are those of the drive's own clock, so that they do not depend on the machine. A `-` is a run that never came so far.

mod curve;
mod guest;
mod models;
mod processor;
mod rig;

use crate::Outcome;
use curve::{Behind, Curve};
use models::{Kind, MODELS, Model};
use rig::Rig;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What to run.
pub struct Wanted<'a> {
    pub data: &'a Path,
    /// Models; all without one.
    pub names: &'a [String],
    /// How much of the drive's time is really waited.
    pub scale: f64,
    /// A ddrescue besides the one that is installed.
    pub newer: Option<PathBuf>,
    /// True if the peers are to run as well.
    pub beside: Beside,
}

/// Who runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Ours and ddrescue.
    Peers,
    /// Only ours.
    Nobody,
}

/// A run of one program.
struct Side {
    name: String,
    curve: Curve,
}

/// Prints the table of goals. Fails if one is missed.
pub fn run(wanted: &Wanted<'_>) -> Outcome {
    let known: Vec<_> = MODELS.iter().map(|m| m.name).chain(OTHERS).collect();
    if let Some(unknown) = wanted.names.iter().find(|n| !known.contains(&n.as_str())) {
        return Err(format!("{unknown}: no such model; models are {}", known.join(", ")));
    }
    let program = super::build()?;
    let folder = wanted.data.join("rescue");
    let rig = Rig::new(&folder)?;
    let mut missed = Vec::new();
    println!("| model | measure | ours | peer | ratio | goal | |");
    println!("|---|---|---|---|---|---|---|");
    let asked = |name: &str| wanted.names.is_empty() || wanted.names.iter().any(|n| n == name);
    for model in MODELS.iter().filter(|m| asked(m.name)) {
        let bench = Bench { rig: &rig, folder: &folder, program: &program, wanted, model };
        let rows = bench.run().map(|rows| rows.into_iter().map(|row| (model.name.to_owned(), row)).collect());
        print(model.name, rows, &mut missed);
    }
    let [healthy, processor] = OTHERS;
    if asked(processor) {
        let row = processor::row(&rig, &folder, &program).map(|row| vec![("any".to_owned(), row)]);
        print(processor, row, &mut missed);
    }
    if asked(healthy) {
        print(healthy, noise(&folder).and_then(|noise| guest::rows(&folder, &noise, 3)), &mut missed);
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("missed: {}", missed.join(", "))) }
}

/// What is no model: healthy drives in a guest (on this machine: the rows `rescue-ddrescue` and `rescue-dd`), and processor time.
const OTHERS: [&str; 2] = ["healthy-guest", "processor"];

fn print(name: &str, rows: Result<Vec<(String, Row)>, String>, missed: &mut Vec<String>) {
    match rows {
        Ok(rows) => {
            for (name, row) in rows {
                println!("| {name} | {} |", row.line);
                if row.met == Some(false) {
                    missed.push(format!("{name}: {}", row.measure));
                }
            }
        }
        Err(e) => {
            println!("| {name} | {e} |");
            missed.push(format!("{name} ({e})"));
        }
    }
}

struct Bench<'a> {
    rig: &'a Rig,
    folder: &'a Path,
    program: &'a Path,
    wanted: &'a Wanted<'a>,
    model: &'a Model,
}

/// A line of the table.
struct Row {
    measure: String,
    line: String,
    met: Option<bool>,
}

impl Row {
    fn new(measure: &str, ours: Option<f64>, peer: Option<(f64, &str)>, goal: Option<f64>) -> Self {
        let number = |n: Option<f64>| {
            n.map_or("-".to_owned(), |n| if n < 1000.0 { format!("{n:.1}") } else { format!("{n:.0}") })
        };
        let ratio = ours.zip(peer.map(|p| p.0)).map(|(a, b)| a / b);
        // Where the peer never came so far, we have to come there at all.
        let met = goal.map(|goal| ours.is_some() && ratio.is_none_or(|r| r <= goal));
        let line = format!(
            "{measure} | {} | {}{} | {} | {} | {}",
            number(ours),
            number(peer.map(|p| p.0)),
            peer.map_or(String::new(), |p| format!(" ({})", p.1)),
            ratio.map_or("-".to_owned(), |r| format!("{r:.3}")),
            goal.map_or(String::new(), |g| format!("{g:.2}")),
            word(met)
        );
        Row { measure: measure.to_owned(), line, met }
    }

    fn said(measure: &str, text: &str, met: Option<bool>) -> Self {
        Row { measure: measure.to_owned(), line: format!("{measure} | {text} | {}", word(met)), met }
    }
}

fn word(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    }
}

impl Bench<'_> {
    fn run(&self) -> Result<Vec<Row>, String> {
        let text = self.model.text(&self.rig.scripts)?;
        let path = self.folder.join(format!("{}.model", self.model.name));
        std::fs::write(&path, &text).map_err(|e| format!("{}: {e}", path.display()))?;
        let model = tintype_engine::rescue::Model::parse(&text).map_err(|e| e.to_string())?;
        let total = model.recoverable(0..self.model.size);
        let backing = noise(self.folder)?;
        let mut rows = Vec::new();
        let play = |name: &str, words: &[String]| -> Result<Side, String> {
            let played = self.rig.play(&path, &backing, self.model.size, self.wanted.scale, words)?;
            let curve = Curve::new(&played.reads, self.model.size, total);
            let wrong = curve.wrong(&played.image, &backing)?;
            let speed = format!("{:.1} s wall, {:.1} s processor", played.wall(), played.processor_seconds());
            eprintln!(
                "{}: {name}: {} reads, {} failed, {:.1} s; {:.4} %; {speed}",
                self.model.name,
                played.reads.len(),
                curve.failed(),
                curve.seconds,
                curve.percent()
            );
            match wrong {
                0 => Ok(Side { name: name.to_owned(), curve }),
                n => Err(format!("{name}: {n} sectors are WRONG")),
            }
        };
        let ours = play("tintype rescue", &self.ours(&[]))?;
        if self.wanted.beside == Beside::Nobody {
            for percent in [50.0, 90.0, 99.0, 99.9, 99.99, 100.0] {
                let until = ours.curve.until(percent);
                rows.push(Row::new(&format!("seconds to {percent} %"), until.map(|u| u.0), None, None));
                rows.push(Row::new(&format!("failed reads to {percent} %"), until.map(|u| u.1 as f64), None, None));
            }
            return Ok(rows);
        }
        let all = play("tintype rescue --exhaustive", &self.ours(&["--exhaustive"]))?;
        let mut peers = Vec::new();
        for (name, words) in self.peers()? {
            peers.push(play(&name, &words)?);
        }
        self.judge(&mut rows, &ours, &peers);
        rows.extend([&ours, &all].map(|ours| curve_row(ours, &peers)));
        Ok(rows)
    }

    fn ours(&self, more: &[&str]) -> Vec<String> {
        let program = self.program.display().to_string();
        let mut words = vec![program, "rescue".into(), "{src}".into(), "{dst}".into(), "{map}".into(), "-q".into()];
        if self.model.sector > 512 {
            words.extend(["--sector".into(), self.model.sector.to_string()]);
        }
        words.extend(more.iter().map(|w| (*w).to_owned()));
        words
    }

    /// Settings of ddrescue that a rescuer would choose from.
    fn peers(&self) -> Result<Vec<(String, Vec<String>)>, String> {
        let mut peers = Vec::new();
        let installed = PathBuf::from("ddrescue");
        for program in std::iter::once(&installed).chain(&self.wanted.newer) {
            let version = version(program)?;
            let settings: &[&[&str]] = match (self.model.kind, self.model.sector) {
                (Kind::DeadHead, 512) => &[&["-d"]],
                (Kind::MakeTest, _) => &[&["-d"], &["-d", "-K128Mi"]],
                (_, 512) => &[&["-d"], &["-d", "-r1"], &["-d", "-b4096"], &["-d", "-b4096", "-r1"]],
                (Kind::DeadHead, _) => &[&["-d", "-b4096"]],
                _ => &[&["-d", "-b4096"], &["-d", "-b4096", "-r1"]],
            };
            for setting in settings {
                let mut words = vec![program.display().to_string(), "-q".into(), "-S".into()];
                words.extend(setting.iter().map(|s| (*s).to_owned()));
                words.extend(["{src}".into(), "{dst}".into(), "{map}".into()]);
                peers.push((format!("{version} {}", setting.join(" ")), words));
            }
        }
        Ok(peers)
    }

    /// The rows of the table that this kind of drive has.
    fn judge(&self, rows: &mut Vec<Row>, ours: &Side, peers: &[Side]) {
        let time = |side: &Side, percent| side.curve.until(percent).map(|u| u.0);
        let failed = |side: &Side, percent| side.curve.until(percent).map(|u| u.1 as f64);
        let mut times = |percent: f64, goal| {
            let (measure, ours) = (format!("seconds to {percent} %"), time(ours, percent));
            rows.push(Row::new(&measure, ours, best(peers, |s| time(s, percent)), goal));
        };
        match self.model.kind {
            Kind::Scattered => {
                times(99.9, Some(0.7));
                let fewest = best(peers, |s| failed(s, 99.9));
                rows.push(Row::new("failed reads to 99.9 %", failed(ours, 99.9), fewest, Some(0.7)));
            }
            Kind::Scratch => [(90.0, 0.35), (99.0, 0.5), (99.9, 0.15)].into_iter().for_each(|(p, g)| times(p, Some(g))),
            Kind::WeakHead => {
                [(90.0, 0.62), (99.0, 0.68), (99.9, 0.35)].into_iter().for_each(|(p, g)| times(p, Some(g)))
            }
            Kind::Other => [90.0, 99.0, 99.9].into_iter().for_each(|p| times(p, None)),
            Kind::DeadHead => {
                for peer in peers {
                    let to_all = failed(peer, 100.0).map(|f| (f, &*peer.name));
                    rows.push(Row::new("failed reads to all good data", failed(ours, 100.0), to_all, Some(0.15)));
                    let (all, theirs) = (ours.curve.failed() as f64, peer.curve.failed() as f64);
                    rows.push(Row::new(
                        "failed reads when it stops",
                        Some(all),
                        Some((theirs, &peer.name)),
                        Some(0.05),
                    ));
                }
            }
            Kind::MakeTest => {
                let fewest = failed(ours, 100.0);
                for peer in peers {
                    let to_all = failed(peer, 100.0).map(|f| (f, &*peer.name));
                    rows.push(Row::new("failed reads to all good data", fewest, to_all, None));
                }
                let text = format!("{} | | | 90", fewest.map_or("-".into(), |f| f.to_string()));
                rows.push(Row::said("failed reads to all good data", &text, Some(fewest.is_some_and(|f| f <= 90.0))));
            }
        }
    }
}

/// What the drive holds: noise, so that every wrong byte is seen; large drives are empty behind their first GiB.
fn noise(folder: &Path) -> Result<PathBuf, String> {
    let path = folder.join("noise.img");
    let len = 1 << 30;
    if path.metadata().is_ok_and(|m| m.len() == len) {
        return Ok(path);
    }
    let fail = |e: std::io::Error| format!("{}: {e}", path.display());
    let partial = path.with_extension("partial");
    let mut file = std::io::BufWriter::new(File::create(&partial).map_err(fail)?);
    let mut rng = crate::workload::Rng(7);
    for _ in 0..len / 8 {
        file.write_all(&rng.next().to_le_bytes()).map_err(fail)?;
    }
    file.flush().map_err(fail)?;
    std::fs::rename(partial, &path).map_err(fail)?;
    Ok(path)
}

/// The best setting at something, and its name.
fn best(peers: &[Side], what: impl Fn(&Side) -> Option<f64>) -> Option<(f64, &str)> {
    let all = peers.iter().filter_map(|peer| Some((what(peer)?, &*peer.name)));
    all.min_by(|a, b| a.0.total_cmp(&b.0))
}

/// At every number of failed reads past 90 %, and beside every setting: is less there?
fn curve_row(ours: &Side, peers: &[Side]) -> Row {
    let (mut points, mut text) = (0, String::new());
    let mut never = true;
    for peer in peers {
        let Behind { points: compared, count, first, last, worst, at, beyond } = ours.curve.behind(&peer.curve);
        points += compared;
        let name = &peer.name;
        if let Some(first) = first {
            never = false;
            text += &format!("; {name}: less at {count}, {first} to {last}, at most {worst} bytes, after {at}");
        }
        if beyond > 0 {
            text += &format!("; {name} goes on for {beyond} bytes");
        }
    }
    let measure = format!("bytes past 90 %: {}", ours.name);
    let settings = peers.len();
    let text =
        format!("{points} points beside {settings} settings{}{text} | | |", if never { ": never less" } else { "" });
    Row::said(&measure, &text, Some(never))
}

/// `1.27` of `GNU ddrescue 1.27`.
fn version(program: &Path) -> Result<String, String> {
    let output = std::process::Command::new(program).arg("--version").output();
    let output = output.map_err(|e| format!("{}: {e}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.lines().next().and_then(|l| l.split_whitespace().last());
    version.map(str::to_owned).ok_or_else(|| format!("{} does not say its version", program.display()))
}
