//! Checks the structure.

use super::read::{OFFSETS, parse};
use crate::blocks::Findings;
use tintype_core::{Finding, Kind, OpenRequest, Result};

pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let parsed = parse(request)?;
    let mut findings = Findings::new(&request.entry.name);
    let first = parsed.table.place(parsed.blocks + 1);
    for n in 0..parsed.blocks {
        if request.watch.cancelled() {
            return Err(tintype_core::Error::cancelled());
        }
        let touched = (n * parsed.block, parsed.block);
        match parsed.stored(n) {
            Ok((at, _)) if at < first => {
                let what = || format!("block {n} is said to lie at {at}, over the list of offsets");
                findings.each("blocks over the list of offsets", what, parsed.table.place(n), Some(touched));
            }
            Ok(_) => {}
            Err(e) if e.kind() == Kind::Corrupt => {
                findings.each(
                    "blocks out of order or outside the file",
                    || e.what().to_owned(),
                    OFFSETS + 8 * n,
                    Some(touched),
                );
            }
            Err(e) => return Err(e),
        }
    }
    Ok(findings.finish())
}
