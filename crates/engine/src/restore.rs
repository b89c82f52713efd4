//! `restore` and `clone`: an image or a drive onto a drive.

use crate::identity::{SourceId, resembles};
use crate::journal::{self, Header, Journal, Record};
use crate::open::{Medium, Opened};
use crate::pipeline::{Input, OnCorrupt, Policy};
use crate::report::{self, Report, now};
use crate::target::{Lock, Prepared, Spot, same};
use crate::transfer::{self, Proof, Transfer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tintype_codec::digest::Algorithm;
use tintype_core::layers::{DiskSink, Slice, Unused};
use tintype_core::{Disk, Error, Event, Extent, Outlet, Result, Source, Watch};
use tintype_device::disk::BlockDisk;
use tintype_device::folder::{Folder, Reach};

/// What to write onto a drive.
pub struct Request {
    /// `restore` or `clone`.
    pub verb: &'static str,
    /// The image, or for `clone` the drive that is read.
    pub image: Box<Opened>,
    /// The drive that is written.
    pub drive: PathBuf,
    /// The journal's path; `None`: in the user's state folder.
    pub state: Option<PathBuf>,
    /// What becomes of what no file system uses.
    pub unused: Unused,
    /// Digests to compute besides those the image stores.
    pub digests: Option<Vec<Algorithm>>,
    /// What to do when a read fails.
    pub policy: Policy,
    /// The fill, in words.
    pub fill: String,
    /// Whether what was written is read back.
    pub proof: Proof,
    /// Where the report goes.
    pub report: Option<report::Place>,
    /// The command line, for the report.
    pub command: Vec<String>,
    /// Shows the work, and says when to stop.
    pub watch: Arc<dyn Watch>,
}

/// What restoring came to.
pub struct Restored {
    /// The report.
    pub report: Report,
    /// Stored digests of the image that do not match what was read from it.
    pub mismatches: Vec<String>,
}

/// A drive that was looked at and is held, so that nobody else writes or mounts it. Not a byte of it was changed.
pub struct Ready {
    /// What will be done, in words, one line each.
    pub lines: Vec<String>,
    /// Things the person should know first.
    pub warnings: Vec<String>,
    /// Bytes that will be written.
    pub len: u64,
    request: Request,
    digests: Vec<Algorithm>,
    stored: Vec<(Algorithm, String)>,
    block: Arc<BlockDisk>,
    header: Header,
    state: PathBuf,
    earlier: Option<Earlier>,
}

/// An earlier run that wrote to the same drive and was cut short.
struct Earlier {
    found: journal::Found,
    lock: Lock,
    /// Everything before it is on the drive; 0 if it is begun anew.
    from: u64,
}

/// Makes every check that can be made before the first byte is written: all refusals but those of the drive itself.
pub fn prepare(request: Request) -> Result<Ready> {
    let Request { image, drive, watch, .. } = &request;
    let guard = tintype_device::guard::Request { sources: vec![image.path.clone()] };
    let mut warnings: Vec<String> =
        tintype_device::guard::check_target(drive, &guard)?.iter().map(ToString::to_string).collect();
    warnings.extend(image.image.warnings.iter().cloned());
    let block = Arc::new(BlockDisk::open(drive)?);
    let (have, need) = (block.len(), image.source.len());
    if have < need {
        return Err(Error::denied(format!(
            "has {have} bytes, the image needs {need}: {} too few; use a larger drive",
            need - have
        ))
        .in_path(drive));
    }
    let (theirs, ours) = (block.shape().sector, image.source.shape().sector);
    if image.medium == Medium::Drive && theirs != ours {
        warnings.push(format!(
            "the source has sectors of {ours} bytes, the target of {theirs}: partition tables count in sectors and will not fit"
        ));
    }
    let identity = &block.facts().identity;
    let mut lines = vec![format!(
        "write {need} bytes of {} ({}) to {} ({} {} {have} bytes)",
        image.locator,
        image.format.title,
        drive.display(),
        identity.model,
        identity.serial
    )];
    if have > need {
        lines.push(format!("leave the last {} bytes of {} as they are", have - need, drive.display()));
    }
    let stored = transfer::stored_digests(image);
    let digests = match &request.digests {
        Some(chosen) => chosen.clone(),
        None if stored.is_empty() => vec![Algorithm::Sha256],
        None => stored.iter().map(|(algorithm, _)| *algorithm).collect(),
    };
    let names: Vec<&str> = digests.iter().map(|a| a.name()).collect();
    let target_id = SourceId::of(&drive.to_string_lossy(), Some(drive), Some(&*block as &dyn Source));
    let header = Header {
        tintype_journal: journal::VERSION,
        program: report::program(),
        started: now(),
        source: image.id(),
        request: serde_json::json!({
            "verb": request.verb,
            "target": target_id,
            "unused": request.unused == Unused::Leave,
            "digests": names,
            "fill": request.policy.fill,
        }),
        replaces: Vec::new(),
    };
    let state = match &request.state {
        Some(path) => path.clone(),
        None => default_state(&target_id)?,
    };
    let earlier = earlier(&state, &header, &request, &*block, &**watch)?;
    if let Some(place) = &request.report {
        place.check(earlier.as_ref().filter(|e| e.from > 0).map(|_| &header))?;
    }
    Ok(Ready { lines, warnings, len: need, digests, stored, block, header, state, earlier, request })
}

/// What an earlier run onto the same drive left in its journal at `state`.
fn earlier(
    state: &Path,
    header: &Header,
    request: &Request,
    disk: &dyn Source,
    watch: &dyn Watch,
) -> Result<Option<Earlier>> {
    // The state folder of a person who never wrote a drive is made only when the work begins.
    if request.state.is_none() && !state.exists() {
        return Ok(None);
    }
    let (folder, name) = Folder::of(state, Reach::Beside)?;
    folder.check_writable()?;
    if !folder.exists(&name)? {
        return Ok(None);
    }
    let lock = Lock::take(state)?;
    let Some(found) = journal::read(&folder, &name).map_err(|e| e.in_folder(folder.path()))? else {
        return Ok(None);
    };
    if same(&found.header, header).is_err() {
        let verb = found.header.request.get("verb").and_then(|v| v.as_str()).unwrap_or("write");
        let source = &found.header.source.locator;
        watch.event(&Event::Note(format!("an unfinished {verb} of {source} onto this drive is given up")));
        return Ok(Some(Earlier { found, lock, from: 0 }));
    }
    let image = &*request.image.source;
    let mut from = found.checkpoints()?.last().map_or(0, |c| c.offset).min(image.len());
    // The drive may have been written by somebody else since, or be another one.
    if from > 0 && (request.unused == Unused::Leave || resembles(disk, image, from)) {
        watch.event(&Event::Note(format!("going on from offset {from}")));
    } else {
        from = 0;
        watch.event(&Event::Note("the drive does not hold what was written to it before: starting anew".into()));
    }
    Ok(Some(Earlier { found, lock, from }))
}

impl Ready {
    /// Writes. The person has agreed.
    pub fn run(self) -> Result<Restored> {
        let Ready { request, digests, stored, block, header, state, earlier, .. } = self;
        let Request { image, drive, unused, policy, fill, proof, report, command, watch, .. } = request;
        let disk: Arc<dyn Disk> = Arc::clone(&block) as _;
        if request.state.is_none()
            && let Some(folder) = state.parent()
        {
            std::fs::create_dir_all(folder)
                .map_err(|e| Error::io("cannot make the state folder", e).in_path(folder))?;
        }
        let (folder, name) = Folder::of(&state, Reach::Beside)?;
        let mut from = 0;
        let mut lost: Vec<Extent> = Vec::new();
        let mut resumptions = Vec::new();
        let (journal, lock) = match earlier {
            Some(earlier) if earlier.from > 0 => {
                from = earlier.from;
                lost = earlier.found.lost(from);
                resumptions = earlier.found.resumptions();
                let mut journal = Journal::reopen(&folder, &name, &earlier.found)?;
                let at = now();
                journal.add(&Record::Resumed { at: at.clone(), offset: from })?;
                resumptions.push((at, from));
                (journal, earlier.lock)
            }
            given_up => {
                if folder.exists(&name)? {
                    folder.remove(&name)?;
                }
                let journal = Journal::create(&folder, &name, &header)?;
                let lock = Lock::take(&state)?;
                drop(given_up);
                (journal, lock)
            }
        };
        let stored_part: Option<Arc<dyn Source>> = match from {
            0 => None,
            _ => Some(Arc::new(Slice::new(Arc::new(tintype_device::block::open(&drive)?), 0, from)?)),
        };
        let sink = DiskSink::new(Arc::clone(&disk), 4096, unused).from_offset(from);
        let target = Prepared {
            name: drive.to_string_lossy().into_owned(),
            format: "raw",
            sink: Box::new(sink),
            from,
            stored: stored_part,
            lost,
            resumptions,
            journal: Some(journal),
            place: Spot::Disk { path: drive.clone(), state, lock },
        };
        let leaves = unused == Unused::Leave;
        let proof = match proof {
            Proof::ReadBack if leaves => {
                watch.event(&Event::Warning(
                    "with --leave-unused the digests of the drive cannot be those of the image: not read back".into(),
                ));
                Proof::None
            }
            proof => proof,
        };
        let stamp = image.stamp();
        let done = transfer::run(Transfer {
            title: format!("writing {}", drive.display()),
            input: Input::Source(Arc::clone(&image.source)),
            source: image.id(),
            path: image.path.clone(),
            facts: image.source.facts().clone(),
            targets: vec![target],
            digests,
            stored,
            policy: Policy { on_corrupt: OnCorrupt::Fail, ..policy },
            fill,
            proof,
            command,
            request: vec![header.request],
            reports: vec![None],
            notes: image.image.notes(),
            changed: Box::new(move || {
                let what = "was changed while it was read";
                (image.stamp() != stamp).then(|| format!("{} {what}", image.path.display()))
            }),
            watch,
        })?;
        let report_done =
            done.reports.into_iter().next().ok_or_else(|| Error::corrupt("the write ended without a result"))?;
        if let Some(place) = report {
            report_done.write(&place)?;
        }
        // A drive without partitions, or a kernel that knows none, is no reason to fail: the bytes are there.
        let _ = block.reread_partitions();
        Ok(Restored { report: report_done, mismatches: done.mismatches })
    }
}

/// Where the journal of writing onto a drive lies: named after the drive, not after its device node.
fn default_state(target: &SourceId) -> Result<PathBuf> {
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")))
        .ok_or_else(|| Error::usage("there is no home folder to keep the journal in; give --state FILE"))?;
    let folder = base.join("tintype");
    let name = match (target.serial.as_str(), target.wwn.as_str()) {
        ("", "") => target.locator.clone(),
        ("", wwn) => wwn.to_owned(),
        (serial, _) => format!("{}-{serial}", target.model),
    };
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    Ok(folder.join(format!("{}{}", name.trim_matches('_'), journal::JOURNAL)))
}
