//! cloop: the compressed disk of Knoppix and its like, version 2. Read only.
//!
//! ```text
//!  0     "#!/bin/sh\n#V2.0 Format\n" and more of a shell script
//!  128   block size u32, blocks u32 (big-endian)
//!  136   blocks + 1 offsets u64: where each block begins, and where the last one ends
//!        blocks, each a zlib stream
//! ```

mod check;
mod read;
#[cfg(test)]
mod tests;

use tintype_core::{Caps, Format, Probe, State, States};

/// The row of cloop.
pub static FORMAT: Format = Format {
    name: "cloop",
    title: "cloop (compressed loop)",
    extensions: &["cloop"],
    caps: Caps { states: States::of(&[State::Data]), ..Caps::NOTHING },
    probe,
    open: Some(read::open),
    check: Some(check::check),
    sums: "the Adler-32 of every block",
    ..Format::NOTHING
};

/// What the file begins with, up to the digits of the version.
const MAGIC: &[u8] = b"#!/bin/sh\n#V";

fn probe(probe: &Probe<'_>) -> u8 {
    let version = probe.head.strip_prefix(MAGIC).is_some_and(|rest| rest.get(3..10) == Some(&b" Format"[..]));
    if version { 95 } else { 0 }
}
