//! ddrescue's own options, as ours.

use super::numbers::{number, time};
use super::options::{Args, PassName};
use crate::cli::map::fill::FillArgs;
use crate::cli::map::generate::GenerateArgs;
use crate::cli::map::{Statuses, TargetArgs};
use std::path::PathBuf;
use std::time::Duration;
use tintype_core::mapfile::{Gaps, Status};
use tintype_core::{Error, Result};
use tintype_engine::map::parse_statuses;
use tintype_engine::rescue::{BadAreas, Skip};

/// What only ddrescue's options ask for.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// A map whose blocks that are not finished fail.
    pub test: Option<String>,
    /// Maps may have gaps.
    pub loose: bool,
    /// Logs in ddrescue's text forms.
    pub log_events: Option<PathBuf>,
    /// The same of rates.
    pub log_rates: Option<PathBuf>,
    /// The same of reads.
    pub log_reads: Option<PathBuf>,
}

impl Extra {
    /// What becomes of gaps in the map of the test mode.
    pub fn gaps(&self) -> Gaps {
        if self.loose { Gaps::Filled(Status::NonTried) } else { Gaps::Refused }
    }
}

/// What is asked for.
pub enum Wish {
    /// A rescue.
    Rescue(Box<Args>, Box<Extra>),
    /// Filling, which `map fill` does.
    Fill(Box<FillArgs>),
    /// A map of what is there, which `map generate` makes.
    Generate(Box<GenerateArgs>),
    /// What this program does otherwise, in words.
    Elsewhere(String),
}

/// Whether an option has an argument.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
    MaybeValue,
}

use Takes::{MaybeValue, Nothing, Value};

/// Every option of `ddrescue --help` 1.27 and those of later versions: its letter, its long name, its argument.
const OPTIONS: [(char, &str, Takes); 62] = [
    ('h', "help", Nothing),
    ('V', "version", Nothing),
    ('a', "min-read-rate", Value),
    ('A', "try-again", Nothing),
    ('b', "sector-size", Value),
    ('B', "binary-prefixes", Nothing),
    ('c', "cluster-size", Value),
    ('C', "complete-only", Nothing),
    ('d', "idirect", Nothing),
    ('D', "odirect", Nothing),
    ('e', "max-bad-areas", Value),
    ('E', "max-error-rate", Value),
    ('f', "force", Nothing),
    ('F', "fill-mode", Value),
    ('G', "generate-mode", Nothing),
    ('H', "test-mode", Value),
    ('i', "input-position", Value),
    ('I', "verify-input-size", Nothing),
    ('J', "verify-on-error", Nothing),
    ('J', "check-on-error", Nothing),
    ('K', "skip-size", Value),
    ('L', "loose-domain", Nothing),
    ('m', "domain-mapfile", Value),
    ('M', "retrim", Nothing),
    ('n', "no-scrape", Nothing),
    ('N', "no-trim", Nothing),
    ('o', "output-position", Value),
    ('O', "reopen-on-error", Nothing),
    ('p', "preallocate", Nothing),
    ('P', "data-preview", MaybeValue),
    ('q', "quiet", Nothing),
    ('r', "retry-passes", Value),
    ('R', "reverse", Nothing),
    ('s', "size", Value),
    ('S', "sparse", Nothing),
    ('t', "truncate", Nothing),
    ('T', "timeout", Value),
    ('u', "unidirectional", Nothing),
    ('v', "verbose", Nothing),
    ('w', "ignore-write-errors", Nothing),
    ('W', "compare-before-write", Nothing),
    ('x', "extend-outfile", Value),
    ('X', "max-read-errors", Value),
    ('y', "synchronous", Nothing),
    ('Z', "max-read-rate", Value),
    (' ', "ask", Nothing),
    (' ', "bad-sector-data", Value),
    (' ', "command-mode", Nothing),
    (' ', "continue-on-errno", Value),
    (' ', "cpass", Value),
    (' ', "delay-slow", Value),
    (' ', "log-events", Value),
    (' ', "log-rates", Value),
    (' ', "log-reads", Value),
    (' ', "mapfile-interval", Value),
    (' ', "max-slow-reads", Value),
    (' ', "no-sweep", Nothing),
    (' ', "pause-on-error", Value),
    (' ', "pause-on-pass", Value),
    (' ', "reset-slow", Nothing),
    (' ', "same-file", Nothing),
    (' ', "log-file", Value),
];

