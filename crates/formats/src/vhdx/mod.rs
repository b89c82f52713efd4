//! VHDX and AVHDX, the disk image of Hyper-V.
//!
//! ```text
//!  0       "vhdxfile", who made it
//!  64 KiB  header | 128 KiB  header: identifiers, where the log is; the valid one with the higher number holds
//!  192 KiB region table | 256 KiB  the same again: where metadata and block table are
//!  log       4 KiB sectors on their way to their place; replayed before anything else is read
//!  metadata  block size, disk size, sector sizes, identifier, parent
//!  blocks    table: u64 per block, state and MiB; after each chunk of 2^23 sectors an entry for a map of its sectors
//!  data      blocks of 1 to 256 MiB; in differencing disks also the maps: 1 is here, 0 is the parent's
//! ```

mod bat;
mod check;
mod head;
mod layout;
mod log;
mod metadata;
mod parent;
mod read;
#[cfg(test)]
mod tests;
mod write;

use tintype_core::{Caps, Format, OptionSpec, Probe, State, States};

/// The row of VHDX.
pub static FORMAT: Format = Format {
    name: "vhdx",
    title: "VHDX (Hyper-V)",
    extensions: &["vhdx", "avhdx"],
    caps: Caps { states: States::of(&[State::Data, State::Zero]), compression: &["none"], ..Caps::NOTHING },
    options: &[
        OptionSpec {
            name: "subformat",
            values: "dynamic|fixed",
            default: "dynamic",
            help: "blocks when they are needed, or every block in its place",
        },
        OptionSpec {
            name: "block_size",
            values: "1MiB..256MiB, powers of 2",
            default: "2MiB, more for disks over 128GiB",
            help: "what is given room at once",
        },
        OptionSpec {
            name: "sector_size",
            values: "512|4096",
            default: "that of the source",
            help: "bytes of a logical sector",
        },
    ],
    probe,
    open: Some(read::open),
    create: Some(write::create),
    check: Some(check::check),
    losses: Some(write::losses),
    ..Format::NOTHING
};

fn probe(probe: &Probe<'_>) -> u8 {
    if probe.head.starts_with(&layout::MAGIC) { 95 } else { 0 }
}
