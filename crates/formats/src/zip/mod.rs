//! zip: a raw image that is the only file of a zip archive, as WinImage's `.imz` and many downloads have it.
//!
//! ```text
//!   local header PK 03 04, name | data, stored or deflated | (descriptor) | directory PK 01 02 ... | end PK 05 06
//! ```

mod directory;
mod read;
mod summed;
#[cfg(test)]
mod tests;

use tintype_core::{Caps, Format, Probe, State, States};

/// The row of zip.
pub static FORMAT: Format = Format {
    name: "zip",
    title: "raw in a zip archive",
    extensions: &["zip", "imz"],
    caps: Caps { states: States::of(&[State::Data]), ..Caps::NOTHING },
    probe,
    open: Some(read::open),
    sums: "the CRC-32 of the file in it",
    ..Format::NOTHING
};

/// Other formats are zip archives too, and surer of it than this one.
fn probe(probe: &Probe<'_>) -> u8 {
    let is_zip = probe.head.starts_with(b"PK\x03\x04") || probe.head.starts_with(b"PK\x05\x06");
    match &probe.extension()[..] {
        _ if !is_zip => 0,
        "zip" | "imz" => 60,
        _ => 30,
    }
}
