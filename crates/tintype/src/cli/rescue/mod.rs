//! `rescue DRIVE IMAGE [MAP]`

mod ddrescue;
mod numbers;
mod options;
mod simulate;
mod summary;
mod textlogs;
mod treatment;

pub use options::Args;
use treatment::TreatmentArgs;

use super::Context;
use crate::cli::domain::load;
use crate::output::{Output, Status, Stdout};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use tintype_core::mapfile::{END, Gaps};
use tintype_core::{Error, Event, Result, Source, Watch, human_size};
use tintype_engine::files::Pattern;
use tintype_engine::map::Domain;
use tintype_engine::map::algebra::Shift;
use tintype_engine::open::{Medium, medium_of};
use tintype_engine::rescue::{
    self, Afresh, AfterError, Again, Console, Direction, Failed, Handling, Limits, Old, Plan, Reach, Reopen, Size,
    Slow, Space, SuspectReads, Target, Told, Tried, Wanted, Wishes, Writes,
};

/// Runs it.
pub fn run(args: &Args, context: &Context<'_>) -> Result<Status> {
    match &args.ddrescue_args {
        None => rescued(args, &ddrescue::Extra::default(), context),
        Some(words) => match ddrescue::read(words, args)? {
            ddrescue::Wish::Rescue(args, extra) => rescued(&args, &extra, context),
            ddrescue::Wish::Fill(args) => super::map::fill::run(&args, context),
            ddrescue::Wish::Generate(args) => super::map::generate::run(&args, context),
            ddrescue::Wish::Elsewhere(advice) => Err(Error::usage(advice)),
        },
    }
}

fn rescued(args: &Args, extra: &ddrescue::Extra, context: &Context<'_>) -> Result<Status> {
    check_options(args, context)?;
    if let Some(model) = &args.simulate {
        return simulate::run(args, model, context);
    }
    let map = args.map.clone().unwrap_or_else(|| {
        let mut name = args.image.as_os_str().to_owned();
        name.push(".map");
        PathBuf::from(name)
    });
    let heard = Arc::clone(&context.watch) as Arc<dyn Watch>;
    let (how, timeout) = (args.passthrough.how(), args.read_timeout);
    if args.treatment.put_back {
        let done = TreatmentArgs::put_back(&args.source, how, timeout, &map, &*heard)?;
        let text = match done.settings.is_empty() {
            true => "nothing was left changed\n".to_owned(),
            false => format!("put back: {}\n", done.settings.join(", ")),
        };
        Output::new(context.common, context.stdout).result(&done, &text)?;
        return Ok(Status::Done);
    }
    // Held to the end: the settings of the drive are put back when it goes.
    let (drive, _prepared) = args.treatment.open(&args.source, how, timeout, &map, heard)?;
    let keep = args.treatment.suspect_reads.map(treatment::KeepName::keep);
    let suspect_reads = keep.map(|keep| SuspectReads { ways: drive.ways, keep });
    let mut source = drive.source;
    let test = extra.test.as_ref().map(|path| load(path, extra.gaps())).transpose()?;
    if let Some(map) = &test {
        source = rescue::failing(source, map)?;
    }
    let shape = source.shape();
    let sector = args.sector.unwrap_or(u64::from(shape.physical));
    if !sector.is_power_of_two() || sector < u64::from(shape.sector) || sector > 1 << 20 {
        return Err(Error::usage(format!(
            "--sector {sector}: it takes a power of two from {} to 1 MiB for this drive",
            shape.sector
        )));
    }
    check_target(args, context)?;
    let watch = textlogs::over(Arc::clone(&context.watch) as _, extra)?;
    if args.ask {
        ask(args, &*source)?;
    }
    let expected = args.expect.as_ref().map(|path| load(path, Gaps::Refused)).transpose()?;
    let rescued = rescue::run(rescue::Request {
        locator: args.source.to_string_lossy().into_owned(),
        path: Some(args.source.clone()),
        known: drive.known,
        plan: plan(args, u64::from(shape.sector), sector)?,
        handling: Handling {
            deadline: drive.deadline,
            effort: drive.effort,
            ..handling(args, extra, sector, if test.is_none() { Reopens::Really } else { Reopens::Not }, context)?
        },
        source,
        target: target(args),
        map,
        map_interval: args.map_interval,
        domain: args.domain.domain()?,
        wanted: Wanted {
            size: if args.check_size { Size::Same } else { Size::Any },
            reach: if args.within_map { Reach::Map } else { Reach::Drive },
        },
        afresh: Afresh {
            tried: if args.try_again { Tried::Forget } else { Tried::Keep },
            failed: if args.retrim { Failed::Retrim } else { Failed::Keep },
        },
        suspect_reads: suspect_reads.filter(|_| test.is_none()),
        expected: expected.map(|map| Domain::new(0..END, Some(&map))),
        direction: if args.reverse { Direction::Backwards } else { Direction::Forwards },
        limits: limits(args),
        console: args.commands.then(console),
        command: std::env::args().collect(),
        watch,
    })?;
    // Where answers were given, nothing else is said on standard output.
    let stdout = if args.commands { Stdout::Image } else { context.stdout };
    Output::new(context.common, stdout).result(&rescued, &summary::text(&rescued))?;
    let all = rescued.rescued == rescued.domain && rescued.suspect.iter().all(|s| s.reason.is_hint());
    Ok(if all { Status::Done } else { Status::Found })
}

