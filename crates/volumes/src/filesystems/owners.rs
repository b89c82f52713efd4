//! Whose bytes these are.

use super::{FileSystem, Kind, NodeId, Part, Rank, Run, Survey, walk};
use std::collections::HashSet;
use std::ops::{ControlFlow, Range};
use tintype_core::{RangeMap, Result};

/// What owns some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A piece of metadata.
    Metadata {
        /// How much depends on it.
        rank: Rank,
        /// What it is.
        what: &'static str,
        /// The node it belongs to.
        node: Option<NodeId>,
    },
    /// A file.
    File {
        /// The node.
        node: NodeId,
        /// Where it is; `None` if no folder that is there names it.
        path: Option<Vec<u8>>,
        /// Bytes of its content.
        len: u64,
    },
}

/// An owner, and what it owns of the ranges that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Who.
    pub owner: Owner,
    /// Which bytes of the disk.
    pub on_disk: Vec<Range<u64>>,
    /// The same as bytes of the file; for metadata empty. What a file has beyond its end is not in it.
    pub in_file: Vec<Range<u64>>,
}

/// What owns any byte of `ranges`: metadata by rank, then files with all their paths as they are met on a walk. What is lost of the folders is
/// told to `trouble`, with a path; files in them may be found without their names. Costs a look at every node.
pub fn owners(
    fs: &dyn FileSystem,
    ranges: &RangeMap<()>,
    trouble: &mut dyn FnMut(&[u8], tintype_core::Error),
) -> Result<Vec<Owned>> {
    let mut found = metadata(fs, ranges);
    let mut seen = HashSet::new();
    walk(fs, fs.root(), b"", &mut |met| {
        match met {
            Ok(met) if !met.entry.deleted => {
                // What is not in the table of nodes by then is looked at below.
                seen.insert(met.entry.id);
                if matches!(met.entry.kind, Kind::File | Kind::Unknown | Kind::Link) {
                    match touched(fs, met.entry.id, Some(met.path), ranges) {
                        Ok(owned) => found.extend(owned),
                        Err(e) => trouble(met.path, e),
                    }
                }
            }
            Ok(_) => {}
            Err((path, e)) => trouble(path, e),
        }
        ControlFlow::Continue(())
    });
    fs.nodes(&mut |node| {
        match node {
            Ok(node) if node.kind != Kind::Folder && seen.insert(node.id) => match touched(fs, node.id, None, ranges) {
                Ok(owned) => found.extend(owned),
                Err(e) => trouble(b"", e),
            },
            Ok(_) => {}
            // Those that a folder names were told above.
            Err(e) => trouble(b"", e),
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// What of the metadata lies in `ranges`.
fn metadata(fs: &dyn FileSystem, ranges: &RangeMap<()>) -> Vec<Owned> {
    let mut parts: Vec<Part> = Vec::new();
    Survey::default().look(fs, &mut |part, _| {
        parts.extend(ranges.within(part.range.clone()).map(|(range, ())| Part { range, ..part.clone() }));
    });
    parts.sort_by_key(|part| (part.rank, part.range.start, part.range.end));
    parts.dedup();
    let mut found: Vec<Owned> = Vec::new();
    for Part { range, rank, what, node } in parts {
        let owner = Owner::Metadata { rank, what, node };
        // Neighbours that are the same thing are one.
        match found.last_mut() {
            Some(Owned { owner: last, on_disk, .. }) if *last == owner => match on_disk.last_mut() {
                Some(before) if before.end == range.start => before.end = range.end,
                _ => on_disk.push(range),
            },
            _ => found.push(Owned { owner, on_disk: vec![range], in_file: Vec::new() }),
        }
    }
    found
}

fn touched(fs: &dyn FileSystem, id: NodeId, path: Option<&[u8]>, ranges: &RangeMap<()>) -> Result<Option<Owned>> {
    let node = fs.node(id)?;
    if !matches!(node.kind, Kind::File | Kind::Link) {
        return Ok(None);
    }
    let (mut on_disk, mut in_file) = (Vec::new(), Vec::new());
    for run in fs.extents(id)? {
        for (range, ()) in ranges.within(run.on_disk()) {
            let inside = in_run(&run, &range);
            in_file.extend((inside.start < node.len).then(|| inside.start..inside.end.min(node.len)));
            on_disk.push(range);
        }
    }
    if on_disk.is_empty() {
        return Ok(None);
    }
    let owner = Owner::File { node: id, path: path.map(<[u8]>::to_vec), len: node.len };
    Ok(Some(Owned { owner, on_disk, in_file }))
}

fn in_run(run: &Run, disk: &Range<u64>) -> Range<u64> {
    let start = run.on_disk().start;
    run.at + (disk.start - start)..run.at + (disk.end - start)
}
