//! What all writers have in common, and the writers themselves.

pub(super) mod flat;
pub(super) mod sparse;
pub(super) mod stream;

use tintype_core::{Extent, State};

/// True if marks say that all of the `len` bytes from `offset` are zeros.
pub(super) fn is_zero(offset: u64, len: u64, marks: &[Extent]) -> bool {
    let end = offset + len;
    let mut at = offset;
    for mark in marks.iter().filter(|m| m.state == State::Zero && m.end() > offset) {
        if mark.offset > at || at >= end {
            break;
        }
        at = mark.end();
    }
    at >= end
}
