//! `image SOURCE IMAGE...`

use super::Context;
use super::imaging::ImagingArgs;
use crate::output::{Output, Status};
use tintype_core::Result;
use tintype_engine::image::{Imaged, Reports};
use tintype_engine::report::Report;
use tintype_engine::transfer::Proof;

/// Options of `image`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype image /dev/sdb disk.img                        raw, sparse, with SHA-256
  tintype image /dev/sdb case17.E01 --case 17 --verify   evidence, with MD5 and SHA-1, proved
  tintype image /dev/sdb a.E01 b.img.zst                 two images in one read
  dd if=/dev/sdb | tintype image - disk.img.gz           from a stream

A run that was interrupted goes on when the same command is given again.")]
pub struct Args {
    /// What to image: a drive, a file, an image, or - for standard input
    #[arg(value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath)]
    source: String,
    /// The images; the extension says the format
    #[arg(value_name = "IMAGE", required = true, value_hint = clap::ValueHint::FilePath)]
    pub images: Vec<String>,
    #[command(flatten)]
    imaging: ImagingArgs,
}

/// Runs it.
pub fn run(args: &Args, context: &Context<'_>) -> Result<Status> {
    let request = args.imaging.request("image", &args.source, &args.images, Reports::Beside, context)?;
    conclude(&tintype_engine::image::run(request)?, context)
}

/// Prints what imaging came to and gives the status.
pub fn conclude(imaged: &Imaged, context: &Context<'_>) -> Result<Status> {
    let out = Output::new(context.common, context.stdout);
    if !imaged.plan.is_empty() {
        let text: String = imaged.plan.iter().map(|l| format!("would {l}\n")).collect();
        out.result(&serde_json::json!({ "plan": imaged.plan }), &text)?;
        return Ok(Status::Done);
    }
    let mut text = String::new();
    for report in &imaged.reports {
        if imaged.already.contains(&report.target) {
            text.push_str(&format!(
                "{}: the same command has finished it before, on {}\n",
                report.target, report.ended
            ));
            // What an earlier run has proved is no news.
            if imaged.proof == Proof::ReadBack {
                text.push_str(&proof(report));
            }
        } else {
            text.push_str(&summary(report));
        }
    }
    let mut status = if imaged.mismatches.is_empty() { Status::Done } else { Status::Found };
    for report in &imaged.reports {
        // What another run has lost, or this command before, is no news.
        let lost = report.newly_lost > 0 && !imaged.already.contains(&report.target);
        if lost || report.verification.as_ref().is_some_and(|v| !v.matches) {
            status = Status::Found;
        }
    }
    let failed: Vec<_> = imaged
        .failed
        .iter()
        .map(|(name, e)| serde_json::json!({"target": name, "message": e.chain(), "kind": e.kind().name()}))
        .collect();
    for (name, error) in &imaged.failed {
        text.push_str(&format!("{name}: failed: {}\n", error.chain()));
        status = Status::Failed;
    }
    match (&imaged.reports[..], failed.is_empty()) {
        ([only], true) => out.result(&document(only), &text)?,
        (all, _) => {
            let documents: Vec<_> = all.iter().map(document).collect();
            let first = all.first().map(document).unwrap_or_default();
            let mut whole = first;
            whole["targets"] = documents.into();
            whole["failed"] = failed.into();
            out.result(&whole, &text)?;
        }
    }
    Ok(status)
}

/// The report with the common fields of results.
pub fn document(report: &Report) -> serde_json::Value {
    let mut value = serde_json::to_value(report).unwrap_or_default();
    value["source_identity"] = value["source"].take();
    value["source"] = report.source.locator.clone().into();
    value
}

/// A few lines for people.
pub fn summary(report: &Report) -> String {
    let mut text = format!(
        "{}: {} bytes of {}, {} bytes stored\n",
        report.target, report.size, report.source.locator, report.written
    );
    for (name, value) in &report.digests {
        text.push_str(&format!("  {name:<8}{value}\n"));
    }
    let bad: u64 = report.bad.iter().map(|r| r.len).sum();
    let unread: u64 = report.unread.iter().map(|r| r.len).sum();
    if bad > 0 {
        text.push_str(&format!("  {bad} bytes in {} ranges could not be read\n", report.bad.len()));
    }
    if unread > 0 {
        text.push_str(&format!(
            "  {unread} bytes were left untried after many failures; `tintype rescue` is made for such drives\n"
        ));
    }
    for note in &report.notes {
        text.push_str(&format!("  note: {note}\n"));
    }
    text.push_str(&proof(report));
    text
}

fn proof(report: &Report) -> String {
    let Some(v) = &report.verification else { return String::new() };
    let word =
        if v.matches { "verified: it reads back as it was written" } else { "NOT VERIFIED: what reads back differs" };
    let mut text = format!("  {word}\n");
    for range in &v.differs {
        text.push_str(&format!("    differs: {} bytes from offset {}\n", range.len, range.offset));
    }
    text
}
