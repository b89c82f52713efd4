//! Good reads that may be none: a drive, a cable or a bridge that answers without having read.
//!
//! What is suspect stays finished in the map, since nobody knows better (or bad, where the drive calls it unreadable and gave something all
//! the same), but it is listed in the result and in the file `MAP.suspect`, whose
//! form `tintype map convert --from json` makes a map of.

use super::{Ledger, Status};
use crate::map::Domain;
use crate::pipeline::is_zero;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tintype_codec::checksum::crc32;
use tintype_core::{Error, RangeMap, Result, Source};

/// Why bytes that were read may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing but zeros where a file system keeps data.
    ZerosWhereDataIs,
    /// From a read that failed until the end, nothing but zeros came.
    ZerosSinceFailure,
    /// One sector over and over, that is no pattern in itself.
    RepeatedSector,
    /// A read that brought what the one before it had brought from another place.
    SameAsBefore,
    /// Read twice, and not the same.
    ReadsDiffer,
    /// Read before it was noticed that what was read before an error reads differently after it.
    Unchecked,
    /// The same as half as far on, everywhere: the drive has fewer bytes than it says.
    WrapsAround,
    /// Not read: handed over by a SCSI drive with the error (TB).
    TransferBlock,
    /// Not read: given by READ LONG of a SCSI drive, without correction.
    ReadLong,
    /// Not read: given by READ STREAM with Read Continuous of an ATA drive.
    ReadStream,
    /// Not read: given by SCT Long Sector Access of an ATA drive.
    SctReadLong,
    /// Not read: given by READ LONG of an ATA drive.
    AtaReadLong,
}

impl Reason {
    /// True where healthy drives hold such bytes too, if seldom: worth a look, and no loss.
    pub const fn is_hint(self) -> bool {
        matches!(self, Reason::RepeatedSector)
    }

    /// True for what the drive calls unreadable and gave all the same: the map calls it bad.
    pub const fn is_uncorrected(self) -> bool {
        use Reason::*;
        matches!(self, TransferBlock | ReadLong | ReadStream | SctReadLong | AtaReadLong)
    }

    /// How the drive was asked for what it calls unreadable.
    pub const fn way(self) -> &'static str {
        match self {
            Reason::TransferBlock => "a read that hands over the block that failed (TB)",
            Reason::ReadLong => "READ LONG",
            Reason::ReadStream => "READ STREAM with Read Continuous",
            Reason::SctReadLong => "SCT Long Sector Access",
            Reason::AtaReadLong => "ATA READ LONG",
            _ => "a read",
        }
    }

    /// The reason in words.
    pub const fn words(self) -> &'static str {
        match self {
            Reason::ZerosWhereDataIs => "nothing but zeros where data is expected",
            Reason::ZerosSinceFailure => "nothing but zeros came after a read that failed",
            Reason::RepeatedSector => "one sector over and over",
            Reason::SameAsBefore => "the same as was read just before elsewhere",
            Reason::ReadsDiffer => "read twice, and not the same",
            Reason::Unchecked => "read since the drive was last known to answer right",
            Reason::WrapsAround => "the same as further up on the drive, which has fewer bytes than it says",
            Reason::TransferBlock => "unreadable, handed over with the error (TB)",
            Reason::ReadLong => "unreadable, given by READ LONG without correction",
            Reason::ReadStream => "unreadable, given by READ STREAM with Read Continuous",
            Reason::SctReadLong => "unreadable, given by SCT Long Sector Access",
            Reason::AtaReadLong => "unreadable, given by ATA READ LONG without correction",
        }
    }
}

/// A range that is suspect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Its first byte.
    pub offset: u64,
    /// Its bytes.
    pub len: u64,
    /// What speaks against it.
    pub reason: Reason,
}

/// Zeros shorter than this are nothing special where data is.
const ZEROS: u64 = 1 << 20;

/// So many bytes of zeros in a row after a failure are suspect.
const ZEROS_AFTER: u64 = 1 << 20;

/// One sector so often in a row is suspect.
const REPEATED: u64 = 16;

/// What of a read is compared with the one before.
const END: usize = 4096;

/// Sampled reads are made again after so many others, when the drive's own cache holds something else.
const LATER: u64 = 64;

/// Most ranges that are listed.
const MOST: usize = 100_000;

/// The list is not written oftener while a run goes on: what a run that is killed may lose of it.
const EVERY: Duration = Duration::from_secs(1);

/// A list that takes long to write is written less often: writing takes one part in so many of the time.
const SHARE: u32 = 20;

