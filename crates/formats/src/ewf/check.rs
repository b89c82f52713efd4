//! Checks the structure: everything but the bytes of chunks, which are proved by reading them.

use super::index::{Index, Loaded};
use super::read::Geometry;
use super::scan::{Entries, Scan, Table, Weight, scan};
use tintype_core::{Error, Finding, Kind, OpenRequest, Result};

/// Most findings of one kind that are listed for one table.
const MOST_PER_TABLE: usize = 8;

/// What is wrong with the structure of an image.
pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let mut scan = scan(request)?;
    let mut findings: Vec<Finding> = scan
        .problems
        .drain(..)
        .map(|p| {
            let finding = match p.weight {
                Weight::Odd => Finding::warning(p.what),
                Weight::Damage | Weight::Fatal => Finding::damage(p.what),
            };
            finding.in_file(p.file, p.offset)
        })
        .collect();
    let first = scan.segments[0].name.clone();
    let Some(medium) = scan.medium.take() else {
        findings.push(Finding::damage("no section says how large the medium is").in_file(first, 0));
        return Ok(findings);
    };
    let mut warnings = Vec::new();
    let geometry = match Geometry::of(&medium, &request.limits, &mut warnings) {
        Ok(geometry) => geometry,
        Err(e) => {
            findings.push(Finding::damage(e.what()).in_file(first, 0));
            return Ok(findings);
        }
    };
    findings.extend(warnings.into_iter().map(|w| Finding::warning(w).in_file(&first, 0)));
    numbers(&scan, &geometry, medium.volume.chunks.get(), &first, &mut findings);
    errors(&scan, &geometry, &first, &mut findings);
    let segments = std::mem::take(&mut scan.segments);
    let index = Index::new(segments, std::mem::take(&mut scan.tables), geometry.chunk);
    for i in 0..index.tables().len() {
        if request.watch.cancelled() {
            return Err(Error::cancelled());
        }
        table(&index, i, &geometry, &mut findings)?;
    }
    Ok(findings)
}

fn numbers(scan: &Scan, geometry: &Geometry, said: u32, first: &str, findings: &mut Vec<Finding>) {
    let wanted = geometry.chunks();
    if scan.chunks < wanted {
        let from = scan.chunks * geometry.chunk;
        let what = format!("the tables hold {} of {wanted} chunks", scan.chunks);
        findings.push(Finding::damage(what).in_file(first, 0).touching(from, geometry.len - from));
    } else if scan.chunks > wanted + 1 || scan.chunks == wanted + 1 && said as u64 != scan.chunks {
        let what = format!("the tables hold {} chunks where the medium has {wanted}", scan.chunks);
        findings.push(Finding::warning(what).in_file(first, 0));
    }
    if u64::from(said) != scan.chunks && scan.chunks >= wanted {
        let what = format!("the volume section says {said} chunks, the tables hold {}", scan.chunks);
        findings.push(Finding::warning(what).in_file(first, 0));
    }
    if scan.headers.narrow.is_none() && scan.headers.wide.is_none() && scan.headers.extended.is_none() {
        findings.push(Finding::warning("no header section holds case data").in_file(first, 0));
    }
}

fn errors(scan: &Scan, geometry: &Geometry, first: &str, findings: &mut Vec<Finding>) {
    let sectors = geometry.len.div_ceil(geometry.sector.into());
    let beyond = |(start, count): &&(u32, u32)| u64::from(*start) + u64::from(*count) > sectors;
    for (start, count) in scan.errors.iter().filter(beyond).take(MOST_PER_TABLE) {
        let what = format!("the error table names {count} sectors from {start}, the medium has {sectors}");
        findings.push(Finding::damage(what).in_file(first, 0));
    }
}

/// Where the entries of a table are in its file.
fn place(table: &Table) -> u64 {
    match table.entries {
        Entries::File { at, .. } => at,
        Entries::Memory(_) => 0,
    }
}

fn table(index: &Index, i: usize, geometry: &Geometry, findings: &mut Vec<Finding>) -> Result<()> {
    let table = &index.tables()[i];
    let name = &index.segment(table).name;
    let at = place(table);
    let from = (table.first * geometry.chunk).min(geometry.len);
    let touched = (u64::from(table.count) * geometry.chunk).min(geometry.len - from);
    // Only damage is a finding; what the medium of the segment file does not give is the caller's business.
    let corrupt = |e: Error| if e.kind() == Kind::Corrupt { Ok(e) } else { Err(e) };
    let first = match table.entries {
        Entries::File { at, sealed } => index.entries(table, at, sealed),
        Entries::Memory(_) => return Ok(()),
    };
    let copy = table.copy.map(|copy| index.entries(table, copy, true));
    let loaded = match (first, copy) {
        (Ok(first), Some(Ok(copy))) => {
            if first != copy {
                findings.push(
                    Finding::damage("a table and its copy (table2) differ").in_file(name, at).touching(from, touched),
                );
            }
            index.load(i)?
        }
        (Ok(_), None) => index.load(i)?,
        (Ok(_), Some(Err(e))) => {
            let e = corrupt(e)?;
            findings.push(
                Finding::damage("the copy of a table (table2) is damaged").in_file(name, e.offset().unwrap_or(at)),
            );
            index.load(i)?
        }
        (Err(e), Some(Ok(_))) => {
            corrupt(e)?;
            findings.push(Finding::damage("a table is damaged; its copy (table2) is not").in_file(name, at));
            index.load(i)?
        }
        (Err(e), _) => {
            let e = corrupt(e)?;
            findings.push(Finding::damage(e.what()).in_file(name, at).touching(from, touched));
            return Ok(());
        }
    };
    order(index, table, &loaded, geometry, findings);
    Ok(())
}

/// Chunks begin one after the other, inside the section that holds them.
fn order(index: &Index, table: &Table, loaded: &Loaded, geometry: &Geometry, findings: &mut Vec<Finding>) {
    let name = &index.segment(table).name;
    let mut found = 0;
    let mut before = None;
    for i in 0..loaded.len() {
        let at = table.base.saturating_add(loaded.offset(i));
        let what = if at < table.data.0 || at >= table.data.1 {
            format!(
                "a table says that a chunk begins at {at}, outside the chunks at {} to {}",
                table.data.0, table.data.1
            )
        } else if before.is_some_and(|b| at <= b) {
            format!("a table says that a chunk begins at {at}, not after the one before it")
        } else {
            before = Some(at);
            continue;
        };
        let chunk = (table.first + i as u64) * geometry.chunk;
        if chunk < geometry.len {
            let len = geometry.plain_len(table.first + i as u64);
            findings.push(Finding::damage(what).in_file(name, place(table) + 4 * i as u64).touching(chunk, len));
        }
        found += 1;
        if found == MOST_PER_TABLE {
            return;
        }
    }
}