/// Cuts a text into words at spaces; quotes and backslashes keep them together, as a shell's do.
fn words(text: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    match quote {
        Some(q) => Err(Error::usage(format!("--ddrescue-args: a {q} is missing at the end"))),
        None => {
            words.extend(word);
            Ok(words)
        }
    }
}

/// Takes words apart: long names of options, and their arguments.
fn options(words: &[String]) -> Result<Vec<(&'static str, String)>> {
    let mut found = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let missing = || Error::usage(format!("--ddrescue-args: {word} needs an argument"));
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let (name, takes) = long_name(name)?;
            let value = match (takes, value) {
                (Nothing, Some(_)) => {
                    return Err(Error::usage(format!("--ddrescue-args: --{name} takes no argument")));
                }
                (Value, None) => words.next().ok_or_else(missing)?.clone(),
                (_, value) => value.unwrap_or_default(),
            };
            found.push((name, value));
            continue;
        }
        let Some(letters) = word.strip_prefix('-').filter(|l| !l.is_empty()) else {
            return Err(Error::usage(format!(
                "--ddrescue-args: {word:?} is no option; DRIVE, IMAGE and MAP are given outside, as arguments of rescue"
            )));
        };
        for (i, letter) in letters.char_indices() {
            let (_, name, takes) = OPTIONS
                .into_iter()
                .find(|o| o.0 == letter && letter != ' ')
                .ok_or_else(|| Error::usage(format!("--ddrescue-args: ddrescue has no option -{letter}")))?;
            let rest = &letters[i + letter.len_utf8()..];
            match takes {
                Nothing => found.push((name, String::new())),
                MaybeValue => {
                    found.push((name, rest.to_owned()));
                    break;
                }
                Value => {
                    let value =
                        if rest.is_empty() { words.next().ok_or_else(missing)?.clone() } else { rest.to_owned() };
                    found.push((name, value));
                    break;
                }
            }
        }
    }
    Ok(found)
}

/// The option of a long name, which may be cut short while it is clear.
fn long_name(name: &str) -> Result<(&'static str, Takes)> {
    if let Some(exact) = OPTIONS.into_iter().find(|o| o.1 == name) {
        return Ok((exact.1, exact.2));
    }
    let mut begin = OPTIONS.into_iter().filter(|o| !name.is_empty() && o.1.starts_with(name));
    match (begin.next(), begin.next()) {
        (Some(only), None) => Ok((only.1, only.2)),
        (None, _) => Err(Error::usage(format!("--ddrescue-args: ddrescue has no option --{name}"))),
        _ => Err(Error::usage(format!("--ddrescue-args: --{name} may mean several options; give more of its name"))),
    }
}

