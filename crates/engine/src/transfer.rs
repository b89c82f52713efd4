//! The way from an input to its targets that `image`, `convert`, `restore` and `clone` share: rebuild digests of what is
//! stored already, run the pipeline, seal, prove, give files their names.

use crate::compare::{Limit, Side, compare};
use crate::identity::SourceId;
use crate::journal::{Journal, Record};
use crate::open::{Naming, reopen_written};
use crate::pipeline::{self, Input, Job, Lane, Outcome, Policy};
use crate::report::{self, CaseData, FileEntry, Range, Report, Resumption, Verification};
use crate::target::{Files, Prepared, Spot};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tintype_codec::digest::{Algorithm, Digest, Hasher};
use tintype_core::layers::{Concat, Masked, Slice};
use tintype_core::mapfile::{Heading, Mapfile};
use tintype_core::{
    Covers, Error, Event, Extent, ExtentMap, Facts, Format, Kind, Outlet, Partial, Result, Seal, Sink, Source, State,
    Watch, extents,
};

/// What is to be moved.
pub struct Transfer {
    /// What to show.
    pub title: String,
    /// Where bytes come from.
    pub input: Input,
    /// What it is.
    pub source: SourceId,
    /// Its path, for errors.
    pub path: PathBuf,
    /// What is known about the medium and the case.
    pub facts: Facts,
    /// Where bytes go; at least one.
    pub targets: Vec<Prepared>,
    /// Digests to compute.
    pub digests: Vec<Algorithm>,
    /// Digests that the source stores of exactly these bytes: those that are computed are compared.
    pub stored: Vec<(Algorithm, String)>,
    /// What to do when a read fails.
    pub policy: Policy,
    /// What stands for lost bytes, in words.
    pub fill: String,
    /// Whether what was written is read back.
    pub proof: Proof,
    /// The command line, for the report.
    pub command: Vec<String>,
    /// What decides how the images look.
    pub request: Vec<serde_json::Value>,
    /// Where reports go: one for each target, none for no report.
    pub reports: Vec<Option<report::Place>>,
    /// Things to note in every report.
    pub notes: Vec<String>,
    /// Says at the end whether the source changed while it was read.
    pub changed: Box<dyn Fn() -> Option<String>>,
    /// Shows the work, and says when to stop.
    pub watch: Arc<dyn Watch>,
}

/// Whether what was written is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It is not.
    None,
    /// It is, past the page cache.
    ReadBack,
}

/// What a transfer came to.
pub struct Done {
    /// One report for each target that was finished.
    pub reports: Vec<Report>,
    /// What went wrong with the others.
    pub failed: Vec<(String, Error)>,
    /// Digests that the source stores and that its bytes do not have, one sentence each.
    pub mismatches: Vec<String>,
}

/// The digests that an image stores of exactly the bytes that are read from it.
pub fn stored_digests(opened: &crate::open::Opened) -> Vec<(Algorithm, String)> {
    // A part of an image is not what its digests cover.
    if !Arc::ptr_eq(&opened.source, &opened.image.disk) {
        return Vec::new();
    }
    let digests = opened.source.facts().digests.iter().filter(|d| d.covers == Covers::Whole);
    digests.filter_map(|d| Some((d.algorithm.parse().ok()?, d.hex()))).collect()
}

