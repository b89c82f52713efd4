//! Opening.

use super::layout::{BACKING_RAW, Entries, Header, NEED_CHECK};
use crate::blocks::{Entry, HostFile, Levels, Mapped, Tables, backing};
use std::collections::BTreeMap;
use std::sync::Arc;
use tintype_core::{Checksums, Error, Facts, Image, OpenRequest, Result};

/// What it means that an image asks to be checked.
pub(super) const NEED_CHECK_MEANS: &str =
    "was not closed by the program that wrote it: its tables may not be what they should be";

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let name = &request.entry.name;
    let here = |e: Error| e.met_in(name);
    let file = HostFile::new(name, request.entry.source()?);
    let header = Header::read(&*file.source).map_err(here)?;
    let format = (header.features & BACKING_RAW != 0).then_some("raw");
    let below = header.backing.as_ref().map(|below| backing(request, below, format)).transpose()?;
    let cluster = header.cluster;
    let map = Levels {
        tables: Tables::new(file.clone()),
        at: header.l1_offset,
        entries: header.entries(),
        first: Entry::Le64,
        further: Entry::Le64,
        blocks: header.entries(),
        block: cluster,
        meaning: Entries { cluster },
    };
    let sizes = [("cluster_size", cluster), ("table_size", header.table)];
    let mut fields: BTreeMap<String, String> = sizes.map(|(key, value)| (key.to_owned(), value.to_string())).into();
    fields.extend(header.backing.clone().map(|below| ("backing_file".to_owned(), below)));
    fields.extend(format.map(|format| ("backing_format".to_owned(), format.to_owned())));
    let disk = Mapped::new(map, file, header.size, cluster)
        .with_facts(Facts { fields, ..Facts::default() })
        .standing_on(below.as_ref().map(|below| Arc::clone(&below.image.disk)));
    let mut image = Image::new("QED", Arc::new(disk), vec![name.clone()]);
    image.checksums = Checksums::Structure;
    if header.features & NEED_CHECK != 0 {
        image.warnings.push(format!("{name} {NEED_CHECK_MEANS}"));
    }
    if let Some(below) = &below {
        image.stand_on(&below.name, below.format.name, &below.image);
    }
    Ok(image)
}
