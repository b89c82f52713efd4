//! A real drive: read, checked, told.

use super::handling::{AfterError, Again, Handling, Told};
use super::keeper::Keeper;
use super::limits::{Limits, Stop};
use super::pace::Pace;
use super::reader::{Around, Heard, Next, Reader};
use super::suspect::{End, Suspicions, When};
use super::{Cause, Causes, Drive, Effort, Fate, Ledger, Pass, Reply, Status};
use crate::map::draw;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_core::{Aligned, Error, Event, Result, Source, Standing, Watch};
use tintype_device::{Failure, Why};

/// How often it is told how the work stands.
const TELL: Duration = Duration::from_millis(250);

/// How often the map is drawn, at most; and so seldom that drawing takes one part in so many of the time.
const DRAW: Duration = Duration::from_secs(1);
const SELDOM: u32 = 100;

/// Cells of the map that is told.
const CELLS: usize = 256;

/// Over which time the rate of now is an average.
const NOW: Duration = Duration::from_secs(5);

/// Over which time it is judged what the next percent costs.
const LATELY: Duration = Duration::from_secs(120);

/// How often somebody who pauses looks whether to go on.
const LOOK: Duration = Duration::from_millis(50);

/// In which order the passes go over the drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From its begin.
    Forwards,
    /// From its end.
    Backwards,
}

pub(super) struct Real {
    pub reader: Reader,
    pub keeper: Keeper,
    pub handling: Handling,
    pub limits: Limits,
    pub watch: Arc<dyn Watch>,
    pub suspicions: Suspicions,
    pub pace: Pace,
    /// Why the run is to end, in words.
    pub stop: Option<Stop>,
    /// Areas that were bad when it began.
    pub areas: usize,
    causes: Causes,
    buffers: Vec<Aligned>,
    longest: usize,
    sector: u64,
    direction: Direction,
    pass: Pass,
    // What reads ask of the drive.
    effort: Effort,
    told: Instant,
    // When the map was drawn last, how long that took, and what it looked like.
    drawn: Option<(Instant, Duration)>,
    cells: String,
    // Since when is this second, and what it brought.
    second: (Instant, u64),
    slow: bool,
    // What follows on the next read if it goes well.
    next: Option<Next>,
}

/// What a drive is read with.
pub(super) struct Tools {
    pub reader: Reader,
    pub keeper: Keeper,
    pub handling: Handling,
    pub limits: Limits,
    pub watch: Arc<dyn Watch>,
    pub suspicions: Suspicions,
    pub direction: Direction,
    /// The causes that the journal knows.
    pub causes: Causes,
    /// Bad areas there are.
    pub areas: usize,
    /// Longest read.
    pub longest: u64,
    pub sector: u64,
}

impl Real {
    pub fn new(tools: Tools) -> Self {
        let Tools { reader, keeper, handling, limits, watch, suspicions, direction, causes, areas, longest, sector } =
            tools;
        let now = Instant::now();
        Real {
            reader,
            keeper,
            handling,
            limits,
            watch,
            suspicions,
            pace: Pace::new(),
            stop: None,
            areas,
            causes,
            buffers: Vec::new(),
            longest: longest as usize,
            sector,
            direction,
            pass: Pass::Copy,
            effort: Effort::Full,
            told: now,
            drawn: None,
            cells: String::new(),
            second: (now, 0),
            slow: false,
            next: None,
        }
    }

    pub fn end(&mut self, stop: Stop) -> Error {
        self.stop = Some(stop);
        Error::cancelled()
    }

