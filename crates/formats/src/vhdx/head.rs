//! Headers and regions: where everything is.

use super::layout::{
    BAT, HEADERS, Header, MAGIC, METADATA, MIB, MOST_ENTRIES, REGIONS, Region, RegionHead, TABLE, checksum,
};
use super::log;
use crate::blocks::HostFile;
use crate::uuid;
use std::sync::Arc;
use tintype_core::{Error, Finding, OpenRequest, Result, Source};
use zerocopy::FromBytes;

/// What headers and regions say.
pub(super) struct Head {
    pub(super) header: Header,
    /// The file as it is once its log has been replayed.
    pub(super) host: HostFile,
    pub(super) bat: Region,
    pub(super) metadata: Region,
    /// All regions.
    pub(super) regions: Vec<Region>,
    /// Entries of the log that were replayed.
    pub(super) replayed: usize,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn read(request: &OpenRequest) -> Result<Head> {
    let name = &request.entry.name;
    let source = request.entry.source()?;
    let wrong = |e: Error| e.in_path(name);
    if source.len() < MIB {
        return Err(wrong(Error::corrupt("is too short for a VHDX: its header section has 1 MiB")));
    }
    let mut magic = [0; MAGIC.len()];
    source.read_at(&mut magic, 0).map_err(wrong)?;
    if magic != MAGIC {
        return Err(wrong(Error::corrupt("is no VHDX: its signature is missing")));
    }
    let mut findings = Vec::new();
    let header = header(&**source, name, &mut findings).map_err(wrong)?;
    if header.version.get() != 1 {
        return Err(wrong(Error::unsupported(format!("VHDX version {} is not known, only 1 is", header.version))));
    }
    let (replayed, count) = match header.log_guid {
        id if id == [0; 16] => (Arc::clone(source), 0),
        _ => log::replay(source, &header, &request.limits).map_err(wrong)?,
    };
    if header.log_guid != [0; 16] && count == 0 {
        let what = "the image was not closed, and nothing is in its log: who had it open was stopped before the first change, or did not keep to the log";
        findings.push(Finding::damage(what).in_file(name, header.log_offset.get()));
    }
    let regions = regions(&*replayed, name, &mut findings).map_err(wrong)?;
    let mut found = [None, None];
    for region in &regions {
        match region.guid {
            BAT => found[0] = Some(*region),
            METADATA => found[1] = Some(*region),
            other if region.required.get() & 1 != 0 => {
                let what = format!("the file needs region {}, which is not known", uuid::text(&other));
                return Err(wrong(Error::unsupported(what)));
            }
            _ => {}
        }
    }
    let [Some(bat), Some(metadata)] = found else {
        return Err(wrong(Error::corrupt("no region has the block table, or none the metadata").at(REGIONS[0])));
    };
    let host = HostFile::new(name, &replayed);
    for (what, region) in [("the block table", bat), ("the metadata", metadata)] {
        host.holds(what, region.file_offset.get(), region.length.get().into())?;
    }
    Ok(Head { header, host, bat, metadata, regions, replayed: count, findings })
}

/// The header that holds.
fn header(source: &dyn Source, name: &str, findings: &mut Vec<Finding>) -> Result<Header> {
    let mut found = [None, None];
    for (header, at) in found.iter_mut().zip(HEADERS) {
        let mut bytes = [0; size_of::<Header>()];
        source.read_at(&mut bytes, at)?;
        *header = Header::parse(&bytes);
        if header.is_none() {
            let what = "a header is damaged: its signature or checksum is wrong; the other holds";
            findings.push(Finding::damage(what).in_file(name, at));
        }
    }
    match found {
        [Some(a), Some(b)] if a.sequence_number.get() == b.sequence_number.get() && a != b => {
            Err(Error::corrupt("both headers have the same number and differ: none of them holds").at(HEADERS[0]))
        }
        [Some(a), Some(b)] => Ok(if b.sequence_number.get() > a.sequence_number.get() { b } else { a }),
        [Some(one), None] | [None, Some(one)] => Ok(one),
        [None, None] => Err(Error::corrupt("both headers are damaged").at(HEADERS[0])),
    }
}

fn regions(source: &dyn Source, name: &str, findings: &mut Vec<Finding>) -> Result<Vec<Region>> {
    let mut found: [Option<Vec<u8>>; 2] = [None, None];
    for (table, at) in found.iter_mut().zip(REGIONS) {
        let mut bytes = vec![0; TABLE];
        source.read_at(&mut bytes, at)?;
        let head = RegionHead::read_from_prefix(&bytes).ok().map(|(head, _)| head);
        let good = head.is_some_and(|h| {
            h.signature == RegionHead::SIGNATURE
                && h.entry_count.get() <= MOST_ENTRIES
                && h.checksum.get() == checksum(&bytes)
        });
        match good {
            true => *table = Some(bytes),
            false => findings.push(Finding::damage("a region table is damaged; the other holds").in_file(name, at)),
        }
    }
    let [first, second] = found;
    if let (Some(a), Some(b)) = (&first, &second)
        && a != b
    {
        let what = "the two region tables differ; the first one holds";
        findings.push(Finding::damage(what).in_file(name, REGIONS[1]));
    }
    let bytes = first.or(second).ok_or_else(|| Error::corrupt("both region tables are damaged").at(REGIONS[0]))?;
    let (head, mut rest) = RegionHead::ref_from_prefix(&bytes).map_err(|_| Error::corrupt("no region table"))?;
    let mut regions: Vec<Region> = Vec::new();
    for _ in 0..head.entry_count.get() {
        let (region, after) =
            Region::read_from_prefix(rest).map_err(|_| Error::corrupt("the region table is too short"))?;
        rest = after;
        let (at, len) = (region.file_offset.get(), u64::from(region.length.get()));
        if at < MIB || !at.is_multiple_of(MIB) || len == 0 || !len.is_multiple_of(MIB) {
            let what = format!("region {} of {len} bytes at {at} is no whole MiB", uuid::text(&region.guid));
            return Err(Error::corrupt(what).at(REGIONS[0]));
        }
        if regions.iter().any(|r| r.guid == region.guid) {
            let what = format!("region {} is there twice", uuid::text(&region.guid));
            return Err(Error::corrupt(what).at(REGIONS[0]));
        }
        regions.push(region);
    }
    Ok(regions)
}