/// Reads ddrescue's options and lays them over ours.
///
/// Where ddrescue does otherwise unless told, so does the run: everything is tried once, sector by sector, and nothing again.
pub fn read(text: &str, ours: &Args) -> Result<Wish> {
    let options = options(&words(text)?)?;
    let mut args = Args { ddrescue_args: None, exhaustive: true, retries: 0, ..ours.clone() };
    let mut extra = Extra::default();
    let of = |name: &str| options.iter().rev().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
    // What a sector is has to be known before anything is counted in them.
    let sector = of("sector-size").map(|value| number(value, 512)).transpose()?;
    let bytes = |value: &str| number(value, sector.unwrap_or(512));
    args.sector = sector.or(args.sector);
    for (name, value) in &options {
        let value = value.as_str();
        match *name {
            "help" | "version" => {
                return Ok(Wish::Elsewhere(format!("--ddrescue-args: --{name} is asked of ddrescue itself")));
            }
            "fill-mode" | "generate-mode" => {}
            "command-mode" => args.commands = true,
            "min-read-rate" => args.min_rate = Some(bytes(value)?),
            "try-again" => args.try_again = true,
            "complete-only" => args.within_map = true,
            "max-bad-areas" => {
                args.max_bad_areas = Some(match value.strip_prefix('+') {
                    Some(new) => BadAreas::New(bytes(new)?),
                    None => BadAreas::Total(bytes(value)?),
                });
            }
            "max-error-rate" => args.max_error_rate = Some(bytes(value)?),
            "force" => args.yes = true,
            "test-mode" => extra.test = Some(value.to_owned()),
            "input-position" => args.domain.offset = bytes(value)?,
            "verify-input-size" => args.check_size = true,
            "verify-on-error" | "check-on-error" => args.check_on_error = true,
            "skip-size" => args.skip = Some(skip(value, &bytes)?),
            "loose-domain" => (args.domain.loose, extra.loose) = (true, true),
            "domain-mapfile" => args.domain.domain = Some(value.to_owned()),
            "retrim" => args.retrim = true,
            "no-scrape" => args.without.push(PassName::Scrape),
            // Ours look for edges in all of these.
            "no-trim" => args.without.extend([PassName::Trim, PassName::Sweep, PassName::Enclose]),
            "no-sweep" => args.without.extend([PassName::Sweep, PassName::Enclose, PassName::Rest]),
            "output-position" => args.target_offset = Some(bytes(value)?),
            "reopen-on-error" => args.reopen_on_error = true,
            "preallocate" => args.preallocate = true,
            "retry-passes" => {
                args.retries = match value {
                    "-1" => u32::MAX,
                    _ => u32::try_from(bytes(value)?).unwrap_or(u32::MAX),
                };
            }
            "reverse" => args.reverse = true,
            "size" => args.domain.size = if value == "-1" { None } else { Some(bytes(value)?) },
            "truncate" => args.truncate = true,
            "timeout" => args.max_idle = Some(time(value)?),
            "unidirectional" => args.without.push(PassName::Back),
            "compare-before-write" => args.compare_before_write = true,
            "extend-outfile" => args.extend = Some(bytes(value)?).filter(|n| *n > 0),
            // It stops at more than so many, --max-errors at so many.
            "max-read-errors" => args.max_errors = Some(bytes(value)?.saturating_add(1)),
            "max-read-rate" => args.max_rate = Some(bytes(value)?),
            "ask" => args.ask = true,
            "bad-sector-data" => args.bad_sector_data = Some(value.into()),
            "cpass" => cpass(value, &mut args.without)?,
            "delay-slow" => args.slow_after = time(value)?,
            "log-events" => extra.log_events = Some(value.into()),
            "log-rates" => extra.log_rates = Some(value.into()),
            "log-reads" => extra.log_reads = Some(value.into()),
            "mapfile-interval" => {
                let save = value.split(',').next().unwrap_or_default();
                if !matches!(save, "" | "-1") {
                    args.map_interval = time(save)?;
                }
            }
            "max-slow-reads" => args.max_slow_reads = Some(bytes(value)?),
            // A pause that is only simulated is none.
            "pause-on-error" if value.starts_with('s') => args.pause_on_error = Duration::ZERO,
            "pause-on-error" => args.pause_on_error = time(value)?,
            "pause-on-pass" => args.pause_on_pass = time(value)?,
            "reset-slow" => args.reset_slow = true,
            "same-file" => {
                return Ok(Wish::Elsewhere("--same-file: a rescue never writes to the drive it reads".into()));
            }
            "log-file" => {
                return Ok(Wish::Elsewhere("--log-file: the mapfile is given as an argument of rescue".into()));
            }
            // Always so, or without a meaning here: docs/rescue/rescue.md says which.
            "binary-prefixes"
            | "cluster-size"
            | "idirect"
            | "odirect"
            | "sector-size"
            | "data-preview"
            | "quiet"
            | "sparse"
            | "verbose"
            | "ignore-write-errors"
            | "synchronous"
            | "continue-on-errno" => {}
            _ => return Err(Error::usage(format!("--ddrescue-args: --{name} is not understood"))),
        }
    }
    if let Some(sectors) = of("cluster-size") {
        let size = bytes(sectors)?.saturating_mul(sector.unwrap_or(512)).clamp(4096, 64 << 20);
        args.read_size = Some(1 << size.ilog2());
    }
    let map = || args.map.clone().ok_or_else(|| Error::usage("--ddrescue-args: this needs the MAP as an argument"));
    if let Some(types) = of("fill-mode") {
        let signs: String = types.chars().filter(|c| *c != 'l').collect();
        return Ok(Wish::Fill(Box::new(FillArgs {
            map: map()?.to_string_lossy().into_owned(),
            target: args.image,
            status: Statuses(parse_statuses(&signs)?),
            with: Some(args.source),
            text: None,
            locations: types.contains('l'),
            sector_size: sector.unwrap_or(512),
            target_offset: args.target_offset,
            ignore_write_errors: of("ignore-write-errors").is_some(),
            yes: args.yes,
            domain: args.domain,
        })));
    }
    if of("generate-mode").is_some() {
        return Ok(Wish::Generate(Box::new(GenerateArgs {
            target: TargetArgs { output: Some(map()?), force: false },
            drive: args.source,
            image: args.image,
            sector_size: sector.unwrap_or(512),
            target_offset: args.target_offset,
            domain: args.domain,
        })));
    }
    Ok(Wish::Rescue(Box::new(args), Box::new(extra)))
}

