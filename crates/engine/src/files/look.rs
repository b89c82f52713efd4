//! Lists of files, and what is known of each.

use super::{Letters, Pattern, Volume};
use crate::report::Range;
use serde::Serialize;
use std::ops::ControlFlow;
use tintype_core::{Error, Result, State, Watch, extents};
use tintype_volumes::filesystems::{Kind, NodeId, Place, Time, content, lookup, walk};

/// Most files that are kept of one answer.
const MOST: usize = 4 << 20;

/// A file in a list.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// Where it is: the path inside the file system, with what is no UTF-8 replaced.
    pub path: String,
    /// What it is known by.
    pub node: u64,
    /// `file`, `folder`, `link`, `special` or `unknown`.
    pub kind: &'static str,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Permissions in octal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// User and group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<(u32, u32)>,
    /// Last change of the content, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
    /// Where a link leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// True for names that were deleted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Why no more is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A list of files.
#[derive(Debug, Default, Serialize)]
pub struct List {
    /// The files.
    pub files: Vec<Listed>,
    /// What could not be read on the way.
    pub errors: Vec<Trouble>,
}

/// What could not be read.
#[derive(Clone, Debug, Serialize)]
pub struct Trouble {
    /// Where it was met.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl Trouble {
    pub(super) fn new(path: &[u8], error: &Error) -> Self {
        Trouble { path: if path.is_empty() { "/".into() } else { text(path) }, message: error.chain() }
    }
}

/// Which names are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Those in use.
    Used,
    /// Deleted ones as well.
    Deleted,
}

/// How deep a list goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// One folder.
    One,
    /// All below it.
    All,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A time as RFC 3339; nothing where it lies outside of what can be written.
pub fn stamp(time: Time) -> Option<String> {
    jiff::Timestamp::new(time.seconds, time.nanos as i32).ok().map(|t| t.to_string())
}

fn listed(volume: &Volume, path: &[u8], id: NodeId, kind: Kind, deleted: bool) -> Listed {
    let mut listed = Listed {
        path: text(path),
        node: id.0,
        kind: kind.name(),
        size: None,
        mode: None,
        owner: None,
        modified: None,
        target: None,
        deleted,
        error: None,
    };
    match volume.fs.node(id) {
        // The node of a deleted name may be another file by now.
        Ok(node) if !deleted || (kind != Kind::Unknown && node.kind == kind) => {
            listed.kind = node.kind.name();
            listed.size = Some(node.len);
            listed.mode = node.mode.map(|mode| format!("{mode:04o}"));
            listed.owner = node.owner;
            listed.modified = node.modified.and_then(stamp);
            if node.kind == Kind::Link && !deleted {
                match volume.fs.link(id) {
                    Ok(target) => listed.target = Some(text(&target)),
                    Err(e) => listed.error = Some(e.chain()),
                }
            }
        }
        Ok(_) => {}
        Err(e) => listed.error = (!deleted).then(|| e.chain()),
    }
    listed
}

/// Lists a folder, or the one file at `path`.
pub fn list(volume: &Volume, path: &str, depth: Depth, names: Names, watch: &dyn Watch) -> Result<List> {
    let fs = &*volume.fs;
    let id = lookup(fs, path.as_bytes())?;
    let mut out = List::default();
    let path: Vec<u8> = path.trim_matches('/').bytes().collect();
    let path = if path.is_empty() { path } else { [b"/", &path[..]].concat() };
    let node = fs.node(id)?;
    if node.kind != Kind::Folder {
        out.files.push(listed(volume, &path, id, node.kind, false));
        return Ok(out);
    }
    match depth {
        Depth::One => {
            let ended = fs.entries(id, &mut |entry| {
                match entry {
                    Ok(entry) if entry.deleted && names == Names::Used => {}
                    Ok(entry) => {
                        let full = [&path[..], b"/", &entry.name].concat();
                        out.files.push(listed(volume, &full, entry.id, entry.kind, entry.deleted));
                    }
                    Err(e) => out.errors.push(Trouble::new(&path, &e)),
                }
                go_on(&out, watch)
            });
            if let Err(e) = ended {
                out.errors.push(Trouble::new(&path, &e));
            }
        }
        Depth::All => gather(volume, id, &path, names, &|_| true, &mut out, watch),
    }
    finished(out, watch)
}

/// Everything that one of the patterns means.
pub fn find(volume: &Volume, patterns: &[Pattern], names: Names, watch: &dyn Watch) -> Result<List> {
    let letters = letters(volume);
    let mut out = List::default();
    let wanted = |path: &[u8]| patterns.iter().any(|p| p.matches(path, letters));
    gather(volume, volume.fs.root(), b"", names, &wanted, &mut out, watch);
    finished(out, watch)
}

