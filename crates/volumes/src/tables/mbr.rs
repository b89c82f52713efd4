//! The master boot record, and the chain of extended boot records that holds logical partitions.

use super::{Kind, Partition, Role, Table, types};
use crate::field::{le16, le32, peek};
use crate::recognise::{fat, recognise};
use std::collections::HashSet;
use tintype_core::Source;

/// Most logical partitions that are listed; Linux stops at 255 partitions in all.
const MOST: usize = 256;

const PROTECTIVE: u8 = 0xee;

/// One of the four entries of a boot record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    status: u8,
    kind: u8,
    /// In sectors, relative to what depends on where the entry stands.
    start: u32,
    sectors: u32,
}

impl Entry {
    fn parse(bytes: &[u8]) -> Self {
        Entry { status: bytes[0], kind: bytes[4], start: le32(bytes, 8), sectors: le32(bytes, 12) }
    }

    fn is_used(&self) -> bool {
        self.kind != 0 && self.sectors != 0
    }

    fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

/// The first sector of a disk, if it is a table at all.
#[derive(Clone, Debug)]
pub(super) struct Record {
    entries: [Entry; 4],
    pub id: u32,
}

impl Record {
    /// `sectors` is the length of the disk in sectors of 512 bytes.
    pub fn parse(sector: &[u8], sectors: u64) -> Option<Self> {
        let entries = entries(sector)?;
        if entries.iter().any(|e| e.status & 0x7f != 0) {
            return None;
        }
        let record = Record { entries, id: le32(sector, 440) };
        // The boot sector of a file system ends in the same two bytes, with code or text where the table would be. A
        // boot loader may have kept such a head in front of a true table; that one makes sense throughout.
        let file_system = fat(sector).is_some() || [b"NTFS    ", b"EXFAT   "].iter().any(|m| &sector[3..11] == *m);
        let sensible = |e: &Entry| {
            *e == Entry::default()
                || (e.is_used() && e.start > 0 && u64::from(e.start) + u64::from(e.sectors) <= sectors)
        };
        if file_system && (record.is_empty() || !entries.iter().all(sensible)) {
            return None;
        }
        Some(record)
    }

    pub fn is_empty(&self) -> bool {
        !self.entries.iter().any(Entry::is_used)
    }

    pub fn is_protective(&self) -> bool {
        self.entries.iter().any(|e| e.kind == PROTECTIVE)
    }

    /// Says that systems which read only the MBR see other partitions than the GPT has.
    pub fn hybrid_warning(&self) -> Option<String> {
        let others = self.entries.iter().filter(|e| e.is_used() && e.kind != PROTECTIVE).count();
        (others > 0).then(|| format!("hybrid: the MBR lists {others} partitions beside the GPT; the GPT is shown"))
    }
}

fn entries(sector: &[u8]) -> Option<[Entry; 4]> {
    (sector.len() >= 512 && le16(sector, 510) == 0xaa55)
        .then(|| std::array::from_fn(|i| Entry::parse(&sector[446 + i * 16..462 + i * 16])))
}

/// The table that begins with `record`.
pub(super) fn read(source: &dyn Source, record: &Record) -> Table {
    let native = u64::from(source.shape().sector.max(512));
    let table = read_in(source, record, native);
    if native == 512 && fits(source, &table) == 0 {
        // An image of a drive with sectors of 4096 bytes does not say so; what lies in the partitions does.
        let large = read_in(source, record, 4096);
        if fits(source, &large) > 0 && large.partitions.iter().all(|p| p.end() <= source.len()) {
            return large;
        }
    }
    table
}

/// Partitions that begin with something known.
fn fits(source: &dyn Source, table: &Table) -> usize {
    let within = table.partitions.iter().filter(|p| p.role != Role::Extended && p.end() <= source.len());
    within.filter(|p| recognise(&Window { source, start: p.offset, len: p.len }).is_some()).count()
}

/// A part of a source that is only borrowed.
struct Window<'a> {
    source: &'a dyn Source,
    start: u64,
    len: u64,
}

impl Source for Window<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> tintype_core::Result<()> {
        tintype_core::in_range(self.len, offset, buf.len() as u64)?;
        self.source.read_at(buf, self.start + offset)
    }
}

fn read_in(source: &dyn Source, record: &Record, sector: u64) -> Table {
    let mut table = Table {
        kind: Kind::Mbr,
        sector: sector as u32,
        id: format!("0x{:08x}", record.id),
        partitions: Vec::new(),
        records: Vec::new(),
        warnings: Vec::new(),
    };
    let mut chains = Vec::new();
    for (number, entry) in (1..).zip(&record.entries) {
        if !entry.is_used() {
            continue;
        }
        let role = if entry.is_extended() { Role::Extended } else { Role::Primary };
        let start = u64::from(entry.start);
        table.partitions.push(partition(number, role, entry, start, sector, record.id));
        if role == Role::Extended {
            chains.push((start, u64::from(entry.sectors)));
        }
    }
    if record.is_protective() {
        table.warnings.push("the MBR announces a GPT, but neither of its two copies is usable".into());
    }
    for (start, sectors) in chains {
        chain(source, record.id, start, sectors, sector, &mut table);
    }
    table
}

/// `start` is counted in sectors from the start of the disk.
fn partition(number: u32, role: Role, entry: &Entry, start: u64, sector: u64, id: u32) -> Partition {
    Partition {
        number,
        offset: start * sector,
        len: u64::from(entry.sectors) * sector,
        role,
        type_id: format!("{:02x}", entry.kind),
        type_name: types::mbr(entry.kind),
        name: String::new(),
        boot: entry.status == 0x80,
        attributes: 0,
        uuid: if id == 0 { String::new() } else { format!("{id:08x}-{number:02x}") },
    }
}

/// Follows the extended boot records from `first`. In each, a partition counts from that record, and the link to the
/// next counts from the first one. The numbers are those of Linux (block/partitions/msdos.c): every logical partition in
/// the order of the chain, from 5.
fn chain(source: &dyn Source, id: u32, first: u64, sectors: u64, sector: u64, table: &mut Table) {
    let mut seen = HashSet::new();
    let mut at = first;
    let end = first + sectors;
    loop {
        if !seen.insert(at) {
            table
                .warnings
                .push(format!("the chain of logical partitions leads back to sector {at}; it was left there"));
            return;
        }
        if seen.len() > MOST {
            table.warnings.push(format!("more than {MOST} logical partitions; the rest is not listed"));
            return;
        }
        table.records.push(at * sector);
        let Some(entries) = peek(source, at * sector, 512).and_then(|b| entries(&b)) else {
            table.warnings.push(format!(
                "the chain of logical partitions is broken at sector {at}: there is no extended boot record"
            ));
            return;
        };
        for (i, entry) in entries.iter().enumerate().filter(|(_, e)| e.is_used() && !e.is_extended()) {
            let (start, stop) = (at + u64::from(entry.start), at + u64::from(entry.start) + u64::from(entry.sectors));
            let outside = start < first || stop > end;
            // Some systems leave rubbish in the last two entries.
            if i >= 2 && outside {
                continue;
            }
            let logical = table.partitions.iter().filter(|p| p.role == Role::Logical).count();
            let number = 5 + logical as u32;
            if outside {
                table.warnings.push(format!("partition {number} reaches out of its extended partition"));
            }
            table.partitions.push(partition(number, Role::Logical, entry, start, sector, id));
        }
        match entries.iter().find(|e| e.is_used() && e.is_extended()) {
            Some(link) => at = first + u64::from(link.start),
            None => return,
        }
    }
}
