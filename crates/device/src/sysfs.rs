//! The kernel's own list of drives, partitions and what is stacked on what.

use std::path::{Path, PathBuf};

/// Where the kernel and udev tell about drives: below `/`, or below a recorded tree.
#[derive(Clone, Debug)]
pub struct System {
    root: PathBuf,
}

impl System {
    /// This machine.
    pub fn here() -> Self {
        System { root: PathBuf::from("/") }
    }

    /// A tree that was recorded: `sys`, `proc`, `run` and `dev` below `root`.
    pub fn recorded(root: impl Into<PathBuf>) -> Self {
        System { root: root.into() }
    }

    /// `path`, which begins with `/`, in this tree.
    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The whole list.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        let mut nodes = Vec::new();
        for dir in children(&self.at("/sys/block")) {
            let Some(whole) = Node::read(&dir, None) else { continue };
            let name = whole.name.clone();
            nodes.push(whole);
            let parts = children(&dir).into_iter().filter(|d| d.join("partition").exists());
            nodes.extend(parts.filter_map(|d| Node::read(&d, Some(&name))));
        }
        nodes
    }
}

/// A drive or partition as the kernel lists it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    /// The kernel's name: `sda`, `nvme0n1p2`, `dm-3`.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    pub device: Option<(u32, u32)>,
    /// The drive that this is a partition of.
    pub whole: Option<String>,
    pub number: Option<u32>,
    /// First byte on the drive.
    pub start: u64,
    pub len: u64,
    pub read_only: bool,
    /// What it is made of: md, dm.
    pub slaves: Vec<String>,
    /// What is made of it.
    pub holders: Vec<String>,
    /// The file or drive behind a loop device.
    pub backing: Option<PathBuf>,
    /// The name people gave it: of a dm device.
    pub title: Option<String>,
}

impl Node {
    fn read(dir: &Path, whole: Option<&str>) -> Option<Node> {
        let name = dir.file_name()?.to_str()?.to_owned();
        let sectors = |file: &str| number(&dir.join(file)).unwrap_or(0).saturating_mul(512);
        let device = text(&dir.join("dev")).and_then(|s| {
            let (major, minor) = s.split_once(':')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        });
        Some(Node {
            device,
            whole: whole.map(str::to_owned),
            number: number(&dir.join("partition")).and_then(|n| u32::try_from(n).ok()),
            start: sectors("start"),
            len: sectors("size"),
            read_only: number(&dir.join("ro")) == Some(1),
            slaves: names(&dir.join("slaves")),
            holders: names(&dir.join("holders")),
            backing: text(&dir.join("loop/backing_file")).map(PathBuf::from),
            title: text(&dir.join("dm/name")),
            dir: dir.to_path_buf(),
            name,
        })
    }

    /// The path programs open it by.
    pub fn path(&self) -> PathBuf {
        // The kernel writes ! for / in the few names that have one.
        Path::new("/dev").join(self.name.replace('!', "/"))
    }

    /// The path and, where people gave it a name, that name.
    pub fn display(&self) -> String {
        match &self.title {
            Some(title) => format!("{} ({title})", self.path().display()),
            None => self.path().display().to_string(),
        }
    }
}

/// The trimmed text of a small file; none where it is missing or empty.
pub(crate) fn text(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// The number in a small file.
pub(crate) fn number(path: &Path) -> Option<u64> {
    text(path)?.parse().ok()
}

fn names(dir: &Path) -> Vec<String> {
    let all = children(dir);
    all.iter().filter_map(|p| Some(p.file_name()?.to_str()?.to_owned())).collect()
}

/// What a folder holds, in natural order: sda2 before sda10.
pub(crate) fn children(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut all: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    all.sort_by_cached_key(|p| {
        let name = p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (stem, number) = name.split_at(name.len() - digits);
        (stem.to_owned(), number.parse::<u64>().unwrap_or(0))
    });
    all
}
