//! A drive whose bad places are those of a mapfile: to practise and to test.

use std::sync::Arc;
use tintype_core::layers::{Fault, Faulty, Slice};
use tintype_core::mapfile::{Mapfile, Status};
use tintype_core::{Extent, ExtentMap, Result, Source, State};

/// `drive`, failing wherever `map` is not finished, and no longer than the map.
pub fn failing(drive: Arc<dyn Source>, map: &Mapfile) -> Result<Arc<dyn Source>> {
    let len = drive.len().min(map.range().end);
    let mut bad = ExtentMap::new();
    bad.set(Extent::new(0, len, State::Bad));
    for (range, _) in map.blocks().within(0..len).filter(|(_, status)| *status == Status::Finished) {
        bad.set(Extent::new(range.start, range.end - range.start, State::Data));
    }
    let drive: Arc<dyn Source> = if len == drive.len() { drive } else { Arc::new(Slice::new(drive, 0, len)?) };
    Ok(Arc::new(Faulty::new(drive, bad, Fault::default())))
}
