//! What the drive calls unreadable, asked for past its error correction: only on request, at the very end, kept apart and counted as nothing.
//!
//! ```text
//!  sectors that failed alone --every way in turn--> not known to be wrong --> MAP.suspect.img, or the image
//!                                                                        --> MAP.suspect, with the way
//! ```
//!
//! The map is told nothing: the sectors stay bad. A way is used only where it gives of good sectors what is known to be in them: drives
//! that hand over the code of their heads, or answer without having read, are found out before anything is taken from them.

use super::reader::{Around, Heard, Reader};
use super::real::Real;
use super::retry::scattered;
use super::suspect::{Reason, Suspect, When, has_a_period};
use super::{Ledger, Plan, Status};
use std::collections::HashSet;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_core::{Aligned, Disk, Error, Event, Kind, Result, Source, Watch};

/// A way to ask for what the drive calls unreadable.
#[derive(Clone)]
pub struct Way {
    /// How what it gives is named.
    pub reason: Reason,
    /// The drive, asked in this way: whole sectors, believed or not.
    pub source: Arc<dyn Source>,
    /// What has to be done before the first question; a way is left out where that fails.
    pub begin: Option<Begin>,
}

/// What has to be done before the first question.
pub type Begin = Arc<dyn Fn() -> Result<()> + Send + Sync>;

/// Where what it gives goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Into a file of its own beside the map, sparse and as long as the drive, each sector at its place.
    Beside,
    /// Into the image, where zeros would be otherwise.
    Image,
}

/// Reads of what the drive calls unreadable.
#[derive(Clone)]
pub struct SuspectReads {
    /// The ways that the drive may know, the gentlest first.
    pub ways: Vec<Way>,
    /// Where what it gives goes.
    pub keep: Keep,
}

/// Good sectors that a way is tried on.
const TRIALS: usize = 3;

/// Bad ranges beside which a good sector is looked for.
const LOOK: usize = 256;

/// How often what was given is named: what a kill may cost.
const KEEP: Duration = Duration::from_secs(5);

/// After so many sectors in a row that gave nothing no more is to be expected.
const HOPELESS: u32 = 64;

impl SuspectReads {
    /// Says what is going to happen; refuses to write into a file that nobody knows.
    pub fn announce(&self, beside: &Path, before: &[Suspect], watch: &dyn Watch) -> Result<()> {
        let place = match self.keep {
            Keep::Image => "goes into the image, where the map goes on to call it bad".to_owned(),
            Keep::Beside => format!("goes to {}", beside.display()),
        };
        if self.keep == Keep::Beside && beside.exists() && !before.iter().any(|s| s.reason.is_uncorrected()) {
            return Err(Error::denied(
                "exists, and no list says what is in it; what the drive calls unreadable would go there: move it away",
            )
            .in_path(beside));
        }
        let ways: Vec<_> = self.ways.iter().map(|way| way.reason.way()).collect();
        watch.event(&Event::Warning(format!(
            "sectors that stay unreadable are asked for past the drive's error correction at the end ({}): what it gives may be wrong, \
             is listed as suspect, counts as not rescued, and {place}",
            ways.join(", ")
        )));
        Ok(())
    }
}

/// What a drive gave for a sector.
struct Given {
    range: Range<u64>,
    bytes: Vec<u8>,
    reason: Reason,
}

/// What a question came to.
enum Answer {
    Bytes(Vec<u8>),
    Nothing,
    /// It should not be asked in this way again; why, in words.
    Refused(String),
}

/// A way in use.
struct Asked<'a> {
    way: &'a Way,
    reader: Reader,
    gave: u64,
}