/// A list beside the map.
struct List {
    path: PathBuf,
    // What it says.
    said: Vec<Suspect>,
    saved: Instant,
    took: Duration,
}

/// A read to be made again.
struct Sample {
    range: Range<u64>,
    digest: u32,
    // Reads there were when it was made.
    made: u64,
}

/// What the reads of a run look like.
pub(super) struct Suspicions {
    sector: usize,
    expected: Option<Domain>,
    found: RangeMap<Reason>,
    // What earlier runs found, as long as it was not read again.
    earlier: RangeMap<Reason>,
    // What the drive calls unreadable and gave all the same, in this run or before.
    given: RangeMap<Reason>,
    // Where it is written down meanwhile.
    list: Option<List>,
    // Long runs of zeros where data is expected.
    zeros: RangeMap<()>,
    // First, middle and last bytes of the read before, and where it was.
    before: Option<(Range<u64>, Vec<u8>)>,
    // What came since a read failed, as long as it is zeros.
    after_failure: Option<RangeMap<()>>,
    // Something that is not zeros was read before.
    data: bool,
    share: f64,
    due: f64,
    samples: VecDeque<Sample>,
    reads: u64,
    last_good: Option<(u64, Vec<u8>)>,
    since_check: RangeMap<()>,
    /// Reads that were made twice.
    pub checked: u64,
}

impl Suspicions {
    /// Nothing is suspect yet. `share` of the reads are to be made twice; where `expected` says so, data is expected.
    pub fn new(sector: u64, share: f64, expected: Option<Domain>) -> Self {
        Suspicions {
            sector: sector as usize,
            expected,
            found: RangeMap::new(),
            earlier: RangeMap::new(),
            given: RangeMap::new(),
            list: None,
            zeros: RangeMap::new(),
            before: None,
            after_failure: None,
            data: false,
            share,
            due: 0.0,
            samples: VecDeque::new(),
            reads: 0,
            last_good: None,
            since_check: RangeMap::new(),
            checked: 0,
        }
    }

    /// The same, with what is in the list at `path`, which is kept up to date from now on.
    ///
    /// Of that, what `ledger` does not call finished is nobody's suspicion any more; what the drive gave without being able to read it counts until
    /// it was read.
    pub fn kept_in(mut self, path: &Path, before: &[Suspect], ledger: &Ledger) -> Self {
        for suspect in before {
            let range = suspect.offset..suspect.offset.saturating_add(suspect.len);
            for (part, fate) in ledger.within(range) {
                match (suspect.reason.is_uncorrected(), fate.status()) {
                    (true, Status::Finished) => {}
                    (true, _) => self.given.set(part, suspect.reason),
                    (false, Status::Finished) => {
                        if suspect.reason == Reason::ZerosWhereDataIs {
                            // A run of them may go on.
                            self.zeros.set(part.clone(), ());
                        }
                        self.earlier.set(part, suspect.reason);
                    }
                    (false, _) => {}
                }
            }
        }
        let said = before.to_vec();
        self.list = Some(List { path: path.to_path_buf(), said, saved: Instant::now(), took: Duration::ZERO });
        self
    }

    /// Writes the list if something else is suspect than it says; not oftener than [`EVERY`] unless `now`.
    pub fn save(&mut self, when: When) -> Result<()> {
        let Some(list) = &self.list else { return Ok(()) };
        if when == When::Due && list.saved.elapsed() < EVERY.max(list.took * SHARE) {
            return Ok(());
        }
        let (began, known) = (Instant::now(), self.known());
        let Some(list) = &mut self.list else { return Ok(()) };
        if known != list.said {
            write(&list.path, &known)?;
            list.said = known;
        }
        (list.saved, list.took) = (Instant::now(), began.elapsed());
        Ok(())
    }

    /// `bytes` were read at `at`.
    pub fn saw(&mut self, bytes: &[u8], at: u64) {
        if bytes.is_empty() {
            return;
        }
        self.reads += 1;
        let range = at..at + bytes.len() as u64;
        let zero = is_zero(bytes);
        // What was read again is judged by that.
        for list in [&mut self.earlier, &mut self.given] {
            list.clear(range.clone());
        }
        self.zeros.clear(range.clone());
        self.look_for_zeros(bytes, at);
        if !zero {
            self.look_for_repetition(bytes, at);
        }
        match &mut self.after_failure {
            Some(zeros) if zero => zeros.set(range.clone(), ()),
            _ if !zero => {
                self.after_failure = None;
                self.data = true;
                self.look_back(bytes, &range);
            }
            _ => {}
        }
        let first = bytes.len().saturating_sub(self.sector) / self.sector * self.sector;
        self.last_good = Some((at + first as u64, bytes[first..].to_vec()));
        self.since_check.set(range.clone(), ());
        self.due += self.share;
        if self.due >= 1.0 {
            self.due -= 1.0;
            self.samples.push_back(Sample { range, digest: crc32(bytes), made: self.reads });
        }
    }