/// Moves everything. An error means that no target was finished; what is unfinished can be gone on with.
pub fn run(transfer: Transfer) -> Result<Done> {
    let clock = Instant::now();
    let started = report::now();
    let Transfer {
        title,
        input,
        source,
        path,
        facts,
        targets,
        digests,
        stored,
        policy,
        fill,
        proof,
        command,
        request,
        reports,
        notes,
        changed,
        watch,
    } = transfer;
    let from = targets.iter().map(|t| t.from).min().unwrap_or(0);
    let proof_digests = match (proof, digests.is_empty()) {
        // Something has to be compared.
        (Proof::ReadBack, true) => vec![Algorithm::Blake3],
        _ => digests,
    };
    let mut earlier = Totals::default();
    let mut hashers: Vec<Hasher> = proof_digests.iter().map(|a| Hasher::new(*a)).collect();
    if from > 0 {
        let fullest = targets.iter().max_by_key(|t| t.from).filter(|t| t.from > 0);
        let holder = fullest.ok_or_else(|| Error::corrupt("nothing is stored of what was said to be stored"))?;
        earlier = Totals::of(&input, from, &holder.lost)?;
        if !hashers.is_empty() {
            hashers = digest_stored(holder, from, hashers, &watch)?;
        }
    }
    let carried = Carried::of(&input);
    let random_access = match &input {
        Input::Source(source) => Some(Arc::clone(source)),
        Input::Stream(..) => None,
    };
    let input = spare(input, &targets)?;

    let mut lanes = Vec::new();
    let mut keep = Vec::new();
    for target in targets {
        let Prepared { name, format, sink, from, stored: _, lost: _, resumptions, journal, place } = target;
        let journaling = journal.clone().map(|j| Box::new(j) as Box<dyn pipeline::Journaling>);
        lanes.push(Lane { name: name.clone(), sink, from, journal: journaling });
        keep.push(Kept { name, format, resumptions, journal, place });
    }
    let outcome = pipeline::run(Job { input, from, lanes, hashers, policy, title, watch: Arc::clone(&watch) });
    let Outcome { len, hashers, totals, lost, lanes, error, .. } = outcome;
    if let Some(error) = error {
        return Err(unfinished(error.met_in(&path), &keep));
    }
    let digests: Vec<(Algorithm, Digest)> = hashers.into_iter().map(|h| (h.algorithm(), h.finish())).collect();
    let totals = earlier.with(totals, &lost);
    let seal = Seal {
        len,
        digests: digests.iter().map(|(a, d)| (a.name().to_owned(), d.as_bytes().to_vec())).collect(),
        lost: totals.lost.iter().collect(),
    };
    let names: BTreeMap<String, String> = digests.iter().map(|(a, d)| (a.name().to_owned(), d.to_hex())).collect();
    let facts_case = CaseData::of(&facts);
    let mismatches: Vec<String> = stored
        .iter()
        .filter_map(|(algorithm, value)| {
            let computed = names.get(algorithm.name()).filter(|computed| *computed != value)?;
            Some(format!("the source stores {algorithm} {value}, but its bytes have {computed}: it is damaged"))
        })
        .collect();
    for mismatch in &mismatches {
        watch.event(&Event::Warning(mismatch.clone()));
    }
    let changed = changed();
    if let Some(change) = &changed {
        watch.event(&Event::Warning(change.clone()));
    }
    let notes: Vec<String> = notes.into_iter().chain(mismatches.clone()).chain(changed).collect();
    let mut done = Done { reports: Vec::new(), failed: Vec::new(), mismatches };
    for (i, (lane, kept)) in lanes.into_iter().zip(keep).enumerate() {
        let place = reports.get(i).and_then(Option::as_ref);
        let begin = Report {
            program: report::program(),
            command: command.clone(),
            host: report::host(),
            started: started.clone(),
            ended: String::new(),
            seconds: 0.0,
            source: source.clone(),
            case: facts_case.clone(),
            target: kept.name.clone(),
            format: kept.format.to_owned(),
            files: Vec::new(),
            size: len,
            written: 0,
            digests: names.clone(),
            digests_cover: report::coverage(len, totals.lost.iter().map(|e| e.len).sum(), &fill),
            extents: report::by_name(&totals.bytes),
            bad: totals.ranges(State::Bad),
            unread: totals.ranges(State::Unread),
            newly_lost: carried.beyond(&totals.lost),
            resumptions: kept.resumptions.iter().cloned().map(Resumption::from).collect(),
            notes: notes.clone(),
            verification: None,
            request: request.get(i).cloned().unwrap_or_default(),
        };
        let (name, folder) = (kept.name.clone(), kept.folder());
        let proved = Proved {
            proof,
            digests: &digests,
            source: random_access.as_ref().map(|s| Side { source: s, path: &path }),
            lost: &totals.lost,
            watch: &watch,
        };
        let finished = lane
            .sink
            .and_then(|sink| finish(sink, kept, &seal, begin, &proved, place, &clock))
            .map_err(|e| add_place(e, &name).in_folder(&folder));
        match finished {
            Ok(report) => done.reports.push(report),
            Err(e) => done.failed.push((name, e)),
        }
    }
    if done.reports.is_empty()
        && let Some((_, error)) = done.failed.pop()
    {
        return Err(error);
    }
    Ok(done)
}

