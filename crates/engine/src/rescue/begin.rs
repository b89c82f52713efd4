//! Where an earlier run stopped, whoever made it; refuses what does not belong together.

use super::log::{self, Found};
use super::target::{Old, Target};
use super::{Fate, Ledger, Status};
use crate::identity::SourceId;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tintype_codec::checksum::crc32;
use tintype_core::mapfile::{Gaps, Mapfile};
use tintype_core::{Error, Outlet, RangeMap, Result};
use tintype_device::folder::{Folder, Reach};

/// Longest mapfile that is read: more than the blocks that are kept of one take.
const MOST_TEXT: u64 = 1 << 30;

/// Where the mapfile and the journal lie.
#[derive(Clone)]
pub(super) struct Site {
    pub outlet: Arc<dyn Outlet>,
    /// The folder, for errors.
    pub folder: PathBuf,
    /// The name of the mapfile.
    pub map: String,
}

impl Site {
    /// The place of the mapfile at `map`.
    pub fn of(map: &Path) -> Result<Self> {
        let (folder, map) = Folder::of(map, Reach::Beside)?;
        Ok(Site { folder: folder.path().to_path_buf(), outlet: Arc::new(folder), map })
    }

    /// The name of the journal.
    pub fn journal(&self) -> String {
        format!("{}.journal", self.map)
    }

    /// The text of the mapfile, if there is one.
    pub fn text(&self) -> Result<Option<Vec<u8>>> {
        if !self.outlet.exists(&self.map)? {
            return Ok(None);
        }
        let file = self.outlet.reopen(&self.map)?;
        let len = file.len()?;
        if len > MOST_TEXT {
            return Err(Error::limit(format!("is longer than {MOST_TEXT} bytes, so it is no map")).in_path(&self.map));
        }
        let mut text = vec![0; len as usize];
        file.read_at(&mut text, 0)?;
        Ok(Some(text))
    }
}

/// What is known at the start.
pub(super) enum Begun {
    /// Nothing.
    Anew,
    /// What a mapfile says that is not our last word, and its CRC-32.
    FromMap(Ledger, u32),
    /// What our journal says.
    FromJournal(Ledger, Box<Found>),
}

/// What stands where the image is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    /// A file of so many bytes.
    File(u64),
    /// A drive: it holds something always, and its map says what.
    Drive,
}

impl Begun {
    /// What is known of a rescue of the drive `id` of `len` bytes into `image`.
    pub fn at(site: &Site, id: &SourceId, len: u64, target: &Target, there: There) -> Result<Self> {
        let image = &target.path;
        let begun = known(site, id, len, target, there).map_err(|e| e.in_folder(&site.folder))?;
        let (Begun::FromMap(ledger, _) | Begun::FromJournal(ledger, _)) = &begun else { return Ok(begun) };
        let map = site.folder.join(&site.map);
        if target.old == Old::Truncate {
            return Err(Error::denied(format!(
                "is not emptied: {} says that some of it was rescued; move the map away to begin anew",
                map.display()
            ))
            .in_path(image));
        }
        let finished = ledger.iter().filter(|(_, f)| f.status() == Status::Finished).map(|(r, _)| r.end).max();
        let finished = finished.map(|end| target.place(end)).transpose()?;
        match (there, finished) {
            (There::Nothing, Some(_)) => Err(Error::denied(format!(
                "does not exist, but {} says that some of it was rescued; name the right image, or another map",
                map.display()
            ))
            .in_path(image)),
            (There::File(have), Some(end)) if have < end => Err(Error::denied(format!(
                "has {have} bytes, but {} says that bytes up to {end} were rescued; name the right image, or another map",
                map.display()
            ))
            .in_path(image)),
            _ => Ok(begun),
        }
    }
}

fn known(site: &Site, id: &SourceId, len: u64, target: &Target, there: There) -> Result<Begun> {
    let journal = site.journal();
    let text = site.text()?;
    let found = log::read(&*site.outlet, &journal)?;
    let map = site.folder.join(&site.map);
    if text.is_none() && found.is_none() {
        return match there {
            There::Nothing | There::File(0) | There::Drive => Ok(Begun::Anew),
            There::File(_) if target.old != Old::Refuse => Ok(Begun::Anew),
            There::File(_) => Err(Error::denied(format!(
                "exists already, and there is no mapfile {} that says what it holds; name its mapfile, or another image",
                map.display()
            ))
            .in_path(&target.path)),
        };
    }
    let Some(mut found) = found else {
        let text = text.unwrap_or_default();
        let sum = crc32(&text);
        return parse(text)
            .and_then(|map| from_mapfile(map, len))
            .map(|ledger| Begun::FromMap(ledger, sum))
            .map_err(|e| e.in_path(&site.map));
    };
    if let Some(why) = found.header.source.differs(id) {
        return Err(Error::denied(format!(
            "belongs to another drive: {why}; name the drive it was begun with, or another map"
        ))
        .in_path(&journal));
    }
    // A map that was changed since was changed by somebody who knew more.
    let sum = text.as_ref().map_or(0, |text| crc32(text));
    if let Some(text) = text.filter(|_| !found.maps.contains(&sum)) {
        // A journal that has lost its end may know an older mapfile only.
        if found.ignored == 0 && older(&map, &site.folder.join(&journal)) {
            return Err(Error::corrupt(
                "is not what was written, and nobody has written it since: it is damaged; move it away, and what the journal \
                 beside it says is what counts (or touch it, if it is meant)",
            )
            .in_path(&site.map));
        }
        let help = |e: Error| {
            Error::new(e.kind(), "is damaged; move it away, and what the journal beside it says is what counts")
                .in_path(&site.map)
                .because(e)
        };
        let parsed = parse(text).map_err(help)?;
        let range = parsed.range();
        if range.start > 0 || range.end < len {
            let why =
                format!("says nothing of bytes outside {} to {}, and the drive has {len}", range.start, range.end);
            return Err(Error::denied(format!(
                "{why}: somebody cut it short; move it away, and what the journal beside it says is what counts"
            ))
            .in_path(&site.map));
        }
        return from_mapfile(parsed, len).map(|ledger| Begun::FromMap(ledger, sum)).map_err(|e| e.in_path(&site.map));
    }
    let fates = std::mem::take(&mut found.fates);
    if fates.iter().next_back().is_some_and(|(range, _)| range.end > len) {
        return Err(Error::corrupt("names bytes beyond the end of the drive").in_path(&journal));
    }
    Ok(Begun::FromJournal(Ledger::of(len, fates), Box::new(found)))
}

/// True if nobody has written the file at `map` since the one at `journal` was.
fn older(map: &Path, journal: &Path) -> bool {
    let written = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    matches!((written(map), written(journal)), (Some(map), Some(journal)) if map <= journal)
}

/// Takes the text: a long one is not to be in memory any longer than it takes.
fn parse(text: Vec<u8>) -> Result<Mapfile> {
    Mapfile::parse(&text, Gaps::Refused)
}

fn from_mapfile(map: Mapfile, len: u64) -> Result<Ledger> {
    let mut fates = RangeMap::new();
    for (range, status) in map.blocks().iter() {
        // What ddrescue does not know the end of goes on for ever.
        if range.end > len && status != Status::NonTried {
            return Err(Error::corrupt(format!(
                "names bytes up to {}, the drive has {len}: it belongs to another drive",
                range.end
            )));
        }
        let tries = u8::from(!matches!(status, Status::NonTried | Status::Finished));
        fates.set(range.start.min(len)..range.end.min(len), Fate::new(status, tries));
    }
    drop(map);
    Ok(Ledger::of(len, fates))
}
