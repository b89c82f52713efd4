//! `verify IMAGE`

use super::Context;
use super::common::{InputArgs, parse_digests};
use crate::output::{Output, Status};
use std::sync::Arc;
use tintype_core::{Care, Result};
use tintype_engine::open::Inputs;
use tintype_engine::verify::{Proved, Request, Verified, run as verify};

/// Options of `verify`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype verify case17.E01                        structure, checksums and stored digests
  tintype verify disk.img                          against the digests in disk.img.report.json
  tintype verify case17.E01 --against /dev/sdb     byte by byte against a drive

The formats of virtual disks keep books of where every byte lies, but no checksums of the bytes: then the last line says that
only the structure is sound (in JSON: \"proved\": \"structure\"); --against proves the bytes.

Exit status 1 means: damage, or a digest that does not match.")]
pub struct Args {
    /// The image to prove
    #[arg(value_name = "IMAGE", value_hint = clap::ValueHint::AnyPath)]
    image: String,
    /// A drive or image it has to be equal to
    #[arg(long, value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath)]
    against: Option<String>,
    /// Digests to compute besides the stored ones
    #[arg(long, value_name = "LIST", help_heading = "Content")]
    hash: Option<String>,
    #[command(flatten)]
    input: InputArgs,
}

/// Runs it.
pub fn run(args: &Args, context: &Context<'_>) -> Result<Status> {
    let inputs = Inputs { care: Care::Prove, ..args.input.inputs(context) };
    let image = tintype_engine::open::open(&args.image, &inputs)?;
    let against = match &args.against {
        Some(other) => {
            let plain = Inputs { from: None, map: None, care: Care::Read, ..inputs };
            Some(tintype_engine::open::open(other, &plain)?)
        }
        None => None,
    };
    let digests = args.hash.as_deref().map(parse_digests).transpose()?.unwrap_or_default();
    let watch = Arc::clone(&context.watch) as _;
    let verified = verify(&Request { image: &image, against: against.as_ref(), digests, watch })?;
    Output::new(context.common, context.stdout).result(&verified, &text(&verified))?;
    Ok(if verified.sound { Status::Done } else { Status::Found })
}

fn text(v: &Verified) -> String {
    let mut out = format!("{}: {}, {} bytes\n", v.source, v.format, v.size);
    for f in &v.findings {
        let place = match (&f.file, f.offset) {
            (Some(file), Some(offset)) => format!(" ({file} at offset {offset})"),
            (None, Some(offset)) => format!(" (at offset {offset})"),
            _ => String::new(),
        };
        let touches = f.touches.map_or(String::new(), |r| format!(", touches {} bytes from {}", r.len, r.offset));
        out.push_str(&format!("  {}: {}{place}{touches}\n", f.severity, f.what));
    }
    for c in &v.corrupt {
        let partition = c.partition.as_ref().map_or(String::new(), |p| format!(" in {p}"));
        out.push_str(&format!("  corrupt: {} bytes from offset {}{partition}: {}\n", c.len, c.offset, c.what));
    }
    for r in v.differs.iter().take(20) {
        out.push_str(&format!("  differs: {} bytes from offset {}\n", r.len, r.offset));
    }
    for s in &v.stored {
        let word = if s.matches { "matches" } else { "DOES NOT MATCH" };
        out.push_str(&format!("  {:<8}{} {word} the one stored in {}\n", s.algorithm, s.computed, s.place));
        if !s.matches {
            out.push_str(&format!("  {:<8}{} is stored\n", "", s.stored));
        }
    }
    for (name, value) in v.digests.iter().filter(|(n, _)| v.stored.iter().all(|s| s.algorithm != **n)) {
        out.push_str(&format!("  {name:<8}{value}\n"));
    }
    let bad: u64 = v.bad.iter().map(|r| r.len).sum();
    if bad > 0 {
        out.push_str(&format!("  {bad} bytes were not readable when the image was made\n"));
    }
    out.push_str(&match (v.proved, &v.proof[..]) {
        (Proved::Bytes, proof) => format!("verified by {}\n", proof.join(", ")),
        (Proved::Structure, [_, sums @ ..]) if !sums.is_empty() => {
            format!("the structure is sound, and so is {}; nothing proves that no more was stored\n", sums.join(", "))
        }
        (Proved::Structure, _) => "the structure is sound; nothing proves the bytes\n".to_owned(),
        (Proved::Nothing, _) => "NOT VERIFIED\n".to_owned(),
    });
    out
}
