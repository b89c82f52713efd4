//! Checking gzip without decoding it.

use super::layout::{Bgzf, Scan};
use super::read::{NO_END, ends_properly, is_bgzf};
use crate::packed::{Packed, foreign_data};
use tintype_core::{Finding, Kind, OpenRequest, Result};

/// Walks the headers of BGZF blocks; other members can only be checked by reading them.
pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let packed = Packed::new(request)?;
    let mut findings: Vec<Finding> = packed.warnings.iter().map(Finding::warning).collect();
    if !is_bgzf(&packed)? {
        return Ok(findings);
    }
    match Bgzf::scan(&packed.input(), request.care, &*request.watch) {
        Ok(Scan::Other) => {}
        Ok(Scan::Whole { foreign, last, .. }) => {
            if let Some(offset) = foreign {
                findings.push(foreign_data(&packed, offset));
            }
            if !ends_properly(&packed, foreign)? {
                findings.push(Finding::damage(NO_END).in_file(&packed.files[0], last));
            }
        }
        Err(e) if e.kind() == Kind::Corrupt => {
            let readable = e.offset().unwrap_or(0);
            findings.push(Finding::damage(e.chain()).touching(readable, u64::MAX - readable));
        }
        Err(e) => return Err(e),
    }
    Ok(findings)
}