/// The source, to ask it which ranges it itself calls lost.
struct Carried(Option<Arc<dyn Source>>);

impl Carried {
    fn of(input: &Input) -> Self {
        match input {
            Input::Source(source) => Carried(Some(Arc::clone(source))),
            Input::Stream(..) => Carried(None),
        }
    }

    /// Bytes of `lost` that the source did not call lost.
    fn beyond(&self, lost: &ExtentMap) -> u64 {
        let known = |e: &Extent| -> u64 {
            let found = self.0.iter().flat_map(|source| extents(&**source, e.offset, e.end()));
            found.map_while(|k| k.ok()).filter(|k| k.state.is_lost()).map(|k| k.len).sum()
        };
        lost.iter().map(|e| e.len - known(&e).min(e.len)).sum()
    }
}

/// The input, but what one target has stored already comes from there: it is not read from the source again, and targets
/// that lag behind become the same.
fn spare(input: Input, targets: &[Prepared]) -> Result<Input> {
    let Input::Source(source) = input else { return Ok(input) };
    let Some(fullest) = targets.iter().max_by_key(|t| t.from) else { return Ok(Input::Source(source)) };
    let lowest = targets.iter().map(|t| t.from).min().unwrap_or(0);
    let (Some(stored), true) = (&fullest.stored, fullest.from > lowest) else { return Ok(Input::Source(source)) };
    let lost: ExtentMap = fullest.lost.iter().copied().collect();
    let known: Arc<dyn Source> = Arc::new(Masked::new(Arc::clone(stored), lost));
    let before: Arc<dyn Source> = Arc::new(Slice::new(known, 0, fullest.from)?);
    let after: Arc<dyn Source> = Arc::new(Slice::new(Arc::clone(&source), fullest.from, source.len() - fullest.from)?);
    Ok(Input::Source(Arc::new(Concat::new([before, after])?)))
}

/// What is left of a target while its sink is in the pipeline.
struct Kept {
    name: String,
    format: &'static str,
    resumptions: Vec<(String, u64)>,
    journal: Option<Journal>,
    place: Spot,
}

impl Kept {
    /// Where its files are found; empty where it has none.
    fn folder(&self) -> PathBuf {
        match &self.place {
            Spot::Files(files) => files.folder.clone(),
            Spot::Disk { .. } | Spot::Stream => PathBuf::new(),
        }
    }
}

/// Adds the path of a target to an error that does not say where it happened.
fn add_place(error: Error, name: &str) -> Error {
    if name == "-" { error } else { error.in_path(name) }
}

/// Says what is kept of a run that did not come to its end.
fn unfinished(error: Error, keep: &[Kept]) -> Error {
    let kept: Vec<_> = keep.iter().filter(|k| k.journal.is_some()).map(|k| k.name.as_str()).collect();
    if kept.is_empty() {
        return error;
    }
    error.advising(format!("what was read is kept for {}, and the same command goes on from there", kept.join(" and ")))
}

#[derive(Default)]
struct Totals {
    bytes: BTreeMap<State, u64>,
    lost: ExtentMap,
}

impl Totals {
    /// What an earlier run made of everything before `to`.
    fn of(input: &Input, to: u64, lost: &[Extent]) -> Result<Self> {
        let mut totals = Totals { bytes: BTreeMap::new(), lost: lost.iter().filter_map(|e| e.clip(0, to)).collect() };
        if let Input::Source(source) = input {
            let masked = Masked::new(Arc::clone(source), totals.lost.clone());
            for extent in extents(&masked, 0, to) {
                let extent = extent?;
                *totals.bytes.entry(extent.state).or_default() += extent.len;
            }
        }
        Ok(totals)
    }

