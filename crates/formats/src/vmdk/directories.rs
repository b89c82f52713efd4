//! Which of the two grain directories is to be believed.

use super::layout::Shape;
use super::sparse::{Entries, tables};
use crate::blocks::{HostFile, Levels, Meaning, Place};
use tintype_core::{Care, Finding, Result};

/// What is wrong with a directory, and the number of the entry where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) what: String,
    pub(super) entry: u64,
}

/// What is wrong with the directory and with its copy, if anything; the first thing of each.
pub(super) struct Faults {
    pub(super) first: Option<Fault>,
    pub(super) copy: Option<Fault>,
}

/// Looks at every entry of both directories. A table that one of them does not know and the other one does is a fault of the one.
pub(super) fn faults(file: &HostFile, shape: &Shape) -> Result<Faults> {
    // Nothing is unpacked here.
    let tables = tables(file.clone(), *shape, Care::Read);
    let mut found = Faults { first: None, copy: None };
    let mut i = 0;
    while i < shape.tables() && (found.first.is_none() || (found.copy.is_none() && shape.copy.is_some())) {
        let first = entry(&tables, shape.directory, i);
        let copy = shape.copy.map(|at| entry(&tables, at, i));
        let known = |place: &Result<Place>| matches!(place, Ok(Place::At(_)));
        let missing = |a: &Result<Place>, b: &Result<Place>| matches!(a, Ok(Place::Absent)) && known(b);
        let fault = |place: &Result<Place>, other: Option<&Result<Place>>| match place {
            Err(e) => Some(Fault { what: e.what().to_owned(), entry: i }),
            Ok(_) if other.is_some_and(|other| missing(place, other)) => {
                Some(Fault { what: format!("it does not know grain table {i}, the other one does"), entry: i })
            }
            Ok(_) => None,
        };
        found.first = found.first.take().or_else(|| fault(&first, copy.as_ref()));
        if let Some(copy) = &copy {
            found.copy = found.copy.take().or_else(|| fault(copy, Some(&first)));
        }
        i += 1;
        let absent = |place: &Result<Place>| matches!(place, Ok(Place::Absent));
        if absent(&first) && copy.as_ref().is_none_or(absent) {
            // Where nobody has written to them, there is nothing in either of them.
            let both = [Some(shape.directory), shape.copy].into_iter().flatten();
            i += both.map(|at| hole(&tables, at, i)).min().unwrap_or(0);
        }
    }
    Ok(found)
}

/// How many entries of the directory at `directory`, from `i` on, lie in a hole of the file.
fn hole(tables: &Levels<Entries>, directory: u64, i: u64) -> u64 {
    let at = directory.saturating_add(i * tables.first.width());
    let left = tables.entries.saturating_sub(i).max(1);
    match tables.tables.at(Entries::FIRST, at, left, tables.first) {
        Ok(entries) if entries.bytes().is_none() => entries.len(),
        _ => 0,
    }
}

/// The table that entry `i` of the directory at `directory` leads to, if it can be one.
pub(super) fn entry(tables: &Levels<Entries>, directory: u64, i: u64) -> Result<Place> {
    let at = directory.saturating_add(i * tables.first.width());
    let entries = tables.tables.at(Entries::FIRST, at, 1, tables.first)?;
    tables.meaning.table(i, entries.get(0))
}

/// The shape with the directory that can be used, and what there is to say about that.
pub(super) fn choose(file: &HostFile, shape: Shape) -> Result<(Shape, Option<Finding>)> {
    let Faults { first: Some(fault), copy: worse } = faults(file, &shape)? else { return Ok((shape, None)) };
    let at = shape.directory.saturating_add(fault.entry * shape.width());
    let (shape, instead) = match (shape.copy, worse) {
        (Some(copy), None) => (Shape { directory: copy, copy: Some(shape.directory), ..shape }, "its copy is used"),
        _ => (shape, "there is no copy of it that could be used"),
    };
    let what = format!("the grain directory is damaged ({}); {instead}", fault.what);
    Ok((shape, Some(Finding::damage(what).in_file(&file.name, at))))
}
