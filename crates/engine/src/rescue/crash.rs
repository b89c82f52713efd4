//! Power cuts at every moment, flushes that fail, and files that are damaged: nothing is called finished that the target lacks, and
//! the rescue goes on.

use super::begin::{Begun, Site, There};
use super::handling::Handling;
use super::job::take_up;
use super::keeper::{Cadence, Keeper, Place, Zeros};
use super::limits::Limits;
use super::log::Header;
use super::reader::Reader;
use super::real::{Direction, Real, Tools};
use super::suspect::Suspicions;
use super::target::Target;
use super::{Fate, Plan, Rescue, Status};
use crate::identity::SourceId;
use proptest::prelude::*;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tintype_core::mapfile::{Gaps, Heading, Mapfile};
use tintype_core::testing::{MemoryOutlet, Recorder, Step};
use tintype_core::{
    Disk, Error, Event, Facts, File, Kind, Outlet, RangeMap, Result, Shape, Silent, Source, Watch, in_range,
};

const LEN: u64 = 96 << 10;

/// A drive with bad sectors.
struct Sick {
    bytes: Vec<u8>,
    bad: RangeMap<()>,
    facts: Facts,
}

impl Sick {
    fn new(len: u64, bad: &[Range<u64>]) -> Arc<Self> {
        // No byte is zero, but for one run that is worth a hole.
        let mut bytes: Vec<u8> = (0..len).map(|i| (i / 512 * 7 + i % 251) as u8 | 1).collect();
        if len > 160 << 10 {
            bytes[64 << 10..128 << 10].fill(0);
        }
        let mut sick = Sick { bytes, bad: RangeMap::new(), facts: Facts::default() };
        sick.facts.identity.serial = "S1".into();
        for range in bad {
            sick.bad.set(range.start.min(len)..range.end.min(len), ());
        }
        Arc::new(sick)
    }

    fn good(&self) -> u64 {
        self.len() - self.bad.iter().map(|(r, ())| r.end - r.start).sum::<u64>()
    }
}

impl Source for Sick {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len(), offset, buf.len() as u64)?;
        let end = offset + buf.len() as u64;
        let bad = self.bad.within(offset..end).next().map(|(r, ())| r.start);
        // Some drives give what came before, others nothing.
        let good = bad.map_or(end, |bad| if bad % 1024 == 0 { bad } else { offset }) - offset;
        buf[..good as usize].copy_from_slice(&self.bytes[offset as usize..][..good as usize]);
        match bad {
            None => Ok(()),
            Some(_) => Err(Error::unreadable("cannot be read", good, None).at(offset + good)),
        }
    }

    fn shape(&self) -> Shape {
        Shape { sector: 512, physical: 512, unit: 8192, in_flight: 4, direct: true }
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// The image, in an outlet.
struct Image {
    file: Arc<dyn File>,
    len: u64,
    // Flushes until one fails: what was written before it is lost, and the next ones are as if nothing had been.
    flushes: AtomicU64,
}

impl Source for Image {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_at(buf, offset)
    }
}

impl Disk for Image {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.file.write_at(buf, offset)
    }

    fn zero(&self, offset: u64, len: u64) -> Result<()> {
        self.file.write_at(&vec![0; len as usize], offset)
    }

    fn flush(&self) -> Result<()> {
        match self.flushes.load(SeqCst) {
            0 => return Ok(()),
            1 => {
                self.flushes.store(0, SeqCst);
                return Err(Error::new(Kind::Io, "the flush failed"));
            }
            n => self.flushes.store(n - 1, SeqCst),
        }
        self.file.sync()
    }
}

/// Says stop after so many reads.
struct After(AtomicU64);

impl Watch for After {
    fn event(&self, _: &Event) {}

    fn cancelled(&self) -> bool {
        self.0.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_err()
    }
}

/// Everything as often as it can be.
const HASTY: Cadence = Cadence { commit: Duration::ZERO, map: Duration::ZERO, spare: 300 };

/// How a run goes.
struct How {
    cadence: Cadence,
    flushes: u64,
    watch: Arc<dyn Watch>,
}

impl Default for How {
    fn default() -> Self {
        How { cadence: Cadence::default(), flushes: u64::MAX, watch: Arc::new(Silent::default()) }
    }
}

fn site(outlet: Arc<dyn Outlet>) -> Site {
    Site { outlet, folder: "".into(), map: "t.map".into() }
}

