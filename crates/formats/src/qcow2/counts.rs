//! The reference counts that a file has.

use super::layout::{Header, OFFSET};
use crate::blocks::{Entries, Entry, Tables};
use tintype_core::Result;

/// The offset in an entry of the refcount table; unlike others it has all upper bits.
const TABLE_OFFSET: u64 = !0x1ff;

/// The counts of the file.
pub(super) struct Stored {
    tables: Tables,
    header: Header,
    /// The last window of a block: its first cluster, and its counts.
    window: Option<(u64, u64, Entries)>,
}

/// What the file counts for a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Of(u64),
    /// Its refcount block cannot be where the table says.
    Unknown,
}

impl Stored {
    pub(super) fn new(tables: &Tables, header: &Header) -> Self {
        Stored { tables: tables.clone(), header: header.clone(), window: None }
    }

    /// Entries of the refcount table.
    pub(super) fn table_len(&self) -> u64 {
        u64::from(self.header.refcount_table_clusters) * self.header.geometry.cluster() / 8
    }

    /// The block that counts `cluster`, where there is one.
    fn block(&self, cluster: u64) -> Result<u64> {
        let index = cluster / self.header.geometry.counts();
        if index >= self.table_len() {
            return Ok(0);
        }
        let at = self.header.refcount_table_offset + index * 8;
        match self.tables.at("the refcount table", at, 1, Entry::Be64) {
            Ok(entries) => Ok(entries.get(0) & TABLE_OFFSET),
            // What a table does not have counts nothing.
            Err(e) if e.kind() == tintype_core::Kind::Corrupt => Ok(0),
            Err(e) => Err(e),
        }
    }

    /// The count of `cluster`.
    pub(super) fn of(&mut self, cluster: u64) -> Result<Count> {
        let order = self.header.geometry.refcount_order;
        if !self.window.as_ref().is_some_and(|(from, to, _)| (*from..*to).contains(&cluster)) {
            let block = self.block(cluster)?;
            if block == 0 {
                return Ok(Count::Of(0));
            }
            if !block.is_multiple_of(self.header.geometry.cluster()) || block > OFFSET {
                return Ok(Count::Unknown);
            }
            // Whole words of 64 bits, which hold whole counts.
            let index = cluster % self.header.geometry.counts();
            let word = ((index << order) / 64) * 8;
            let len = self.header.geometry.cluster() - word;
            let entries = match self.tables.at("a refcount block", block + word, len / 8, Entry::Be64) {
                Ok(entries) => entries,
                Err(e) if e.kind() == tintype_core::Kind::Corrupt => return Ok(Count::Unknown),
                Err(e) => return Err(e),
            };
            let first = cluster - index + ((word * 8) >> order);
            let count = (entries.len() * 64) >> order;
            self.window = Some((first, first + count, entries));
        }
        let (first, _, entries) = self.window.as_ref().expect("it was made above where it was missing");
        Ok(Count::Of(entries.bytes().map_or(0, |bytes| get(bytes, cluster - first, order))))
    }
}

/// Count number `index` in a part of a refcount block.
pub(super) fn get(block: &[u8], index: u64, order: u32) -> u64 {
    let bits = 1u64 << order;
    if bits < 8 {
        let byte = block.get((index * bits / 8) as usize).copied().unwrap_or(0);
        return u64::from(byte) >> (index * bits % 8) & ((1 << bits) - 1);
    }
    let len = (bits / 8) as usize;
    let at = index as usize * len;
    block.get(at..at + len).map_or(0, |bytes| bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

/// Sets count number `index` in a refcount block.
pub(super) fn set(block: &mut [u8], index: u64, order: u32, value: u64) {
    let bits = 1u64 << order;
    if bits < 8 {
        let byte = &mut block[(index * bits / 8) as usize];
        let shift = index * bits % 8;
        let mask = ((1u16 << bits) - 1) as u8;
        *byte = *byte & !(mask << shift) | (value as u8 & mask) << shift;
        return;
    }
    let len = (bits / 8) as usize;
    let at = index as usize * len;
    block[at..at + len].copy_from_slice(&value.to_be_bytes()[8 - len..]);
}
