//! `rescue --simulate MODEL`

use super::{Args, plan, seconds};
use crate::cli::Context;
use crate::output::{Output, Status};
use std::path::Path;
use std::sync::Arc;
use tintype_core::{Error, Result, Source as _, human_size};
use tintype_engine::rescue::{self, Limits, Model, Passthrough, Simulated, Simulation};

/// Models and mapfiles are read whole; larger ones are something else.
const MOST: u64 = 1 << 30;

/// Plays the rescue.
pub fn run(args: &Args, path: &Path, context: &Context<'_>) -> Result<Status> {
    let failed = |e| Error::io("cannot read the model", e).in_path(path);
    if std::fs::metadata(path).map_err(failed)?.len() > MOST {
        return Err(Error::usage("is too large for a model").in_path(path));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let model = Model::parse(&text).map_err(|e| e.in_path(path))?;
    let timeout = seconds("--read-timeout", args.read_timeout)?;
    let size = match (model.size(), &args.source) {
        (Some(size), _) => size,
        (None, Some(drive)) => rescue::open_drive(drive, Passthrough::Never, timeout, &*context.watch)?.source.len(),
        (None, None) => {
            return Err(Error::usage("does not say how large the drive is; add a line `size BYTES`, or name a drive")
                .in_path(path));
        }
    };
    let plan = plan(args, model.sector(), model.sector())?;
    let simulated = rescue::simulate(Simulation {
        locator: path.to_string_lossy().into_owned(),
        model,
        size,
        domain: args.domain.domain()?,
        plan,
        deadline: timeout,
        limits: Limits { errors: args.max_errors, time: args.max_time.map(|t| seconds("--max-time", t)).transpose()? },
        watch: Arc::clone(&context.watch) as _,
    })?;
    Output::new(context.common, context.stdout).result(&simulated, &summary(&simulated))?;
    Ok(if simulated.rescued == simulated.domain { Status::Done } else { Status::Found })
}

fn summary(played: &Simulated) -> String {
    let share = |of: u64| played.rescued as f64 * 100.0 / of.max(1) as f64;
    let mut text = format!(
        "played {}: {:.4} % of {}, {:.4} % of what can be had, in {:.1} s; no drive was touched\n",
        played.model,
        share(played.domain),
        human_size(played.domain),
        share(played.recoverable),
        played.seconds
    );
    text += &format!("{} reads, {} failed", played.reads, played.failed_reads);
    if played.hung_reads > 0 {
        text += &format!(", {} of them hung", played.hung_reads);
    }
    text += "\n  of what can be had     seconds   failed reads\n";
    for point in &played.curve {
        let percent = format!("{} %", point.percent);
        text += &format!("  {percent:>18} {:>11.1} {:>14}\n", point.seconds, point.failed_reads);
    }
    if played.untrue > 0 {
        text += &format!("{} read well and are not what was written\n", human_size(played.untrue));
    }
    if let Some(why) = &played.stopped {
        text += &format!("stopped: {why}\n");
    }
    text
}
