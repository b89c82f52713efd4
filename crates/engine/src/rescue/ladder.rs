//! What is done about a drive that does not answer any more: reset it, reset its link, switch its power off and on; each only where it
//! was asked for, the gentle ones first. Then it is found again by its serial number, whatever its name is, and the rescue goes on.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tintype_core::{Aligned, Error, Event, Facts, Kind, Result, Shape, Source, Watch};
use tintype_device::Failure;

/// A step of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Reset the drive.
    Device,
    /// Remove it and look for it again, which resets its link.
    Link,
    /// Run the command that switches its power off and on.
    Power,
}

impl Step {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Step::Device => "device reset",
            Step::Link => "link reset",
            Step::Power => "power cycle",
        }
    }
}

/// What can be done to a drive; a real one, or a fake.
pub trait Rungs: Send + Sync {
    /// Takes a step; what was done, in words. `Cancelled` where somebody wants to stop before it is done.
    fn take(&self, step: Step) -> Result<String>;

    /// The same drive, opened anew with its settings, if it is there.
    fn find(&self) -> Option<Arc<dyn Source>>;
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a read; longer is a drive that does not answer.
    pub read: Duration,
    /// For the question whether it answers at all.
    pub answer: Duration,
    /// For a drive to be found after a step.
    pub find: Duration,
}

/// Climbs without a good read in between, after which the drive is given up.
const MOST: u32 = 3;

/// A drive that is brought back when it does not answer.
pub struct Laddered {
    source: Mutex<Arc<dyn Source>>,
    steps: Vec<Step>,
    rungs: Box<dyn Rungs>,
    patience: Patience,
    watch: Arc<dyn Watch>,
    climbs: Mutex<u32>,
    len: u64,
    shape: Shape,
    facts: Facts,
}

impl Laddered {
    /// `source`, with `steps` to take when it does not answer.
    pub fn new(
        source: Arc<dyn Source>,
        mut steps: Vec<Step>,
        rungs: Box<dyn Rungs>,
        patience: Patience,
        watch: Arc<dyn Watch>,
    ) -> Self {
        steps.sort();
        steps.dedup();
        let (len, facts) = (source.len(), source.facts().clone());
        let shape = Shape { in_flight: 1, ..source.shape() };
        Laddered { source: Mutex::new(source), steps, rungs, patience, watch, climbs: Mutex::new(0), len, shape, facts }
    }

    /// The longest that one read may take, all steps included.
    pub fn longest(steps: usize, patience: &Patience) -> Duration {
        let step = patience.find.saturating_add(patience.answer);
        patience.read.saturating_mul(2).saturating_add(step.saturating_mul(steps as u32 + 1))
    }

