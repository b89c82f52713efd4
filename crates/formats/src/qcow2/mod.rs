//! QCOW2: QEMU's own image format, versions 2 and 3.
//!
//! ```text
//!   cluster 0: header | extensions | name of the backing file
//!   L1 table  ->  L2 tables  ->  clusters, packed clusters      (for each snapshot another L1 table)
//!   refcount table  ->  refcount blocks: how often each cluster of the file is referred to
//! ```
//!
//! The specification is `docs/interop/qcow2.rst` of QEMU.

mod bitmap;
mod check;
mod counts;
mod crypt;
mod layout;
mod mapping;
mod open;
mod parts;
#[cfg(test)]
mod tests;
mod write;

use tintype_core::{Caps, Format, Probe, State, States};

/// The row of QCOW2.
pub static FORMAT: Format = Format {
    name: "qcow2",
    title: "QCOW2",
    extensions: &["qcow2"],
    caps: Caps {
        states: States::of(&[State::Data, State::Zero]),
        compression: &["none", "fast", "best", "zlib", "zstd"],
        backing: true,
        ..Caps::NOTHING
    },
    options: write::OPTIONS,
    probe,
    open: Some(open::open),
    create: Some(write::create),
    check: Some(check::check),
    ..Format::NOTHING
};

fn probe(probe: &Probe<'_>) -> u8 {
    let head = probe.head;
    let version = crate::blocks::be32(head, 4);
    u8::from(head.starts_with(&layout::MAGIC) && version >= 2) * 95
}
