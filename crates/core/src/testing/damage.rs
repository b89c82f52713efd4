//! What becomes of an image that was damaged: every cut, every flipped bit.
//!
//! A [`Sweep`] begins with a good image of a disk that is known. It damages one file of it in one way after the other, opens,
//! checks and reads what that gives, and says of each damage what was [`Seen`]. By itself it panics, and names the damage, if
//! something panicked, took longer than ten seconds, or if extents overlap, leave gaps or claim zeros where other bytes are read. What
//! else a format promises the test says:
//!
//! ```text
//! let (_, folder) = check_writer(create, open, "d.vdi", &model, |_| ());
//! let sweep = Sweep::new(&FORMAT, &folder, "d.vdi", &model);
//! // Of a file that was cut off nothing wrong is ever read.
//! for seen in sweep.cuts(37) {
//!     assert!(seen.wrong.is_none(), "{seen:?}");
//! }
//! // Every byte of headers and tables and every 61st byte of blocks and of empty parts of tables. What changes the disk is told, but for the bytes of blocks
//! // themselves, that nothing proves.
//! let seen = sweep.flips(sweep.places(61));
//! assert_eq!(sweep.silent(&seen), []);
//! ```
//!
//! An exception is a range of the file with its reason: `seen.iter().filter(|s| !(32..40).contains(&s.damage.at()))`. Where a checksum
//! keeps damage from getting anywhere, [`Sweep::mended`] puts the sum right again: nothing can be told then, but nothing may panic
//! or hang. Numbers that somebody chose with care are [`Damage::Put`] and [`Sweep::run`].

use super::{Bytes, MemoryOutlet, Model};
use crate::{
    Care, Check, Entry, Error, Finding, Format, Kind, Limits, NoSecrets, Open, OpenRequest, Opener, Result, Secrets,
    Silent, Source,
};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// No damage may cost more than this, in a debug build on a busy machine.
const LONGEST: Duration = Duration::from_secs(10);
/// Extents that are asked for at most; nobody waits for all of a disk that has become huge.
const EXTENTS: usize = 4096;
/// A byte with so many zeros on both sides is in a long run of them.
const ZEROS: usize = 24;

/// One damage to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Nothing of it is left from this offset on.
    Cut(u64),
    /// Some bits of a byte are others.
    Flip {
        /// The byte.
        at: u64,
        /// The bits.
        bits: u8,
    },
    /// Other bytes stand there.
    Put {
        /// The first of them.
        at: u64,
        /// What stands there now.
        bytes: Vec<u8>,
    },
}

impl Damage {
    /// The first byte that is hit.
    pub fn at(&self) -> u64 {
        match self {
            Damage::Cut(at) | Damage::Flip { at, .. } | Damage::Put { at, .. } => *at,
        }
    }

    fn done_to(&self, good: &[u8]) -> Vec<u8> {
        let mut bytes = match self {
            Damage::Cut(at) => return good[..*at as usize].to_vec(),
            _ => good.to_vec(),
        };
        match self {
            Damage::Flip { at, bits } => bytes[*at as usize] ^= bits,
            Damage::Put { at, bytes: put } => bytes[*at as usize..][..put.len()].copy_from_slice(put),
            Damage::Cut(_) => {}
        }
        bytes
    }
}

/// What came of one damage.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The damage.
    pub damage: Damage,
    /// Why the image could not be opened.
    pub refused: Option<Kind>,
    /// The first error of reading the disk, or of asking for its extents.
    pub failed: Option<Kind>,
    /// From the first to the last byte of the disk that was read and is another than before.
    pub wrong: Option<Range<u64>>,
    /// The length of the disk, if it is another than before.
    pub len: Option<u64>,
    /// What opening warned of.
    pub warnings: Vec<String>,
    /// What opening and checking found.
    pub findings: Vec<Finding>,
    /// Why the image could not be checked.
    pub unchecked: Option<Kind>,
}

