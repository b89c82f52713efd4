//! Opening the disks of a machine.

use super::envelope::Disk;
use super::names::plain;
use super::package::{Opened, Package, Pieces};
use crate::blocks::Zeros;
use std::sync::Arc;
use tintype_core::{Checksums, Error, Image, OpenRequest, Part, Result, Source, human_size};

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let package = Arc::new(Package::open(request)?);
    let disks = &package.envelope.disks;
    let own = &request.entry.name;
    let first = disks.first().ok_or_else(|| Error::unsupported("the machine has no disk").in_path(own))?;
    let kind = if package.archive { "OVA" } else { "OVF" };
    let mut image = match package.file_of(first)? {
        None => Image::new(format!("{kind}, an empty disk"), empty(first, own)?, Vec::new()),
        Some(file) => {
            let opened = package.disk(first, file)?;
            let is_proved = package.manifest.is_some()
                && package.unlisted().is_empty()
                && opened.unlisted(&package.listed()).is_empty();
            let Opened { format, image: inner, request: inside, files } = opened;
            let mut image = Image { variant: format!("{kind}, {} {}", format.title, inner.variant), ..inner };
            // What is in pieces is no file under its own name.
            image.files.retain(|name| *name != inside.entry.name);
            image.files.splice(0..0, files);
            image.checksums = match image.checksums {
                // The check compares all files with the manifest before this is relied on.
                _ if is_proved => Checksums::Whole,
                Checksums::Structure | Checksums::Stored => Checksums::Structure,
                _ => Checksums::None,
            };
            image
        }
    };
    if disks.len() > 1 {
        image.variant += &format!(", the first of {} disks", disks.len());
        image
            .warnings
            .push(format!("the machine has {} disks; without #disk=NAME the first one is meant", disks.len()));
    }
    image.files = match package.archive {
        true => vec![own.clone()],
        false => files(&package, own, image.files)?,
    };
    image.warnings.extend(package.warnings.iter().cloned());
    image.parts = disks.iter().map(|disk| part(&package, disk)).collect::<Result<_>>()?;
    Ok(image)
}

/// The descriptor, the manifest and all files of the machine that lie beside.
fn files(package: &Package, own: &str, disk: Vec<String>) -> Result<Vec<String>> {
    let mut files = vec![own.to_owned()];
    files.extend(package.manifest.iter().map(|(name, _)| name.clone()));
    files.extend(disk);
    for file in package.files() {
        package.request.beneath(&file.href)?;
        let names = match file.chunk {
            None => {
                vec![package.spelled(&file.href, "").map_or_else(|_| plain(&file.href).to_owned(), |(name, _)| name)]
            }
            // What cannot be read is nothing that anybody could overwrite.
            Some(chunk) => package.pieces(file, chunk).map_or_else(|_| Vec::new(), Pieces::names),
        };
        for name in names {
            let name = package.request.beside(&name)?;
            if !files.contains(&name) {
                files.push(name);
            }
        }
    }
    Ok(files)
}

fn empty(disk: &Disk, own: &str) -> Result<Arc<dyn Source>> {
    disk.stands_alone().map_err(|e| e.in_path(own))?;
    let what = || format!("the disk {:?} has neither a file nor a size that can be understood", disk.id);
    let len = disk.capacity.ok_or_else(|| Error::corrupt(what()).in_path(own))?;
    Ok(Arc::new(Zeros(len)))
}

/// A disk by the name of its file, or by its own where it has none.
fn part(package: &Arc<Package>, disk: &Disk) -> Result<Part> {
    let file = package.file_of(disk)?.cloned();
    let mut note = disk.id.clone();
    if let Some(capacity) = disk.capacity {
        note += &format!(", {}", human_size(capacity));
    }
    if let Some(parent) = &disk.parent {
        note += &format!(", stands on {parent}");
    }
    let (package, disk) = (Arc::clone(package), disk.clone());
    let name = file.as_ref().map_or_else(|| disk.id.clone(), |f| f.href.clone());
    let open = move || match &file {
        Some(file) => Ok(package.disk(&disk, file)?.image.disk),
        None => empty(&disk, &package.request.entry.name),
    };
    Ok(Part { kind: "disk", name, note, open: Box::new(open) })
}
