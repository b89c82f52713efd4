//! `clone DRIVE DRIVE`

use super::Context;
use super::common::{ContentArgs, InputArgs, ProofArgs};
use super::restore::{DriveArgs, Work, onto_drive};
use crate::output::Status;
use std::path::Path;
use tintype_core::{Error, Result};
use tintype_engine::open::{Medium, medium_of};

/// Options of `clone`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype clone /dev/sdb /dev/sdc --verify    onto a drive of the same size, or larger
  tintype clone /dev/sdb /dev/sdc --dry-run   say what would be done

What lies beyond the size of the source on a larger target is left as it is.")]
pub struct Args {
    /// The drive to read
    #[arg(value_name = "FROM", value_hint = clap::ValueHint::AnyPath)]
    source: String,
    /// The drive to write
    #[arg(value_name = "TO", value_hint = clap::ValueHint::AnyPath)]
    target: String,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    content: ContentArgs,
    #[command(flatten)]
    proof: ProofArgs,
    #[command(flatten)]
    drive: DriveArgs,
}

/// Runs it.
pub fn run(args: &Args, context: &Context<'_>) -> Result<Status> {
    let opened = tintype_engine::open::open(&args.source, &args.input.inputs(context))?;
    if opened.medium != Medium::Drive {
        return Err(Error::usage("is no drive; restore writes images onto drives").in_path(&args.source));
    }
    if medium_of(Path::new(&args.target))? != Medium::Drive {
        return Err(Error::usage("is no drive; image makes images of drives").in_path(&args.target));
    }
    let work = Work { verb: "clone", content: &args.content, proof: &args.proof, drive: &args.drive };
    onto_drive(opened, Path::new(&args.target), &work, context)
}
