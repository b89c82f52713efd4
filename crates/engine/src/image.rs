//! `image` and `convert`: a source into one or several new images, in one read.

use crate::identity::SourceId;
use crate::open::Opened;
use crate::pipeline::{Input, Policy, Replace};
use crate::report::{Report, now};
use crate::target::{self, Again, Begun, Content, Overwrite, Prepared, Progress, Standing, Wish};
use crate::transfer::{self, Names, Proof, Transfer};
use crate::walk::{LOOKUPS, runs};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tintype_codec::digest::Algorithm;
use tintype_core::{Error, Event, Facts, Format, Place, Result, Shape, Source, State, Watch};

/// What to image.
pub struct Request {
    /// `image` or `convert`.
    pub verb: &'static str,
    /// What is read.
    pub from: From,
    /// Case data and whatever else goes into the image, over what the source knows.
    pub facts: Facts,
    /// The images; at least one.
    pub targets: Vec<Wish>,
    /// What happens to files that are in the way.
    pub overwrite: Overwrite,
    /// Digests to compute; `None`: what the targets store, else SHA-256.
    pub digests: Option<Vec<Algorithm>>,
    /// What to do when a read fails.
    pub policy: Policy,
    /// The fill, in words.
    pub fill: String,
    /// Whether what was written is read back.
    pub proof: Proof,
    /// Where reports go.
    pub reports: Reports,
    /// Only say what would be done.
    pub run: Run,
    /// The command line, for the report.
    pub command: Vec<String>,
    /// Shows the work, and says when to stop.
    pub watch: Arc<dyn Watch>,
}

/// Whether to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Do it.
    Real,
    /// Say what would be done.
    Dry,
}

/// Where acquisition reports go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reports {
    /// Beside each image.
    Beside,
    /// One, under this name, with `.json` and `.txt`.
    Prefix(String),
    /// Nowhere.
    None,
}

impl Reports {
    fn prefix(&self, wish: &Wish, index: usize) -> Option<String> {
        match self {
            Reports::Beside if wish.locator == "-" => None,
            Reports::Beside => Some(crate::report::beside(Path::new(&wish.locator))),
            Reports::Prefix(prefix) if index == 0 => Some(prefix.clone()),
            Reports::Prefix(prefix) => Some(format!("{prefix}.{}", index + 1)),
            Reports::None => None,
        }
    }
}

/// What is read.
pub enum From {
    /// Something with positions.
    Opened(Box<Opened>),
    /// A stream, and its length if it was promised.
    Stream(Box<dyn std::io::Read + Send>, Option<u64>),
}

/// What imaging came to.
pub struct Imaged {
    /// A report for every image that is whole, in the order given where all are.
    pub reports: Vec<Report>,
    /// Images that the same command had finished before.
    pub already: Vec<String>,
    /// Whether those were read back now.
    pub proof: Proof,
    /// Images that failed while others went on.
    pub failed: Vec<(String, Error)>,
    /// Digests that the source stores and that its bytes do not have, one sentence each.
    pub mismatches: Vec<String>,
    /// What would be done, for a dry run.
    pub plan: Vec<String>,
}

