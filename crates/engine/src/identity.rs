//! What a source or a target is, well enough to know it again.

use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tintype_core::Source;

/// What a source is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceId {
    /// The locator as it was given.
    pub locator: String,
    /// Bytes.
    pub size: Option<u64>,
    /// Model of the drive.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub model: String,
    /// Serial number of the drive.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub serial: String,
    /// Firmware of the drive.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub firmware: String,
    /// World wide name of the drive.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub wwn: String,
    /// How the drive is attached.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub transport: String,
    /// Logical sector in bytes.
    pub sector: u32,
    /// Physical sector in bytes.
    pub physical_sector: u32,
    /// When a file was last changed, in nanoseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub modified: Option<i128>,
}

impl SourceId {
    /// What `source`, given as `locator` and found at `path`, is.
    pub fn of(locator: &str, path: Option<&Path>, source: Option<&dyn Source>) -> Self {
        let mut id = SourceId { locator: locator.to_owned(), ..SourceId::default() };
        if let Some(source) = source {
            let identity = &source.facts().identity;
            id.size = Some(source.len());
            id.model.clone_from(&identity.model);
            id.serial.clone_from(&identity.serial);
            id.firmware.clone_from(&identity.firmware);
            id.wwn.clone_from(&identity.wwn);
            id.transport.clone_from(&identity.transport);
            id.sector = source.shape().sector;
            id.physical_sector = source.shape().physical;
        }
        if let Some(meta) = path.and_then(|p| std::fs::metadata(p).ok())
            && meta.is_file()
        {
            id.modified = Some(i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()));
        }
        id
    }

    /// Why `other` is not the same source, in words; `None` if it is. A drive may have got another name.
    pub fn differs(&self, other: &SourceId) -> Option<String> {
        if self.size != other.size {
            return Some(format!("its size was {:?} and is {:?}", self.size.unwrap_or(0), other.size.unwrap_or(0)));
        }
        for (what, a, b) in [
            ("serial", &self.serial, &other.serial),
            ("WWN", &self.wwn, &other.wwn),
            ("model", &self.model, &other.model),
        ] {
            if a != b {
                return Some(format!("its {what} was {a:?} and is {b:?}"));
            }
        }
        if self.modified != other.modified {
            return Some("the file was changed in between".into());
        }
        let nameless = self.serial.is_empty() && self.wwn.is_empty();
        (nameless && self.locator != other.locator).then(|| format!("it was {} and is {}", self.locator, other.locator))
    }
}
