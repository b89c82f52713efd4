//! VMDK: the disks of VMware, in one file or in many.
//!
//! ```text
//!   descriptor    text: CID, the parent's CID and path, a line for every extent: RW 4192256 SPARSE "disk-s001.vmdk"
//!
//!   sparse extent  header | descriptor | copy: directory, tables | directory, tables | grains of 64 KiB
//!                                                  directory ──> table of 512 ──> grain
//!   in a stream    header | descriptor | grains, packed, and each table after its own | directory | footer | end
//!   flat extent    the bytes themselves
//! ```

mod check;
mod create;
mod descriptor;
mod directories;
mod disk;
mod layout;
mod read;
mod sparse;
mod stream;
#[cfg(test)]
mod tests;
mod write;

use tintype_core::{Caps, Format, OptionSpec, Probe, State, States};

pub(crate) use create::Stream;
pub(crate) use stream::StreamWriter;
pub(crate) use write::stream::StreamSink;

/// Bytes of a grain that we write.
pub(crate) const GRAIN: u64 = 64 << 10;
/// Entries of a grain table that we write.
const ENTRIES: u64 = 512;

/// The row of VMDK.
pub static FORMAT: Format = Format {
    name: "vmdk",
    title: "VMDK",
    extensions: &["vmdk"],
    caps: Caps {
        states: States::of(&[State::Data, State::Zero]),
        compression: &["none", "fast", "best", "zlib"],
        backing: true,
        stream: true,
        ..Caps::NOTHING
    },
    options: &[
        OptionSpec {
            name: "subformat",
            values: "monolithicSparse|monolithicFlat|twoGbMaxExtentSparse|twoGbMaxExtentFlat|streamOptimized",
            default: "monolithicSparse; streamOptimized with --compression",
            help: "one file or several, with room for all of the disk or for what is used; streamOptimized is compressed",
        },
        OptionSpec {
            name: "adapter_type",
            values: "ide|lsilogic|buslogic|legacyESX",
            default: "ide; lsilogic for streamOptimized",
            help: "the controller that the disk is meant for",
        },
        OptionSpec { name: "hwversion", values: "1..99", default: "4", help: "the version of the virtual hardware" },
        OptionSpec {
            name: "zeroed_grain",
            values: "on|off",
            default: "off",
            help: "zeros over a backing file take no room; VMware's desktop programs do not know this",
        },
    ],
    probe,
    open: Some(read::open),
    create: Some(create::create),
    check: Some(check::check),
    sums: "the Adler-32 of every grain that is stored",
    ..Format::NOTHING
};

fn probe(probe: &Probe<'_>) -> u8 {
    if probe.head.starts_with(&layout::MAGIC) {
        return 100;
    }
    if probe.head.starts_with(&layout::MAGIC_COWD) || probe.head.starts_with(&layout::MAGIC_SESPARSE) {
        return 60;
    }
    const TITLE: &[u8] = b"# disk descriptorfile";
    let start = probe.head.trim_ascii_start();
    if start.get(..TITLE.len()).is_some_and(|t| t.eq_ignore_ascii_case(TITLE)) {
        return 95;
    }
    // The title is a comment, and a person may have dropped it.
    let text = probe.head.get(..probe.head.len().min(4096)).unwrap_or_default().to_ascii_lowercase();
    let has = |word: &[u8]| text.windows(word.len()).any(|w| w == word);
    if probe.extension() == "vmdk" && has(b"createtype") && has(b"version") && has(b"cid") { 80 } else { 0 }
}
