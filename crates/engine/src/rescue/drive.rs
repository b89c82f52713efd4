//! Opens the drive that is to be rescued.

use super::handling::SetEffort;
use super::ladder::{Laddered, Patience, Rungs, Step};
use super::power;
use super::prepare::{self, Prepared};
use super::suspect::Reason;
use super::uncorrected::{Begin, Way};
use crate::open::{Medium, medium_of};
use serde::Serialize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tintype_core::{Error, Event, Identity, Result, Silent, Source, Watch, human_size};
use tintype_device::passthrough::{Channel, Commanded, Consent, Dialect, Manner, Uncorrected, defects};
use tintype_device::reset::{self, Handles};
use tintype_device::{attachment, block, file};

/// Whether a drive is read by its own commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passthrough {
    /// Where that is possible.
    Auto,
    /// No: through the kernel, past the page cache.
    Never,
    /// By these, or not at all.
    Only(Dialect),
}

/// After a command's time is over the kernel aborts it, and resets what does not listen: that takes so long on top.
const RECOVERY: Duration = Duration::from_secs(60);

/// A drive that is open.
pub struct OpenDrive {
    /// Its bytes.
    pub source: Arc<dyn Source>,
    /// How long a read may take before it is left behind.
    pub deadline: Duration,
    /// The same drive, where it is read by its own commands.
    pub commanded: Option<Arc<Commanded>>,
    /// What it says it cannot read, where it was asked.
    pub known: Vec<Range<u64>>,
    /// Ways to ask it for what it calls unreadable, where that is wanted.
    pub ways: Vec<Way>,
    /// Tells the drive how much to do for the reads that follow, where it can be told with each.
    pub effort: Option<SetEffort>,
    /// The same drive, if it is one.
    block: Option<Arc<block::BlockSource>>,
}

/// Opens the drive or file at `path`, whose reads may take `timeout`.
pub fn open_drive(path: &Path, how: Passthrough, timeout: Duration, watch: &dyn Watch) -> Result<OpenDrive> {
    let drive = match medium_of(path)? {
        Medium::Drive => Arc::new(block::open(path)?),
        Medium::File if matches!(how, Passthrough::Only(_)) => {
            return Err(Error::usage("is a file, which takes no commands").in_path(path));
        }
        Medium::File => {
            let source = Arc::new(file::Uncached::open(path)?);
            return Ok(OpenDrive {
                source,
                deadline: timeout,
                commanded: None,
                known: Vec::new(),
                ways: Vec::new(),
                effort: None,
                block: None,
            });
        }
        Medium::Folder => return Err(Error::usage("is a folder, no drive").in_path(path)),
    };
    let commanded = match how {
        Passthrough::Never => None,
        Passthrough::Auto => match Channel::of(&drive) {
            Ok(Some(channel)) => match Commanded::new(Arc::clone(&drive), channel, None, timeout) {
                Ok(commanded) => Some(commanded),
                Err(e) => {
                    watch.event(&Event::Note(format!("read through the kernel: {}", e.chain())));
                    None
                }
            },
            Ok(None) => None,
            Err(e) => {
                watch.event(&Event::Note(format!("read through the kernel: {}", e.chain())));
                None
            }
        },
        Passthrough::Only(dialect) => {
            let channel = Channel::of(&drive)?.ok_or_else(|| {
                Error::unsupported("takes no commands; leave out --passthrough to read it through the kernel")
                    .in_path(path)
            })?;
            Some(Commanded::new(Arc::clone(&drive), channel, Some(dialect), timeout)?)
        }
    };
    Ok(match commanded.map(Arc::new) {
        Some(commanded) => {
            watch.event(&Event::Note(format!("read by {}, each tried once", commanded.dialect().name())));
            OpenDrive {
                source: Arc::clone(&commanded) as Arc<dyn Source>,
                deadline: timeout.saturating_add(RECOVERY),
                commanded: Some(commanded),
                known: Vec::new(),
                ways: Vec::new(),
                effort: None,
                block: Some(drive),
            }
        }
        None => OpenDrive {
            source: Arc::clone(&drive) as _,
            deadline: timeout,
            commanded: None,
            known: Vec::new(),
            ways: Vec::new(),
            effort: None,
            block: Some(drive),
        },
    })
}

/// What may be done to a drive besides reading it.
#[derive(Clone, Debug, Default)]
pub struct Treatment {
    /// What to do when it does not answer.
    pub steps: Vec<Step>,
    /// The command that switches its power off and on.
    pub power: Option<String>,
    /// Whether its settings are changed for the time being.
    pub settings: Settings,
    /// Whether it is asked for its lists of defects.
    pub lists: Lists,
    /// Whether it is going to be asked for what it calls unreadable.
    pub unreadable: Unreadable,
}

