//! Files out of a file system.

use super::Volume;
use super::look::{Trouble, lost_of};
use crate::report::Range;
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use tintype_core::{Error, Result, Source, State, Watch};
use tintype_volumes::filesystems::{Content, Kind, NodeId, content, lookup, walk};

const PIECE: u64 = 1 << 20;

/// A file with holes where bytes are lost.
#[derive(Debug, Serialize)]
pub struct Holed {
    /// Its path in the file system.
    pub path: String,
    /// The ranges of it that are lost: zeros stand there, or what the image holds.
    pub lost: Vec<Range>,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub struct Extracted {
    /// Files written.
    pub files: u64,
    /// Folders made.
    pub folders: u64,
    /// Links made.
    pub links: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Files that are not whole.
    pub holed: Vec<Holed>,
    /// What could not be given: lost folders, damaged files, devices.
    pub errors: Vec<Trouble>,
}

/// Writes the content of the file at `path` to `out`; returns its bytes and what of it is lost.
pub fn cat(volume: &Volume, path: &str, out: &mut dyn Write, watch: &dyn Watch) -> Result<(u64, Vec<Range>)> {
    let fs = &*volume.fs;
    let content = content(fs, lookup(fs, path.as_bytes())?).map_err(|e| e.in_path(path))?;
    let lost: Vec<Range> = lost_of(&content)?.into_iter().map(|(range, _)| range).collect();
    let mut buffer = vec![0; PIECE as usize];
    for at in (0..content.len()).step_by(PIECE as usize) {
        if watch.cancelled() {
            return Err(Error::cancelled());
        }
        let piece = &mut buffer[..PIECE.min(content.len() - at) as usize];
        read_what_is_there(&content, piece, at)?;
        out.write_all(piece).map_err(|e| Error::io("cannot write the file", e))?;
    }
    Ok((content.len(), lost))
}

/// Reads; where bytes are lost and not even a fill stands there, zeros.
fn read_what_is_there(content: &Content, buffer: &mut [u8], at: u64) -> Result<()> {
    let Err(e) = content.read_at(buffer, at) else { return Ok(()) };
    let end = at + buffer.len() as u64;
    let mut known = true;
    for extent in tintype_core::extents(content, at, end) {
        let extent = extent?;
        let part = &mut buffer[(extent.offset - at) as usize..(extent.end() - at) as usize];
        match extent.state {
            State::Bad | State::Unread => part.fill(0),
            _ => known &= content.read_at(part, extent.offset).is_ok(),
        }
    }
    if known { Ok(()) } else { Err(e) }
}

/// Writes the file or folder at `path` to `target`, which must not exist yet. Links are made as links, after everything else; devices are left
/// out and told.
pub fn extract(volume: &Volume, path: &str, target: &Path, watch: &dyn Watch) -> Result<Extracted> {
    let fs = &*volume.fs;
    let id = lookup(fs, path.as_bytes())?;
    let node = fs.node(id)?;
    if std::fs::symlink_metadata(target).is_ok() {
        return Err(Error::denied("exists already; choose another name").in_path(target));
    }
    let mut out = Extracted::default();
    let mut links = Vec::new();
    match node.kind {
        Kind::File => file(volume, id, path.as_bytes(), target, &mut out, watch)?,
        Kind::Folder => {
            folder(target, &mut out)?;
            let mut failed = None;
            walk(fs, id, b"", &mut |met| {
                if watch.cancelled() {
                    failed = Some(Error::cancelled());
                    return ControlFlow::Break(());
                }
                let met = match met {
                    Ok(met) => met,
                    Err((at, e)) => {
                        out.errors.push(Trouble::new(at, &e));
                        return ControlFlow::Continue(());
                    }
                };
                if met.entry.deleted {
                    return ControlFlow::Continue(());
                }
                let Some(place) = below(target, met.path) else {
                    out.errors.push(Trouble::new(met.path, &Error::corrupt("the name leads out of its folder")));
                    return ControlFlow::Continue(());
                };
                let kind = match met.entry.kind {
                    Kind::Unknown => fs.node(met.entry.id).map(|n| n.kind),
                    kind => Ok(kind),
                };
                let done = match kind {
                    Ok(Kind::File) => file(volume, met.entry.id, met.path, &place, &mut out, watch),
                    Ok(Kind::Folder) => folder(&place, &mut out),
                    Ok(Kind::Link) => {
                        links.push((met.path.to_vec(), place, met.entry.id));
                        Ok(())
                    }
                    Ok(Kind::Special | Kind::Unknown) => {
                        Err(Error::unsupported("is a device or the like, and was left out"))
                    }
                    Err(e) => Err(e),
                };
                match done {
                    Ok(()) => ControlFlow::Continue(()),
                    // The target fails, or somebody wants to stop: nothing more will come of it.
                    Err(e)
                        if e.kind() == tintype_core::Kind::Cancelled
                            || e.io_kind() == Some(std::io::ErrorKind::StorageFull) =>
                    {
                        failed = Some(e);
                        ControlFlow::Break(())
                    }
                    Err(e) => {
                        out.errors.push(Trouble::new(met.path, &e));
                        ControlFlow::Continue(())
                    }
                }
            });
            if let Some(e) = failed {
                return Err(e);
            }
        }
        Kind::Link => links.push((path.as_bytes().to_vec(), target.to_path_buf(), id)),
        Kind::Special | Kind::Unknown => return Err(Error::unsupported("is a device or the like").in_path(path)),
    }
    // Last, so that no file is written through one.
    for (path, place, id) in links {
        let made = fs.link(id).and_then(|to| {
            std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&to), &place)
                .map_err(|e| Error::io("cannot make the link", e).in_path(&place))
        });
        match made {
            Ok(()) => out.links += 1,
            Err(e) => out.errors.push(Trouble::new(&path, &e)),
        }
    }
    Ok(out)
}

