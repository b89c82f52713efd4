//! Parallels' expanding disk: a single .hds file, or a bundle: a folder with DiskDescriptor.xml and such files.
//!
//! ```text
//!  0    "WithoutFreeSpace" or "WithouFreSpacExt" | version 2 | geometry | sectors of a cluster | clusters | sectors of the disk
//!       in use | where the data begin | flags | where the extension is
//!  64   block table: u32 per cluster, 0 absent; its place in sectors, with "Ext" in clusters
//!       clusters of 1 MiB, or as few as 63 sectors
//! ```

mod bundle;
mod check;
mod descriptor;
mod layout;
mod read;
#[cfg(test)]
mod tests;
mod write;

use tintype_core::{Caps, Format, Probe, State, States};

/// The row of Parallels' images.
pub static FORMAT: Format = Format {
    name: "parallels",
    title: "Parallels disk",
    extensions: &["hds", "hdd"],
    caps: Caps { states: States::of(&[State::Data, State::Zero]), compression: &["none"], ..Caps::NOTHING },
    probe,
    open: Some(bundle::open),
    create: Some(write::create),
    check: Some(check::check),
    losses: Some(write::losses),
    ..Format::NOTHING
};

fn probe(probe: &Probe<'_>) -> u8 {
    if probe.folder {
        return if probe.extension() == "hdd" { 60 } else { 0 };
    }
    let descriptor = || probe.head.windows(descriptor::ROOT.len()).take(1024).any(|w| w == descriptor::ROOT.as_bytes());
    match probe.head.first_chunk::<16>() {
        Some(&layout::OLD | &layout::NEW) => 95,
        _ if probe.extension() == "xml" && descriptor() => 80,
        _ => 0,
    }
}
