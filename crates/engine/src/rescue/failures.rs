//! Why reads failed, and how long they took, for people.

use super::begin::Site;
use super::fate::{Causes, Fate, Took};
use super::{Status, log};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use tintype_codec::checksum::crc32;
use tintype_core::{Error, RangeMap, Result};
use tintype_device::{Failure, Why};

/// Bytes that failed for one reason, after about the same time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedFor {
    /// Of which kind the failure is: `medium`, `hardware`, `aborted`, `timed_out`, `refused`, `unknown`.
    pub failure: &'static str,
    /// What the drive said in its own numbers, or the kernel; nothing where nobody said more.
    pub said: Option<String>,
    /// How long the last read took: `quick` (below 0.1 s), `slow` (1 s), `long` (10 s), `endless`, `unknown`.
    pub took: &'static str,
    /// Bytes that are missing for it.
    pub bytes: u64,
    /// Ranges that they lie in.
    pub ranges: u64,
    /// All of it in words.
    #[serde(skip)]
    pub words: String,
}

/// What is missing in `pieces`, by reason, the most first; only what was tried.
pub(super) fn by_reason(pieces: impl Iterator<Item = (Range<u64>, Fate)>, causes: &Causes) -> Vec<FailedFor> {
    let mut sums: BTreeMap<u16, (Fate, u64, u64)> = BTreeMap::new();
    for (range, fate) in pieces.filter(|(_, fate)| failed(*fate)) {
        let key = u16::from(fate.cause().number()) << 8 | fate.took() as u16;
        let (_, bytes, ranges) = sums.entry(key).or_insert((fate, 0, 0));
        *bytes += range.end - range.start;
        *ranges += 1;
    }
    let mut all: Vec<FailedFor> = sums
        .into_values()
        .map(|(fate, bytes, ranges)| {
            let why = causes.why(fate.cause()).unwrap_or(Why::kind_of(Failure::Unknown));
            FailedFor {
                failure: why.failure.name(),
                said: why.said(),
                took: fate.took().name(),
                bytes,
                ranges,
                words: words(why, fate.took()),
            }
        })
        .collect();
    all.sort_by_key(|f| std::cmp::Reverse(f.bytes));
    all
}

/// Bytes that were read, by how long that took.
pub(super) fn by_time(pieces: impl Iterator<Item = (Range<u64>, Fate)>) -> BTreeMap<&'static str, u64> {
    let mut sums = BTreeMap::new();
    for (range, fate) in pieces.filter(|(_, fate)| fate.status() == Status::Finished) {
        *sums.entry(fate.took().name()).or_insert(0) += range.end - range.start;
    }
    sums
}

fn failed(fate: Fate) -> bool {
    fate.status() != Status::Finished && fate.tries() > 0
}

fn words(why: Why, took: Took) -> String {
    match took {
        Took::Unknown => why.to_string(),
        took => format!("{why}, {}", took.words()),
    }
}

/// A range that failed, as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedRange {
    /// Its first byte.
    pub offset: u64,
    /// Its bytes.
    pub len: u64,
    /// The status it has in the map, as the sign there.
    pub status: char,
    /// Reads of it that failed; 31 stands for all above.
    pub tries: u8,
    /// Of which kind the last failure is.
    pub failure: &'static str,
    /// What was said then.
    pub said: Option<String>,
    /// How long that read took.
    pub took: &'static str,
    /// Why it failed, in words.
    #[serde(skip)]
    pub words: String,
}

/// What the journal beside a map says of ranges that failed.
pub struct Journaled {
    fates: RangeMap<Fate>,
    causes: Causes,
    /// True if the map is what the journal says it was: nobody else has changed it.
    pub is_of_map: bool,
}

impl Journaled {
    /// Reads the journal beside the mapfile at `map`; `Usage` if there is none.
    pub fn beside(map: &Path) -> Result<Journaled> {
        let site = Site::of(map)?;
        let journal = site.journal();
        let found = log::read(&*site.outlet, &journal).map_err(|e| e.in_folder(&site.folder))?;
        let found = found.ok_or_else(|| {
            Error::usage("has no journal beside it; only that of `rescue` says why reads failed").in_path(map)
        })?;
        let is_of_map = site.text()?.is_none_or(|text| found.maps.contains(&crc32(&text)));
        Ok(Journaled { fates: found.fates, causes: found.causes, is_of_map })
    }

    /// The ranges that failed, ascending.
    pub fn failed(&self) -> impl Iterator<Item = FailedRange> + '_ {
        self.fates.iter().filter(|(_, fate)| failed(*fate)).map(|(range, fate)| {
            let why = self.causes.why(fate.cause()).unwrap_or(Why::kind_of(Failure::Unknown));
            FailedRange {
                offset: range.start,
                len: range.end - range.start,
                status: fate.status().sign(),
                tries: fate.tries(),
                failure: why.failure.name(),
                said: why.said(),
                took: fate.took().name(),
                words: words(why, fate.took()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cause;
    use super::*;
    use tintype_device::passthrough::Spoken;

    #[test]
    fn what_is_missing_is_told_by_reason() {
        let causes = Causes::new();
        let medium = causes.number(Why { spoken: Some(Spoken::Sense(3, 0x11, 0)), ..Why::kind_of(Failure::Medium) });
        let late = causes.number(Why::kind_of(Failure::TimedOut));
        let bad = Fate::new(Status::Bad, 2);
        let pieces = [
            (0..4096, Fate::new(Status::Finished, 0).after(Took::Quick, Cause::NONE)),
            (4096..4608, bad.after(Took::Long, medium)),
            (4608..5120, bad.after(Took::Endless, late)),
            (5120..8192, bad.after(Took::Long, medium)),
            (8192..9216, Fate::new(Status::NonTrimmed, 0)),
            (9216..9728, Fate::new(Status::NonScraped, 1)),
        ];
        let all = by_reason(pieces.iter().cloned(), &causes);
        let told: Vec<_> = all.iter().map(|f| (f.bytes, f.ranges, f.words.as_str())).collect();
        let want = [
            (3584, 2, "medium error (sense 3/11/00), within 10 s"),
            (512, 1, "failed"),
            (512, 1, "timed out, after 10 s and more"),
        ];
        assert_eq!(told, want);
        assert_eq!((all[0].failure, all[0].said.as_deref(), all[0].took), ("medium", Some("sense 3/11/00"), "long"));
        assert_eq!(by_time(pieces.into_iter()), BTreeMap::from([("quick", 4096)]));
    }
}
