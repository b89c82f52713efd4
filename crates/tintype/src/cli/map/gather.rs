//! `map merge`: one map of several, and one image of several rescues.

use super::{Context, DomainArgs, TargetArgs, load, tell};
use crate::cli::common::{InputArgs, ProofArgs};
use crate::cli::image::{document, summary};
use crate::output::{Output, Status as Exit};
use std::sync::Arc;
use tintype_core::mapfile::{Mapfile, Status};
use tintype_core::{Error, Facts, RangeMap, Result};
use tintype_engine::image::{From, Reports, Request, Run};
use tintype_engine::map::algebra::{Logic, combine, merge};
use tintype_engine::map::gather::{Conflicts, Gathered, Rescued, gather};
use tintype_engine::map::{Domain, save, stats::Stats};
use tintype_engine::open::Opened;
use tintype_engine::pipeline::Policy;
use tintype_engine::target::Wish;

/// Options of `map merge`.
#[derive(clap::Args)]
#[command(after_help = "\
Where maps differ, the status that is further wins: finished over bad over not scraped over not trimmed over not tried.
With images, each byte comes from the first image whose map calls it finished. What several have is compared.

Examples:
  tintype map merge a.map b.map -o both.map
  tintype map merge a.map b.map --image a.img --image b.img --into both.img -o both.map

Exit status 1 means: images differ where both were read; `conflicts` in the JSON document has the places.")]
pub struct MergeArgs {
    /// The maps; the first one's position and pass are kept
    #[arg(value_name = "MAP", required = true, value_hint = clap::ValueHint::FilePath)]
    maps: Vec<String>,
    /// Keep the extent and the statuses of the first map, and take from the others only what is finished
    #[arg(long, conflicts_with = "images")]
    finished_only: bool,
    /// The image of each map, in the order of the maps
    #[arg(long = "image", value_name = "IMAGE", requires = "into", value_hint = clap::ValueHint::FilePath, help_heading = "Images")]
    images: Vec<String>,
    /// The image to make of all; the extension says the format
    #[arg(long, value_name = "NEW", requires = "images", requires = "output", value_hint = clap::ValueHint::FilePath, help_heading = "Images")]
    into: Option<String>,
    /// What holds where images differ in bytes that both maps call finished
    #[arg(long, value_name = "HOW", default_value = "first", requires = "into", help_heading = "Images")]
    conflicts: Choice,
    #[command(flatten)]
    proof: ProofArgs,
    #[command(flatten)]
    domain: DomainArgs,
    #[command(flatten)]
    pub(super) target: TargetArgs,
}

/// What holds where images differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Choice {
    /// The bytes of the first image, as finished
    First,
    /// The bytes of the first image, as not tried: a rescue reads them again
    Untried,
}

/// Most conflicts in a document.
const MOST: usize = 100_000;

/// Runs it.
pub fn run(args: &MergeArgs, context: &Context<'_>) -> Result<Exit> {
    if let Some(path) = args.target.path() {
        save::check(path, args.target.overwrite())?;
    }
    if let Some(into) = &args.into {
        return images(args, into, context);
    }
    let domain = args.domain.domain()?;
    let maps = args.maps.iter().map(|m| load(m)).collect::<Result<Vec<Mapfile>>>()?;
    let (first, others) = maps.split_first().ok_or_else(|| Error::usage("there is nothing to merge"))?;
    let map = if args.finished_only {
        others.iter().fold(first.clone(), |map, other| combine(&map, other, Logic::Or, Status::Bad, &domain))
    } else {
        merge(first, others, &domain)
    };
    args.target.put_map(&map, context)?;
    Ok(Exit::Done)
}

