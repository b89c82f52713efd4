//! QCOW: the first version of QEMU's format, only read.
//!
//! ```text
//!   header, 48 bytes | name of the backing file
//!   L1 table  ->  L2 tables  ->  clusters, packed clusters
//! ```
//!
//! There is no specification; the layout is that of QEMU's `block/qcow.c`.

mod check;
mod layout;
mod read;

use crate::blocks::be32;
use tintype_core::{Caps, Format, Probe, State, States};

const MAGIC: [u8; 4] = *b"QFI\xfb";

/// The row of QCOW.
pub static FORMAT: Format = Format {
    name: "qcow",
    title: "QCOW 1",
    extensions: &["qcow"],
    caps: Caps { states: States::of(&[State::Data, State::Zero]), ..Caps::NOTHING },
    probe,
    open: Some(read::open),
    check: Some(check::check),
    ..Format::NOTHING
};

fn probe(probe: &Probe<'_>) -> u8 {
    u8::from(probe.head.starts_with(&MAGIC) && be32(probe.head, 4) == 1) * 95
}
