//! The plain way of two tables: an entry of 64 bits for each L2 table, an entry of 64 bits for each cluster.

use super::{Cluster, Map, Run, Tables};
use tintype_core::{Error, Result};

/// The order of bytes in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Big,
    Little,
}

impl Order {
    pub(crate) fn number(self, bytes: [u8; 8]) -> u64 {
        match self {
            Order::Big => u64::from_be_bytes(bytes),
            Order::Little => u64::from_le_bytes(bytes),
        }
    }
}

/// Two levels of tables of a file. `decode` says what an L2 entry means, or what is wrong with it.
pub(crate) struct Levels<D> {
    pub(crate) tables: Tables,
    pub(crate) order: Order,
    pub(crate) l1_offset: u64,
    pub(crate) l1_entries: u64,
    pub(crate) l2_entries: u64,
    pub(crate) cluster: u64,
    /// L2 tables begin at multiples of this.
    pub(crate) alignment: u64,
    pub(crate) decode: D,
}

impl<D: Fn(u64) -> std::result::Result<Cluster, &'static str> + Send + Sync> Map for Levels<D> {
    fn run_at(&self, offset: u64, most: u64) -> Result<Run> {
        let span = self.l2_entries.saturating_mul(self.cluster);
        let (index, into) = (offset / span, offset % span);
        if index >= self.l1_entries {
            return Ok(Run { cluster: Cluster::Absent, len: most });
        }
        let l1 = self.tables.at("the L1 table", self.l1_offset + index * 8, (self.l1_entries - index) * 8, 8)?;
        let (entries, _) = l1.bytes().as_chunks::<8>();
        let absent = entries.iter().take_while(|e| **e == [0; 8]).count() as u64;
        if absent > 0 {
            return Ok(Run { cluster: Cluster::Absent, len: (absent.saturating_mul(span) - into).min(most) });
        }
        let table = entries.first().map_or(0, |e| self.order.number(*e));
        if !table.is_multiple_of(self.alignment) || table > i64::MAX as u64 {
            let what = format!("entry {index} of the L1 table points to {table}, where no table can be");
            return Err(Error::corrupt(what).at(self.l1_offset + index * 8));
        }
        let place = into / self.cluster;
        let at = table + place * 8;
        let l2 = self.tables.at("an L2 table", at, (self.l2_entries - place) * 8, 8)?;
        let (entries, _) = l2.bytes().as_chunks::<8>();
        let start = offset - offset % self.cluster;
        let first = entries.first().map_or(0, |e| self.order.number(*e));
        let first = (self.decode)(first)
            .map_err(|what| Error::corrupt(format!("the cluster at {start} of the disk {what}")).at(at))?;
        let like = |i: u64, entry: u64| match (first, (self.decode)(entry)) {
            (Cluster::Packed { .. }, _) | (_, Err(_)) => false,
            (Cluster::At(host), Ok(next)) => next == Cluster::At(host.saturating_add(i * self.cluster)),
            (first, Ok(next)) => next == first,
        };
        let more = entries.iter().zip(0u64..).skip(1).take_while(|(e, i)| like(*i, self.order.number(**e))).count();
        let end = start.saturating_add((more as u64 + 1).saturating_mul(self.cluster));
        let cluster = match first {
            Cluster::At(host) => Cluster::At(host + offset % self.cluster),
            other => other,
        };
        Ok(Run { cluster, len: (end - offset).min(most) })
    }
}