fn known(outlet: Arc<dyn Outlet>, source: &dyn Source) -> Result<Begun> {
    let there = match outlet.exists("t.img")? {
        true => There::File(outlet.reopen("t.img")?.len()?),
        false => There::Nothing,
    };
    let id = SourceId::of("drive", None, Some(source));
    Begun::at(&site(outlet), &id, source.len(), &Target::new("t.img"), there)
}

/// One run; returns what is durable at its end.
fn run(outlet: Arc<dyn Outlet>, source: Arc<dyn Source>, how: How) -> Result<RangeMap<Fate>> {
    let len = source.len();
    let begun = known(Arc::clone(&outlet), &*source)?;
    let file = if outlet.exists("t.img")? { outlet.reopen("t.img")? } else { outlet.create("t.img")? };
    let header = Header {
        program: "p".into(),
        started: "now".into(),
        source: SourceId::of("drive", None, Some(&*source)),
        target: "t.img".into(),
        medium: None,
    };
    let site = site(Arc::clone(&outlet));
    let (ledger, log) = take_up(begun, &site, header, len, &*how.watch)?;
    let causes = log.causes().clone();
    if file.len()? < len {
        file.set_len(len)?;
        file.sync()?;
    }
    let place = Place {
        target: Arc::new(Image { file, len, flushes: AtomicU64::new(how.flushes) }),
        zeros: Zeros::Holes,
        outlet,
        map: site.map,
        log,
        fates: ledger.fates().clone(),
        head: Heading::default(),
        cadence: how.cadence,
    };
    let plan = Plan { longest: 8192, exhaustive: true, retries: 1, ..Plan::new(512, 512) };
    let reader = Reader::new(source, Duration::from_secs(60));
    let mut real = Real::new(Tools {
        reader,
        keeper: Keeper::spawn(place),
        handling: Handling::default(),
        limits: Limits::default(),
        watch: how.watch,
        suspicions: Suspicions::new(plan.sector, 0.0, None),
        direction: Direction::Forwards,
        causes,
        areas: 0,
        longest: plan.longest,
        sector: plan.sector,
    });
    let ran = Rescue::new(&mut real, ledger, plan).run();
    let kept = real.keeper.finish()?.expect("it was not finished before");
    match ran {
        Err(e) if e.kind() != Kind::Cancelled => Err(e),
        _ => Ok(kept),
    }
}

/// Nothing is called finished that the image lacks, neither by the journal nor by the mapfile; returns what the next run knows.
fn nothing_false(folder: &MemoryOutlet, source: &Sick) -> Result<Begun> {
    let image = folder.bytes("t.img").unwrap_or_default();
    let there = |range: Range<u64>| {
        let range = range.start as usize..range.end as usize;
        image.get(range.clone()).is_some_and(|bytes| *bytes == source.bytes[range])
    };
    let begun = known(Arc::new(folder.clone()), source)?;
    if let Begun::FromMap(ledger, _) | Begun::FromJournal(ledger, _) = &begun {
        for (range, fate) in ledger.iter().filter(|(_, f)| f.status() == Status::Finished) {
            assert!(there(range.clone()), "{range:?} is called {fate:?} and is not there");
        }
    }
    if let Some(text) = folder.bytes("t.map") {
        let map = Mapfile::parse(&text, Gaps::Refused).expect("a mapfile is whole or not there");
        for (range, _) in map.blocks().iter().filter(|(_, s)| *s == Status::Finished) {
            assert!(there(range.clone()), "{range:?} is finished in the mapfile and is not there");
        }
    }
    Ok(begun)
}

/// Goes on in a folder, to the end.
fn goes_on(folder: &MemoryOutlet, source: &Arc<Sick>) {
    let kept = run(Arc::new(folder.clone()), Arc::clone(source) as _, How::default()).unwrap();
    let finished: u64 = kept.iter().filter(|(_, f)| f.status() == Status::Finished).map(|(r, _)| r.end - r.start).sum();
    assert_eq!(finished, source.good());
    nothing_false(folder, source).unwrap();
    let image = folder.bytes("t.img").unwrap();
    for at in (0..source.len()).filter(|at| source.bad.get(*at).is_none()) {
        assert_eq!(image[at as usize], source.bytes[at as usize], "at {at}");
    }
}

const BAD: [Range<u64>; 3] = [1024..1536, 20_480..24_576, 50_688..51_712];

