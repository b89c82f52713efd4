//! Checking zstd without decoding it.

use super::layout::{Scan, Table};
use crate::packed::{Packed, foreign_data};
use tintype_core::{Finding, Kind, OpenRequest, Result};

/// Holds the seek table, if there is one, against the frames it lists, and walks through all headers.
pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let packed = Packed::new(request)?;
    let mut findings: Vec<Finding> = packed.warnings.iter().map(Finding::warning).collect();
    let file = &packed.files[0];
    match Table::seekable(&packed.input(), &request.limits) {
        Ok(Some(table)) => {
            for index in 0..table.count() {
                if !table.is_honest(index)? {
                    let (at, out) = table.place(index);
                    let what = format!("frame {index} is not what the seek table says");
                    findings.push(Finding::damage(what).in_file(file, at).touching(out, 1));
                }
            }
        }
        Ok(None) => {}
        Err(e) if e.kind() == Kind::Io => return Err(e),
        Err(e) => findings.push(Finding::damage(e.chain())),
    }
    if let Scan::Whole { foreign: Some(offset), .. } = Table::scan(&packed.input(), &request.limits, &*request.watch)? {
        findings.push(foreign_data(&packed, offset));
    }
    Ok(findings)
}
