//! Checks the structure.

use super::read::{ABSENT, parse};
use crate::blocks::{Findings, share};
use tintype_core::{Finding, OpenRequest, Result};

pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let parsed = parse(request)?;
    let mut findings = Findings::new(&request.entry.name);
    let (extent, len) = (parsed.extent, parsed.len);
    let touched = |n: u64| share(n, extent, len);
    parsed.table.each(&mut |n, _, number| {
        if number != ABSENT && parsed.end(number, touched(n).1)? > parsed.host.source.len() {
            let what = || format!("extent {n} is said to lie at {}, in part outside the file", parsed.place(number));
            findings.each("extents outside the file", what, parsed.table.place(n), Some(touched(n)));
        }
        Ok(())
    })?;
    let place = |_: u64, number: u64| (number != ABSENT).then(|| (parsed.place(number), parsed.stride()));
    findings.overlapping(&parsed.table, &*request.watch, &place, &|n| n, &touched)?;
    Ok(findings.finish())
}
