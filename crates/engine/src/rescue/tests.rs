use super::*;

mod goals;

use crate::map::Domain;
use proptest::prelude::*;
use tintype_core::{Error, Kind};

/// A model that keeps a record.
pub(super) struct Bench {
    pub model: Model,
    pub len: u64,
    pub clock: f64,
    pub reads: u64,
    /// The run ends after so many.
    pub most: u64,
    /// Tells nothing of how long reads took.
    pub blind: bool,
    pub failures: u64,
    pub got: u64,
    /// (bytes, seconds, failures) after every good read.
    pub curve: Vec<(u64, f64, u64)>,
    pub passes: Vec<(Pass, u64, f64, u64)>,
}

impl Bench {
    pub fn new(model: Model, len: u64) -> Self {
        Bench {
            model,
            len,
            clock: 0.0,
            reads: 0,
            most: 50_000_000,
            blind: false,
            failures: 0,
            got: 0,
            curve: Vec::new(),
            passes: Vec::new(),
        }
    }

    /// Seconds and failures until this share of what can be had was there.
    pub fn until(&self, share: f64) -> Option<(f64, u64)> {
        let goal = self.model.recoverable(0..self.len) as f64 * share;
        self.curve.iter().find(|c| c.0 as f64 >= goal - 0.5).map(|c| (c.1, c.2))
    }
}

impl Drive for Bench {
    fn read(&mut self, range: Range<u64>) -> tintype_core::Result<Reply> {
        assert!(range.end <= self.len && !range.is_empty());
        if self.reads == self.most {
            return Err(Error::cancelled());
        }
        let played = self.model.read(range.clone())?;
        let good = played.outcome == Outcome::Good;
        self.clock += played.seconds;
        self.reads += 1;
        let len = range.end - range.start;
        if good {
            assert_eq!(self.model.recoverable(range.clone()), len, "{range:?} was read and is dead");
            self.got += len;
            self.curve.push((self.got, self.clock, self.failures));
        } else {
            self.failures += 1;
        }
        let seconds = if self.blind { 5e-5 + len as f64 * 2e-10 } else { played.seconds };
        Ok(Reply { good: if good { len } else { 0 }, failed: !good, seconds, cause: Cause::NONE, effort: Effort::Full })
    }

    fn mark(&mut self, _: Range<u64>, _: Fate) -> tintype_core::Result<()> {
        Ok(())
    }

    fn pass(&mut self, pass: Pass, _: &Ledger) -> tintype_core::Result<()> {
        self.passes.push((pass, self.got, self.clock, self.failures));
        Ok(())
    }
}

/// A plan that leaves nothing out.
pub(super) fn everything() -> Plan {
    Plan { exhaustive: true, retries: 20, ..Plan::new(512, 512) }
}

fn rescue(bench: &mut Bench, ledger: Ledger, plan: Plan) -> Ledger {
    let mut rescue = Rescue::new(bench, ledger, plan);
    match rescue.run() {
        Ok(()) => {}
        Err(e) => assert!(matches!(e.kind(), Kind::Cancelled | Kind::Io), "{e}"),
    }
    rescue.ledger
}

