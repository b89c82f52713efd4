//! A rescue from a real drive into a real file or drive.

use super::afresh::{Afresh, Wanted};
use super::begin::{Begun, Site, There};
use super::commands::Console;
use super::failures::{self, FailedFor};
use super::handling::Handling;
use super::keeper::{Cadence, Keeper, Place};
use super::known::leave_for_later;
use super::limits::{Limits, Stop};
use super::log::{Header, Log};
use super::mirror::Mirror;
use super::reader::{Around, Heard, Reader};
use super::real::{Direction, Real, Tools};
use super::suspect::{self, End, Suspect, Suspicions};
use super::target::{Held, Start, Target};
use super::uncorrected::SuspectReads;
use super::{Causes, Ledger, Plan, Rescue, Status};
use crate::identity::SourceId;
use crate::map::Domain;
use crate::report::{Range as Listed, now, program};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_core::mapfile::Heading;
use tintype_core::{Aligned, Disk, Error, Event, Kind, Result, Source, Watch};

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
    /// What the drive itself says it cannot read; it is left for the late passes.
    pub known: Vec<Range<u64>>,
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
    /// How what stays unreadable is asked for at the end, if at all.
    pub suspect_reads: Option<SuspectReads>,
    /// How to go about it.
    pub plan: Plan,
    /// From which end.
    pub direction: Direction,
    /// How the drive is treated.
    pub handling: Handling,
    /// When to stop before the end.
    pub limits: Limits,
    /// Says which ranges are read, one after the other; without it, all that is meant is.
    pub console: Option<Console>,
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
    /// Bytes that are meant and failed, by reason.
    pub failures: Vec<FailedFor>,
    /// Bytes that were read, by how long that took.
    pub took: BTreeMap<&'static str, u64>,
    /// Ranges that were read and may be wrong all the same.
    pub suspect: Vec<Suspect>,
    /// Reads of this run that were made twice and compared.
    pub checked_reads: u64,
    /// Sectors that the drive calls unreadable and that were asked for past its error correction in this run.
    pub suspect_reads: u64,
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
pub fn run(mut request: Request) -> Result<Rescued> {
    let console = request.console.take();
    let Request { locator, path, source, target, map, map_interval, domain, wanted, afresh, .. } = &request;
    let Request { expected, suspect_reads, plan, direction, handling, limits, command, watch, .. } = &request;
    let clock = Instant::now();
    let len = source.len();
    let domain = wanted.domain(domain.clone(), map, len)?.in_units(plan.sector, len);
    if domain.total() == 0 && len > 0 {
        return Err(Error::usage(format!("none of the {len} bytes of {locator} are meant")));
    }
    let id = SourceId::of(locator, path.as_deref(), Some(&**source));
    let site = Site::of(map)?;
    let suspects = site.folder.join(format!("{}.suspect", site.map));
    let beside = site.folder.join(format!("{}.suspect.img", site.map));
    let before = suspect::load(&suspects)?;
    if let Some(wanted) = suspect_reads {
        wanted.announce(&beside, &before, &**watch)?;
    }
    let known = || Begun::at(&site, &id, len, target, target.there()?);
    if target.there()? == There::Nothing {
        known()?;
    }
    let held = Held::of(target, len, &domain)?;
    // What was known before may have changed until it was held.
    let begun = known()?;
    let header = Header {
        program: program(),
        started: now(),
        source: id.clone(),
        target: target.path.to_string_lossy().into_owned(),
        medium: held.medium(),
    };
    let head = Heading {
        program: program(),
        command: command.join(" "),
        started: header.started.clone(),
        ..Heading::default()
    };
    let start = if matches!(begun, Begun::Anew) { Start::Anew } else { Start::GoingOn };
    let attached_anew = match &begun {
        Begun::FromJournal(_, found) => !found.header.source.same_attachment(&id),
        _ => false,
    };
    let (mut ledger, log) = take_up(begun, &site, header, len, &**watch).map_err(|e| e.in_folder(&site.folder))?;
    let causes = log.causes().clone();
    // The journal is there first: an image that has its length and no journal would be somebody else's.
    let disk = held.disk(start)?;
    let mut reader = Reader::new(Arc::clone(source), handling.deadline);
    if attached_anew && !resembles(&mut reader, &*disk, &ledger, &**watch)? {
        return Err(Error::denied(format!(
            "holds something else than what {} was begun with, and has no serial number to know it by; name the right drive, or \
             move the journal {} away to go on with the mapfile all the same",
            target.path.display(),
            site.folder.join(site.journal()).display()
        ))
        .in_path(locator));
    }
    let fates = ledger.fates().clone();
    ledger.restrict(&domain);
    let changes = afresh.changes(&mut ledger);
    leave_for_later(&mut ledger, &request.known, plan.unit);
    let place = Place {
        target: Arc::clone(&disk),
        zeros: held.zeros(),
        outlet: Arc::clone(&site.outlet),
        map: site.map.clone(),
        log,
        fates,
        head,
        cadence: Cadence { map: *map_interval, ..Cadence::default() },
    };
    let mut keeper = Keeper::spawn(place);
    for (range, fate) in changes {
        keeper.mark(range, fate)?;
    }
    watch.event(&Event::Begin { title: "rescuing".into(), total: Some(ledger.meant()) });
    let areas = ledger.areas(Status::Bad);
    let mut drive = Real::new(Tools {
        reader,
        keeper,
        handling: handling.clone(),
        limits: limits.clone(),
        watch: Arc::clone(watch),
        suspicions: Suspicions::new(plan.sector, handling.check_reads, expected.clone())
            .kept_in(&suspects, &before, &ledger),
        direction: *direction,
        causes: causes.clone(),
        areas,
        longest: plan.longest,
        sector: plan.sector,
    });
    let in_full = console.is_none();
    let (ledger, run) = passes(&mut drive, ledger, plan, *direction, console);
    let (mut asked, mut run) = (0, run);
    if let (Some(wanted), true, Ok(())) = (suspect_reads, in_full, &run) {
        match drive.suspect_reads(wanted, &ledger, plan, &before, &beside) {
            Ok(sectors) => asked = sectors,
            Err(e) => run = Err(e),
        }
    }
    // What was sampled is compared whatever ended the run but a person, or a drive that is not to be read any more.
    let run = run.and_then(|()| drive.check_reads(End::Yes));
    watch.event(&Event::End);
    // What was read is kept whatever ended the run.
    drive.keeper.finish()?;
    let found = std::mem::replace(&mut drive.suspicions, Suspicions::new(plan.sector, 0.0, None));
    let checked_reads = found.checked;
    let suspect = found.finish(&ledger, &*disk)?;
    let stop: Option<Stop> = match run {
        Ok(()) => None,
        Err(e) if e.kind() == Kind::Cancelled && drive.stop.is_some() => drive.stop.take(),
        Err(e) => return Err(e),
    };
    if let Some(stop) = &stop {
        watch.event(&Event::Note(format!("stopped: {}", stop.why)));
    }
    let listed = |wanted: &[Status]| -> Vec<Listed> {
        ledger.ranges(wanted).into_iter().map(|r| Listed { offset: r.start, len: r.end - r.start }).collect()
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
        failures: failures::by_reason(ledger.pieces(), &causes),
        took: failures::by_time(ledger.pieces()),
        suspect,
        checked_reads,
        suspect_reads: asked,
        reads: drive.pace.reads,
        failed_reads: drive.pace.failed,
        hung_reads: drive.pace.hung,
        stopped_by: stop.as_ref().map(|s| s.by.to_owned()),
        stopped: stop.map(|s| s.why),
        seconds: clock.elapsed().as_secs_f64(),
    })
}

