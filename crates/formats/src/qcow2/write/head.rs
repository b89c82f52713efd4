//! The header.

use super::super::layout::{
    BACKING_FORMAT, COMPRESSION, Codec, DATA_FILE, DATA_FILE_NAME, EXACT_LEN, EXTENDED_L2, FEATURES, HEADER_2,
    HEADER_3, LAZY, MAGIC, RAW_DATA,
};
use super::plan::Plan;
use super::references::Table;
use crate::blocks::LONGEST_NAME;
use tintype_core::{Error, Result};

fn extension(out: &mut Vec<u8>, kind: u32, data: &[u8]) {
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&(data.len() as u32).to_be_bytes());
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(8), 0);
}

fn incompatible(plan: &Plan) -> u64 {
    let flags = [
        (plan.data_file.is_some(), DATA_FILE),
        (plan.codec() != Codec::Zlib, COMPRESSION),
        (plan.geometry.extended, EXTENDED_L2),
    ];
    flags.iter().filter(|(on, _)| *on).map(|(_, bit)| bit).sum()
}

/// The header with everything that follows it in its cluster.
pub(super) fn encode(plan: &Plan, table: &Table) -> Vec<u8> {
    let extensions = extensions(plan);
    let version = plan.version;
    let header = if version == 2 { HEADER_2 } else { HEADER_3 };
    let name = plan.backing.as_ref().map_or("", |b| b.name.as_str());
    let name_at = if name.is_empty() { 0 } else { header + extensions.len() };
    let mut out = Vec::new();
    out.extend_from_slice(&MAGIC);
    let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
    put(&version.to_be_bytes());
    put(&(name_at as u64).to_be_bytes());
    put(&(name.len() as u32).to_be_bytes());
    put(&plan.geometry.cluster_bits.to_be_bytes());
    put(&plan.size.to_be_bytes());
    put(&0u32.to_be_bytes());
    put(&(plan.l1_entries() as u32).to_be_bytes());
    put(&plan.geometry.cluster().to_be_bytes());
    put(&table.offset.to_be_bytes());
    put(&(table.clusters as u32).to_be_bytes());
    // No snapshots.
    put(&[0; 12]);
    if version > 2 {
        put(&incompatible(plan).to_be_bytes());
        put(&if plan.lazy { LAZY } else { 0 }.to_be_bytes());
        put(&if plan.data_file_raw { RAW_DATA } else { 0 }.to_be_bytes());
        put(&plan.geometry.refcount_order.to_be_bytes());
        put(&(HEADER_3 as u32).to_be_bytes());
        put(&[u8::from(plan.codec() == Codec::Zstd), 0, 0, 0, 0, 0, 0, 0]);
    }
    put(&extensions);
    put(name.as_bytes());
    out
}

fn extensions(plan: &Plan) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(backing) = &plan.backing {
        extension(&mut out, BACKING_FORMAT, backing.format.as_bytes());
    }
    if let Some(name) = &plan.data_file {
        extension(&mut out, DATA_FILE_NAME, name.as_bytes());
    }
    if plan.len != plan.size {
        extension(&mut out, EXACT_LEN, &plan.len.to_be_bytes());
    }
    // For programs that do not know what the image needs.
    let names =
        [(DATA_FILE, "external data file"), (COMPRESSION, "compression type"), (EXTENDED_L2, "extended L2 entries")];
    let needed = incompatible(plan);
    let mut table = Vec::new();
    for (bit, name) in names.iter().filter(|(bit, _)| needed & bit != 0) {
        let start = table.len();
        table.extend_from_slice(&[0, bit.trailing_zeros() as u8]);
        table.extend_from_slice(name.as_bytes());
        table.resize(start + 48, 0);
    }
    if !table.is_empty() {
        extension(&mut out, FEATURES, &table);
    }
    extension(&mut out, 0, &[]);
    out
}

/// Refuses names that have no room in the first cluster.
pub(super) fn names_fit(plan: &Plan) -> Result<()> {
    let head = encode(plan, &Table { offset: 0, clusters: 0 });
    let long = plan.backing.as_ref().is_some_and(|b| b.name.len() > LONGEST_NAME as usize);
    if long || head.len() as u64 > plan.geometry.cluster() {
        return Err(Error::usage(
            "the name of the backing file or of the data file is too long for clusters of this size",
        ));
    }
    Ok(())
}
