//! A rescue from a real drive into a real file or drive.

use super::begin::{Begun, Site, There};
use super::keeper::{Cadence, Keeper, Place, Zeros};
use super::log::{Header, Log};
use super::reader::{Around, Heard, Next, Reader};
use super::{Drive, Fate, Ledger, Pass, Plan, Reply, Rescue, Status};
use crate::identity::SourceId;
use crate::map::Domain;
use crate::open::{Medium, medium_of};
use crate::report::{Range as Listed, now, program};
use crate::target::Lock;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_core::mapfile::Heading;
use tintype_core::{Aligned, Disk, Error, Event, Kind, Result, Source, Watch};
use tintype_device::disk::{BlockDisk, FileDisk};

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
    let site = Site::of(&map)?;
    let (begun, target) = match there(&image)? {
        There::Nothing => {
            Begun::at(&site, &id, len, &image, There::Nothing)?;
            let target = Target::hold(&image, len)?;
            // Another run may have begun in between.
            (Begun::at(&site, &id, len, &image, there(&image)?)?, target)
        }
        _ => {
            let target = Target::hold(&image, len)?;
            (Begun::at(&site, &id, len, &image, there(&image)?)?, target)
        }
    };
    let header = Header {
        program: program(),
        started: now(),
        source: id.clone(),
        target: image.to_string_lossy().into_owned(),
        medium: target.medium(&image),
    };
    let head = Heading {
        program: program(),
        command: command.join(" "),
        started: header.started.clone(),
        ..Heading::default()
    };
    let attached_anew = match &begun {
        Begun::FromJournal(_, found) => !found.header.source.same_attachment(&id),
        _ => false,
    };
    let (mut ledger, log) = take_up(begun, &site, header, len, &*watch).map_err(|e| e.in_folder(&site.folder))?;
    // The journal is there first: an image that has its length and no journal would be somebody else's.
    let disk = target.disk(&image, len)?;
    let mut reader = Reader::new(source, deadline);
    if attached_anew && !resembles(&mut reader, &*disk, &ledger)? {
        return Err(Error::denied(format!(
            "holds something else than what {} was begun with, and has no serial number to know it by; name the right drive, or \
             move the journal {} away to go on with the mapfile all the same",
            image.display(),
            site.folder.join(site.journal()).display()
        ))
        .in_path(&locator));
    }
    let fates = ledger.fates().clone();
    ledger.restrict(&domain);
    let outlet = Arc::clone(&site.outlet);
    let place = Place {
        target: disk,
        zeros: target.zeros(),
        outlet,
        map: site.map.clone(),
        log,
        fates,
        head,
        cadence: Cadence::default(),
    };
    let mut drive = Real::new(reader, Keeper::spawn(place), &plan, &ledger, limits, Arc::clone(&watch));
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

/// What is known, and the journal that goes on from there.
pub(super) fn take_up(begun: Begun, site: &Site, header: Header, len: u64, watch: &dyn Watch) -> Result<(Ledger, Log)> {
    let create = |ledger: Ledger, map: Option<u32>| {
        let log = Log::create(Arc::clone(&site.outlet), &site.journal(), header.clone(), ledger.fates(), map)?;
        Ok((ledger, log))
    };
    match begun {
        Begun::Anew => create(Ledger::new(len), None),
        Begun::FromMap(ledger, sum) => {
            watch.event(&Event::Note(format!("going on with {}", site.folder.join(&site.map).display())));
            create(ledger, Some(sum))
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
            Ok((ledger, Log::reopen(Arc::clone(&site.outlet), &site.journal(), &found)?))
        }
    }
}

fn there(image: &Path) -> Result<There> {
    match medium_of(image) {
        Ok(Medium::File) => {
            let meta = std::fs::metadata(image).map_err(|e| Error::io("cannot look at", e).in_path(image))?;
            Ok(There::File(meta.len()))
        }
        Ok(Medium::Drive) => Ok(There::Drive),
        Ok(Medium::Folder) => Err(Error::usage("is a folder; name the image inside it").in_path(image)),
        Err(e) if e.io_kind() == Some(std::io::ErrorKind::NotFound) => Ok(There::Nothing),
        Err(e) => Err(e),
    }
}

/// The image, held so that no other run writes it.
enum Target {
    Drive(Arc<BlockDisk>),
    File(#[expect(dead_code, reason = "it is held")] Lock),
}

impl Target {
    /// Holds the image; a file that was not there is empty.
    fn hold(image: &Path, len: u64) -> Result<Self> {
        if matches!(medium_of(image), Ok(Medium::Drive)) {
            let disk = BlockDisk::open(image)?;
            if disk.len() < len {
                let why = format!("has {} bytes, the drive {len}; use a larger one", disk.len());
                return Err(Error::denied(why).in_path(image));
            }
            return Ok(Target::Drive(Arc::new(disk)));
        }
        let file = File::options().create(true).truncate(false).write(true).read(true).open(image);
        let there = file.and_then(|f| f.metadata()).map_err(|e| cannot_make(e, image))?.len();
        if there > len {
            return Err(Error::denied(format!("has {there} bytes, more than the {len} of the drive")).in_path(image));
        }
        Lock::take(image).map(Target::File)
    }

