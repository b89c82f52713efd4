//! What of a new image differs from what it stands on.

use std::sync::Arc;
use tintype_core::{Extent, Result, Source};

/// Bytes that are compared at once.
const STEP: usize = 1 << 20;

/// What a piece of a disk holds, beside what lies below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// What lies below, or zeros without that.
    Same,
    /// Zeros over something else.
    Zero,
    Data,
}

/// Compares with what a new image stands on, if it stands on anything.
pub(crate) struct Judge {
    backing: Option<Arc<dyn Source>>,
    scratch: Vec<u8>,
}

impl Judge {
    pub(crate) fn new(backing: Option<Arc<dyn Source>>) -> Self {
        Judge { backing, scratch: Vec::new() }
    }

    /// What `bytes` at `offset` are; `zero` if they are known to be zeros.
    pub(crate) fn content(&mut self, bytes: &[u8], offset: u64, zero: bool) -> Result<Content> {
        let same = match zero {
            true => blank_to(self.backing.as_deref(), offset)? >= offset.saturating_add(bytes.len() as u64),
            false => false,
        };
        Ok(match (same || self.is_below(bytes, offset)?, zero) {
            (true, _) => Content::Same,
            (false, true) => Content::Zero,
            (false, false) => Content::Data,
        })
    }

    /// Whether what lies below is `bytes`, and is no hole: what is not known to be zeros is not looked at for it.
    fn is_below(&mut self, bytes: &[u8], offset: u64) -> Result<bool> {
        let Some(backing) = &self.backing else { return Ok(false) };
        let held = backing.len().saturating_sub(offset).min(bytes.len() as u64) as usize;
        if held == 0 || blank_to(Some(&**backing), offset)? >= offset.saturating_add(bytes.len() as u64) {
            return Ok(false);
        }
        let (inside, beyond) = bytes.split_at(held);
        for (i, piece) in inside.chunks(STEP).enumerate() {
            self.scratch.resize(piece.len(), 0);
            backing.read_at(&mut self.scratch, offset + (i * STEP) as u64)?;
            if self.scratch != piece {
                return Ok(false);
            }
        }
        Ok(beyond.iter().all(|b| *b == 0))
    }
}

/// How far what lies below is known to be zeros from `offset` on: `offset` where it is not, [`u64::MAX`] where nothing else follows.
pub(crate) fn blank_to(backing: Option<&dyn Source>, offset: u64) -> Result<u64> {
    let Some(backing) = backing.filter(|b| offset < b.len()) else { return Ok(u64::MAX) };
    let extent = backing.extent_at(offset)?;
    Ok(match extent.state.reads_zero() {
        false => offset,
        true if extent.end() >= backing.len() => u64::MAX,
        true => extent.end(),
    })
}

/// Whether ranges are known to be zeros; asked in ascending order.
pub(crate) struct Known<'a> {
    marks: &'a [Extent],
    at: usize,
}

impl<'a> Known<'a> {
    pub(crate) fn new(marks: &'a [Extent]) -> Self {
        Known { marks, at: 0 }
    }

    pub(crate) fn zero(&mut self, from: u64, to: u64) -> bool {
        while self.marks.get(self.at).is_some_and(|mark| mark.end() <= from) {
            self.at += 1;
        }
        let mut reached = from;
        for mark in &self.marks[self.at..] {
            if reached >= to || mark.offset > reached || !mark.state.reads_zero() {
                break;
            }
            reached = mark.end();
        }
        reached >= to
    }
}
