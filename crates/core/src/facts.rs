//! What is known about a medium and about how its image was made.

use std::collections::BTreeMap;

/// Everything known besides the bytes. Empty strings mean: not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Which drive it is.
    pub identity: Identity,
    /// The case and the acquisition, as people wrote them.
    pub case: Case,
    /// Digests that the container stores.
    pub digests: Vec<StoredDigest>,
    /// Whatever else a format knows, by snake_case name.
    pub fields: BTreeMap<String, String>,
}

impl Facts {
    /// Facts that say nothing, to borrow.
    pub fn none() -> &'static Facts {
        static NONE: std::sync::LazyLock<Facts> = std::sync::LazyLock::new(Facts::default);
        &NONE
    }
}

/// Which drive a medium is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Maker and model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Firmware revision.
    pub firmware: String,
    /// How it is attached: `sata`, `nvme`, `usb`, `virtio`, `loop`, `file` ...
    pub transport: String,
    /// World wide name.
    pub wwn: String,
}

/// The case and the acquisition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// Case number.
    pub case: String,
    /// Evidence number.
    pub evidence: String,
    /// Examiner.
    pub examiner: String,
    /// Description of the evidence.
    pub description: String,
    /// Notes.
    pub notes: String,
    /// When the image was made, RFC 3339 where it could be parsed.
    pub acquired: String,
    /// What the clock of the examiner's machine said.
    pub system_time: String,
    /// Program and version that made the image.
    pub program: String,
    /// Operating system it ran on.
    pub system: String,
}

/// A digest that a container stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDigest {
    /// Algorithm, as the codec crate names it: `md5`, `sha1`, `sha256` ...
    pub algorithm: String,
    /// Its value.
    pub value: Vec<u8>,
    /// What it was computed over.
    pub covers: Covers,
}

impl StoredDigest {
    /// The value in lower case hex.
    pub fn hex(&self) -> String {
        self.value.iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// What a digest was computed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Covers {
    /// All logical bytes, fills included.
    Whole,
    /// Something else, in the format's own words; such a digest is shown but not compared with the whole.
    Part(String),
}
