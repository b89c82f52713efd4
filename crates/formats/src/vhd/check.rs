//! Checks the structure.

use super::layout::{ABSENT, Header, SECTOR};
use super::read::{lead, parse};
use crate::blocks::{Findings, share};
use tintype_core::{Finding, OpenRequest, Result};

pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let parsed = parse(request)?;
    let name = &request.entry.name;
    let mut findings = Findings::new(name);
    for warning in &parsed.warnings {
        findings.warning(warning, parsed.end);
    }
    let mut all = parsed.findings.clone();
    let len = parsed.len;
    if !(parsed.host.source.len()).is_multiple_of(SECTOR) {
        findings.warning("the file is no whole number of sectors", parsed.end);
    }
    let Some((header, table)) = &parsed.dynamic else {
        if parsed.end > len {
            findings
                .warning(format!("{} bytes between the disk and its footer belong to neither", parsed.end - len), len);
        }
        all.extend(findings.finish());
        return Ok(all);
    };
    let block = u64::from(header.block_size.get());
    let lead = lead(block);
    let touched = |n: u64| share(n, block, len);
    let header_end = parsed.footer.data_offset.get() + Header::LEN;
    let table_end = table.place(u64::from(header.max_table_entries.get()));
    if table.place(0) < header_end && table_end > parsed.footer.data_offset.get() {
        findings.damage("the block table lies over the header", table.place(0));
    }
    let mut allocated = 0u64;
    table.each(&mut |n, count, entry| {
        if entry == ABSENT {
            return Ok(());
        }
        allocated += count;
        let at = entry * SECTOR;
        let end = at + lead + touched(n).1;
        let place = table.place(n);
        if end > parsed.end {
            let what = || format!("block {n} is said to lie at {at}, which is not in front of the footer");
            findings.each("blocks outside the file", what, place, Some(touched(n)));
        } else if at < table.place(table.entries()).max(header_end) {
            let what = || format!("block {n} is said to lie at {at}, over the header or the block table");
            findings.each("blocks over the header or the table", what, place, Some(touched(n)));
        }
        Ok(())
    })?;
    let place = |_: u64, entry: u64| (entry != ABSENT).then_some((entry * SECTOR, lead + block));
    findings.overlapping(table, &*request.watch, &place, &|n| n, &touched)?;
    // Writers may keep blocks where a page of memory begins.
    let room = allocated * (lead + block + 4096) + block;
    let there = parsed.end.saturating_sub(table_end.max(header_end));
    if there > room + lead {
        findings.warning(format!("about {} bytes of the file belong to no block", there - room), table_end);
    }
    all.extend(findings.finish());
    Ok(all)
}
