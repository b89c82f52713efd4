//! The GUID partition table (UEFI specification, chapter 5).

use super::{Kind, Partition, Role, Table, types};
use crate::field::{bytes16, le16, le32, le64, peek};
use tintype_core::Source;
use uuid::Uuid;

/// Most bytes of an array of entries: 128 times what everybody writes.
const MOST: u64 = 2 << 20;

/// Where the fields of a header and of an entry are that matter here.
#[derive(Clone, Debug)]
struct Header {
    own: u64,
    other: u64,
    disk: Uuid,
    entries: u64,
    count: u64,
    size: u64,
    entries_crc: u32,
}

/// A copy of the table: a header that holds, and entries that it vouches for.
struct Copy {
    header: Header,
    entries: Vec<u8>,
}

/// The table of `source`, by its first copy or else by its second. Without a `protective` MBR the second copy alone is
/// believed only if the disk is `bare` of anything else.
pub(super) fn read(source: &dyn Source, protective: bool, bare: impl Fn() -> bool) -> Option<Table> {
    let mut sizes = vec![u64::from(source.shape().sector.max(512)), 512, 4096, 1024, 2048];
    let mut tried = Vec::new();
    sizes.retain(|s| {
        !tried.contains(s) && {
            tried.push(*s);
            true
        }
    });
    let primary = sizes.iter().find_map(|s| Some((*s, copy(source, *s, 1).ok()?)));
    let mut warnings = Vec::new();
    if !protective {
        warnings.push("there is no protective MBR; some systems will not see the GPT".to_owned());
    }
    if let Some((sector, main)) = primary {
        warnings.extend(second_opinion(source, sector, &main));
        return Some(table(sector, &main, warnings));
    }
    if !protective && !bare() {
        return None;
    }
    let at_end = |s: &u64| copy(source, *s, (source.len() / s).checked_sub(1)?).ok();
    // A header that is only half destroyed may still say where the other one is.
    let told = |s: &u64| {
        let sector = peek(source, *s, *s as usize)?;
        (sector.get(..8)? == b"EFI PART").then(|| copy(source, *s, le64(&sector, 32)).ok())?
    };
    let (sector, backup) = sizes.iter().find_map(|s| Some((*s, at_end(s).or_else(|| told(s))?)))?;
    let why = copy(source, sector, 1).err().unwrap_or("is damaged");
    warnings.push(format!("the first copy of the GPT {why}; the second one was used"));
    Some(table(sector, &backup, warnings))
}

/// What is wrong with the second copy of a table whose first one is sound.
fn second_opinion(source: &dyn Source, sector: u64, main: &Copy) -> Option<String> {
    let last = (source.len() / sector).saturating_sub(1);
    let other = main.header.other;
    match copy(source, sector, other) {
        Err(why) if other > last => {
            Some(format!("the second copy of the GPT lies beyond the end of the disk: it is cut short, or {why}"))
        }
        Err(why) => Some(format!("the second copy of the GPT {why}")),
        Ok(backup) if backup.entries != main.entries || backup.header.disk != main.header.disk => {
            Some("the two copies of the GPT differ; the first one was used".into())
        }
        Ok(_) if other != last => {
            Some("the second copy of the GPT is not at the end of the disk, which was enlarged".into())
        }
        Ok(_) => None,
    }
}

/// The copy whose header is at sector `lba`, or what is wrong with it.
fn copy(source: &dyn Source, sector: u64, lba: u64) -> Result<Copy, &'static str> {
    let at = lba.checked_mul(sector).ok_or("lies beyond the end of the disk")?;
    let bytes = peek(source, at, sector as usize).ok_or("cannot be read")?;
    let header = header(&bytes)?;
    if header.own != lba {
        return Err("says that it belongs elsewhere");
    }
    let len = header.count.checked_mul(header.size).filter(|l| *l <= MOST).ok_or("has too many entries")?;
    let at = header.entries.checked_mul(sector).ok_or("has entries beyond the end of the disk")?;
    let entries = peek(source, at, len as usize).ok_or("has entries that cannot be read")?;
    if crc32fast::hash(&entries) != header.entries_crc {
        return Err("has damaged entries (their checksum does not match)");
    }
    Ok(Copy { header, entries })
}

fn header(bytes: &[u8]) -> Result<Header, &'static str> {
    if bytes.get(..8) != Some(b"EFI PART") {
        return Err("is missing");
    }
    let len = le32(bytes, 12) as usize;
    let mut covered = bytes.get(..len).filter(|_| len >= 92).ok_or("has a header of impossible length")?.to_vec();
    // Its own field counts as zero.
    covered[16..20].fill(0);
    if crc32fast::hash(&covered) != le32(bytes, 16) {
        return Err("is damaged (its checksum does not match)");
    }
    let size = u64::from(le32(bytes, 84));
    if size < 128 {
        return Err("has entries of impossible length");
    }
    Ok(Header {
        own: le64(bytes, 24),
        other: le64(bytes, 32),
        disk: Uuid::from_bytes_le(bytes16(bytes, 56)),
        entries: le64(bytes, 72),
        count: u64::from(le32(bytes, 80)),
        size,
        entries_crc: le32(bytes, 88),
    })
}

fn table(sector: u64, copy: &Copy, mut warnings: Vec<String>) -> Table {
    const LEGACY_BOOT: u64 = 1 << 2;
    let mut partitions = Vec::new();
    for (number, entry) in (1u32..).zip(copy.entries.chunks_exact(copy.header.size as usize)) {
        let kind = Uuid::from_bytes_le(bytes16(entry, 0));
        if kind.is_nil() {
            continue;
        }
        let (first, last) = (le64(entry, 32), le64(entry, 40));
        let range = || {
            let sectors = last.checked_sub(first)?.checked_add(1)?;
            let (offset, len) = (first.checked_mul(sector)?, sectors.checked_mul(sector)?);
            offset.checked_add(len).map(|_| (offset, len))
        };
        let Some((offset, len)) = range() else {
            warnings.push(format!(
                "partition {number} has an impossible range, from sector {first} to {last}; it is not listed"
            ));
            continue;
        };
        let attributes = le64(entry, 48);
        let name = (0..36).map(|i| le16(entry, 56 + i * 2)).take_while(|c| *c != 0);
        partitions.push(Partition {
            number,
            offset,
            len,
            role: Role::Primary,
            type_name: types::gpt(&kind.hyphenated().to_string()),
            type_id: kind.hyphenated().to_string(),
            name: char::decode_utf16(name).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect(),
            boot: attributes & LEGACY_BOOT != 0,
            attributes,
            uuid: Uuid::from_bytes_le(bytes16(entry, 16)).hyphenated().to_string(),
        });
    }
    Table {
        kind: Kind::Gpt,
        sector: sector as u32,
        id: copy.header.disk.hyphenated().to_string(),
        partitions,
        records: Vec::new(),
        warnings,
    }
}
