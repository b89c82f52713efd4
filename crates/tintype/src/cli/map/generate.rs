//! `map generate`

use super::{Context, TargetArgs};
use crate::cli::common::size;
use crate::cli::domain::DomainArgs;
use crate::output::Status as Exit;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tintype_core::{Error, Result, Source};
use tintype_engine::map::algebra::Shift;
use tintype_engine::map::generate::generate;
use tintype_engine::open::{Medium, medium_of};

/// Options of `map generate`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype map generate /dev/sdb disk.img -o disk.map   the map was lost, or dd made the image

What is zeros in the image is taken for not read, everything else for read: right only if the image was empty, and not a drive, when the
rescue began.")]
pub struct GenerateArgs {
    /// The drive; only its size is asked for
    #[arg(value_name = "DRIVE", value_hint = clap::ValueHint::AnyPath)]
    pub drive: PathBuf,
    /// The raw image
    #[arg(value_name = "IMAGE", value_hint = clap::ValueHint::AnyPath)]
    pub image: PathBuf,
    /// Bytes of a sector
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "512")]
    pub sector_size: u64,
    /// Where the byte at --offset lies in the image; without it, at the same place
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub target_offset: Option<u64>,
    #[command(flatten)]
    pub domain: DomainArgs,
    #[command(flatten)]
    pub target: TargetArgs,
}

/// Runs it.
pub fn run(args: &GenerateArgs, context: &Context<'_>) -> Result<Exit> {
    let (drive, image) = (open(&args.drive)?, open(&args.image)?);
    if !(1..=1 << 20).contains(&args.sector_size) {
        return Err(Error::usage(format!("--sector-size {}: it takes 1 to 1 MiB", args.sector_size)));
    }
    let from = args.domain.offset;
    let shift = match args.target_offset {
        Some(to) if to < from => Shift::Down(from - to),
        Some(to) => Shift::Up(to - from),
        None => Shift::Up(0),
    };
    let domain = args.domain.domain()?;
    let map = generate(&*image, drive.len(), &domain, shift, args.sector_size, &*context.watch)?;
    args.target.put_map(&map, context)?;
    Ok(Exit::Done)
}

fn open(path: &Path) -> Result<Arc<dyn Source>> {
    Ok(match medium_of(path)? {
        Medium::Drive => Arc::new(tintype_device::block::open(path)?),
        Medium::File => Arc::new(tintype_device::file::Uncached::open(path)?),
        Medium::Folder => return Err(Error::usage("is a folder; name a drive or a raw image").in_path(path)),
    })
}
