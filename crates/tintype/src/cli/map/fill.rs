//! `map fill`

use super::{Context, Statuses, load};
use crate::cli::common::size;
use crate::cli::domain::DomainArgs;
use crate::output::{Output, Status as Exit};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tintype_core::mapfile::Status;
use tintype_core::{Disk, Error, Event, Result, Watch, human_size};
use tintype_engine::map::algebra::Shift;
use tintype_engine::map::fill::{Failures, Filled, Locations, Request, fill};
use tintype_engine::open::{Medium, medium_of};

/// Options of `map fill`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype map fill disk.map disk.img --text DEADBEEF --locations   then grep -r DEADBEEF finds hurt files
  tintype map fill disk.map disk.img --status '?*/-'               zeros where nothing was read
  tintype map fill disk.map /dev/sdb --yes                         have a drive replace its bad sectors, if it can

The map is not changed.")]
pub struct FillArgs {
    /// The map
    #[arg(value_name = "MAP", value_hint = clap::ValueHint::FilePath)]
    pub map: String,
    /// The raw image or the drive that is written over
    #[arg(value_name = "TARGET", value_hint = clap::ValueHint::AnyPath)]
    pub target: PathBuf,
    /// Which blocks are written over
    #[arg(long, value_name = "STATUSES", default_value = "-", value_parser = Statuses::parse, allow_hyphen_values = true)]
    pub status: Statuses,
    /// What is written: the content of a file, again and again; without it zeros
    #[arg(long = "with", value_name = "FILE", value_hint = clap::ValueHint::FilePath, conflicts_with = "text")]
    pub with: Option<PathBuf>,
    /// What is written, as text
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// Begin every sector with its position, its number and its status
    #[arg(long)]
    pub locations: bool,
    /// Bytes of a sector
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "512")]
    pub sector_size: u64,
    /// Where the byte at --offset lies in the target; without it, at the same place
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub target_offset: Option<u64>,
    /// Leave out sectors that cannot be written
    #[arg(long)]
    pub ignore_write_errors: bool,
    /// Do not ask before a drive, or what was read, is written over
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub domain: DomainArgs,
}

/// Runs it.
pub fn run(args: &FillArgs, context: &Context<'_>) -> Result<Exit> {
    let map = load(&args.map)?;
    let domain = args.domain.domain()?;
    let pattern = pattern(args)?;
    if !(512..=65_536).contains(&args.sector_size) {
        return Err(Error::usage(format!("--sector-size {}: it takes 512 to 65536", args.sector_size)));
    }
    let from = args.domain.offset;
    let shift = match args.target_offset {
        Some(to) if to < from => Shift::Down(from - to),
        Some(to) => Shift::Up(to - from),
        None => Shift::Up(0),
    };
    if args.status.0.contains(&Status::Finished) && !args.yes {
        return Err(Error::denied("what was read would be written over; give --yes to agree").in_path(&args.target));
    }
    let target = open(args, context, shift.apply(&(0..domain.up_to(map.range().end).end())).end)?;
    let filled = fill(&Request {
        map: &map,
        domain: &domain,
        statuses: &args.status.0,
        pattern: &pattern,
        locations: if args.locations { Locations::Written } else { Locations::Left },
        sector: args.sector_size,
        shift,
        target: &target,
        failures: if args.ignore_write_errors { Failures::Leave } else { Failures::End },
        watch: &*context.watch,
    })?;
    Output::new(context.common, context.stdout).result(&filled, &text(&filled, &args.target))?;
    Ok(if filled.failed.is_empty() { Exit::Done } else { Exit::Found })
}

/// Most bytes that are written again and again.
const MOST: u64 = 64 << 10;

fn pattern(args: &FillArgs) -> Result<Vec<u8>> {
    match (&args.with, &args.text) {
        (Some(path), _) => {
            let failed = |e| Error::io("cannot read", e).in_path(path);
            let mut bytes = Vec::new();
            std::fs::File::open(path).and_then(|f| f.take(MOST).read_to_end(&mut bytes)).map_err(failed)?;
            Ok(bytes)
        }
        (None, Some(text)) => Ok(text.as_bytes().to_vec()),
        (None, None) => Ok(vec![0]),
    }
}

fn open(args: &FillArgs, context: &Context<'_>, end: u64) -> Result<Arc<dyn Disk>> {
    let path: &Path = &args.target;
    if medium_of(path)? == Medium::Drive {
        let request = tintype_device::guard::Request { sources: Vec::new() };
        for warning in tintype_device::guard::check_target(path, &request)? {
            context.watch.event(&Event::Warning(warning.to_string()));
        }
        if !args.yes {
            crate::cli::restore::ask(path, &["write over parts of it".to_owned()])?;
        }
        return Ok(Arc::new(tintype_device::disk::BlockDisk::open(path)?));
    }
    // An image of ddrescue's ends with the last byte that was read.
    let failed = |e| Error::io("cannot write to", e).in_path(path);
    let file = std::fs::File::options().write(true).open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() < end {
        file.set_len(end).map_err(failed)?;
    }
    Ok(Arc::new(tintype_device::disk::FileDisk::open(path)?))
}

fn text(filled: &Filled, target: &Path) -> String {
    let mut text =
        format!("{} in {} areas of {} were written over\n", human_size(filled.written), filled.areas, target.display());
    if !filled.failed.is_empty() {
        let bytes: u64 = filled.failed.iter().map(|r| r.len).sum();
        text += &format!("{} in {} places could not be written\n", human_size(bytes), filled.failed.len());
    }
    text
}
