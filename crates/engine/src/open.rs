//! From a locator to a source.

use crate::identity::{SourceId, stamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tintype_core::layers::{Masked, Placed, Slice};
use tintype_core::mapfile::{Gaps, Mapfile};
use tintype_core::{
    Care, Entry, Error, Format, Image, Limits, Locator, NoFiles, NoSecrets, OpenRequest, Opener, Outlet,
};
use tintype_core::{PARTIAL, PartName, Place, Result, Secrets, Source, Watch};
use tintype_device::folder::{Folder, Reach, Reading};

/// How inputs are opened.
#[derive(Clone)]
pub struct Inputs {
    /// The format, instead of what the content says.
    pub from: Option<String>,
    /// Which further files an image may name.
    pub reach: Reach,
    /// What happens to an image that somebody else writes to.
    pub in_use: InUse,
    /// A mapfile that says which bytes were read.
    pub map: Option<PathBuf>,
    /// Where side-cars are kept.
    pub sidecars: Option<Arc<dyn Outlet>>,
    /// Shows long passes.
    pub watch: Arc<dyn Watch>,
    /// Passphrases.
    pub secrets: Arc<dyn Secrets>,
    /// What they are opened for.
    pub care: Care,
}

/// What happens to an image whose files somebody has locked to write to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InUse {
    /// It is not opened: what is read while it changes may be neither what was nor what will be.
    Refused,
    /// It is opened, with a warning.
    Allowed,
}

/// What a locator turned out to be.
pub struct Opened {
    /// The locator, as it was given.
    pub locator: String,
    /// Its path.
    pub path: PathBuf,
    /// The bytes that are meant: the image's disk, or a part of it, with its map.
    pub source: Arc<dyn Source>,
    /// The format.
    pub format: &'static Format,
    /// Variant, files, warnings, and the whole disk.
    pub image: Image,
    /// What it was found on.
    pub medium: Medium,
    /// What it takes to open it again, for a check of its structure.
    pub request: OpenRequest,
    /// The part that is meant, as it was written; empty for the whole.
    pub part: String,
    /// The digest of the map that was laid over it; empty without one.
    pub map: String,
}

/// What an image was found on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// A block device.
    Drive,
    /// A regular file, or several.
    File,
    /// A folder.
    Folder,
}

impl Medium {
    /// The name used in JSON output.
    pub fn name(self) -> &'static str {
        match self {
            Medium::Drive => "drive",
            Medium::File => "file",
            Medium::Folder => "folder",
        }
    }
}

impl Opened {
    /// What it is, to know it again.
    pub fn id(&self) -> SourceId {
        let mut id = SourceId::of(&self.locator, Some(&self.path), Some(&*self.source));
        if !self.part.is_empty() {
            id.part = format!("{}{}", id.part, self.part);
        }
        id.reading = format!("{} {}", self.format.name, self.map).trim().to_owned();
        id.stamp = self.stamp();
        id
    }

    /// True if its bytes come, in part at least, from the file at `path`.
    pub fn reads(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let Ok(other) = std::fs::metadata(path) else { return false };
        let folder = self.folder();
        let mut files = self.image.all_files().into_iter().map(|f| folder.join(f)).chain([self.path.clone()]);
        files.any(|f| std::fs::metadata(&f).is_ok_and(|m| (m.dev(), m.ino()) == (other.dev(), other.ino())))
    }

    /// The folder that its files lie in.
    pub fn folder(&self) -> &Path {
        match self.medium {
            Medium::Folder => &self.path,
            _ => self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        }
    }

    /// Bytes that its files take, those of the images it stands on included; 0 for a drive.
    pub fn stored(&self) -> u64 {
        match self.medium {
            Medium::Drive => 0,
            _ => self.taken(&self.image.all_files()),
        }
    }

    /// Bytes that these of its files take; holes take none.
    pub fn taken(&self, files: &[String]) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let files = files.iter().filter_map(|f| std::fs::metadata(self.folder().join(f)).ok());
        files.map(|m| m.blocks() * 512).sum()
    }

    /// Changes when one of its files does; empty for a drive.
    pub fn stamp(&self) -> String {
        match self.medium {
            Medium::Drive => String::new(),
            Medium::Folder => stamp(&self.path, &self.image.all_files()),
            Medium::File => stamp(self.folder(), &self.image.all_files()),
        }
    }
}

