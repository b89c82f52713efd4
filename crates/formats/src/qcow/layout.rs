//! The header, and what entries of tables mean.

use super::MAGIC;
use crate::blocks::{Coding, Meaning, Packed, Place, Unpacked, backing_name, be32, be64, holds, read};
use tintype_core::{Error, Result, Source};

/// Bytes of the header.
pub(super) const HEADER: usize = 48;
const COMPRESSED: u64 = 1 << 63;

/// The header.
pub(super) struct Header {
    pub(super) cluster_bits: u32,
    l2_bits: u32,
    pub(super) size: u64,
    pub(super) l1_offset: u64,
    pub(super) encrypted: bool,
    pub(super) backing: Option<String>,
    /// Where the name of the backing file lies, and how long it is.
    pub(super) name: (u64, u64),
}

impl Header {
    /// Reads and checks the header at the start of `file`, and that the L1 table is there.
    pub(super) fn read(file: &dyn Source) -> Result<Self> {
        let mut fixed = [0; HEADER];
        read(file, "the header", &mut fixed, 0)?;
        if fixed[..4] != MAGIC || be32(&fixed, 4) != 1 {
            return Err(Error::corrupt("does not begin like a QCOW image of version 1"));
        }
        let header = Header {
            cluster_bits: fixed[32].into(),
            l2_bits: fixed[33].into(),
            size: be64(&fixed, 24),
            l1_offset: be64(&fixed, 40),
            encrypted: match be32(&fixed, 36) {
                0 => false,
                1 => true,
                other => return Err(Error::unsupported(format!("clusters encrypted in way {other}")).at(36)),
            },
            backing: match (be64(&fixed, 8), be32(&fixed, 16)) {
                (0, _) | (_, 0) => None,
                (at, len) => Some(backing_name(file, at, len)?),
            },
            name: (be64(&fixed, 8), be32(&fixed, 16).into()),
        };
        if !(9..=16).contains(&header.cluster_bits) || !(6..=13).contains(&header.l2_bits) {
            let what =
                format!("clusters of 2^{} bytes and 2^{} of them in a table", header.cluster_bits, header.l2_bits);
            return Err(Error::unsupported(format!("{what}; they have 2^9 to 2^16, and 2^6 to 2^13")).at(32));
        }
        if header.size > i64::MAX as u64 || header.l1_offset > i64::MAX as u64 {
            return Err(Error::corrupt(format!("a disk of {} bytes", header.size)).at(24));
        }
        holds(file, "the L1 table", header.l1_offset, header.l1_entries() * 8)?;
        Ok(header)
    }

    /// Bytes of a cluster.
    pub(super) fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Entries of an L2 table.
    pub(super) fn l2_entries(&self) -> u64 {
        1 << self.l2_bits
    }

    /// Bytes of the disk that one L2 table maps.
    pub(super) fn span(&self) -> u64 {
        self.cluster() * self.l2_entries()
    }

    /// Entries of the L1 table.
    pub(super) fn l1_entries(&self) -> u64 {
        self.size.div_ceil(self.span())
    }
}

/// What entries of the tables mean.
pub(super) struct Entries {
    pub(super) cluster_bits: u32,
}

impl Meaning for Entries {
    const FIRST: &'static str = "the L1 table";
    const FURTHER: &'static str = "an L2 table";

    fn table(&self, n: u64, entry: u64) -> Result<Place> {
        match entry {
            0 => Ok(Place::Absent),
            table if !table.is_multiple_of(8) || table > i64::MAX as u64 => {
                Err(Error::corrupt(format!("entry {n} of the L1 table points to {table}, where no table can be")))
            }
            table => Ok(Place::At(table)),
        }
    }

    fn block(&self, offset: u64, entry: u64) -> Result<Place> {
        if entry & COMPRESSED != 0 {
            let shift = 63 - self.cluster_bits;
            let stored = (entry >> shift) & ((1 << self.cluster_bits) - 1);
            let (at, plain) = (entry & ((1 << shift) - 1), 1 << self.cluster_bits);
            return Ok(Place::Packed(Packed { at, stored, block: offset, plain }));
        }
        match entry {
            0 => Ok(Place::Absent),
            host if host > i64::MAX as u64 >> 1 => {
                Err(Error::corrupt(format!("the cluster at {offset} of the disk lies beyond every file")))
            }
            host => Ok(Place::At(host)),
        }
    }

    fn unpack(&self, _packed: &Packed, stored: &[u8], out: &mut [u8]) -> Result<Unpacked> {
        Coding::Deflate.decode_all(stored, out)
    }
}
