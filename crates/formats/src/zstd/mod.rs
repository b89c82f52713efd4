//! zstd: a raw image in zstd frames; written as a seekable file, whose frames are small and listed at the end.
//!
//! ```text
//!   frame: 28 B5 2F FD | header with the length | blocks | XXH64      4 MiB of content
//!   frame ...
//!   skippable frame 5E 2A 4D 18 | length | frames x { packed length, length } | frames, 00, B1 EA 92 8F
//! ```

mod check;
mod layout;
mod read;
#[cfg(test)]
mod tests;
mod write;

use tintype_codec::stream::{Certainty, Kind};
use tintype_core::{Caps, Format, Probe, State, States};

/// The row of zstd.
pub static FORMAT: Format = Format {
    name: "zstd",
    title: "raw in zstd",
    extensions: &["zst", "zstd"],
    caps: Caps {
        states: States::of(&[State::Data, State::Zero]),
        compression: &["fast", "best", "zstd"],
        unknown_len: true,
        stream: true,
        ..Caps::NOTHING
    },
    probe,
    open: Some(read::open),
    create: Some(write::create),
    resume: Some(write::resume),
    check: Some(check::check),
    sums: "the XXH64 of every frame",
    ..Format::NOTHING
};

fn probe(probe: &Probe<'_>) -> u8 {
    match tintype_codec::stream::probe(probe.head) {
        Some((Kind::Zstd, Certainty::Sure)) => 90,
        // Nothing but a skippable frame that is longer than the head.
        Some((Kind::Zstd, Certainty::Possible)) => 40,
        _ => 0,
    }
}
