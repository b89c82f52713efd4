//! Opening.

use super::layout::{BACKING_RAW, Header, NEED_CHECK, decode};
use crate::clusters::{Codec, Disk, Levels, Order, Tables, Unpacker, Volume, backing};
use std::collections::BTreeMap;
use std::sync::Arc;
use tintype_core::{Checksums, Error, Facts, Image, OpenRequest, Result};

/// What it means that an image asks to be checked.
pub(super) const NEED_CHECK_MEANS: &str =
    "was not closed by the program that wrote it: its tables may not be what they should be";

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let name = &request.entry.name;
    let here = |e: Error| e.met_in(name);
    let file = Arc::clone(request.entry.source()?);
    let header = Header::read(&*file).map_err(here)?;
    let format = (header.features & BACKING_RAW != 0).then_some("raw");
    let below = header.backing.as_ref().map(|below| backing(request, below, format)).transpose()?;
    let cluster = header.cluster;
    let map = Levels {
        tables: Tables::new(Arc::clone(&file)),
        order: Order::Little,
        l1_offset: header.l1_offset,
        l1_entries: header.entries(),
        l2_entries: header.entries(),
        cluster,
        alignment: cluster,
        decode: move |entry| decode(cluster, entry),
    };
    let volume = Arc::new(Volume {
        name: name.clone(),
        cluster,
        // There are no compressed clusters.
        unpacker: Unpacker::new(Codec::Zlib, cluster),
        backing: below.as_ref().map(|below| Arc::clone(&below.image.disk)),
        cipher: None,
        data: (name.clone(), Arc::clone(&file)),
        file,
    });
    let sizes = [("cluster_size", cluster), ("table_size", header.table)];
    let mut fields: BTreeMap<String, String> = sizes.map(|(key, value)| (key.to_owned(), value.to_string())).into();
    fields.extend(header.backing.clone().map(|below| ("backing_file".to_owned(), below)));
    fields.extend(format.map(|format| ("backing_format".to_owned(), format.to_owned())));
    let disk = Disk::new(volume, map, header.size, Facts { fields, ..Facts::default() });
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