impl Seen {
    /// Whether anybody said a word.
    pub fn is_told(&self) -> bool {
        let errors = [self.refused, self.failed, self.unchecked];
        errors.iter().any(Option::is_some) || !self.warnings.is_empty() || !self.findings.is_empty()
    }

    /// Whether the disk is another one and nobody said a word.
    pub fn is_silent(&self) -> bool {
        (self.wrong.is_some() || self.len.is_some()) && !self.is_told()
    }
}

/// A good image that is damaged again and again.
#[derive(Clone)]
pub struct Sweep {
    trial: Arc<Trial>,
    payload: Vec<Range<u64>>,
}

#[derive(Clone)]
struct Trial {
    open: Open,
    check: Option<Check>,
    files: BTreeMap<String, Arc<Vec<u8>>>,
    name: String,
    target: String,
    bytes: Vec<u8>,
    secrets: Arc<dyn Secrets>,
    mend: Option<fn(&mut Vec<u8>)>,
}

impl Sweep {
    /// The image `name` in `folder`, which is that of `model` and is damaged in its first file. Panics if it is not: it has to open,
    /// read and check without a word.
    pub fn new(format: &Format, folder: &MemoryOutlet, name: &str, model: &Model) -> Self {
        Self::with_secrets(format, folder, name, model, Arc::new(NoSecrets))
    }

    /// The same of an image that is opened with passphrases.
    pub fn with_secrets(
        format: &Format,
        folder: &MemoryOutlet,
        name: &str,
        model: &Model,
        secrets: Arc<dyn Secrets>,
    ) -> Self {
        let files = folder.names().into_iter().map(|n| (n.clone(), Arc::new(folder.bytes(&n).unwrap_or_default())));
        let trial = Trial {
            open: format.open.expect("a format that is read"),
            check: format.check,
            files: files.collect(),
            name: name.to_owned(),
            target: name.to_owned(),
            bytes: model.bytes.clone(),
            secrets,
            mend: None,
        };
        Sweep { trial: Arc::new(trial), payload: Vec::new() }.looked_at()
    }

    /// The same, but it is the file `name` of the image that is damaged.
    pub fn hitting(self, name: &str) -> Self {
        self.but(|trial| trial.target = name.to_owned()).looked_at()
    }

    /// The same, but after every damage `mend` puts right what would give it away: checksums.
    pub fn mended(self, mend: fn(&mut Vec<u8>)) -> Self {
        self.but(|trial| trial.mend = Some(mend))
    }

    fn but(mut self, change: impl FnOnce(&mut Trial)) -> Self {
        change(Arc::make_mut(&mut self.trial));
        self
    }

    /// Makes sure that the image is good, and finds out where its bytes lie.
    fn looked_at(mut self) -> Self {
        let whole = self.trial.seen(Damage::Cut(self.len()));
        assert!(
            !whole.is_told() && whole.wrong.is_none() && whole.len.is_none(),
            "the image is damaged already: {whole:?}"
        );
        self.payload = self.trial.payload();
        self
    }

    /// Bytes of the file that is damaged.
    pub fn len(&self) -> u64 {
        self.trial.good().len() as u64
    }

    /// True if the file that is damaged has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a byte of the file is one that the disk's bytes come from, packed or not, as [`Source::detail_at`] says.
    pub fn is_payload(&self, at: u64) -> bool {
        let next = self.payload.partition_point(|range| range.end <= at);
        self.payload.get(next).is_some_and(|range| range.start <= at)
    }

    /// Every byte of the file that matters, and every `step`-th of payload and of long runs of zeros, which are tables that are mostly
    /// empty.
    pub fn places(&self, step: usize) -> Vec<u64> {
        let good = self.trial.good();
        let blank = |at: usize| {
            let near = &good[at.saturating_sub(ZEROS)..good.len().min(at + ZEROS)];
            near.iter().all(|b| *b == 0)
        };
        let mut n = 0;
        let mut due = |at: &u64| {
            let some = self.is_payload(*at) || blank(*at as usize);
            n += usize::from(some);
            !some || n % step == 1 % step
        };
        (0..self.len()).filter(|at| due(at)).collect()
    }

