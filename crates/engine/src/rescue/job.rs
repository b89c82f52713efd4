//! A rescue from a real drive into a real file or drive.

use super::handling::Handling;
use super::keeper::{Keeper, Place};
use super::limits::{Limits, Stop};
use super::log::{Header, Log};
use super::mirror::Mirror;
use super::reader::Reader;
use super::real::{Direction, Real, Tools};
use super::start::{Afresh, Begun, Wanted, begin, beside};
use super::suspect::{self, End, Suspect, Suspicions};
use super::target::Target;
use super::{Ledger, Plan, Rescue, Status};
use crate::identity::SourceId;
use crate::map::Domain;
use crate::report::{Range as Listed, now, program};
use crate::target::Lock;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_core::mapfile::Heading;
use tintype_core::{Disk, Error, Event, Kind, Result, Source, Watch};

/// What to rescue.
pub struct Request {
    /// The drive, as it was given.
    pub locator: String,
    /// Its path, where it has one.
    pub path: Option<PathBuf>,
    /// Its bytes.
    pub source: Arc<dyn Source>,
    /// Where they go.
    pub target: Target,
    /// The mapfile; the journal lies beside it.
    pub map: PathBuf,
    /// How old the mapfile may get.
    pub map_interval: Duration,
    /// The bytes that are meant; sectors of which only a part is meant are read whole.
    pub domain: Domain,
    /// What has to be so of an earlier run's map.
    pub wanted: Wanted,
    /// What becomes of its statuses.
    pub afresh: Afresh,
    /// Where a file system keeps data; zeros there are suspect.
    pub expected: Option<Domain>,
    /// How to go about it.
    pub plan: Plan,
    /// From which end.
    pub direction: Direction,
    /// How the drive is treated.
    pub handling: Handling,
    /// When to stop before the end.
    pub limits: Limits,
    /// The command line, for the mapfile.
    pub command: Vec<String>,
    /// Shows the work, and says when to stop.
    pub watch: Arc<dyn Watch>,
}

/// What a rescue came to.
#[derive(Debug, Serialize)]
pub struct Rescued {
    /// The drive.
    pub source: String,
    /// The image.
    pub target: String,
    /// The mapfile.
    pub map: String,
    /// Bytes of the drive.
    pub size: u64,
    /// Bytes of it that are meant.
    pub domain: u64,
    /// Bytes of these that were read, in this run and the ones before.
    pub rescued: u64,
    /// Bytes that are meant, by ddrescue's status.
    pub statuses: BTreeMap<String, u64>,
    /// Ranges that are meant and failed alone.
    pub bad: Vec<Listed>,
    /// Ranges that are meant and were not, or not finally, tried.
    pub unread: Vec<Listed>,
    /// Ranges that were read and may be wrong all the same.
    pub suspect: Vec<Suspect>,
    /// Reads of this run that were made twice and compared.
    pub checked_reads: u64,
    /// Reads of this run.
    pub reads: u64,
    /// Reads of this run that failed.
    pub failed_reads: u64,
    /// Reads that did not come back and were left behind.
    pub hung_reads: u64,
    /// Why it ended before everything was tried, if it did.
    pub stopped: Option<String>,
    /// The limit that ended it, by its name on the command line.
    pub stopped_by: Option<String>,
    /// Seconds it took.
    pub seconds: f64,
}

