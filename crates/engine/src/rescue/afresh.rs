//! What is wanted of an earlier run's map, and what becomes of its statuses.

use super::{Fate, Ledger, Status};
use crate::map::Domain;
use std::path::Path;
use tintype_core::mapfile::{Gaps, Mapfile};
use tintype_core::{Error, Result};

/// What becomes of the statuses of an earlier run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Afresh {
    /// Failed reads that are to be tried as if they had not been.
    pub tried: Tried,
    /// Failed sectors whose edges are to be looked for again.
    pub failed: Failed,
}

/// What becomes of what is not trimmed and not scraped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tried {
    /// It stays so.
    #[default]
    Keep,
    /// It becomes not tried.
    Forget,
}

/// What becomes of what failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failed {
    /// It stays so.
    #[default]
    Keep,
    /// It becomes not trimmed; with [`Tried::Forget`], not tried.
    Retrim,
}

impl Afresh {
    /// The changes to what is meant; they are in the ledger afterwards.
    pub(super) fn changes(self, ledger: &mut Ledger) -> Vec<(std::ops::Range<u64>, Fate)> {
        let mut changes = Vec::new();
        for status in [Status::NonTrimmed, Status::NonScraped, Status::Bad] {
            let now = match (self.tried, self.failed) {
                (Tried::Forget, Failed::Retrim) => Status::NonTried,
                (Tried::Forget, Failed::Keep) if status != Status::Bad => Status::NonTried,
                (Tried::Keep, Failed::Retrim) => Status::NonTrimmed,
                _ => continue,
            };
            let tries = u8::from(now != Status::NonTried);
            changes.extend(ledger.all(status).into_iter().map(|range| (range, Fate::new(now, tries))));
        }
        for (range, fate) in &changes {
            ledger.set(range.clone(), *fate);
        }
        changes
    }
}

/// What has to be so of an earlier run's map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// How long it is.
    pub size: Size,
    /// Which bytes are meant.
    pub reach: Reach,
}

/// How long a map has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Size {
    /// At most as long as the drive.
    #[default]
    Any,
    /// As long as the drive.
    Same,
}

/// Which bytes are meant where there is a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Those of the drive.
    #[default]
    Drive,
    /// Only those the map speaks of.
    Map,
}

impl Wanted {
    /// The part of `domain` that is meant on a drive of `len` bytes with the map at `path`. Refuses a map that is not as it has to be.
    pub(super) fn domain(self, domain: Domain, path: &Path, len: u64) -> Result<Domain> {
        if self == Wanted::default() {
            return Ok(domain);
        }
        let text = std::fs::read(path).map_err(|e| Error::io("cannot read the mapfile", e).in_path(path))?;
        let named = Mapfile::parse(&text, Gaps::Refused).map_err(|e| e.in_path(path))?.range();
        if self.size == Size::Same && named.end != len {
            return Err(Error::denied(format!("is of {} bytes, the drive has {len}", named.end)).in_path(path));
        }
        Ok(match self.reach {
            Reach::Drive => domain,
            Reach::Map => Domain::of(domain.within(named).collect::<Vec<_>>()),
        })
    }
}
