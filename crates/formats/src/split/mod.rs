//! Split raw: a raw image cut into several files that are counted in their names.

mod names;
mod parts;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use names::first_name;
pub(crate) use read::joined;

use tintype_core::{Caps, Format, Probe, State, States};

/// The row of split raw images.
pub static FORMAT: Format = Format {
    name: "split",
    title: "split raw",
    extensions: &["001"],
    caps: Caps {
        states: States::of(&[State::Data, State::Zero]),
        compression: &["none"],
        split: true,
        unknown_len: true,
        ..Caps::NOTHING
    },
    probe,
    open: Some(read::open),
    create: Some(write::create),
    resume: Some(write::resume),
    first_name: Some(first_name),
    ..Format::NOTHING
};

/// The name decides, and it is weak evidence: every format with a magic number comes first, only plain raw after.
fn probe(probe: &Probe<'_>) -> u8 {
    match names::Part::parse(probe.name) {
        Some(part) if !probe.folder && part.is_dotted() => 3,
        // Without a dot only the first part is worth a look at its neighbours.
        Some(part) if !probe.folder && part.is_first() => 2,
        _ => 0,
    }
}
