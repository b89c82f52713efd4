//! `map`: what can be done with mapfiles.
//!
//! Everything here is a value of maps: read with [`read`], restricted to a [`Domain`], combined by [`algebra`], told by [`stats`]
//! and [`draw`], turned into other forms and back by [`forms`]. [`gather`] makes one image of several rescues, [`fill`]
//! writes over what was lost, [`generate`] guesses a map that was lost, and [`save`] writes what came of it.

pub mod algebra;
mod domain;
pub mod draw;
pub mod fill;
pub mod forms;
pub mod gather;
pub mod generate;
pub mod save;
pub mod stats;
#[cfg(test)]
mod tests;

pub use domain::Domain;

use std::io::Read;
use std::path::Path;
use tintype_core::mapfile::Status;
use tintype_core::{Error, Result};

/// Most bytes of a mapfile: more than [`tintype_core::mapfile::MOST_BLOCKS`] blocks take.
const MOST_TEXT: u64 = 1 << 30;

/// The bytes of the map at a path; `-` is standard input.
pub fn read(path: &str) -> Result<Vec<u8>> {
    let failed = |e| Error::io("cannot read the map", e).in_path(path);
    let mut bytes = Vec::new();
    let taken = match path {
        "-" => std::io::stdin().lock().take(MOST_TEXT + 1).read_to_end(&mut bytes),
        _ => std::fs::File::open(Path::new(path)).and_then(|file| file.take(MOST_TEXT + 1).read_to_end(&mut bytes)),
    };
    if taken.map_err(failed)? as u64 > MOST_TEXT {
        return Err(Error::limit(format!("is longer than {MOST_TEXT} bytes, so it is no map")).in_path(path));
    }
    Ok(bytes)
}

/// What a map is known by again, whatever its name.
pub fn digest(text: &[u8]) -> String {
    tintype_codec::digest::digest(tintype_codec::digest::Algorithm::Blake3, text).to_hex()
}

/// Parses signs of statuses, such as `-/`: at least one.
pub fn parse_statuses(text: &str) -> Result<Vec<Status>> {
    let statuses: Option<Vec<Status>> = text.chars().map(Status::of_sign).collect();
    statuses.filter(|s| !s.is_empty()).ok_or_else(|| {
        Error::usage(format!(
            "{text:?} are no statuses; they are ? not tried, * not trimmed, / not scraped, - bad, + finished"
        ))
    })
}