/// Everything a whole run does, in order: one in which the mapfile and the journal were written anew several times. How often
/// that happens depends on how soon the threads that do it get their turn, so it may take a few runs.
fn steps(source: &Arc<Sick>) -> Vec<Step> {
    let runs = (0..200).map(|_| {
        let recorder = Recorder::new();
        run(Arc::new(recorder.clone()), Arc::clone(source) as _, How { cadence: HASTY, ..How::default() }).unwrap();
        recorder.steps()
    });
    let renamed =
        |steps: &[Step], name: &str| steps.iter().filter(|s| matches!(s, Step::Rename(_, to) if to == name)).count();
    let mut fit = runs.filter(|steps| renamed(steps, "t.map") > 6 && renamed(steps, "t.map.journal") > 1);
    fit.next().expect("in 200 runs there was one that wrote both anew")
}

#[test]
fn a_power_cut_at_any_moment_costs_nothing_that_was_claimed() {
    let source = Sick::new(LEN, &BAD);
    let steps = steps(&source);
    for cut in 0..=steps.len() {
        let before = &steps[..cut];
        let whole = Recorder::after(before, None).unwrap();
        nothing_false(&whole, &source).unwrap();
        goes_on(&whole, &source);
        if let Some(Step::Write(_, _, bytes)) = before.last() {
            for torn in [0, 1, bytes.len() / 2, bytes.len().saturating_sub(1)] {
                nothing_false(&Recorder::after(before, Some(torn)).unwrap(), &source).unwrap();
            }
        }
        // Of what was not flushed, some may be there and some not.
        for kept in [&[][..], &["t.img"], &["t.map.journal"], &["t.map.new", "t.map.journal.new"]] {
            let left = Recorder::after_losing(before, &|name| kept.contains(&name)).unwrap();
            nothing_false(&left, &source).unwrap();
            if cut % 16 == 0 {
                goes_on(&left, &source);
            }
        }
    }
}

#[test]
fn after_a_flush_that_failed_nothing_more_is_claimed() {
    let source = Sick::new(LEN, &BAD);
    let mut failed = 0;
    for flushes in 1.. {
        let recorder = Recorder::new();
        let how = How { cadence: HASTY, flushes, ..How::default() };
        let ran = run(Arc::new(recorder.clone()), Arc::clone(&source) as _, how);
        if ran.is_ok() {
            break;
        }
        failed += 1;
        let e = ran.err().unwrap();
        assert!(e.to_string().contains("flush failed"), "{e}");
        let left = Recorder::after_losing(&recorder.steps(), &|name| name != "t.img").unwrap();
        nothing_false(&left, &source).unwrap();
        goes_on(&left, &source);
    }
    assert!(failed > 10, "{failed}");
}

/// A rescue that was stopped half way.
fn half_way(source: &Arc<Sick>) -> MemoryOutlet {
    let folder = MemoryOutlet::new();
    let watch = Arc::new(After(AtomicU64::new(9)));
    run(Arc::new(folder.clone()), Arc::clone(source) as _, How { watch, ..How::default() }).unwrap();
    folder
}

fn copy(folder: &MemoryOutlet) -> MemoryOutlet {
    let copy = MemoryOutlet::new();
    for name in folder.names() {
        copy.insert(&name, folder.bytes(&name).unwrap());
    }
    copy
}

#[test]
fn a_damaged_journal_costs_what_it_said_and_nothing_else() {
    let source = Sick::new(LEN, &BAD);
    let folder = half_way(&source);
    let journal = folder.bytes("t.map.journal").unwrap();
    let mut heads = 0;
    let mut look = |bytes: Vec<u8>, goes: bool| {
        let damaged = copy(&folder);
        damaged.insert("t.map.journal", bytes);
        match nothing_false(&damaged, &source) {
            Ok(_) if goes => goes_on(&damaged, &source),
            Ok(_) => {}
            Err(e) => {
                heads += 1;
                assert!(e.kind() == Kind::Corrupt && e.to_string().contains("move it away"), "{e}");
                // And that helps.
                damaged.remove("t.map.journal").unwrap();
                nothing_false(&damaged, &source).unwrap();
            }
        }
    };
    for at in 0..journal.len() {
        look(journal[..at].to_vec(), at % 16 == 0);
        let mut flipped = journal.clone();
        flipped[at] ^= 1 << (at % 8);
        look(flipped, at % 16 == 0);
    }
    assert!(heads > 100, "its head is looked at: {heads}");
}