/// Whether a drive is asked for what it calls unreadable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unreadable {
    /// What it calls unreadable is left alone.
    #[default]
    Left,
    /// At the end, in every way that it may know.
    Asked,
}

/// Whether a drive is asked for its lists of defects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lists {
    /// Before anything is read.
    #[default]
    Asked,
    /// It is only read.
    Unasked,
}

/// Whether settings of a drive are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Settings {
    /// They stay as they are.
    #[default]
    Kept,
    /// They are changed, and put back.
    Prepared,
}

/// How long a drive may take to come back after a step of the ladder: disks spin up in up to half a minute, boards boot.
const COME_BACK: Duration = Duration::from_secs(90);

/// The same as [`open_drive`], with the treatment it is to have. `record` is where its settings are kept as long as they are changed; what a
/// run that was killed left there is put back first, also where nothing is to be changed now.
pub fn open_treated(
    path: &Path,
    how: Passthrough,
    timeout: Duration,
    treatment: &Treatment,
    record: &Path,
    watch: &Arc<dyn Watch>,
) -> Result<(OpenDrive, Option<Arc<Prepared>>)> {
    let mut drive = open_drive(path, how, timeout, &**watch)?;
    let prepared = match (&drive.commanded, treatment.settings) {
        (Some(commanded), Settings::Prepared) => {
            let prepared = Prepared::begin(Arc::clone(commanded), record, Arc::clone(watch), Consent::given())?;
            Some(Arc::new(prepared))
        }
        (None, Settings::Prepared) => {
            return Err(Error::unsupported(
                "takes no commands, so its settings cannot be changed; leave out --prepare",
            )
            .in_path(path));
        }
        (Some(commanded), Settings::Kept) => {
            prepare::put_back(commanded, record, &**watch)?;
            None
        }
        (None, Settings::Kept) => {
            if prepare::is_left(record) {
                watch.event(&Event::Warning(format!(
                    "{} says that an earlier run left settings of the drive changed, which only its own commands put back: \
                     run once with --put-back and without --passthrough no",
                    record.display()
                )));
            }
            None
        }
    };
    if let (Some(commanded), Lists::Asked) = (&drive.commanded, treatment.lists) {
        drive.known = known(commanded, &**watch);
    }
    drive.effort = prepared.as_ref().filter(|prepared| prepared.has_efforts()).map(|prepared| {
        let prepared = Arc::clone(prepared);
        let set: SetEffort = Arc::new(move |effort| prepared.set_effort(effort));
        set
    });
    if treatment.unreadable == Unreadable::Asked {
        drive.ways = ways(&drive, prepared.as_ref(), timeout, path, &**watch)?;
    }
    if !treatment.steps.is_empty() {
        let Some(block) = drive.block.clone() else {
            return Err(Error::usage("is a file, which cannot be reset").in_path(path));
        };
        let patience = Patience { read: drive.deadline, answer: QUESTION, find: COME_BACK };
        let rungs = Real {
            handles: Mutex::new(Handles::of(&block)),
            identity: block.facts().identity.clone(),
            len: block.len(),
            partition: attachment::of(path).partition.parse().ok(),
            how,
            timeout,
            power: treatment.power.clone(),
            prepared: prepared.clone(),
            path: path.to_path_buf(),
            watch: Arc::clone(watch),
        };
        let steps = treatment.steps.clone();
        drive.deadline = Laddered::longest(steps.len(), &patience).saturating_add(timeout);
        drive.source = Arc::new(Laddered::new(drive.source, steps, Box::new(rungs), patience, Arc::clone(watch)));
    }
    Ok((drive, prepared))
}

/// Settings of a drive that were put back.
#[derive(Debug, Serialize)]
pub struct PutBack {
    /// Each as it is now; empty if nothing was left changed.
    pub settings: Vec<String>,
}

/// Puts back the settings of the drive at `path` that `record` names, and reads nothing.
pub fn put_back(path: &Path, how: Passthrough, timeout: Duration, record: &Path, watch: &dyn Watch) -> Result<PutBack> {
    if !prepare::is_left(record) {
        return Ok(PutBack { settings: Vec::new() });
    }
    let drive = open_drive(path, how, timeout, watch)?;
    let commanded = drive.commanded.ok_or_else(|| {
        Error::unsupported(format!(
            "is not read by its own commands, by which alone {} can be put back",
            record.display()
        ))
        .in_path(path)
    })?;
    Ok(PutBack { settings: prepare::put_back(&commanded, record, watch)? })
}