impl Real {
    /// Asks for every sector of `ledger` that failed alone and was not given by an earlier run; returns how many were asked for.
    ///
    /// `Cancelled` where somebody, or a limit, stops it; that the drive does not answer any more only ends it.
    pub fn suspect_reads(
        &mut self,
        wanted: &SuspectReads,
        ledger: &Ledger,
        plan: &Plan,
        before: &[Suspect],
        beside: &Path,
    ) -> Result<u64> {
        let sectors = sectors(ledger, plan.sector, before);
        if sectors.is_empty() {
            return Ok(0);
        }
        let image = self.keeper.settled()?;
        let known = known_sectors(ledger, plan.sector, &*image);
        if known.is_empty() {
            self.watch.event(&Event::Note("no good sector is known to try suspect reads on, so none are made".into()));
            return Ok(0);
        }
        let mut ways = Vec::new();
        for way in &wanted.ways {
            let reader = Reader::new(Arc::clone(&way.source), self.handling.deadline);
            let mut asked = Asked { way, reader, gave: 0 };
            match self.refused(&mut asked, &known)? {
                None => ways.push(asked),
                Some(why) => self.watch.event(&Event::Note(format!("{} is not used: {why}", way.reason.way()))),
            }
        }
        let mut store = Store::new(wanted.keep, beside, ledger.len());
        let asked = self.ask(&mut ways, &sectors, &known, plan, &mut store);
        // What was taken is there whatever ended it.
        store.finish()?;
        for way in &ways {
            let (name, all) = (way.way.reason.way(), sectors.len());
            self.watch
                .event(&Event::Note(format!("{name} gave something for {} of {all} unreadable sectors", way.gave)));
        }
        asked
    }

    fn ask(
        &mut self,
        ways: &mut Vec<Asked<'_>>,
        sectors: &[Range<u64>],
        known: &[(Range<u64>, Vec<u8>)],
        plan: &Plan,
        store: &mut Store,
    ) -> Result<u64> {
        let (mut asked, mut in_vain) = (0, 0);
        // What was given last is taken only when the next sector is another: a drive that gives the same for both gives nothing.
        let (mut pending, mut last) = (None, Vec::new());
        let mut kept = Instant::now();
        for i in scattered(sectors.len()) {
            if ways.is_empty() {
                break;
            }
            if in_vain == HOPELESS && !plan.exhaustive {
                self.watch.event(&Event::Note(format!(
                    "{HOPELESS} unreadable sectors in a row gave nothing; --exhaustive asks for the other {}",
                    sectors.len() as u64 - asked
                )));
                break;
            }
            let given = match self.give(ways, &sectors[i]) {
                Ok(given) => given,
                Err(e) => {
                    self.take(pending, store)?;
                    return match e.kind() {
                        Kind::Io => {
                            let text = format!("suspect reads end here: {}; the same command goes on", e.chain());
                            self.watch.event(&Event::Warning(text));
                            Ok(asked)
                        }
                        _ => Err(e),
                    };
                }
            };
            asked += 1;
            match given {
                Some(given) if given.bytes == last => {
                    pending = None;
                    in_vain += 1;
                }
                // What is in a good sector was left in the drive's buffer.
                Some(given) if !known.iter().any(|(_, bytes)| *bytes == given.bytes) => {
                    in_vain = 0;
                    last.clone_from(&given.bytes);
                    self.take(pending.replace(given), store)?;
                }
                _ => in_vain += 1,
            }
            if kept.elapsed() > KEEP {
                self.keep(store)?;
                kept = Instant::now();
            }
        }
        self.take(pending, store)?;
        Ok(asked)
    }

    /// The first thing that a way gives for a sector.
    fn give(&mut self, ways: &mut Vec<Asked<'_>>, range: &Range<u64>) -> Result<Option<Given>> {
        let mut at = 0;
        while at < ways.len() {
            if let Some(stop) = self.limits.met(&self.pace) {
                return Err(self.end(stop));
            }
            match self.question(&mut ways[at], range)? {
                Answer::Bytes(bytes) if !is_nothing(&bytes) && self.believed(&bytes) == bytes.len() as u64 => {
                    ways[at].gave += 1;
                    return Ok(Some(Given { range: range.clone(), bytes, reason: ways[at].way.reason }));
                }
                Answer::Bytes(_) | Answer::Nothing => at += 1,
                Answer::Refused(why) => {
                    let way = ways.remove(at);
                    self.watch.event(&Event::Note(format!("{} is not used any more: {why}", way.way.reason.way())));
                }
            }
        }
        Ok(None)
    }

