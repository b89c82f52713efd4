//! Writing over the blocks of some statuses: to find lost bytes in files, or to have a drive put spare sectors in their place.

use super::Domain;
use super::algebra::Shift;
use crate::report::Range as Listed;
use serde::Serialize;
use std::ops::Range;
use std::sync::Arc;
use tintype_core::mapfile::{Mapfile, Status};
use tintype_core::{Disk, Error, Event, Kind, Result, Watch};

/// Bytes that are written at once.
const CLUSTER: u64 = 64 << 10;

/// What is written, and where.
pub struct Request<'a> {
    /// The map.
    pub map: &'a Mapfile,
    /// Which of its bytes are meant.
    pub domain: &'a Domain,
    /// Blocks of these statuses are written over.
    pub statuses: &'a [Status],
    /// What is written, again and again from the begin of every block; at least one byte.
    pub pattern: &'a [u8],
    /// Whether every sector begins with its place.
    pub locations: Locations,
    /// Bytes of a sector.
    pub sector: u64,
    /// How much further on, or back, than in the map bytes lie in the target.
    pub shift: Shift,
    /// What is written to.
    pub target: &'a Arc<dyn Disk>,
    /// What becomes of a write that fails.
    pub failures: Failures,
    /// Shows the work.
    pub watch: &'a dyn Watch,
}

/// Whether sectors begin with their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locations {
    /// A line with the position, the number of the sector and the status.
    Written,
    /// Nothing but what is written anyway.
    Left,
}

/// What becomes of a write that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failures {
    /// It ends the work.
    End,
    /// It is tried sector by sector, and what fails alone is left and told.
    Leave,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Filled {
    /// Bytes.
    pub written: u64,
    /// In so many areas.
    pub areas: u64,
    /// Ranges of the map that could not be written.
    pub failed: Vec<Listed>,
}

/// Fills. `Usage` where a block has no place in the target: nothing is written then.
pub fn fill(request: &Request<'_>) -> Result<Filled> {
    let Request { map, domain, statuses, pattern, shift, target, watch, .. } = request;
    if pattern.is_empty() {
        return Err(Error::usage("there is nothing to fill with: it takes at least one byte"));
    }
    let areas: Vec<(Range<u64>, Status)> = domain.pieces(map).filter(|(_, s)| statuses.contains(s)).collect();
    for (range, _) in &areas {
        if place(*shift, range.start).is_none() || place(*shift, range.end).is_none_or(|end| end > target.len()) {
            return Err(Error::usage(format!("the target of {} bytes has no place for this block", target.len()))
                .at(range.start));
        }
    }
    let total = areas.iter().map(|(r, _)| r.end - r.start).sum();
    watch.event(&Event::Begin { title: "filling".into(), total: Some(total) });
    let mut filled = Filled { areas: areas.len() as u64, ..Filled::default() };
    let buffer: Vec<u8> = pattern.iter().copied().cycle().take(CLUSTER as usize).collect();
    let run = areas.iter().try_for_each(|(range, status)| area(request, range, *status, &buffer, &mut filled));
    watch.event(&Event::End);
    run.and_then(|()| target.flush())?;
    Ok(filled)
}

fn place(shift: Shift, offset: u64) -> Option<u64> {
    match shift {
        Shift::Up(by) => offset.checked_add(by),
        Shift::Down(by) => offset.checked_sub(by),
    }
}

fn area(request: &Request<'_>, range: &Range<u64>, status: Status, buffer: &[u8], filled: &mut Filled) -> Result<()> {
    // After the first failure in an area the rest of it is written sector by sector.
    let mut size = CLUSTER;
    let mut at = range.start;
    while at < range.end {
        if request.watch.cancelled() {
            return Err(Error::cancelled());
        }
        let end = at.saturating_add(size).min(range.end);
        let mut bytes = buffer[..(end - at) as usize].to_vec();
        if request.locations == Locations::Written {
            for (i, sector) in bytes.chunks_mut(request.sector as usize).enumerate() {
                let at = at + i as u64 * request.sector;
                let line =
                    format!("\n# position 0x{at:08X} sector 0x{:08X} status {} ", at / request.sector, status.sign());
                let len = line.len().min(sector.len());
                sector[..len].copy_from_slice(&line.as_bytes()[..len]);
            }
        }
        let to = place(request.shift, at).ok_or_else(|| Error::usage("there is no such place in the target").at(at))?;
        match request.target.write_at(&bytes, to) {
            Ok(()) => filled.written += end - at,
            Err(e) if request.failures == Failures::End || e.kind() == Kind::Usage => return Err(e),
            Err(_) if size > request.sector => {
                size = request.sector;
                continue;
            }
            Err(_) => match filled.failed.last_mut().filter(|last| last.offset + last.len == at) {
                Some(last) => last.len += end - at,
                None => filled.failed.push(Listed { offset: at, len: end - at }),
            },
        }
        at = end;
        request.watch.event(&Event::Progress { done: filled.written, lost: 0 });
    }
    Ok(())
}
