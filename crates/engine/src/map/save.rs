//! Where maps are written.

use crate::target::Overwrite;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use tintype_core::mapfile::Heading;
use tintype_core::{Error, File, Outlet, PARTIAL, Result};
use tintype_device::folder::{Folder, Reach};

/// The heading of maps that this command makes.
pub fn heading(command: &[String]) -> Heading {
    Heading {
        program: crate::report::program(),
        command: command.join(" "),
        started: crate::report::now(),
        ..Heading::default()
    }
}

/// Makes the file at `path` of what `write` writes: it has its name only when it is whole and on the medium.
///
/// `Denied` if something is there that is no regular file, or that is not to be replaced.
pub fn save(
    path: &Path,
    overwrite: Overwrite,
    write: &mut dyn FnMut(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    check(path, overwrite)?;
    let (folder, name) = Folder::of(path, Reach::Beside)?;
    // A name of its own: what another run is making under the usual one is not ours to remove.
    let partial = format!("{name}.{}{PARTIAL}", std::process::id());
    let file = folder.create(&partial)?;
    let mut out = BufWriter::with_capacity(1 << 20, Appended { file: Arc::clone(&file), at: 0 });
    if let Err(e) = write(&mut out).and_then(|()| out.flush()) {
        folder.remove(&partial)?;
        return Err(Error::io("cannot write", e).in_path(path));
    }
    file.sync()?;
    folder.rename(&partial, &name)?;
    Outlet::sync(&folder)
}

/// Refuses to write a map to `path` where that would hurt.
pub fn check(path: &Path, overwrite: Overwrite) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if !meta.is_file() => {
            Err(Error::denied("is no regular file and is left alone; name a new file").in_path(path))
        }
        Ok(_) if overwrite == Overwrite::Refuse => {
            Err(Error::denied("exists already; choose another name, or give --force").in_path(path))
        }
        _ => Ok(()),
    }
}

struct Appended {
    file: Arc<dyn File>,
    at: u64,
}

impl Write for Appended {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write_at(bytes, self.at).map_err(std::io::Error::other)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