    /// What comes of a file that ends too early: at every `step`-th byte.
    pub fn cuts(&self, step: usize) -> Vec<Seen> {
        self.run((0..self.len()).step_by(step).map(Damage::Cut))
    }

    /// What comes of the lowest bit, the highest bit, and all bits of each of these bytes being flipped.
    pub fn flips(&self, places: impl IntoIterator<Item = u64>) -> Vec<Seen> {
        let flips = |at| [0x01, 0x80, 0xFF].map(|bits| Damage::Flip { at, bits });
        self.run(places.into_iter().flat_map(flips).collect::<Vec<_>>())
    }

    /// What comes of each of these damages.
    pub fn run(&self, damages: impl IntoIterator<Item = Damage>) -> Vec<Seen> {
        let damages: Vec<Damage> = damages.into_iter().collect();
        let (trial, todo) = (Arc::clone(&self.trial), damages.clone());
        let (tell, told) = mpsc::channel();
        // What hangs cannot be stopped: it is left alone, and the test ends without it.
        std::thread::spawn(move || {
            for damage in todo {
                let seen = catch_unwind(AssertUnwindSafe(|| trial.seen(damage)));
                let panicked = seen.is_err();
                if tell.send(seen.ok()).is_err() || panicked {
                    return;
                }
            }
        });
        let all = damages.into_iter().map(|damage| match told.recv_timeout(LONGEST) {
            Ok(Some(seen)) => seen,
            Ok(None) => panic!("{damage:?} to {} ended in the panic above", self.trial.target),
            Err(_) => panic!("{damage:?} to {} took longer than {LONGEST:?}", self.trial.target),
        });
        all.collect()
    }

    /// The damages among these that changed the disk without a word, but for those to its very bytes.
    pub fn silent(&self, seen: &[Seen]) -> Vec<Damage> {
        let silent = seen.iter().filter(|s| s.is_silent() && !self.is_payload(s.damage.at()));
        silent.map(|s| s.damage.clone()).collect()
    }
}

/// The files of an image, one of them damaged.
struct Folder {
    files: BTreeMap<String, Arc<Vec<u8>>>,
}

impl Opener for Folder {
    fn open(&self, name: &str) -> Result<Arc<dyn Source>> {
        match self.files.get(name) {
            Some(bytes) => Ok(Arc::new(Bytes(bytes.to_vec()))),
            None => Err(Error::io("cannot open", io::Error::from(io::ErrorKind::NotFound)).in_path(name)),
        }
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.files.keys().cloned().collect())
    }
}

impl Trial {
    fn good(&self) -> &[u8] {
        self.files.get(&self.target).expect("the file that is damaged is one of the image")
    }

    fn request(&self, damaged: Vec<u8>) -> OpenRequest {
        let mut files = self.files.clone();
        files.insert(self.target.clone(), Arc::new(damaged));
        let folder = Folder { files };
        OpenRequest {
            entry: Entry::bytes(&*self.name, folder.open(&self.name).expect("the first file is there")),
            opener: Arc::new(folder),
            sidecars: None,
            limits: Limits::default(),
            watch: Arc::new(Silent::default()),
            secrets: Arc::clone(&self.secrets),
            above: Vec::new(),
            care: Care::Read,
        }
    }