/// The place of a path below a folder; none if a name in it is one that means something else.
fn below(folder: &Path, path: &[u8]) -> Option<PathBuf> {
    let relative = Path::new(std::ffi::OsStr::from_bytes(path.strip_prefix(b"/")?));
    let plain = relative.components().all(|c| matches!(c, Component::Normal(_)));
    (plain && !relative.as_os_str().is_empty()).then(|| folder.join(relative))
}

fn folder(place: &Path, out: &mut Extracted) -> Result<()> {
    std::fs::create_dir(place).map_err(|e| Error::io("cannot make the folder", e).in_path(place))?;
    out.folders += 1;
    Ok(())
}

fn file(volume: &Volume, id: NodeId, path: &[u8], place: &Path, out: &mut Extracted, watch: &dyn Watch) -> Result<()> {
    let content = content(&*volume.fs, id)?;
    let failed = |e| Error::io("cannot write the file", e).in_path(place);
    let target = File::create_new(place).map_err(failed)?;
    target.set_len(content.len()).map_err(failed)?;
    let mut buffer = vec![0; PIECE as usize];
    let mut lost = Vec::new();
    for extent in tintype_core::extents(&content, 0, content.len()) {
        let extent = extent?;
        if extent.state.is_lost() {
            lost.push(Range::from(extent));
        }
        if extent.state.reads_zero() {
            continue;
        }
        for at in (extent.offset..extent.end()).step_by(PIECE as usize) {
            if watch.cancelled() {
                return Err(Error::cancelled());
            }
            let piece = &mut buffer[..PIECE.min(extent.end() - at) as usize];
            read_what_is_there(&content, piece, at)?;
            target.write_all_at(piece, at).map_err(failed)?;
            out.bytes += piece.len() as u64;
        }
    }
    out.files += 1;
    if !lost.is_empty() {
        out.holed.push(Holed { path: String::from_utf8_lossy(path).into_owned(), lost });
    }
    Ok(())
}