    /// A read failed.
    pub fn failed(&mut self) {
        if self.data && self.after_failure.is_none() {
            self.after_failure = Some(RangeMap::new());
        }
    }

    fn look_for_zeros(&mut self, bytes: &[u8], at: u64) {
        let Some(expected) = &self.expected else { return };
        for part in expected.within(at..at + bytes.len() as u64) {
            let mut from = part.start;
            while from < part.end {
                let to = ((from / END as u64 + 1) * END as u64).min(part.end);
                if is_zero(&bytes[(from - at) as usize..(to - at) as usize]) {
                    self.zeros.set(from..to, ());
                }
                from = to;
            }
        }
    }

    fn look_for_repetition(&mut self, bytes: &[u8], at: u64) {
        let sector = self.sector;
        let mut run = 0;
        for (i, pair) in bytes.windows(2 * sector).step_by(sector).enumerate() {
            let (one, two) = pair.split_at(sector);
            let same = one == two && !has_a_period(one);
            run = if same { run + 1 } else { 0 };
            if run + 1 >= REPEATED {
                let end = at + ((i + 2) * sector) as u64;
                self.mark(end - (run + 1) * sector as u64..end, Reason::RepeatedSector);
            }
        }
    }

    /// Compares with the read before.
    fn look_back(&mut self, bytes: &[u8], range: &Range<u64>) {
        let len = bytes.len();
        if len < 2 * END {
            return;
        }
        let middle = len / 2 / END * END;
        let ends = [&bytes[..END], &bytes[middle..middle + END], &bytes[len - END..]].concat();
        if let Some((before, there)) = &self.before
            && before.end - before.start == len as u64
            && before.start != range.start
            && *there == ends
            && ends.iter().any(|b| *b != ends[0])
            && !repeats(bytes, self.sector)
            && self.found.get(range.start).is_none()
        {
            self.mark(range.clone(), Reason::SameAsBefore);
        }
        self.before = Some((range.clone(), ends));
    }

    fn mark(&mut self, range: Range<u64>, reason: Reason) {
        if self.found.len() < MOST {
            self.found.set(range, reason);
        }
    }

    /// The drive gave something for what it calls unreadable.
    pub fn given(&mut self, range: Range<u64>, reason: Reason) {
        self.given.set(range, reason);
    }

    /// The last sector that was read, with its bytes.
    pub fn last_good(&self) -> Option<(u64, &[u8])> {
        self.last_good.as_ref().map(|(at, bytes)| (*at, &bytes[..]))
    }

    /// The last good sector was read again; nothing is believed that came since that was the same.
    pub fn checked_last_good(&mut self, same: bool) {
        let since = std::mem::take(&mut self.since_check);
        if !same {
            for (range, ()) in since.iter() {
                self.mark(range, Reason::Unchecked);
            }
        }
    }

    /// A read that it is time to make again; at the end of a run, all of them.
    pub fn due(&mut self, at_end: End) -> Option<Range<u64>> {
        let first = self.samples.front()?;
        (at_end == End::Yes || first.made + LATER <= self.reads).then(|| first.range.clone())
    }

    /// What the read came to that was due; nothing where it failed.
    pub fn compared(&mut self, bytes: Option<&[u8]>) {
        let Some(sample) = self.samples.pop_front() else { return };
        self.checked += 1;
        if bytes.map(crc32) != Some(sample.digest) {
            self.mark(sample.range, Reason::ReadsDiffer);
        }
    }

    /// Everything that is suspect at the end, written down; `target` holds what was read.
    pub fn finish(mut self, ledger: &Ledger, target: &dyn Source) -> Result<Vec<Suspect>> {
        if let Some(real) = wraps(target, ledger) {
            self.mark(real..ledger.len(), Reason::WrapsAround);
            // What was not read is nobody's suspicion.
            for (range, fate) in ledger.within(real..ledger.len()) {
                if fate.status() != Status::Finished {
                    self.found.clear(range);
                }
            }
        }
        self.save(When::Now)?;
        Ok(self.known())
    }