/// What is known, and the journal that goes on from there.
pub(super) fn take_up(begun: Begun, site: &Site, header: Header, len: u64, watch: &dyn Watch) -> Result<(Ledger, Log)> {
    let create = |ledger: Ledger, header: Header, causes: Causes, maps: Vec<u32>| {
        let log = Log::create(Arc::clone(&site.outlet), &site.journal(), header, ledger.fates(), causes, maps)?;
        Ok((ledger, log))
    };
    match begun {
        Begun::Anew => create(Ledger::new(len), header, Causes::new(), Vec::new()),
        Begun::FromMap(ledger, sum) => {
            watch.event(&Event::Note(format!("going on with {}", site.folder.join(&site.map).display())));
            create(ledger, header, Causes::new(), vec![sum])
        }
        Begun::FromJournal(ledger, found) => {
            if let (Some(was), Some(is)) = (&found.header.medium, &header.medium)
                && let Some(why) = was.differs(is)
            {
                let what = format!("is not the drive that was written before: {why}; name the right one");
                return Err(Error::denied(what).in_path(&header.target));
            }
            if found.ignored > 0 {
                let what = format!("the last {} bytes of its journal are not whole and are left out", found.ignored);
                watch.event(&Event::Note(what));
            }
            watch.event(&Event::Note(format!("going on: {} of {len} bytes are there", ledger.total(Status::Finished))));
            if found.older {
                return create(ledger, found.header, found.causes, found.maps);
            }
            Ok((ledger, Log::reopen(Arc::clone(&site.outlet), &site.journal(), &found)?))
        }
    }
}

/// Makes the passes; returns what is known afterwards, and how they ended.
fn passes(
    drive: &mut Real,
    ledger: Ledger,
    plan: &Plan,
    direction: Direction,
    console: Option<Console>,
) -> (Ledger, Result<()>) {
    match direction {
        Direction::Forwards => {
            let watch = Arc::clone(&drive.watch);
            let mut rescue = Rescue::new(drive, ledger, plan.clone());
            let run = match console {
                Some(mut console) => rescue.obey(&mut console, &*watch),
                None => rescue.by_value(),
            };
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

/// Places that are looked at to know a drive again, and bytes of each.
const PLACES: usize = 16;
const LOOK: u64 = 4096;

/// True if the drive still holds what was read from it, as far as some places tell that can be read now.
fn resembles(reader: &mut Reader, image: &dyn Disk, ledger: &Ledger, watch: &dyn Watch) -> Result<bool> {
    let finished = || ledger.iter().filter(|(_, f)| f.status() == Status::Finished).map(|(r, _)| r);
    let every = (finished().count() / PLACES).max(1);
    for range in finished().step_by(every).take(PLACES) {
        let range = range.start..range.end.min(range.start + LOOK);
        let mut kept = vec![0; (range.end - range.start) as usize];
        image.read_at(&mut kept, range.start)?;
        let mut around = Around { stop: &|| watch.cancelled(), buffer: &mut || Aligned::new(LOOK as usize) };
        match reader.read(range, None, &mut around)? {
            Heard::Bytes(bytes, good, _) if bytes[..good as usize] != kept[..good as usize] => return Ok(false),
            Heard::Bytes(..) => {}
            // It is in no state to be asked for more than it has to be.
            Heard::Hung => return Ok(true),
            Heard::Stopped => return Err(Error::cancelled()),
        }
    }
    Ok(true)
}
