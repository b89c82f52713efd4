//! `map intersect`, `subtract`, `xor`, `invert` and `convert`: maps of maps.

use super::{Context, DomainArgs, Statuses, TargetArgs, load, shift, size};
use crate::cli::common::InputArgs;
use crate::cli::domain::load as load_with;
use crate::output::{Output, Status as Exit};
use std::io::Write;
use tintype_core::mapfile::{Gaps, Mapfile, Status};
use tintype_core::{Error, Result};
use tintype_engine::map::Domain;
use tintype_engine::map::algebra::{self, Changes, Logic, Shift};
use tintype_engine::map::forms::{self, Bits, Finished, Listed, Sectors};

/// Options of the verbs that combine two maps.
#[derive(clap::Args)]
pub struct PairArgs {
    /// The map that the result begins as: its extent, and the status of what is not finished
    #[arg(value_name = "A", value_hint = clap::ValueHint::FilePath)]
    a: String,
    /// The other map
    #[arg(value_name = "B", value_hint = clap::ValueHint::FilePath)]
    b: String,
    /// What bytes become that are finished no longer
    #[arg(long, value_name = "STATUS", default_value = "-", value_parser = Statuses::one, allow_hyphen_values = true)]
    removed: Status,
    #[command(flatten)]
    domain: DomainArgs,
    #[command(flatten)]
    pub(super) target: TargetArgs,
}

/// Runs `map intersect`, `subtract` and `xor`.
pub fn combined(args: &PairArgs, logic: Logic, context: &Context<'_>) -> Result<Exit> {
    let (a, b) = (load(&args.a)?, load(&args.b)?);
    let map = algebra::combine(&a, &b, logic, args.removed, &args.domain.domain()?);
    args.target.put_map(&map, context)?;
    Ok(Exit::Done)
}

/// Options of `map invert`.
#[derive(clap::Args)]
pub struct InvertArgs {
    /// The map; finished becomes bad, everything else finished
    #[arg(value_name = "MAP", value_hint = clap::ValueHint::FilePath)]
    map: String,
    #[command(flatten)]
    domain: DomainArgs,
    #[command(flatten)]
    pub(super) target: TargetArgs,
}

/// Runs `map invert`.
pub fn invert(args: &InvertArgs, context: &Context<'_>) -> Result<Exit> {
    let map = algebra::change(&load(&args.map)?, &Changes::inversion(), &args.domain.domain()?);
    args.target.put_map(&map, context)?;
    Ok(Exit::Done)
}

/// A form of maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A ddrescue mapfile
    Map,
    /// Sector numbers, one a line, as badblocks prints them
    List,
    /// One bit a sector, the first in the least significant bit
    BitmapLe,
    /// One bit a sector, the first in the most significant bit
    BitmapBe,
    /// An `extent_list`, as `info --extents --json` prints it
    Json,
    /// A drive or an image of any format, for what its extents say; only to read
    Image,
}

/// Options of `map convert`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype map convert a.map --change '*/=?'                 try again what failed, from the start
  tintype map convert a.map --to bitmap-le --status /- -o bad.bitmap
  badblocks /dev/sdb | tintype map convert - --from list --sector-size 1024 --size 500G --types -+
  tintype map convert disk.E01 --from image --finished data -o used.map
  tintype map convert edited.map --gaps '?'                 a map written by hand made whole")]
pub struct ConvertArgs {
    /// The map, in the form that --from names; - is standard input
    #[arg(value_name = "MAP", value_hint = clap::ValueHint::FilePath)]
    map: String,
    /// Form of what is read
    #[arg(long, value_name = "FORM", default_value = "map")]
    from: Form,
    /// Form of what is written
    #[arg(long, value_name = "FORM", default_value = "map")]
    to: Form,
    /// Change statuses: each of OLD becomes the one at its place in NEW, whose last stands for all missing
    #[arg(long, value_name = "OLD=NEW", value_parser = changes, allow_hyphen_values = true)]
    change: Option<Changes>,
    /// Move blocks by +SIZE or -SIZE; sectors in lists and bitmaps by whole sectors
    #[arg(long, value_name = "SHIFT", value_parser = shift, allow_hyphen_values = true)]
    shift: Option<Shift>,
    /// Accept a map with gaps and blocks in any order, and give the gaps this status
    #[arg(long, value_name = "STATUS", value_parser = Statuses::one, allow_hyphen_values = true)]
    gaps: Option<Status>,
    /// Bytes of a sector in lists and bitmaps
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "512")]
    sector_size: u64,
    /// Which statuses go into a list or a bitmap
    #[arg(long, value_name = "STATUSES", default_value = "-", value_parser = Statuses::parse, allow_hyphen_values = true)]
    status: Statuses,
    /// What sectors in a list or a bitmap are, and what all others are
    #[arg(long, value_name = "TWO", default_value = "+-", value_parser = Statuses::parse, allow_hyphen_values = true)]
    types: Statuses,
    /// Which states of an image or of JSON extents are finished
    #[arg(long, value_name = "STATES", default_value = "data,zero,unused", value_parser = finished)]
    finished: Finished,
    #[command(flatten)]
    domain: DomainArgs,
    #[command(flatten)]
    pub(super) target: TargetArgs,
}

