//! Partition tables: MBR with logical partitions, and GPT.
//!
//! What contradicts itself is survived and told in [`Table::warnings`]; an error means that the source could not be
//! read where every table begins.

mod gpt;
mod mbr;
mod types;

use crate::recognise::recognise;
use std::sync::Arc;
use tintype_core::layers::Slice;
use tintype_core::{Error, Result, Source};

/// A partition table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Which kind it is.
    pub kind: Kind,
    /// Bytes of the sectors that it counts in.
    pub sector: u32,
    /// The disk's own identifier as Linux writes it: `0x53f5a6ee`, or a UUID in lower case.
    pub id: String,
    /// Its partitions in the order of their numbers.
    pub partitions: Vec<Partition>,
    /// First bytes of the further boot records that hold logical partitions, as far as the chain of them could be followed; the last one
    /// may be lost.
    pub records: Vec<u64>,
    /// What is odd or damaged about it, one sentence each.
    pub warnings: Vec<String>,
}

/// The kind of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Master boot record.
    Mbr,
    /// GUID partition table.
    Gpt,
}

impl Kind {
    /// The name used in JSON output.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Mbr => "mbr",
            Kind::Gpt => "gpt",
        }
    }
}

/// What a partition is to its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It holds something.
    Primary,
    /// It holds logical partitions.
    Extended,
    /// It lies in an extended partition.
    Logical,
}

/// A partition, with the numbers that its table gives, also where they leave the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number as Linux counts.
    pub number: u32,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// What it is to its table.
    pub role: Role,
    /// Its type as the table has it: two hex digits, or a UUID in lower case.
    pub type_id: String,
    /// The type in words; empty if nobody knows it.
    pub type_name: &'static str,
    /// Its name; empty in tables without names.
    pub name: String,
    /// True if it is marked for booting (active; legacy BIOS bootable).
    pub boot: bool,
    /// The attribute bits of GPT; 0 in MBR.
    pub attributes: u64,
    /// Its own identifier, what Linux calls PARTUUID, in lower case.
    pub uuid: String,
}

impl Partition {
    /// The first byte after it.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

impl Table {
    /// The bytes of partition `number` of `disk`; `Usage` if there is none, or if it leaves the disk.
    pub fn partition(&self, disk: Arc<dyn Source>, number: u32) -> Result<Slice> {
        let Some(partition) = self.partitions.iter().find(|p| p.number == number) else {
            let there: Vec<String> = self.partitions.iter().map(|p| p.number.to_string()).collect();
            let there = if there.is_empty() { "none".into() } else { there.join(", ") };
            return Err(Error::usage(format!("there is no partition {number}; there are: {there}")));
        };
        if partition.end() > disk.len() {
            return Err(Error::usage(format!(
                "partition {number} ends at {}, beyond the end of the disk at {}; the disk or image is cut short",
                partition.end(),
                disk.len()
            ))
            .at(partition.offset));
        }
        Slice::new(disk, partition.offset, partition.len)
    }

    /// Adds a warning for each partition that leaves the disk or overlaps another.
    fn judge(&mut self, len: u64) {
        for p in self.partitions.iter().filter(|p| p.end() > len) {
            self.warnings.push(format!(
                "partition {} ends at {}, beyond the end of the disk at {len}",
                p.number,
                p.end()
            ));
        }
        let mut holding: Vec<&Partition> = self.partitions.iter().filter(|p| p.role != Role::Extended).collect();
        holding.sort_by_key(|p| p.offset);
        let mut last: Option<&Partition> = None;
        for p in holding {
            if let Some(before) = last.filter(|b| b.end() > p.offset) {
                self.warnings.push(format!("partitions {} and {} overlap", before.number, p.number));
            }
            // The one that reaches furthest is the one that the next may overlap.
            if last.is_none_or(|b| p.end() > b.end()) {
                last = Some(p);
            }
        }
    }
}

/// The partition table at the start of `source`; none if there is none, such as on a disk that is one file system.
pub fn read(source: &dyn Source) -> Result<Option<Table>> {
    if source.len() < 512 {
        return Ok(None);
    }
    let mut first = vec![0; 512];
    if let Err(e) = source.read_at(&mut first, 0) {
        // A GPT has a second copy, and its first one is beside the MBR.
        let mut table = gpt::read(source, true, || false).ok_or(e)?;
        table.warnings.push("the first sector, with the MBR, cannot be read".into());
        table.judge(source.len());
        return Ok(Some(table));
    }
    let record = mbr::Record::parse(&first, source.len() / 512);
    let protective = record.as_ref().is_some_and(mbr::Record::is_protective);
    let partitioned = record.as_ref().is_some_and(|r| !r.is_empty());
    // Left over from before somebody made an MBR: the MBR is what counts.
    let mut found = match protective || !partitioned {
        true => gpt::read(source, protective, || recognise(source).is_none()),
        false => None,
    };
    if let (Some(table), Some(record)) = (&mut found, &record) {
        table.warnings.extend(record.hybrid_warning());
    }
    if found.is_none() {
        // Without partitions, only a disk identifier where no file system is makes a table of it.
        let worth = |r: &mbr::Record| !r.is_empty() || (r.id != 0 && recognise(source).is_none());
        found = record.filter(worth).map(|r| mbr::read(source, &r));
    }
    if let Some(table) = &mut found {
        table.judge(source.len());
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
