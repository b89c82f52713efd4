//! The options of `rescue`.

use crate::cli::common::size;
use crate::cli::domain::DomainArgs;
use clap::builder::ArgPredicate;
use std::path::PathBuf;
use std::time::Duration;
use tintype_core::{Error, Result};
use tintype_device::passthrough::Dialect;
use tintype_engine::rescue::{BadAreas, Pass, Passthrough, Skip};

/// Stands for a drive and an image where none is named, since none is touched.
pub const NO_DRIVE: &str = "-";

/// What `--simulate` is refused with, since it would have no effect: there is no drive to be handled, no image and nothing on it.
const UNPLAYED: [&str; 42] = [
    "within_map",
    "first",
    "reverse",
    "try_again",
    "retrim",
    "passthrough",
    "prepare",
    "put_back",
    "suspect_reads",
    "unasked",
    "reset",
    "power_command",
    "max_rate",
    "min_rate",
    "slow_after",
    "reset_slow",
    "pause_on_error",
    "pause_on_pass",
    "reopen_on_error",
    "check_on_error",
    "check_reads",
    "bad_sector_data",
    "expect",
    "check_size",
    "max_bad_areas",
    "max_error_rate",
    "max_idle",
    "max_slow_reads",
    "stop_below",
    "enough",
    "target_offset",
    "extend",
    "truncate",
    "force",
    "preallocate",
    "compare_before_write",
    "map_interval",
    "yes",
    "ask",
    "commands",
    "log_reads",
    "ddrescue_args",
];

/// Options of `rescue`.
#[derive(Clone, clap::Args)]
#[command(after_help = "\
Examples:
  tintype rescue /dev/sdb disk.img                  most of it soon, the rest as far as it pays
  tintype rescue /dev/sdb disk.img disk.map         go on with what ddrescue began, or hand it over
  tintype rescue /dev/sdb disk.img --exhaustive     try every sector, whatever it takes
  tintype rescue /dev/sdb disk.img --first '*.jpg' --first /home
  tintype rescue /dev/sdb disk.img --size 1GiB      only the first GiB for now
  tintype rescue /dev/sdb disk.img disk.map --ddrescue-args '-d -r3 -i 1GiB'
  tintype rescue --simulate bad.model               practise, and compare settings
  tintype convert disk.img case.E01 --map disk.img.map

