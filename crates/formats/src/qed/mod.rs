//! QED: QEMU's enhanced disk format.
//!
//! ```text
//!   header cluster | L1 table  ->  L2 tables  ->  clusters
//! ```
//!
//! Numbers are little-endian; a table is one or more clusters. The specification is `docs/interop/qed_spec.rst` of QEMU.

mod check;
mod layout;
mod read;
#[cfg(test)]
mod tests;
mod write;

use tintype_core::{Caps, Format, Probe, State, States};

/// The row of QED.
pub static FORMAT: Format = Format {
    name: "qed",
    title: "QED",
    extensions: &["qed"],
    caps: Caps {
        states: States::of(&[State::Data, State::Zero]),
        compression: &["none"],
        backing: true,
        ..Caps::NOTHING
    },
    options: write::OPTIONS,
    probe,
    open: Some(read::open),
    create: Some(write::create),
    check: Some(check::check),
    losses: Some(write::losses),
    ..Format::NOTHING
};

fn probe(probe: &Probe<'_>) -> u8 {
    u8::from(probe.head.starts_with(&layout::MAGIC)) * 95
}
