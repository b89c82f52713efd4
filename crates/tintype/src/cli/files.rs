//! `files ...`

use super::Context;
use super::common::{InputArgs, size};
use crate::output::{Output, Status};
use std::path::PathBuf;
use tintype_core::{Error, Event, RangeMap, Result, Watch, human_size};
use tintype_engine::files::extract::{Extracted, cat, extract};
use tintype_engine::files::hurt::{Hurt, hurt};
use tintype_engine::files::look::{Depth, List, Listed, Names, Told, find, list, stat};
use tintype_engine::files::{Pattern, Volume, only, volumes};
use tintype_engine::open::{Opened, open};

/// Options of `files`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype files ls case17.E01#p2 /home               what is in a folder
  tintype files find case17.E01 '*.jpg'              in all file systems of the disk
  tintype files extract case17.E01#p2 /home home     a folder and everything in it
  tintype files at disk.img 1052672                  whose byte is this?

ext2, ext3, ext4, FAT12, FAT16 and FAT32 can be looked into. Without a part such as #p2 the only file system of a disk is meant.
With --map, what the map calls lost counts as lost, and what depends on it is told.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// List a folder
    Ls(LsArgs),
    /// Tell everything about a file, and where it lies
    Stat(FileArgs),
    /// Print a file
    Cat(FileArgs),
    /// Copy a file, or a folder with everything in it, out of the image
    Extract(ExtractArgs),
    /// Find files by name or path
    Find(FindArgs),
    /// Say what owns bytes of the disk
    At(AtArgs),
}

#[derive(clap::Args)]
struct LsArgs {
    /// An image or a drive, or a part of it
    #[arg(value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath)]
    source: String,
    /// The folder, or a file
    #[arg(value_name = "PATH", default_value = "/")]
    path: String,
    /// Also what is in the folders in it
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Also names that were deleted, as far as they still stand there
    #[arg(long)]
    deleted: bool,
    #[command(flatten)]
    input: InputArgs,
}

#[derive(clap::Args)]
struct FileArgs {
    /// An image or a drive, or a part of it
    #[arg(value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath)]
    source: String,
    /// The file
    #[arg(value_name = "PATH")]
    path: String,
    #[command(flatten)]
    input: InputArgs,
}

#[derive(clap::Args)]
struct ExtractArgs {
    /// An image or a drive, or a part of it
    #[arg(value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath)]
    source: String,
    /// The file or folder
    #[arg(value_name = "PATH")]
    path: String,
    /// What to make of it; must not exist yet
    #[arg(value_name = "TARGET", value_hint = clap::ValueHint::AnyPath)]
    target: PathBuf,
    #[command(flatten)]
    input: InputArgs,
}

#[derive(clap::Args)]
struct FindArgs {
    /// An image or a drive, or a part of it
    #[arg(value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath)]
    source: String,
    /// Names, or with a slash in them paths, with * ** ? and [a-z]
    #[arg(value_name = "PATTERN", required = true)]
    patterns: Vec<String>,
    /// Also names that were deleted, as far as they still stand there
    #[arg(long)]
    deleted: bool,
    #[command(flatten)]
    input: InputArgs,
}

#[derive(clap::Args)]
struct AtArgs {
    /// An image or a drive, or a part of it
    #[arg(value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath)]
    source: String,
    /// The first byte
    #[arg(value_name = "OFFSET", value_parser = size)]
    offset: u64,
    /// How many bytes
    #[arg(value_name = "LENGTH", value_parser = size, default_value = "1")]
    len: u64,
    #[command(flatten)]
    input: InputArgs,
}

impl Args {
    /// True if standard output gets the content of a file.
    pub fn prints_a_file(&self) -> bool {
        matches!(self.what, What::Cat(_))
    }
}

/// Runs it.
pub fn run(args: &Args, context: &Context<'_>) -> Result<Status> {
    match &args.what {
        What::Ls(args) => ls(args, context),
        What::Stat(args) => tell(args, context),
        What::Cat(args) => print(args, context),
        What::Extract(args) => copy(args, context),
        What::Find(args) => search(args, context),
        What::At(args) => at(args, context),
    }
}

fn volume(source: &str, input: &InputArgs, context: &Context<'_>) -> Result<(Opened, Volume)> {
    let opened = open(source, &input.inputs(context))?;
    let (volume, notes) = only(&opened.source, source)?;
    for note in notes {
        context.watch.event(&Event::Warning(note));
    }
    Ok((opened, volume))
}

fn names(deleted: bool) -> Names {
    if deleted { Names::Deleted } else { Names::Used }
}

