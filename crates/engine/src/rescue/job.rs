//! A rescue from a real drive into a real file or drive.

use super::keeper::{Keeper, Place};
use super::log::{self, Header, Log};
use super::reader::{Heard, Reader};
use super::{Drive, Fate, Ledger, Pass, Plan, Reply, Rescue, Status};
use crate::identity::SourceId;
use crate::map::Domain;
use crate::report::{Range as Listed, now, program};
use crate::target::Lock;
use serde::Serialize;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_codec::checksum::crc32;
use tintype_core::mapfile::{Gaps, Heading, Mapfile};
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
    pub image: PathBuf,
    /// The mapfile; the journal lies beside it.
    pub map: PathBuf,
    /// The bytes that are meant; sectors of which only a part is meant are read whole.
    pub domain: Domain,
    /// How to go about it.
    pub plan: Plan,
    /// How long a read may take.
    pub deadline: Duration,
    /// When to stop before the end.
    pub limits: Limits,
    /// The command line, for the mapfile.
    pub command: Vec<String>,
    /// Shows the work, and says when to stop.
    pub watch: Arc<dyn Watch>,
}

/// When a rescue ends before it is done.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Failed reads.
    pub errors: Option<u64>,
    /// Time since the start.
    pub time: Option<Duration>,
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
    /// Reads of this run.
    pub reads: u64,
    /// Reads of this run that failed.
    pub failed_reads: u64,
    /// Reads that did not come back and were left behind.
    pub hung_reads: u64,
    /// Why it ended before everything was tried, if it did.
    pub stopped: Option<String>,
    /// Seconds it took.
    pub seconds: f64,
}

/// Rescues. Ends early, with everything kept, when the watch says so or a limit is met.
pub fn run(request: Request) -> Result<Rescued> {
    let Request { locator, path, source, image, map, domain, plan, deadline, limits, command, watch } = request;
    let clock = Instant::now();
    let len = source.len();
    let domain = domain.in_units(plan.sector, len);
    if domain.total() == 0 && len > 0 {
        return Err(Error::usage(format!("none of the {len} bytes of {locator} are meant")));
    }
    let id = SourceId::of(&locator, path.as_deref(), Some(&*source));
    let journal = beside(&map, ".journal");
    let begun = begin(&id, len, &image, &map, &journal)?;
    let target: Arc<dyn Disk> = open_target(&image, len)?;
    // A drive as target is held by its own open.
    let _lock = match crate::open::medium_of(&image)? {
        crate::open::Medium::File => Some(Lock::take(&image)?),
        _ => None,
    };
    // Another run may have come further until the lock was free.
    let begun = match begun {
        Begun::Anew => Begun::Anew,
        _ => begin(&id, len, &image, &map, &journal)?,
    };
    let header =
        Header { program: program(), started: now(), source: id, target: image.to_string_lossy().into_owned() };
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
    let keeper = Keeper::spawn(Place { target, log, map: map.clone(), ledger: kept, head });
    let buffers = vec![Aligned::new(plan.longest as usize)];
    let mut drive = Real {
        reader: Reader::new(source, deadline),
        keeper,
        buffers,
        longest: plan.longest as usize,
        sector: plan.sector,
        watch: Arc::clone(&watch),
        limits,
        clock,
        reads: 0,
        failed: 0,
        hung: 0,
        done: ledger.total(Status::Finished),
        lost: lost(&ledger),
        told: RefCell::new(clock),
        why: None,
    };
    watch.event(&Event::Begin { title: "rescuing".into(), total: Some(ledger.meant()) });
    let mut rescue = Rescue::new(&mut drive, ledger, plan);
    let run = rescue.run();
    watch.event(&Event::End);
    let ledger = rescue.ledger;
    // What was read is kept whatever ended the run.
    drive.keeper.finish()?;
    let stopped = match run {
        Ok(()) => None,
        Err(e) if e.kind() == Kind::Cancelled && drive.why.is_some() => drive.why.take(),
        Err(e) => return Err(e),
    };
    let listed = |wanted: &[Status]| -> Vec<Listed> {
        ledger
            .pieces()
            .filter(|(_, f)| wanted.contains(&f.status))
            .map(|(r, _)| Listed { offset: r.start, len: r.end - r.start })
            .collect()
    };
    Ok(Rescued {
        source: locator,
        target: image.to_string_lossy().into_owned(),
        map: map.to_string_lossy().into_owned(),
        size: len,
        domain: ledger.meant(),
        rescued: ledger.total(Status::Finished),
        statuses: Status::ALL.iter().map(|s| (s.name().to_owned(), ledger.total(*s))).collect(),
        bad: listed(&[Status::Bad]),
        unread: listed(&[Status::NonTried, Status::NonTrimmed, Status::NonScraped]),
        reads: drive.reads,
        failed_reads: drive.failed,
        hung_reads: drive.hung,
        stopped,
        seconds: clock.elapsed().as_secs_f64(),
    })
}

