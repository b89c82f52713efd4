//! Checks the structure.

use super::read::parse;
use crate::blocks::Findings;
use tintype_core::{Error, Finding, Kind, OpenRequest, Result};

/// What blocks are whose places cannot be.
const WRONG: &str = "blocks out of order or outside the file";
/// Blocks between two looks at whether the person wants to stop.
const STEP: u64 = 1 << 16;

pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let parsed = parse(request)?;
    let mut findings = Findings::new(&request.entry.name);
    let first = parsed.table.place(parsed.blocks + 1);
    let mut before: Option<u64> = None;
    parsed.table.each(&mut |i, count, end| {
        if i.is_multiple_of(STEP) && request.watch.cancelled() {
            return Err(Error::cancelled());
        }
        if let Some(at) = before {
            let n = i - 1;
            let (place, touched) = (parsed.table.place(n), (n * parsed.block, parsed.block));
            match parsed.between(n, at, end) {
                Ok(_) if at < first => {
                    let what = || format!("block {n} is said to lie at {at}, over the list of offsets");
                    findings.each("blocks over the list of offsets", what, place, Some(touched));
                }
                Ok(_) => {}
                Err(e) if e.kind() == Kind::Corrupt => {
                    findings.each(WRONG, || e.what().to_owned(), place, Some(touched));
                }
                Err(e) => return Err(e),
            }
        }
        // In a hole of the list nothing lies anywhere.
        if count > 1 {
            let what = || format!("{} blocks from block {i} on are said to lie at {end}", count - 1);
            let touched = (i * parsed.block, (count - 1) * parsed.block);
            findings.each(WRONG, what, parsed.table.place(i), Some(touched));
        }
        before = Some(end);
        Ok(())
    })?;
    Ok(findings.finish())
}