Stop it whenever you like; the same command goes on. The drive is only read. docs/rescue/rescue.md has a table from
ddrescue's options to these.")]
pub struct Args {
    /// The drive that fails
    #[arg(
        value_name = "DRIVE",
        value_hint = clap::ValueHint::AnyPath,
        required = false,
        required_unless_present = "simulate",
        default_value_if("simulate", ArgPredicate::IsPresent, Some(NO_DRIVE))
    )]
    pub source: PathBuf,
    /// Where it goes: a raw image, or a drive
    #[arg(
        value_name = "IMAGE",
        value_hint = clap::ValueHint::AnyPath,
        required = false,
        required_unless_present = "simulate",
        default_value_if("simulate", ArgPredicate::IsPresent, Some(NO_DRIVE))
    )]
    pub image: PathBuf,
    /// The mapfile, which ddrescue can read and write as well; without it IMAGE.map
    #[arg(value_name = "MAP", value_hint = clap::ValueHint::FilePath)]
    pub map: Option<PathBuf>,

    #[command(flatten)]
    pub domain: DomainArgs,
    /// Only what an earlier run's map speaks of
    #[arg(long, help_heading = "Domain")]
    pub within_map: bool,

    /// Play the same rescue on a model of a failing drive, or on a mapfile; nothing is touched
    #[arg(
        long,
        value_name = "MODEL",
        value_hint = clap::ValueHint::FilePath,
        help_heading = "Rescue",
        conflicts_with_all = UNPLAYED
    )]
    pub simulate: Option<PathBuf>,
    /// Try everything, also where nothing more is to be expected
    #[arg(long, help_heading = "Rescue")]
    pub exhaustive: bool,
    /// Rounds of further tries for what failed, while they bring anything; -1 for no end
    #[arg(long, value_name = "N", default_value = "3", value_parser = retries, allow_hyphen_values = true, help_heading = "Rescue")]
    pub retries: u32,
    /// Files to read first, by name or path, with * ** ? and [a-z]; may be given several times, the most wanted first
    #[arg(long, value_name = "PATTERN", help_heading = "Rescue")]
    pub first: Vec<String>,
    /// Leave out a pass: copy, slow, back, trim, sweep, enclose, scrape, retry or rest; or value, which reads what matters first. May be given
    /// several times
    #[arg(long, value_name = "PASS", help_heading = "Rescue")]
    pub without: Vec<PassName>,
    /// Begin at the end
    #[arg(long, help_heading = "Rescue")]
    pub reverse: bool,
    /// Smallest read; without it the physical sector of the drive
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Rescue")]
    pub sector: Option<u64>,
    /// Longest read
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Rescue")]
    pub read_size: Option<u64>,
    /// How far to jump ahead after a failure, and at most; 0 for nowhere
    #[arg(long, value_name = "FIRST[,MOST]", value_parser = skip, help_heading = "Rescue")]
    pub skip: Option<Skip>,
    /// Try what failed as a whole, but not sector by sector, as if it had not been tried
    #[arg(long, help_heading = "Rescue")]
    pub try_again: bool,
    /// Look again for the edges of what failed; with --try-again, try everything that failed again
    #[arg(long, help_heading = "Rescue")]
    pub retrim: bool,

    /// Read by commands to the drive itself, each tried once
    #[arg(long, value_name = "HOW", value_enum, default_value_t = PassthroughName::Auto, help_heading = "Handling")]
    pub passthrough: PassthroughName,
    /// How long a read may take before it is taken back or left behind
    #[arg(long, value_name = "TIME", default_value = "60", value_parser = duration, help_heading = "Handling")]
    pub read_timeout: Duration,
    #[command(flatten)]
    pub treatment: super::treatment::TreatmentArgs,
    /// Read at most so many bytes a second
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Handling")]
    pub max_rate: Option<u64>,
    /// Leave for later what gives fewer bytes a second; 0 for a tenth of the average
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Handling")]
    pub min_rate: Option<u64>,
    /// So long after the start nothing counts as slow
    #[arg(long, value_name = "TIME", default_value = "30", value_parser = duration, help_heading = "Handling")]
    pub slow_after: Duration,
    /// Forget how many seconds were slow when one is fast again
    #[arg(long, help_heading = "Handling")]
    pub reset_slow: bool,
    /// Let the drive rest after a failed read
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration, help_heading = "Handling")]
    pub pause_on_error: Duration,
    /// Let the drive rest between passes
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration, help_heading = "Handling")]
    pub pause_on_pass: Duration,
    /// Open the drive anew after every failed read
    #[arg(long, help_heading = "Handling")]
    pub reopen_on_error: bool,

    /// After a failed read, read the last good sector again, and stop if it is another
    #[arg(long, help_heading = "Suspicion")]
    pub check_on_error: bool,
    /// Make so many of 100 reads twice, some time later, and compare
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent, help_heading = "Suspicion")]
    pub check_reads: f64,
    /// A file with what stands for a sector that could not be read
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Suspicion")]
    pub bad_sector_data: Option<PathBuf>,
    /// A map whose finished blocks hold data: long runs of zeros there are suspect
    #[arg(long, value_name = "MAP", value_hint = clap::ValueHint::FilePath, help_heading = "Suspicion")]
    pub expect: Option<String>,
    /// Refuse a drive that is longer or shorter than the map
    #[arg(long, help_heading = "Suspicion")]
    pub check_size: bool,

    /// Stop after N failed reads
    #[arg(long, value_name = "N", help_heading = "Stop")]
    pub max_errors: Option<u64>,
    /// Stop when there are more than N bad areas; +N for new ones
    #[arg(long, value_name = "[+]N", value_parser = bad_areas, help_heading = "Stop")]
    pub max_bad_areas: Option<BadAreas>,
    /// Stop when more bytes fail in a second
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Stop")]
    pub max_error_rate: Option<u64>,
    /// Stop after some time
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Stop")]
    pub max_time: Option<Duration>,
    /// Stop when nothing was read for some time
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Stop")]
    pub max_idle: Option<Duration>,
    /// Stop when more than N seconds were slow; needs --min-rate
    #[arg(long, value_name = "N", help_heading = "Stop")]
    pub max_slow_reads: Option<u64>,
    /// Stop when a minute brings fewer bytes a second
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Stop")]
    pub stop_below: Option<u64>,
    /// Stop when so much of what is meant is there
    #[arg(long, value_name = "PERCENT", value_parser = percent, help_heading = "Stop")]
    pub enough: Option<f64>,

    /// Where the first byte that is meant goes in IMAGE; without it, to its own place
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Output")]
    pub target_offset: Option<u64>,
    /// Make the image at least so long
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Output")]
    pub extend: Option<u64>,
    /// Empty an image that is there and that no map speaks of
    #[arg(long, help_heading = "Output", conflicts_with = "force")]
    pub truncate: bool,
    /// Write into an image that is there and that no map speaks of
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    /// Take the space of the whole image before the first read
    #[arg(long, help_heading = "Output")]
    pub preallocate: bool,
    /// Write only what is not there already
    #[arg(long, help_heading = "Output")]
    pub compare_before_write: bool,
    /// How old the mapfile may get
    #[arg(long, value_name = "TIME", default_value = "30", value_parser = duration, help_heading = "Output")]
    pub map_interval: Duration,
    /// Do not ask before a drive is overwritten
    #[arg(long, help_heading = "Output")]
    pub yes: bool,
    /// Show what would be read and written, and ask before it begins
    #[arg(long, help_heading = "Output")]
    pub ask: bool,

    /// Read what standard input asks for: lines `c POS SIZE`, `s POS SIZE`, `u`, `f` and `q`, as in ddrescue's command mode
    #[arg(long, conflicts_with = "reverse", help_heading = "Rescue")]
    pub commands: bool,

    /// Log good reads, too (with --log)
    #[arg(long, help_heading = "Log")]
    pub log_reads: bool,

    /// Options as ddrescue has them, in its units: '-d -r3 -i 1GiB -s 5GB'
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true, help_heading = "ddrescue")]
    pub ddrescue_args: Option<String>,
}