/// Bytes that were tried and are not there.
fn lost(ledger: &Ledger) -> u64 {
    ledger.meant() - ledger.total(Status::Finished) - ledger.total(Status::NonTried)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

enum Begun {
    Anew,
    FromMap(Ledger),
    FromJournal(Ledger, Box<log::Found>),
}

/// Where an earlier run stopped, whoever made it. Refuses what does not belong together.
fn begin(id: &SourceId, len: u64, image: &Path, map: &Path, journal: &Path) -> Result<Begun> {
    let text = match std::fs::read(map) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(Error::io("cannot read the mapfile", e).in_path(map)),
    };
    let found = log::read(journal)?;
    let there = image_len(image)?;
    if text.is_none() && found.is_none() {
        return match there {
            None | Some(0) => Ok(Begun::Anew),
            Some(_) => Err(Error::denied(format!(
                "exists already, and there is no mapfile {} that says what it holds; name its mapfile, or another image",
                map.display()
            ))
            .in_path(image)),
        };
    }
    if there.is_none() {
        return Err(Error::denied(format!(
            "does not exist, but {} says that some of it was rescued; name the right image, or another map",
            map.display()
        ))
        .in_path(image));
    }
    if let Some(found) = found {
        if let Some(why) = found.header.source.differs(id) {
            return Err(Error::denied(format!(
                "belongs to another drive: {why}; name the drive it was begun with, or another map"
            ))
            .in_path(journal));
        }
        // A map that was changed since was changed by somebody who knew more.
        if text.is_none() || text.as_ref().is_some_and(|t| Some(crc32(t)) == found.map) || found.map.is_none() {
            let mut ledger = Ledger::new(len);
            for (range, fate) in &found.ranges {
                if range.end > len {
                    return Err(Error::corrupt("names bytes beyond the end of the drive").in_path(journal));
                }
                ledger.set(range.clone(), *fate);
            }
            return Ok(Begun::FromJournal(ledger, Box::new(found)));
        }
    }
    let ledger = from_mapfile(&text.unwrap_or_default(), len).map_err(|e| e.in_path(map))?;
    Ok(Begun::FromMap(ledger))
}

fn from_mapfile(text: &[u8], len: u64) -> Result<Ledger> {
    let mut ledger = Ledger::new(len);
    for (range, status) in Mapfile::parse(text, Gaps::Refused)?.blocks().iter() {
        // What ddrescue does not know the end of goes on for ever.
        if range.end > len && status != Status::NonTried {
            return Err(Error::corrupt(format!(
                "names bytes up to {}, the drive has {len}: it belongs to another drive",
                range.end
            )));
        }
        let tries = u8::from(!matches!(status, Status::NonTried | Status::Finished));
        ledger.set(range.start.min(len)..range.end.min(len), Fate { status, tries });
    }
    Ok(ledger)
}

fn image_len(image: &Path) -> Result<Option<u64>> {
    match crate::open::medium_of(image) {
        Ok(crate::open::Medium::File) => {
            Ok(Some(std::fs::metadata(image).map_err(|e| Error::io("cannot look at", e).in_path(image))?.len()))
        }
        // A drive holds something always; its map says what.
        Ok(crate::open::Medium::Drive) => Ok(Some(0)),
        Ok(crate::open::Medium::Folder) => Err(Error::usage("is a folder; name the image inside it").in_path(image)),
        Err(e) if e.io_kind() == Some(std::io::ErrorKind::NotFound) => Ok(None),
        Err(e) => Err(e),
    }
}