pub(super) fn models() -> impl Strategy<Value = (String, u64)> {
    let item = (0..6, 0..4000_u64, 1..200_u64, 1..4_u8);
    (2000..5000_u64, proptest::collection::vec(item, 0..40)).prop_map(|(sectors, items)| {
        let mut text = String::new();
        for (kind, at, len, times) in items {
            let (at, len) = (at * 512, len * 512);
            text += &match kind {
                0 => format!("bad {at} {len}\n"),
                1 => format!("weak {at} {} {times}\n", len.min(4096)),
                2 => format!("hang {at} {}\n", len.min(4096)),
                3 => format!("garbage {at} {len}\n"),
                4 => format!("flaky {at} {} 0.2\n", len.min(8192)),
                _ => format!("slow {at} {len} 20\n"),
            };
        }
        (text, sectors * 512)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn everything_that_can_be_read_is_read((text, len) in models()) {
        let mut bench = Bench::new(Model::parse(&text).unwrap(), len);
        let ledger = rescue(&mut bench, Ledger::new(len), everything());
        prop_assert_eq!(ledger.total(Status::Finished), bench.model.recoverable(0..len));
        let left: Vec<_> = ledger.iter().filter(|(_, f)| !matches!(f.status(), Status::Bad | Status::Finished)).collect();
        prop_assert!(left.is_empty(), "not tried alone: {:?}", left);
    }

    #[test]
    fn a_rescue_that_is_stopped_goes_on((text, len) in models(), stops in proptest::collection::vec(1..200_u64, 1..6)) {
        let mut model = Model::parse(&text).unwrap();
        let mut ledger = Ledger::new(len);
        let mut got = 0;
        for most in stops {
            let mut bench = Bench::new(model, len);
            bench.most = most;
            ledger = rescue(&mut bench, ledger, everything());
            got += bench.got;
            model = bench.model;
            prop_assert_eq!(ledger.total(Status::Finished), got, "nothing is read twice");
        }
        let mut bench = Bench::new(model, len);
        let ledger = rescue(&mut bench, ledger, everything());
        prop_assert_eq!(got + bench.got, bench.model.recoverable(0..len));
        prop_assert_eq!(ledger.total(Status::Finished), got + bench.got);
    }

    #[test]
    fn only_what_is_meant_is_read((text, len) in models(), cuts in proptest::collection::vec(0..5000_u64, 1..12)) {
        // Growing domains, as when what matters most comes first; the last one is everything.
        let mut cuts: Vec<u64> = cuts.into_iter().map(|cut| cut * 512 % len).collect();
        cuts.sort_unstable();
        let halves: Vec<_> = cuts.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect();
        let mut bench = Bench::new(Model::parse(&text).unwrap(), len);
        let mut rescue = Rescue::new(&mut bench, Ledger::new(len), everything());
        for meant in 1..=halves.len() {
            let domain = Domain::of(halves[..meant].iter().cloned());
            rescue.ledger.restrict(&domain);
            rescue.run().unwrap();
            let bytes = domain.total();
            let sums: u64 = Status::ALL.iter().map(|s| rescue.ledger.total(*s)).sum();
            prop_assert_eq!((bytes, rescue.ledger.meant()), (sums, sums));
            prop_assert_eq!(rescue.ledger.total(Status::Finished) + rescue.ledger.total(Status::Bad), bytes);
            // Everything else is as it was.
            rescue.ledger.restrict(&Domain::default());
            prop_assert_eq!(rescue.ledger.total(Status::NonTried), len - bytes);
        }
        rescue.run().unwrap();
        let got = rescue.ledger.total(Status::Finished);
        prop_assert_eq!((got, got), (bench.got, bench.model.recoverable(0..len)));
    }

    #[test]
    fn a_drive_that_dies_or_vanishes_costs_nothing_that_was_there((text, len) in models(), after in 1..60_u64, dies in any::<bool>()) {
        let end = if dies { "dies" } else { "vanish" };
        let mut bench = Bench::new(Model::parse(&format!("{text}{end} {after}")).unwrap(), len);
        let ledger = rescue(&mut bench, Ledger::new(len), everything());
        let got = bench.got;
        prop_assert_eq!(ledger.total(Status::Finished), got);
        // Repaired, it goes on.
        let mut bench = Bench::new(Model::parse(&text).unwrap(), len);
        let ledger = rescue(&mut bench, ledger, everything());
        prop_assert_eq!(got + bench.got, bench.model.recoverable(0..len));
        prop_assert_eq!(ledger.total(Status::Finished), got + bench.got);
    }

    #[test]
    fn failures_are_bounded((text, len) in models()) {
        let text: String = text.lines().filter(|l| l.starts_with("bad")).map(|l| format!("{l}\n")).collect();
        let mut bench = Bench::new(Model::parse(&text).unwrap(), len);
        let bad = (len - bench.model.recoverable(0..len)) / 512;
        let plan = everything();
        // As a part of longer reads, as a unit, alone, and in every retry.
        let most = bad * (8 + u64::from(plan.retries));
        rescue(&mut bench, Ledger::new(len), plan);
        prop_assert!(bench.failures <= most, "{} failures for {bad} bad sectors", bench.failures);
    }

    #[test]
    fn what_is_left_is_said((text, len) in models()) {
        let mut bench = Bench::new(Model::parse(&text).unwrap(), len);
        let ledger = rescue(&mut bench, Ledger::new(len), Plan::new(512, 4096));
        prop_assert_eq!(ledger.total(Status::Finished), bench.got);
        let all: u64 = Status::ALL.iter().map(|s| ledger.total(*s)).sum();
        prop_assert_eq!(all, len);
        let mut at = 0;
        for (range, fate) in ledger.iter() {
            prop_assert_eq!(range.start, at);
            prop_assert!(fate.status() == Status::Finished || fate.status() == Status::NonTried || fate.tries() > 0);
            at = range.end;
        }
        prop_assert_eq!(at, len);
    }
}

/// Stripes of a dead head: `(start, len)` each.
fn stripes(len: u64, all: &[(u64, u64)]) -> Bench {
    let mut model = Model::default();
    for (start, len) in all {
        model.kill(*start..*start + *len);
    }
    Bench::new(model, len)
}

#[test]
fn a_dead_head_costs_two_failures_a_stripe() {
    let (len, width) = (1_u64 << 30, 8 << 20);
    let all: Vec<_> = (0..len / width).filter(|i| i % 4 == 2).map(|i| (i * width, width)).collect();
    let mut bench = stripes(len, &all);
    rescue(&mut bench, Ledger::new(len), Plan::new(512, 512));
    let (_, failures) = bench.until(1.0).expect("all good data is read");
    assert!(failures <= 66, "{failures} failures");
    assert!(bench.failures <= 26_412, "{} failures in all", bench.failures);
}

#[test]
fn a_dead_head_on_a_drive_with_zones_costs_two_failures_a_stripe() {
    // Eight heads, 24 zones, 1,200 sectors a track outside and 700 inside: as ddrescuelog --make-test=6000:8:1200-700:FF:3.
    let (mut at, mut all) = (0, Vec::new());
    for zone in 0..24_u64 {
        let track = 1200 - (500.0 * zone as f64 / 23.0).round() as u64;
        let stripe = 250 * track * 512;
        all.push((at + 3 * stripe, stripe));
        at += 8 * stripe;
    }
    let mut bench = stripes(at, &all);
    rescue(&mut bench, Ledger::new(at), Plan::new(512, 512));
    let (_, failures) = bench.until(1.0).expect("all good data is read");
    assert!(failures <= 90, "{failures} failures");
}

#[test]
fn single_bad_sectors_cost_one_failure_each_at_first() {
    let len = 1_u64 << 30;
    let mut model = Model::default();
    // Where a generator without memory puts them.
    let bad: Vec<u64> =
        (0..200_u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % (len / 512) * 512).collect();
    for at in &bad {
        model.kill(*at..*at + 512);
    }
    let mut bench = Bench::new(model, len);
    let ledger = rescue(&mut bench, Ledger::new(len), Plan::new(512, 512));
    let (seconds, failures) = bench.until(0.999).expect("nearly everything is read");
    assert!(failures <= 255 && seconds <= 143.0, "{failures} failures, {seconds} s");
    assert_eq!(ledger.total(Status::Finished), bench.model.recoverable(0..len), "and all of it in the end");
}

#[test]
fn a_healthy_drive_is_read_in_long_reads() {
    let mut bench = Bench::new(Model::default(), 1 << 30);
    let ledger = rescue(&mut bench, Ledger::new(1 << 30), Plan::new(512, 4096));
    assert_eq!((ledger.total(Status::Finished), bench.reads), (1 << 30, 1 << 10));
}

#[test]
fn sectors_of_the_medium_are_not_tried_in_parts() {
    let mut model = Model::default();
    model.kill(1 << 20..(1 << 20) + 4096);
    let mut bench = Bench::new(model, 16 << 20);
    let ledger = rescue(&mut bench, Ledger::new(16 << 20), Plan::new(512, 4096));
    assert_eq!(ledger.total(Status::Bad), 4096);
    assert_eq!(ledger.total(Status::Finished), (16 << 20) - 4096);
}

/// A model on which reading some places is slow.
struct Sluggish {
    bench: Bench,
    places: Range<u64>,
    order: Vec<Range<u64>>,
}

impl Drive for Sluggish {
    fn read(&mut self, range: Range<u64>) -> tintype_core::Result<Reply> {
        self.order.push(range.clone());
        self.bench.read(range)
    }

    fn mark(&mut self, _: Range<u64>, _: Fate) -> tintype_core::Result<()> {
        Ok(())
    }

    fn slow(&self) -> bool {
        self.order.last().is_some_and(|last| self.places.contains(&last.start))
    }

    fn pass(&mut self, _: Pass, _: &Ledger) -> tintype_core::Result<()> {
        Ok(())
    }
}

#[test]
fn what_is_slow_is_left_for_later() {
    let len = 1 << 30;
    let places = 300 << 20..400 << 20;
    let mut drive = Sluggish { bench: Bench::new(Model::default(), len), places: places.clone(), order: Vec::new() };
    let mut rescue = Rescue::new(&mut drive, Ledger::new(len), Plan::new(512, 512));
    rescue.run().unwrap();
    assert_eq!(rescue.ledger.total(Status::Finished), len, "all of it is read in the end");
    let last_fast = drive.order.iter().rposition(|r| r.start >= places.end + (10 << 20)).unwrap();
    let slow = |part: &[Range<u64>]| part.iter().filter(|r| places.contains(&r.start)).count();
    let (before, after) = (slow(&drive.order[..last_fast]), slow(&drive.order[last_fast..]));
    assert!(
        before < 30 && (60..200).contains(&after),
        "{before} slow reads before the last fast one, {after} after it"
    );
}

/// A drive that is told to do little in the fast passes, and then fails where it would not have to.
struct Hasty {
    bench: Bench,
    effort: Effort,
    // What takes all it can do.
    hard: Vec<Range<u64>>,
    given_up: u64,
}

impl Drive for Hasty {
    fn read(&mut self, range: Range<u64>) -> tintype_core::Result<Reply> {
        let hard = self.hard.iter().any(|h| h.start < range.end && range.start < h.end);
        if self.effort == Effort::Brief && hard {
            self.given_up += 1;
            return Ok(Reply { good: 0, failed: true, seconds: 0.05, cause: Cause::NONE, effort: Effort::Brief });
        }
        Ok(Reply { effort: self.effort, ..self.bench.read(range)? })
    }

    fn mark(&mut self, range: Range<u64>, fate: Fate) -> tintype_core::Result<()> {
        let final_word = matches!(fate.status(), Status::Bad | Status::NonScraped);
        assert!(self.effort == Effort::Full || !final_word, "{range:?} was not tried with all the drive can do");
        Ok(())
    }

    fn pass(&mut self, pass: Pass, _: &Ledger) -> tintype_core::Result<()> {
        self.effort = if matches!(pass, Pass::Copy | Pass::Slow | Pass::Back) { Effort::Brief } else { Effort::Full };
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn what_fails_in_haste_is_tried_in_earnest(
        (text, len) in models(),
        hard in proptest::collection::vec((0..4000_u64, 1..40_u64), 1..20),
        sector in 0..2,
    ) {
        let hard = hard.into_iter().map(|(at, n)| at * 512..(at + n) * 512).collect();
        let bench = Bench::new(Model::parse(&text).unwrap(), len);
        let mut drive = Hasty { bench, effort: Effort::Full, hard, given_up: 0 };
        let plan = if sector == 0 { everything() } else { Plan { longest: 4096, ..everything() } };
        let mut rescue = Rescue::new(&mut drive, Ledger::new(len), plan);
        rescue.run().unwrap();
        let ledger = rescue.ledger;
        prop_assert_eq!(ledger.total(Status::Finished), drive.bench.model.recoverable(0..len));
        prop_assert_eq!(ledger.total(Status::NonTried) + ledger.total(Status::NonTrimmed), 0);
    }
}

/// Shows how models go, for whoever works on the passes: RESCUE_MODELS=a.model:b.model; RESCUE_BLIND hides times, RESCUE_ALL is exhaustive;
/// curves/PEER-a.curve beside them, lines `failed-reads bytes` after a heading, are compared with.
#[test]
fn show_curves() {
    let Ok(models) = std::env::var("RESCUE_MODELS") else { return };
    for path in models.split(':') {
        let text = std::fs::read_to_string(path).unwrap();
        let model = Model::parse(&text).unwrap();
        let len = model.size().unwrap();
        let mut bench = Bench::new(model, len);
        bench.blind = std::env::var_os("RESCUE_BLIND").is_some();
        let total = bench.model.recoverable(0..len);
        let clock = std::time::Instant::now();
        let mut plan = Plan::new(512, 512);
        if std::env::var_os("RESCUE_ALL").is_some() {
            (plan.exhaustive, plan.retries) = (true, 20);
        }
        let mut rescue = Rescue::new(&mut bench, Ledger::new(len), plan);
        rescue.run().unwrap();
        let fragments = rescue.ledger.fragments();
        println!(
            "{path}: {} reads, {} failures, {:.1} s; {:.4} % of what can be had; {fragments} fragments; took {:?}",
            bench.reads,
            bench.failures,
            bench.clock,
            bench.got as f64 * 100.0 / total as f64,
            clock.elapsed()
        );
        for share in [0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
            println!("  {:7} % {:?}", share * 100.0, bench.until(share));
        }
        let stem = std::path::Path::new(path).file_stem().unwrap().to_string_lossy().into_owned();
        let folder = std::path::Path::new(path).with_file_name("curves");
        let mut curves: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        curves.sort();
        for curve in curves {
            let name = curve.file_stem().unwrap().to_string_lossy().into_owned();
            if let Some(peer) = name.strip_suffix(&format!("-{stem}")) {
                behind(&bench, peer, &std::fs::read_to_string(&curve).unwrap(), total);
            }
        }
        for (pass, got, seconds, failures) in &bench.passes {
            println!("    {pass:?} begins: {:.4} % {seconds:.1} s {failures}", *got as f64 * 100.0 / total as f64);
        }
    }
}

/// Where a peer had more after the same number of failed reads.
fn behind(bench: &Bench, peer: &str, text: &str, total: u64) {
    let steps: Vec<(u64, u64)> = text
        .lines()
        .skip(1)
        .map(|l| l.split_once(' ').map(|(n, g)| (n.parse().unwrap(), g.parse().unwrap())).unwrap())
        .collect();
    let mut worst = (0.0, 0);
    let mut points: Vec<u64> = Vec::new();
    let (mut checked, mut index, mut last) = (0, 0, 0);
    for (failures, got) in steps {
        while index < bench.curve.len() && bench.curve[index].2 <= failures {
            last = bench.curve[index].0;
            index += 1;
        }
        if (got as f64) < 0.9 * total as f64 {
            continue;
        }
        checked += 1;
        if last < got {
            points.push(failures);
            let deficit = (got - last) as f64;
            if deficit > worst.0 {
                worst = (deficit, failures);
            }
        }
    }
    println!(
        "  {peer}: behind at {} of {checked} points ({:?} to {:?}), worst {} bytes at {}",
        points.len(),
        points.first(),
        points.last(),
        worst.0,
        worst.1
    );
}
