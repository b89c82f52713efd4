//! One row per image format: everything the program knows about a format without opening a file.

use crate::{
    Checkpoint, Compression, Entry, Error, Facts, Limits, Opener, OptionSpec, Options, Outlet, Result, Resumed,
};
use crate::{Secrets, Shape, Sink, Source, States, Watch};
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
    /// What its checksums are, in words that follow "verified by"; empty where it has none.
    pub sums: &'static str,
    /// What this very image would lose in the format although [`Caps`] say it can carry it, one sentence each.
    pub losses: Option<fn(&CreateRequest) -> Vec<String>>,
    /// The name of the first file of a target called by a given name, for formats that cannot take any name.
    pub first_name: Option<fn(&str) -> String>,
}

impl Format {
    /// A format that can do nothing and recognises nothing: a row begins with it, and says only what it can.
    pub const NOTHING: Format = Format {
        name: "",
        title: "",
        extensions: &[],
        caps: Caps::NOTHING,
        options: &[],
        probe: |_| 0,
        open: None,
        create: None,
        resume: None,
        check: None,
        sums: "",
        losses: None,
        first_name: None,
    };
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
    /// Can stand on a backing file, so that only what differs from it is kept.
    pub backing: bool,
    /// Can be begun without knowing the length.
    pub unknown_len: bool,
    /// Can be written to a stream (standard output): nothing is written twice or out of order.
    pub stream: bool,
}

impl Caps {
    /// What a format can do of which nothing is known.
    pub const NOTHING: Caps = Caps {
        states: States::of(&[]),
        case: false,
        digests: &[],
        compression: &[],
        split: false,
        backing: false,
        unknown_len: false,
        stream: false,
    };
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

/// What an image is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// To get its bytes: whatever can be decoded and is right by its checksums is.
    Read,
    /// To prove it: what other programs would refuse is damage, though its bytes can be had. Costs processor time.
    Prove,
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
    /// Passphrases, asked for only when an image needs one.
    pub secrets: Arc<dyn Secrets>,
    /// What it is opened for.
    pub care: Care,
    /// The images that stand on this one, by name, the outermost first; empty for what a person named.
    pub above: Vec<String>,
}

impl OpenRequest {
    /// The name, as the opener knows it, of the extent or data file that this image calls `name`: relative to the folder of its own file.
    ///
    /// Names come out of files that nobody vouches for: `Denied` for what is no path at all. What may be reached is the opener's
    /// business. A colon is a letter like any other, as for QEMU: `a:b.data` is a file.
    pub fn beside(&self, name: &str) -> Result<String> {
        if name.contains('\0') || name.split('/').all(|part| matches!(part, "" | ".")) {
            return Err(self.no_path(name));
        }
        let found = match self.entry.name.rsplit_once('/') {
            Some((folder, _)) if !name.starts_with('/') => format!("{folder}/{name}"),
            _ => name.to_owned(),
        };
        // So that one file has one name, by which a loop is known.
        let parts: Vec<_> = found.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        Ok(format!("{}{}", if found.starts_with('/') { "/" } else { "" }, parts.join("/")))
    }

    /// The same for the image that this one stands on and calls `name`. Here `json:`, `nbd:` and `ssh://` are protocols, as for QEMU,
    /// and `Denied`; `file:` may stand before a path, and `./a:b` is one.
    pub fn beneath(&self, name: &str) -> Result<String> {
        let path = name.strip_prefix("file:").unwrap_or(name);
        let scheme = path.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| {
            scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b))
        });
        match scheme {
            Some(_) => Err(self.no_path(name)),
            None => self.beside(path),
        }
    }

    fn no_path(&self, name: &str) -> Error {
        let what = format!("the image stands on {name:?}, which is no path of a file; nothing else is opened");
        Error::denied(what).in_path(&self.entry.name)
    }

    /// The file that this image calls `name`, for extents and data files.
    pub fn open_beside(&self, name: &str) -> Result<Arc<dyn Source>> {
        self.opener.open(&self.beside(name)?)
    }

    /// The request to open the image that this one stands on and calls `name`.
    ///
    /// `Corrupt` if that is this image or one that stands on it, `Limit` where the chain is longer than allowed, `Denied` and
    /// `Io` as the opener says.
    pub fn backing(&self, name: &str) -> Result<OpenRequest> {
        let name = self.beneath(name)?;
        let mut above = self.above.clone();
        above.push(self.entry.name.clone());
        if above.contains(&name) {
            let what = format!("the chain of backing files is a loop: it comes back to {name}");
            return Err(Error::corrupt(what).in_path(&self.entry.name));
        }
        if above.len() >= self.limits.depth as usize {
            let what = format!("the chain of backing files is longer than {} images", self.limits.depth);
            return Err(Error::limit(what).in_path(&self.entry.name));
        }
        Ok(OpenRequest { entry: Entry::bytes(&*name, self.opener.open(&name)?), sidecars: None, above, ..self.clone() })
    }
}

