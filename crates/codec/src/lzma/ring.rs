//! The history that matches refer to; what was decoded last is the output.

use super::decode::MOST_COPIED;
use crate::error::Error;

/// More than the history needs: a match may be copied in steps, the last of which goes too far.
const SLACK: usize = 4096;
const LEAST: usize = 4096;
/// What is taken at first.
const START: usize = 64 * 1024;

const _: () = assert!(SLACK > MOST_COPIED + 64 && SLACK.is_multiple_of(16));

/// A ring that grows with its content until it has the size of the dictionary.
pub(super) struct Ring {
    pub(super) buf: Vec<u8>,
    /// Where output goes on.
    pub(super) pos: usize,
    /// How far back matches may go now.
    pub(super) full: usize,
    /// How far back they may ever go; the dictionary, or less where memory is short.
    pub(super) size: usize,
    /// The dictionary's own size.
    dictionary: u64,
    /// The length of the ring once it has grown; a multiple of 16.
    pub(super) ring: usize,
    /// The position that literals and lengths depend on is `pos + shift`.
    pub(super) shift: usize,
    /// Bytes since the dictionary was reset.
    total: u64,
}

impl Ring {
    /// For a dictionary of `dictionary` bytes, of which no more than `memory` are kept.
    pub(super) fn new(dictionary: u64, memory: u64) -> Self {
        // liblzma rounds like this, and accepts what reaches so far back.
        let dictionary = dictionary.max(LEAST as u64).next_multiple_of(16);
        let most = usize::try_from(memory).unwrap_or(usize::MAX).min(isize::MAX as usize / 2).max(LEAST) & !15;
        let size = usize::try_from(dictionary).unwrap_or(usize::MAX).min(most);
        Self { buf: Vec::new(), pos: 0, full: 0, size, dictionary, ring: size + SLACK, shift: 0, total: 0 }
    }

    /// Puts a history of `len` bytes into the empty window, at a position that is `phase` modulo 16.
    ///
    /// `None` if it cannot have so much.
    pub(super) fn restore(&mut self, len: usize, phase: u8, total: u64) -> Option<&mut [u8]> {
        if len > self.size || len as u64 > total {
            return None;
        }
        self.buf = vec![0; len.saturating_add(START).min(self.ring)];
        self.pos = len;
        self.full = len;
        self.shift = usize::from(phase & 15).wrapping_sub(len) & 15;
        self.total = total;
        Some(&mut self.buf[..len])
    }

    pub(super) fn reset(&mut self) {
        self.pos = 0;
        self.full = 0;
        self.shift = 0;
        self.total = 0;
    }

    pub(super) fn phase(&self) -> u8 {
        (self.pos.wrapping_add(self.shift) & 15) as u8
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The last byte, 0 before the first.
    pub(super) fn last(&self) -> u8 {
        let at = self.pos.checked_sub(1).unwrap_or(self.ring - 1);
        if self.full == 0 { 0 } else { self.buf.get(at).copied().unwrap_or(0) }
    }

    /// Makes room for up to `wanted` more bytes in a row and returns where it ends; there is some if any was wanted.
    pub(super) fn room(&mut self, wanted: usize) -> usize {
        if self.pos == self.ring {
            self.pos = 0;
        }
        let end = self.pos.saturating_add(wanted);
        if end > self.buf.len() && self.buf.len() < self.ring {
            let len = end.max(self.buf.len() * 2).max(START).min(self.ring);
            self.buf.reserve_exact(len - self.buf.len());
            self.buf.resize(len, 0);
        }
        end.min(self.buf.len())
    }

    /// Notes that output goes on at `pos`, in the room that was made.
    pub(super) fn advance(&mut self, pos: usize) {
        let n = pos - self.pos;
        self.pos = pos;
        self.full = self.full.saturating_add(n).min(self.size);
        self.total = self.total.saturating_add(n as u64);
    }

    /// Takes in as many of these bytes as there is room for in a row.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let end = self.room(bytes.len());
        let n = end - self.pos;
        self.buf[self.pos..end].copy_from_slice(&bytes[..n]);
        self.advance(end);
        n
    }

    /// The last `n` bytes, which were decoded in a row.
    pub(super) fn tail(&self, n: usize) -> &[u8] {
        &self.buf[self.pos - n..self.pos]
    }

    /// All that matches may refer to, in two parts.
    pub(super) fn history(&self) -> (&[u8], &[u8]) {
        let before = self.full.saturating_sub(self.pos);
        let end = self.ring.min(self.buf.len());
        (&self.buf[end - before..end], &self.buf[self.pos - (self.full - before)..self.pos])
    }

    /// Why a match must not go this far back.
    #[cold]
    pub(super) fn refusal(&self, distance: u64, decoded: usize) -> Error {
        let total = self.total.saturating_add(decoded as u64);
        if distance <= total.min(self.dictionary) {
            Error::TooLarge(format!("lzma: refers back by {distance} bytes, more than may be kept").into())
        } else {
            Error::corrupt("lzma: refers to something before the start")
        }
    }
}
