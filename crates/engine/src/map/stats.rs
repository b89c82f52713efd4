//! What a map says in sums.

use super::Domain;
use serde::Serialize;
use std::collections::BTreeMap;
use tintype_core::mapfile::{Mapfile, Status};

/// The sums of a map.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stats {
    /// The map.
    pub map: String,
    /// Where the run stands.
    pub current_pos: u64,
    /// What it is doing.
    pub current_status: &'static str,
    /// In which pass of that.
    pub current_pass: u32,
    /// First byte of the map.
    pub offset: u64,
    /// Bytes of the map.
    pub size: u64,
    /// Bytes of it that are meant.
    pub domain: u64,
    /// By status.
    pub statuses: BTreeMap<&'static str, Sum>,
    /// True if everything that is meant is finished.
    pub finished: bool,
}

/// What is in one status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sum {
    /// Bytes.
    pub bytes: u64,
    /// Areas: runs of neighbours.
    pub areas: u64,
    /// Share of what is meant.
    pub percent: f64,
}

impl Stats {
    /// The sums of what is meant of `map`, which goes by `name`.
    pub fn of(name: &str, map: &Mapfile, domain: &Domain) -> Self {
        let mut sums = [Sum::default(); Status::ALL.len()];
        let mut before = None;
        let mut meant = 0;
        for (range, status) in domain.pieces(map) {
            let len = range.end - range.start;
            let sum = &mut sums[status as usize];
            sum.bytes += len;
            meant += len;
            if before != Some((range.start, status)) {
                sum.areas += 1;
            }
            before = Some((range.end, status));
        }
        for sum in &mut sums {
            sum.percent = if meant == 0 { 0.0 } else { sum.bytes as f64 * 100.0 / meant as f64 };
        }
        let range = map.range();
        Stats {
            map: name.to_owned(),
            current_pos: map.progress.pos,
            current_status: map.progress.phase.name(),
            current_pass: map.progress.pass,
            offset: range.start,
            size: range.end - range.start,
            domain: meant,
            statuses: Status::ALL.into_iter().map(|s| (s.name(), sums[s as usize])).collect(),
            finished: sums[Status::Finished as usize].bytes == meant,
        }
    }

    /// What is in `status`.
    pub fn sum(&self, status: Status) -> Sum {
        self.statuses.get(status.name()).copied().unwrap_or_default()
    }
}