#[test]
fn a_mapfile_that_was_cut_short_is_refused_and_the_journal_helps() {
    let source = Sick::new(LEN, &BAD);
    let folder = half_way(&source);
    let map = folder.bytes("t.map").unwrap();
    for at in 0..map.len() - 1 {
        let damaged = copy(&folder);
        damaged.insert("t.map", map[..at].to_vec());
        match known(Arc::new(damaged.clone()), &*source) {
            // A number that is cut short may still be one; then the map is too short for the drive.
            Ok(_) => panic!("cut at {at}: {}", String::from_utf8_lossy(&map[..at])),
            Err(e) => assert!(e.to_string().contains("move it away"), "cut at {at}: {e}"),
        }
        damaged.remove("t.map").unwrap();
        nothing_false(&damaged, &source).unwrap();
        if at % 16 == 0 {
            goes_on(&damaged, &source);
        }
    }
}

#[test]
fn an_image_that_is_shorter_than_its_map_says_is_refused() {
    let source = Sick::new(LEN, &BAD);
    let folder = half_way(&source);
    for len in [0, 100, 8192] {
        let damaged = copy(&folder);
        damaged.insert("t.img", folder.bytes("t.img").unwrap()[..len].to_vec());
        let e = known(Arc::new(damaged), &*source).err().expect("it is refused");
        assert!(e.kind() == Kind::Denied && e.to_string().contains("were rescued"), "{e}");
    }
}

#[test]
fn a_drive_is_known_by_its_serial_number_whatever_it_is_called() {
    let source = Sick::new(LEN, &BAD);
    let folder = half_way(&source);
    let site = site(Arc::new(folder));
    let begin = |id: &SourceId| Begun::at(&site, id, LEN, &Target::new("t.img"), There::File(LEN));
    let id = SourceId::of("/dev/other", None, Some(&*source));
    assert!(matches!(begin(&id), Ok(Begun::FromJournal(..))), "a drive that was renamed is found again");
    for other in [
        SourceId { serial: "S2".into(), ..id.clone() },
        SourceId { wwn: "naa.5".into(), ..id.clone() },
        SourceId { size: Some(LEN + 512), ..id.clone() },
        SourceId { part: "#p1".into(), ..id.clone() },
    ] {
        let e = begin(&other).err().expect("it is refused");
        assert!(e.kind() == Kind::Denied && e.to_string().contains("another drive"), "{e}");
    }
}

#[test]
fn another_target_drive_is_refused() {
    let source = Sick::new(LEN, &BAD);
    let outlet: Arc<dyn Outlet> = Arc::new(MemoryOutlet::new());
    let header = |serial: &str| Header {
        program: "p".into(),
        started: "now".into(),
        source: SourceId::of("drive", None, Some(&*source)),
        target: "/dev/target".into(),
        medium: Some(SourceId { serial: serial.into(), ..SourceId::default() }),
    };
    let site = site(outlet);
    let watch = Silent::default();
    take_up(Begun::Anew, &site, header("T1"), LEN, &watch).unwrap();
    let again = || {
        Begun::at(&site, &header("T1").source, LEN, &Target::new("/dev/target"), There::Drive)
            .expect("its journal is read")
    };
    let e = take_up(again(), &site, header("T2"), LEN, &watch).err().expect("it is refused");
    assert!(e.kind() == Kind::Denied && e.to_string().contains("not the drive that was written"), "{e}");
    take_up(again(), &site, header("T1"), LEN, &watch).unwrap();
}

#[test]
fn a_journal_of_weeks_is_short_again_after_a_while() {
    let source = Sick::new(LEN, &BAD);
    let folder = half_way(&source);
    let header = || Header {
        program: "p".into(),
        started: "now".into(),
        source: SourceId::of("drive", None, Some(&*source)),
        target: "t.img".into(),
        medium: None,
    };
    // Every commit says something about the same few sectors.
    let outlet: Arc<dyn Outlet> = Arc::new(folder.clone());
    let begun = known(Arc::clone(&outlet), &*source).unwrap();
    let (ledger, mut log) = take_up(begun, &site(outlet), header(), LEN, &Silent::default()).unwrap();
    for n in 0..20_000_u32 {
        let fate = Fate::new(Status::Bad, (n % 200) as u8);
        log.commit(&[(1024..1536, fate)]).unwrap();
    }
    assert!(log.is_bloated(ledger.fragments(), 64 << 10));
    let long = folder.bytes("t.map.journal").unwrap().len();
    drop(log);
    let cadence = Cadence { spare: 64 << 10, ..HASTY };
    run(Arc::new(folder.clone()), Arc::clone(&source) as _, How { cadence, ..How::default() }).unwrap();
    let short = folder.bytes("t.map.journal").unwrap().len();
    assert!(long > 500_000 && short < 100_000, "{long} bytes became {short}");
    goes_on(&folder, &source);
}

