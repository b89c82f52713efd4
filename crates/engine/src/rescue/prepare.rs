//! Settings of the drive for the time of a rescue: recorded first, changed, and put back.
//!
//! ```text
//! tintype drive settings 1
//! serial W1234567            whose they are
//! before look-ahead=on       what it was
//! ```
//!
//! The file lies beside the mapfile (`MAP.settings`) from before the first change until everything was put back. It is the only place
//! that knows of them: a run that was killed leaves it, and the next one, or `--put-back` alone, begins with it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tintype_core::{Error, Event, Result, Source, Watch};
use tintype_device::passthrough::settings::{self, Setting};
use tintype_device::passthrough::{Commanded, Consent, Dialect, Effort};

const MAGIC: &str = "tintype drive settings 1";

/// Longest record that is read.
const MOST: u64 = 64 << 10;

/// A drive whose settings are changed; they are put back when this goes.
pub struct Prepared {
    // With what its reads ask of it, which one that came back has to be told.
    drive: Mutex<(Arc<Commanded>, Effort)>,
    record: PathBuf,
    before: Vec<Setting>,
    wanted: Vec<Setting>,
    watch: Arc<dyn Watch>,
    consent: Consent,
}

impl Prepared {
    /// Puts back what an earlier run left changed, then changes what should be otherwise during a rescue.
    ///
    /// A setting that the drive refuses is told and left; an error means that nothing is changed.
    pub fn begin(drive: Arc<Commanded>, record: &Path, watch: Arc<dyn Watch>, consent: Consent) -> Result<Self> {
        put_back(&drive, record, &*watch)?;
        let before = settings::current(drive.channel())?;
        let wanted: Vec<Setting> = before.iter().filter_map(Setting::for_rescue).collect();
        let before: Vec<Setting> = before.into_iter().filter(|b| wanted.iter().any(|w| w.is_same(b))).collect();
        if !before.is_empty() {
            save(record, &drive.facts().identity.serial, &before)?;
        }
        let prepared = Prepared {
            drive: Mutex::new((Arc::clone(&drive), Effort::Full)),
            record: record.to_path_buf(),
            before,
            wanted,
            watch,
            consent,
        };
        prepared.apply(&drive);
        Ok(prepared)
    }

    /// Has the drive hand over blocks that it could not correct, along with the error. What it had is recorded first, and put back with the rest.
    ///
    /// `Unsupported` where the drive has no such setting, or refuses it.
    pub fn hand_over_failed_blocks(&self) -> Result<()> {
        let drive = self.current();
        let page = |setting: &Setting| matches!(setting, Setting::RecoveryPage(_));
        let now = || -> Result<Option<Setting>> { Ok(settings::current(drive.channel())?.into_iter().find(page)) };
        let Some(had) = now()? else { return Err(Error::unsupported("the drive tells no such setting")) };
        let Some(wanted) = had.with_failed_blocks() else { return Ok(()) };
        if !self.before.iter().any(page) {
            let all: Vec<Setting> = self.before.iter().cloned().chain([had.clone()]).collect();
            save(&self.record, &drive.facts().identity.serial, &all)?;
        }
        settings::apply(drive.channel(), &wanted, &self.consent)?;
        match now()?.as_ref().map(Setting::with_failed_blocks) {
            Some(None) => self.watch.event(&Event::Note(format!("{}: {had} is now {wanted}", wanted.title()))),
            _ => return Err(Error::unsupported("the drive took the setting and did not keep it")),
        }
        Ok(())
    }

    /// Changes the settings of a drive that came back: what is not saved is lost with its power.
    pub fn apply_again(&self, drive: Arc<Commanded>) {
        self.apply(&drive);
        let mut now = self.drive.lock().unwrap_or_else(PoisonError::into_inner);
        drive.set_effort(now.1);
        now.0 = drive;
    }

    /// True if the drive takes the time limit that was set for it only with reads that ask for little: NVMe.
    pub fn has_efforts(&self) -> bool {
        self.current().dialect() == Dialect::Nvme
    }

    /// What every read from now on asks of the drive.
    pub fn set_effort(&self, effort: Effort) {
        let mut now = self.drive.lock().unwrap_or_else(PoisonError::into_inner);
        now.0.set_effort(effort);
        now.1 = effort;
    }