    /// Which drive it is, if it is one.
    fn medium(&self, image: &Path) -> Option<SourceId> {
        match self {
            Target::Drive(disk) => Some(SourceId::of(&image.to_string_lossy(), Some(image), Some(&**disk))),
            Target::File(_) => None,
        }
    }

    /// Opens it, with `len` bytes.
    fn disk(&self, image: &Path, len: u64) -> Result<Arc<dyn Disk>> {
        match self {
            Target::Drive(disk) => Ok(Arc::clone(disk) as _),
            Target::File(_) => {
                let file = File::options().write(true).open(image);
                let set = file.and_then(|f| f.set_len(len).and_then(|()| f.sync_all()));
                set.map_err(|e| cannot_make(e, image))?;
                Ok(Arc::new(FileDisk::past_cache(image)?))
            }
        }
    }

    fn zeros(&self) -> Zeros {
        match self {
            Target::Drive(_) => Zeros::Written,
            Target::File(_) => Zeros::Holes,
        }
    }
}

fn cannot_make(e: std::io::Error, image: &Path) -> Error {
    Error::io("cannot make the image", e).in_path(image)
}

/// Places that are looked at to know a drive again, and bytes of each.
const PLACES: usize = 16;
const LOOK: u64 = 4096;

/// True if the drive still holds what was read from it, as far as some places tell that can be read now.
fn resembles(reader: &mut Reader, image: &dyn Disk, ledger: &Ledger) -> Result<bool> {
    let finished = || ledger.iter().filter(|(_, f)| f.status == Status::Finished).map(|(r, _)| r);
    let every = (finished().count() / PLACES).max(1);
    for range in finished().step_by(every).take(PLACES) {
        let range = range.start..range.end.min(range.start + LOOK);
        let len = (range.end - range.start) as usize;
        let mut kept = vec![0; len];
        image.read_at(&mut kept, range.start)?;
        let mut around = Around { stop: &|| false, buffer: &mut || Aligned::new(LOOK as usize) };
        if let Heard::Bytes(bytes, good, _) = reader.read(range, None, &mut around)?
            && bytes[..good as usize] != kept[..good as usize]
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A drive that is really there, and what is kept of it.
pub(super) struct Real {
    reader: Reader,
    pub keeper: Keeper,
    buffers: Vec<Aligned>,
    longest: usize,
    sector: u64,
    watch: Arc<dyn Watch>,
    limits: Limits,
    clock: Instant,
    next: Option<Next>,
    reads: u64,
    failed: u64,
    hung: u64,
    done: u64,
    lost: u64,
    told: Instant,
    // Why the run is to end, in words.
    why: Option<String>,
}

impl Real {
    pub fn new(
        reader: Reader,
        keeper: Keeper,
        plan: &Plan,
        ledger: &Ledger,
        limits: Limits,
        watch: Arc<dyn Watch>,
    ) -> Self {
        Real {
            reader,
            keeper,
            buffers: Vec::new(),
            longest: plan.longest as usize,
            sector: plan.sector,
            watch,
            limits,
            clock: Instant::now(),
            next: None,
            reads: 0,
            failed: 0,
            hung: 0,
            done: ledger.total(Status::Finished),
            lost: lost(ledger),
            told: Instant::now(),
            why: None,
        }
    }

    fn end(&mut self, why: impl Into<String>) -> Error {
        self.why = Some(why.into());
        Error::cancelled()
    }
}

impl Drive for Real {
    fn ahead(&mut self, size: u64, limit: u64) {
        self.next = Some(Next { size, limit });
    }

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
        let (keeper, buffers, longest) = (&mut self.keeper, &mut self.buffers, self.longest);
        let mut buffer = || keeper.buffer().or_else(|| buffers.pop()).unwrap_or_else(|| Aligned::new(longest));
        let (watch, began) = (&self.watch, Instant::now());
        let mut around = Around { stop: &|| watch.cancelled(), buffer: &mut buffer };
        let heard = self.reader.read(range.clone(), self.next.take(), &mut around)?;
        self.reads += 1;
        self.failed += std::mem::take(&mut self.reader.failed_ahead);
        let (good, failed, seconds) = match heard {
            Heard::Bytes(buffer, good, seconds) => {
                let all = range.end - range.start;
                // Only whole sectors before the failure are believed.
                let good =
                    if good == all { all } else { (range.start + good) / self.sector * self.sector - range.start };
                if good > 0 {
                    self.keeper.write(buffer, range.start..range.start + good)?;
                } else {
                    self.buffers.push(buffer);
                }
                (good, good < all, seconds)
            }
            Heard::Hung => {
                self.hung += 1;
                (0, true, began.elapsed().as_secs_f64())
            }
            Heard::Stopped => return Err(Error::cancelled()),
        };
        self.failed += u64::from(failed);
        if self.told.elapsed() > Duration::from_millis(100) {
            self.told = Instant::now();
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
