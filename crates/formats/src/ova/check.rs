//! Checking a machine: every file against the manifest, every disk by its own format.

use super::manifest::{self, Line};
use super::package::Package;
use super::read;
use std::collections::{BTreeMap, BTreeSet};
use tintype_codec::digest::{Digest, Hasher};
use tintype_core::{Error, Event, Finding, Kind, OpenRequest, Result, Source};

/// Bytes that are hashed at a time.
const STEP: usize = 1 << 20;

pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let package = Package::open(request)?;
    let mut findings = read::open(request)?.damage;
    match &package.manifest {
        None => findings.push(Finding::warning("there is no manifest: nothing proves the files of the machine")),
        Some((name, text)) => {
            let (lines, wrong) = manifest::parse(text);
            let what = |line: &String| format!("a line of the manifest cannot be understood: {line:?}");
            findings.extend(wrong.iter().map(|line| Finding::warning(what(line)).in_file(name.clone(), 0)));
            findings.extend(package.unlisted().into_iter().map(unknown));
            // However often it is named, a file is read once for each algorithm.
            let mut digests = BTreeMap::new();
            for line in &lines {
                findings.extend(compare(&package, line, &mut digests)?);
            }
        }
    }
    let listed = package.listed();
    let mut seen = BTreeSet::new();
    for (i, disk) in package.envelope.disks.iter().enumerate() {
        let Some(file) = package.file_of(disk)?.filter(|f| seen.insert(f.href.clone())) else { continue };
        let opened = package.disk(disk, file)?;
        // What opening tells of the first disk is known.
        if i > 0 {
            findings.extend(opened.image.warnings.iter().map(Finding::warning));
            findings.extend(opened.image.damage.iter().cloned());
        }
        if package.manifest.is_some() {
            findings.extend(opened.unlisted(&listed).into_iter().map(unknown));
        }
        if let Some(check) = opened.format.check {
            findings.extend(check(&opened.request)?);
        }
    }
    // A file in pieces that is no disk is opened by nobody else.
    for file in package.files().filter(|f| !seen.contains(&f.href)) {
        if let Some(Err(e)) = file.chunk.map(|chunk| package.pieces(file, chunk)) {
            findings.push(Finding::damage(e.to_string()));
        }
    }
    Ok(findings)
}

fn unknown(name: String) -> Finding {
    Finding::warning(format!("the manifest does not know {name}"))
}

/// Digests that were computed, by file (and whether its path is absolute) and algorithm.
type Digests = BTreeMap<(String, bool, &'static str), Digest>;

/// Whether a file is the one that the manifest means.
fn compare(package: &Package, line: &Line, digests: &mut Digests) -> Result<Option<Finding>> {
    let request = &package.request;
    let differs = |computed: &Digest| {
        (*computed != line.digest).then(|| {
            let what = format!("{} is not the file that the manifest means: its {} differs", line.name, line.algorithm);
            Finding::damage(what).in_file(line.name.clone(), 0)
        })
    };
    let (name, source) = match package.spelled(&line.name, "") {
        Ok(found) => found,
        Err(e) if matches!(e.kind(), Kind::Io | Kind::Denied) => {
            let what = format!("the manifest has a digest of {}, which is not there", line.name);
            return Ok(Some(Finding::damage(what)));
        }
        Err(e) => return Err(e),
    };
    // In an archive every spelling is a file of its own.
    let folders: Vec<&str> = name.split('/').filter(|part| package.archive || !matches!(*part, "" | ".")).collect();
    let key = (folders.join("/"), name.starts_with('/'), line.algorithm.name());
    if let Some(computed) = digests.get(&key) {
        return Ok(differs(computed));
    }
    let title = format!("comparing {} with the manifest", line.name);
    request.watch.event(&Event::Begin { title, total: Some(source.len()) });
    let computed = hash(&*source, line, request);
    request.watch.event(&Event::End);
    let computed = computed?;
    let found = differs(&computed);
    digests.insert(key, computed);
    Ok(found)
}

fn hash(source: &dyn Source, line: &Line, request: &OpenRequest) -> Result<Digest> {
    let mut hasher = Hasher::new(line.algorithm);
    let mut buf = vec![0; STEP];
    let mut at = 0;
    while at < source.len() {
        if request.watch.cancelled() {
            return Err(Error::cancelled());
        }
        let now = (source.len() - at).min(STEP as u64) as usize;
        source.read_at(&mut buf[..now], at)?;
        hasher.update(&buf[..now]);
        at += now as u64;
        request.watch.event(&Event::Progress { done: at, lost: 0 });
    }
    Ok(hasher.finish())
}