    fn current(&self) -> Arc<Commanded> {
        Arc::clone(&self.drive.lock().unwrap_or_else(PoisonError::into_inner).0)
    }

    fn apply(&self, drive: &Commanded) {
        for (setting, before) in self.wanted.iter().zip(&self.before) {
            let told = match settings::apply(drive.channel(), setting, &self.consent) {
                Ok(()) => format!("{}: {before} is now {setting}", setting.title()),
                Err(e) => format!("{} stays {before}: {}", setting.title(), e.chain()),
            };
            self.watch.event(&Event::Note(told));
        }
        if self.wanted.is_empty() {
            self.watch.event(&Event::Note("the drive tells no setting that should be changed".into()));
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        let drive = self.current();
        if let Err(e) = put_back(&drive, &self.record, &*self.watch) {
            self.watch.event(&Event::Warning(format!(
                "the settings of the drive were not put back: {}; the next run does, from {}",
                e.chain(),
                self.record.display()
            )));
        }
    }
}

/// Puts back what a record says, and removes it; nothing where there is none.
///
/// Who changed the settings had consent, and that holds for putting them back.
pub fn put_back(drive: &Commanded, record: &Path, watch: &dyn Watch) -> Result<Vec<String>> {
    let Some((serial, before)) = load(record)? else { return Ok(Vec::new()) };
    if serial != drive.facts().identity.serial {
        return Err(Error::denied(format!(
            "holds the settings of the drive with the serial number {serial:?}, which this is not; name that one, or move the file away"
        ))
        .in_path(record));
    }
    let mut done = Vec::new();
    for setting in &before {
        match settings::apply(drive.channel(), setting, &Consent::given()) {
            Ok(()) => {
                watch.event(&Event::Note(format!("{}: {setting} again", setting.title())));
                done.push(setting.to_string());
            }
            // What it refused to change it refuses to change back.
            Err(e) if e.kind() == tintype_core::Kind::Unsupported => {}
            Err(e) => return Err(e),
        }
    }
    std::fs::remove_file(record).map_err(|e| Error::io("cannot be removed", e).in_path(record))?;
    Ok(done)
}

/// True if a run left settings changed.
pub fn is_left(record: &Path) -> bool {
    record.exists()
}

fn save(record: &Path, serial: &str, before: &[Setting]) -> Result<()> {
    let failed =
        |e| Error::io("the settings of the drive cannot be recorded, so they stay as they are", e).in_path(record);
    let mut text = format!("{MAGIC}\nserial {serial}\n");
    for setting in before {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "before {setting}");
    }
    let mut name = record.as_os_str().to_owned();
    name.push(".new");
    let beside = PathBuf::from(name);
    let mut file = File::create(&beside).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, record).map_err(failed)?;
    let folder = record.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(failed)
}

fn load(record: &Path) -> Result<Option<(String, Vec<Setting>)>> {
    use std::io::Read as _;
    let failed = |e| Error::io("the settings of the drive cannot be read", e).in_path(record);
    let mut text = String::new();
    match File::open(record) {
        Ok(file) => file.take(MOST).read_to_string(&mut text).map_err(failed)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let wrong = || Error::corrupt("is no record of a drive's settings").in_path(record);
    let mut lines = text.lines();
    if lines.next() != Some(MAGIC) {
        return Err(wrong());
    }
    let serial = lines.next().and_then(|l| l.strip_prefix("serial ")).ok_or_else(wrong)?.to_owned();
    let before =
        lines.map(|l| l.strip_prefix("before ").ok_or_else(wrong)?.parse().map_err(|e: Error| e.in_path(record)));
    Ok(Some((serial, before.collect::<Result<_>>()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("disk.map.settings");
        assert!(load(&record).unwrap().is_none());
        let before = vec![Setting::LookAhead(true), Setting::RecoveryTime(70, 70)];
        save(&record, "W 12", &before).unwrap();
        assert_eq!(load(&record).unwrap().unwrap(), ("W 12".to_owned(), before));
        std::fs::write(&record, "something else").unwrap();
        assert_eq!(load(&record).unwrap_err().kind(), tintype_core::Kind::Corrupt);
    }
}
