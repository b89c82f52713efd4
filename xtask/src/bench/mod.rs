//! Whole programs beside their peers: the same work, on the same machine, in turns.

pub mod rescue;
mod rows;

use crate::{Outcome, workload};
use rows::Row;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use tintype_tests::{LoopDevice, Scratch};

/// What one side of a row came to.
struct Side {
    seconds: f64,
    bytes: u64,
}

/// Runs the rows called `names`, or whose names begin with one of these words, all without one, and prints the table. Fails if a goal
/// is missed.
pub fn run(data: &Path, runs: usize, names: &[String]) -> Outcome {
    let rows = rows::rows();
    let is = |row: &Row, name: &str| {
        row.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    if let Some(unknown) = names.iter().find(|n| !rows.iter().any(|r| is(r, n))) {
        let known: Vec<_> = rows.iter().map(|r| r.name).collect();
        return Err(format!("{unknown}: no such row; rows are {}", known.join(", ")));
    }
    let disk = workload::disk(data)?;
    let program = build()?;
    println!("| row | ours s | peer s | ratio | goal | | ours MB | peer MB | size | goal | |");
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let mut missed = Vec::new();
    for row in rows.iter().filter(|r| names.is_empty() || names.iter().any(|n| is(r, n))) {
        match measure(row, &disk, data, &program, runs.max(1)) {
            Ok(met) if met => {}
            Ok(_) => missed.push(row.name.to_owned()),
            Err(e) => {
                println!("| {} | {e} |", row.name);
                missed.push(format!("{} ({e})", row.name));
            }
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("missed: {}", missed.join(", "))) }
}

fn build() -> Result<std::path::PathBuf, String> {
    if let Some(path) = std::env::var_os("TINTYPE_BIN") {
        return std::fs::canonicalize(&path).map_err(|e| format!("TINTYPE_BIN: {e}"));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--package=tintype", "--message-format=json"])
        .current_dir(crate::root())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cargo build: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let binary = text.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
    let binary = binary.filter_map(|m| m["executable"].as_str().map(std::path::PathBuf::from)).next_back();
    binary.filter(|_| output.status.success()).ok_or_else(|| "the program does not build".into())
}

fn measure(row: &Row, disk: &Path, data: &Path, program: &Path, runs: usize) -> Result<bool, String> {
    let goal = (row.goal)();
    let out = data.join("out");
    let _ = std::fs::remove_dir_all(&out);
    std::fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let scratch = Scratch::new();
    let device = row.device.then(|| LoopDevice::read_only_direct(disk));
    let source = device.as_ref().map_or(disk, |d| d.path());
    let shell = |text: &str| -> Result<f64, String> {
        let began = Instant::now();
        let output = Command::new("bash")
            .args(["-c", &format!("set -euo pipefail; {text}")])
            .env("T", program)
            .env("D", source)
            .env("O", &out)
            .env("LC_ALL", "C")
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("bash: {e}"))?;
        let seconds = began.elapsed().as_secs_f64();
        if output.status.success() {
            return Ok(seconds);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{text}: {} {}", output.status, said.lines().last().unwrap_or_default()))
    };
    if let Some(before) = row.before {
        shell(before)?;
    }
    // Both sides read from memory, except where a row is about a cold source.
    if !row.device {
        shell("cat \"$D\" > /dev/null")?;
    }
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        for (command, sides) in [(row.ours, &mut ours), (row.peer, &mut peer)] {
            shell("rm -f \"$O\"/x*; sync")?;
            if row.device {
                shell("echo 3 > /proc/sys/vm/drop_caches")?;
            }
            let seconds = shell(command)?;
            sides.push(Side { seconds, bytes: written(&out)? });
        }
    }
    let _ = std::fs::remove_dir_all(&out);
    Ok(report(row, &goal, median(ours), median(peer)))
}

/// Bytes that the files of one side take.
fn written(out: &Path) -> Result<u64, String> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(out).map_err(|e| format!("{}: {e}", out.display()))?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('x') && !name.ends_with(".txt") && !name.ends_with(".json") {
            let meta = entry.metadata().map_err(|e| e.to_string())?;
            bytes += meta.len().min(meta.blocks() * 512);
        }
    }
    Ok(bytes)
}

fn median(mut sides: Vec<Side>) -> Side {
    sides.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let middle = sides.len() / 2;
    sides.swap_remove(middle)
}

fn report(row: &Row, goal: &rows::Goal, ours: Side, peer: Side) -> bool {
    let ratio = ours.seconds / peer.seconds;
    let fast = ratio <= goal.time;
    let word = |met| if met { "met" } else { "MISSED" };
    let mut line = format!(
        "| {} | {:.2} | {:.2} | {ratio:.2} | {:.2} | {} |",
        row.name,
        ours.seconds,
        peer.seconds,
        goal.time,
        word(fast)
    );
    let mut small = true;
    if let Some(most) = goal.size {
        let size = ours.bytes as f64 / peer.bytes as f64;
        small = size <= most;
        line += &format!(
            " {:.0} | {:.0} | {size:.3} | {most:.2} | {} |",
            ours.bytes as f64 / 1e6,
            peer.bytes as f64 / 1e6,
            word(small)
        );
    } else {
        line += &format!(" {:.0} | {:.0} | | | |", ours.bytes as f64 / 1e6, peer.bytes as f64 / 1e6);
    }
    println!("{line}");
    fast && small
}