    fn ranges(&self, state: State) -> Vec<Range> {
        self.lost.iter().filter(|e| e.state == state).map(Range::from).collect()
    }

    fn with(mut self, bytes: BTreeMap<State, u64>, lost: &ExtentMap) -> Self {
        for (state, len) in bytes {
            *self.bytes.entry(state).or_default() += len;
        }
        for extent in lost.iter() {
            self.lost.set(extent);
        }
        self
    }
}

/// Computes digests of what an interrupted run has stored: the source is not read for it.
fn digest_stored(target: &Prepared, to: u64, hashers: Vec<Hasher>, watch: &Arc<dyn Watch>) -> Result<Vec<Hasher>> {
    let stored = target.stored.as_ref().ok_or_else(|| Error::corrupt("what is stored cannot be read back"))?;
    let outcome = pipeline::run(Job {
        input: Input::Source(Arc::new(Slice::new(Arc::clone(stored), 0, to)?)),
        from: 0,
        lanes: Vec::new(),
        hashers,
        policy: Policy::default(),
        title: "reading what is stored already".into(),
        watch: Arc::clone(watch),
    });
    match outcome.error {
        None => {
            let known: ExtentMap = target.lost.iter().copied().collect();
            let covered = |e: &Extent| known.within(e.offset, e.end()).map(|k| k.len).sum::<u64>() >= e.len;
            match outcome.lost.iter().find(|e| !covered(e)) {
                None => Ok(outcome.hashers),
                Some(lost) => {
                    let error = Error::new(Kind::Io, "what is stored of the image cannot be read back").at(lost.offset);
                    Err(add_place(error, &target.name))
                }
            }
        }
        Some(e) if e.kind() == Kind::Cancelled => Err(e),
        Some(e) => Err(add_place(e, &target.name)),
    }
}

struct Proved<'a> {
    proof: Proof,
    digests: &'a [(Algorithm, Digest)],
    source: Option<Side<'a>>,
    lost: &'a ExtentMap,
    watch: &'a Arc<dyn Watch>,
}

fn finish(
    sink: Box<dyn Sink>,
    kept: Kept,
    seal: &Seal,
    mut report: Report,
    proved: &Proved<'_>,
    report_place: Option<&report::Place>,
    clock: &Instant,
) -> Result<Report> {
    let written = sink.finish(seal).map_err(|e| add_place(e, &kept.name))?;
    report.written = written.bytes;
    report.notes.extend(written.notes);
    let Kept { name, journal, place, .. } = kept;
    match place {
        Spot::Stream => {}
        Spot::Disk { path, state, lock } => {
            if proved.proof == Proof::ReadBack {
                let disk = uncached(&path)?;
                let image: Arc<dyn Source> = Arc::new(Slice::new(disk, 0, seal.len)?);
                report.verification = Some(prove(image, &name, proved)?);
            }
            drop(journal);
            match std::fs::remove_file(&state) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("cannot remove the journal", e).in_path(&state));
                }
                _ => {}
            }
            drop(lock);
        }
        Spot::Files(files) => {
            for file in &written.files {
                let made = files.outlet.reopen(&format!("{file}{}", tintype_core::PARTIAL))?;
                report.files.push(FileEntry { name: file.clone(), size: made.len()? });
            }
            if proved.proof == Proof::ReadBack {
                let (image, _) =
                    reopen_written(&files.folder, &written.files, files.format, Naming::Partial, proved.watch)
                        .map_err(|e| e.in_path(&name))?;
                let verification = prove(as_written(image.disk, seal.len)?, &name, proved)?;
                let matches = verification.matches;
                report.verification = Some(verification);
                if !matches {
                    // It keeps its partial name: nothing that is known to be wrong may look whole, or be gone on with.
                    if let Some(mut journal) = journal {
                        journal.add(&Record::Rejected)?;
                    }
                    seconds(&mut report, clock);
                    if let Some(place) = report_place {
                        report.write(place)?;
                    }
                    return Ok(report);
                }
            }
            // Also beside formats that record losses themselves: it tells failed sectors from untried ones, has no bound
            // of 2 TiB, and every recovery tool reads it.
            let map = (!proved.lost.is_empty()).then(|| {
                let lost: Vec<Extent> = proved.lost.iter().collect();
                Mapfile::of_losses(seal.len, &lost).text(&Heading::of(report::program()))
            });
            seconds(&mut report, clock);
            commit(files, journal, &written.files, map, &mut report, report_place)?;
        }
    }
    seconds(&mut report, clock);
    Ok(report)
}

