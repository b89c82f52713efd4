//! `verify`: prove an image by its structure, its checksums and its stored digests, or against another source.

use crate::compare::{Limit, Side, compare};
use crate::open::{Medium, Opened};
use crate::pipeline::{self, Input, Job, OnCorrupt, Policy};
use crate::report::{self, Range, by_name};
use crate::walk::{lookups, runs};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tintype_codec::digest::{Algorithm, Hasher};
use tintype_core::{Checksums, Covers, Error, ExtentMap, Finding, Kind, Result, Severity, State, Watch};

/// What to verify.
pub struct Request<'a> {
    /// The image.
    pub image: &'a Opened,
    /// Another source that it has to be equal to.
    pub against: Option<&'a Opened>,
    /// Digests to compute besides the stored ones.
    pub digests: Vec<Algorithm>,
    /// Shows the work, and says when to stop.
    pub watch: Arc<dyn Watch>,
}

/// What verifying came to.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// The image.
    pub source: String,
    /// Its format.
    pub format: String,
    /// Logical bytes.
    pub size: u64,
    /// True if nothing is wrong with what was looked at.
    pub sound: bool,
    /// True only if nothing is wrong, and the bytes were proved.
    pub verified: bool,
    /// What was proved.
    pub proved: Proved,
    /// What was held against what, in words: what proves the bytes, or else only the structure.
    pub proof: Vec<String>,
    /// Computed digests.
    pub digests: BTreeMap<String, String>,
    /// Stored digests, and whether they hold.
    pub stored: Vec<StoredCheck>,
    /// Structural findings.
    pub findings: Vec<FindingEntry>,
    /// Ranges whose checksums do not hold.
    pub corrupt: Vec<CorruptRange>,
    /// Ranges that differ from `--against`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Range>,
    /// Bytes by state.
    pub extents: BTreeMap<String, u64>,
    /// Ranges the image itself says are lost.
    pub bad: Vec<Range>,
    /// Seconds it took.
    pub seconds: f64,
}

/// What a proof is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Proved {
    /// Every byte of the disk.
    Bytes,
    /// Where the bytes lie; nothing proves the bytes themselves.
    Structure,
    /// Nothing: something is wrong.
    Nothing,
}

/// A stored digest that was checked.
#[derive(Debug, Serialize)]
pub struct StoredCheck {
    /// Algorithm.
    pub algorithm: String,
    /// Where it is stored.
    pub place: String,
    /// The stored value.
    pub stored: String,
    /// The computed value.
    pub computed: String,
    /// Whether they are equal.
    pub matches: bool,
}

/// A structural finding.
#[derive(Debug, Serialize)]
pub struct FindingEntry {
    /// `warning` or `damage`.
    pub severity: &'static str,
    /// In words.
    pub what: String,
    /// The file.
    pub file: Option<String>,
    /// Where in the file.
    pub offset: Option<u64>,
    /// The logical bytes it touches.
    pub touches: Option<Range>,
}

impl From<Finding> for FindingEntry {
    fn from(finding: Finding) -> Self {
        FindingEntry {
            severity: if finding.severity == Severity::Damage { "damage" } else { "warning" },
            what: finding.what,
            file: finding.file,
            offset: finding.offset,
            touches: finding.touches.map(|(offset, len)| Range { offset, len }),
        }
    }
}

/// A range whose checksum does not hold.
#[derive(Debug, Serialize)]
pub struct CorruptRange {
    /// First logical byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// In words.
    pub what: String,
    /// What lies there, if the partition table tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
}

/// Bytes that one byte of a file may stand for: four times as many as deflate makes of it.
const MOST_PACKED: u64 = 4096;

/// The proof that there is where a format keeps books of every byte's place, but no checksums.
const STRUCTURE: &str = "its structure";