fn changes(text: &str) -> Result<Changes, String> {
    Changes::parse(text).map_err(|e| e.to_string())
}

fn finished(text: &str) -> Result<Finished, String> {
    Finished::parse(text).map_err(|e| e.to_string())
}

/// Runs `map convert`.
pub fn convert(args: &ConvertArgs, context: &Context<'_>) -> Result<Exit> {
    if args.gaps.is_some() && args.from != Form::Map {
        return Err(Error::usage("--gaps is for mapfiles; in every other form there are none"));
    }
    let domain = args.domain.domain()?;
    let (mut map, listed) = source(args, &domain, context)?;
    if let Some(changes) = &args.change {
        map = algebra::change(&map, changes, &domain);
    }
    // Positions are moved once: in a list or a bitmap that is read or written, else in the map.
    let counted = matches!(args.to, Form::List | Form::BitmapLe | Form::BitmapBe);
    if let Some(by) = args.shift
        && !counted
        && !listed
    {
        map = algebra::shift(&map, by, &domain);
    }
    let by = if listed { None } else { args.shift };
    let statuses = &args.status.0;
    let sectors = Sectors::new(args.sector_size, by.filter(|_| counted).unwrap_or(Shift::Up(0)))?;
    // What was read by the list's own numbers has moved out of the domain.
    let domain = if listed { Domain::default() } else { domain };
    let runs = || sectors.of(&map, statuses, &domain);
    let write: &mut dyn FnMut(&mut dyn Write) -> std::io::Result<()> = match args.to {
        Form::Image => {
            return Err(Error::usage("a map cannot become an image; `convert --map` gives an image its map"));
        }
        Form::Map => {
            args.target.put_map(&map, context)?;
            return Ok(Exit::Done);
        }
        Form::List => &mut |out| forms::write_list(runs(), out),
        Form::Json => &mut |out| forms::write_json(map.range().end, map.blocks().iter(), out),
        Form::BitmapLe | Form::BitmapBe => {
            let bits = forms::bits_of(&map, sectors, &domain)?;
            let order = if args.to == Form::BitmapLe { Bits::Little } else { Bits::Big };
            &mut move |out| forms::write_bitmap(runs(), bits, order, out)
        }
    };
    args.target.put(write)?;
    let name = args.target.path().map_or_else(|| "-".to_owned(), |p| p.display().to_string());
    let document = serde_json::json!({ "source": args.map, "target": name, "size": map.range().end });
    let text = if args.target.is_stdout() { String::new() } else { format!("{name}: made of {}\n", args.map) };
    Output::new(context.common, context.stdout).result(&document, &text)?;
    Ok(Exit::Done)
}

/// The map that is meant, and whether its positions are moved already.
fn source(args: &ConvertArgs, domain: &Domain, context: &Context<'_>) -> Result<(Mapfile, bool)> {
    let named = |e: Error| e.in_path(&args.map);
    let read = || tintype_engine::map::read(&args.map);
    Ok(match args.from {
        Form::Map => (load_with(&args.map, args.gaps.map_or(Gaps::Refused, Gaps::Filled))?, false),
        Form::Json => (forms::from_json(&read()?, &args.finished).map_err(named)?, false),
        Form::Image => {
            let plain = InputArgs::default();
            let opened = tintype_engine::open::open(&args.map, &plain.inputs(context))?;
            (forms::from_source(&*opened.source, &args.finished).map_err(named)?, false)
        }
        Form::List | Form::BitmapLe | Form::BitmapBe => {
            let [listed, others] = args.types.0[..] else {
                return Err(Error::usage("--types takes two statuses, such as +-"));
            };
            if args.domain.size.is_none() && args.domain.domain.is_none() && args.from == Form::List {
                return Err(Error::usage("a list does not say how long the disk is; give --size"));
            }
            let bytes = read()?;
            let domain = match (args.from, args.domain.size) {
                (Form::BitmapLe | Form::BitmapBe, None) => {
                    let bits = bytes.len() as u64 * 8;
                    let end = bits.saturating_mul(args.sector_size).min(tintype_core::mapfile::END);
                    domain.up_to(end)
                }
                _ => domain.clone(),
            };
            let sectors = Sectors::new(args.sector_size, args.shift.unwrap_or(Shift::Up(0)))?;
            let listed = Listed { sectors, listed, others, domain };
            let map = match args.from {
                Form::List => listed.from_list(&bytes),
                Form::BitmapLe => listed.from_bitmap(&bytes, Bits::Little),
                _ => listed.from_bitmap(&bytes, Bits::Big),
            };
            (map.map_err(named)?, true)
        }
    })
}
