//! Checks the structure.

use super::bundle::descriptor_of;
use super::layout::SECTOR;
use super::{descriptor, read};
use crate::blocks::{Findings, share};
use std::collections::BTreeSet;
use std::sync::Arc;
use tintype_core::{Finding, OpenRequest, Result, Source};

pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let Some(text) = descriptor_of(request)? else {
        return file(request, &request.entry.name, request.entry.source()?);
    };
    let mut all = Vec::new();
    let mut seen = BTreeSet::new();
    for storage in descriptor::parse(&text)?.storages {
        for image in storage.images.iter().filter(|i| i.kind == "Compressed" && seen.insert(i.file.clone())) {
            let source = request.open_beside(&image.file).map_err(|e| e.in_path(&image.file))?;
            all.extend(file(request, &image.file, &source)?);
        }
    }
    Ok(all)
}

fn file(request: &OpenRequest, name: &str, source: &Arc<dyn Source>) -> Result<Vec<Finding>> {
    let parsed = read::parse(name, source)?;
    let mut findings = Findings::new(name);
    let (cluster, len, table) = (parsed.cluster, parsed.len, &parsed.table);
    let touched = |n: u64| share(n, cluster, len);
    let table_end = table.place(parsed.header.bat_entries.get().into());
    let said = u64::from(parsed.header.data_offset.get()) * SECTOR;
    if said != 0 && said < table_end {
        findings.damage("the data begin inside the block table", 48);
    }
    let first = table_end.max(said);
    let mut end = first;
    table.each(&mut |n, _, entry| {
        if entry == 0 {
            return Ok(());
        }
        let at = parsed.place(entry);
        end = end.max(at.saturating_add(cluster));
        if at.saturating_add(touched(n).1) > source.len() {
            let what = || format!("cluster {n} is said to lie at {at}, outside the file");
            findings.each("clusters outside the file", what, table.place(n), Some(touched(n)));
        } else if at < first {
            let what = || format!("cluster {n} is said to lie at {at}, in front of the data");
            findings.each("clusters in front of the data", what, table.place(n), Some(touched(n)));
        }
        Ok(())
    })?;
    let place = |_: u64, entry: u64| (entry != 0).then(|| (parsed.place(entry), cluster));
    findings.overlapping(table, &*request.watch, &place, &|n| n, &touched)?;
    if source.len() > end {
        findings.warning(format!("{} bytes at the end of the file belong to no cluster", source.len() - end), end);
    }
    let mut all = parsed.findings.clone();
    all.extend(findings.finish());
    Ok(all)
}