    fn current(&self) -> Arc<dyn Source> {
        Arc::clone(&self.source.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, text: String) {
        self.watch.event(&Event::Warning(text));
    }

    /// Tries the steps until the drive answers; an error once all have failed.
    fn climb(&self, why: &str) -> Result<()> {
        let mut climbs = self.climbs.lock().unwrap_or_else(PoisonError::into_inner);
        *climbs += 1;
        if *climbs > MOST {
            return Err(self.lost(&format!("it was brought back {MOST} times and read nothing")));
        }
        self.note(format!("the drive does not answer: {why}"));
        for step in &self.steps {
            match self.rungs.take(*step) {
                Ok(done) => self.note(format!("{}: {done}", step.name())),
                Err(e) if e.kind() == Kind::Cancelled => return Err(e),
                Err(e) => {
                    self.note(format!("{}: {}", step.name(), e.chain()));
                    continue;
                }
            }
            let began = Instant::now();
            while began.elapsed() < self.patience.find {
                if self.watch.cancelled() {
                    return Err(Error::cancelled());
                }
                if let Some(source) = self.rungs.find()
                    && source.len() == self.len
                    && self.answers(&source)
                {
                    *self.source.lock().unwrap_or_else(PoisonError::into_inner) = source;
                    self.note(format!("{}: the drive answers again", step.name()));
                    return Ok(());
                }
                std::thread::sleep(self.patience.find.min(Duration::from_millis(500)));
            }
            self.note(format!("{}: the drive was not found within {} s", step.name(), self.patience.find.as_secs()));
        }
        Err(self.lost("no step that was asked for brought it back"))
    }

    fn lost(&self, why: &str) -> Error {
        Error::new(
            Kind::Io,
            format!(
                "the drive does not answer any more: {why}; switch it off and on, and start the same command again"
            ),
        )
    }

    /// True if the drive says anything at all about its first sector.
    fn answers(&self, source: &Arc<dyn Source>) -> bool {
        let len = (self.len.min(u64::from(self.shape.sector))) as usize;
        match read(source, len, 0, self.patience.answer) {
            Some((_, Ok(()))) => true,
            Some((_, Err(e))) => !is_silence(&e) && !is_gone(&e),
            None => false,
        }
    }
}

/// A read in a thread of its own; `None` if it does not come back in time.
fn read(source: &Arc<dyn Source>, len: usize, offset: u64, time: Duration) -> Option<(Aligned, Result<()>)> {
    let (tell, told) = sync_channel(1);
    let source = Arc::clone(source);
    std::thread::spawn(move || {
        let mut room = Aligned::new(len);
        let read = source.read_at(&mut room, offset);
        // Nobody listens any more if it took too long.
        let _ = tell.send((room, read));
    });
    told.recv_timeout(time).ok()
}

fn is_silence(e: &Error) -> bool {
    matches!(e.kind(), Kind::Unreadable { .. }) && Failure::of(e) == Failure::TimedOut
}

fn is_gone(e: &Error) -> bool {
    e.kind() == Kind::Io
}

impl Source for Laddered {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let mut again = true;
        loop {
            let source = self.current();
            let (failed, why) = match read(&source, buf.len(), offset, self.patience.read) {
                Some((room, Ok(()))) => {
                    buf.copy_from_slice(&room);
                    *self.climbs.lock().unwrap_or_else(PoisonError::into_inner) = 0;
                    return Ok(());
                }
                Some((room, Err(e))) if !is_silence(&e) && !is_gone(&e) => {
                    buf.copy_from_slice(&room);
                    return Err(e);
                }
                Some((_, Err(e))) if is_silence(&e) && self.answers(&source) => return Err(nothing(e)),
                Some((_, Err(e))) => {
                    let why = e.chain();
                    (e, why)
                }
                None => (Error::unreadable("did not come back", 0, None).at(offset), "a read did not come back".into()),
            };
            self.climb(&why)?;
            // What made it silent is left alone for now; what it could not answer because it was gone is asked again, once.
            if !is_gone(&failed) || !std::mem::take(&mut again) {
                return Err(match is_gone(&failed) {
                    true => failed,
                    false => nothing(failed),
                });
            }
        }
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// The same error; nothing that came before it is believed.
fn nothing(e: Error) -> Error {
    match e.kind() {
        Kind::Unreadable { first_bad, .. } => e.into_kind(Kind::Unreadable { good: 0, first_bad }),
        _ => e,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tintype_core::Silent;

    /// A drive that answers from the given step on, after it was asked for `hangs`.
    struct Fake {
        silent: Arc<AtomicU32>,
        hangs: u64,
        how: fn() -> Error,
    }

    impl Source for Fake {
        fn len(&self) -> u64 {
            1 << 20
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
            if offset == self.hangs {
                self.silent.store(1, Ordering::SeqCst);
            }
            if self.silent.load(Ordering::SeqCst) == 1 {
                return Err((self.how)());
            }
            buf.fill(7);
            Ok(())
        }
    }

    struct Bench {
        silent: Arc<AtomicU32>,
        helps: Step,
        taken: Arc<Mutex<Vec<Step>>>,
        how: fn() -> Error,
        // Where the drive hangs once more.
        hangs: u64,
    }

    impl Rungs for Bench {
        fn take(&self, step: Step) -> Result<String> {
            self.taken.lock().unwrap().push(step);
            if step == self.helps {
                self.silent.store(0, Ordering::SeqCst);
            }
            Ok("done".into())
        }

        fn find(&self) -> Option<Arc<dyn Source>> {
            let found = Fake { silent: Arc::clone(&self.silent), hangs: self.hangs, how: self.how };
            (self.silent.load(Ordering::SeqCst) == 0).then(|| Arc::new(found) as _)
        }
    }

    fn gone() -> Error {
        Error::new(Kind::Io, "has vanished")
    }

    fn silence() -> Error {
        Error::unreadable("cannot be read", 0, None).because(std::io::Error::from_raw_os_error(110))
    }

    fn bench(helps: Step, steps: &[Step], how: fn() -> Error, hangs: u64) -> (Laddered, Arc<Mutex<Vec<Step>>>) {
        let silent = Arc::new(AtomicU32::new(0));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let drive = Fake { silent: Arc::clone(&silent), hangs: 4096, how };
        let rungs = Bench { silent, helps, taken: Arc::clone(&taken), how, hangs };
        let quick = Duration::from_millis(20);
        let patience = Patience { read: Duration::from_secs(20), answer: Duration::from_secs(20), find: quick };
        let watch = Arc::new(Silent::default());
        (Laddered::new(Arc::new(drive), steps.to_vec(), Box::new(rungs), patience, watch), taken)
    }

    #[test]
    fn the_gentle_steps_come_first_and_the_rest_is_left_out() {
        use Step::*;
        let (drive, taken) = bench(Link, &[Power, Link, Device], gone, u64::MAX);
        let mut buf = [0; 512];
        drive.read_at(&mut buf, 0).unwrap();
        // It was gone: what was asked for is read once it is back.
        drive.read_at(&mut buf, 4096).unwrap();
        assert_eq!(buf, [7; 512]);
        assert_eq!(*taken.lock().unwrap(), [Device, Link]);
    }

    #[test]
    fn what_made_it_hang_is_not_asked_for_again() {
        let (drive, taken) = bench(Step::Device, &[Step::Device], silence, u64::MAX);
        let mut buf = [0; 512];
        let e = drive.read_at(&mut buf, 4096).unwrap_err();
        assert_eq!(e.kind(), Kind::Unreadable { good: 0, first_bad: None });
        assert_eq!(*taken.lock().unwrap(), [Step::Device]);
        drive.read_at(&mut buf, 8192).unwrap();
    }

    #[test]
    fn nothing_helps_and_it_says_so() {
        let (drive, taken) = bench(Step::Power, &[Step::Device, Step::Link], gone, u64::MAX);
        let e = drive.read_at(&mut [0; 512], 4096).unwrap_err();
        assert_eq!(e.kind(), Kind::Io);
        assert!(e.what().contains("does not answer"), "{e}");
        assert_eq!(*taken.lock().unwrap(), [Step::Device, Step::Link]);
    }

    #[test]
    fn a_drive_that_only_comes_back_to_hang_is_given_up() {
        let (drive, taken) = bench(Step::Device, &[Step::Device], silence, 4096);
        let mut buf = [0; 512];
        for _ in 0..MOST {
            assert!(matches!(drive.read_at(&mut buf, 4096).unwrap_err().kind(), Kind::Unreadable { .. }));
        }
        assert_eq!(drive.read_at(&mut buf, 4096).unwrap_err().kind(), Kind::Io);
        assert_eq!(taken.lock().unwrap().len(), MOST as usize);
    }
}