/// Opens the source or image that `text` names.
pub fn open(text: &str, inputs: &Inputs) -> Result<Opened> {
    let locator = Locator::parse(text)?;
    let path = match &locator.place {
        Place::Stdio => {
            return Err(Error::usage("standard input can only be imaged or hashed, not read by position"));
        }
        _ => locator.path()?.clone(),
    };
    let from = inputs.from.as_deref().map(tintype_formats::by_name).transpose()?;
    let medium = medium_of(&path)?;
    let (entry, opener): (Entry, Arc<dyn Opener>) = match medium {
        Medium::Drive => {
            let source = tintype_device::block::open(&path)?;
            (Entry::bytes(path.to_string_lossy(), Arc::new(source)), Arc::new(NoFiles))
        }
        Medium::File => {
            let (folder, name) = Folder::of(&path, inputs.reach)?;
            let source = tintype_device::file::open(&path)?;
            (Entry::bytes(name, Arc::new(source)), Arc::new(folder))
        }
        Medium::Folder => {
            let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            (Entry::folder(name), Arc::new(Folder::open(&path, inputs.reach)?))
        }
    };
    // What lies on a drive is never guessed to be a container: a drive is its bytes.
    let format = match (from, medium) {
        (None, Medium::Drive) => Some(tintype_formats::by_name("raw")?),
        (from, _) => from,
    };
    let request = OpenRequest {
        entry,
        opener,
        sidecars: inputs.sidecars.clone(),
        limits: Limits::default(),
        watch: Arc::clone(&inputs.watch),
        secrets: Arc::clone(&inputs.secrets),
        care: inputs.care,
        above: Vec::new(),
    };
    // Formats know their files by bare names; a person has to find them.
    let folder = match medium {
        Medium::Folder => path.as_path(),
        _ => path.parent().unwrap_or(Path::new("")),
    };
    // Before anything of it is believed: what changes just now may look damaged.
    if medium == Medium::File {
        let written = written_to(Path::new(""), std::slice::from_ref(&path));
        refuse_in_use(&written, inputs.in_use)?;
    }
    let (format, mut image) = tintype_formats::open(&request, format).map_err(|e| match (medium, e.kind()) {
        (Medium::Folder, tintype_core::Kind::Unsupported) if from.is_none() => {
            Error::usage("is a folder, and no image that is a folder; name the image inside it").in_path(&path)
        }
        _ => e.in_path(&path).in_folder(folder),
    })?;
    if medium != Medium::Drive {
        let files: Vec<PathBuf> = image.all_files().into_iter().map(PathBuf::from).collect();
        let written = written_to(folder, &files);
        refuse_in_use(&written, inputs.in_use)?;
        image.warnings.extend(written.iter().map(|(path, what)| format!("{} {what}", path.display())));
    }
    image.disk = Arc::new(Placed::new(image.disk, folder));
    let mut source = Arc::clone(&image.disk);
    let mut map_digest = String::new();
    if let Some(map) = &inputs.map {
        let text = crate::map::read(&map.to_string_lossy())?;
        map_digest = crate::map::digest(&text);
        let parsed = Mapfile::parse(&text, Gaps::Refused).map_err(|e| e.in_path(map))?;
        let known = parsed.extents_over(source.len());
        source = Arc::new(Masked::new(source, known));
    }
    if let Some(part) = &locator.part {
        source = choose(&image, source, part, folder).map_err(|e| e.in_path(&path))?;
    }
    let part = if locator.part.is_some() { text.rsplit_once('#').map(|(_, p)| format!("#{p}")) } else { None };
    Ok(Opened {
        locator: text.to_owned(),
        path,
        source,
        format,
        image,
        medium,
        request,
        part: part.unwrap_or_default(),
        map: map_digest,
    })
}

/// Which of the files, that lie in a folder, somebody has locked to write to them, and what that means in words.
fn written_to(folder: &Path, files: &[PathBuf]) -> Vec<(PathBuf, String)> {
    let files = files.iter().map(|file| folder.join(file));
    let locked = files.filter_map(|path| Some((tintype_device::locks::writer(&path).ok()??, path)));
    locked.map(|(what, path)| (path, format!("{what}: it may change while it is read"))).collect()
}

