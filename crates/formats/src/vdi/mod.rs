//! VDI, VirtualBox's disk image.
//!
//! ```text
//!  0      text "<<< ... >>>\n"
//!  0x40   7F 10 DA BE | version 1.1
//!  0x48   header: type, offsets of map and data, disk size, block size, blocks, blocks allocated, four identifiers
//!  0x200  block map: u32 per block, FFFFFFFF absent, FFFFFFFE zeros, else the number of the block in the data
//!         data: blocks of 1 MiB in the order they were first written; static: in the order of the disk
//! ```

mod check;
mod layout;
mod read;
#[cfg(test)]
mod tests;
mod write;

use tintype_core::{Caps, Format, OptionSpec, Probe, State, States};

/// The row of VDI.
pub static FORMAT: Format = Format {
    name: "vdi",
    title: "VirtualBox VDI",
    extensions: &["vdi"],
    caps: Caps { states: States::of(&[State::Data, State::Zero]), compression: &["none"], ..Caps::NOTHING },
    options: &[OptionSpec {
        name: "static",
        values: "on|off",
        default: "off",
        help: "give every block its place, in the order of the disk",
    }],
    probe,
    open: Some(read::open),
    create: Some(write::create),
    check: Some(check::check),
    losses: Some(write::losses),
    ..Format::NOTHING
};

fn probe(probe: &Probe<'_>) -> u8 {
    if probe.head.get(0x40..0x44) == Some(&layout::MAGIC.to_le_bytes()) { 95 } else { 0 }
}