/// Images.
pub fn run(request: Request) -> Result<Imaged> {
    let Request { verb, from, facts, targets, overwrite, digests, policy, fill, proof, reports, run, command, watch } =
        request;
    let (id, len, shape, source) = match &from {
        From::Opened(opened) => (opened.id(), Some(opened.source.len()), opened.source.shape(), Some(&**opened)),
        From::Stream(_, len) => {
            let id =
                SourceId { locator: "-".into(), size: *len, sector: 512, physical_sector: 512, ..SourceId::default() };
            (id, *len, Shape::default(), None)
        }
    };
    let formats = targets.iter().map(target::format_of).collect::<Result<Vec<_>>>()?;
    let digests = digests.unwrap_or_else(|| default_digests(&formats));
    let names: Vec<String> = digests.iter().map(|a| a.name().to_owned()).collect();
    let facts = match source {
        Some(opened) => over(opened.source.facts().clone(), &facts),
        None => facts,
    };
    let content = Content {
        verb,
        source: &id,
        len,
        shape,
        facts: &facts,
        digests: &names,
        request: serde_json::json!({ "fill": policy.fill, "replace": policy.replace_stored == Replace::Replace }),
        bytes: source.map(|o| &o.source),
        again: if source.is_some() { Again::Possible } else { Again::Never },
    };
    let mut notes = Vec::new();
    for (i, (wish, format)) in targets.iter().zip(&formats).enumerate() {
        if let Place::Path(path) = tintype_core::Locator::parse(&wish.locator)?.place {
            target::check_name(&path, format, reports.prefix(wish, i).as_deref())?;
        }
        if let Some(opened) = source {
            notes.extend(guard(opened, wish)?);
        }
        notes.extend(losses(format, source.map(|o| &*o.source), &facts, verb)?);
        notes.extend(target::losses(wish, &content)?);
        notes.extend(unstored(format, &names));
    }
    if source.is_none() && targets.iter().any(|t| t.locator != "-") {
        watch.event(&Event::Note(
            "standard input cannot be read again: an interrupted image starts from the beginning".into(),
        ));
    }
    // What is odd or wrong about the source goes into the copy, where nobody sees it any more.
    notes.extend(source.iter().flat_map(|opened| opened.image.notes()));
    for note in &notes {
        watch.event(&Event::Warning(note.clone()));
    }
    // Everything that can be refused is refused here, before anything is made: a dry run ends with it.
    let mut standing = Vec::new();
    for (i, wish) in targets.iter().enumerate() {
        standing.push(target::look(wish, &content, overwrite, reports.prefix(wish, i))?);
    }
    refuse_same(&standing)?;
    if run == Run::Dry {
        let size = len.map_or_else(|| "all".to_owned(), |l| l.to_string());
        let plan = targets.iter().zip(&formats).zip(&standing).map(|((wish, format), standing)| {
            let work = format!("{verb} {size} bytes of {} to {} as {}", id.locator, wish.locator, format.title);
            match standing.progress() {
                Progress::New => work,
                Progress::GoesOn => format!("go on to {work}"),
                Progress::Finished(at) => {
                    format!("leave {} as it is: the same command has finished it before, on {at}", wish.locator)
                }
            }
        });
        let plan = plan.collect();
        return Ok(Imaged {
            reports: Vec::new(),
            already: Vec::new(),
            proof,
            failed: Vec::new(),
            mismatches: Vec::new(),
            plan,
        });
    }

    let mut imaged = Imaged {
        reports: Vec::new(),
        already: Vec::new(),
        proof,
        failed: Vec::new(),
        mismatches: Vec::new(),
        plan: Vec::new(),
    };
    let mut prepared: Vec<Prepared> = Vec::new();
    let mut places = Vec::new();
    let mut requests = Vec::new();
    for ((wish, format), standing) in targets.iter().zip(&formats).zip(standing) {
        let place = standing.report.clone();
        let begun = match standing.begin(&content) {
            Ok(begun) => begun,
            Err(e) => {
                for target in prepared {
                    target.withdraw()?;
                }
                return Err(e);
            }
        };
        match begun {
            Begun::Ready(target) => {
                if target.from > 0 {
                    watch.event(&Event::Note(format!("{}: going on from offset {}", target.name, target.from)));
                }
                requests.push(target::request(&content, wish, format));
                prepared.push(*target);
                places.push(place);
            }
            Begun::Sealed { files, replaces, mut report, outlet, name, lock } => {
                report.ended = now();
                let names = Names { files: &files, replaces: &replaces, first: &name };
                transfer::name_files(&*outlet, names, &report, place.as_ref())?;
                drop(lock);
                if proof == Proof::ReadBack && report.verification.is_none() {
                    transfer::prove_finished(&mut report, format, place.as_ref(), &watch)?;
                }
                imaged.reports.push(*report);
            }
            Begun::Finished(mut report) => {
                imaged.already.push(report.target.clone());
                if proof == Proof::ReadBack {
                    transfer::prove_finished(&mut report, format, place.as_ref(), &watch)?;
                }
                imaged.reports.push(*report);
            }
        }
    }
    if prepared.is_empty() {
        return Ok(imaged);
    }
    let stored = source.map(transfer::stored_digests).unwrap_or_default();
    let path = source.map_or_else(|| PathBuf::from("-"), |opened| opened.path.clone());
    let (input, changed): (Input, Box<dyn Fn() -> Option<String>>) = match from {
        From::Opened(opened) => {
            let bytes = Arc::clone(&opened.source);
            let stamp = id.stamp.clone();
            let changed = move || {
                let what = "was changed while it was read: the image is of no one moment";
                (opened.stamp() != stamp).then(|| format!("{} {what}", opened.path.display()))
            };
            (Input::Source(bytes), Box::new(changed))
        }
        From::Stream(stream, len) => (Input::Stream(stream, len), Box::new(|| None)),
    };
    let done = transfer::run(Transfer {
        title: match verb {
            "convert" => "converting".into(),
            _ => "imaging".into(),
        },
        input,
        source: id.clone(),
        path,
        facts,
        targets: prepared,
        digests,
        stored,
        policy,
        fill,
        proof,
        command,
        request: requests,
        reports: places,
        notes,
        changed,
        watch: Arc::clone(&watch),
    })?;
    imaged.reports.extend(done.reports);
    imaged.failed = done.failed;
    imaged.mismatches = done.mismatches;
    Ok(imaged)
}

