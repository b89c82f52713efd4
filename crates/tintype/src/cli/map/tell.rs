//! `map stats`, `map list` and `map compare`: what maps say.

use super::{Context, DomainArgs, Statuses, load, shift, size};
use crate::output::{Output, Status as Exit};
use std::io::Write;
use std::path::Path;
use tintype_core::mapfile::Status;
use tintype_core::{Event, Result, Watch, human_size};
use tintype_engine::map::algebra::{self, Alike, Shift};
use tintype_engine::map::forms::{Block, Sectors, write_list};
use tintype_engine::map::stats::Stats;
use tintype_engine::rescue::{FailedRange, Journaled};

/// Most blocks or differences in a document.
const MOST: usize = 1 << 20;

/// Options of `map stats`.
#[derive(clap::Args)]
#[command(after_help = "Exit status 1 means, with --done: not everything is finished.")]
pub struct StatsArgs {
    /// The maps
    #[arg(value_name = "MAP", required = true, value_hint = clap::ValueHint::FilePath)]
    maps: Vec<String>,
    /// Ask whether everything is finished; the exit status tells
    #[arg(long)]
    done: bool,
    #[command(flatten)]
    domain: DomainArgs,
}

/// Runs `map stats`.
pub fn stats(args: &StatsArgs, context: &Context<'_>) -> Result<Exit> {
    let domain = args.domain.domain()?;
    let all =
        args.maps.iter().map(|name| Ok(Stats::of(name, &load(name)?, &domain))).collect::<Result<Vec<Stats>>>()?;
    let text = all.iter().map(sums).collect::<Vec<_>>().join("\n");
    let finished = all.iter().all(|s| s.finished);
    let document = match &all[..] {
        [only] => serde_json::to_value(only),
        all => serde_json::to_value(serde_json::json!({ "maps": all, "finished": finished })),
    };
    Output::new(context.common, context.stdout).result(&document.unwrap_or_default(), &text)?;
    Ok(if args.done && !finished { Exit::Found } else { Exit::Done })
}

/// The sums of a map for people.
pub fn sums(stats: &Stats) -> String {
    let mut text = format!(
        "{}: {} ({} bytes from {}), {}, pass {}, at {}\n",
        stats.map,
        human_size(stats.size),
        stats.size,
        stats.offset,
        stats.current_status,
        stats.current_pass,
        stats.current_pos
    );
    if stats.domain != stats.size {
        text.push_str(&format!("  of these are meant    {:>10}  ({} bytes)\n", human_size(stats.domain), stats.domain));
    }
    for status in Status::ALL.into_iter().rev() {
        let sum = stats.sum(status);
        let areas = if sum.areas == 1 { "area" } else { "areas" };
        let (sign, words) = (status.sign(), status.name().replace('_', " "));
        let size = human_size(sum.bytes);
        text.push_str(&format!(
            "  {sign} {words:<13}{:>8} %  {size:>10}  ({} bytes in {} {areas})\n",
            percent(&sum),
            sum.bytes,
            sum.areas
        ));
    }
    text
}

/// A share that is 100 only where it is all, and 0 only where it is nothing.
fn percent(sum: &tintype_engine::map::stats::Sum) -> String {
    match sum.percent {
        p if p > 99.99 && p < 100.0 => ">99.99".into(),
        p if p > 0.0 && p < 0.01 => "<0.01".into(),
        p => format!("{p:.2}"),
    }
}

/// Options of `map list`.
#[derive(clap::Args)]
pub struct ListArgs {
    /// The map
    #[arg(value_name = "MAP", value_hint = clap::ValueHint::FilePath)]
    map: String,
    /// Only blocks in these statuses
    #[arg(long, value_name = "STATUSES", default_value = "?*/-+", value_parser = Statuses::parse, allow_hyphen_values = true)]
    status: Statuses,
    /// Instead, what failed, with how often, why the last time, and how long that took, from the journal that `rescue` keeps beside the map
    #[arg(long, conflicts_with_all = ["sectors", "status"])]
    why: bool,
    /// Print the numbers of the sectors they touch, one a line, as badblocks does
    #[arg(long)]
    sectors: bool,
    /// Bytes of a sector
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "512", requires = "sectors")]
    sector_size: u64,
    /// Move positions by +SIZE or -SIZE, whole sectors, before counting
    #[arg(long, value_name = "SHIFT", value_parser = shift, allow_hyphen_values = true, requires = "sectors")]
    shift: Option<Shift>,
    #[command(flatten)]
    domain: DomainArgs,
}

