//! The writer of single files.

use super::layout::{Header, NEW, SECTOR, VERSION};
use crate::blocks::{BlockSink, Placement, Slots, Space, padded, padding};
use tintype_core::{CreateRequest, Error, Result, Sink, Written};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromZeros, IntoBytes};

/// Bytes of a cluster, as everybody writes them.
const CLUSTER: u64 = 1 << 20;
/// Heads and sectors of a track, as the others say.
const GEOMETRY: (u32, u32) = (16, 32);

pub(super) fn create(request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let len = padded(request.known_len()?, SECTOR)?;
    let entries = len.div_ceil(CLUSTER);
    let base = (Header::LEN + entries * 4).next_multiple_of(CLUSTER);
    // Entries have 32 bits for the number of a cluster of the file, the table included.
    if entries + base / CLUSTER > u32::MAX.into() {
        return Err(Error::unsupported("a disk of Parallels holds at most about 4 PiB"));
    }
    let file = request.outlet.create(&request.name)?;
    let slots = Slots { base, stride: CLUSTER, lead: Vec::new(), placement: Placement::ByNeed };
    let space = Space::new(file, &request.name, len, CLUSTER, slots)?;
    Ok(BlockSink::boxed(space, move |space, _| close(space, len, base)))
}

pub(super) fn losses(request: &CreateRequest) -> Vec<String> {
    padding(request, SECTOR)
}

fn close(space: &Space, len: u64, base: u64) -> Result<Written> {
    let file = space.file();
    file.set_len(space.end())?;
    let entries = space.blocks();
    for (page, _) in space.pages().filter(|(_, is_bare)| !is_bare) {
        let place = |n| space.slot(n).map_or(0, |slot| space.place(slot) / CLUSTER) as u32;
        let table: Vec<U32> = page.clone().map(|n| U32::new(place(n))).collect();
        file.write_at(table.as_bytes(), Header::LEN + page.start * 4)?;
    }
    let sectors = len / SECTOR;
    let mut header = Header::new_zeroed();
    header.magic = NEW;
    header.version = U32::new(VERSION);
    header.heads = U32::new(GEOMETRY.0);
    let cylinders = sectors / u64::from(GEOMETRY.0 * GEOMETRY.1);
    header.cylinders = U32::new(u32::try_from(cylinders).unwrap_or(u32::MAX));
    header.tracks = U32::new((CLUSTER / SECTOR) as u32);
    header.bat_entries = U32::new(entries as u32);
    header.sectors = U64::new(sectors);
    header.data_offset = U32::new((base / SECTOR) as u32);
    file.write_at(header.as_bytes(), 0)?;
    Ok(Written { files: vec![space.name().to_owned()], ..Written::default() })
}
