//! EWF: the evidence files of EnCase (E01), and of SMART (S01).
//!
//! ```text
//! X.E01  file header | header2 header2 header volume | sectors table table2 | sectors table table2 | ... | next
//! X.E02  file header | data                          | sectors table table2 | ...                        | next
//! X.Enn  file header | data                          | sectors table table2 | error2 digest hash          | done
//! ```
//!
//! Every section begins with a descriptor that says where the next one is. `sectors` holds chunks, each a zlib stream or plain
//! bytes with an Adler-32 behind them; `table` says where each chunk begins, `table2` says it again. docs/formats/ewf.md has the
//! specification, what is read and refused, and the decisions.

mod check;
mod chunk;
mod closing;
mod encode;
mod header;
mod index;
mod layout;
mod names;
mod plan;
mod read;
mod resume;
mod scan;
#[cfg(test)]
mod tests;
mod write;

use tintype_core::{Caps, Format, Probe, State, States};

/// The row of E01 images.
pub static FORMAT: Format = Format {
    name: "e01",
    title: "EnCase evidence (E01, S01)",
    extensions: &["e01"],
    caps: Caps {
        states: States::of(&[State::Data, State::Bad]),
        case: true,
        digests: &["md5", "sha1"],
        compression: &["none", "empty", "fast", "best", "zlib"],
        split: true,
        unknown_len: true,
        ..Caps::NOTHING
    },
    options: &[plan::CHUNK],
    probe,
    open: Some(read::open),
    create: Some(write::create),
    resume: Some(resume::resume),
    check: Some(check::check),
    losses: Some(plan::losses),
    sums: "the Adler-32 of every chunk",
    ..Format::NOTHING
};

fn probe(probe: &Probe<'_>) -> u8 {
    let known = [layout::MAGIC, layout::MAGIC_LOGICAL, layout::MAGIC_V2, layout::MAGIC_V2_LOGICAL, layout::MAGIC_AD];
    if known.iter().any(|magic| probe.head.starts_with(magic)) { 100 } else { 0 }
}