/// An image that was opened.
pub struct Image {
    /// The variant in the format's own words: `EnCase 6`, `BGZF`.
    pub variant: String,
    /// Its default disk.
    pub disk: Arc<dyn Source>,
    /// Further disks inside it, by kind and name.
    pub parts: Vec<Part>,
    /// The images that it stands on, the nearest first.
    pub chain: Vec<Link>,
    /// How it is compressed, for people; empty if it is not.
    pub compression: String,
    /// The files it consists of, in order; not those of the images it stands on.
    pub files: Vec<String>,
    /// What is odd about it, short of an error.
    pub warnings: Vec<String>,
    /// What is wrong with it although it can be read; it cannot be called verified.
    pub damage: Vec<Finding>,
    /// What its checksums prove.
    pub checksums: Checksums,
}

impl Image {
    /// An image of one disk, in `files`, about which there is nothing else to say and whose checksums prove nothing.
    pub fn new(variant: impl Into<String>, disk: Arc<dyn Source>, files: Vec<String>) -> Self {
        Image {
            variant: variant.into(),
            disk,
            parts: Vec::new(),
            chain: Vec::new(),
            compression: String::new(),
            files,
            warnings: Vec::new(),
            damage: Vec::new(),
            checksums: Checksums::None,
        }
    }

    /// Puts the image on another one, its backing file: `request` and `format` are those that opened that one.
    pub fn stand_on(&mut self, request: &OpenRequest, format: &'static Format, below: &Image) {
        self.chain.push(Link {
            format,
            request: request.clone(),
            variant: below.variant.clone(),
            len: below.disk.len(),
            files: below.files.clone(),
        });
        self.chain.extend(below.chain.iter().cloned());
        self.warnings.extend(below.warnings.iter().cloned());
        self.damage.extend(below.damage.iter().cloned());
    }

    /// Every file that its bytes may come from: its own, and those of the images it stands on.
    pub fn all_files(&self) -> Vec<String> {
        self.files.iter().chain(self.chain.iter().flat_map(|l| &l.files)).cloned().collect()
    }

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
    /// Every byte that is stored; but which those are is told by books that have no checksum, and the rest reads as zeros. A check of
    /// the structure says whether they are sound.
    Stored,
    /// Nothing, or not all bytes: checksums are missing somewhere.
    None,
    /// Nothing, as the format has none; but it keeps books of where every byte lies, and a check of them says whether they are sound.
    Structure,
}

/// An image that another one stands on.
#[derive(Clone)]
pub struct Link {
    /// Its format.
    pub format: &'static Format,
    /// What opened it, and what a check of its structure takes; its name in it is as the opener knows it.
    pub request: OpenRequest,
    /// Its variant, in the format's own words.
    pub variant: String,
    /// Its logical bytes.
    pub len: u64,
    /// Its files, in order.
    pub files: Vec<String>,
}

/// A further disk inside an image.
pub struct Part {
    /// Its kind as in a locator: `snap`, `bitmap`, `disk`, `vol`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What is known about it, for people: a date, a size; may be empty.
    pub note: String,
    /// Makes its bytes readable: its tables are read only now.
    pub open: OpenPart,
}

