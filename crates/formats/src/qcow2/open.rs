//! Opening: header, data file, what the image stands on, and what else is in it.

use super::crypt;
use super::layout::{CORRUPT, DIRTY, Header, LAZY, Method, RAW_DATA, SECTOR, cut};
use super::mapping::Mapping;
use super::parts;
use super::read::{Reader, Volume};
use super::tables::Tables;
use super::unpack::Unpacker;
use std::collections::BTreeMap;
use std::sync::Arc;
use tintype_core::{Checksums, Error, Facts, Finding, Format, Image, OpenRequest, Result, Source, in_range};

/// What it means that an image is marked dirty.
pub(super) const DIRTY_MEANS: &str =
    "was not closed by the program that wrote it (dirty bit): its reference counts may be wrong, its content is not touched by that";
/// What it means that an image is marked corrupt.
pub(super) const CORRUPT_MEANS: &str = "was marked corrupt by a program that wrote to it";

/// The image without what it stands on, to look at its structure.
pub(super) fn volume(request: &OpenRequest) -> Result<Arc<Volume>> {
    let name = &request.entry.name;
    let file = Arc::clone(request.entry.source()?);
    let header = Header::read(&*file).map_err(|e| e.met_in(name))?;
    Ok(Arc::new(Volume {
        name: name.clone(),
        tables: Tables::new(Arc::clone(&file)),
        unpacker: Unpacker::new(header.codec, header.geometry.cluster()),
        backing: None,
        cipher: None,
        data: (name.clone(), Arc::clone(&file)),
        file,
        header,
    }))
}

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let name = &request.entry.name;
    let here = |e: Error| e.met_in(name);
    let file = Arc::clone(request.entry.source()?);
    let header = Header::read(&*file).map_err(here)?;
    let mapping = Mapping { l1_offset: header.l1_table_offset, l1_entries: header.l1_size.into() };
    let needed = header.size.div_ceil(header.geometry.l2_span()) * 8;
    in_range(file.len(), header.l1_table_offset, needed)
        .map_err(|e| here(cut(&*file, e, "the L1 table", header.l1_table_offset)))?;
    let cipher = crypt::unlock(request, &header, &*file).map_err(here)?;
    let data = match (header.data_file_is_used(), &header.data_file) {
        (false, _) => (name.clone(), Arc::clone(&file)),
        (true, Some(data)) => (request.beside(data)?, request.open_beside(data)?),
        (true, None) => return Err(here(Error::unsupported("the image does not say what its data file is called"))),
    };
    let below = header.backing_file.as_ref().map(|below| backing(request, &header, below)).transpose()?;
    let mut files = vec![name.clone()];
    files.extend(header.data_file_is_used().then(|| data.0.clone()));
    let volume = Arc::new(Volume {
        name: name.clone(),
        tables: Tables::new(Arc::clone(&file)),
        unpacker: Unpacker::new(header.codec, header.geometry.cluster()),
        cipher,
        backing: below.as_ref().map(|(_, _, image)| Arc::clone(&image.disk)),
        file,
        data,
        header,
    });
    let header = &volume.header;
    let len = length(&volume, mapping)?;
    let listed = parts::list(&volume, mapping, len).map_err(here)?;
    let fields = fields(header, &listed);
    let facts = Facts { fields, ..Facts::default() };
    let disk = Arc::new(Reader::new(Arc::clone(&volume), mapping, len, facts));
    let mut image = Image::new(format!("QCOW2 version {}", header.version), disk, files);
    image.compression = header.codec.name().to_owned();
    image.checksums = Checksums::Structure;
    image.warnings = listed.warnings;
    if header.incompatible & DIRTY != 0 {
        image.warnings.push(format!("{name} {DIRTY_MEANS}"));
    }
    if header.incompatible & CORRUPT != 0 {
        image.damage.push(Finding::damage(format!("{name} {CORRUPT_MEANS}")).in_file(name, 72));
    }
    image.parts = listed.parts;
    if let Some((below_name, format, below)) = &below {
        image.stand_on(below_name, format.name, below);
    }
    Ok(image)
}

