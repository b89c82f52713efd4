//! xz: a raw image in xz streams. `xz -T` writes many blocks, which are read by position; one large block is gone through
//! once, and then taken up at the places left behind.
//!
//! ```text
//!   stream header | block | block ... | index | stream footer | padding | stream header ...
//! ```

mod read;
#[cfg(test)]
mod tests;

use tintype_core::{Caps, Format, Probe, State, States};

/// The row of xz.
pub static FORMAT: Format = Format {
    name: "xz",
    title: "raw in xz",
    extensions: &["xz"],
    caps: Caps { states: States::of(&[State::Data]), ..Caps::NOTHING },
    probe,
    open: Some(read::open),
    check: Some(read::check),
    sums: "the check of every block",
    ..Format::NOTHING
};

fn probe(probe: &Probe<'_>) -> u8 {
    if probe.head.starts_with(b"\xfd7zXZ\0") { 90 } else { 0 }
}