fn seconds(report: &mut Report, clock: &Instant) {
    report.ended = report::now();
    report.seconds = clock.elapsed().as_secs_f64();
}

/// Gives the files of a whole image their names; from the first step on a crash only means that the rest is done by the
/// next run.
fn commit(
    files: Files,
    journal: Option<Journal>,
    names: &[String],
    map: Option<String>,
    report: &mut Report,
    place: Option<&report::Place>,
) -> Result<()> {
    let Files { outlet, name, replaces, lock, .. } = files;
    if let Some(map) = map {
        let map_name = write_map(&*outlet, &name, &map)?;
        report.notes.push(format!("what could not be read is listed in {map_name}, a ddrescue mapfile"));
    }
    if let Some(mut journal) = journal {
        let value =
            serde_json::to_value(&*report).map_err(|e| Error::usage("the report has no JSON form").because(e))?;
        journal.add(&Record::Sealed { files: names.to_vec(), replaces: replaces.clone(), report: value })?;
    }
    name_files(&*outlet, Names { files: names, replaces: &replaces, first: &name }, report, place)?;
    drop(lock);
    Ok(())
}

/// Writes the map of lost ranges beside the image, under a name that nobody else uses.
fn write_map(outlet: &dyn Outlet, name: &str, map: &str) -> Result<String> {
    let mut free = format!("{name}.map");
    let mut count = 1;
    while outlet.exists(&free)? {
        count += 1;
        free = format!("{name}.{count}.map");
    }
    let file = outlet.create(&free)?;
    file.write_at(map.as_bytes(), 0)?;
    file.sync()?;
    Ok(free)
}

/// The names in a commit.
pub(crate) struct Names<'a> {
    /// The final names.
    pub files: &'a [String],
    /// Files of an older image that go away.
    pub replaces: &'a [String],
    /// The name that journal and report go by.
    pub first: &'a str,
}

/// The last steps of a commit, which a run that was cut short in them repeats.
pub(crate) fn name_files(
    outlet: &dyn Outlet,
    names: Names<'_>,
    report: &Report,
    place: Option<&report::Place>,
) -> Result<()> {
    for old in names.replaces.iter().filter(|old| !names.files.contains(old)) {
        if outlet.exists(old)? {
            outlet.remove(old)?;
        }
    }
    Partial::commit(outlet, names.files, names.replaces)?;
    if let Some(place) = place {
        report.write(place)?;
    }
    let journal = format!("{}{}", names.first, crate::journal::JOURNAL);
    if outlet.exists(&journal)? {
        outlet.remove(&journal)?;
        outlet.sync()?;
    }
    Ok(())
}

fn uncached(path: &Path) -> Result<Arc<dyn Source>> {
    Ok(match crate::open::medium_of(path)? {
        crate::open::Medium::Drive => Arc::new(tintype_device::block::open(path)?),
        _ => Arc::new(tintype_device::file::Uncached::open(path)?),
    })
}

/// The bytes of an image that were written to it. Formats that count in sectors, or in larger pieces, add zeros to the end: they are
/// read here. `Corrupt` if there is anything else.
fn as_written(image: Arc<dyn Source>, len: u64) -> Result<Arc<dyn Source>> {
    const STEP: u64 = 64 << 10;
    if image.len() <= len {
        return Ok(image);
    }
    for extent in extents(&*image, len, image.len()) {
        let extent = extent?;
        let mut at = extent.offset;
        while at < extent.end() && !extent.state.reads_zero() {
            let mut bytes = vec![0; STEP.min(extent.end() - at) as usize];
            image.read_at(&mut bytes, at)?;
            if !pipeline::is_zero(&bytes) {
                return Err(Error::corrupt("what was added at the end of the image are no zeros").at(at));
            }
            at += bytes.len() as u64;
        }
    }
    Ok(Arc::new(Slice::new(image, 0, len)?))
}

