//! Android's sparse image, which fastboot sends.
//!
//! ```text
//!  0    3A FF 26 ED | version 1.0 | sizes of headers | bytes of a block, blocks, chunks | checksum, mostly 0
//!  28   chunk: kind, blocks, bytes with this header
//!         CAC1 raw: the bytes | CAC2 fill: 4 bytes, repeated | CAC3 don't care | CAC4 CRC-32 of all so far
//! ```

mod check;
mod layout;
mod read;
#[cfg(test)]
mod tests;
mod write;

use tintype_core::{Caps, Format, Probe, State, States};

/// The row of Android's sparse images.
pub static FORMAT: Format = Format {
    name: "simg",
    title: "Android sparse image",
    extensions: &["simg"],
    caps: Caps {
        states: States::of(&[State::Data, State::Zero, State::Unused]),
        compression: &["none"],
        ..Caps::NOTHING
    },
    probe,
    open: Some(read::open),
    create: Some(write::create),
    check: Some(check::check),
    losses: Some(write::losses),
    ..Format::NOTHING
};

fn probe(probe: &Probe<'_>) -> u8 {
    if probe.head.starts_with(&layout::MAGIC.to_le_bytes()) { 95 } else { 0 }
}
