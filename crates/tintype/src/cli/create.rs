//! `create IMAGE --size N`

use super::Context;
use super::common::{InputArgs, OutputArgs, size};
use crate::output::{Output, Status};
use tintype_core::{Result, human_size};
use tintype_engine::create::Request;
use tintype_engine::image::Run;

/// Options of `create`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype create disk.img --size 20GiB                an empty disk, a file that is all hole
  tintype create disk.raw --size 512MiB --dry-run     what would be made")]
pub struct Args {
    /// The new image; the extension says the format
    #[arg(value_name = "IMAGE", value_hint = clap::ValueHint::FilePath)]
    image: String,
    /// Its size; with --backing without it that of the backing file
    #[arg(long, value_name = "SIZE", value_parser = size)]
    size: Option<u64>,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs it.
pub fn run(args: &Args, context: &Context<'_>) -> Result<Status> {
    let made = tintype_engine::create::run(Request {
        wish: args.output.wish(&args.image, &args.input.inputs(context))?,
        size: args.size,
        overwrite: args.output.overwrite(),
        run: if args.output.dry_run { Run::Dry } else { Run::Real },
    })?;
    let word = if made.dry_run { "would be" } else { "is" };
    let mut text =
        format!("{} {word} an empty {} of {} bytes ({})\n", made.target, made.format, made.size, human_size(made.size));
    for note in &made.notes {
        text += &format!("  note: {note}\n");
    }
    Output::new(context.common, context.stdout).result(&made, &text)?;
    Ok(Status::Done)
}
