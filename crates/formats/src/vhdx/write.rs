//! The writer.

use super::bat::{entries, ratio};
use super::layout::{
    BAT, DISK_ID, DISK_SIZE, FILE_PARAMETERS, HEADERS, Header, Item, LOGICAL, MAGIC, METADATA, MIB, MOST, MetadataHead,
    PHYSICAL, REGIONS, Region, RegionHead, TABLE, checksum,
};
use crate::blocks::{BlockSink, Placement, Slots, Space, padded, padding};
use crate::uuid;
use tintype_core::{CreateRequest, Error, Result, Sink, Written, human_size};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

/// Where the log is, which stays empty, and how long it is.
const LOG: (u64, u64) = (MIB, MIB);
/// Where the metadata are, and how long.
const META: (u64, u64) = (2 * MIB, MIB);
/// Where the block table begins.
const BAT_AT: u64 = 3 * MIB;
/// The state of a block that is there.
const PRESENT: u64 = 6;
/// Entries of a block table that a small file can well have.
const SMALL_TABLE: u64 = 64 << 10;

/// What is to be made.
#[derive(Clone, Copy, Debug)]
struct Plan {
    fixed: bool,
    len: u64,
    block: u64,
    logical: u32,
    physical: u32,
}

fn sector(request: &CreateRequest) -> Result<u32> {
    match request.options.size("sector_size", 512..=4096)? {
        Some(size @ (512 | 4096)) => Ok(size as u32),
        Some(size) => Err(Error::usage(format!("--option sector_size={size}: takes 512 or 4096"))),
        None if request.shape.sector == 4096 => Ok(4096),
        None => Ok(512),
    }
}

/// Small blocks for small disks, so that the file stays small; fewer entries for large ones.
fn default_block(len: u64) -> u64 {
    let wanted = len.div_ceil(SMALL_TABLE).next_power_of_two();
    wanted.clamp(2 * MIB, 32 * MIB)
}

fn plan(request: &CreateRequest) -> Result<Plan> {
    let fixed = match request.options.get("subformat") {
        None | Some("dynamic") => false,
        Some("fixed") => true,
        Some(other) => return Err(Error::usage(format!("--option subformat={other}: takes dynamic or fixed"))),
    };
    let logical = sector(request)?;
    let len = padded(request.known_len()?, logical.into())?;
    if len > MOST {
        return Err(Error::unsupported(format!("a VHDX holds at most 64 TiB, this disk has {}", human_size(len))));
    }
    let block = request.options.size("block_size", MIB..=256 * MIB)?.unwrap_or_else(|| default_block(len));
    if !block.is_power_of_two() {
        return Err(Error::usage(format!("--option block_size={block}: blocks are powers of 2, 1MiB to 256MiB")));
    }
    let physical = if request.shape.physical == 512 { logical } else { 4096 };
    Ok(Plan { fixed, len, block, logical, physical })
}

pub(super) fn losses(request: &CreateRequest) -> Vec<String> {
    // A wrong option is told by whoever tries.
    sector(request).map_or_else(|_| Vec::new(), |sector| padding(request, sector.into()))
}

pub(super) fn create(request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let plan = plan(request)?;
    let file = request.outlet.create(&request.name)?;
    let placement = if plan.fixed { Placement::InOrder } else { Placement::ByNeed };
    let slots = Slots { base: BAT_AT + bat_len(&plan), stride: plan.block, lead: Vec::new(), placement };
    let space = Space::new(file, &request.name, plan.len, plan.block, slots)?;
    Ok(BlockSink::boxed(space, move |space, _| close(space, &plan)))
}

/// Bytes of the region with the block table.
fn bat_len(plan: &Plan) -> u64 {
    (entries(plan.len, plan.block, ratio(plan.block, plan.logical.into()), false) * 8).next_multiple_of(MIB).max(MIB)
}

fn close(space: &Space, plan: &Plan) -> Result<Written> {
    let file = space.file();
    file.set_len(space.end())?;
    let ratio = ratio(plan.block, plan.logical.into());
    for (page, _) in space.pages().filter(|(_, is_bare)| !is_bare) {
        let first = page.start + page.start / ratio;
        let last = (page.end - 1) + (page.end - 1) / ratio;
        // What is left zero are blocks that are not there, and maps of sectors, which only differencing disks have.
        let mut table = vec![U64::new(0); (last - first + 1) as usize];
        for n in page {
            if let Some(slot) = space.slot(n) {
                table[(n + n / ratio - first) as usize] = U64::new(space.place(slot) | PRESENT);
            }
        }
        file.write_at(table.as_bytes(), BAT_AT + first * 8)?;
    }
    file.write_at(&metadata(plan), META.0)?;
    let regions = regions(plan);
    for at in REGIONS {
        file.write_at(&regions, at)?;
    }
    let mut header = Header::new_zeroed();
    header.signature = Header::SIGNATURE;
    header.file_write_guid = uuid::fresh();
    header.data_write_guid = uuid::fresh();
    header.version = U16::new(1);
    header.log_offset = U64::new(LOG.0);
    header.log_length = U32::new(LOG.1 as u32);
    for (at, number) in HEADERS.into_iter().zip(1..) {
        header.sequence_number = U64::new(number);
        file.write_at(header.sealed().as_bytes(), at)?;
    }
    let mut first = MAGIC.to_vec();
    first.extend("tintype".encode_utf16().flat_map(u16::to_le_bytes));
    file.write_at(&first, 0)?;
    Ok(Written { files: vec![space.name().to_owned()], ..Written::default() })
}

fn regions(plan: &Plan) -> Vec<u8> {
    let mut bytes = vec![0; TABLE];
    let mut head = RegionHead::new_zeroed();
    head.signature = RegionHead::SIGNATURE;
    head.entry_count = U32::new(2);
    let region = |guid, at, len: u64| Region {
        guid,
        file_offset: U64::new(at),
        // At most 512 MiB: 64 TiB in blocks of 1 MiB.
        length: U32::new(len as u32),
        required: U32::new(1),
    };
    let all =
        [head.as_bytes(), region(BAT, BAT_AT, bat_len(plan)).as_bytes(), region(METADATA, META.0, META.1).as_bytes()]
            .concat();
    bytes[..all.len()].copy_from_slice(&all);
    let sum = checksum(&bytes);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn metadata(plan: &Plan) -> Vec<u8> {
    let parameters = [(plan.block as u32).to_le_bytes(), u32::from(plan.fixed).to_le_bytes()].concat();
    let disk = Item::VIRTUAL_DISK | Item::REQUIRED;
    let items: [([u8; 16], Vec<u8>, u32); 5] = [
        (FILE_PARAMETERS, parameters, Item::REQUIRED),
        (DISK_SIZE, plan.len.to_le_bytes().to_vec(), disk),
        (DISK_ID, uuid::fresh().to_vec(), disk),
        (LOGICAL, plan.logical.to_le_bytes().to_vec(), disk),
        (PHYSICAL, plan.physical.to_le_bytes().to_vec(), disk),
    ];
    let mut head = MetadataHead::new_zeroed();
    head.signature = MetadataHead::SIGNATURE;
    head.entry_count = U16::new(items.len() as u16);
    let mut table = head.as_bytes().to_vec();
    let mut values = Vec::new();
    for (id, value, flags) in items {
        let item = Item {
            id,
            offset: U32::new((TABLE + values.len()) as u32),
            length: U32::new(value.len() as u32),
            flags: U32::new(flags),
            reserved: U32::new(0),
        };
        table.extend(item.as_bytes());
        values.extend(value);
    }
    table.resize(TABLE, 0);
    table.extend(values);
    table
}