fn ls(args: &LsArgs, context: &Context<'_>) -> Result<Status> {
    let (_opened, volume) = volume(&args.source, &args.input, context)?;
    let depth = if args.recursive { Depth::All } else { Depth::One };
    let found = list(&volume, &args.path, depth, names(args.deleted), &*context.watch)?;
    listed(&[(volume.part.clone(), found)], context)
}

fn search(args: &FindArgs, context: &Context<'_>) -> Result<Status> {
    let opened = open(&args.source, &args.input.inputs(context))?;
    let patterns: Vec<Pattern> = args.patterns.iter().map(|p| Pattern::new(p)).collect();
    let all = volumes(&opened.source);
    if all.open.is_empty() {
        // Says why.
        only(&opened.source, &args.source)?;
    }
    let mut found = Vec::new();
    for volume in &all.open {
        found.push((volume.part.clone(), find(volume, &patterns, names(args.deleted), &*context.watch)?));
    }
    listed(&found, context)
}

/// Prints lists; status 1 where something could not be read.
fn listed(lists: &[(String, List)], context: &Context<'_>) -> Result<Status> {
    let mut text = String::new();
    let mut files = Vec::new();
    let mut errors = Vec::new();
    let several = lists.len() > 1;
    for (part, list) in lists {
        for file in &list.files {
            text.push_str(&line(file, if several { part } else { "" }));
            let mut value = serde_json::to_value(file).unwrap_or_default();
            value["part"] = part.as_str().into();
            files.push(value);
        }
        for trouble in &list.errors {
            context.watch.event(&Event::Warning(format!("{part}{}: {}", trouble.path, trouble.message)));
            let mut value = serde_json::to_value(trouble).unwrap_or_default();
            value["part"] = part.as_str().into();
            errors.push(value);
        }
    }
    let whole = errors.is_empty() && lists.iter().all(|(_, l)| l.files.iter().all(|f| f.error.is_none()));
    Output::new(context.common, context.stdout)
        .result(&serde_json::json!({ "files": files, "errors": errors }), &text)?;
    Ok(if whole { Status::Done } else { Status::Found })
}

fn line(file: &Listed, part: &str) -> String {
    let sign = match file.kind {
        "folder" => 'd',
        "link" => 'l',
        "file" => '-',
        "special" => 's',
        _ => '?',
    };
    let size = file.size.map_or_else(|| "?".to_owned(), |s| s.to_string());
    let time = file.modified.as_deref().unwrap_or("-");
    let mode = file.mode.as_deref().unwrap_or("-");
    let mut text = format!("{sign} {mode:>4} {size:>12} {time:<20.20} {part}{}", shown(&file.path));
    if let Some(target) = &file.target {
        text.push_str(&format!(" -> {}", shown(target)));
    }
    if file.deleted {
        text.push_str("  (deleted)");
    }
    if let Some(error) = &file.error {
        text.push_str(&format!("  ({error})"));
    }
    text.push('\n');
    text
}

/// A name that cannot do anything to a terminal.
fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn tell(args: &FileArgs, context: &Context<'_>) -> Result<Status> {
    let (_opened, volume) = volume(&args.source, &args.input, context)?;
    let told = stat(&volume, &args.path)?;
    Output::new(context.common, context.stdout).result(&told, &words(&told))?;
    Ok(if told.lost.is_empty() && told.file.error.is_none() { Status::Done } else { Status::Found })
}

fn words(told: &Told) -> String {
    let file = &told.file;
    let mut text =
        format!("{}\n  {}, {} bytes, node {}\n", shown(&file.path), file.kind, file.size.unwrap_or(0), file.node);
    let mut row = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("  {name:<9} {}\n", shown(value)));
        }
    };
    row("leads to", &file.target);
    row("mode", &file.mode);
    row("owner", &file.owner.map(|(user, group)| format!("{user}:{group}, {} names", told.links)));
    row("modified", &file.modified);
    row("accessed", &told.accessed);
    row("changed", &told.changed);
    row("created", &told.created);
    row("content", &told.closed.map(str::to_owned));
    row("error", &file.error);
    for piece in &told.extents {
        let unwritten = if piece.unwritten { " (not written yet)" } else { "" };
        text.push_str(&format!(
            "  {:>12} bytes from {:<12} at {} of the disk{unwritten}\n",
            piece.len, piece.offset, piece.disk_offset
        ));
    }
    for range in &told.lost {
        text.push_str(&format!("  LOST: {} bytes from {}\n", range.len, range.offset));
    }
    text
}