    /// Everything that is suspect, if the run ended here.
    fn known(&self) -> Vec<Suspect> {
        let mut all = self.earlier.clone();
        let mut mark = |range: Range<u64>, reason| {
            if all.len() < MOST {
                all.set(range, reason);
            }
        };
        for (range, reason) in self.found.iter() {
            mark(range, reason);
        }
        if let Some(zeros) = &self.after_failure {
            let total: u64 = zeros.iter().map(|(r, ())| r.end - r.start).sum();
            for (range, ()) in zeros.iter().filter(|_| total >= ZEROS_AFTER) {
                mark(range, Reason::ZerosSinceFailure);
            }
        }
        for (range, ()) in self.zeros.iter().filter(|(r, ())| r.end - r.start >= ZEROS) {
            mark(range, Reason::ZerosWhereDataIs);
        }
        // Nothing of these was read.
        for (range, reason) in self.given.iter() {
            all.set(range, reason);
        }
        all.iter().map(|(r, reason)| Suspect { offset: r.start, len: r.end - r.start, reason }).collect()
    }
}

/// Whether a list is to be written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// If it is time for it.
    Due,
    /// In any case.
    Now,
}

/// True if a sector repeats itself inside: such a pattern goes on in the next one, and says nothing.
pub(super) fn has_a_period(sector: &[u8]) -> bool {
    let mut period = 1;
    while period < sector.len() {
        if sector[period..] == sector[..sector.len() - period] {
            return true;
        }
        period *= 2;
    }
    false
}

/// True if all of it is one piece over and over, as on drives that were wiped or formatted with a pattern.
fn repeats(bytes: &[u8], sector: usize) -> bool {
    let mut period = sector;
    while period <= bytes.len() / 2 {
        if bytes[period..] == bytes[..bytes.len() - period] {
            return true;
        }
        period *= 2;
    }
    false
}

/// Whether a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Yes,
    No,
}

/// Where the drive begins anew, if everything behind a power of two is what lies that much before it.
fn wraps(target: &dyn Source, ledger: &Ledger) -> Option<u64> {
    const BLOCK: u64 = 4096;
    const PLACES: u64 = 16;
    // No drive is smaller: what repeats after less is a pattern that somebody wrote.
    const SMALLEST: u64 = 1 << 20;
    let len = ledger.len();
    let finished = |at: u64| {
        ledger.status(at) == Some(Status::Finished) && {
            let (range, fate) = ledger.at(at);
            fate.status() == Status::Finished && range.end - at >= BLOCK
        }
    };
    let read = |at: u64| {
        let mut block = vec![0; BLOCK as usize];
        target.read_at(&mut block, at).is_ok().then_some(block)
    };
    let mut size = BLOCK;
    while size < len {
        let mut same = 0;
        let mut differs = false;
        for i in 0..PLACES {
            let at = size + (len - size) / PLACES * i / BLOCK * BLOCK;
            if at + BLOCK > len || !finished(at) || !finished(at - size) {
                continue;
            }
            let (Some(there), Some(here)) = (read(at), read(at - size)) else { continue };
            if there != here {
                differs = true;
                break;
            }
            same += u64::from(there.iter().any(|b| *b != there[0]));
        }
        if !differs && same >= PLACES / 2 {
            return (size >= SMALLEST).then_some(size);
        }
        size *= 2;
    }
    None
}

#[derive(Serialize, Deserialize)]
struct Listed {
    offset: u64,
    len: u64,
    state: String,
    reason: Reason,
}

#[derive(Serialize, Deserialize)]
struct Document {
    extent_list: Vec<Listed>,
}

/// What earlier runs found suspect.
pub(super) fn load(path: &Path) -> Result<Vec<Suspect>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("cannot read what is suspect", e).in_path(path)),
    };
    let wrong = |e| Error::corrupt("is no list of what is suspect").in_path(path).because(e);
    let document: Document = serde_json::from_slice(&text).map_err(wrong)?;
    Ok(document.extent_list.into_iter().map(|l| Suspect { offset: l.offset, len: l.len, reason: l.reason }).collect())
}

