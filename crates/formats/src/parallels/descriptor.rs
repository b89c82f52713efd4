//! DiskDescriptor.xml: of which files a bundle's disk consists, and which of its states are snapshots.

use tintype_core::{Error, Result};

/// The outermost element.
pub(super) const ROOT: &str = "<Parallels_disk_image";
/// No snapshot: the parent of the first.
pub(super) const NONE: &str = "{00000000-0000-0000-0000-000000000000}";
/// The state that is in use, where nothing else is said.
const TOP: &str = "{5fbaabe3-6958-40ff-92a7-860e329aab41}";
/// Elements inside each other, at most.
const DEEPEST: usize = 32;
/// Storages, images and snapshots, at most.
const MOST: usize = 4096;

/// A part of the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Storage {
    /// First sector.
    pub(super) start: u64,
    /// The sector after the last.
    pub(super) end: u64,
    pub(super) images: Vec<ImageFile>,
}

/// The file with a part of the disk as it was in one state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ImageFile {
    pub(super) guid: String,
    pub(super) kind: String,
    pub(super) file: String,
}

/// What the descriptor says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) sectors: u64,
    pub(super) padding: u64,
    /// What encrypts it; zeros for nothing.
    pub(super) encryption: String,
    pub(super) storages: Vec<Storage>,
    /// States and what they stand on.
    pub(super) shots: Vec<(String, String)>,
    pub(super) top: String,
}

impl Descriptor {
    /// The states from `guid` down to the first, which stands on none. `Corrupt` for a loop.
    pub(super) fn chain(&self, guid: &str) -> Result<Vec<String>> {
        let mut chain = vec![guid.to_owned()];
        loop {
            let last = chain.last().map_or("", |g| g.as_str());
            let parent = self.shots.iter().find(|(g, _)| g == last).map_or(NONE, |(_, parent)| parent);
            if parent == NONE || parent.is_empty() {
                return Ok(chain);
            }
            if chain.iter().any(|g| g == parent) {
                return Err(Error::corrupt("the snapshots of the descriptor are a loop"));
            }
            chain.push(parent.to_owned());
        }
    }
}

/// Reads a descriptor. `Corrupt` where it is none.
pub(super) fn parse(text: &str) -> Result<Descriptor> {
    let mut descriptor = Descriptor::default();
    let mut image = ImageFile::default();
    let mut shot = (String::new(), String::new());
    let mut path: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        let content = rest[..open].trim();
        let tag = &rest[open + 1..];
        let close = if tag.starts_with("!--") { tag.find("-->").map(|at| at + 2) } else { tag.find('>') };
        let close = close.ok_or_else(|| Error::corrupt("the descriptor is cut off"))?;
        rest = &tag[close + 1..];
        let tag = &tag[..close];
        if tag.starts_with(['?', '!']) {
            continue;
        }
        let Some(name) = tag.strip_prefix('/') else {
            // What ends where it begins holds nothing.
            if tag.ends_with('/') {
                continue;
            }
            path.push(tag.split([' ', '\t', '\r', '\n']).next().unwrap_or_default());
            match path.last() {
                Some(&"Storage") => descriptor.storages.push(Storage::default()),
                Some(&"Image") => image = ImageFile::default(),
                Some(&"Shot") => shot = Default::default(),
                _ => {}
            }
            let many = descriptor.storages.len() + descriptor.shots.len();
            if path.len() > DEEPEST || many > MOST {
                return Err(Error::limit("the descriptor has too many parts"));
            }
            continue;
        };
        if path.pop() != Some(name.trim()) {
            return Err(Error::corrupt(format!("the descriptor ends {name:?}, which had not begun")));
        }
        let inside = path.last().copied().unwrap_or_default();
        let number = || {
            content.parse().map_err(|_| Error::corrupt(format!("{name} of the descriptor is no number: {content:?}")))
        };
        match (inside, name, descriptor.storages.last_mut()) {
            ("Disk_Parameters", "Disk_size", _) => descriptor.sectors = number()?,
            ("Disk_Parameters", "Padding", _) => descriptor.padding = number()?,
            ("Encryption", "Engine", _) => descriptor.encryption = content.to_owned(),
            ("Storage", "Start", Some(storage)) => storage.start = number()?,
            ("Storage", "End", Some(storage)) => storage.end = number()?,
            ("Storage", "Image", Some(storage)) if storage.images.len() < MOST => storage.images.push(image.clone()),
            ("Image", "GUID", _) => image.guid = content.to_ascii_lowercase(),
            ("Image", "Type", _) => image.kind = content.to_owned(),
            ("Image", "File", _) => image.file = plain(content),
            ("Snapshots", "TopGUID", _) => descriptor.top = content.to_ascii_lowercase(),
            ("Snapshots", "Shot", _) => descriptor.shots.push(shot.clone()),
            ("Shot", "GUID", _) => shot.0 = content.to_ascii_lowercase(),
            ("Shot", "ParentGUID", _) => shot.1 = content.to_ascii_lowercase(),
            _ => {}
        }
    }
    if !path.is_empty() || descriptor.storages.is_empty() {
        return Err(Error::corrupt("the descriptor is cut off, or names no storage"));
    }
    if descriptor.top.is_empty() {
        descriptor.top = TOP.to_owned();
    }
    Ok(descriptor)
}

/// A text without the marks that XML has for some characters.
fn plain(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}
