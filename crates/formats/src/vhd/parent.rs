//! The way to the parent of a differencing disk.

use super::layout::{Header, Locator};
use super::read;
use crate::blocks::{Candidate, parent};
use crate::{uuid, windows_paths};
use tintype_core::{Image, OpenRequest, Result, Source};

/// Most bytes of a path that are read.
const LONGEST: u64 = 64 << 10;

/// Opens the parent: the request, the image, and its identifier has been compared. `Corrupt` where it is not to be found, or is another
/// one; `Denied` where it lies where nobody may look.
pub(super) fn open(request: &OpenRequest, source: &dyn Source, header: &Header) -> Result<(OpenRequest, Image)> {
    parent(request, names(request, source, header), |name| {
        let below = request.backing(name)?;
        let (image, id) = read::open_known(&below)?;
        if id == header.parent_unique_id {
            return Ok(Candidate::Parent(Box::new((below, image))));
        }
        let ids = (uuid::plain_text(&id), uuid::plain_text(&header.parent_unique_id));
        Ok(Candidate::Other(format!("it is another one, {}, not {}", ids.0, ids.1)))
    })
}

/// The names it may have, the likeliest first.
fn names(request: &OpenRequest, source: &dyn Source, header: &Header) -> Vec<String> {
    let mut paths: Vec<(u8, String)> = Vec::new();
    for locator in &header.parent_locators {
        let rank = match &locator.platform_code {
            b"W2ru" => 0,
            b"W2ku" | b"MacX" => 1,
            b"Wi2r" | b"Wi2k" => 2,
            _ => continue,
        };
        if let Some(path) = path(locator, source) {
            paths.push((rank, path));
        }
    }
    let name: Vec<u16> = header.parent_name.iter().map(|c| c.get()).take_while(|c| *c != 0).collect();
    paths.push((3, String::from_utf16_lossy(&name)));
    paths.sort_by_key(|(rank, _)| *rank);
    let paths: Vec<String> = paths.into_iter().map(|(_, path)| path).collect();
    windows_paths::names(request, &paths)
}

fn path(locator: &Locator, source: &dyn Source) -> Option<String> {
    let (at, len) = (locator.platform_data_offset.get(), u64::from(locator.platform_data_length.get()).min(LONGEST));
    if len == 0 || at.checked_add(len)? > source.len() {
        return None;
    }
    let mut bytes = vec![0; len as usize];
    source.read_at(&mut bytes, at).ok()?;
    let text = if locator.platform_code[3] == b'u' {
        let (pairs, _) = bytes.as_chunks::<2>();
        String::from_utf16_lossy(&pairs.iter().map(|b| u16::from_le_bytes(*b)).collect::<Vec<_>>())
    } else {
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Some(text.split('\0').next().unwrap_or_default().to_owned())
}
