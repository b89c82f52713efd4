//! What a source or a target is, well enough to know it again.

use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tintype_codec::digest::{Algorithm, Hasher};
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
    /// Which part of it: `#p2`, or the partition that the device node itself is.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub part: String,
    /// How it is read: its format, and the digest of the map that was laid over it.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reading: String,
    /// Names, sizes and times of its files, as a digest.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub stamp: String,
    /// Of a drive without a serial number: when the kernel saw it attached. Another value may still mean the same drive.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub attached: String,
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
        let attachment = path.map(tintype_device::attachment::of).unwrap_or_default();
        id.part = attachment.partition;
        if id.is_nameless() {
            id.attached = attachment.sequence;
        }
        id
    }

    /// Why `other` is not the same source, in words; `None` if it is. A drive may have got another name.
    pub fn differs(&self, other: &SourceId) -> Option<String> {
        if self.size != other.size {
            return Some(format!("its size was {:?} and is {:?}", self.size.unwrap_or(0), other.size.unwrap_or(0)));
        }
        for (what, a, b) in [
            ("part", &self.part, &other.part),
            ("format or map", &self.reading, &other.reading),
            ("serial", &self.serial, &other.serial),
            ("WWN", &self.wwn, &other.wwn),
            ("model", &self.model, &other.model),
        ] {
            if a != b {
                return Some(format!("its {what} was {a:?} and is {b:?}"));
            }
        }
        if self.stamp != other.stamp {
            return Some("its files were changed in between".into());
        }
        (self.is_nameless() && self.locator != other.locator)
            .then(|| format!("it was {} and is {}", self.locator, other.locator))
    }

    /// True if neither serial number nor WWN is known.
    fn is_nameless(&self) -> bool {
        self.serial.is_empty() && self.wwn.is_empty()
    }

    /// True unless it is a drive without a serial number that was attached anew since: such a one has to be looked at.
    pub fn same_attachment(&self, other: &SourceId) -> bool {
        self.attached == other.attached
    }
}

/// A digest of names, sizes and times of files in a folder: it changes when one of them does.
pub fn stamp(folder: &Path, files: &[String]) -> String {
    let mut hasher = Hasher::new(Algorithm::Blake3);
    for name in files {
        let meta = std::fs::metadata(folder.join(name)).ok().filter(std::fs::Metadata::is_file);
        let line =
            meta.map(|m| format!("{name}\0{}\0{}\0{}\n", m.len(), m.mtime(), m.mtime_nsec())).unwrap_or_default();
        hasher.update(line.as_bytes());
    }
    hasher.finish().to_hex()
}

/// How many places are looked at to tell whether two sources hold the same.
const LOOKS: u64 = 64;

/// True if `a` and `b` hold the same at the start, at the end and at places in between of their first `len` bytes, where
/// both can be read there.
pub fn resembles(a: &dyn Source, b: &dyn Source, len: u64) -> bool {
    const LOOK: u64 = 16 << 10;
    let (mut x, mut y) = (vec![0; LOOK as usize], vec![0; LOOK as usize]);
    (0..LOOKS).all(|i| {
        let at = (len.saturating_sub(LOOK) / (LOOKS - 1) * i / LOOK * LOOK).min(len.saturating_sub(LOOK));
        let at = if i + 1 == LOOKS { len.saturating_sub(LOOK) } else { at };
        let n = LOOK.min(len - at) as usize;
        match (a.read_at(&mut x[..n], at), b.read_at(&mut y[..n], at)) {
            (Ok(()), Ok(())) => x[..n] == y[..n],
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_core::testing::{Bytes, Model};

    #[test]
    fn a_look_tells_other_disks_apart() {
        let model = Model::noise(3 << 20, 1);
        let mut other = model.bytes.clone();
        assert!(resembles(&model, &Bytes(other.clone()), 3 << 20));
        let last = other.len() - 1;
        other[last] ^= 1;
        assert!(!resembles(&model, &Bytes(other), 3 << 20));
        assert!(!resembles(&model, &Model::noise(3 << 20, 2), 3 << 20));
        assert!(resembles(&model, &model, 100) && resembles(&model, &model, 0));
    }

    #[test]
    fn another_part_is_another_source() {
        let whole = SourceId { serial: "S".into(), ..SourceId::default() };
        let part = SourceId { part: "#p1".into(), ..whole.clone() };
        assert!(whole.differs(&part).is_some() && whole.differs(&whole).is_none());
        let renamed = SourceId { locator: "/dev/sdz".into(), ..whole.clone() };
        assert!(whole.differs(&renamed).is_none());
    }
}