    fn question(&self, asked: &mut Asked<'_>, range: &Range<u64>) -> Result<Answer> {
        if self.watch.cancelled() {
            return Err(Error::cancelled());
        }
        let len = (range.end - range.start) as usize;
        let watch = &self.watch;
        let mut around = Around { stop: &|| watch.cancelled(), buffer: &mut || Aligned::new(len) };
        match asked.reader.again(range.clone(), &mut around) {
            Ok(Heard::Bytes(bytes, good, _)) if good == len as u64 => Ok(Answer::Bytes(bytes[..len].to_vec())),
            Ok(Heard::Bytes(..)) => Ok(Answer::Nothing),
            Ok(Heard::Hung) => Ok(Answer::Refused("a question did not come back".into())),
            Ok(Heard::Stopped) => Err(Error::cancelled()),
            Err(e) if e.kind() == Kind::Unsupported => Ok(Answer::Refused(e.chain())),
            Err(e) => Err(e),
        }
    }

    /// Why a way is not to be used, in words; nothing where it gives of good sectors what is in them.
    fn refused(&self, asked: &mut Asked<'_>, known: &[(Range<u64>, Vec<u8>)]) -> Result<Option<String>> {
        if let Some(begin) = &asked.way.begin
            && let Err(e) = begin()
        {
            return Ok(Some(e.chain()));
        }
        let mut same = false;
        for (range, bytes) in known {
            match self.question(asked, range) {
                Ok(Answer::Bytes(given)) if given == *bytes => same = true,
                Ok(Answer::Bytes(_)) => {
                    return Ok(Some(format!("of the good sector at {} it gives something else", range.start)));
                }
                Ok(Answer::Nothing) => {}
                Ok(Answer::Refused(why)) => return Ok(Some(why)),
                Err(e) if e.kind() == Kind::Io => return Ok(Some(e.chain())),
                Err(e) => return Err(e),
            }
        }
        Ok((!same).then(|| "the drive refuses it for good sectors, too".into()))
    }

    /// What was given is on the medium before the list names it.
    fn keep(&mut self, store: &Store) -> Result<()> {
        match store {
            Store::Image => self.keeper.save()?,
            Store::Beside(_) => store.finish()?,
        }
        self.suspicions.save(When::Now)
    }

    fn take(&mut self, given: Option<Given>, store: &mut Store) -> Result<()> {
        let Some(Given { range, bytes, reason }) = given else { return Ok(()) };
        match store {
            Store::Image => {
                let mut buffer = Aligned::new(bytes.len());
                buffer.copy_from_slice(&bytes);
                self.keeper.write(buffer, range.clone())?;
            }
            Store::Beside(beside) => beside.write(&bytes, range.start)?,
        }
        self.suspicions.given(range, reason);
        Ok(())
    }
}

/// Sectors that failed alone, are meant, and were not given before.
fn sectors(ledger: &Ledger, sector: u64, before: &[Suspect]) -> Vec<Range<u64>> {
    let given = before.iter().filter(|s| s.reason.is_uncorrected());
    let given: HashSet<u64> =
        given.flat_map(|s| (s.offset..s.offset.saturating_add(s.len)).step_by(sector as usize)).collect();
    let mut all = Vec::new();
    for range in ledger.all(Status::Bad) {
        let mut at = range.start;
        while at < range.end {
            let end = (at / sector + 1) * sector;
            // A drive gives whole sectors only.
            if at.is_multiple_of(sector) && end <= range.end && !given.contains(&at) {
                all.push(at..end);
            }
            at = end;
        }
    }
    all
}

