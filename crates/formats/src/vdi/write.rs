//! The writer.

use super::layout::{ABSENT, BLOCK, Header, Kind, SECTOR};
use crate::blocks::{BlockSink, Placement, Slots, Space, padded, padding};
use crate::uuid;
use tintype_core::{CreateRequest, Error, Result, Sink, Written};
use zerocopy::IntoBytes;
use zerocopy::little_endian::U32;

/// Where the map begins.
const MAP: u64 = 0x200;
/// The data begins at a multiple of this.
const ALIGN: u64 = 1 << 20;

pub(super) fn create(request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let len = padded(request.known_len()?, SECTOR)?;
    let (kind, placement) = match request.options.get("static") {
        None | Some("off") => (Kind::Dynamic, Placement::ByNeed),
        Some("on") => (Kind::Static, Placement::InOrder),
        Some(other) => return Err(Error::usage(format!("--option static={other}: takes on or off"))),
    };
    let blocks = len.div_ceil(BLOCK);
    let base = (MAP + blocks * 4).next_multiple_of(ALIGN);
    // The header has 32 bits for where the data begins, and the map has that many for the number of a block.
    let offset_data = u32::try_from(base).map_err(|_| Error::unsupported("a VDI holds at most about 1 PiB"))?;
    let file = request.outlet.create(&request.name)?;
    let slots = Slots { base, stride: BLOCK, lead: Vec::new(), placement };
    let space = Space::new(file, &request.name, len, BLOCK, slots)?;
    Ok(BlockSink::boxed(space, move |space, _| close(space, kind, len, offset_data)))
}

pub(super) fn losses(request: &CreateRequest) -> Vec<String> {
    padding(request, SECTOR)
}

fn close(space: &Space, kind: Kind, len: u64, offset_data: u32) -> Result<Written> {
    let file = space.file();
    file.set_len(space.end())?;
    let blocks = space.blocks();
    for (page, _) in space.pages() {
        // Slots are fewer than 2^32: the space sees to that.
        let entries: Vec<U32> = page.clone().map(|n| U32::new(space.slot(n).unwrap_or(ABSENT) as u32)).collect();
        file.write_at(entries.as_bytes(), MAP + page.start * 4)?;
    }
    let mut header = Header::new(kind, len);
    header.offset_blocks = U32::new(MAP as u32);
    header.offset_data = U32::new(offset_data);
    header.blocks = U32::new(blocks as u32);
    header.blocks_allocated = U32::new(space.used() as u32);
    header.uuid_create = uuid::fresh();
    header.uuid_modify = uuid::fresh();
    file.write_at(header.as_bytes(), 0)?;
    Ok(Written { files: vec![space.name().to_owned()], ..Written::default() })
}