fn images(args: &MergeArgs, into: &str, context: &Context<'_>) -> Result<Exit> {
    if args.images.len() != args.maps.len() {
        return Err(Error::usage(format!(
            "there are {} maps and {} images; every map needs its image, in the same order",
            args.maps.len(),
            args.images.len()
        )));
    }
    if into == "-" {
        return Err(Error::usage("merged images go into a file, beside their map; name one"));
    }
    let DomainArgs { domain: None, loose: false, offset: 0, size: None } = args.domain else {
        return Err(Error::usage("images are merged whole: --domain, --offset and --size are for maps alone"));
    };
    let inputs = InputArgs::default().inputs(context);
    let mut opened = Vec::new();
    let mut rescues = Vec::new();
    let mut identity = String::new();
    for (name, image) in args.maps.iter().zip(&args.images) {
        let text = tintype_engine::map::read(name)?;
        let map = Mapfile::parse(&text, tintype_core::mapfile::Gaps::Refused).map_err(|e| e.in_path(name))?;
        let one = tintype_engine::open::open(image, &inputs)?;
        for target in [Some(std::path::Path::new(into)), args.target.path()].into_iter().flatten() {
            refuse_input(target, &one, name)?;
        }
        identity.push_str(&format!("{image} {} {}\n", one.stamp(), tintype_engine::map::digest(&text)));
        rescues.push(Rescued::new(image, map, Arc::clone(&one.source))?);
        opened.push(one);
    }
    let how = match args.conflicts {
        Choice::First => Conflicts::First,
        Choice::Untried => Conflicts::Untried,
    };
    let Gathered { map, conflicts, source, given } = gather(rescues, how, &*context.watch)?;
    let mut whole = opened.swap_remove(0);
    whole.source = source;
    whole.locator = args.images.join(" + ");
    whole.part = String::new();
    // The same command goes on only with the same maps and images.
    whole.map = tintype_engine::map::digest(format!("{identity}{:?}", args.conflicts).as_bytes());
    let imaged = tintype_engine::image::run(Request {
        verb: "convert",
        from: From::Opened(Box::new(whole)),
        facts: Facts::default(),
        targets: vec![Wish { locator: into.to_owned(), ..Wish::default() }],
        overwrite: args.target.overwrite(),
        digests: None,
        policy: Policy::default(),
        fill: "zeros".into(),
        proof: args.proof.proof(),
        reports: Reports::None,
        run: Run::Real,
        command: std::env::args().collect(),
        watch: Arc::clone(&context.watch) as _,
    })?;
    let command: Vec<String> = std::env::args().collect();
    args.target.put(&mut |out| map.write(&save::heading(&command), out))?;
    let map_name = args.target.path().map(|p| p.display().to_string()).unwrap_or_default();
    let stats = Stats::of(&map_name, &map, &Domain::default());
    let mut text: String = imaged.reports.iter().map(summary).collect();
    for (image, bytes) in args.images.iter().zip(&given) {
        text.push_str(&format!("  {bytes} bytes from {image}\n"));
    }
    text.push_str(&words(&conflicts));
    text.push_str(&tell::sums(&stats));
    let mut result = imaged.reports.first().map(document).unwrap_or_default();
    result["map"] = serde_json::to_value(&stats).unwrap_or_default();
    result["given"] = args
        .images
        .iter()
        .zip(&given)
        .map(|(image, bytes)| serde_json::json!({ "image": image, "bytes": bytes }))
        .collect::<Vec<_>>()
        .into();
    result["conflicting"] = total(&conflicts).into();
    result["conflicts"] = conflicts
        .iter()
        .take(MOST)
        .map(|(r, ())| serde_json::json!({ "offset": r.start, "len": r.end - r.start }))
        .collect::<Vec<_>>()
        .into();
    Output::new(context.common, context.stdout).result(&result, &text)?;
    let verified = imaged.reports.iter().all(|r| r.verification.as_ref().is_none_or(|v| v.matches));
    let lost_anew = imaged.reports.iter().any(|r| r.newly_lost > 0 && !imaged.already.contains(&r.target));
    Ok(if conflicts.is_empty() && verified && !lost_anew { Exit::Done } else { Exit::Found })
}

/// Refuses a target that is one of the inputs: what is merged is never replaced.
fn refuse_input(target: &std::path::Path, image: &Opened, map: &str) -> Result<()> {
    let same = |map: &std::path::Path| Some(map.canonicalize().ok()? == target.canonicalize().ok()?);
    if image.reads(target) || same(map.as_ref()) == Some(true) {
        return Err(Error::denied("is one of the inputs; choose another name").in_path(target));
    }
    Ok(())
}

fn total(ranges: &RangeMap<()>) -> u64 {
    ranges.iter().map(|(r, ())| r.end - r.start).sum()
}

fn words(conflicts: &RangeMap<()>) -> String {
    let mut text = String::new();
    for (range, ()) in conflicts.iter().take(20) {
        text.push_str(&format!("  differs: {} bytes from offset {}\n", range.end - range.start, range.start));
    }
    if !conflicts.is_empty() {
        text.push_str(&format!(
            "  CONFLICT: {} bytes in {} ranges were read more than once and are not the same\n",
            total(conflicts),
            conflicts.len()
        ));
    }
    text
}
