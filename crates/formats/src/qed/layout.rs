//! The header, and what entries of tables mean.

use crate::blocks::{Meaning, Place, backing_name, holds, read};
use std::ops::RangeInclusive;
use tintype_core::{Error, Result, Source};

/// Bytes of a sector: lengths of disks are whole numbers of them.
pub(super) const SECTOR: u64 = 512;

pub(super) const MAGIC: [u8; 4] = *b"QED\0";
/// Bytes of the header.
pub(super) const HEADER: usize = 64;
/// Bytes of a cluster, a power of two.
const CLUSTER: RangeInclusive<u64> = 4096..=64 << 20;
/// Clusters of a table, a power of two.
const TABLE: RangeInclusive<u64> = 1..=16;

// Features.
pub(super) const BACKING: u64 = 1;
pub(super) const NEED_CHECK: u64 = 1 << 1;
pub(super) const BACKING_RAW: u64 = 1 << 2;
const KNOWN: u64 = BACKING | NEED_CHECK | BACKING_RAW;

/// An entry for zeros, whatever lies below.
pub(super) const ZERO: u64 = 1;

/// The header.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) cluster: u64,
    /// Clusters of a table.
    pub(super) table: u64,
    /// Clusters of the header.
    pub(super) header: u64,
    pub(super) features: u64,
    pub(super) l1_offset: u64,
    pub(super) size: u64,
    pub(super) backing: Option<String>,
}

fn le32(bytes: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("every field lies inside the header"))
}

fn le64(bytes: &[u8; HEADER], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("every field lies inside the header"))
}

impl Header {
    /// Reads and checks the header at the start of `file`.
    pub(super) fn read(file: &dyn Source) -> Result<Self> {
        let mut fixed = [0; HEADER];
        read(file, "the header", &mut fixed, 0)?;
        if fixed[..4] != MAGIC {
            return Err(Error::corrupt("does not begin like a QED image"));
        }
        let mut header = Header {
            cluster: le32(&fixed, 4).into(),
            table: le32(&fixed, 8).into(),
            header: le32(&fixed, 12).into(),
            features: le64(&fixed, 16),
            l1_offset: le64(&fixed, 40),
            size: le64(&fixed, 48),
            backing: None,
        };
        let unknown: Vec<_> = (0..64).filter(|bit| (header.features & !KNOWN) >> bit & 1 != 0).collect();
        if !unknown.is_empty() {
            return Err(Error::unsupported(format!(
                "the image needs features that are not known here: bits {unknown:?}"
            ))
            .at(16));
        }
        header.sound(file)?;
        if header.features & BACKING != 0 {
            header.backing = Some(header.name(file, le32(&fixed, 56), le32(&fixed, 60))?);
        }
        Ok(header)
    }

    fn sound(&self, file: &dyn Source) -> Result<()> {
        let corrupt = |what: String, at| Err(Error::corrupt(what).at(at));
        if !self.cluster.is_power_of_two() || !CLUSTER.contains(&self.cluster) {
            return corrupt(format!("clusters of {} bytes; they have 4 KiB to 64 MiB", self.cluster), 4);
        }
        if !self.table.is_power_of_two() || !TABLE.contains(&self.table) {
            return corrupt(format!("tables of {} clusters; they have 1 to 16", self.table), 8);
        }
        let most = self.most();
        if self.size > most || !self.size.is_multiple_of(SECTOR) {
            return corrupt(format!("a disk of {} bytes; tables of this size map {most}", self.size), 48);
        }
        if !self.l1_offset.is_multiple_of(self.cluster) || self.l1_offset < self.header.max(1) * self.cluster {
            return corrupt(format!("the L1 table begins at {}, where no table can be", self.l1_offset), 40);
        }
        holds(file, "the L1 table", self.l1_offset, self.table * self.cluster)
    }

    fn name(&self, file: &dyn Source, at: u32, len: u32) -> Result<String> {
        let end = u64::from(at) + u64::from(len);
        if len == 0 || end > self.header.max(1) * self.cluster {
            return Err(Error::corrupt("the name of the backing file lies outside the header").at(56));
        }
        backing_name(file, at.into(), len)
    }

    /// Entries of a table.
    pub(super) fn entries(&self) -> u64 {
        self.table * self.cluster / 8
    }

    /// The same over an image called `backing`, which is raw or has a format that whoever reads it finds out.
    pub(super) fn over(mut self, backing: &str, raw: bool) -> Self {
        self.features |= if raw { BACKING | BACKING_RAW } else { BACKING };
        self.backing = Some(backing.to_owned());
        self
    }

    /// The header as it is written, with the name of the backing file behind it.
    pub(super) fn encode(&self) -> Vec<u8> {
        let name = self.backing.as_deref().unwrap_or_default();
        let name_at = if name.is_empty() { 0 } else { HEADER as u32 };
        let mut out = MAGIC.to_vec();
        for number in [self.cluster, self.table, self.header] {
            out.extend_from_slice(&(number as u32).to_le_bytes());
        }
        // Features that may be ignored, and those that may be ignored until the image is written to: none.
        for number in [self.features, 0, 0, self.l1_offset, self.size] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&name_at.to_le_bytes());
        out.extend_from_slice(&(name.len() as u32).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out
    }

    /// Longest disk.
    pub(super) fn most(&self) -> u64 {
        (self.span().saturating_mul(self.entries())).min(i64::MAX as u64 / SECTOR * SECTOR)
    }

    /// Bytes of the disk that one L2 table maps.
    pub(super) fn span(&self) -> u64 {
        self.entries() * self.cluster
    }
}

/// What entries of the tables mean, with clusters of so many bytes.
pub(super) struct Entries {
    pub(super) cluster: u64,
}

impl Meaning for Entries {
    const FIRST: &'static str = "the L1 table";
    const FURTHER: &'static str = "an L2 table";

    fn table(&self, n: u64, entry: u64) -> Result<Place> {
        match entry {
            0 => Ok(Place::Absent),
            table if !table.is_multiple_of(self.cluster) || table > i64::MAX as u64 => {
                Err(Error::corrupt(format!("entry {n} of the L1 table points to {table}, where no table can be")))
            }
            table => Ok(Place::At(table)),
        }
    }

    fn block(&self, offset: u64, entry: u64) -> Result<Place> {
        match entry {
            0 => Ok(Place::Absent),
            ZERO => Ok(Place::Zero),
            host if !host.is_multiple_of(self.cluster) || host > i64::MAX as u64 => Err(Error::corrupt(format!(
                "the cluster at {offset} of the disk lies at {host}, no multiple of the cluster size"
            ))),
            host => Ok(Place::At(host)),
        }
    }
}
