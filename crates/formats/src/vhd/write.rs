//! The writer.

use super::geometry::{geometry, round_up};
use super::layout::{ABSENT, BLOCK, COOKIE, EPOCH, FOOTER, Footer, Header, Kind, MOST, SECTOR, SPARSE, VERSION};
use super::read::lead;
use crate::blocks::{BlockSink, Placement, Slots, Space, padded, padding};
use crate::uuid;
use std::time::SystemTime;
use tintype_core::{CreateRequest, Error, Result, Sink, Written, human_size};
use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

/// What Azure wants sizes to be multiples of.
const AZURE: u64 = 1 << 20;
/// Where the block table of a dynamic disk begins: after the copy of the footer and the header.
const TABLE: u64 = FOOTER + Header::LEN;
/// The bytes of a block begin at multiples of this, so that holes and pages are whole.
const PAGE: u64 = 4096;
/// Entries that are written at once; those that a page of the space has.
const ENTRIES: u64 = 4096;

/// What is to be made.
#[derive(Debug)]
struct Plan {
    kind: Kind,
    len: u64,
    azure: bool,
    chs: bool,
}

fn switch(request: &CreateRequest, name: &str, on: &str, off: &str) -> Result<bool> {
    match request.options.get(name) {
        Some(value) if value == on => Ok(true),
        Some(value) if value == off => Ok(false),
        None => Ok(false),
        Some(other) => Err(Error::usage(format!("--option {name}={other}: takes {on} or {off}"))),
    }
}

fn plan(request: &CreateRequest) -> Result<Plan> {
    let len = request.known_len()?;
    let azure = switch(request, "azure", "on", "off")?;
    let chs = switch(request, "size", "chs", "exact")?;
    let fixed = switch(request, "subformat", "fixed", "dynamic")?;
    if azure && request.options.get("subformat") == Some("dynamic") {
        return Err(Error::usage("Azure takes fixed disks only; leave out --option subformat=dynamic"));
    }
    if azure && chs {
        return Err(Error::usage("Azure wants whole MiB, which no geometry gives; leave out --option size=chs"));
    }
    let kind = if fixed || azure { Kind::Fixed } else { Kind::Dynamic };
    let mut made = padded(len, if azure { AZURE } else { SECTOR })?;
    if chs {
        made = round_up(made / SECTOR).map_or(made, |sectors| sectors * SECTOR);
    }
    if made > MOST {
        let what = format!("a VHD holds at most 2,040 GiB, this disk has {} ({len} bytes); take vhdx", human_size(len));
        return Err(Error::unsupported(what));
    }
    Ok(Plan { kind, len: made, azure, chs })
}

pub(super) fn losses(request: &CreateRequest) -> Vec<String> {
    // What cannot be made is told by whoever tries.
    let (Ok(plan), Some(len)) = (plan(request), request.len) else { return Vec::new() };
    match plan {
        Plan { azure: true, .. } if plan.len > len => {
            vec![format!("Azure wants whole MiB: {} bytes of zeros are added at the end", plan.len - len)]
        }
        Plan { chs: true, .. } if plan.len > len => {
            let (cylinders, heads, sectors) = geometry(plan.len / SECTOR);
            vec![format!(
                "the disk becomes {} bytes, {} more than the source: {cylinders} cylinders, {heads} heads, {sectors} sectors",
                plan.len,
                plan.len - len
            )]
        }
        Plan { chs: true, .. } => Vec::new(),
        _ => padding(request, SECTOR),
    }
}

pub(super) fn create(request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let Plan { kind, len, .. } = plan(request)?;
    let file = request.outlet.create(&request.name)?;
    if kind == Kind::Fixed {
        let slots = Slots { base: 0, stride: BLOCK, lead: Vec::new(), placement: Placement::InOrder };
        let space = Space::new(file, &request.name, len, BLOCK, slots)?;
        return Ok(BlockSink::boxed(space, move |space, _| close_fixed(space, len)));
    }
    let lead = lead(BLOCK);
    let table_end = TABLE + (len.div_ceil(BLOCK) * 4).next_multiple_of(SECTOR);
    let slots = Slots {
        base: (table_end + lead).next_multiple_of(PAGE) - lead,
        stride: (lead + BLOCK).next_multiple_of(PAGE),
        lead: vec![0xFF; lead as usize],
        placement: Placement::ByNeed,
    };
    let space = Space::new(file, &request.name, len, BLOCK, slots)?;
    Ok(BlockSink::boxed(space, move |space, _| close_dynamic(space, len)))
}

fn close_fixed(space: &Space, len: u64) -> Result<Written> {
    // Cut first: the last block may reach beyond the disk.
    space.file().set_len(len)?;
    space.file().write_at(footer(Kind::Fixed, len, u64::MAX).as_bytes(), len)?;
    Ok(Written { files: vec![space.name().to_owned()], ..Written::default() })
}

fn close_dynamic(space: &Space, len: u64) -> Result<Written> {
    let file = space.file();
    let blocks = space.blocks();
    let entries = blocks.next_multiple_of(SECTOR / 4);
    for from in (0..entries).step_by(ENTRIES as usize) {
        let to = (from + ENTRIES).min(entries);
        // Places are below 2^41 bytes, in sectors below 2^32.
        let place = |n| space.slot(n).map_or(ABSENT, |slot| space.place(slot) / SECTOR) as u32;
        let table: Vec<U32> = (from..to).map(|n| U32::new(place(n))).collect();
        file.write_at(table.as_bytes(), TABLE + from * 4)?;
    }
    let mut header = Header::new_zeroed();
    header.cookie = SPARSE;
    header.data_offset = U64::new(u64::MAX);
    header.table_offset = U64::new(TABLE);
    header.header_version = U32::new(VERSION);
    header.max_table_entries = U32::new(blocks as u32);
    header.block_size = U32::new(BLOCK as u32);
    let footer = footer(Kind::Dynamic, len, FOOTER);
    let end = match space.used() {
        0 => TABLE + entries * 4,
        used => space.place(used - 1) + lead(BLOCK) + BLOCK,
    };
    file.set_len(end)?;
    file.write_at(footer.as_bytes(), end)?;
    file.write_at(header.sealed().as_bytes(), FOOTER)?;
    file.write_at(footer.as_bytes(), 0)?;
    Ok(Written { files: vec![space.name().to_owned()], ..Written::default() })
}

/// A footer whose current size is what counts, for every reader that tells the two apart by who made it.
fn footer(kind: Kind, len: u64, data_offset: u64) -> Footer {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |t| t.as_secs());
    let (cylinders, heads, sectors) = geometry(len / SECTOR);
    let mut footer = Footer::new_zeroed();
    footer.cookie = COOKIE;
    // A bit that is always set.
    footer.features = U32::new(2);
    footer.file_format_version = U32::new(VERSION);
    footer.data_offset = U64::new(data_offset);
    footer.time_stamp = U32::new(u32::try_from(now.saturating_sub(EPOCH)).unwrap_or(u32::MAX));
    footer.creator_application = *b"win ";
    footer.creator_version = U32::new(0x000A_0000);
    footer.creator_host_os = *b"Wi2k";
    footer.original_size = U64::new(len);
    footer.current_size = U64::new(len);
    footer.cylinders = U16::new(cylinders);
    footer.heads = heads;
    footer.sectors = sectors;
    footer.disk_type = U32::new(kind as u32);
    footer.unique_id = uuid::fresh();
    footer.sealed()
}
