//! `restore IMAGE DRIVE`

use super::Context;
use super::common::{ContentArgs, InputArgs, ProofArgs};
use crate::output::{Output, Status};
use std::io::{BufRead, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tintype_core::layers::Unused;
use tintype_core::{Error, Event, Result, Watch};
use tintype_engine::image;
use tintype_engine::open::{Medium, Opened, medium_of};
use tintype_engine::report::Place;
use tintype_engine::restore::{Request, prepare};
use tintype_engine::target::{Overwrite, Wish};
use tintype_engine::transfer::stored_digests;

/// Options of `restore`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype restore case17.E01 /dev/sdc --verify     write, then read back and compare
  tintype restore case17.E01 /dev/sdc --dry-run    say what would be done
  tintype restore disk.img.zst new.img             into a file

A drive that is mounted or in use, that is the source, or that is too small is refused.")]
pub struct Args {
    /// The image
    #[arg(value_name = "IMAGE", value_hint = clap::ValueHint::AnyPath)]
    image: String,
    /// The drive, or a file
    #[arg(value_name = "DRIVE", value_hint = clap::ValueHint::AnyPath)]
    pub drive: String,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    content: ContentArgs,
    #[command(flatten)]
    proof: ProofArgs,
    #[command(flatten)]
    drive_args: DriveArgs,
}

/// Options of verbs that write a drive.
#[derive(clap::Args)]
pub struct DriveArgs {
    /// Do not ask before a drive is overwritten
    #[arg(long, help_heading = "Output")]
    pub yes: bool,
    /// Say what would be done, and do nothing
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,
    /// Replace a file that is in the way
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    /// Leave what no file system uses as it is on the drive, instead of writing zeros
    #[arg(long, help_heading = "Content")]
    pub leave_unused: bool,
    /// Where the journal is kept, to go on after an interruption; without it in the user's state folder
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Output")]
    pub state: Option<PathBuf>,
    /// Write a report to PREFIX.json and PREFIX.txt
    #[arg(long, value_name = "PREFIX", help_heading = "Case")]
    pub report: Option<String>,
}

/// Runs it.
pub fn run(args: &Args, context: &Context<'_>) -> Result<Status> {
    let opened = tintype_engine::open::open(&args.image, &args.input.inputs(context))?;
    if args.drive == "-" {
        return into_file(opened, args, context);
    }
    match medium_of(Path::new(&args.drive)) {
        Ok(Medium::Drive) => {
            let work = Work { verb: "restore", content: &args.content, proof: &args.proof, drive: &args.drive_args };
            onto_drive(opened, Path::new(&args.drive), &work, context)
        }
        Ok(Medium::Folder) => Err(Error::usage("is a folder; name a drive or a file").in_path(&args.drive)),
        // A special file is no target; a file that is not there yet is one.
        Err(e) if !matches!(e.io_kind(), Some(ErrorKind::NotFound | ErrorKind::InvalidFilename)) => Err(e),
        Ok(Medium::File) | Err(_) => into_file(opened, args, context),
    }
}

fn into_file(opened: Opened, args: &Args, context: &Context<'_>) -> Result<Status> {
    if tintype_device::guard::names_a_device(Path::new(&args.drive)) {
        return Err(Error::usage("there is no such drive; `tintype devices` lists them").in_path(&args.drive));
    }
    // A file that is named like an image of another kind, and is none, would be read by nobody.
    if let Some(format) = tintype_formats::by_extension(&args.drive).filter(|f| f.name != "raw") {
        let what = format!(
            "restore writes the bytes of the disk as they are, and this is the name of a {} image; use convert to make one, or \
             another name",
            format.title
        );
        return Err(Error::usage(what).in_path(&args.drive));
    }
    let drive_args = &args.drive_args;
    // As onto a drive: what the image stores of itself is what is compared.
    let stored: Vec<_> = stored_digests(&opened).into_iter().map(|(algorithm, _)| algorithm).collect();
    let digests = args.content.digests()?.or_else(|| (!stored.is_empty()).then_some(stored));
    let imaged = image::run(image::Request {
        verb: "restore",
        from: image::From::Opened(Box::new(opened)),
        facts: tintype_core::Facts::default(),
        targets: vec![Wish { locator: args.drive.clone(), to: Some("raw".into()), ..Wish::default() }],
        overwrite: if drive_args.force { Overwrite::Replace } else { Overwrite::Refuse },
        digests,
        policy: args.content.policy()?,
        fill: args.content.fill_words(),
        proof: args.proof.proof(),
        reports: drive_args.report.clone().map_or(image::Reports::None, image::Reports::Prefix),
        run: if drive_args.dry_run { image::Run::Dry } else { image::Run::Real },
        command: std::env::args().collect(),
        watch: Arc::clone(&context.watch) as _,
    })?;
    super::image::conclude(&imaged, context)
}

/// What `restore` and `clone` share.
pub struct Work<'a> {
    /// `restore` or `clone`.
    pub verb: &'static str,
    /// What is done with the bytes.
    pub content: &'a ContentArgs,
    /// Whether it is read back.
    pub proof: &'a ProofArgs,
    /// Options of verbs that write a drive.
    pub drive: &'a DriveArgs,
}