/// Runs `map list`.
pub fn list(args: &ListArgs, context: &Context<'_>) -> Result<Exit> {
    if args.why {
        return why(args, context);
    }
    let map = load(&args.map)?;
    let domain = args.domain.domain()?;
    let statuses = &args.status.0;
    let chosen = || domain.pieces(&map).filter(|(_, s)| statuses.contains(s));
    let bytes: u64 = chosen().map(|(r, _)| r.end - r.start).sum();
    let blocks = chosen().count();
    let mut document = serde_json::json!({ "source": args.map, "bytes": bytes, "blocks": blocks });
    let sectors = Sectors::new(args.sector_size, args.shift.unwrap_or(Shift::Up(0)))?;
    let runs = || sectors.of(&map, statuses, &domain);
    let mut text = Vec::new();
    match (context.common.json.as_deref(), args.sectors) {
        (Some(_), true) => {
            document["sector_size"] = args.sector_size.into();
            let list: Vec<_> =
                runs().take(MOST).map(|r| serde_json::json!({ "first": r.start, "count": r.end - r.start })).collect();
            document["sectors"] = list.into();
        }
        (Some(_), false) => {
            let list: Vec<Block> = chosen().take(MOST).map(Block::of).collect();
            document["extent_list"] = serde_json::to_value(list).unwrap_or_default();
        }
        // These may be more than memory holds.
        (None, true) => return stream(&mut |out| write_list(runs(), out)),
        (None, false) => {}
    }
    for (range, status) in chosen() {
        let len = range.end - range.start;
        // Memory can be written.
        let _ = writeln!(text, "{}  {:>16}  {len:>16}  {}", status.sign(), range.start, human_size(len));
    }
    Output::new(context.common, context.stdout).result(&document, &String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}

/// Ranges that failed, and why.
fn why(args: &ListArgs, context: &Context<'_>) -> Result<Exit> {
    let domain = args.domain.domain()?;
    let journal = Journaled::beside(Path::new(&args.map))?;
    if !journal.is_of_map {
        let what = format!("{} was changed by somebody else since; this is what its journal knew", args.map);
        context.watch.event(&Event::Warning(what));
    }
    let meant = |f: &FailedRange| domain.within(f.offset..f.offset + f.len).next().is_some();
    let all: Vec<FailedRange> = journal.failed().filter(meant).take(MOST).collect();
    let mut text = Vec::new();
    for failed in &all {
        let (size, times) = (human_size(failed.len), if failed.tries == 1 { "once" } else { "times" });
        let tries = if failed.tries == 1 { String::new() } else { format!("{} ", failed.tries) };
        // Memory can be written.
        let _ = writeln!(
            text,
            "{}  {:>16}  {:>16}  {size}  failed {tries}{times}: {}",
            failed.status, failed.offset, failed.len, failed.words
        );
    }
    let bytes: u64 = all.iter().map(|f| f.len).sum();
    let document = serde_json::json!({ "source": args.map, "bytes": bytes, "ranges": all.len(), "failed": all });
    Output::new(context.common, context.stdout).result(&document, &String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}

fn stream(write: &mut dyn FnMut(&mut dyn Write) -> std::io::Result<()>) -> Result<Exit> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        // Whoever closed the pipe has seen enough.
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(tintype_core::Error::io("cannot write to standard output", e))
        }
        _ => Ok(Exit::Done),
    }
}

/// Options of `map compare`.
#[derive(clap::Args)]
#[command(after_help = "Exit status 1 means: they differ.")]
pub struct CompareArgs {
    /// One map
    #[arg(value_name = "A", value_hint = clap::ValueHint::FilePath)]
    a: String,
    /// The other
    #[arg(value_name = "B", value_hint = clap::ValueHint::FilePath)]
    b: String,
    /// Look only at whether bytes are finished, not in which other status they are
    #[arg(long)]
    finished: bool,
    #[command(flatten)]
    domain: DomainArgs,
}

/// Runs `map compare`.
pub fn compare(args: &CompareArgs, context: &Context<'_>) -> Result<Exit> {
    let (a, b) = (load(&args.a)?, load(&args.b)?);
    let alike = if args.finished { Alike::Finished } else { Alike::Status };
    let found = algebra::compare(&a, &b, alike, &args.domain.domain()?, MOST);
    let sign = |s: Option<Status>| s.map(Status::sign);
    let mut text = String::new();
    for d in found.list.iter().take(20) {
        let words = |s| sign(s).map_or_else(|| "nothing".to_owned(), String::from);
        let len = d.range.end - d.range.start;
        text.push_str(&format!("differs: {len} bytes from {}: {} and {}\n", d.range.start, words(d.a), words(d.b)));
    }
    match found.bytes {
        0 => text.push_str("they are equal\n"),
        bytes => text.push_str(&format!("they differ in {bytes} bytes\n")),
    }
    let differs: Vec<_> = found
        .list
        .iter()
        .map(|d| {
            let len = d.range.end - d.range.start;
            serde_json::json!({ "offset": d.range.start, "len": len, "source": sign(d.a), "target": sign(d.b) })
        })
        .collect();
    let document = serde_json::json!({
        "source": args.a,
        "target": args.b,
        "equal": found.bytes == 0,
        "differing": found.bytes,
        "differs": differs,
    });
    Output::new(context.common, context.stdout).result(&document, &text)?;
    Ok(if found.bytes == 0 { Exit::Done } else { Exit::Found })
}
