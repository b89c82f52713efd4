//! The reader of one file.

use super::layout::{Header, IN_USE, NEW, OLD, SECTOR, VERSION};
use crate::blocks::{BlockMap, Entry, HostFile, Mapped, Place, Run, Table};
use std::sync::Arc;
use tintype_core::{Error, Facts, Finding, Result, Source};
use zerocopy::FromBytes;

/// What a file says about itself.
pub(super) struct Parsed {
    pub(super) header: Header,
    pub(super) table: Table,
    pub(super) host: HostFile,
    pub(super) len: u64,
    pub(super) cluster: u64,
    /// Bytes that the table counts in.
    unit: u64,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn parse(name: &str, source: &Arc<dyn Source>) -> Result<Parsed> {
    let wrong = |e: Error| e.in_path(name);
    let mut bytes = [0; Header::LEN as usize];
    if source.len() < Header::LEN {
        return Err(wrong(Error::corrupt("is too short for a disk of Parallels")));
    }
    source.read_at(&mut bytes, 0).map_err(wrong)?;
    let header = Header::read_from_bytes(&bytes).map_err(|_| wrong(Error::corrupt("the header is too short")))?;
    let cluster = u64::from(header.tracks.get()) * SECTOR;
    let (unit, sectors) = match header.magic {
        // The upper half of the number of sectors is not used there.
        OLD => (SECTOR, header.sectors.get() & 0xFFFF_FFFF),
        NEW => (cluster, header.sectors.get()),
        _ => return Err(wrong(Error::corrupt("is no disk of Parallels: its signature is missing"))),
    };
    if header.version.get() != VERSION {
        return Err(wrong(Error::unsupported(format!("version {} is not known, only 2 is", header.version)).at(16)));
    }
    if cluster == 0 {
        return Err(wrong(Error::corrupt("clusters have no bytes").at(28)));
    }
    let entries = u64::from(header.bat_entries.get());
    let room = entries.saturating_mul(cluster).min(i64::MAX as u64);
    let len = sectors.checked_mul(SECTOR).filter(|len| *len <= room);
    let len = len.ok_or_else(|| {
        wrong(Error::corrupt(format!("the disk of {sectors} sectors is larger than its {entries} clusters")).at(36))
    })?;
    let mut findings = Vec::new();
    if header.in_use.get() == IN_USE {
        let what = "the image was not closed; what was written last may be missing";
        findings.push(Finding::damage(what).in_file(name, 44));
    }
    let needed = len.div_ceil(cluster);
    let host = HostFile::new(name, source);
    let table = Table::new("the block table", host.clone(), Header::LEN, needed, Entry::Le32)?;
    Ok(Parsed { header, table, host, len, cluster, unit, findings })
}

impl Parsed {
    /// Where the cluster with this entry lies.
    pub(super) fn place(&self, entry: u64) -> u64 {
        entry.saturating_mul(self.unit)
    }

    /// The disk, on top of `below`, if there is one.
    pub(super) fn disk(self, below: Option<Arc<dyn Source>>) -> Arc<dyn Source> {
        let mut facts = Facts::default();
        let mut field = |name: &str, value: String| drop(facts.fields.insert(name.to_owned(), value));
        field("block_size", self.cluster.to_string());
        field("geometry", format!("{}/{}", self.header.cylinders, self.header.heads));
        field("in_use", (self.header.in_use.get() == IN_USE).to_string());
        field("extension", (self.header.extension_offset.get() != 0).to_string());
        let (host, len, cluster) = (self.host.clone(), self.len, self.cluster);
        Arc::new(Mapped::new(self, host, len, cluster).with_facts(facts).standing_on(below))
    }
}

impl BlockMap for Parsed {
    fn run_at(&self, offset: u64, most: u64) -> Result<Run> {
        let (n, inside) = (offset / self.cluster, offset % self.cluster);
        let same = |first: u64, i: u64, entry: u64| match first {
            0 => entry == 0,
            _ => self.place(entry) == self.place(first).saturating_add(i * self.cluster),
        };
        let (first, count) = self.table.run(n, most.div_ceil(self.cluster).saturating_add(1), same)?;
        let place = if first == 0 { Place::Absent } else { Place::At(self.place(first).saturating_add(inside)) };
        Ok(Run::new(count * self.cluster - inside, place))
    }
}