/// Good sectors, beside bad ones where there are such, with what is known to be in them; none that would tell nothing.
fn known_sectors(ledger: &Ledger, sector: u64, image: &dyn Disk) -> Vec<(Range<u64>, Vec<u8>)> {
    let bad = ledger.all(Status::Bad);
    let beside = scattered(bad.len()).take(LOOK).flat_map(|i| {
        let (before, after) = (bad[i].start.checked_sub(sector), bad[i].end.next_multiple_of(sector));
        before.into_iter().chain([after])
    });
    let finished = ledger.all(Status::Finished);
    let anywhere = scattered(finished.len()).take(LOOK).map(|i| finished[i].start.next_multiple_of(sector));
    let mut known: Vec<(Range<u64>, Vec<u8>)> = Vec::new();
    for at in beside.chain(anywhere) {
        let range = at..at.saturating_add(sector);
        let good = ledger.within(range.clone()).all(|(_, f)| f.status() == Status::Finished);
        if !good || range.end > ledger.len() || known.iter().any(|(r, _)| *r == range) {
            continue;
        }
        let mut bytes = vec![0; sector as usize];
        // An image that cannot be read is found out elsewhere.
        if image.read_at(&mut bytes, at).is_ok() && !has_a_period(&bytes) {
            known.push((range, bytes));
        }
        if known.len() == TRIALS {
            break;
        }
    }
    known
}

/// Of one byte over and over nobody can say whether it was read.
fn is_nothing(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b == bytes[0])
}

/// Where what is given goes.
enum Store {
    Image,
    Beside(Beside),
}

struct Beside {
    path: std::path::PathBuf,
    len: u64,
    // Made when there is something to keep.
    file: Option<File>,
}

impl Store {
    fn new(keep: Keep, beside: &Path, len: u64) -> Self {
        match keep {
            Keep::Image => Store::Image,
            Keep::Beside => Store::Beside(Beside { path: beside.to_path_buf(), len, file: None }),
        }
    }

    /// On the medium before a list names it.
    fn finish(&self) -> Result<()> {
        match self {
            Store::Beside(Beside { path, file: Some(file), .. }) => {
                file.sync_all().map_err(|e| Error::io("cannot be made durable", e).in_path(path))
            }
            _ => Ok(()),
        }
    }
}

