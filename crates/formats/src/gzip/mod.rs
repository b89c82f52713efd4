//! gzip: a raw image in gzip members; written as BGZF, whose members are small and say how long they are.
//!
//! ```text
//!   member: 1F 8B 08 04 ... extra field "BC" with the member's length | deflate | CRC-32 | length     64 KiB of content
//!   member ...
//!   the empty member of 28 bytes
//! ```

mod check;
mod layout;
mod read;
#[cfg(test)]
mod tests;
mod write;

use tintype_core::{Caps, Format, Probe, State, States};

/// The row of gzip.
pub static FORMAT: Format = Format {
    name: "gzip",
    title: "raw in gzip",
    extensions: &["gz", "bgz", "bgzf"],
    caps: Caps {
        states: States::of(&[State::Data, State::Zero]),
        compression: &["none", "empty", "fast", "best", "gzip"],
        unknown_len: true,
        stream: true,
        ..Caps::NOTHING
    },
    probe,
    open: Some(read::open),
    create: Some(write::create),
    resume: Some(write::resume),
    check: Some(check::check),
    sums: "the CRC-32 of every member",
    ..Format::NOTHING
};

fn probe(probe: &Probe<'_>) -> u8 {
    if probe.head.starts_with(&[0x1f, 0x8b, 8]) { 90 } else { 0 }
}
