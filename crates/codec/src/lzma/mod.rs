//! LZMA and LZMA2 decoded so that it can be taken up again in the middle.
//!
//! ```text
//!   alone::Alone  lzma2::Lzma2        headers, chunks, ends
//!            \     /
//!         decode::Decoder             symbols
//!          /     |     \
//!     range    model     ring         bits     probabilities     history
//! ```
//!
//! It exists beside liblzma because that one cannot save its state and takes memory by what a header claims. Here the history grows
//! with what was decoded, and a [`Decoder`](decode::Decoder) can be packed into bytes and made of them again.
//!
//! Written from the LZMA specification (2015-06-14) and from the .xz file format specification 1.2.1, section 5.3.1.

pub(crate) mod alone;
mod decode;
pub(crate) mod lzma2;
mod model;
mod range;
mod ring;
#[cfg(test)]
mod tests;

pub(crate) use alone::Alone;
pub(crate) use decode::Rest;
pub(crate) use lzma2::{Lzma2, Step};

use crate::error::{Error, Result};

/// Number of literal context bits, literal position bits, position bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Properties {
    lc: u32,
    lp: u32,
    pb: u32,
}

impl Properties {
    /// Most of `lc` and `lp` together: what LZMA2 allows, and what liblzma reads and writes.
    const MOST_LITERAL_BITS: u32 = 4;

    pub(crate) fn parse(byte: u8) -> Result<Self> {
        let byte = u32::from(byte);
        let (lc, lp, pb) = (byte % 9, byte / 9 % 5, byte / 45);
        if pb > 4 {
            return Err(Error::corrupt("lzma: impossible properties"));
        }
        if lc + lp > Self::MOST_LITERAL_BITS {
            return Err(Error::unsupported("lzma: more than four literal bits"));
        }
        Ok(Self { lc, lp, pb })
    }

    fn byte(self) -> u8 {
        ((self.pb * 5 + self.lp) * 9 + self.lc) as u8
    }
}
