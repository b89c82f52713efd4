//! Checks the structure.

use super::layout::ZERO;
use super::read::parse;
use crate::blocks::{Findings, share};
use tintype_core::{Finding, OpenRequest, Result};

pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let parsed = parse(request)?;
    let mut findings = Findings::new(&request.entry.name);
    let header = &parsed.header;
    let block = u64::from(header.block_size.get());
    let len = header.disk_size.get();
    let needed = len.div_ceil(block);
    let touched = |n: u64| share(n, block, len);
    if u64::from(header.offset_data.get()) < parsed.table.place(parsed.table.entries()) {
        findings.damage("the data begins inside the block map", 0x158);
    }
    if parsed.table.entries() > needed {
        findings.warning(format!("there are {} blocks, the disk needs {needed}", parsed.table.entries()), 0x180);
    }
    let (mut allocated, mut highest) = (0u64, None);
    parsed.table.each(&mut |n, count, entry| {
        if entry >= ZERO {
            return Ok(());
        }
        allocated += count;
        highest = highest.max(Some(entry));
        let (at, stride) = parsed.place(entry);
        let place = parsed.table.place(n);
        let said = u64::from(header.blocks_allocated.get());
        // Of the last block, what lies beyond the end of the disk need not be there.
        let within = touched(n).1 + u64::from(header.block_extra.get());
        if at + within.min(stride) > parsed.host.source.len() {
            let what = || format!("block {n} is said to lie at {at}, outside the file");
            findings.each("blocks outside the file", what, place, Some(touched(n)));
        } else if entry >= said {
            let what = || format!("block {n} is said to be block {entry} of the data, which has {said}");
            findings.each("blocks beyond those that are said to be there", what, place, Some(touched(n)));
        }
        Ok(())
    })?;
    if allocated != u64::from(header.blocks_allocated.get()) {
        let what = format!("{allocated} blocks are there, the header says {}", header.blocks_allocated);
        findings.damage(what, 0x184);
    }
    let end = highest.map_or(header.offset_data.get().into(), |last| parsed.place(last + 1).0);
    if parsed.host.source.len() > end {
        let more = parsed.host.source.len() - end;
        findings.warning(format!("{more} bytes at the end of the file belong to no block"), end);
    }
    let place = |_: u64, entry: u64| (entry < ZERO).then(|| parsed.place(entry));
    findings.overlapping(&parsed.table, &*request.watch, &place, &|n| n, &touched)?;
    Ok(findings.finish())
}