fn plan(args: &Args, sector: u64, physical: u64) -> Result<Plan> {
    let mut plan = Plan::new(sector, physical);
    plan.exhaustive = args.exhaustive;
    plan.retries = args.retries;
    plan.skip = args.skip.unwrap_or_default();
    plan.passes.retain(|pass| !args.without.iter().any(|name| name.pass() == Some(*pass)));
    plan.value = match args.without.contains(&options::PassName::Value) {
        true if !args.first.is_empty() => {
            return Err(Error::usage(
                "--first names what is read first, and --without value reads nothing first; leave one of them out",
            ));
        }
        true => None,
        false => Some(Wishes { first: args.first.iter().map(|p| Pattern::new(p)).collect() }),
    };
    if let Some(size) = args.read_size {
        if !size.is_power_of_two() || size < plan.unit || size > 64 << 20 {
            return Err(Error::usage(format!(
                "--read-size {size}: it takes a power of two from {} to 64 MiB for this drive",
                plan.unit
            )));
        }
        plan.longest = size;
    }
    Ok(plan)
}

/// Whether there is a drive that can be opened anew.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reopens {
    Really,
    Not,
}

fn handling(
    args: &Args,
    extra: &ddrescue::Extra,
    sector: u64,
    reopens: Reopens,
    context: &Context<'_>,
) -> Result<Handling> {
    let (path, how, timeout) = (args.source.clone(), args.passthrough.how(), args.read_timeout);
    let watch = Arc::clone(&context.watch);
    let reopen: Option<Reopen> = match args.reopen_on_error && reopens == Reopens::Really {
        true => Some(Arc::new(move || rescue::open_drive(&path, how, timeout, &*watch).map(|drive| drive.source))),
        false => None,
    };
    let slow =
        |rate| Slow { rate, after: args.slow_after, again: if args.reset_slow { Again::Reset } else { Again::Keep } };
    Ok(Handling {
        deadline: timeout,
        max_rate: args.max_rate,
        slow: args.min_rate.map(slow),
        pause_on_error: args.pause_on_error,
        pause_on_pass: args.pause_on_pass,
        reopen,
        effort: None,
        after_error: if args.check_on_error { AfterError::CheckLastGood } else { AfterError::GoOn },
        bad_data: options::bad_sector_data(args, sector)?,
        check_reads: args.check_reads / 100.0,
        told: if args.log_reads || extra.log_reads.is_some() { Told::All } else { Told::Failed },
    })
}

/// Lines from standard input, answers to standard output.
fn console() -> Console {
    let (sender, lines) = channel();
    // Nobody waits for this thread: it may wait for a line for ever.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(std::io::Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    Console { lines, answers: Box::new(std::io::stdout()), number: |text| numbers::number(text, 512) }
}