/// Verifies. Damage is a result, not an error.
pub fn run(request: &Request<'_>) -> Result<Verified> {
    let clock = Instant::now();
    let image = request.image;
    let source = &image.source;
    let mut verified = Verified {
        source: image.locator.clone(),
        format: image.format.name.to_owned(),
        size: source.len(),
        sound: true,
        verified: false,
        proved: Proved::Structure,
        proof: Vec::new(),
        digests: BTreeMap::new(),
        stored: Vec::new(),
        findings: Vec::new(),
        corrupt: Vec::new(),
        differs: Vec::new(),
        extents: BTreeMap::new(),
        bad: Vec::new(),
        seconds: 0.0,
    };
    structure(image, &mut verified)?;
    let expected = expected_digests(image, &mut verified.findings);
    if let Some(other) = request.against {
        against(image, other, &mut verified, &request.watch)?;
    }
    let whole = Arc::ptr_eq(source, &image.image.disk);
    let checksums = match image.image.checksums {
        Checksums::Every => true,
        Checksums::Whole | Checksums::Stored => whole,
        Checksums::None | Checksums::Structure => false,
    };
    if matches!(image.image.checksums, Checksums::Structure | Checksums::Stored) && whole {
        verified.proof.push(STRUCTURE.into());
    }
    if checksums {
        verified.proof.push(image.format.sums.into());
        if image.image.checksums != Checksums::Stored {
            verified.proved = Proved::Bytes;
        }
    }
    if !expected.is_empty() && whole {
        verified.proof.push("the stored digests".into());
        verified.proved = Proved::Bytes;
    }
    // Damage that was found already needs no proof.
    if verified.proof.is_empty() && verified.sound {
        if image.image.checksums == Checksums::Whole {
            let what = "the checksums of this image prove the whole disk, not a part of it; verify it without the part";
            return Err(Error::usage(what).in_path(&image.path));
        }
        return Err(Error::usage(format!(
            "nothing proves a {} image: it stores no checksum and no digest, and there is no report beside it; give --against SOURCE",
            image.format.title
        ))
        .in_path(&image.path));
    }
    // With nothing stored, what --against read is all there is to prove.
    if checksums || !expected.is_empty() || !request.digests.is_empty() {
        match !verified.sound && claims_too_much(image) {
            true => {
                let what = "the damaged tables claim far more data than the files can hold: it was not read";
                verified.findings.push(Finding::damage(what).into());
            }
            false => read_all(request, &expected, whole, &mut verified)?,
        }
    }
    if !verified.sound {
        verified.proved = Proved::Nothing;
    }
    verified.verified = verified.proved == Proved::Bytes;
    verified.seconds = clock.elapsed().as_secs_f64();
    Ok(verified)
}

/// Whether an image says that it has more data than its files can hold, however well they are compressed.
fn claims_too_much(image: &Opened) -> bool {
    if image.medium == Medium::Drive {
        return false;
    }
    let stored = image.stored();
    let mut data = 0u64;
    let walked = runs(&*image.source, lookups(stored), &mut |run| {
        if run.state == State::Data {
            data = data.saturating_add(run.len);
        }
    });
    !matches!(walked, Ok(None)) || data > stored.saturating_mul(MOST_PACKED)
}

fn structure(image: &Opened, verified: &mut Verified) -> Result<()> {
    let mut found = image.image.damage.clone();
    found.extend(image.image.warnings.iter().map(Finding::warning));
    let below = image.image.chain.iter().map(|link| (link.format, &link.request));
    for (format, request) in std::iter::once((image.format, &image.request)).chain(below) {
        let Some(check) = format.check else { continue };
        let placed = |e: Error| e.in_path(&request.entry.name).in_folder(image.folder());
        for finding in check(request).map_err(placed)? {
            // What opening told of is told once, with the weight that the check gives it; another image may say the same of itself.
            found.retain(|f| f.what != finding.what || (f.file.is_some() && f.file != finding.file));
            found.push(finding);
        }
    }
    for finding in found {
        if finding.severity == Severity::Damage {
            verified.sound = false;
        }
        verified.findings.push(finding.into());
    }
    Ok(())
}

struct Expected {
    algorithm: Algorithm,
    value: String,
    place: String,
}

/// Digests over the whole that the image, or else the report beside it, stores.
fn expected_digests(image: &Opened, findings: &mut Vec<FindingEntry>) -> Vec<Expected> {
    let mut list = Vec::new();
    for digest in &image.image.disk.facts().digests {
        if let (Ok(algorithm), Covers::Whole) = (digest.algorithm.parse::<Algorithm>(), &digest.covers) {
            list.push(Expected { algorithm, value: digest.hex(), place: "the image".into() });
        }
    }
    let beside = format!("{}.json", report::beside(&image.path));
    if let Some(report) = report::read(Path::new(&beside)) {
        if report.size != image.image.disk.len() {
            let what = format!("{beside} is about {} bytes, the image has {}", report.size, image.image.disk.len());
            findings.push(Finding::warning(what).into());
        }
        for (name, value) in report.digests {
            if let Ok(algorithm) = name.parse::<Algorithm>() {
                list.push(Expected { algorithm, value, place: beside.clone() });
            }
        }
    }
    list
}

