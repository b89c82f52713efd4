//! The way to the parent of a differencing disk.

use super::metadata::Metadata;
use super::read;
use crate::blocks::{Candidate, parent};
use crate::{uuid, windows_paths};
use tintype_core::{Error, Image, OpenRequest, Result};

/// Where paths are, the likeliest first: as the specification has it.
const PATHS: [&str; 3] = ["relative_path", "volume_path", "absolute_win32_path"];

/// Opens the parent, and its name. `Corrupt` where it is not to be found, was changed, or is another one; `Denied` where it lies
/// where nobody may look.
pub(super) fn open(request: &OpenRequest, metadata: &Metadata) -> Result<(OpenRequest, Image)> {
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
    parent(request, windows_paths::names(request, &paths), |name| {
        let below = request.backing(name)?;
        let (image, parent) = read::open_known(&below)?;
        if parent.logical != metadata.logical {
            let what =
                format!("its parent {name} has sectors of {} bytes, it has {}", parent.logical, metadata.logical);
            return Err(Error::corrupt(what).in_path(&request.entry.name));
        }
        if linkages.contains(&parent.written) {
            return Ok(Candidate::Parent(Box::new((below, image))));
        }
        let ids = (uuid::text(&parent.written), uuid::text(&linkages[0]));
        Ok(Candidate::Other(format!("it is another one, or was written to: {}, not {}", ids.0, ids.1)))
    })
}