/// Refuses options that would have no effect.
fn check_options(args: &Args, context: &Context<'_>) -> Result<()> {
    if args.max_slow_reads.is_some() && args.min_rate.is_none() {
        return Err(Error::usage("--max-slow-reads needs --min-rate, which says what is slow"));
    }
    if args.commands && args.reverse {
        return Err(Error::usage("--commands and --reverse: ranges that are asked for are read forwards"));
    }
    for (on, option) in [(args.reverse, "--reverse"), (args.commands, "--commands")] {
        if on && !args.first.is_empty() {
            return Err(Error::usage(format!(
                "--first and {option} each say in which order the drive is read; leave one of them out"
            )));
        }
    }
    if args.log_reads && context.common.log.is_none() {
        return Err(Error::usage("--log-reads needs --log, which says where"));
    }
    Ok(())
}

fn limits(args: &Args) -> Limits {
    Limits {
        errors: args.max_errors,
        bad_areas: args.max_bad_areas,
        error_rate: args.max_error_rate,
        time: args.max_time,
        idle: args.max_idle,
        slow_reads: args.max_slow_reads,
        rate: args.stop_below,
        enough: args.enough.map(|percent| percent / 100.0),
    }
}

fn target(args: &Args) -> Target {
    let from = args.domain.offset;
    Target {
        shift: match args.target_offset {
            Some(to) if to < from => Shift::Down(from - to),
            Some(to) => Shift::Up(to - from),
            None => Shift::Up(0),
        },
        at_least: args.extend.unwrap_or(0),
        old: match (args.truncate, args.force) {
            (true, _) => Old::Truncate,
            (false, true) => Old::Keep,
            (false, false) => Old::Refuse,
        },
        space: if args.preallocate { Space::Reserved } else { Space::Sparse },
        writes: if args.compare_before_write { Writes::Different } else { Writes::All },
        ..Target::new(&args.image)
    }
}

/// Shows what is about to happen, and asks.
fn ask(args: &Args, source: &dyn Source) -> Result<()> {
    let of = |path: &Path, source: Option<&dyn Source>| {
        let identity = source.map(|s| s.facts().identity.clone()).unwrap_or_default();
        let size = source.map_or_else(String::new, |s| format!(", {} ({} bytes)", human_size(s.len()), s.len()));
        let name = [identity.model, identity.serial].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>();
        let name = if name.is_empty() { String::new() } else { format!(" [{}]", name.join(", ")) };
        format!("{}{name}{size}", path.display())
    };
    let target = match medium_of(&args.image) {
        Ok(Medium::Drive) => tintype_device::block::open(&args.image).ok(),
        _ => None,
    };
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "read    {}", of(&args.source, Some(source)));
    let _ = writeln!(err, "write   {}", of(&args.image, target.as_ref().map(|t| t as &dyn Source)));
    let _ = write!(err, "Go on? (y/n) ");
    let _ = err.flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|e| Error::io("cannot read the answer", e))?;
    match answer.trim_start().starts_with(['y', 'Y']) {
        true => Ok(()),
        false => Err(Error::denied("not begun: the answer was not yes")),
    }
}
fn check_target(args: &Args, context: &Context<'_>) -> Result<()> {
    let image: &Path = &args.image;
    match medium_of(image) {
        Ok(Medium::Drive) => {
            let request = tintype_device::guard::Request { sources: vec![args.source.clone()] };
            for warning in tintype_device::guard::check_target(image, &request)? {
                context.watch.event(&Event::Warning(warning.to_string()));
            }
            if !args.yes {
                super::restore::ask(image, &[format!("write what {} holds", args.source.display())])?;
            }
        }
        Err(e) if e.io_kind() == Some(std::io::ErrorKind::NotFound) && tintype_device::guard::names_a_device(image) => {
            return Err(Error::denied("there is no such drive; `tintype devices` lists them").in_path(image));
        }
        _ => {}
    }
    // A file, or a loop device over one, is somebody practising: it wears nothing that the image does not.
    let practice = args.source.file_name().is_some_and(|n| n.to_string_lossy().starts_with("loop"));
    if practice || medium_of(&args.source)? != Medium::Drive {
        return Ok(());
    }
    let shared = tintype_device::guard::same_physical_drive(&args.source, image)?;
    match shared.first() {
        Some(drive) => Err(Error::denied(format!(
            "lies on {}, the drive that is to be rescued: every write would wear it; choose another place",
            drive.display()
        ))
        .in_path(image)),
        None => Ok(()),
    }
}
