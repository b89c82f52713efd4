//! `compare A B`

use super::Context;
use super::common::InputArgs;
use crate::output::{Output, Status};
use std::sync::Arc;
use std::time::Instant;
use tintype_core::{ExtentMap, Result, Watch};
use tintype_engine::compare::{Limit, Side, compare};
use tintype_engine::open::Inputs;
use tintype_engine::report::Range;

/// Options of `compare`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype compare case17.E01 /dev/sdb    an image and a drive
  tintype compare a.img b.img.zst        two images of any formats

Exit status 1 means: they differ, or a part of them could not be compared.")]
pub struct Args {
    /// One source
    #[arg(value_name = "A", value_hint = clap::ValueHint::AnyPath)]
    a: String,
    /// The other
    #[arg(value_name = "B", value_hint = clap::ValueHint::AnyPath)]
    b: String,
    #[command(flatten)]
    input: InputArgs,
}

/// Most ranges that are listed.
const MOST: usize = 1000;

/// Runs it.
pub fn run(args: &Args, context: &Context<'_>) -> Result<Status> {
    let clock = Instant::now();
    let inputs = args.input.inputs(context);
    let a = tintype_engine::open::open(&args.a, &inputs)?;
    // Format and map are said of the first one.
    let b = tintype_engine::open::open(&args.b, &Inputs { from: None, map: None, ..inputs })?;
    let skip = ExtentMap::new();
    let watch: Arc<dyn Watch> = Arc::clone(&context.watch) as _;
    let (one, other) = (Side { source: &a.source, path: &a.path }, Side { source: &b.source, path: &b.path });
    let found = compare(one, other, &Limit { ranges: MOST, skip: &skip }, &watch)?;
    let (left, right) = (a.source.len(), b.source.len());
    let lost: Vec<Range> = found.lost.iter().map(Range::from).collect();
    let equal = left == right && found.differs.is_empty() && lost.is_empty();
    let differs: Vec<Range> = found.differs.iter().map(|e| Range::from(*e)).collect();
    let mut text = String::new();
    if left != right {
        text.push_str(&format!("{} has {left} bytes, {} has {right}\n", args.a, args.b));
    }
    for range in differs.iter().take(20) {
        text.push_str(&format!("differs: {} bytes from offset {}\n", range.len, range.offset));
    }
    if found.differing > 0 {
        text.push_str(&format!("{} bytes lie in sectors that differ\n", found.differing));
    }
    for range in lost.iter().take(20) {
        text.push_str(&format!("not comparable: {} bytes from offset {} could not be read\n", range.len, range.offset));
    }
    text.push_str(match (equal, found.differs.is_empty(), left == right) {
        (true, ..) => "they are equal\n",
        (false, true, true) => "they are equal where both could be read\n",
        (false, true, false) => "they are equal as far as both go\n",
        _ => "they differ\n",
    });
    let document = serde_json::json!({
        "source": args.a,
        "target": args.b,
        "format": a.format.name,
        "target_format": b.format.name,
        "size": left,
        "target_size": right,
        "equal": equal,
        "compared": found.compared,
        "differs": differs,
        "differing": found.differing,
        "bad": lost,
        "seconds": clock.elapsed().as_secs_f64(),
    });
    Output::new(context.common, context.stdout).result(&document, &text)?;
    Ok(if equal { Status::Done } else { Status::Found })
}