fn print(args: &FileArgs, context: &Context<'_>) -> Result<Status> {
    let (_opened, volume) = volume(&args.source, &args.input, context)?;
    let (bytes, lost) = cat(&volume, &args.path, &mut std::io::stdout().lock(), &*context.watch)?;
    for range in &lost {
        context.watch.event(&Event::Warning(format!(
            "{} bytes of the file from {} are lost; what stands there is a fill",
            range.len, range.offset
        )));
    }
    if context.common.json.is_some() {
        let document = serde_json::json!({ "source": args.source, "path": args.path, "size": bytes, "lost": lost });
        Output::new(context.common, context.stdout).result(&document, "")?;
    }
    Ok(if lost.is_empty() { Status::Done } else { Status::Found })
}

fn copy(args: &ExtractArgs, context: &Context<'_>) -> Result<Status> {
    let (_opened, volume) = volume(&args.source, &args.input, context)?;
    let done = extract(&volume, &args.path, &args.target, &*context.watch)?;
    for trouble in &done.errors {
        context.watch.event(&Event::Warning(format!("{}: {}", shown(&trouble.path), trouble.message)));
    }
    Output::new(context.common, context.stdout).result(&done, &summary(&done))?;
    Ok(if done.errors.is_empty() && done.holed.is_empty() { Status::Done } else { Status::Found })
}

fn summary(done: &Extracted) -> String {
    let mut text =
        format!("{} files ({}), {} folders, {} links\n", done.files, human_size(done.bytes), done.folders, done.links);
    for file in &done.holed {
        let lost: u64 = file.lost.iter().map(|r| r.len).sum();
        text.push_str(&format!("  NOT WHOLE: {lost} bytes are lost of {}\n", shown(&file.path)));
    }
    if !done.errors.is_empty() {
        text.push_str(&format!("  {} could not be copied\n", done.errors.len()));
    }
    text
}

fn at(args: &AtArgs, context: &Context<'_>) -> Result<Status> {
    let opened = open(&args.source, &args.input.inputs(context))?;
    let end = args.offset.checked_add(args.len).filter(|end| args.len > 0 && *end <= opened.source.len());
    let Some(end) = end else {
        return Err(Error::usage(format!(
            "{} bytes from {} are not in a source of {} bytes",
            args.len,
            args.offset,
            opened.source.len()
        )));
    };
    let mut ranges = RangeMap::new();
    ranges.set(args.offset..end, ());
    let found = hurt(&args.source, &*opened.source, &volumes(&opened.source), &ranges)?;
    warn(&found, context);
    Output::new(context.common, context.stdout).result(&found, &owners(&found))?;
    Ok(if found.errors.is_empty() { Status::Done } else { Status::Found })
}

/// Tells what could not be looked at.
pub(super) fn warn(found: &Hurt, context: &Context<'_>) {
    for warning in &found.warnings {
        context.watch.event(&Event::Warning(warning.clone()));
    }
    for trouble in found.errors.iter().take(20) {
        context.watch.event(&Event::Warning(format!("{}: {}", shown(&trouble.path), trouble.message)));
    }
    if found.errors.len() > 20 {
        context.watch.event(&Event::Warning(format!("and {} more", found.errors.len() - 20)));
    }
}

/// Who owns bytes, for people.
pub(super) fn owners(found: &Hurt) -> String {
    let mut text = String::new();
    for part in &found.metadata {
        let node = part.node.map(|n| format!(" (node {n})")).unwrap_or_default();
        text.push_str(&format!("{}{}{node}: {} bytes", prefix(&part.part), part.what, part.bytes));
        text.push_str(&places(" at ", &part.disk));
    }
    for file in &found.files {
        let name = match &file.path {
            Some(path) => shown(path),
            None => format!("a file that no folder names (node {})", file.node),
        };
        text.push_str(&format!("{}{name}: {} of {} bytes", prefix(&file.part), file.bytes, file.size));
        match file.ranges.is_empty() {
            true => text.push_str(", only room behind its end\n"),
            false => text.push_str(&places(" from ", &file.ranges)),
        }
    }
    if found.free > 0 {
        text.push_str(&format!("free space: {} bytes\n", found.free));
    }
    if found.unknown > 0 {
        text.push_str(&format!("not known whose: {} bytes\n", found.unknown));
    }
    for system in &found.file_systems {
        if let Some(why) = &system.free_unknown {
            text.push_str(&format!("{}{}: {why}\n", prefix(&system.part), system.file_system));
        }
    }
    text
}

fn prefix(part: &str) -> String {
    if part.is_empty() { String::new() } else { format!("{part} ") }
}

fn places(word: &str, ranges: &[tintype_engine::report::Range]) -> String {
    let some: Vec<String> = ranges.iter().take(5).map(|r| format!("{}+{}", r.offset, r.len)).collect();
    let more = if ranges.len() > 5 { format!(" and {} more", ranges.len() - 5) } else { String::new() };
    format!("{word}{}{more}\n", some.join(" "))
}