    fn seen(&self, damage: Damage) -> Seen {
        let mut damaged = damage.done_to(self.good());
        if let Some(mend) = self.mend {
            mend(&mut damaged);
        }
        let request = self.request(damaged);
        let mut seen = Seen {
            damage,
            refused: None,
            failed: None,
            wrong: None,
            len: None,
            warnings: Vec::new(),
            findings: Vec::new(),
            unchecked: None,
        };
        match self.check.map(|check| check(&request)) {
            Some(Ok(findings)) => seen.findings = findings,
            Some(Err(e)) => seen.unchecked = Some(e.kind()),
            None => {}
        }
        match (self.open)(&request) {
            Err(e) => seen.refused = Some(e.kind()),
            Ok(image) => {
                seen.warnings.extend(image.warnings);
                seen.findings.extend(image.damage);
                self.read(&*image.disk, &mut seen);
                // Whatever else can be opened may fail, but not panic.
                for part in image.parts.iter().take(8) {
                    if let Ok(part) = (part.open)() {
                        let _ = part.read_at(&mut vec![0; part.len().min(1 << 16) as usize], 0);
                    }
                }
            }
        }
        seen
    }

    /// Reads the disk and compares it.
    fn read(&self, disk: &dyn Source, seen: &mut Seen) {
        let (len, good) = (disk.len(), self.bytes.len() as u64);
        seen.len = (len != good).then_some(len);
        let mut failed = None;
        let mut fails = |e: Error| failed = failed.or(Some(e.kind()));
        // Odd, so that pieces begin and end inside of sectors.
        let piece = (good / 64).clamp(512, 64 << 10) as usize | 1;
        let mut read: Vec<(u64, Vec<u8>)> = Vec::new();
        for at in (0..len.min(good + (64 << 10))).step_by(piece) {
            let mut bytes = vec![0xCC; piece.min((len - at) as usize)];
            match disk.read_at(&mut bytes, at) {
                Ok(()) => read.push((at, bytes)),
                Err(e) => fails(e),
            }
        }
        for (at, bytes) in &read {
            let held = self.bytes.get(*at as usize..).unwrap_or_default();
            let differs = |(a, b): (&u8, &u8)| a != b;
            if let Some(first) = bytes.iter().zip(held).position(differs) {
                let last = bytes.iter().zip(held).rposition(differs).unwrap_or(first);
                let start = seen.wrong.as_ref().map_or(at + first as u64, |before| before.start);
                seen.wrong = Some(start..at + last as u64 + 1);
            }
        }
        if let Some(last) = len.checked_sub(1) {
            for at in [last, len / 2] {
                disk.read_at(&mut [0], at).unwrap_or_else(&mut fails);
            }
        }
        let mut at = 0;
        for _ in 0..EXTENTS {
            if at >= len {
                break;
            }
            let extent = match disk.extent_at(at) {
                Ok(extent) => extent,
                Err(e) => {
                    fails(e);
                    break;
                }
            };
            let inside = extent.offset <= at && extent.end() > at && extent.end() <= len;
            assert!(inside, "{extent:?} at {at} of {len} bytes");
            for (from, bytes) in read.iter().filter(|_| extent.state.reads_zero()) {
                if let Some(part) = extent.clip(*from, from + bytes.len() as u64) {
                    let part = &bytes[(part.offset - from) as usize..(part.end() - from) as usize];
                    assert!(part.iter().all(|b| *b == 0), "{extent:?} claims zeros that are not there");
                }
            }
            at = extent.end();
        }
        seen.failed = failed;
    }

    /// Where in the target the bytes of the disk lie.
    fn payload(&self) -> Vec<Range<u64>> {
        let image = (self.open)(&self.request(self.good().to_vec())).expect("it was opened before");
        let mut at = 0;
        let mut ranges: Vec<Range<u64>> = Vec::new();
        while at < image.disk.len() {
            let detail = image.disk.detail_at(at).expect("the image is good").unwrap_or_default();
            let stored = detail.stored_len.unwrap_or(0);
            if let (Some(file), Some(from)) = (&detail.file, detail.host_offset)
                && *file == self.target
            {
                ranges.push(from..from + stored);
            }
            // How much of the disk comes of something packed is not said.
            at += if detail.compressed || stored == 0 { 512 } else { stored };
        }
        ranges.sort_unstable_by_key(|range| range.start);
        ranges.dedup_by(|next, before| {
            let joins = next.start <= before.end;
            if joins {
                before.end = before.end.max(next.end);
            }
            joins
        });
        ranges
    }
}