/// Rescues. Ends early, with everything kept, when the watch says so or a limit is met.
pub fn run(request: Request) -> Result<Rescued> {
    let Request { locator, path, source, target, map, map_interval, domain, wanted, afresh, .. } = &request;
    let Request { expected, plan, direction, handling, limits, command, watch, .. } = &request;
    let clock = Instant::now();
    let len = source.len();
    let domain = wanted.domain(domain.clone(), map, len)?.in_units(plan.sector, len);
    if domain.total() == 0 && len > 0 {
        return Err(Error::usage(format!("none of the {len} bytes of {locator} are meant")));
    }
    let id = SourceId::of(locator, path.as_deref(), Some(&**source));
    let journal = beside(map, ".journal");
    let begun = begin(&id, len, target, map, &journal)?;
    let disk: Arc<dyn Disk> = target.open(len, &domain)?;
    // A drive as target is held by its own open.
    let _lock = match crate::open::medium_of(&target.path)? {
        crate::open::Medium::File => Some(Lock::take(&target.path)?),
        _ => None,
    };
    // Another run may have come further until the lock was free.
    let begun = match begun {
        Begun::Anew => Begun::Anew,
        _ => begin(&id, len, target, map, &journal)?,
    };
    let header =
        Header { program: program(), started: now(), source: id, target: target.path.to_string_lossy().into_owned() };
    let (mut ledger, log) = match begun {
        Begun::Anew => {
            let ledger = Ledger::new(len);
            let log = Log::create(&journal, &header, &ledger)?;
            (ledger, log)
        }
        Begun::FromMap(ledger) => {
            watch.event(&Event::Note(format!("going on with {}", map.display())));
            let log = Log::create(&journal, &header, &ledger)?;
            (ledger, log)
        }
        Begun::FromJournal(ledger, found) => {
            watch.event(&Event::Note(format!("going on: {} of {len} bytes are there", ledger.total(Status::Finished))));
            (ledger, Log::reopen(&journal, &found)?)
        }
    };
    let head = Heading {
        program: program(),
        command: command.join(" "),
        started: header.started.clone(),
        ..Heading::default()
    };
    let kept = Ledger::copy(&ledger);
    ledger.restrict(&domain);
    let place = Place { target: Arc::clone(&disk), log, map: map.clone(), interval: *map_interval, ledger: kept, head };
    let mut keeper = Keeper::spawn(place);
    for (range, fate) in afresh.changes(&mut ledger) {
        keeper.mark(range, fate)?;
    }
    let areas = ledger.areas(Status::Bad);
    let mut drive = Real::new(Tools {
        reader: Reader::new(Arc::clone(source), handling.deadline),
        keeper,
        handling: handling.clone(),
        limits: limits.clone(),
        watch: Arc::clone(watch),
        suspicions: Suspicions::new(plan.sector, handling.check_reads, expected.clone()),
        direction: *direction,
        areas,
        longest: plan.longest,
        sector: plan.sector,
    });
    let (ledger, run) = passes(&mut drive, ledger, plan, *direction);
    // What was sampled is compared whatever ended the run but a person, or a drive that is not to be read any more.
    let run = run.and_then(|()| drive.check_reads(End::Yes));
    // What was read is kept whatever ended the run.
    drive.keeper.finish()?;
    let found = std::mem::replace(&mut drive.suspicions, Suspicions::new(plan.sector, 0.0, None));
    let checked_reads = found.checked;
    let suspects = beside(map, ".suspect");
    let suspect = found.finish(&suspect::load(&suspects)?, &ledger, &*disk);
    suspect::save(&suspects, &suspect)?;
    let stop: Option<Stop> = match run {
        Ok(()) => None,
        Err(e) if e.kind() == Kind::Cancelled && drive.stop.is_some() => drive.stop.take(),
        Err(e) => return Err(e),
    };
    if let Some(stop) = &stop {
        watch.event(&Event::Note(format!("stopped: {}", stop.why)));
    }
    let listed = |wanted: &[Status]| -> Vec<Listed> {
        ledger
            .pieces()
            .filter(|(_, f)| wanted.contains(&f.status))
            .map(|(r, _)| Listed { offset: r.start, len: r.end - r.start })
            .collect()
    };
    Ok(Rescued {
        source: locator.clone(),
        target: target.path.to_string_lossy().into_owned(),
        map: map.to_string_lossy().into_owned(),
        size: len,
        domain: ledger.meant(),
        rescued: ledger.total(Status::Finished),
        statuses: Status::ALL.iter().map(|s| (s.name().to_owned(), ledger.total(*s))).collect(),
        bad: listed(&[Status::Bad]),
        unread: listed(&[Status::NonTried, Status::NonTrimmed, Status::NonScraped]),
        suspect,
        checked_reads,
        reads: drive.pace.reads,
        failed_reads: drive.pace.failed,
        hung_reads: drive.pace.hung,
        stopped_by: stop.as_ref().map(|s| s.by.to_owned()),
        stopped: stop.map(|s| s.why),
        seconds: clock.elapsed().as_secs_f64(),
    })
}

/// Makes the passes; returns what is known afterwards, and how they ended.
fn passes(drive: &mut Real, ledger: Ledger, plan: &Plan, direction: Direction) -> (Ledger, Result<()>) {
    match direction {
        Direction::Forwards => {
            let mut rescue = Rescue::new(drive, ledger, plan.clone());
            let run = rescue.run();
            (rescue.ledger, run)
        }
        Direction::Backwards => {
            let len = ledger.len();
            let mut mirror = Mirror::new(drive, len, plan.sector);
            let turned = mirror.ledger(&ledger);
            let mut rescue = Rescue::new(&mut mirror, turned, plan.clone());
            let run = rescue.run();
            let turned = rescue.ledger;
            (mirror.back(&turned, len), run)
        }
    }
}
