//! The way to the parent of a differencing disk.

use super::metadata::Metadata;
use super::read;
use crate::{uuid, windows_paths};
use tintype_core::{Error, Image, Kind, OpenRequest, Result};

/// Where paths are, the likeliest first: as the specification has it.
const PATHS: [&str; 3] = ["relative_path", "volume_path", "absolute_win32_path"];

/// Opens the parent, and its name. `Corrupt` where it is not to be found, was changed, or is another one; `Denied` where it lies
/// where nobody may look.
pub(super) fn open(request: &OpenRequest, metadata: &Metadata) -> Result<(String, Image)> {
    let value = |key: &str| metadata.locator.get(key);
    let linkages: Vec<[u8; 16]> = ["parent_linkage", "parent_linkage2"]
        .into_iter()
        .filter_map(|key| uuid::parse(value(key)?))
        .filter(|id| *id != [0; 16])
        .collect();
    if linkages.is_empty() {
        return Err(Error::corrupt("the way to the parent does not say which one it is").in_path(&request.entry.name));
    }
    let paths: Vec<String> = PATHS.into_iter().filter_map(|key| value(key).cloned()).collect();
    let mut tried: Vec<String> = Vec::new();
    let mut denied = None;
    for name in windows_paths::names(request, &paths) {
        match read::open_known(&name, request) {
            Ok((_, parent)) if parent.logical != metadata.logical => {
                let what =
                    format!("its parent {name} has sectors of {} bytes, it has {}", parent.logical, metadata.logical);
                return Err(Error::corrupt(what).in_path(&request.entry.name));
            }
            Ok((image, parent)) if linkages.contains(&parent.written) => return Ok((name, image)),
            Ok((_, parent)) => {
                let ids = (uuid::text(&parent.written), uuid::text(&linkages[0]));
                tried.push(format!("{name} (it is another one, or was written to: {}, not {})", ids.0, ids.1));
            }
            Err(e) if e.kind() == Kind::Denied => {
                tried.push(format!("{name} ({})", e.what()));
                denied.get_or_insert(e);
            }
            Err(e) if e.io_kind() == Some(std::io::ErrorKind::NotFound) => tried.push(name),
            // It is there, and cannot be read: that is what is wrong.
            Err(e) => return Err(e.in_path(&name)),
        }
    }
    match denied {
        Some(e) => Err(e),
        None => {
            let what = format!("the parent of this differencing disk is missing; looked for {}", tried.join(", "));
            Err(Error::corrupt(what).in_path(&request.entry.name))
        }
    }
}