/// The same journal as version 2 has it, which says less of its ranges.
fn older(journal: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(journal.to_vec()).unwrap();
    let (mut older, mut group) = (String::new(), String::new());
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[0] {
            "tintype" => older += "tintype rescue journal 2\n",
            "r" => group += &(words[..5].join(" ") + "\n"),
            "c" => {
                older += &format!("{group}c {:08x}\n", tintype_codec::checksum::crc32(group.as_bytes()));
                group.clear();
            }
            _ => older += &(line.to_owned() + "\n"),
        }
    }
    older.into_bytes()
}

/// Neighbours that differ only in what version 2 does not know are one.
fn joined(pieces: Vec<(Range<u64>, Status, u8)>) -> Vec<(Range<u64>, Status, u8)> {
    let mut all: Vec<(Range<u64>, Status, u8)> = Vec::new();
    for (range, status, tries) in pieces {
        match all.last_mut() {
            Some(last) if (last.0.end, last.1, last.2) == (range.start, status, tries) => last.0.end = range.end,
            _ => all.push((range, status, tries)),
        }
    }
    all
}

#[test]
fn a_journal_of_version_2_is_gone_on_with_and_becomes_one_of_version_3() {
    let source = Sick::new(LEN, &BAD);
    let folder = half_way(&source);
    let journal = folder.bytes("t.map.journal").unwrap();
    assert!(journal.starts_with(b"tintype rescue journal 3\n"));
    let known = |folder: &MemoryOutlet| match nothing_false(folder, &source).unwrap() {
        Begun::FromJournal(ledger, found) => {
            let pieces = ledger.iter().map(|(r, f)| (r, f.status(), f.tries()));
            (pieces.collect::<Vec<_>>(), found.older, found.maps.len())
        }
        _ => panic!("its journal is read"),
    };
    let before = known(&folder);
    folder.insert("t.map.journal", older(&journal));
    let after = known(&folder);
    assert_eq!((before.1, after.1), (false, true));
    assert_eq!((joined(after.0), after.2), (joined(before.0), before.2));
    // A run that is stopped at once has written it anew.
    let again = copy(&folder);
    let watch = Arc::new(After(AtomicU64::new(0)));
    run(Arc::new(again.clone()), Arc::clone(&source) as _, How { watch, ..How::default() }).unwrap();
    assert!(again.bytes("t.map.journal").unwrap().starts_with(b"tintype rescue journal 3\n"));
    goes_on(&again, &source);
    // One of a version to come is refused in words.
    let mut newer = journal.clone();
    newer[23] = b'4';
    folder.insert("t.map.journal", newer);
    let e = run(Arc::new(folder), source, How::default()).unwrap_err();
    assert!(e.kind() == Kind::Corrupt && e.to_string().contains("of a version that this program does not know"), "{e}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn what_is_claimed_is_there(
        len in 1..400_u64,
        bad in proptest::collection::vec((0..400_u64, 1..20_u64), 0..12),
        stops in proptest::collection::vec((0..60_u64, any::<bool>()), 0..5),
    ) {
        let bad: Vec<_> = bad.into_iter().map(|(at, n)| at * 512..(at + n) * 512).collect();
        let source = Sick::new(len * 512, &bad);
        let recorder = Recorder::new();
        for (reads, hasty) in stops {
            let watch = Arc::new(After(AtomicU64::new(reads)));
            let cadence = if hasty { HASTY } else { Cadence::default() };
            run(Arc::new(recorder.clone()), Arc::clone(&source) as _, How { cadence, watch, ..How::default() }).unwrap();
            nothing_false(recorder.folder(), &source).unwrap();
            let left = Recorder::after_losing(&recorder.steps(), &|_| false).unwrap();
            nothing_false(&left, &source).unwrap();
        }
        goes_on(recorder.folder(), &source);
    }
}
