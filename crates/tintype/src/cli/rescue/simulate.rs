//! `rescue --simulate MODEL`

use super::options::NO_DRIVE;
use super::{Args, plan};
use crate::cli::Context;
use crate::output::{Output, Status};
use std::path::Path;
use std::sync::Arc;
use tintype_core::{Error, Result, human_size};
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
    let named = args.source.as_os_str() != NO_DRIVE;
    let size = match model.size() {
        Some(size) => size,
        None if named => {
            rescue::open_drive(&args.source, Passthrough::Never, args.read_timeout, &*context.watch)?.source.len()
        }
        None => {
            return Err(Error::usage("does not say how large the drive is; add a line `size BYTES`, or name a drive")
                .in_path(path));
        }
    };
    let sector = args.sector.unwrap_or(model.sector());
    if !sector.is_power_of_two() || sector < model.sector() || sector > 1 << 20 {
        return Err(Error::usage(format!(
            "--sector {sector}: it takes a power of two from {} to 1 MiB for this model",
            model.sector()
        )));
    }
    let plan = plan(args, model.sector(), sector)?;
    let simulated = rescue::simulate(Simulation {
        locator: path.to_string_lossy().into_owned(),
        model,
        size,
        domain: args.domain.domain()?,
        plan,
        deadline: args.read_timeout,
        limits: Limits { errors: args.max_errors, time: args.max_time, ..Limits::default() },
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
