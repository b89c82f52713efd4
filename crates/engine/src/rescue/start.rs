//! Where a rescue begins: with nothing, or where an earlier run stopped.

use super::log;
use super::target::{Old, Target};
use super::{Fate, Ledger, Status};
use crate::identity::SourceId;
use crate::map::Domain;
use std::path::{Path, PathBuf};
use tintype_codec::checksum::crc32;
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
            changes.extend(ledger.all(status).into_iter().map(|range| (range, Fate { status: now, tries })));
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

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Where a rescue begins.
pub(super) enum Begun {
    /// With nothing.
    Anew,
    /// With what a mapfile says.
    FromMap(Ledger),
    /// With what a journal says.
    FromJournal(Ledger, Box<log::Found>),
}

/// Where an earlier run stopped, whoever made it. Refuses what does not belong together.
pub(super) fn begin(id: &SourceId, len: u64, target: &Target, map: &Path, journal: &Path) -> Result<Begun> {
    let image = &target.path;
    let text = match std::fs::read(map) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(Error::io("cannot read the mapfile", e).in_path(map)),
    };
    let found = log::read(journal)?;
    let there = image_len(image)?;
    if text.is_none() && found.is_none() {
        return match there {
            None | Some(0) => Ok(Begun::Anew),
            Some(_) if target.old != Old::Refuse => Ok(Begun::Anew),
            Some(_) => Err(Error::denied(format!(
                "exists already, and there is no mapfile {} that says what it holds; name its mapfile, or another image",
                map.display()
            ))
            .in_path(image)),
        };
    }
    if target.old == Old::Truncate {
        return Err(Error::denied(format!(
            "is not emptied: {} says that some of it was rescued; remove the map to begin anew",
            map.display()
        ))
        .in_path(image));
    }
    if there.is_none() {
        return Err(Error::denied(format!(
            "does not exist, but {} says that some of it was rescued; name the right image, or another map",
            map.display()
        ))
        .in_path(image));
    }
    if let Some(found) = found {
        if let Some(why) = found.header.source.differs(id) {
            return Err(Error::denied(format!(
                "belongs to another drive: {why}; name the drive it was begun with, or another map"
            ))
            .in_path(journal));
        }
        // A map that was changed since was changed by somebody who knew more.
        if text.is_none() || text.as_ref().is_some_and(|t| Some(crc32(t)) == found.map) || found.map.is_none() {
            let mut ledger = Ledger::new(len);
            for (range, fate) in &found.ranges {
                if range.end > len {
                    return Err(Error::corrupt("names bytes beyond the end of the drive").in_path(journal));
                }
                ledger.set(range.clone(), *fate);
            }
            return Ok(Begun::FromJournal(ledger, Box::new(found)));
        }
    }
    let ledger = from_mapfile(&text.unwrap_or_default(), len).map_err(|e| e.in_path(map))?;
    Ok(Begun::FromMap(ledger))
}

fn from_mapfile(text: &[u8], len: u64) -> Result<Ledger> {
    let mut ledger = Ledger::new(len);
    for (range, status) in Mapfile::parse(text, Gaps::Refused)?.blocks().iter() {
        // What ddrescue does not know the end of goes on for ever.
        if range.end > len && status != Status::NonTried {
            return Err(Error::corrupt(format!(
                "names bytes up to {}, the drive has {len}: it belongs to another drive",
                range.end
            )));
        }
        let tries = u8::from(!matches!(status, Status::NonTried | Status::Finished));
        ledger.set(range.start.min(len)..range.end.min(len), Fate { status, tries });
    }
    Ok(ledger)
}

fn image_len(image: &Path) -> Result<Option<u64>> {
    match crate::open::medium_of(image) {
        Ok(crate::open::Medium::File) => {
            Ok(Some(std::fs::metadata(image).map_err(|e| Error::io("cannot look at", e).in_path(image))?.len()))
        }
        // A drive holds something always; its map says what.
        Ok(crate::open::Medium::Drive) => Ok(Some(0)),
        Ok(crate::open::Medium::Folder) => Err(Error::usage("is a folder; name the image inside it").in_path(image)),
        Err(e) if e.io_kind() == Some(std::io::ErrorKind::NotFound) => Ok(None),
        Err(e) => Err(e),
    }
}