/// Writes down what is suspect; no file where nothing is. It is on the medium before it gets its name: a list that is cut would hold up
/// the next run.
fn write(path: &Path, suspects: &[Suspect]) -> Result<()> {
    let failed = |e| Error::io("cannot write down what is suspect", e).in_path(path);
    if suspects.is_empty() {
        return match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed(e)),
            _ => Ok(()),
        };
    }
    let extent_list = suspects
        .iter()
        .map(|s| {
            let state = if s.reason.is_uncorrected() { "bad" } else { "data" };
            Listed { offset: s.offset, len: s.len, state: state.into(), reason: s.reason }
        })
        .collect();
    let text = serde_json::to_string_pretty(&Document { extent_list })
        .map_err(|e| Error::usage("the list has no text").because(e))?;
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let beside = std::path::PathBuf::from(name);
    let mut file = File::create(&beside).map_err(failed)?;
    file.write_all((text + "\n").as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::super::Fate;
    use super::*;
    use tintype_core::testing::Model;

    fn noise(len: usize, seed: u64) -> Vec<u8> {
        Model::noise(len, seed).bytes
    }

    fn suspicions() -> Suspicions {
        Suspicions::new(512, 0.0, None)
    }

    /// What is found when all of `image` was read.
    fn found(suspicions: Suspicions, image: &[u8]) -> Vec<(u64, u64, Reason)> {
        let mut ledger = Ledger::new(image.len() as u64);
        ledger.set(0..image.len() as u64, Fate::new(Status::Finished, 0));
        let target = tintype_core::testing::Bytes(image.to_vec());
        suspicions.finish(&ledger, &target).unwrap().iter().map(|s| (s.offset, s.len, s.reason)).collect()
    }

    #[test]
    fn ordinary_data_is_not_suspect() {
        let mut image = noise(4 << 20, 1);
        // Zeros and a filled area are ordinary.
        image[1 << 20..2 << 20].fill(0);
        image[3 << 20..].fill(0xFF);
        // And so is a pattern.
        let pattern = b"0123456789abcdef".repeat(1 << 14);
        image[3 << 20..][..1 << 18].copy_from_slice(&pattern);
        let mut one = suspicions();
        for (i, read) in image.chunks(1 << 18).enumerate() {
            one.saw(read, (i << 18) as u64);
            if i == 2 {
                one.failed();
            }
        }
        assert_eq!(found(one, &image), []);
    }

    #[test]
    fn zeros_after_a_failure_until_the_end_are_suspect() {
        let image = [noise(1 << 20, 2), vec![0; 3 << 20]].concat();
        let mut one = suspicions();
        one.saw(&image[..1 << 20], 0);
        one.failed();
        one.saw(&image[2 << 20..], 2 << 20);
        assert_eq!(found(one, &image), [(2 << 20, 2 << 20, Reason::ZerosSinceFailure)]);
    }

    #[test]
    fn zeros_where_data_is_expected_are_suspect() {
        let image = [noise(1 << 20, 3), vec![0; 3 << 20]].concat();
        let used = Domain::new(0..2_500_000, None);
        let mut one = Suspicions::new(512, 0.0, Some(used));
        for (i, read) in image.chunks(1 << 19).enumerate() {
            one.saw(read, (i << 19) as u64);
        }
        assert_eq!(found(one, &image), [(1 << 20, 2_500_000 - (1 << 20), Reason::ZerosWhereDataIs)]);
    }

    #[test]
    fn one_sector_over_and_over_is_suspect() {
        let mut image = noise(1 << 20, 4);
        let sector = image[..512].to_vec();
        image[8192..8192 + 40 * 512].copy_from_slice(&sector.repeat(40));
        let mut one = suspicions();
        one.saw(&image, 0);
        assert_eq!(found(one, &image), [(8192, 40 * 512, Reason::RepeatedSector)]);
    }

    #[test]
    fn a_buffer_that_comes_twice_is_suspect() {
        let part = noise(65536, 5);
        let image = [part.clone(), part.clone(), noise(65536, 6)].concat();
        let mut one = suspicions();
        for (i, read) in image.chunks(65536).enumerate() {
            one.saw(read, (i * 65536) as u64);
        }
        assert_eq!(found(one, &image), [(65536, 65536, Reason::SameAsBefore)]);
    }

    #[test]
    fn sampled_reads_are_compared() {
        let image = noise(200 * 4096, 7);
        let mut one = Suspicions::new(512, 0.5, None);
        let mut other = 0;
        for (i, read) in image.chunks(4096).enumerate() {
            one.saw(read, (i * 4096) as u64);
            while let Some(range) = one.due(End::No) {
                let mut again = image[range.start as usize..range.end as usize].to_vec();
                if range.start == 4096 * 99 {
                    again[7] ^= 1;
                    other += 1;
                }
                one.compared(Some(&again));
            }
        }
        while one.due(End::Yes).is_some() {
            one.compared(None);
        }
        assert_eq!((other, one.checked), (1, 100));
        // That one, and the last 32, which could not be read again.
        let all = found(one, &image);
        assert_eq!(all.first(), Some(&(4096 * 99, 4096, Reason::ReadsDiffer)));
        assert_eq!(all.len(), 33);
    }

    #[test]
    fn what_came_since_the_last_check_is_suspect() {
        let image = noise(1 << 20, 8);
        let mut one = suspicions();
        one.saw(&image[..4096], 0);
        assert_eq!(one.last_good(), Some((3584, &image[3584..4096])));
        one.checked_last_good(true);
        one.saw(&image[4096..8192], 4096);
        one.checked_last_good(false);
        assert_eq!(found(one, &image), [(4096, 4096, Reason::Unchecked)]);
    }

    #[test]
    fn a_drive_with_fewer_bytes_than_it_says_is_suspect() {
        let real = noise(4 << 20, 9);
        let image = real.repeat(3);
        assert_eq!(found(suspicions(), &image), [(4 << 20, 8 << 20, Reason::WrapsAround)]);
        assert_eq!(found(suspicions(), &noise(12 << 20, 10)), []);
    }

    #[test]
    fn what_is_suspect_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.suspect");
        assert_eq!(load(&path).unwrap(), []);
        let suspects = [Suspect { offset: 512, len: 1024, reason: Reason::ReadsDiffer }];
        write(&path, &suspects).unwrap();
        assert_eq!(load(&path).unwrap(), suspects);
        // What was read again, and what is to be read again, is suspect no longer.
        let target = tintype_core::testing::Bytes(vec![0; 4096]);
        let going_on = |ledger: &Ledger| suspicions().kept_in(&path, &load(&path).unwrap(), ledger);
        let mut ledger = Ledger::new(4096);
        ledger.set(0..4096, Fate::new(Status::Finished, 0));
        assert_eq!(going_on(&ledger).finish(&ledger, &target).unwrap(), suspects);
        let mut one = going_on(&ledger);
        one.saw(&noise(512, 11), 1024);
        let left = [Suspect { offset: 512, len: 512, reason: Reason::ReadsDiffer }];
        assert_eq!(one.finish(&ledger, &target).unwrap(), left);
        assert_eq!(load(&path).unwrap(), left);
        let untried = Ledger::new(4096);
        assert_eq!(going_on(&untried).finish(&untried, &target).unwrap(), []);
        assert!(!path.exists());
    }

    #[test]
    fn the_list_is_there_before_the_run_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.suspect");
        let image = [noise(1 << 20, 12), vec![0; 3 << 20]].concat();
        let mut ledger = Ledger::new(4 << 20);
        let used = || Some(Domain::new(0..4 << 20, None));
        let mut one = Suspicions::new(512, 0.0, used()).kept_in(&path, &[], &ledger);
        one.saw(&image[..3 << 20], 0);
        one.save(When::Now).unwrap();
        let zeros = |from, to| [Suspect { offset: from, len: to - from, reason: Reason::ZerosWhereDataIs }];
        assert_eq!(load(&path).unwrap(), zeros(1 << 20, 3 << 20));
        // Killed here. The next run goes on, and the run of zeros does.
        drop(one);
        ledger.set(0..3 << 20, Fate::new(Status::Finished, 0));
        let mut two = Suspicions::new(512, 0.0, used()).kept_in(&path, &load(&path).unwrap(), &ledger);
        two.saw(&image[3 << 20..], 3 << 20);
        ledger.set(0..4 << 20, Fate::new(Status::Finished, 0));
        let target = tintype_core::testing::Bytes(image.clone());
        assert_eq!(two.finish(&ledger, &target).unwrap(), zeros(1 << 20, 4 << 20));
        // What the drive gave without being able to read it stays until it was read, and is none of what was read.
        ledger.set(0..512, Fate::new(Status::Bad, 1));
        let mut three = suspicions().kept_in(&path, &[], &ledger);
        three.given(0..512, Reason::ReadStream);
        let given = [Suspect { offset: 0, len: 512, reason: Reason::ReadStream }];
        assert_eq!(three.finish(&ledger, &target).unwrap(), given);
        assert!(std::fs::read_to_string(&path).unwrap().contains("\"bad\""));
        let mut four = suspicions().kept_in(&path, &load(&path).unwrap(), &ledger);
        assert_eq!(four.known(), given);
        four.saw(&image[..512], 0);
        assert_eq!(four.known(), []);
    }
}