/// What the targets store, else SHA-256.
fn default_digests(formats: &[&Format]) -> Vec<Algorithm> {
    let mut list: Vec<Algorithm> = Vec::new();
    for format in formats {
        let stored: Vec<Algorithm> = format.caps.digests.iter().filter_map(|d| d.parse().ok()).collect();
        let wanted = if stored.is_empty() { vec![Algorithm::Sha256] } else { stored };
        for algorithm in wanted {
            if !list.contains(&algorithm) {
                list.push(algorithm);
            }
        }
    }
    list
}

/// Facts of the source, with what the person gave on top.
fn over(mut facts: Facts, given: &Facts) -> Facts {
    let pairs = [
        (&mut facts.case.case, &given.case.case),
        (&mut facts.case.evidence, &given.case.evidence),
        (&mut facts.case.examiner, &given.case.examiner),
        (&mut facts.case.description, &given.case.description),
        (&mut facts.case.notes, &given.case.notes),
    ];
    for (old, new) in pairs {
        if !new.is_empty() {
            old.clone_from(new);
        }
    }
    facts
}

/// Refuses targets that would be written into each other, or whose reports would.
fn refuse_same(standing: &[Standing]) -> Result<()> {
    for (i, one) in standing.iter().enumerate() {
        for other in &standing[..i] {
            if let (Some(a), Some(b)) = (one.path(), other.path())
                && a == b
            {
                return Err(Error::usage("is named twice as a target").in_path(a));
            }
            if let (Some(a), Some(b)) = (&one.report, &other.report)
                && a.prefix == b.prefix
            {
                let what = "would be the report of two images; choose other names, or give --report";
                return Err(Error::usage(what).in_path(format!("{}.json", a.prefix)));
            }
        }
    }
    let streams = standing.iter().filter(|s| s.path().is_none()).count();
    if streams > 1 { Err(Error::usage("standard output is named twice as a target")) } else { Ok(()) }
}

/// Refuses a target that is the source, or one of its files, or lies on the drive that is read.
fn guard(opened: &Opened, wish: &Wish) -> Result<Vec<String>> {
    let locator = tintype_core::Locator::parse(&wish.locator)?;
    let Place::Path(path) = &locator.place else { return Ok(Vec::new()) };
    if opened.reads(path) {
        return Err(Error::denied("is the source itself; choose another name").in_path(path));
    }
    // Two files on one drive are nothing to warn of; a drive and a file on it are.
    if opened.medium != crate::open::Medium::Drive {
        return Ok(Vec::new());
    }
    let request = tintype_device::guard::Request { sources: vec![opened.path.clone()] };
    let warnings = tintype_device::guard::check_target(path, &request)?;
    Ok(warnings.iter().map(ToString::to_string).collect())
}

/// What the image will not keep of what the source has, one sentence each.
fn losses(format: &Format, source: Option<&dyn Source>, facts: &Facts, verb: &str) -> Result<Vec<String>> {
    let mut list = Vec::new();
    let carries = format.caps.states;
    let mut has: BTreeMap<State, u64> = BTreeMap::new();
    if let Some(source) = source {
        let stopped = runs(source, LOOKUPS, &mut |run| *has.entry(run.state).or_default() += run.len)?;
        list.extend(stopped.map(|at| {
            format!("the map of the source has very many parts: what is lost in it from byte {at} on is not known before it is read")
        }));
    }
    for (state, len) in &has {
        if state.is_lost() && !carries.has(*state) {
            list.push(format!(
                "{} images cannot say which {len} bytes are {state}: a mapfile beside the image will",
                format.title
            ));
        }
        if *state == State::Unused && !carries.has(State::Unused) {
            list.push(format!("{} images cannot say which {len} bytes are unused: they become zeros", format.title));
        }
    }
    let case = &facts.case;
    let given =
        [&case.case, &case.evidence, &case.examiner, &case.description, &case.notes].iter().any(|v| !v.is_empty());
    if given && !format.caps.case {
        let where_to = if verb == "image" { "it goes into the report only" } else { "it is left out" };
        list.push(format!("{} images cannot keep case data: {where_to}", format.title));
    }
    Ok(list)
}

/// Digests that were asked for and that a format which stores digests cannot store.
fn unstored(format: &Format, names: &[String]) -> Option<String> {
    let can = format.caps.digests;
    let left: Vec<_> = names.iter().map(String::as_str).filter(|n| !can.contains(n)).collect();
    (!can.is_empty() && !left.is_empty())
        .then(|| format!("{} images cannot store {}: only the report will have it", format.title, left.join(", ")))
}
