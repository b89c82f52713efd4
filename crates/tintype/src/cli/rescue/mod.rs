//! `rescue DRIVE IMAGE [MAP]`

mod simulate;

use super::Context;
use super::common::size;
use super::domain::DomainArgs;
use crate::output::{Output, Status};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tintype_core::{Error, Event, Result, Watch, human_size};
use tintype_device::passthrough::Dialect;
use tintype_engine::open::{Medium, medium_of};
use tintype_engine::rescue::{self, Limits, Pass, Passthrough, Plan, Rescued};

/// Options of `rescue`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype rescue /dev/sdb disk.img                  most of it soon, the rest as far as it pays
  tintype rescue /dev/sdb disk.img disk.map         go on with what ddrescue began, or hand it over
  tintype rescue /dev/sdb disk.img --exhaustive     try every sector, whatever it takes
  tintype rescue /dev/sdb disk.img --size 1GiB      only the first GiB for now
  tintype rescue --simulate bad.model               practise, and compare settings
  tintype convert disk.img case.E01 --map disk.img.map

Stop it whenever you like; the same command goes on. The drive is only read.")]
pub struct Args {
    /// The drive that fails
    #[arg(value_name = "DRIVE", value_hint = clap::ValueHint::AnyPath, required_unless_present = "simulate")]
    source: Option<PathBuf>,
    /// Where it goes: a raw image, or a drive
    #[arg(value_name = "IMAGE", value_hint = clap::ValueHint::AnyPath, required_unless_present = "simulate")]
    image: Option<PathBuf>,
    /// The mapfile, which ddrescue can read and write as well; without it IMAGE.map
    #[arg(value_name = "MAP", value_hint = clap::ValueHint::FilePath)]
    map: Option<PathBuf>,
    #[command(flatten)]
    domain: DomainArgs,
    /// Try everything, also where nothing more is to be expected
    #[arg(long, help_heading = "Rescue")]
    exhaustive: bool,
    /// Rounds of further tries for what failed, while they bring anything
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Rescue")]
    retries: u32,
    /// Leave out a pass: slow, back, trim, sweep, enclose, scrape, retry or rest; may be given several times
    #[arg(long = "without", value_name = "PASS", help_heading = "Rescue")]
    without: Vec<PassName>,
    /// Smallest read; without it the physical sector of the drive
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Rescue")]
    sector: Option<u64>,
    /// How many seconds a read may take before it is taken back or left behind
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, help_heading = "Rescue")]
    read_timeout: f64,
    /// Read by commands to the drive itself, each tried once
    #[arg(long, value_name = "HOW", value_enum, default_value_t = PassthroughName::Auto, help_heading = "Rescue")]
    passthrough: PassthroughName,
    /// Stop after N failed reads
    #[arg(long, value_name = "N", help_heading = "Rescue")]
    max_errors: Option<u64>,
    /// Stop after so many seconds
    #[arg(long, value_name = "SECONDS", help_heading = "Rescue")]
    max_time: Option<f64>,
    /// Play the same rescue on a model of a failing drive, or on a mapfile; nothing is touched
    #[arg(long, value_name = "MODEL", value_hint = clap::ValueHint::FilePath, help_heading = "Rescue")]
    simulate: Option<PathBuf>,
    /// Do not ask before a drive is overwritten
    #[arg(long, help_heading = "Output")]
    yes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum PassName {
    Slow,
    Back,
    Trim,
    Sweep,
    Enclose,
    Scrape,
    Retry,
    Rest,
}