fn read_all(request: &Request<'_>, expected: &[Expected], whole: bool, verified: &mut Verified) -> Result<()> {
    let mut algorithms: Vec<Algorithm> = request.digests.clone();
    if whole {
        algorithms.extend(expected.iter().map(|e| e.algorithm));
    }
    let mut unique: Vec<Algorithm> = Vec::new();
    for algorithm in algorithms {
        if !unique.contains(&algorithm) {
            unique.push(algorithm);
        }
    }
    let outcome = pipeline::run(Job {
        input: Input::Source(Arc::clone(&request.image.source)),
        from: 0,
        lanes: Vec::new(),
        hashers: unique.iter().map(|a| Hasher::new(*a)).collect(),
        policy: Policy { on_corrupt: OnCorrupt::Record, ..Policy::default() },
        title: "verifying".into(),
        watch: Arc::clone(&request.watch),
    });
    if let Some(error) = outcome.error {
        return Err(error.met_in(&request.image.path));
    }
    for hasher in outcome.hashers {
        let name = hasher.algorithm().name().to_owned();
        verified.digests.insert(name, hasher.finish().to_hex());
    }
    if whole {
        for item in expected {
            let computed = verified.digests.get(item.algorithm.name()).cloned().unwrap_or_default();
            let matches = computed == item.value;
            verified.sound &= matches;
            verified.stored.push(StoredCheck {
                algorithm: item.algorithm.name().to_owned(),
                place: item.place.clone(),
                stored: item.value.clone(),
                computed,
                matches,
            });
        }
    }
    let table = tintype_volumes::tables::read(&*request.image.image.disk).ok().flatten();
    for (extent, what) in outcome.corrupt {
        verified.sound = false;
        let partition = table.as_ref().and_then(|t| {
            let hit = t
                .partitions
                .iter()
                .find(|p| extent.offset < p.offset.saturating_add(p.len) && p.offset < extent.end())?;
            Some(format!("partition {}", hit.number))
        });
        verified.corrupt.push(CorruptRange { offset: extent.offset, len: extent.len, what, partition });
    }
    verified.extents = by_name(&outcome.totals);
    verified.bad = outcome.lost.iter().map(Range::from).collect();
    // What could not be read now, and is not recorded as lost in the image, is damage of the file it lies in.
    let known: ExtentMap = tintype_core::extents(&*request.image.source, 0, verified.size)
        .filter_map(|e| e.ok().filter(|e| e.state.is_lost()))
        .collect();
    for lost in outcome.lost.iter() {
        if known.get(lost.offset).is_none_or(|k| k.end() < lost.end()) {
            verified.sound = false;
            let what = "the image's own file cannot be read here".to_owned();
            verified.corrupt.push(CorruptRange { offset: lost.offset, len: lost.len, what, partition: None });
        }
    }
    Ok(())
}

fn against(image: &Opened, other: &Opened, verified: &mut Verified, watch: &Arc<dyn Watch>) -> Result<()> {
    let skip = ExtentMap::new();
    let (a, b) = (&image.source, &other.source);
    if a.len() > b.len() || (a.len() < b.len() && other.medium != Medium::Drive) {
        verified.sound = false;
        let what = format!("the image has {} bytes, {} has {}", a.len(), other.locator, b.len());
        verified.findings.push(Finding::damage(what).into());
    }
    let (left, right) = (Side { source: a, path: &image.path }, Side { source: b, path: &other.path });
    let found = match compare(left, right, &Limit { ranges: 1000, skip: &skip }, watch) {
        Ok(found) => found,
        Err(e) if e.kind() == Kind::Corrupt => {
            verified.sound = false;
            verified.findings.push(Finding { offset: e.offset(), ..Finding::damage(e.chain()) }.into());
            return Ok(());
        }
        Err(e) => return Err(e),
    };
    verified.sound &= found.differs.is_empty();
    verified.differs = found.differs.into_iter().map(Range::from).collect();
    let lost: u64 = found.lost.iter().map(|e| e.len).sum();
    if lost > 0 {
        verified.sound = false;
        let what = format!("{lost} bytes could not be compared, because one side could not be read there");
        let offset = found.lost.iter().next().map(|e| e.offset);
        verified.findings.push(Finding { offset, ..Finding::warning(what) }.into());
    }
    verified.proof.push(format!("{}, byte by byte", other.locator));
    verified.proved = Proved::Bytes;
    Ok(())
}