/// Length of the disk: whole sectors, unless we wrote it and nothing has come into the rest of the last one since.
fn length(volume: &Arc<Volume>, mapping: Mapping) -> Result<u64> {
    let size = volume.header.size;
    let exact = volume.header.exact_len.filter(|exact| exact.checked_next_multiple_of(SECTOR) == Some(size));
    let Some(exact) = exact.filter(|exact| *exact < size) else { return Ok(size) };
    let mut rest = vec![0; (size - exact) as usize];
    Reader::new(Arc::clone(volume), mapping, size, Facts::default()).read_at(&mut rest, exact)?;
    Ok(if rest.iter().all(|b| *b == 0) { exact } else { size })
}

/// The image that this one stands on: its name, its format, and itself.
fn backing(request: &OpenRequest, header: &Header, name: &str) -> Result<(String, &'static Format, Image)> {
    let below = request.backing(name).map_err(|e| e.met_in(&request.entry.name))?;
    let format = match &header.backing_format {
        Some(format) => named(format).map_err(|e| e.in_path(&request.entry.name))?,
        None => guessed(request, &below)?,
    };
    let (format, image) = crate::open(&below, Some(format)).map_err(|e| e.met_in(&below.entry.name))?;
    Ok((below.entry.name, format, image))
}

/// The format that is called `name` in images.
fn named(name: &str) -> Result<&'static Format> {
    let ours = match name {
        "file" => "raw",
        "vpc" => "vhd",
        other => other,
    };
    crate::by_name(ours)
        .map_err(|_| Error::unsupported(format!("the image stands on one of format {name:?}, which is not known here")))
}

/// The format of an image below that nothing is said about.
///
/// Bytes that a guest wrote must not decide how they are read, so a container is only believed if its name says the same.
fn guessed(request: &OpenRequest, below: &OpenRequest) -> Result<&'static Format> {
    let found = crate::probe(below)?;
    let name = below.entry.name.to_ascii_lowercase();
    let agrees = found.extensions.iter().any(|e| name.ends_with(&format!(".{e}")));
    if std::ptr::eq(found, &crate::raw::FORMAT) || agrees {
        return Ok(found);
    }
    let what = format!(
        "the image does not say what format {} has: it looks like {}, but a guest could have written that onto a raw disk; \
         write the format down with qemu-img rebase -u -F, or give the file a name that ends in .{}",
        below.entry.name,
        found.title,
        found.extensions.first().unwrap_or(&found.name)
    );
    Err(Error::denied(what).in_path(&request.entry.name))
}

fn fields(header: &Header, listed: &parts::Listed) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut say = |name: &str, value: String| fields.insert(name.to_owned(), value);
    say("version", header.version.to_string());
    say("cluster_size", header.geometry.cluster().to_string());
    say("compression_type", header.codec.name().to_owned());
    say("refcount_bits", (1u32 << header.geometry.refcount_order).to_string());
    for (name, holds) in [
        ("lazy_refcounts", header.compatible & LAZY != 0),
        ("extended_l2", header.geometry.extended),
        ("dirty", header.incompatible & DIRTY != 0),
        ("corrupt", header.incompatible & CORRUPT != 0),
        ("data_file_raw", header.autoclear & RAW_DATA != 0),
    ] {
        if holds {
            say(name, "yes".to_owned());
        }
    }
    for (name, value) in [
        ("backing_file", &header.backing_file),
        ("backing_format", &header.backing_format),
        ("data_file", &header.data_file),
    ] {
        if let Some(value) = value {
            say(name, value.clone());
        }
    }
    match header.method {
        Method::None => {}
        Method::Aes => drop(say("encryption", "aes".to_owned())),
        Method::Luks => drop(say("encryption", "luks".to_owned())),
    }
    for (name, count) in [("snapshots", listed.snapshots), ("bitmaps", listed.bitmaps)] {
        if count > 0 {
            say(name, count.to_string());
        }
    }
    fields
}