impl PassName {
    fn pass(self) -> Pass {
        match self {
            PassName::Slow => Pass::Slow,
            PassName::Back => Pass::Back,
            PassName::Trim => Pass::Trim,
            PassName::Sweep => Pass::Sweep,
            PassName::Enclose => Pass::Enclose,
            PassName::Scrape => Pass::Scrape,
            PassName::Retry => Pass::Retry,
            PassName::Rest => Pass::Rest,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum PassthroughName {
    /// Where the drive can be spoken to
    Auto,
    /// Through the kernel, which tries again and again
    No,
    /// SCSI READ
    Scsi,
    /// ATA READ DMA EXT
    Ata,
    /// NVMe Read
    Nvme,
}

impl PassthroughName {
    fn how(self) -> Passthrough {
        match self {
            PassthroughName::Auto => Passthrough::Auto,
            PassthroughName::No => Passthrough::Never,
            PassthroughName::Scsi => Passthrough::Only(Dialect::Scsi),
            PassthroughName::Ata => Passthrough::Only(Dialect::Ata),
            PassthroughName::Nvme => Passthrough::Only(Dialect::Nvme),
        }
    }
}

/// Runs it.
pub fn run(args: &Args, context: &Context<'_>) -> Result<Status> {
    if let Some(model) = &args.simulate {
        return simulate::run(args, model, context);
    }
    let (Some(path), Some(image)) = (&args.source, &args.image) else {
        return Err(Error::usage("name a drive and an image"));
    };
    let timeout = seconds("--read-timeout", args.read_timeout)?;
    let drive = rescue::open_drive(path, args.passthrough.how(), timeout, &*context.watch)?;
    let source = drive.source;
    let shape = source.shape();
    let plan = plan(args, u64::from(shape.sector), u64::from(shape.physical))?;
    check_target(args, path, image, context)?;
    let map = args.map.clone().unwrap_or_else(|| {
        let mut name = image.as_os_str().to_owned();
        name.push(".map");
        PathBuf::from(name)
    });
    let rescued = rescue::run(rescue::Request {
        locator: path.to_string_lossy().into_owned(),
        path: Some(path.clone()),
        source,
        image: image.clone(),
        map,
        domain: args.domain.domain()?,
        plan,
        deadline: drive.deadline,
        limits: Limits { errors: args.max_errors, time: args.max_time.map(|t| seconds("--max-time", t)).transpose()? },
        command: std::env::args().collect(),
        watch: Arc::clone(&context.watch) as _,
    })?;
    Output::new(context.common, context.stdout).result(&rescued, &summary(&rescued))?;
    Ok(if rescued.rescued == rescued.domain { Status::Done } else { Status::Found })
}

fn seconds(name: &str, value: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(value).map_err(|e| Error::usage(format!("{name} {value}: {e}")))
}

/// The plan for a drive with these sectors.
fn plan(args: &Args, sector: u64, physical: u64) -> Result<Plan> {
    let physical = args.sector.unwrap_or(physical);
    if !physical.is_power_of_two() || physical < sector || physical > 1 << 20 {
        return Err(Error::usage(format!(
            "--sector {physical}: it takes a power of two from {sector} to 1 MiB for this drive"
        )));
    }
    let mut plan = Plan::new(sector, physical);
    plan.exhaustive = args.exhaustive;
    plan.retries = args.retries;
    plan.passes.retain(|pass| !args.without.iter().any(|name| name.pass() == *pass));
    Ok(plan)
}

fn check_target(args: &Args, source: &Path, image: &Path, context: &Context<'_>) -> Result<()> {
    match medium_of(image) {
        Ok(Medium::Drive) => {
            let request = tintype_device::guard::Request { sources: vec![source.to_owned()] };
            for warning in tintype_device::guard::check_target(image, &request)? {
                context.watch.event(&Event::Warning(warning.to_string()));
            }
            if !args.yes {
                super::restore::ask(image, &[format!("write what {} holds", source.display())])?;
            }
        }
        Err(e) if e.io_kind() == Some(std::io::ErrorKind::NotFound) && image.starts_with("/dev") => {
            return Err(Error::denied("there is no such drive; `tintype devices` lists them").in_path(image));
        }
        _ => {}
    }
    // A file, or a loop device over one, is somebody practising: it wears nothing that the image does not.
    let practice = source.file_name().is_some_and(|n| n.to_string_lossy().starts_with("loop"));
    if practice || medium_of(source)? != Medium::Drive {
        return Ok(());
    }
    let shared = tintype_device::guard::same_physical_drive(source, image)?;
    match shared.first() {
        Some(drive) => Err(Error::denied(format!(
            "lies on {}, the drive that is to be rescued: every write would wear it; choose another place",
            drive.display()
        ))
        .in_path(image)),
        None => Ok(()),
    }
}

fn summary(rescued: &Rescued) -> String {
    let missing = rescued.domain - rescued.rescued;
    let meant = match rescued.domain == rescued.size {
        true => human_size(rescued.size),
        false => format!("{} (of {})", human_size(rescued.domain), human_size(rescued.size)),
    };
    let mut text = match missing {
        0 => format!("all {meant} of {} are in {}\n", rescued.source, rescued.target),
        _ => format!(
            "{:.4} % of {meant} of {} is in {}: {} are missing\n",
            rescued.rescued as f64 * 100.0 / rescued.domain.max(1) as f64,
            rescued.source,
            rescued.target,
            human_size(missing)
        ),
    };
    if missing > 0 {
        let bad: u64 = rescued.bad.iter().map(|r| r.len).sum();
        let unread = missing - bad;
        text +=
            &format!("{} failed sector by sector; {} were not tried to the end", human_size(bad), human_size(unread));
        text += match (&rescued.stopped, unread) {
            (Some(_), _) | (None, 0) => "\n",
            (None, _) => ", because nothing more is to be expected there; --exhaustive tries them\n",
        };
    }
    if let Some(why) = &rescued.stopped {
        text += &format!("stopped: {why}; the same command goes on\n");
    }
    text += &format!("{} reads, {} failed; the map is {}\n", rescued.reads, rescued.failed_reads, rescued.map);
    text
}
