//! Opening: header, data file, what the image stands on, and what else is in it.

use super::crypt;
use super::layout::{CORRUPT, DIRTY, Header, LAZY, Method, RAW_DATA, SECTOR};
use super::mapping::{Clusters, Mapping};
use super::parts;
use crate::blocks::{Cipher, HostFile, Mapped, Tables, backing};
use std::collections::BTreeMap;
use std::sync::Arc;
use tintype_core::{Checksums, Error, Facts, Finding, Image, OpenRequest, Result, Source};

/// What it means that an image is marked dirty.
pub(super) const DIRTY_MEANS: &str = "was not closed by the program that wrote it (dirty bit): its reference counts may be wrong, its content is not touched by that";
/// What it means that an image is marked corrupt.
pub(super) const CORRUPT_MEANS: &str = "was marked corrupt by a program that wrote to it";

/// An open image.
pub(super) struct Opened {
    pub(super) header: Header,
    pub(super) tables: Tables,
    /// The file that holds clusters: the image itself, or its data file.
    data: HostFile,
    below: Option<Arc<dyn Source>>,
    cipher: Option<Arc<Cipher>>,
}

impl Opened {
    /// An image that is nothing but its file.
    fn alone(request: &OpenRequest) -> Result<Self> {
        let name = &request.entry.name;
        let file = HostFile::new(name, request.entry.source()?);
        let header = Header::read(&*file.source).map_err(|e| e.met_in(name))?;
        Ok(Opened { header, tables: Tables::new(file.clone()), data: file, below: None, cipher: None })
    }

    /// The name of its file.
    pub(super) fn name(&self) -> &str {
        &self.tables.file().name
    }

    /// Its file.
    pub(super) fn file(&self) -> &Arc<dyn Source> {
        &self.tables.file().source
    }

    /// The disk of `len` bytes that a table maps.
    pub(super) fn disk(self: &Arc<Self>, mapping: Mapping, len: u64, facts: Facts) -> Mapped<Clusters> {
        Mapped::new(Clusters::new(self, mapping), self.data.clone(), len, self.header.geometry.cluster())
            .with_facts(facts)
            .standing_on(self.below.clone())
            .decrypted(self.cipher.clone())
    }
}

/// The image without what it stands on, to look at its structure.
pub(super) fn structure(request: &OpenRequest) -> Result<Arc<Opened>> {
    Ok(Arc::new(Opened::alone(request)?))
}

/// The file that clusters lie in, where that is not the image itself.
pub(super) fn data_file(request: &OpenRequest, header: &Header) -> Result<Option<HostFile>> {
    if !header.data_file_is_used() {
        return Ok(None);
    }
    let Some(data) = &header.data_file else {
        let what = "the image does not say what its data file is called";
        return Err(Error::unsupported(what).met_in(&request.entry.name));
    };
    Ok(Some(HostFile { name: request.beside(data)?, source: request.open_beside(data)? }))
}

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let name = &request.entry.name;
    let here = |e: Error| e.met_in(name);
    let mut opened = Opened::alone(request)?;
    let header = &opened.header;
    let mapping = Mapping { l1_offset: header.l1_table_offset, l1_entries: header.l1_size.into() };
    let needed = header.size.div_ceil(header.geometry.l2_span()) * 8;
    opened.tables.file().holds("the L1 table", header.l1_table_offset, needed)?;
    opened.cipher = crypt::unlock(request, header, &**opened.file()).map_err(here)?.map(Arc::new);
    let mut files = vec![name.clone()];
    if let Some(data) = data_file(request, header)? {
        files.push(data.name.clone());
        opened.data = data;
    }
    let format = header.backing_format.as_deref();
    let below = header.backing_file.as_ref().map(|below| backing(request, below, format)).transpose()?;
    opened.below = below.as_ref().map(|below| Arc::clone(&below.image.disk));
    let opened = Arc::new(opened);
    let header = &opened.header;
    let len = length(&opened, mapping)?;
    let listed = parts::list(&opened, mapping, len).map_err(here)?;
    let fields = fields(header, &listed);
    let facts = Facts { fields, ..Facts::default() };
    let disk = Arc::new(opened.disk(mapping, len, facts));
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
    if let Some(below) = &below {
        image.stand_on(&below.request, below.format, &below.image);
    }
    Ok(image)
}

/// Length of the disk: whole sectors, unless we wrote it and nothing has come into the rest of the last one since.
fn length(opened: &Arc<Opened>, mapping: Mapping) -> Result<u64> {
    let size = opened.header.size;
    let exact = opened.header.exact_len.filter(|exact| exact.checked_next_multiple_of(SECTOR) == Some(size));
    let Some(exact) = exact.filter(|exact| *exact < size) else { return Ok(size) };
    let mut rest = vec![0; (size - exact) as usize];
    opened.disk(mapping, size, Facts::default()).read_at(&mut rest, exact)?;
    Ok(if rest.iter().all(|b| *b == 0) { exact } else { size })
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
