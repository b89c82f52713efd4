//! The metadata: what kind of disk it is.

use super::layout::{
    DISK_ID, DISK_SIZE, FILE_PARAMETERS, Item, LOGICAL, MIB, MOST, MOST_ENTRIES, MetadataHead, PARENT, PARENT_KIND,
    PHYSICAL, Region, TABLE,
};
use crate::blocks::HostFile;
use crate::uuid;
use std::collections::BTreeMap;
use tintype_core::{Error, Result};
use zerocopy::FromBytes;

/// What the metadata say.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    pub(super) block: u64,
    pub(super) fixed: bool,
    pub(super) has_parent: bool,
    pub(super) len: u64,
    pub(super) id: [u8; 16],
    pub(super) logical: u32,
    pub(super) physical: u32,
    /// Keys and values of the way to the parent.
    pub(super) locator: BTreeMap<String, String>,
}

/// Reads the metadata in `region`. `Unsupported` names an item that is needed and not known.
pub(super) fn read(host: &HostFile, region: &Region) -> Result<Metadata> {
    let base = region.file_offset.get();
    let wrong = |e: Error| e.at(base).in_path(&host.name);
    let mut table = vec![0; TABLE];
    host.source.read_at(&mut table, base).map_err(wrong)?;
    let (head, mut rest) =
        MetadataHead::ref_from_prefix(&table).map_err(|_| wrong(Error::corrupt("the metadata are too short")))?;
    if head.signature != MetadataHead::SIGNATURE || u32::from(head.entry_count.get()) > MOST_ENTRIES {
        return Err(wrong(Error::corrupt("the table of metadata is damaged")));
    }
    let mut items: BTreeMap<[u8; 16], Vec<u8>> = BTreeMap::new();
    for _ in 0..head.entry_count.get() {
        let (item, after) =
            Item::read_from_prefix(rest).map_err(|_| wrong(Error::corrupt("the table of metadata is too short")))?;
        rest = after;
        let known = [FILE_PARAMETERS, DISK_SIZE, DISK_ID, LOGICAL, PHYSICAL, PARENT].contains(&item.id);
        let flags = item.flags.get();
        if !known || flags & Item::USER != 0 {
            if flags & Item::REQUIRED != 0 && !known {
                let what = format!("the file needs metadata {}, which are not known", uuid::text(&item.id));
                return Err(wrong(Error::unsupported(what)));
            }
            continue;
        }
        let (at, len) = (u64::from(item.offset.get()), u64::from(item.length.get()));
        let fits = at >= TABLE as u64 && len <= MIB && at + len <= u64::from(region.length.get());
        if !fits || items.contains_key(&item.id) {
            let what = format!("metadata {} lie outside their region, or are there twice", uuid::text(&item.id));
            return Err(wrong(Error::corrupt(what)));
        }
        let mut bytes = vec![0; len as usize];
        host.source.read_at(&mut bytes, base + at).map_err(wrong)?;
        items.insert(item.id, bytes);
    }
    parse(&items).map_err(wrong)
}

fn parse(items: &BTreeMap<[u8; 16], Vec<u8>>) -> Result<Metadata> {
    let item =
        |id, what: &str| items.get(&id).ok_or_else(|| Error::corrupt(format!("the metadata do not say the {what}")));
    let u32_at = |bytes: &[u8], at: usize, what: &str| {
        let four = bytes.get(at..).and_then(|b| b.first_chunk::<4>());
        four.map(|b| u32::from_le_bytes(*b)).ok_or_else(|| Error::corrupt(format!("the {what} is cut off")))
    };
    let parameters = item(FILE_PARAMETERS, "block size")?;
    let block = u64::from(u32_at(parameters, 0, "block size")?);
    let flags = u32_at(parameters, 4, "kind of the file")?;
    let size = item(DISK_SIZE, "size of the disk")?;
    let len = size.first_chunk::<8>().map(|b| u64::from_le_bytes(*b));
    let len = len.ok_or_else(|| Error::corrupt("the size of the disk is cut off"))?;
    let logical = u32_at(item(LOGICAL, "logical sector")?, 0, "logical sector")?;
    let physical = u32_at(item(PHYSICAL, "physical sector")?, 0, "physical sector")?;
    let id = items.get(&DISK_ID).and_then(|b| b.first_chunk::<16>()).copied().unwrap_or_default();
    if !block.is_power_of_two() || !(MIB..=256 * MIB).contains(&block) {
        return Err(Error::corrupt(format!("blocks of {block} bytes are none: they are powers of 2, 1 to 256 MiB")));
    }
    for (what, sector) in [("logical", logical), ("physical", physical)] {
        if ![512, 4096].contains(&sector) {
            return Err(Error::corrupt(format!("{what} sectors of {sector} bytes are none: they have 512 or 4096")));
        }
    }
    if len > MOST || !len.is_multiple_of(logical.into()) {
        let what = format!("a disk of {len} bytes is none: it has whole sectors of {logical}, and at most 64 TiB");
        return Err(Error::corrupt(what));
    }
    let has_parent = flags & 2 != 0;
    let locator = match has_parent {
        true => locator(item(PARENT, "way to the parent")?)?,
        false => BTreeMap::new(),
    };
    Ok(Metadata { block, fixed: flags & 1 != 0 && !has_parent, has_parent, len, id, logical, physical, locator })
}

fn locator(bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    let cut = || Error::corrupt("the way to the parent is cut off");
    let kind = bytes.first_chunk::<16>().ok_or_else(cut)?;
    if *kind != PARENT_KIND {
        let what = format!("the parent is of kind {}, which is not known", uuid::text(kind));
        return Err(Error::unsupported(what));
    }
    let short = |at: usize| bytes.get(at..).and_then(|b| b.first_chunk::<2>()).map(|b| u16::from_le_bytes(*b));
    let word = |at: usize| bytes.get(at..).and_then(|b| b.first_chunk::<4>()).map(|b| u32::from_le_bytes(*b));
    let text = |at: u32, len: u16| {
        let (pairs, _) = bytes.get(at as usize..)?.get(..len.into())?.as_chunks::<2>();
        Some(String::from_utf16_lossy(&pairs.iter().map(|b| u16::from_le_bytes(*b)).collect::<Vec<_>>()))
    };
    let mut found = BTreeMap::new();
    for i in 0..usize::from(short(18).ok_or_else(cut)?) {
        let at = 20 + 12 * i;
        let entry = (|| {
            let key = text(word(at)?, short(at + 8)?)?;
            Some((key, text(word(at + 4)?, short(at + 10)?)?))
        })();
        let (key, value) = entry.ok_or_else(cut)?;
        found.insert(key, value);
    }
    Ok(found)
}