/// The ways to ask a drive for what it calls unreadable; `Unsupported` where there are none.
fn ways(
    drive: &OpenDrive,
    prepared: Option<&Arc<Prepared>>,
    timeout: Duration,
    path: &Path,
    watch: &dyn Watch,
) -> Result<Vec<Way>> {
    let Some(commanded) = &drive.commanded else {
        let what = "takes no commands, so it cannot be asked for what it calls unreadable; leave out --suspect-reads";
        return Err(Error::unsupported(what).in_path(path));
    };
    let mut ways = Vec::new();
    for manner in Manner::of(commanded)? {
        let (reason, begin) = match (manner, prepared) {
            (Manner::TransferBlock, Some(prepared)) => {
                let prepared = Arc::clone(prepared);
                let begin: Begin = Arc::new(move || prepared.hand_over_failed_blocks());
                (Reason::TransferBlock, Some(begin))
            }
            (Manner::TransferBlock, None) => {
                let what = "with --prepare, the drive could be told to hand over blocks that failed (TB)";
                watch.event(&Event::Note(what.into()));
                continue;
            }
            (Manner::ReadLong, _) => (Reason::ReadLong, None),
            (Manner::ReadStream, _) => (Reason::ReadStream, None),
            (Manner::SctReadLong, _) => (Reason::SctReadLong, None),
            (Manner::AtaReadLong, _) => (Reason::AtaReadLong, None),
        };
        let source = Arc::new(Uncorrected::new(Arc::clone(commanded), manner, timeout)?);
        ways.push(Way { reason, source, begin });
    }
    if ways.is_empty() {
        let what =
            "has no command that gives what it calls unreadable (NVMe drives have none); leave out --suspect-reads";
        return Err(Error::unsupported(what).in_path(path));
    }
    Ok(ways)
}

/// What the drive says it cannot read. That it does not tell is no reason not to go on.
fn known(drive: &Commanded, watch: &dyn Watch) -> Vec<Range<u64>> {
    let lists = match defects::known(drive.channel(), u64::from(drive.shape().sector), drive.len()) {
        Ok(lists) => lists,
        Err(e) => {
            watch.event(&Event::Note(format!("the drive was not asked for its defects: {}", e.chain())));
            return Vec::new();
        }
    };
    for (list, ranges) in &lists {
        let bytes: u64 = ranges.iter().map(|r| r.end - r.start).sum();
        watch.event(&Event::Note(format!(
            "the {} of the drive names {} in {} places; these are left for later",
            list.name(),
            human_size(bytes),
            ranges.len()
        )));
    }
    lists.into_iter().flat_map(|(_, ranges)| ranges).collect()
}

/// How long a drive may take to say anything at all.
const QUESTION: Duration = Duration::from_secs(30);

/// A drive that is really there.
struct Real {
    handles: Mutex<Handles>,
    identity: Identity,
    len: u64,
    partition: Option<u32>,
    how: Passthrough,
    timeout: Duration,
    power: Option<String>,
    prepared: Option<Arc<Prepared>>,
    path: PathBuf,
    watch: Arc<dyn Watch>,
}

impl Rungs for Real {
    fn take(&self, step: Step) -> Result<String> {
        let handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let done = match step {
            Step::Device => handles.reset_device()?,
            Step::Link => handles.reset_link()?,
            Step::Power => {
                let command = self.power.as_deref().ok_or_else(|| Error::usage("there is no command for the power"))?;
                power::run(command, &self.path, &self.identity.serial, COME_BACK, &*self.watch)?;
                let mut done = vec![format!("{command} was run")];
                done.extend(handles.rescan().unwrap_or_default());
                done
            }
        };
        match done.is_empty() {
            true => Err(Error::unsupported("the kernel has nothing for this drive")),
            false => Ok(done.join(", ")),
        }
    }

    fn find(&self) -> Option<Arc<dyn Source>> {
        // A drive without a number can only be looked for where it was.
        let nameless = self.identity.serial.is_empty() && self.identity.wwn.is_empty();
        let path = match nameless {
            true => self.path.clone(),
            false => reset::find(&self.identity, self.len, self.partition)?,
        };
        let drive = open_drive(&path, self.how, self.timeout, &Silent::default()).ok()?;
        let block = drive.block.filter(|b| b.facts().identity == self.identity || !nameless)?;
        *self.handles.lock().unwrap_or_else(PoisonError::into_inner) = Handles::of(&block);
        if let (Some(prepared), Some(commanded)) = (&self.prepared, &drive.commanded) {
            prepared.apply_again(Arc::clone(commanded));
        }
        Some(drive.source)
    }
}