/// `Denied` if there is such a file, and nobody has said that this does not matter.
fn refuse_in_use(written: &[(PathBuf, String)], in_use: InUse) -> Result<()> {
    match written.first() {
        Some((path, what)) if in_use == InUse::Refused => {
            let what = format!("{what}; stop what writes to it, or give --allow-in-use to read it all the same");
            Err(Error::denied(what).in_path(path))
        }
        _ => Ok(()),
    }
}

/// What lies at `path`.
pub fn medium_of(path: &Path) -> Result<Medium> {
    use std::os::unix::fs::FileTypeExt;
    let meta = std::fs::metadata(path).map_err(|e| Error::io("cannot open", e).in_path(path))?;
    let kind = meta.file_type();
    if kind.is_block_device() {
        Ok(Medium::Drive)
    } else if kind.is_dir() {
        Ok(Medium::Folder)
    } else if kind.is_file() {
        Ok(Medium::File)
    } else {
        Err(Error::usage("is neither a file, a folder nor a block device").in_path(path))
    }
}

fn choose(image: &Image, source: Arc<dyn Source>, part: &PartName, folder: &Path) -> Result<Arc<dyn Source>> {
    match part {
        PartName::Partition(number) => {
            let table = tintype_volumes::tables::read(&*source)?
                .ok_or_else(|| Error::usage(format!("there is no partition table, so no partition {number}")))?;
            let found = table.partitions.iter().find(|p| p.number == *number).ok_or_else(|| {
                let known: Vec<_> = table.partitions.iter().map(|p| p.number.to_string()).collect();
                Error::usage(format!("there is no partition {number}; there are {}", known.join(", ")))
            })?;
            // A table may promise more than the disk has; what is there can still be read.
            let len = found.len.min(source.len().saturating_sub(found.offset));
            Ok(Arc::new(Slice::new(source, found.offset, len)?))
        }
        PartName::Named { kind, name } => {
            let called = |kind: &str| image.parts.iter().find(|p| p.kind == kind && p.name == *name);
            // A bitmap is a state of the disk too, and goes by the name of one where no snapshot has it.
            let found = called(kind).or_else(|| called("bitmap").filter(|_| kind == "snap"));
            let found = found.ok_or_else(|| {
                let known: Vec<_> = image.parts.iter().map(|p| format!("#{}={}", p.kind, p.name)).collect();
                let known = if known.is_empty() { "no parts".to_owned() } else { known.join(", ") };
                Error::usage(format!("the image has no {kind} called {name:?}; it has {known}"))
            })?;
            Ok(Arc::new(Placed::new((found.open)().map_err(|e| e.in_folder(folder))?, folder)))
        }
    }
}

/// Opens the files of an image that was just written, past the page cache, while they still have their partial names.
pub fn reopen_written(
    folder: &Path,
    files: &[String],
    format: &'static Format,
    naming: Naming,
    watch: &Arc<dyn Watch>,
) -> Result<(Image, OpenRequest)> {
    let first = files.first().ok_or_else(|| Error::corrupt("the image has no files"))?;
    // The names in it are those that were just put there: what it stands on lies where the person said.
    let folder = Folder::open(folder, Reach::Anywhere)?.reading(Reading::Uncached);
    let opener = Arc::new(Written { folder, naming, files: files.to_vec() });
    let request = OpenRequest {
        entry: Entry::bytes(first, opener.open(first)?),
        opener,
        sidecars: None,
        limits: Limits::default(),
        watch: Arc::clone(watch),
        secrets: Arc::new(NoSecrets),
        care: Care::Prove,
        above: Vec::new(),
    };
    let image = tintype_formats::open(&request, Some(format))?.1;
    Ok((image, request))
}

/// What the files are called on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Their own names.
    Final,
    /// With the ending of unfinished files.
    Partial,
}

struct Written {
    folder: Folder,
    naming: Naming,
    files: Vec<String>,
}

impl Opener for Written {
    fn open(&self, name: &str) -> Result<Arc<dyn Source>> {
        match self.naming {
            Naming::Partial if self.files.iter().any(|f| f == name) => {
                Opener::open(&self.folder, &format!("{name}{PARTIAL}"))
            }
            _ => Opener::open(&self.folder, name),
        }
    }

    fn list(&self) -> Result<Vec<String>> {
        let names = self.folder.list()?;
        Ok(match self.naming {
            Naming::Final => names,
            Naming::Partial => names.iter().filter_map(|n| n.strip_suffix(PARTIAL)).map(str::to_owned).collect(),
        })
    }
}