fn skip(value: &str, bytes: &dyn Fn(&str) -> Result<u64>) -> Result<Skip> {
    let part = |text: &str| if text.is_empty() { Ok(None) } else { bytes(text).map(Some) };
    let (first, most) = value.split_once(',').unwrap_or((value, ""));
    Ok(Skip { first: part(first)?, most: part(most)? })
}

/// Which of the copying passes are made: ddrescue's first is our copy, its second our back, all others our rest.
fn cpass(value: &str, without: &mut Vec<PassName>) -> Result<()> {
    let bad = || Error::usage(format!("--cpass={value}: it takes passes from 0 to 5, such as 1, 1-3 or 1,3"));
    let mut wanted = [false; 6];
    for part in value.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
        wanted.get_mut(first..=last).ok_or_else(bad)?.fill(true);
    }
    for (pass, name) in [(1..2, PassName::Copy), (2..3, PassName::Back), (3..6, PassName::Rest)] {
        if !wanted[pass].contains(&true) {
            without.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn read_args(text: &str) -> Result<(Args, Extra)> {
        use clap::Parser;
        let line = Line::parse_from(["rescue", "/dev/x", "image"]);
        match read(text, &line.args)? {
            Wish::Rescue(args, extra) => Ok((*args, *extra)),
            Wish::Elsewhere(advice) => Err(Error::usage(advice)),
            Wish::Fill(_) | Wish::Generate(_) => Err(Error::usage("another verb")),
        }
    }

    #[test]
    fn letters_names_and_units_are_ddrescues() {
        let (args, _) = read_args("-d -r3 -n -i 1GiB -s 5GB").unwrap();
        assert_eq!((args.retries, args.domain.offset, args.domain.size), (3, 1 << 30, Some(5_000_000_000)));
        assert!(args.without.contains(&PassName::Scrape) && args.exhaustive);
        // Clusters of letters, long names cut short, sectors of the size that is given after.
        let (args, _) = read_args("-dnr-1 --input-pos=2s -b2048 --max-bad=+7 -X0 -T1.5m").unwrap();
        assert_eq!((args.retries, args.domain.offset, args.sector), (u32::MAX, 4096, Some(2048)));
        assert_eq!(args.max_bad_areas, Some(BadAreas::New(7)));
        assert_eq!((args.max_errors, args.max_idle), (Some(1), Some(Duration::from_secs(90))));
        let (args, extra) = read_args("-K64Ki,1M -m 'my map' -L --log-reads \"a b\" -H t.map -o0 --cpass=1").unwrap();
        assert_eq!(args.skip, Some(Skip { first: Some(65536), most: Some(1_000_000) }));
        assert_eq!((args.domain.domain.as_deref(), args.domain.loose), (Some("my map"), true));
        assert_eq!((extra.log_reads, extra.test.as_deref()), (Some("a b".into()), Some("t.map")));
        assert_eq!(args.target_offset, Some(0));
        assert_eq!(args.without, [PassName::Back, PassName::Rest]);
        // ddrescue's -P takes its lines from the same word only.
        assert!(read_args("-P3 -q").is_ok() && read_args("-P 3").is_err());
    }

    #[test]
    fn what_is_no_option_is_said() {
        for (text, words) in [
            ("-k", "no option -k"),
            ("--max", "several"),
            ("--nothing", "no option --nothing"),
            ("-i", "needs an argument"),
            ("/dev/sda", "outside"),
            ("-i 1K", "no number"),
            ("'", "missing"),
            ("-d=1", "no option -="),
            ("--idirect=1", "takes no argument"),
            ("--cpass=6", "passes"),
            ("-F-l", "needs the MAP"),
            ("-G", "needs the MAP"),
            ("--same-file", "never writes"),
        ] {
            let said = read_args(text).err().unwrap_or_else(|| panic!("{text} is accepted")).to_string();
            assert!(said.contains(words), "{text}: {said}");
        }
    }

    #[test]
    fn every_option_is_understood() {
        for (_, name, takes) in OPTIONS {
            let value = match name {
                "fill-mode" => "+",
                _ => "1",
            };
            let word = if takes == Value { format!("--{name}={value}") } else { format!("--{name}") };
            if let Err(e) = read_args(&word) {
                assert!(!e.to_string().contains("is not understood"), "{e}");
            }
        }
    }
}
