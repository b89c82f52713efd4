//! LZMA2: chunks of at most 64 KiB, packed or as they are.
//!
//! ```text
//!   0x00                                      the end
//!   0x01 / 0x02 | length - 1 (2, big)         as it is, after forgetting the history / not
//!   0x80 + kind * 0x20 + length bits 16..21 | length - 1 (2) | packed length - 1 (2) | properties (kind 2, 3) | range-coded data
//!               kind 0: nothing forgotten, 1: state, 2: state and properties, 3: history too
//! ```

use super::Properties;
use super::decode::{Decoder, Rest, Stop};
use super::ring::Ring;
use crate::error::{Error, Result};
use crate::stream::Window;

enum Chunk {
    Header,
    Packed { packed: usize, left: usize },
    Plain { left: usize },
    End,
}

/// What one step did; its output are the last `written` bytes.
pub(crate) struct Step {
    pub(crate) consumed: usize,
    pub(crate) written: usize,
    pub(crate) ended: bool,
}

/// Decodes LZMA2 data.
pub(crate) struct Lzma2 {
    pub(super) decoder: Decoder,
    chunk: Chunk,
    needs_history_reset: bool,
    needs_properties: bool,
}

impl Lzma2 {
    /// Input offered in pieces of this size always brings the decoder forward.
    pub(crate) const ENOUGH_INPUT: usize = 6 + 5 + (1 << 16);

    /// A decoder for a dictionary of `dictionary` bytes, of which no more than `memory` are kept.
    pub(crate) fn new(dictionary: u64, memory: u64) -> Self {
        let decoder = Decoder::new(Properties { lc: 0, lp: 0, pb: 0 }, Ring::new(dictionary, memory));
        Self { decoder, chunk: Chunk::Header, needs_history_reset: true, needs_properties: true }
    }

    /// Decodes up to `most` bytes from `src`, which has [`ENOUGH_INPUT`](Self::ENOUGH_INPUT) unless the input ends in it.
    pub(crate) fn step(&mut self, src: &[u8], most: usize) -> Result<Step> {
        let mut written = 0;
        let consumed = match self.chunk {
            Chunk::Header => self.header(src)?,
            Chunk::Packed { packed, left } => {
                let whole = src.get(..packed).unwrap_or(src);
                let truncated = whole.len() < packed;
                let run = match self.decoder.run(whole, left.min(most), Rest::Ended) {
                    Err(Error::Truncated) if !truncated => Err(too_short()),
                    other => other,
                }?;
                if run.stop == Stop::Marker {
                    return Err(Error::corrupt("lzma2: an end marker"));
                }
                written = run.written;
                let (packed, left) = (packed - run.consumed, left - run.written);
                self.chunk = Chunk::Packed { packed, left };
                run.consumed + if left == 0 { self.end_chunk(&whole[run.consumed..], packed)? } else { 0 }
            }
            Chunk::Plain { left } => {
                let n = left.min(most).min(src.len());
                if n == 0 {
                    return Err(Error::Truncated);
                }
                written = self.decoder.ring.write(&src[..n]);
                self.chunk = if written == left { Chunk::Header } else { Chunk::Plain { left: left - written } };
                written
            }
            Chunk::End => 0,
        };
        Ok(Step { consumed, written, ended: matches!(self.chunk, Chunk::End) })
    }

    /// The chunk's last symbol is decoded; are its bytes used up?
    fn end_chunk(&mut self, src: &[u8], packed: usize) -> Result<usize> {
        let (consumed, ended) = match self.decoder.finish(src) {
            Err(Error::Truncated) if src.len() == packed => Err(too_short()),
            other => other,
        }?;
        if !ended || consumed != packed {
            return Err(Error::corrupt("lzma2: a chunk does not end where it should"));
        }
        self.chunk = Chunk::Header;
        Ok(consumed)
    }

    fn header(&mut self, src: &[u8]) -> Result<usize> {
        let (&control, rest) = src.split_first().ok_or(Error::Truncated)?;
        if control == 0 {
            self.chunk = Chunk::End;
            return Ok(1);
        }
        let kind = control >> 5 & 3;
        let resets_history = control == 1 || control >= 0xe0;
        if resets_history {
            self.needs_properties = true;
        } else if self.needs_history_reset {
            return Err(Error::corrupt("lzma2: does not start with a reset"));
        }
        let (length, rest) = rest.split_first_chunk().ok_or(Error::Truncated)?;
        let length = usize::from(u16::from_be_bytes(*length)) + 1;
        if control < 0x80 {
            if control > 2 {
                return Err(Error::corrupt("lzma2: unknown kind of chunk"));
            }
            self.reset_history(resets_history);
            self.chunk = Chunk::Plain { left: length };
            return Ok(3);
        }
        let (packed, mut rest) = rest.split_first_chunk().ok_or(Error::Truncated)?;
        let packed = usize::from(u16::from_be_bytes(*packed)) + 1;
        let mut consumed = 5;
        if kind >= 2 {
            let (&byte, tail) = rest.split_first().ok_or(Error::Truncated)?;
            rest = tail;
            consumed += 1;
            let properties = Properties::parse(byte).map_err(|_| Error::corrupt("lzma2: impossible properties"))?;
            self.decoder.reset(properties);
            self.needs_properties = false;
        } else if self.needs_properties {
            return Err(Error::corrupt("lzma2: properties are missing"));
        } else if kind == 1 {
            self.decoder.reset(self.decoder.properties);
        }
        let packed = packed.checked_sub(5).ok_or_else(too_short)?;
        self.decoder.start(*rest.first_chunk().ok_or(Error::Truncated)?)?;
        self.reset_history(resets_history);
        let left = usize::from(control & 0x1f) << 16 | (length - 1);
        self.chunk = Chunk::Packed { packed, left: left + 1 };
        Ok(consumed + 5)
    }

    fn reset_history(&mut self, wanted: bool) {
        if wanted {
            self.decoder.ring.reset();
            self.needs_history_reset = false;
        }
    }

    /// The last `n` bytes of output, no more than the last step's.
    pub(crate) fn tail(&self, n: usize) -> &[u8] {
        self.decoder.ring.tail(n)
    }

    /// Whether it can be packed: between two chunks.
    pub(crate) fn is_between_chunks(&self) -> bool {
        matches!(self.chunk, Chunk::Header)
    }

    /// Packs all that the next chunk depends on, but for the history; `None` if that is more than a window may be.
    pub(crate) fn pack(&self, out: &mut Vec<u8>) -> Option<Window> {
        out.push(u8::from(self.needs_history_reset) | u8::from(self.needs_properties) << 1);
        self.decoder.pack(out);
        let (head, tail) = self.decoder.ring.history();
        Window::pack(head, tail)
    }

    /// The inverse of [`pack`](Self::pack), with the sizes of [`new`](Self::new).
    pub(crate) fn unpack(bytes: &[u8], history: &Window, dictionary: u64, memory: u64) -> Result<Self> {
        let Some((&needs @ 0..=3, rest)) = bytes.split_first() else {
            return Err(Error::corrupt("lzma2: not a state to go on from"));
        };
        Ok(Self {
            decoder: Decoder::unpack(rest, history, Ring::new(dictionary, memory))?,
            chunk: Chunk::Header,
            needs_history_reset: needs & 1 != 0,
            needs_properties: needs & 2 != 0,
        })
    }
}

fn too_short() -> Error {
    Error::corrupt("lzma2: a chunk is too short")
}
