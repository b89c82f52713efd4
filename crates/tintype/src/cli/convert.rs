//! `convert IMAGE IMAGE`

use super::Context;
use super::common::writable;
use super::image::conclude;
use super::imaging::ImagingArgs;
use crate::output::Output;
use crate::output::Status;
use tintype_core::{Error, Format, Result};
use tintype_engine::image::Reports;

/// Options of `convert`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype convert case17.E01 disk.img                     back to raw
  tintype convert disk.img disk.E01 --compression best    raw to E01
  tintype convert rescued.img out.E01 --map rescued.map   with the bad areas of a rescue kept
  tintype convert disk.E01#p2 root.img.zst                one partition
  tintype convert --help-format e01                       what can be chosen for E01")]
pub struct Args {
    /// The image to read, or - for standard input
    #[arg(value_name = "IMAGE", value_hint = clap::ValueHint::AnyPath, required_unless_present = "help_format")]
    source: Option<String>,
    /// The new image; the extension says the format
    #[arg(value_name = "NEW", value_hint = clap::ValueHint::FilePath, required_unless_present = "help_format")]
    pub target: Option<String>,
    /// Only list what can be chosen for images of a format
    #[arg(long, value_name = "FORMAT", value_parser = writable(), exclusive = true)]
    help_format: Option<String>,
    #[command(flatten)]
    imaging: ImagingArgs,
}

/// Runs it.
pub fn run(args: &Args, context: &Context<'_>) -> Result<Status> {
    if let Some(name) = &args.help_format {
        return help_format(tintype_formats::by_name(name)?, context);
    }
    let missing = || Error::usage("it takes the image to read and the new image");
    let source = args.source.as_ref().ok_or_else(missing)?;
    let target = args.target.as_ref().ok_or_else(missing)?;
    let request = args.imaging.request("convert", source, std::slice::from_ref(target), Reports::None, context)?;
    conclude(&tintype_engine::image::run(request)?, context)
}

/// Lists what can be chosen for images of `format`.
fn help_format(format: &Format, context: &Context<'_>) -> Result<Status> {
    let options: Vec<_> = format
        .options
        .iter()
        .map(|o| serde_json::json!({ "name": o.name, "values": o.values, "default": o.default, "help": o.help }))
        .collect();
    let json = serde_json::json!({
        "format": format.name,
        "title": format.title,
        "extensions": format.extensions,
        "compression": format.caps.compression,
        "options": options,
        "split": format.caps.split,
        "backing": format.caps.backing,
    });
    let mut text = format!("{}: {} (.{})\n", format.name, format.title, format.extensions.join(" ."));
    if !format.caps.compression.is_empty() {
        text += &format!("  --compression {}\n", format.caps.compression.join("|"));
    }
    for (can, option) in [(format.caps.split, "--split SIZE"), (format.caps.backing, "--backing FILE")] {
        if can {
            text += &format!("  {option}\n");
        }
    }
    for o in format.options {
        text += &format!("  --option {}={}\n      {} (default: {})\n", o.name, o.values, o.help, o.default);
    }
    Output::new(context.common, context.stdout).result(&json, &text)?;
    Ok(Status::Done)
}
