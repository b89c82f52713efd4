//! Checking the structure: everything that the tables refer to lies inside the file, and nothing over something else.

use super::layout::{Entries, HEADER, Header};
use crate::blocks::{Entry, Findings, Meaning, Packed, Place, nonzero, overlaps};
use std::collections::HashSet;
use std::sync::Arc;
use tintype_core::{Error, Finding, OpenRequest, Result, Source};

/// Most different L2 tables.
const TABLES: usize = 2 << 20;
/// Most overlaps that are looked for.
const OVERLAPS: usize = 1 << 16;

/// Something that lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    Header,
    Name,
    L1,
    /// The table of an L1 entry.
    L2(u64),
    /// A cluster of the disk, by number.
    Cluster(u64),
}

impl Thing {
    fn number(self) -> u64 {
        match self {
            Thing::Header => 0,
            Thing::Name => 1,
            Thing::L1 => 2,
            Thing::L2(n) => 3 + 2 * n,
            Thing::Cluster(n) => 4 + 2 * n,
        }
    }

    fn of(number: u64) -> Self {
        match number {
            0 => Thing::Header,
            1 => Thing::Name,
            2 => Thing::L1,
            n if n % 2 == 1 => Thing::L2((n - 3) / 2),
            n => Thing::Cluster((n - 4) / 2),
        }
    }

    fn name(self, header: &Header) -> String {
        match self {
            Thing::Header => "the header".into(),
            Thing::Name => "the name of the backing file".into(),
            Thing::L1 => "the L1 table".into(),
            Thing::L2(n) => format!("the table of entry {n} of the L1 table"),
            Thing::Cluster(n) => format!("the cluster at {} of the disk", n * header.cluster()),
        }
    }

    /// The bytes of the disk that it is about.
    fn touches(self, header: &Header) -> Option<(u64, u64)> {
        match self {
            Thing::L2(n) => Some((n * header.span(), header.span())),
            Thing::Cluster(n) => Some((n * header.cluster(), header.cluster())),
            Thing::Header | Thing::Name | Thing::L1 => None,
        }
    }
}

pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let name = &request.entry.name;
    let file = Arc::clone(request.entry.source()?);
    run(&*file, name).map_err(|e| e.met_in(name))
}

fn run(file: &dyn Source, name: &str) -> Result<Vec<Finding>> {
    let header = Header::read(file)?;
    let mut findings = Findings::new(name);
    let mut unaligned = 0u64;
    let mut align = |thing, at: u64, len: u64| {
        // Packed clusters lie anywhere; one that is as long as a cluster is none.
        let whole = matches!(thing, Thing::L2(_)) || matches!(thing, Thing::Cluster(_)) && len == header.cluster();
        unaligned += u64::from(whole && !at.is_multiple_of(header.cluster()));
    };
    walk(file, &header, &mut align, &mut |thing, what, at| {
        let what = || format!("{} {what}", thing.name(&header));
        findings.each("entries that lead where nothing can be", what, at, thing.touches(&header));
    })?;
    if unaligned > 0 {
        let what = format!("{unaligned} tables and clusters lie at no multiple of the cluster size, as QEMU's do");
        findings.warning(what, header.l1_offset);
    }
    let list = |take: &mut dyn FnMut(u64, u64, u64)| {
        walk(file, &header, &mut |thing, at, len| take(thing.number(), at, len), &mut |_, _, _| {})
    };
    overlaps(OVERLAPS, &list, &mut |a, b, at| {
        let (first, second) = (Thing::of(a), Thing::of(b));
        let what = || format!("{} and {} lie over each other at {at}", first.name(&header), second.name(&header));
        let touches = second.touches(&header).or(first.touches(&header));
        findings.each("things that lie over each other", what, at, touches);
    })?;
    Ok(findings.finish())
}

/// Calls `each` with everything that lies in the file, where, and how long it is; `wrong` with what cannot be, what is wrong with it,
/// and where that is said.
fn walk(
    file: &dyn Source,
    header: &Header,
    each: &mut dyn FnMut(Thing, u64, u64),
    wrong: &mut dyn FnMut(Thing, String, u64),
) -> Result<()> {
    each(Thing::Header, 0, HEADER as u64);
    if header.backing.is_some() {
        each(Thing::Name, header.name.0, header.name.1);
    }
    let (l1, l2, cluster) = (header.l1_entries() * 8, header.l2_entries() * 8, header.cluster());
    each(Thing::L1, header.l1_offset, l1);
    let entries = Entries { cluster_bits: header.cluster_bits };
    let mut tables = HashSet::new();
    nonzero(file, header.l1_offset, l1, Entry::Be64, &mut |index, table, _| {
        let (thing, said) = (Thing::L2(index), header.l1_offset + index * 8);
        if entries.table(index, table).is_err() || leaves(file, table, l2) {
            wrong(thing, format!("lies at {table}, where none can be"), said);
            return Ok(());
        }
        each(thing, table, l2);
        // Once is enough for one that is referred to again.
        if !tables.insert(table) {
            return Ok(());
        }
        if tables.len() > TABLES {
            return Err(Error::limit("more L2 tables than can be checked"));
        }
        nonzero(file, table, l2, Entry::Be64, &mut |place, entry, _| {
            let number = index * header.l2_entries() + place;
            let (thing, said) = (Thing::Cluster(number), table + place * 8);
            let (at, len) = match entries.block(number * cluster, entry) {
                // Of the last cluster only what belongs to the disk is needed.
                Ok(Place::At(host)) => (host, header.size.saturating_sub(number * cluster).min(cluster)),
                Ok(Place::Packed(Packed { at, stored, .. })) => (at, stored),
                Ok(_) => return Ok(()),
                Err(_) => (entry, u64::MAX),
            };
            match len {
                0 => wrong(thing, "has no bytes".into(), said),
                _ if leaves(file, at, len) => wrong(thing, format!("lies at {at}, where none can be"), said),
                _ => each(thing, at, len),
            }
            Ok(())
        })
    })
}

fn leaves(file: &dyn Source, at: u64, len: u64) -> bool {
    at.checked_add(len).is_none_or(|end| end > file.len())
}
