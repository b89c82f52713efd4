//! `hash SOURCE`

use super::Context;
use super::common::{ContentArgs, InputArgs};
use crate::output::{Output, Status};
use std::path::PathBuf;
use std::sync::Arc;
use tintype_codec::digest::Algorithm;
use tintype_core::{Error, Result};
use tintype_engine::pipeline::Input;

/// Options of `hash`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype hash /dev/sdb --hash md5,sha256    two digests in one read
  tintype hash case17.E01                    of the disk inside the image
  tintype hash case17.E01#p2                 of its second partition")]
pub struct Args {
    /// What to hash: a drive, a file, an image, or - for standard input
    #[arg(value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath)]
    source: String,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    content: ContentArgs,
}

/// Runs it.
pub fn run(args: &Args, context: &Context<'_>) -> Result<Status> {
    let digests = args.content.digests()?.unwrap_or_else(|| vec![Algorithm::Sha256]);
    if digests.is_empty() {
        return Err(Error::usage("hash without a digest does nothing; name some with --hash"));
    }
    let (format, path, input) = match args.source.as_str() {
        "-" => ("raw".to_owned(), PathBuf::from("-"), Input::Stream(Box::new(std::io::stdin()), None)),
        source => {
            let opened = tintype_engine::open::open(source, &args.input.inputs(context))?;
            (opened.format.name.to_owned(), opened.path, Input::Source(opened.source))
        }
    };
    let hashed = tintype_engine::hash::run(tintype_engine::hash::Request {
        locator: args.source.clone(),
        format,
        input,
        digests,
        policy: args.content.policy()?,
        fill: args.content.fill_words(),
        watch: Arc::clone(&context.watch) as _,
    })
    .map_err(|e| e.met_in(&path))?;
    let lost = hashed.bad.iter().chain(&hashed.unread).map(|r| r.len).sum::<u64>();
    let mut text: String =
        hashed.digests.iter().map(|(name, value)| format!("{name:<8}{value}  {}\n", hashed.source)).collect();
    if lost > 0 {
        text.push_str(&format!("covers {}\n", hashed.digests_cover));
    }
    Output::new(context.common, context.stdout).result(&hashed, &text)?;
    Ok(if lost > 0 { Status::Found } else { Status::Done })
}
