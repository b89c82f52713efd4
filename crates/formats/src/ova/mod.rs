//! OVA and OVF: a virtual machine as one file, or as a folder of files; here, the disks in it.
//!
//! ```text
//!   .ova   a tar:  machine.ovf   XML: which files there are, which of them are disks, and how large those are
//!                  machine.mf    a digest of every file
//!                  disk.vmdk     streamOptimized
//!   .ovf   the same files beside one another
//! ```

mod announced;
mod check;
mod envelope;
mod manifest;
mod names;
mod package;
mod read;
mod tar;
#[cfg(test)]
mod tests;
mod write;
mod xml;

use tintype_core::{Caps, Format, OptionSpec, Probe, State, States};

/// The row of OVA and OVF.
pub static FORMAT: Format = Format {
    name: "ova",
    title: "OVA and OVF",
    extensions: &["ova", "ovf"],
    caps: Caps {
        states: States::of(&[State::Data, State::Zero]),
        compression: &["fast", "best", "zlib"],
        ..Caps::NOTHING
    },
    options: &[
        OptionSpec { name: "name", values: "NAME", default: "that of the file", help: "the name of the machine" },
        OptionSpec { name: "cpus", values: "1..4096", default: "1", help: "its processors" },
        OptionSpec { name: "memory", values: "1MiB..64TiB", default: "1GiB", help: "its memory" },
    ],
    probe,
    open: Some(read::open),
    create: Some(write::create),
    check: Some(check::check),
    sums: "the digest of the disk's file in the manifest",
    ..Format::NOTHING
};

fn probe(probe: &Probe<'_>) -> u8 {
    if let Some(first) = tar::first_name(probe.head) {
        // The descriptor comes first; some makers do not know that.
        return match (first.to_ascii_lowercase().ends_with(".ovf"), &probe.extension()[..]) {
            (true, _) => 95,
            (false, "ova") => 85,
            (false, _) => 0,
        };
    }
    let text = probe.head.get(..probe.head.len().min(4096)).unwrap_or_default();
    let has = |word: &[u8]| text.windows(word.len()).any(|w| w == word);
    if has(b"Envelope") && has(b"dmtf.org/ovf/envelope") { 90 } else { 0 }
}
