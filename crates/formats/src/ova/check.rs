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
            let known: BTreeSet<&str> = lines.iter().map(|l| &l.name[..]).collect();
            for file in package.envelope.files.iter().filter(|f| f.chunk.is_none() && !known.contains(&f.href[..])) {
                findings.push(Finding::warning(format!("the manifest does not know {}", file.href)));
            }
            // However often it is named, a file is read once for each algorithm.
            let mut digests = BTreeMap::new();
            for line in &lines {
                findings.extend(compare(&package, line, &mut digests)?);
            }
        }
    }
    let mut seen = BTreeSet::new();
    for disk in &package.envelope.disks {
        let Some(file) = package.file_of(disk)?.filter(|f| seen.insert(f.href.clone())) else { continue };
        let (format, _, inside) = package.disk(file)?;
        if let Some(check) = format.check {
            findings.extend(check(&inside)?);
        }
    }
    Ok(findings)
}

/// Digests that were computed, by file and algorithm.
type Digests = BTreeMap<(String, &'static str), Digest>;

/// Whether a file is the one that the manifest means.
fn compare(package: &Package, line: &Line, digests: &mut Digests) -> Result<Option<Finding>> {
    let request = &package.request;
    let differs = |computed: &Digest| {
        (*computed != line.digest).then(|| {
            let what = format!("{} is not the file that the manifest means: its {} differs", line.name, line.algorithm);
            Finding::damage(what).in_file(line.name.clone(), 0)
        })
    };
    let plain: Vec<&str> = line.name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let key = (plain.join("/"), line.algorithm.name());
    if let Some(computed) = digests.get(&key) {
        return Ok(differs(computed));
    }
    let source = match request.open_beside(&line.name) {
        Ok(source) => source,
        Err(e) if matches!(e.kind(), Kind::Io | Kind::Denied) => {
            let what = format!("the manifest has a digest of {}, which is not there", line.name);
            return Ok(Some(Finding::damage(what)));
        }
        Err(e) => return Err(e),
    };
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