/// Reads an image back and compares its digests; where they differ, names the first ranges if the source can be read again.
fn prove(image: Arc<dyn Source>, name: &str, proved: &Proved<'_>) -> Result<Verification> {
    let outcome = pipeline::run(Job {
        input: Input::Source(Arc::clone(&image)),
        from: 0,
        lanes: Vec::new(),
        hashers: proved.digests.iter().map(|(a, _)| Hasher::new(*a)).collect(),
        policy: Policy { on_corrupt: pipeline::OnCorrupt::Record, ..Policy::default() },
        title: "reading back what was written".into(),
        watch: Arc::clone(proved.watch),
    });
    if let Some(error) = outcome.error {
        return Err(error.met_in(name));
    }
    let found: Vec<(Algorithm, Digest)> = outcome.hashers.into_iter().map(|h| (h.algorithm(), h.finish())).collect();
    // What cannot be read back is no match, whatever stands for it.
    let unread: Vec<Extent> = outcome
        .lost
        .iter()
        .filter(|e| proved.lost.within(e.offset, e.end()).map(|k| k.len).sum::<u64>() < e.len)
        .collect();
    let matches = found == proved.digests && outcome.corrupt.is_empty() && unread.is_empty();
    let mut differs: Vec<Range> = outcome.corrupt.iter().map(|(e, _)| Range::from(*e)).collect();
    differs.extend(unread.into_iter().map(Range::from));
    if !matches {
        proved.watch.event(&Event::Warning("what was read back is not what was written".into()));
        if let Some(source) = proved.source
            && differs.is_empty()
        {
            let limit = Limit { ranges: 16, skip: proved.lost };
            let written = Side { source: &image, path: Path::new(name) };
            differs = compare(source, written, &limit, proved.watch)?.differs.into_iter().map(Range::from).collect();
        }
    }
    Ok(Verification {
        matches,
        method: "the written image was read back past the page cache and its digests compared".into(),
        digests: found.iter().map(|(a, d)| (a.name().to_owned(), d.to_hex())).collect(),
        differs,
    })
}

/// Proves an image that was finished before, by the digests in its report, and writes the result into the report.
pub(crate) fn prove_finished(
    report: &mut Report,
    format: &'static Format,
    place: Option<&report::Place>,
    watch: &Arc<dyn Watch>,
) -> Result<()> {
    let digests: Vec<(Algorithm, Digest)> = report
        .digests
        .iter()
        .filter_map(|(name, value)| Some((name.parse().ok()?, Digest::from_hex(value)?)))
        .collect();
    if digests.is_empty() {
        let what = "was finished before without a digest, so nothing can prove it now; use verify --against";
        return Err(Error::usage(what).in_path(&report.target));
    }
    let folder = Path::new(&report.target).parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names: Vec<String> = report.files.iter().map(|f| f.name.clone()).collect();
    let lost: ExtentMap =
        report.bad.iter().chain(&report.unread).map(|r| Extent::new(r.offset, r.len, State::Bad)).collect();
    let proved = Proved { proof: Proof::ReadBack, digests: &digests, source: None, lost: &lost, watch };
    report.verification = Some(match reopen_written(folder, &names, format, Naming::Final, watch) {
        Ok((image, _)) => prove(as_written(image.disk, report.size)?, &report.target, &proved)?,
        // An image that its own reader rejects does not match; that is what was asked for, and no failure.
        Err(e) if e.kind() == Kind::Corrupt => {
            let what = e.in_path(&report.target).in_folder(folder).chain();
            watch.event(&Event::Warning(what.clone()));
            Verification {
                matches: false,
                method: format!("the image was opened to be read back, and is damaged: {what}"),
                digests: BTreeMap::new(),
                differs: Vec::new(),
            }
        }
        Err(e) => return Err(e.in_path(&report.target).in_folder(folder)),
    });
    match place {
        Some(place) => report.write(place),
        None => Ok(()),
    }
}
