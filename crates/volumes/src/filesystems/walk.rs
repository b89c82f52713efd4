//! Ways through the tree of folders.

use super::{Entry, FileSystem, Kind, NodeId};
use std::collections::HashSet;
use std::ops::ControlFlow;
use tintype_core::{Error, Result};

/// Deepest nesting that is followed; Linux cannot name anything deeper in one path.
const DEEPEST: usize = 2048;

/// Longest path that is built.
const LONGEST: usize = 64 << 10;

/// How many times the bytes of its disk a file system may make a walk look at, with all that who walks looks at on the way. Sound ones that are
/// full of empty files come to a third of it.
const MOST_SPENT: u64 = 64;

/// And besides: small ones have more to be looked at.
const FREE: u64 = 16 << 20;

/// A node met on a walk.
pub struct Found<'a> {
    /// Its path from the root, with a leading slash.
    pub path: &'a [u8],
    /// What its folder says.
    pub entry: &'a Entry,
}

/// What a walk meets: a node, or an error and the path it was met in.
pub type Met<'a> = std::result::Result<Found<'a>, (&'a [u8], Error)>;

/// Walks everything below `folder`, whose path is `path` (empty for the root): a folder before what is in it. Errors come in between, with
/// the path they were met in. A folder that is in itself is entered once; where the same bytes are met as folders again and again, the walk ends
/// with an error of kind `Limit`.
pub fn walk(fs: &dyn FileSystem, folder: NodeId, path: &[u8], visit: &mut dyn FnMut(Met<'_>) -> ControlFlow<()>) {
    // Folders have one parent: one that is met twice is a loop, or damage.
    let mut seen = HashSet::from([folder]);
    let mut open: Vec<(Vec<u8>, NodeId)> = vec![(path.to_vec(), folder)];
    let most = fs.known().spent() + FREE + fs.source().len().saturating_mul(MOST_SPENT);
    while let Some((path, folder)) = open.pop() {
        let mut below = Vec::new();
        let mut stopped = false;
        let mut tired = false;
        let mut each = |entry: Result<Entry>| -> ControlFlow<()> {
            tired = fs.known().spent() > most;
            if tired {
                return ControlFlow::Break(());
            }
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) => {
                    let flow = visit(Err((&path, e)));
                    stopped |= flow.is_break();
                    return flow;
                }
            };
            let mut full = path.clone();
            full.push(b'/');
            full.extend_from_slice(&entry.name);
            let flow = visit(Ok(Found { path: &full, entry: &entry }));
            stopped |= flow.is_break();
            if entry.kind == Kind::Folder && !entry.deleted {
                let deep = full.iter().filter(|b| **b == b'/').count();
                let trouble = if !seen.insert(entry.id) {
                    Some(Error::corrupt("the folder is in more than one place; it was not entered again"))
                } else if deep > DEEPEST || full.len() > LONGEST {
                    Some(Error::limit("folders are nested deeper than are followed"))
                } else {
                    below.push((full.clone(), entry.id));
                    None
                };
                if let Some(e) = trouble {
                    let flow = visit(Err((&full, e)));
                    stopped |= flow.is_break();
                    return flow;
                }
            }
            flow
        };
        let walked = fs.entries(folder, &mut each);
        if stopped {
            return;
        }
        if tired {
            let _ =
                visit(Err((&path, Error::limit("the files lie in each other; the rest of them was not looked at"))));
            return;
        }
        if let Err(e) = walked
            && visit(Err((&path, e))).is_break()
        {
            return;
        }
        below.reverse();
        open.append(&mut below);
    }
}

/// The node at a path, whose parts are separated by slashes. Links are not followed. `Usage` if there is none.
pub fn lookup(fs: &dyn FileSystem, path: &[u8]) -> Result<NodeId> {
    let mut at = fs.root();
    let mut gone: Vec<u8> = Vec::new();
    for part in path.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".") {
        let mut found = None;
        let mut trouble = None;
        fs.entries(at, &mut |entry| {
            match entry {
                Ok(entry) if !entry.deleted && fs.same_name(&entry.name, part) => found = Some(entry.id),
                Ok(_) => {}
                Err(e) => trouble = Some(e),
            }
            if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .map_err(|e| e.in_path(shown(&gone)))?;
        gone.push(b'/');
        gone.extend_from_slice(part);
        at = match (found, trouble) {
            (Some(id), _) => id,
            (None, Some(e)) => {
                return Err(Error::new(e.kind(), "is not found, and a part of its folder is not known")
                    .because(e)
                    .in_path(shown(&gone)));
            }
            (None, None) => return Err(Error::usage("there is no such file or folder").in_path(shown(&gone))),
        };
    }
    Ok(at)
}

fn shown(path: &[u8]) -> String {
    if path.is_empty() { "/".into() } else { String::from_utf8_lossy(path).into_owned() }
}
