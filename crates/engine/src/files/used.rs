//! Which bytes of a source count.

use super::{Closed, Volume, Volumes};
use serde::Serialize;
use tintype_core::{RangeMap, Source};
use tintype_volumes::tables::Role;

/// What one part came to.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// The part; empty for the whole.
    pub part: String,
    /// The file system, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_system: Option<&'static str>,
    /// Bytes in use.
    pub used: u64,
    /// Bytes of the part.
    pub size: u64,
    /// Why all of it counts as used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// The bytes in use: what is in no partition, and partitions that there is any doubt about, count as used.
pub fn used(source: &dyn Source, volumes: &Volumes) -> (RangeMap<()>, Vec<Part>) {
    let mut used = RangeMap::new();
    used.set(0..source.len(), ());
    let mut parts = Vec::new();
    for Closed { part, len, why, .. } in &volumes.closed {
        parts.push(Part { part: part.clone(), file_system: None, used: *len, size: *len, refused: Some(why.clone()) });
    }
    for volume in &volumes.open {
        let name = Some(volume.fs.about().name);
        let found = if overlaps(volumes, volume) {
            Err("it overlaps another partition".to_owned())
        } else {
            volume.fs.used().map_err(|e| e.chain())
        };
        let mut part =
            Part { part: volume.part.clone(), file_system: name, used: volume.len, size: volume.len, refused: None };
        match found {
            Ok(map) => {
                used.clear(volume.offset..volume.offset + volume.len);
                part.used = 0;
                for (range, ()) in map.within(0..volume.len) {
                    part.used += range.end - range.start;
                    used.set(volume.offset + range.start..volume.offset + range.end, ());
                }
            }
            Err(why) => part.refused = Some(why),
        }
        parts.push(part);
    }
    (used, parts)
}

/// The same for the order of reading only: see [`FileSystem::likely_used`].
///
/// [`FileSystem::likely_used`]: tintype_volumes::filesystems::FileSystem::likely_used
pub fn likely(source: &dyn Source, volumes: &Volumes) -> RangeMap<()> {
    let mut used = RangeMap::new();
    used.set(0..source.len(), ());
    for volume in volumes.open.iter().filter(|volume| !overlaps(volumes, volume)) {
        used.clear(volume.offset..volume.offset + volume.len);
        for (range, ()) in volume.fs.likely_used().within(0..volume.len) {
            used.set(volume.offset + range.start..volume.offset + range.end, ());
        }
    }
    used
}

/// True if another partition, or the records of logical ones, lies in a volume.
fn overlaps(volumes: &Volumes, volume: &Volume) -> bool {
    let Some(table) = &volumes.table else { return false };
    table.partitions.iter().any(|p| {
        let itself = format!("#p{}", p.number) == volume.part;
        // A logical partition lies in its extended one, and the records before it do not lie in the partition itself.
        !itself && p.role != Role::Extended && p.offset < volume.offset + volume.len && p.end() > volume.offset
    })
}