impl Beside {
    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let failed = |e| Error::io("cannot keep what the drive gave", e).in_path(&self.path).at(offset);
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let file = File::options().write(true).create(true).truncate(false).open(&self.path).map_err(failed)?;
                file.set_len(self.len).map_err(failed)?;
                file
            }
        };
        file.write_all_at(bytes, offset).map_err(failed)?;
        self.file = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::handling::Handling;
    use super::super::keeper::{Cadence, Keeper, Place, Zeros};
    use super::super::limits::Limits;
    use super::super::log::{Header, Log};
    use super::super::real::{Direction, Tools};
    use super::super::suspect::Suspicions;
    use super::super::{Causes, Fate, Plan};
    use super::*;
    use crate::identity::SourceId;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::time::Duration;
    use tintype_core::Outlet;
    use tintype_core::mapfile::Heading;
    use tintype_core::testing::MemoryOutlet;

    const SECTOR: u64 = 512;
    const LEN: u64 = 200 * SECTOR;

    fn written(at: u64) -> Vec<u8> {
        (0..SECTOR).map(|i| (at / SECTOR * 31 + i * 7 % 253) as u8 | 1).collect()
    }

    /// What a way of a model gives for the sector at an offset.
    struct Gives<F>(F);

    impl<F: Fn(u64) -> Result<Vec<u8>> + Send + Sync> Source for Gives<F> {
        fn len(&self) -> u64 {
            LEN
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
            buf.copy_from_slice(&(self.0)(offset)?);
            Ok(())
        }
    }

    fn way(reason: Reason, gives: impl Fn(u64) -> Result<Vec<u8>> + Send + Sync + 'static) -> Way {
        Way { reason, source: Arc::new(Gives(gives)), begin: None }
    }

    /// An image in memory.
    struct Image(Mutex<Vec<u8>>);

    impl Source for Image {
        fn len(&self) -> u64 {
            LEN
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
            buf.copy_from_slice(&self.0.lock().unwrap()[offset as usize..][..buf.len()]);
            Ok(())
        }
    }

    impl Disk for Image {
        fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
            self.0.lock().unwrap()[offset as usize..][..buf.len()].copy_from_slice(buf);
            Ok(())
        }

        fn zero(&self, offset: u64, len: u64) -> Result<()> {
            self.write_at(&vec![0; len as usize], offset)
        }

        fn flush(&self) -> Result<()> {
            Ok(())
        }
    }

    #[derive(Default)]
    struct Hears(Mutex<Vec<String>>);

    impl Watch for Hears {
        fn event(&self, event: &Event) {
            if let Event::Note(text) | Event::Warning(text) = event {
                self.0.lock().unwrap().push(text.clone());
            }
        }

        fn cancelled(&self) -> bool {
            false
        }
    }

    /// What came of suspect reads.
    struct Came {
        asked: u64,
        suspect: Vec<Suspect>,
        image: Vec<u8>,
        beside: Option<Vec<u8>>,
        // Statuses of the journal at the end.
        fates: Vec<(Range<u64>, Fate)>,
        said: String,
    }

    /// Sectors `bad` of a drive failed; they are asked for in these ways.
    fn ask(ways: Vec<Way>, keep: Keep, bad: &[u64], before: &[Suspect], plan: Plan) -> Came {
        let folder = tempfile::tempdir().unwrap();
        let beside = folder.path().join("t.map.suspect.img");
        let outlet: Arc<dyn Outlet> = Arc::new(MemoryOutlet::new());
        let mut ledger = Ledger::new(LEN);
        let mut bytes: Vec<u8> = (0..LEN / SECTOR).flat_map(|n| written(n * SECTOR)).collect();
        ledger.set(0..LEN, Fate::new(Status::Finished, 0));
        for n in bad {
            ledger.set(n * SECTOR..(n + 1) * SECTOR, Fate::new(Status::Bad, 1));
            bytes[(n * SECTOR) as usize..][..SECTOR as usize].fill(0);
        }
        let image = Arc::new(Image(Mutex::new(bytes)));
        let header = Header {
            program: "p".into(),
            started: "now".into(),
            source: SourceId::of("drive", None, None),
            target: "t".into(),
            medium: None,
        };
        let watch = Arc::new(Hears::default());
        let mut drive = Real::new(Tools {
            reader: Reader::new(Arc::clone(&image) as _, Duration::from_secs(60)),
            keeper: Keeper::spawn(Place {
                target: Arc::clone(&image) as _,
                zeros: Zeros::Holes,
                outlet: Arc::clone(&outlet),
                map: "t.map".into(),
                log: Log::create(
                    Arc::clone(&outlet),
                    "t.map.journal",
                    header,
                    ledger.fates(),
                    Causes::new(),
                    Vec::new(),
                )
                .unwrap(),
                fates: ledger.fates().clone(),
                head: Heading::default(),
                cadence: Cadence::default(),
            }),
            handling: Handling::default(),
            limits: Limits::default(),
            watch: Arc::clone(&watch) as _,
            suspicions: Suspicions::new(SECTOR, 0.0, None).kept_in(
                &folder.path().join("t.map.suspect"),
                before,
                &ledger,
            ),
            direction: Direction::Forwards,
            causes: Causes::new(),
            areas: 0,
            longest: 1 << 20,
            sector: SECTOR,
        });
        let wanted = SuspectReads { ways, keep };
        let asked = drive.suspect_reads(&wanted, &ledger, &plan, before, &beside).unwrap();
        let fates = drive.keeper.finish().unwrap().unwrap().iter().collect();
        let found = std::mem::replace(&mut drive.suspicions, Suspicions::new(SECTOR, 0.0, None));
        let suspect = found.finish(&ledger, &*image).unwrap();
        let said = watch.0.lock().unwrap().join("\n");
        let image = image.0.lock().unwrap().clone();
        Came { asked, suspect, image, beside: std::fs::read(&beside).ok(), fates, said }
    }

    fn plan() -> Plan {
        Plan::new(SECTOR, SECTOR)
    }

    /// What is on the medium: not what was written.
    fn damaged(at: u64) -> Vec<u8> {
        let mut bytes = written(at);
        if BAD.contains(&(at / SECTOR)) {
            bytes[9] ^= 4;
        }
        bytes
    }

    const BAD: [u64; 3] = [50, 51, 120];

    fn named(reason: Reason) -> Vec<Suspect> {
        vec![
            Suspect { offset: 50 * SECTOR, len: 2 * SECTOR, reason },
            Suspect { offset: 120 * SECTOR, len: SECTOR, reason },
        ]
    }

    #[test]
    fn what_is_given_is_kept_apart_and_named() {
        let came = ask(vec![way(Reason::ReadStream, |at| Ok(damaged(at)))], Keep::Beside, &BAD, &[], plan());
        assert_eq!((came.asked, came.suspect), (3, named(Reason::ReadStream)));
        let beside = came.beside.unwrap();
        assert_eq!(beside.len() as u64, LEN);
        for n in 0..LEN / SECTOR {
            let there = &beside[(n * SECTOR) as usize..][..SECTOR as usize];
            let want = if BAD.contains(&n) { damaged(n * SECTOR) } else { vec![0; SECTOR as usize] };
            assert_eq!(there, want, "sector {n}");
            let there = &came.image[(n * SECTOR) as usize..][..SECTOR as usize];
            assert_eq!(
                there,
                if BAD.contains(&n) { vec![0; 512] } else { written(n * SECTOR) },
                "sector {n} of the image"
            );
        }
        let bad: u64 = came.fates.iter().filter(|(_, f)| f.status() == Status::Bad).map(|(r, _)| r.end - r.start).sum();
        assert_eq!(bad, 3 * SECTOR, "nothing counts as read");
    }

    #[test]
    fn into_the_image_only_on_request_and_never_as_read() {
        let came = ask(vec![way(Reason::ReadLong, |at| Ok(damaged(at)))], Keep::Image, &BAD, &[], plan());
        assert_eq!((came.suspect, came.beside), (named(Reason::ReadLong), None));
        for n in BAD {
            assert_eq!(came.image[(n * SECTOR) as usize..][..SECTOR as usize], damaged(n * SECTOR));
        }
        let bad: u64 = came.fates.iter().filter(|(_, f)| f.status() == Status::Bad).map(|(r, _)| r.end - r.start).sum();
        assert_eq!(bad, 3 * SECTOR);
    }

    #[test]
    fn ways_that_are_not_true_are_not_used() {
        let encoded = way(Reason::SctReadLong, |at| Ok(written(at).iter().map(|b| b.rotate_left(3)).collect()));
        let refuses = way(Reason::AtaReadLong, |_| Err(Error::unsupported("does not know the command")));
        let fails = way(Reason::ReadLong, |_| Err(Error::unreadable("gives nothing", 0, None)));
        let hands = Way { begin: Some(Arc::new(|| Err(Error::unsupported("no such setting")))), ..encoded.clone() };
        let came = ask(vec![encoded, refuses, fails, hands], Keep::Beside, &BAD, &[], plan());
        assert_eq!((came.asked, came.suspect, came.beside), (0, Vec::new(), None));
        for why in ["gives something else", "does not know the command", "for good sectors, too", "no such setting"] {
            assert!(came.said.contains(why), "{}", came.said);
        }
    }

    #[test]
    fn the_first_way_that_gives_something_is_taken() {
        let one = way(Reason::TransferBlock, |at| match at / SECTOR {
            120 => Err(Error::unreadable("gives nothing", 0, None)),
            // Of zeros nobody can say that they were read.
            51 => Ok(vec![0; SECTOR as usize]),
            _ => Ok(damaged(at)),
        });
        let came = ask(vec![one, way(Reason::ReadLong, |at| Ok(damaged(at)))], Keep::Beside, &BAD, &[], plan());
        let reasons: Vec<_> = came.suspect.iter().map(|s| (s.offset / SECTOR, s.reason)).collect();
        assert_eq!(reasons, [(50, Reason::TransferBlock), (51, Reason::ReadLong), (120, Reason::ReadLong)]);
    }

    #[test]
    fn a_drive_that_repeats_itself_gives_nothing() {
        let bad: Vec<u64> = (20..180).collect();
        let pads = |at: u64| Ok(if at / SECTOR >= 20 && at / SECTOR < 180 { written(77 * 512) } else { written(at) });
        let came = ask(vec![way(Reason::ReadStream, pads)], Keep::Beside, &bad, &[], plan());
        assert_eq!((came.suspect, came.beside), (Vec::new(), None));
        // One that shows a difference only at the second, and then in vain.
        assert_eq!(came.asked, 1 + u64::from(HOPELESS));
        assert!(came.said.contains("--exhaustive asks for the other 95"), "{}", came.said);
        let plan = Plan { exhaustive: true, ..plan() };
        let stale = |at: u64| Ok(if at / SECTOR >= 20 && at / SECTOR < 180 { written(19 * 512) } else { written(at) });
        let came = ask(vec![way(Reason::TransferBlock, stale)], Keep::Beside, &bad, &[], plan);
        assert_eq!((came.asked, came.suspect), (160, Vec::new()), "what a good sector left in the buffer");
    }

    #[test]
    fn what_was_given_before_is_not_asked_for_again() {
        let before = [Suspect { offset: 50 * SECTOR, len: SECTOR, reason: Reason::ReadStream }];
        let came = ask(vec![way(Reason::ReadStream, |at| Ok(damaged(at)))], Keep::Beside, &BAD, &before, plan());
        assert_eq!((came.asked, came.suspect), (2, named(Reason::ReadStream)));
    }

    #[test]
    fn a_drive_that_goes_away_ends_it_and_keeps_what_was_given() {
        let asked = AtomicU64::new(0);
        // Three good sectors are tried first.
        let gone = move |at: u64| match asked.fetch_add(1, SeqCst) {
            4 => Err(Error::new(Kind::Io, "has vanished")),
            _ => Ok(damaged(at)),
        };
        let came = ask(vec![way(Reason::ReadStream, gone)], Keep::Beside, &BAD, &[], plan());
        assert_eq!((came.asked, came.suspect.len()), (1, 1));
        assert!(came.said.contains("has vanished"), "{}", came.said);
    }

    #[test]
    fn a_file_that_nobody_knows_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let beside = folder.path().join("t.map.suspect.img");
        let wanted = SuspectReads { ways: vec![way(Reason::ReadStream, |at| Ok(damaged(at)))], keep: Keep::Beside };
        let watch = Hears::default();
        wanted.announce(&beside, &[], &watch).unwrap();
        let said = watch.0.lock().unwrap().join("\n");
        assert!(said.contains("counts as not rescued") && said.contains("READ STREAM"), "{said}");
        std::fs::write(&beside, "somebody's").unwrap();
        assert_eq!(wanted.announce(&beside, &[], &watch).unwrap_err().kind(), Kind::Denied);
        wanted.announce(&beside, &named(Reason::ReadStream), &watch).unwrap();
        SuspectReads { keep: Keep::Image, ..wanted }.announce(&beside, &[], &watch).unwrap();
    }
}
