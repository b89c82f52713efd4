//! Bochs' growing disk image. Read only.
//!
//! ```text
//!  0     "Bochs Virtual HD Image", "Redolog", "Growing" | version | sizes of header, catalog, bit map, extent, disk
//!  512   catalog: u32 per extent, FFFFFFFF absent, else its number
//!        extents: a bit per sector, in whole sectors | the sectors
//! ```

mod check;
mod read;
#[cfg(test)]
mod tests;

use tintype_core::{Caps, Format, Probe, State, States};

/// The row of Bochs' images.
pub static FORMAT: Format = Format {
    name: "bochs",
    title: "Bochs growing disk",
    extensions: &["bochs"],
    caps: Caps { states: States::of(&[State::Data, State::Zero]), ..Caps::NOTHING },
    probe,
    open: Some(read::open),
    check: Some(check::check),
    ..Format::NOTHING
};

/// What the file begins with.
const MAGIC: &[u8] = b"Bochs Virtual HD Image\0";

fn probe(probe: &Probe<'_>) -> u8 {
    if probe.head.starts_with(MAGIC) { 95 } else { 0 }
}
