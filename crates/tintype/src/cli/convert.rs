//! `convert IMAGE IMAGE`

use super::Context;
use super::image::conclude;
use super::imaging::ImagingArgs;
use crate::output::Status;
use tintype_core::Result;
use tintype_engine::image::Reports;

/// Options of `convert`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype convert case17.E01 disk.img                     back to raw
  tintype convert disk.img disk.E01 --compression best    raw to E01
  tintype convert rescued.img out.E01 --map rescued.map   with the bad areas of a rescue kept
  tintype convert disk.E01#p2 root.img.zst                one partition")]
pub struct Args {
    /// The image to read, or - for standard input
    #[arg(value_name = "IMAGE", value_hint = clap::ValueHint::AnyPath)]
    source: String,
    /// The new image; the extension says the format
    #[arg(value_name = "NEW", value_hint = clap::ValueHint::FilePath)]
    pub target: String,
    #[command(flatten)]
    imaging: ImagingArgs,
}

/// Runs it.
pub fn run(args: &Args, context: &Context<'_>) -> Result<Status> {
    let targets = std::slice::from_ref(&args.target);
    let request = args.imaging.request("convert", &args.source, targets, Reports::None, context)?;
    conclude(&tintype_engine::image::run(request)?, context)
}