fn open_target(image: &Path, len: u64) -> Result<Arc<dyn Disk>> {
    use crate::open::{Medium, medium_of};
    if matches!(medium_of(image), Ok(Medium::Drive)) {
        let disk = tintype_device::disk::BlockDisk::open(image)?;
        if disk.len() < len {
            return Err(
                Error::denied(format!("has {} bytes, the drive {len}; use a larger one", disk.len())).in_path(image)
            );
        }
        return Ok(Arc::new(disk));
    }
    let failed = |e| Error::io("cannot make the image", e).in_path(image);
    let file =
        std::fs::File::options().create(true).truncate(false).write(true).read(true).open(image).map_err(failed)?;
    let there = file.metadata().map_err(failed)?.len();
    if there > len {
        return Err(Error::denied(format!("has {there} bytes, more than the {len} of the drive")).in_path(image));
    }
    file.set_len(len).and_then(|()| file.sync_all()).map_err(failed)?;
    drop(file);
    Ok(Arc::new(tintype_device::disk::FileDisk::open(image)?))
}

struct Real {
    reader: Reader,
    keeper: Keeper,
    buffers: Vec<Aligned>,
    longest: usize,
    sector: u64,
    watch: Arc<dyn Watch>,
    limits: Limits,
    clock: Instant,
    reads: u64,
    failed: u64,
    hung: u64,
    done: u64,
    lost: u64,
    told: RefCell<Instant>,
    // Why the run is to end, in words.
    why: Option<String>,
}

impl Real {
    fn end(&mut self, why: impl Into<String>) -> Error {
        self.why = Some(why.into());
        Error::cancelled()
    }
}

impl Drive for Real {
    fn read(&mut self, range: Range<u64>) -> Result<Reply> {
        if self.watch.cancelled() {
            return Err(Error::cancelled());
        }
        if self.limits.time.is_some_and(|most| self.clock.elapsed() > most) {
            return Err(self.end("the time that was allowed is over"));
        }
        if self.limits.errors.is_some_and(|most| self.failed >= most) {
            return Err(self.end("as many reads failed as were allowed"));
        }
        let buffer = self.keeper.buffer().or_else(|| self.buffers.pop()).unwrap_or_else(|| Aligned::new(self.longest));
        let began = Instant::now();
        let watch = Arc::clone(&self.watch);
        let heard = self.reader.read(range.clone(), buffer, &|| watch.cancelled())?;
        let seconds = began.elapsed().as_secs_f64();
        self.reads += 1;
        let (good, failed) = match heard {
            Heard::Bytes(buffer, good) => {
                let all = range.end - range.start;
                // Only whole sectors before the failure are believed.
                let good =
                    if good == all { all } else { (range.start + good) / self.sector * self.sector - range.start };
                if good > 0 {
                    self.keeper.write(buffer, range.start..range.start + good)?;
                } else {
                    self.buffers.push(buffer);
                }
                (good, good < range.end - range.start)
            }
            Heard::Hung => {
                self.hung += 1;
                (0, true)
            }
            Heard::Stopped => return Err(Error::cancelled()),
        };
        self.failed += u64::from(failed);
        if self.told.borrow().elapsed() > Duration::from_millis(100) {
            *self.told.borrow_mut() = Instant::now();
            self.watch.event(&Event::Progress { done: self.done, lost: self.lost });
        }
        Ok(Reply { good, failed, seconds })
    }

    fn mark(&mut self, range: Range<u64>, fate: Fate) -> Result<()> {
        if fate.status == Status::Finished {
            self.done += range.end - range.start;
        }
        self.keeper.mark(range, fate)
    }

    fn pass(&mut self, pass: Pass, ledger: &Ledger) -> Result<()> {
        self.lost = lost(ledger);
        self.watch.event(&Event::Note(format!(
            "{}: {} of {} bytes are there, {} reads failed",
            pass.title(),
            ledger.total(Status::Finished),
            ledger.meant(),
            self.failed
        )));
        self.keeper.pass(pass)
    }
}
