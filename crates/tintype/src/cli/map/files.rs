//! `map files` and `map used`: maps and the file systems under them.

use super::{Context, TargetArgs};
use crate::cli::common::InputArgs;
use crate::cli::files::{owners, warn};
use crate::output::{Output, Status as Exit};
use std::path::PathBuf;
use tintype_core::mapfile::{Mapfile, Progress, Status};
use tintype_core::{Event, Result, Watch, human_size};
use tintype_engine::files::hurt::{Hurt, hurt, lost};
use tintype_engine::files::{used, volumes};
use tintype_engine::map::save;
use tintype_engine::open::open;

/// Options of `map files`.
#[derive(clap::Args)]
#[command(after_help = "\
Exit status 1 means: a file or metadata is touched, or bytes that nobody is known to own. Losses in free space alone are none.

Examples:
  tintype map files disk.map disk.img
  tintype map files disk.map disk.img --json=hurt.json")]
pub struct FilesArgs {
    /// The map
    #[arg(value_name = "MAP", value_hint = clap::ValueHint::FilePath)]
    map: PathBuf,
    /// The image it belongs to
    #[arg(value_name = "IMAGE", value_hint = clap::ValueHint::AnyPath)]
    image: String,
    /// Format of the image, instead of what its content says
    #[arg(long, value_name = "FORMAT", help_heading = "Input")]
    from: Option<String>,
}

/// Runs `map files`.
pub fn files(args: &FilesArgs, context: &Context<'_>) -> Result<Exit> {
    let input = InputArgs { from: args.from.clone(), map: Some(args.map.clone()), ..InputArgs::default() };
    let opened = open(&args.image, &input.inputs(context))?;
    let lost = lost(&*opened.source)?;
    let found = hurt(&args.image, &*opened.source, &volumes(&opened.source), &lost)?;
    warn(&found, context);
    Output::new(context.common, context.stdout).result(&found, &words(&found))?;
    Ok(if found.is_any() || !found.errors.is_empty() { Exit::Found } else { Exit::Done })
}

fn words(found: &Hurt) -> String {
    if found.bytes == 0 {
        return "nothing is lost\n".into();
    }
    let head = format!(
        "{} are lost; they touch {} files and {} pieces of metadata\n",
        human_size(found.bytes),
        found.files.len(),
        found.metadata.len()
    );
    head + &owners(found)
}

/// Options of `map used`.
#[derive(clap::Args)]
#[command(after_help = "\
What is in use is finished in the map, what is free is not tried: a domain for other commands and for ddrescue -m. Everything that
there is any doubt about counts as used, and the reason is told.

Examples:
  tintype map used /dev/sdb -o used.map")]
pub struct UsedArgs {
    /// A drive or an image
    #[arg(value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath)]
    source: String,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    pub(super) target: TargetArgs,
}

/// Runs `map used`.
pub fn used(args: &UsedArgs, context: &Context<'_>) -> Result<Exit> {
    let opened = open(&args.source, &args.input.inputs(context))?;
    let volumes = volumes(&opened.source);
    for warning in &volumes.warnings {
        context.watch.event(&Event::Warning(warning.clone()));
    }
    let (used, parts) = used::used(&*opened.source, &volumes);
    let mut blocks = tintype_core::RangeMap::new();
    blocks.set(0..opened.source.len(), Status::NonTried);
    for (range, ()) in used.iter() {
        blocks.set(range, Status::Finished);
    }
    let map = Mapfile::new(Progress::default(), blocks);
    let command: Vec<String> = std::env::args().collect();
    args.target.put(&mut |out| map.write(&save::heading(&command), out))?;
    let mut text = String::new();
    for part in &parts {
        let name = part.file_system.unwrap_or("no file system");
        let where_ = if part.part.is_empty() { "the whole" } else { &part.part };
        text.push_str(&format!("{where_}: {name}, {} of {} in use\n", human_size(part.used), human_size(part.size)));
        if let Some(why) = &part.refused {
            context.watch.event(&Event::Warning(format!("{where_}: all of it counts as used: {why}")));
        }
    }
    let total: u64 = used.iter().map(|(r, ())| r.end - r.start).sum();
    let document =
        serde_json::json!({ "source": args.source, "size": opened.source.len(), "used": total, "parts": parts });
    Output::new(context.common, context.stdout).result(&document, if args.target.is_stdout() { "" } else { &text })?;
    Ok(Exit::Done)
}