/// Whether capitals matter in a file system.
pub fn letters(volume: &Volume) -> Letters {
    if volume.fs.same_name(b"A", b"a") { Letters::Folded } else { Letters::Exact }
}

fn gather(
    volume: &Volume,
    folder: NodeId,
    path: &[u8],
    names: Names,
    wanted: &dyn Fn(&[u8]) -> bool,
    out: &mut List,
    watch: &dyn Watch,
) {
    walk(&*volume.fs, folder, path, &mut |met| {
        match met {
            Ok(met) if met.entry.deleted && names == Names::Used => {}
            Ok(met) if wanted(met.path) => {
                out.files.push(listed(volume, met.path, met.entry.id, met.entry.kind, met.entry.deleted));
            }
            Ok(_) => {}
            Err((path, e)) => out.errors.push(Trouble::new(path, &e)),
        }
        go_on(out, watch)
    });
}

fn go_on(out: &List, watch: &dyn Watch) -> ControlFlow<()> {
    if watch.cancelled() || out.files.len() + out.errors.len() >= MOST {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

fn finished(mut out: List, watch: &dyn Watch) -> Result<List> {
    if watch.cancelled() {
        return Err(Error::cancelled());
    }
    if out.files.len() + out.errors.len() >= MOST {
        return Err(Error::limit(format!("there are more than {MOST} files; name a folder")));
    }
    // A name that was moved inside its folder still stands where it was: that one was not deleted.
    out.files.sort_by(|a, b| (&a.path, a.deleted).cmp(&(&b.path, b.deleted)));
    let mut used: Option<(String, u64)> = None;
    out.files.retain(|file| {
        if !file.deleted {
            used = Some((file.path.clone(), file.node));
        }
        !file.deleted || used.as_ref().is_none_or(|(path, node)| (path, *node) != (&file.path, file.node))
    });
    Ok(out)
}

/// Everything that is known of a file.
#[derive(Debug, Serialize)]
pub struct Told {
    /// What a list says.
    #[serde(flatten)]
    pub file: Listed,
    /// The file system.
    pub file_system: &'static str,
    /// The part of the source it is in.
    pub part: String,
    /// Names it has.
    pub links: u32,
    /// Further times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accessed: Option<String>,
    /// Last change of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<String>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Why its content cannot be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<&'static str>,
    /// Where it lies.
    pub extents: Vec<Piece>,
    /// Ranges of its content that are lost.
    pub lost: Vec<Range>,
}

/// A run of a file.
#[derive(Debug, Serialize)]
pub struct Piece {
    /// First byte in the file.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// First byte in the source that was named.
    pub disk_offset: u64,
    /// True if it has room that was not written yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unwritten: bool,
}

/// Tells everything about the file at `path`.
pub fn stat(volume: &Volume, path: &str) -> Result<Told> {
    let fs = &*volume.fs;
    let id = lookup(fs, path.as_bytes())?;
    let node = fs.node(id)?;
    let full = format!("/{}", path.trim_matches('/'));
    let mut file = listed(volume, full.as_bytes(), id, node.kind, false);
    let runs = fs.extents(id).unwrap_or_else(|e| {
        file.error = Some(e.chain());
        Vec::new()
    });
    let mut lost = Vec::new();
    if node.kind == Kind::File && node.closed.is_none() && file.error.is_none() {
        match content(fs, id) {
            Ok(content) => lost = lost_of(&content)?.into_iter().map(|(range, _)| range).collect(),
            Err(e) => file.error = Some(e.chain()),
        }
    }
    let piece = |run: &tintype_volumes::filesystems::Run| Piece {
        offset: run.at,
        len: run.len,
        disk_offset: volume.offset + run.on_disk().start,
        unwritten: matches!(run.place, Place::Reserved(_)),
    };
    Ok(Told {
        file,
        file_system: fs.about().name,
        part: volume.part.clone(),
        links: node.links,
        accessed: node.accessed.and_then(stamp),
        changed: node.changed.and_then(stamp),
        created: node.created.and_then(stamp),
        closed: node.closed,
        extents: runs.iter().map(piece).collect(),
        lost,
    })
}

/// The lost ranges of a content.
pub fn lost_of(content: &dyn tintype_core::Source) -> Result<Vec<(Range, State)>> {
    let mut lost = Vec::new();
    for extent in extents(content, 0, content.len()) {
        let extent = extent?;
        if extent.state.is_lost() {
            lost.push((Range::from(extent), extent.state));
        }
    }
    Ok(lost)
}
