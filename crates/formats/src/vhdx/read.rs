//! The reader.

use super::bat::Bat;
use super::head::{self, Head};
use super::metadata::{self, Metadata};
use super::parent;
use crate::blocks::Mapped;
use crate::uuid;
use std::sync::Arc;
use tintype_core::{Checksums, Facts, Image, OpenRequest, Result};

/// What an image says about itself.
pub(super) struct Parsed {
    pub(super) head: Head,
    pub(super) metadata: Metadata,
    pub(super) bat: Bat,
}

pub(super) fn parse(request: &OpenRequest) -> Result<Parsed> {
    let head = head::read(request)?;
    let metadata = metadata::read(&head.host, &head.metadata)?;
    let bat = Bat::new(&head, &metadata)?;
    Ok(Parsed { head, metadata, bat })
}

/// What a disk has to know of its parent.
pub(super) struct Known {
    /// Changes with every change of the data.
    pub(super) written: [u8; 16],
    /// Bytes of a logical sector.
    pub(super) logical: u32,
}

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    Ok(open_parsed(request, parse(request)?)?.0)
}

/// Opens the image called `name`, which the one of `request` stands on.
pub(super) fn open_known(name: &str, request: &OpenRequest) -> Result<(Image, Known)> {
    let request = request.backing(name)?;
    open_parsed(&request, parse(&request)?)
}

fn open_parsed(request: &OpenRequest, parsed: Parsed) -> Result<(Image, Known)> {
    let Parsed { head, metadata, bat } = parsed;
    let known = Known { written: head.header.data_write_guid, logical: metadata.logical };
    let kind = kind(&metadata);
    let mapped = Mapped::new(bat, head.host.clone(), metadata.len, metadata.block)
        .with_sectors(metadata.logical, metadata.physical.max(metadata.logical))
        .with_facts(facts(&head, &metadata));
    let below = metadata.has_parent.then(|| parent::open(request, &metadata)).transpose()?;
    let mapped = mapped.standing_on(below.as_ref().map(|(_, image)| Arc::clone(&image.disk)));
    let mut image = Image::new(kind, Arc::new(mapped), vec![request.entry.name.clone()]);
    image.checksums = Checksums::Structure;
    image.damage = head.findings;
    if head.replayed > 0 {
        image.warnings.push(replayed(head.replayed));
    }
    if let Some((name, below)) = below {
        image.stand_on(&name, super::FORMAT.name, &below);
    }
    Ok((image, known))
}

/// What is said of an image whose log was not empty.
pub(super) fn replayed(entries: usize) -> String {
    format!("the image was not closed: {entries} entries of its log were replayed in memory; the file was not changed")
}

fn kind(metadata: &Metadata) -> &'static str {
    match (metadata.has_parent, metadata.fixed) {
        (true, _) => "differencing",
        (false, true) => "fixed",
        (false, false) => "dynamic",
    }
}

fn facts(head: &Head, metadata: &Metadata) -> Facts {
    let mut facts = Facts::default();
    let mut field = |name: &str, value: String| drop(facts.fields.insert(name.to_owned(), value));
    field("kind", kind(metadata).into());
    field("block_size", metadata.block.to_string());
    field("logical_sector", metadata.logical.to_string());
    field("physical_sector", metadata.physical.to_string());
    field("disk_id", uuid::text(&metadata.id));
    field("file_write_id", uuid::text(&head.header.file_write_guid));
    field("data_write_id", uuid::text(&head.header.data_write_guid));
    field("log_entries_replayed", head.replayed.to_string());
    for (key, value) in &metadata.locator {
        field(&format!("parent_{}", key.trim_start_matches("parent_")), value.clone());
    }
    facts
}
