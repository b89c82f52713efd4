//! "lzma alone" files.
//!
//! ```text
//!   properties (1) | dictionary (4) | length (8, all ones: there is an end marker) | range-coded data
//! ```

use super::decode::{Decoder, Rest, Stop};
use super::ring::Ring;
use super::{Properties, lzma2::Step};
use crate::error::{Error, Result};
use crate::stream::Window;

/// Decodes a file's data.
pub(crate) struct Alone {
    pub(super) decoder: Decoder,
    dictionary: u32,
    /// What the header says is still to come.
    left: Option<u64>,
    ended: bool,
}

impl Alone {
    /// Bytes before the symbols.
    pub(crate) const HEADER: usize = 13 + 5;

    /// Input offered in pieces of this size always brings the decoder forward.
    pub(crate) const ENOUGH_INPUT: usize = 4096;

    /// A decoder for what follows this header, which keeps no more than `memory` bytes of history.
    pub(crate) fn new(header: &[u8; Self::HEADER], memory: u64) -> Result<Self> {
        let [properties, d0, d1, d2, d3, l0, l1, l2, l3, l4, l5, l6, l7, start @ ..] = *header;
        let dictionary = u32::from_le_bytes([d0, d1, d2, d3]);
        let left = u64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7]);
        // Nothing refers back further than the whole content.
        let dictionary = u64::from(dictionary).min(left.max(1)) as u32;
        let mut decoder = Decoder::new(Properties::parse(properties)?, Ring::new(dictionary.into(), memory));
        decoder.start(start)?;
        Ok(Self { decoder, dictionary, left: (left != u64::MAX).then_some(left), ended: false })
    }

    /// Decodes up to `most` bytes from `src`, which has [`ENOUGH_INPUT`](Self::ENOUGH_INPUT) unless the input ends in it.
    pub(crate) fn step(&mut self, src: &[u8], most: usize, rest: Rest) -> Result<Step> {
        if self.ended {
            return Ok(Step { consumed: 0, written: 0, ended: true });
        }
        if self.left == Some(0) {
            return self.end(src);
        }
        let most = self.left.map_or(most, |left| left.min(most as u64) as usize);
        let run = self.decoder.run(src, most, rest)?;
        self.left = self.left.map(|left| left - run.written as u64);
        let mut consumed = run.consumed;
        if run.stop == Stop::Marker {
            if self.left.is_some_and(|left| left > 0) {
                return Err(Error::corrupt("lzma: ends before the length announced"));
            }
            consumed += self.marker(&src[consumed..])?;
        }
        Ok(Step { consumed, written: run.written, ended: self.ended })
    }

    /// All that was announced is decoded: this is the end, or there is a marker.
    fn end(&mut self, src: &[u8]) -> Result<Step> {
        let (mut consumed, ended) = self.decoder.finish(src)?;
        self.ended = ended;
        if !ended {
            let run = self.decoder.run(&src[consumed..], 1, Rest::Ended)?;
            consumed += run.consumed;
            if run.stop != Stop::Marker || run.written > 0 {
                return Err(Error::corrupt("lzma: goes on after the length announced"));
            }
            consumed += self.marker(&src[consumed..])?;
        }
        Ok(Step { consumed, written: 0, ended: true })
    }

    fn marker(&mut self, src: &[u8]) -> Result<usize> {
        let (consumed, ended) = self.decoder.finish(src)?;
        if !ended {
            return Err(Error::corrupt("lzma: the end marker is not the end"));
        }
        self.ended = true;
        Ok(consumed)
    }

    /// Whether its end was reached.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// The last `n` bytes of output, no more than the last step's.
    pub(crate) fn tail(&self, n: usize) -> &[u8] {
        self.decoder.ring.tail(n)
    }

    /// Packs all that the symbols to come depend on, but for the history; `None` if that is more than a window may be.
    pub(crate) fn pack(&self, out: &mut Vec<u8>) -> Option<Window> {
        out.extend(self.dictionary.to_le_bytes());
        out.extend(self.left.unwrap_or(u64::MAX).to_le_bytes());
        self.decoder.pack(out);
        let (head, tail) = self.decoder.ring.history();
        Window::pack(head, tail)
    }

    /// The inverse of [`pack`](Self::pack).
    pub(crate) fn unpack(bytes: &[u8], history: &Window, memory: u64) -> Result<Self> {
        let wrong = || Error::corrupt("lzma: not a state to go on from");
        let (dictionary, bytes) = bytes.split_first_chunk().ok_or_else(wrong)?;
        let (left, bytes) = bytes.split_first_chunk().ok_or_else(wrong)?;
        let (dictionary, left) = (u32::from_le_bytes(*dictionary), u64::from_le_bytes(*left));
        let decoder = Decoder::unpack(bytes, history, Ring::new(dictionary.into(), memory))?;
        Ok(Self { decoder, dictionary, left: (left != u64::MAX).then_some(left), ended: false })
    }
}
