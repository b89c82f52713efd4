//! `convert IMAGE IMAGE`

use super::Context;
use super::common::{CaseArgs, ContentArgs, InputArgs, OutputArgs, ProofArgs, size};
use super::image::{conclude, from};
use crate::output::Status;
use std::sync::Arc;
use tintype_core::Result;
use tintype_engine::image::{Reports, Request, Run};

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
    /// Length of standard input, for formats that have to know it
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Input")]
    size: Option<u64>,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    content: ContentArgs,
    #[command(flatten)]
    proof: ProofArgs,
    #[command(flatten)]
    case: CaseArgs,
}

/// Runs it.
pub fn run(args: &Args, context: &Context<'_>) -> Result<Status> {
    let imaged = tintype_engine::image::run(Request {
        verb: "convert",
        from: from(&args.source, &args.input, args.size, context)?,
        facts: args.case.facts(),
        targets: vec![args.output.wish(&args.target)],
        overwrite: args.output.overwrite(),
        digests: args.content.digests()?,
        policy: args.content.policy()?,
        fill: args.content.fill_words(),
        proof: args.proof.proof(),
        reports: args.case.report.clone().map_or(Reports::None, Reports::Prefix),
        run: if args.output.dry_run { Run::Dry } else { Run::Real },
        command: std::env::args().collect(),
        watch: Arc::clone(&context.watch) as _,
    })?;
    conclude(&imaged, context)
}
