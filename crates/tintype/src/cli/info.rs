//! `info SOURCE`

use super::Context;
use super::common::InputArgs;
use crate::output::{Output, Status};
use tintype_core::Result;
use tintype_engine::info::{Listing, run as look};

/// Options of `info`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype info case17.E01              format, case data, digests, partitions
  tintype info case17.E01 --extents    every run of data, zeros and bad sectors
  tintype info /dev/sdb --json         the same for programs")]
pub struct Args {
    /// A drive or an image
    #[arg(value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath)]
    source: String,
    /// List every extent
    #[arg(long)]
    extents: bool,
    #[command(flatten)]
    input: InputArgs,
}

/// Runs it.
pub fn run(args: &Args, context: &Context<'_>) -> Result<Status> {
    let opened = tintype_engine::open::open(&args.source, &args.input.inputs(context))?;
    let info = look(&opened, if args.extents { Listing::Extents } else { Listing::Sums })?;
    Output::new(context.common, context.stdout).result(&info, &crate::report::info(&info))?;
    Ok(Status::Done)
}