/// A pass that may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PassName {
    Copy,
    Slow,
    Back,
    Trim,
    Sweep,
    Enclose,
    Scrape,
    Retry,
    Rest,
    /// What matters first.
    Value,
}

impl PassName {
    /// The pass; none for what is no pass of its own.
    pub fn pass(self) -> Option<Pass> {
        Some(match self {
            PassName::Value => return None,
            PassName::Copy => Pass::Copy,
            PassName::Slow => Pass::Slow,
            PassName::Back => Pass::Back,
            PassName::Trim => Pass::Trim,
            PassName::Sweep => Pass::Sweep,
            PassName::Enclose => Pass::Enclose,
            PassName::Scrape => Pass::Scrape,
            PassName::Retry => Pass::Retry,
            PassName::Rest => Pass::Rest,
        })
    }
}

/// How a drive is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PassthroughName {
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
    /// The same for the engine.
    pub fn how(self) -> Passthrough {
        match self {
            PassthroughName::Auto => Passthrough::Auto,
            PassthroughName::No => Passthrough::Never,
            PassthroughName::Scsi => Passthrough::Only(Dialect::Scsi),
            PassthroughName::Ata => Passthrough::Only(Dialect::Ata),
            PassthroughName::Nvme => Passthrough::Only(Dialect::Nvme),
        }
    }
}

fn retries(text: &str) -> Result<u32, String> {
    match text {
        "-1" => Ok(u32::MAX),
        _ => text.parse().map_err(|_| "a number of rounds is wanted, or -1".to_owned()),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let value: f64 = text.trim_end_matches('%').parse().map_err(|_| "a number of percent is wanted".to_owned())?;
    if (0.0..=100.0).contains(&value) { Ok(value) } else { Err("it takes 0 to 100".into()) }
}

fn skip(text: &str) -> Result<Skip, String> {
    let part = |text: &str| if text.is_empty() { Ok(None) } else { size(text).map(Some) };
    match text.split_once(',') {
        None => Ok(Skip { first: part(text)?, most: None }),
        Some((first, most)) => Ok(Skip { first: part(first)?, most: part(most)? }),
    }
}

fn bad_areas(text: &str) -> Result<BadAreas, String> {
    let number = |text: &str| text.parse().map_err(|_| "a number of areas is wanted, or + and a number".to_owned());
    match text.strip_prefix('+') {
        Some(new) => Ok(BadAreas::New(number(new)?)),
        None => Ok(BadAreas::Total(number(text)?)),
    }
}

/// A time, for clap: a number of seconds, or of minutes, hours or days with m, h or d.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no time; times look like 90, 1.5, 10m, 2h or 1d");
    let (number, factor) = match text.char_indices().last().ok_or_else(bad)? {
        (i, 's') => (&text[..i], 1.0),
        (i, 'm') => (&text[..i], 60.0),
        (i, 'h') => (&text[..i], 3600.0),
        (i, 'd') => (&text[..i], 86_400.0),
        _ => (text, 1.0),
    };
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let value: f64 = number.parse().ok().filter(|_| plain).ok_or_else(bad)?;
    Duration::try_from_secs_f64(value * factor).map_err(|_| bad())
}

/// Reads what stands for a bad sector.
pub fn bad_sector_data(args: &Args, sector: u64) -> Result<Option<Vec<u8>>> {
    let Some(path) = &args.bad_sector_data else { return Ok(None) };
    let bytes = std::fs::read(path).map_err(|e| Error::io("cannot read", e).in_path(path))?;
    if bytes.len() as u64 != sector {
        return Err(Error::usage(format!("has {} bytes; it takes one sector of {sector}", bytes.len())).in_path(path));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_played_or_refused() {
        use clap::Args as _;
        // What docs/rescue/simulate.md names.
        let played = [
            "domain",
            "loose",
            "offset",
            "size",
            "simulate",
            "exhaustive",
            "retries",
            "without",
            "sector",
            "read_size",
            "skip",
            "read_timeout",
            "max_errors",
            "max_time",
        ];
        let command = Args::augment_args(clap::Command::new("rescue"));
        for arg in command.get_arguments().filter(|arg| arg.get_long().is_some()) {
            let id = arg.get_id().as_str();
            assert!(played.contains(&id) != UNPLAYED.contains(&id), "{id}");
        }
    }

    #[test]
    fn times() {
        for (text, seconds) in [("0", 0.0), ("90", 90.0), ("1.5", 1.5), ("10m", 600.0), ("2h", 7200.0), ("1d", 86400.0)]
        {
            assert_eq!(duration(text).unwrap().as_secs_f64(), seconds);
        }
        for text in ["", "m", "-1", "1e9", "inf", "1 s", "99999999999999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