    /// Waits, unless somebody wants to stop.
    fn pause(&self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        loop {
            if self.watch.cancelled() {
                return Err(Error::cancelled());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    /// Not faster than allowed.
    fn throttle(&self) -> Result<()> {
        let Some(most) = self.handling.max_rate.filter(|r| *r > 0) else { return Ok(()) };
        let due = Duration::from_secs_f64(self.pace.good_bytes as f64 / most as f64);
        self.pause(due.saturating_sub(self.pace.elapsed()))
    }

    /// Reads: ahead, too, if `next` says what of.
    fn hear(&mut self, range: Range<u64>, how: How) -> Result<Heard> {
        let (keeper, buffers, longest) = (&mut self.keeper, &mut self.buffers, self.longest);
        let mut buffer = || keeper.buffer().or_else(|| buffers.pop()).unwrap_or_else(|| Aligned::new(longest));
        let watch = &self.watch;
        let mut around = Around { stop: &|| watch.cancelled(), buffer: &mut buffer };
        let heard = match how {
            How::Once(next) => self.reader.read(range, next, &mut around),
            How::Again => self.reader.again(range, &mut around),
        };
        for failed in std::mem::take(&mut self.reader.failed_ahead) {
            let len = failed.range.end - failed.range.start;
            self.pace.count(0, len - failed.good, failed.seconds);
            self.watch.event(&Event::Read {
                offset: failed.range.start,
                len,
                good: failed.good,
                seconds: failed.seconds,
            });
        }
        heard
    }

    /// Reads once more for whoever only wants to look; nothing where it fails.
    fn aside(&mut self, range: Range<u64>) -> Result<Option<Aligned>> {
        let len = range.end - range.start;
        match self.hear(range, How::Again)? {
            Heard::Bytes(buffer, good, _) if good == len => Ok(Some(buffer)),
            Heard::Bytes(buffer, ..) => {
                self.buffers.push(buffer);
                Ok(None)
            }
            Heard::Hung => {
                self.pace.hung += 1;
                Ok(None)
            }
            Heard::Stopped => Err(Error::cancelled()),
        }
    }

    /// How many bytes from the start are none of what stands for a sector that failed.
    pub fn believed(&self, bytes: &[u8]) -> u64 {
        let Some(bad) = self.handling.bad_data.as_ref().filter(|b| !b.is_empty()) else { return bytes.len() as u64 };
        let found = bytes.chunks(bad.len()).position(|sector| sector == &bad[..]);
        found.map_or(bytes.len() as u64, |i| (i * bad.len()) as u64 / self.sector * self.sector)
    }

    /// What is done after a read that failed.
    fn after_failure(&mut self) -> Result<()> {
        self.suspicions.failed();
        if let Some(reopen) = self.handling.reopen.clone() {
            self.reader.replace(reopen()?);
        }
        self.pause(self.handling.pause_on_error)?;
        if self.handling.after_error == AfterError::GoOn {
            return Ok(());
        }
        let Some((at, bytes)) = self.suspicions.last_good().map(|(at, bytes)| (at, bytes.to_vec())) else {
            return Ok(());
        };
        let again = self.aside(at..at + bytes.len() as u64)?;
        let same = again.as_ref().is_some_and(|again| again[..bytes.len()] == bytes[..]);
        self.buffers.extend(again);
        self.suspicions.checked_last_good(same);
        match same {
            true => Ok(()),
            false => Err(self.end(Stop::new(
                "check-on-error",
                format!("after a read that failed, the sector at {at} reads differently than before it; power the drive off and on"),
            ))),
        }
    }

    /// Makes sampled reads again, to see whether they are the same.
    pub fn check_reads(&mut self, end: End) -> Result<()> {
        while let Some(range) = self.suspicions.due(end) {
            let len = (range.end - range.start) as usize;
            let again = self.aside(range)?;
            self.suspicions.compared(again.as_ref().map(|b| &b[..len]));
            self.buffers.extend(again);
        }
        Ok(())
    }

    /// Finds out whether the second that is over was slow.
    fn look_at_second(&mut self, good: u64) {
        self.slow = false;
        self.second.1 += good;
        let elapsed = self.second.0.elapsed();
        if elapsed < Duration::from_secs(1) {
            return;
        }
        let rate = self.second.1 as f64 / elapsed.as_secs_f64();
        self.second = (Instant::now(), 0);
        let Some(slow) = self.handling.slow.filter(|s| self.pace.elapsed() > s.after) else { return };
        if !matches!(self.pass, Pass::Copy | Pass::Back) {
            return;
        }
        let least = if slow.rate == 0 { self.pace.average() / 10.0 } else { slow.rate as f64 };
        self.slow = rate < least;
        match (self.slow, slow.again) {
            (true, _) => self.pace.slow += 1,
            (false, Again::Reset) => self.pace.slow = 0,
            (false, Again::Keep) => {}
        }
    }

    fn standing(&mut self, ledger: &Ledger) -> Standing {
        let due = self.drawn.is_none_or(|(when, took)| when.elapsed() > DRAW.max(took * SELDOM));
        if due {
            let began = Instant::now();
            let span = ledger.domain().start()..ledger.domain().end();
            let cells = draw::cells(span, ledger.pieces().map(|(r, f)| (r, f.status())), CELLS);
            let signs = cells.cells.iter().map(|c| c.map_or(' ', Status::sign));
            self.cells = match self.direction {
                Direction::Forwards => signs.collect(),
                Direction::Backwards => signs.rev().collect(),
            };
            self.drawn = Some((Instant::now(), began.elapsed()));
        }
        let total = |status| ledger.total(status);
        let (finished, untried) = (total(Status::Finished), total(Status::NonTried));
        let failed = ledger.meant() - finished - untried;
        let average = self.pace.average();
        let lately = self.pace.rate(LATELY);
        let seconds = |bytes: u64, rate: f64| (rate >= 1.0).then(|| bytes as f64 / rate);
        let soonest = seconds(untried, self.pace.rate(Duration::from_secs(30)).max(average));
        // At the worst every unit of what failed fails again.
        let units = failed.div_ceil(self.sector.max(4096)) as f64;
        let latest = soonest.map(|s| s + units * self.pace.failure().unwrap_or(0.0));
        Standing {
            pass: self.pass.name(),
            title: self.pass.title(),
            domain: ledger.meant(),
            rescued: finished,
            untried,
            failed,
            bad: total(Status::Bad),
            bad_areas: ledger.areas(Status::Bad) as u64,
            reads: self.pace.reads,
            failed_reads: self.pace.failed,
            rate: self.pace.rate(NOW),
            average,
            seconds: self.pace.elapsed().as_secs_f64(),
            since_good: self.pace.since_good().as_secs_f64(),
            seconds_left: soonest,
            seconds_at_worst: latest,
            next_percent: seconds((ledger.meant() / 100).min(ledger.meant() - finished), lately),
            cells: self.cells.clone(),
        }
    }

    fn tell(&mut self, ledger: &Ledger) {
        self.told = Instant::now();
        let standing = self.standing(ledger);
        self.watch.event(&Event::Standing(Box::new(standing)));
    }
}

/// How a range is read.
enum How {
    /// For the first time, with what follows.
    Once(Option<Next>),
    /// Though it was read before.
    Again,
}

impl Drive for Real {
    fn kept(&mut self) -> Result<Option<Arc<dyn Source>>> {
        if self.watch.cancelled() {
            return Err(Error::cancelled());
        }
        Ok(Some(self.keeper.settled()?))
    }

    fn step(&mut self, title: &str) {
        self.watch.event(&Event::Note(title.to_owned()));
    }

    fn ahead(&mut self, size: u64, limit: u64) {
        self.next = Some(Next { size, limit });
    }

    fn read(&mut self, range: Range<u64>) -> Result<Reply> {
        if self.watch.cancelled() {
            return Err(Error::cancelled());
        }
        if let Some(stop) = self.limits.met(&self.pace) {
            return Err(self.end(stop));
        }
        self.throttle()?;
        let began = Instant::now();
        // What is read slowly on purpose is not read ahead.
        let next = self.next.take().filter(|_| self.handling.max_rate.is_none());
        let heard = self.hear(range.clone(), How::Once(next))?;
        let all = range.end - range.start;
        let (good, seconds) = match heard {
            Heard::Bytes(buffer, good, seconds) => {
                // Only whole sectors before the failure are believed.
                let good =
                    if good == all { all } else { (range.start + good) / self.sector * self.sector - range.start };
                let good = good.min(self.believed(&buffer[..good as usize]));
                if good > 0 {
                    self.suspicions.saw(&buffer[..good as usize], range.start);
                    self.keeper.write(buffer, range.start..range.start + good)?;
                } else {
                    self.buffers.push(buffer);
                }
                (good, seconds)
            }
            Heard::Hung => {
                self.pace.hung += 1;
                (0, began.elapsed().as_secs_f64())
            }
            Heard::Stopped => return Err(Error::cancelled()),
        };
        let failed = good < all;
        // What stands for a sector that failed came without an error.
        let why = || self.reader.why.unwrap_or(Why::kind_of(Failure::Unknown));
        let cause = if failed { self.causes.number(why()) } else { Cause::NONE };
        self.pace.count(good, all - good, seconds);
        self.look_at_second(good);
        if failed || self.handling.told == Told::All {
            self.watch.event(&Event::Read { offset: range.start, len: all, good, seconds });
        }
        if failed {
            self.after_failure()?;
        } else {
            self.check_reads(End::No)?;
        }
        Ok(Reply { good, failed, seconds, cause, effort: self.effort })
    }

    fn mark(&mut self, range: Range<u64>, fate: Fate) -> Result<()> {
        self.keeper.mark(range, fate)
    }

    fn slow(&self) -> bool {
        self.slow
    }

    fn look(&mut self, ledger: &Ledger) -> Result<()> {
        if self.told.elapsed() > TELL {
            self.tell(ledger);
            self.suspicions.save(When::Due)?;
        }
        match self.limits.met_by(ledger, self.areas) {
            Some(stop) => Err(self.end(stop)),
            None => Ok(()),
        }
    }

    fn save(&mut self) -> Result<()> {
        self.suspicions.save(When::Now)?;
        self.keeper.save()
    }

    fn pass(&mut self, pass: Pass, ledger: &Ledger) -> Result<()> {
        if pass != self.pass {
            self.pause(self.handling.pause_on_pass)?;
        }
        self.pass = pass;
        if let Some(set) = &self.handling.effort {
            self.effort =
                if matches!(pass, Pass::Copy | Pass::Slow | Pass::Back) { Effort::Brief } else { Effort::Full };
            set(self.effort);
        }
        self.watch.event(&Event::Note(format!(
            "{}: {} of {} bytes are there, {} reads failed",
            pass.title(),
            ledger.total(Status::Finished),
            ledger.meant(),
            self.pace.failed
        )));
        self.tell(ledger);
        self.suspicions.save(When::Now)?;
        self.keeper.pass(pass)
    }
}