/// Plans, asks, writes.
pub fn onto_drive(opened: Opened, drive: &Path, work: &Work<'_>, context: &Context<'_>) -> Result<Status> {
    let out = Output::new(context.common, context.stdout);
    let digests = work.content.digests()?;
    let overwrite = if work.drive.force { Overwrite::Replace } else { Overwrite::Refuse };
    let ready = prepare(Request {
        verb: work.verb,
        image: Box::new(opened),
        drive: drive.to_path_buf(),
        state: work.drive.state.clone(),
        unused: if work.drive.leave_unused { Unused::Leave } else { Unused::Zero },
        digests,
        policy: work.content.policy()?,
        fill: work.content.fill_words(),
        proof: work.proof.proof(),
        report: work.drive.report.clone().map(|prefix| Place { prefix, overwrite }),
        command: std::env::args().collect(),
        watch: Arc::clone(&context.watch) as _,
    })?;
    for warning in &ready.warnings {
        context.watch.event(&Event::Warning(warning.clone()));
    }
    if work.drive.dry_run {
        let text: String = ready.lines.iter().map(|l| format!("would {l}\n")).collect();
        out.result(&serde_json::json!({ "plan": ready.lines, "warnings": ready.warnings, "size": ready.len }), &text)?;
        return Ok(Status::Done);
    }
    if !work.drive.yes {
        ask(drive, &ready.lines)?;
    }
    let restored = ready.run()?;
    let report = &restored.report;
    let mut document = super::image::document(report);
    document["mismatches"] = restored.mismatches.clone().into();
    let text = super::image::summary(report);
    out.result(&document, &text)?;
    let lost = report.newly_lost > 0;
    let wrong = report.verification.as_ref().is_some_and(|v| !v.matches) || !restored.mismatches.is_empty();
    Ok(if lost || wrong { Status::Found } else { Status::Done })
}

/// Has the person type the name of a drive that would be overwritten.
pub fn ask(drive: &Path, lines: &[String]) -> Result<()> {
    let name = drive.display().to_string();
    if !std::io::stdin().is_terminal() {
        return Err(Error::denied("everything on it would be overwritten; give --yes to agree").in_path(drive));
    }
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "This will {}.", lines.join(", and "));
    let _ = write!(err, "Everything on {name} will be overwritten. Type its name to go on: ");
    let _ = err.flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|e| Error::io("cannot read the answer", e))?;
    match answer.trim() == name {
        true => Ok(()),
        false => Err(Error::denied("the name was not typed; nothing was touched").in_path(drive)),
    }
}