/// Opens a [`Part`]. Errors as those of [`Open`].
pub type OpenPart = Box<dyn Fn() -> Result<Arc<dyn Source>> + Send + Sync>;

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
    /// What the new image stands on; only for formats whose [`Caps::backing`] says so.
    pub backing: Option<Backing>,
}

/// What a new image stands on. The sink's encoder compares with it and keeps only what differs; nothing put at all means
/// that nothing differs.
#[derive(Clone)]
pub struct Backing {
    /// Its name as the new image is to write it: relative to the image's folder, or absolute.
    pub name: String,
    /// The name of its format.
    pub format: &'static str,
    /// Its variant, in the format's own words.
    pub variant: String,
    /// Its bytes.
    pub source: Arc<dyn Source>,
    /// Whatever the format knows about it (identifiers that an overlay has to name), by snake_case name.
    pub fields: std::collections::BTreeMap<String, String>,
}

impl std::fmt::Debug for Backing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backing({}, {})", self.name, self.format)
    }
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

#[cfg(all(test, feature = "testing"))]
mod tests {
    use crate::Kind;
    use crate::testing::{MemoryOutlet, open_request};

    #[test]
    fn names_in_an_image_are_relative_to_its_folder_and_nothing_but_paths() {
        let outlet = MemoryOutlet::new();
        outlet.insert("vm/top", vec![1]);
        let request = open_request(&outlet, "vm/top");
        for (name, path) in [
            ("base", "vm/base"),
            ("../base", "vm/../base"),
            ("/abs/base", "/abs/base"),
            ("././a/./base", "vm/a/base"),
            ("./json:{}", "vm/json:{}"),
            (".//base", "vm/base"),
        ] {
            assert_eq!(request.beside(name).unwrap(), path);
            assert_eq!(request.beneath(name).unwrap(), path);
        }
        outlet.insert("top", vec![1]);
        assert_eq!(open_request(&outlet, "top").beside("././/base").unwrap(), "base", "what is relative stays so");
        for name in ["", "./", "/", "a\0b"] {
            assert_eq!(request.beside(name).unwrap_err().kind(), Kind::Denied, "{name}");
            assert_eq!(request.beneath(name).unwrap_err().kind(), Kind::Denied, "{name}");
        }
    }

    #[test]
    fn a_colon_makes_a_protocol_of_what_an_image_stands_on_and_of_nothing_else() {
        let outlet = MemoryOutlet::new();
        outlet.insert("vm/top", vec![1]);
        outlet.insert("vm/nbd:b.data", vec![1, 2]);
        let request = open_request(&outlet, "vm/top");
        assert_eq!(request.open_beside("nbd:b.data").unwrap().len(), 2);
        assert_eq!(request.beside("file:a").unwrap(), "vm/file:a");
        assert_eq!(request.beneath("file:base").unwrap(), "vm/base");
        assert_eq!(request.backing("./nbd:b.data").unwrap().entry.name, "vm/nbd:b.data");
        for name in ["json:{}", "nbd:b.data", "ssh://host/a", "https://host/a", "file:nbd:a"] {
            assert_eq!(request.backing(name).err().unwrap().kind(), Kind::Denied, "{name}");
        }
    }

    #[test]
    fn a_chain_ends() {
        let outlet = MemoryOutlet::new();
        for name in ["a", "b"] {
            outlet.insert(name, vec![1]);
        }
        let a = open_request(&outlet, "a");
        let b = a.backing("b").unwrap();
        assert_eq!(b.above, ["a"]);
        assert_eq!(b.backing("a").err().unwrap().kind(), Kind::Corrupt);
        assert_eq!(a.backing("a").err().unwrap().kind(), Kind::Corrupt);
        let mut deep = a;
        for i in 0..deep.limits.depth {
            outlet.insert(&format!("n{i}"), vec![1]);
            match deep.backing(&format!("n{i}")) {
                Ok(next) => deep = next,
                Err(e) => return assert_eq!((e.kind(), i + 1), (Kind::Limit, deep.limits.depth)),
            }
        }
        assert_eq!(deep.backing("b").err().unwrap().kind(), Kind::Limit);
    }
}
