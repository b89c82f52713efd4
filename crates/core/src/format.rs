//! One row per image format: everything the program knows about a format without opening a file.

use crate::{
    Checkpoint, Compression, Entry, Error, Facts, Limits, Opener, OptionSpec, Options, Outlet, Result, Resumed,
};
use crate::{Shape, Sink, Source, States, Watch};
use std::sync::Arc;

/// Opens an existing image.
pub type Open = fn(&OpenRequest) -> Result<Image>;
/// Begins a new image.
pub type Create = fn(&CreateRequest) -> Result<Box<dyn Sink>>;
/// Goes on with an interrupted image.
pub type Resume = fn(&CreateRequest, &[Checkpoint]) -> Result<Resumed>;
/// Checks the structure of an image.
pub type Check = fn(&OpenRequest) -> Result<Vec<Finding>>;

/// One image format. The table of them is the only place where formats are listed.
pub struct Format {
    /// Its name on the command line (`--from`, `--to`) and in JSON.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// File name endings it is written under, without the dot, lower case, the usual one first.
    pub extensions: &'static [&'static str],
    /// What it can do.
    pub caps: Caps,
    /// Its own options when written.
    pub options: &'static [OptionSpec],
    /// How sure it is, from 0 (not mine) to 100, that an entry is its own. Does no I/O.
    pub probe: fn(&Probe<'_>) -> u8,
    /// Opens an existing image.
    pub open: Option<Open>,
    /// Begins a new image.
    pub create: Option<Create>,
    /// Goes on with an image that was interrupted, from its checkpoints in order (at least one).
    pub resume: Option<Resume>,
    /// Checks the structure, without the bytes of chunks: those are checked by reading them.
    pub check: Option<Check>,
    /// What this very image would lose in the format although [`Caps`] say it can carry it, one sentence each.
    pub losses: Option<fn(&CreateRequest) -> Vec<String>>,
    /// The name of the first file of a target called by a given name, for formats that cannot take any name.
    pub first_name: Option<fn(&str) -> String>,
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Format({})", self.name)
    }
}

/// What a format can do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caps {
    /// States it keeps apart.
    pub states: States,
    /// Keeps case data.
    pub case: bool,
    /// Digests it stores, by name.
    pub digests: &'static [&'static str],
    /// Compression words and codecs it takes when written.
    pub compression: &'static [&'static str],
    /// Can be split into segments.
    pub split: bool,
    /// Can be begun without knowing the length.
    pub unknown_len: bool,
    /// Can be written to a stream (standard output): nothing is written twice or out of order.
    pub stream: bool,
}

/// What a format may look at to recognise an entry.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// The entry's name.
    pub name: &'a str,
    /// True for a folder; then `head` and `tail` are empty.
    pub folder: bool,
    /// Its first bytes, at most [`PROBE_HEAD`].
    pub head: &'a [u8],
    /// Its last bytes, at most [`PROBE_TAIL`].
    pub tail: &'a [u8],
    /// Its length.
    pub len: u64,
}

/// Most bytes of a [`Probe::head`].
pub const PROBE_HEAD: usize = 64 << 10;
/// Most bytes of a [`Probe::tail`].
pub const PROBE_TAIL: usize = 4 << 10;

impl Probe<'_> {
    /// The lower-case ending of the name after its last dot; empty without one.
    pub fn extension(&self) -> String {
        self.name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase()).unwrap_or_default()
    }
}

/// What it takes to open an image.
#[derive(Clone)]
pub struct OpenRequest {
    /// What to open.
    pub entry: Entry,
    /// The way to further files.
    pub opener: Arc<dyn Opener>,
    /// Where side-cars (such as checkpoints into a compressed stream) may be kept and found; none: nowhere.
    pub sidecars: Option<Arc<dyn Outlet>>,
    /// How much the input may ask for.
    pub limits: Limits,
    /// Hears of long passes.
    pub watch: Arc<dyn Watch>,
}

/// An image that was opened.
pub struct Image {
    /// The variant in the format's own words: `EnCase 6`, `BGZF`.
    pub variant: String,
    /// Its default disk.
    pub disk: Arc<dyn Source>,
    /// Further disks inside it, by kind and name.
    pub parts: Vec<Part>,
    /// How it is compressed, for people; empty if it is not.
    pub compression: String,
    /// The files it consists of, in order.
    pub files: Vec<String>,
    /// What is odd about it, short of an error.
    pub warnings: Vec<String>,
    /// What is wrong with it although it can be read; it cannot be called verified.
    pub damage: Vec<Finding>,
    /// What its checksums prove.
    pub checksums: Checksums,
}

impl Image {
    /// What is odd or wrong about it, in words.
    pub fn notes(&self) -> Vec<String> {
        self.damage.iter().map(|f| f.what.clone()).chain(self.warnings.iter().cloned()).collect()
    }
}

/// What the checksums inside an image prove about the bytes of its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// Every byte that a read returns.
    Every,
    /// All bytes, once the disk was read from start to end, in order; nothing about a part read alone.
    Whole,
    /// Nothing, or not all bytes: checksums are missing somewhere.
    None,
}

/// A further disk inside an image.
pub struct Part {
    /// Its kind as in a locator: `snap`, `disk`, `vol`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub source: Arc<dyn Source>,
}

/// What it takes to begin an image.
#[derive(Clone)]
pub struct CreateRequest {
    /// Where its files go.
    pub outlet: Arc<dyn Outlet>,
    /// The name of its first file.
    pub name: String,
    /// Logical bytes; `None` for a stream of unknown length.
    pub len: Option<u64>,
    /// The source's sectors.
    pub shape: Shape,
    /// What is known about the medium and the case.
    pub facts: Facts,
    /// The format's own options.
    pub options: Options,
    /// How to compress; `None`: the format's default.
    pub compression: Option<Compression>,
    /// Most bytes of one segment; `None`: the format's default.
    pub split: Option<u64>,
    /// Digests the person wants stored, by name.
    pub digests: Vec<String>,
    /// In which order the outlet's files can be written.
    pub order: Order,
}

/// In which order a file can be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By position.
    #[default]
    Any,
    /// From start to end, every byte once: a pipe.
    Ascending,
}

impl CreateRequest {
    /// The length, for formats that cannot begin without.
    pub fn known_len(&self) -> Result<u64> {
        self.len.ok_or_else(|| Error::usage("this format has to know the length before it starts; give --size"))
    }
}

/// Something a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub what: String,
    /// The file it is in.
    pub file: Option<String>,
    /// Where in that file.
    pub offset: Option<u64>,
    /// The logical bytes it touches: offset and length.
    pub touches: Option<(u64, u64)>,
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Odd, but nothing is lost by it.
    Warning,
    /// The image is not what it should be.
    Damage,
}

impl Finding {
    /// A warning.
    pub fn warning(what: impl Into<String>) -> Self {
        Finding { severity: Severity::Warning, what: what.into(), file: None, offset: None, touches: None }
    }

    /// Damage.
    pub fn damage(what: impl Into<String>) -> Self {
        Finding { severity: Severity::Damage, ..Finding::warning(what) }
    }

    /// The same, with the place in a file.
    pub fn in_file(mut self, file: impl Into<String>, offset: u64) -> Self {
        self.file = Some(file.into());
        self.offset = Some(offset);
        self
    }

    /// The same, with the logical bytes it touches.
    pub fn touching(mut self, offset: u64, len: u64) -> Self {
        self.touches = Some((offset, len));
        self
    }
}
