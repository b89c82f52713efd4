//! VHD, the disk image of Virtual PC, Hyper-V and Azure.
//!
//! ```text
//!  fixed     the bytes of the disk | footer
//!  dynamic   copy of the footer | "cxsparse" header | block table: u32 sectors, FFFFFFFF absent | blocks | footer
//!            block: a bit per sector, in whole sectors | 2 MiB of the disk
//!  differencing   the same; a sector whose bit is 0, and a block that is absent, are the parent's
//! ```

mod check;
mod geometry;
mod layout;
mod parent;
mod read;
#[cfg(test)]
mod tests;
mod write;

use tintype_core::{Caps, Format, OptionSpec, Probe, State, States};

/// The row of VHD.
pub static FORMAT: Format = Format {
    name: "vhd",
    title: "VHD (Virtual PC)",
    extensions: &["vhd", "avhd", "vpc"],
    caps: Caps { states: States::of(&[State::Data, State::Zero]), compression: &["none"], ..Caps::NOTHING },
    options: &[
        OptionSpec {
            name: "subformat",
            values: "dynamic|fixed",
            default: "dynamic",
            help: "blocks when they are needed, or the bytes of the disk and a footer",
        },
        OptionSpec {
            name: "size",
            values: "exact|chs",
            default: "exact",
            help: "the size of the source, or the next that cylinders, heads and sectors can say, for Virtual PC",
        },
        OptionSpec {
            name: "azure",
            values: "on|off",
            default: "off",
            help: "what Azure takes: fixed, a whole number of MiB",
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
    let tail = |back: usize| probe.tail.len().checked_sub(back).and_then(|at| probe.tail.get(at..at + 8));
    let footer = [tail(512), tail(511)].contains(&Some(&layout::COOKIE[..]));
    let copy = probe.head.starts_with(&layout::COOKIE) && probe.head.get(512..520) == Some(&layout::SPARSE[..]);
    match (footer, copy) {
        (_, true) => 95,
        // The last sector of any disk may be anything, but hardly this.
        (true, false) => 85,
        (false, false) => 0,
    }
}
