//! What may be done to a drive besides reading it, all of it only on request.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tintype_core::{Error, Result, Watch};
use tintype_engine::rescue::{
    Keep, Lists, OpenDrive, Passthrough, Prepared, PutBack, Settings, Step, Treatment, Unreadable, open_treated,
    put_back,
};

/// Options for the drive itself.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TreatmentArgs {
    /// Change settings of the drive for the time of the rescue, and put them back: fewer retries of its own, no look-ahead, no replacing
    /// of bad sectors, no saving of SMART attributes
    #[arg(long, help_heading = "Drive")]
    pub prepare: bool,
    /// Read nothing: only put back what --prepare changed, after a run that was killed
    #[arg(long, help_heading = "Drive", conflicts_with = "prepare")]
    pub put_back: bool,
    /// Do not ask the drive first for what it knows it cannot read
    #[arg(long, help_heading = "Drive")]
    pub unasked: bool,
    /// At the end, ask for sectors that stay unreadable past the drive's error correction, for experts: what it gives may be wrong, is listed as
    /// suspect and counts as not rescued
    #[arg(
        long,
        value_name = "WHERE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "beside",
        value_enum,
        help_heading = "Drive"
    )]
    pub suspect_reads: Option<KeepName>,
    /// What to do when the drive does not answer any more, gentle steps first
    #[arg(long, value_name = "STEPS", value_delimiter = ',', help_heading = "Drive")]
    pub reset: Vec<StepName>,
    /// Command that switches the drive off and on, for --reset power; TINTYPE_DRIVE and TINTYPE_SERIAL say which
    #[arg(long, value_name = "COMMAND", help_heading = "Drive")]
    pub power_command: Option<String>,
}

/// Where suspect reads go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KeepName {
    /// To MAP.suspect.img
    Beside,
    /// Into IMAGE
    Image,
}

impl KeepName {
    /// The same for the engine.
    pub fn keep(self) -> Keep {
        match self {
            KeepName::Beside => Keep::Beside,
            KeepName::Image => Keep::Image,
        }
    }
}

/// A step of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StepName {
    /// Reset the drive
    Device,
    /// Remove it and look for it again
    Link,
    /// Run --power-command
    Power,
}

impl TreatmentArgs {
    /// Opens the drive for a rescue with this map. The second value has to be kept until the end: the settings are put back when it goes.
    pub fn open(
        &self,
        path: &Path,
        how: Passthrough,
        timeout: Duration,
        map: &Path,
        watch: Arc<dyn Watch>,
    ) -> Result<(OpenDrive, Option<Arc<Prepared>>)> {
        if self.reset.contains(&StepName::Power) != self.power_command.is_some() {
            return Err(Error::usage("--reset power and --power-command need each other"));
        }
        let step = |name: &StepName| match name {
            StepName::Device => Step::Device,
            StepName::Link => Step::Link,
            StepName::Power => Step::Power,
        };
        let treatment = Treatment {
            steps: self.reset.iter().map(step).collect(),
            power: self.power_command.clone(),
            lists: if self.unasked { Lists::Unasked } else { Lists::Asked },
            unreadable: if self.suspect_reads.is_some() { Unreadable::Asked } else { Unreadable::Left },
            settings: if self.prepare { Settings::Prepared } else { Settings::Kept },
        };
        open_treated(path, how, timeout, &treatment, &record(map), &watch)
    }

    /// Puts back what a run with this map left changed.
    pub fn put_back(
        path: &Path,
        how: Passthrough,
        timeout: Duration,
        map: &Path,
        watch: &dyn Watch,
    ) -> Result<PutBack> {
        put_back(path, how, timeout, &record(map), watch)
    }
}

/// Where the settings of the drive are kept as long as they are changed.
fn record(map: &Path) -> PathBuf {
    let mut record = map.as_os_str().to_owned();
    record.push(".settings");
    PathBuf::from(record)
}
