//! "lzma alone" files.

use super::{Checkpoint, Feed, Limits, Stage, bad_checkpoint};
use crate::error::{Error, Result};
use crate::lzma::{Alone, Rest};

pub(super) struct Lzma {
    feed: Feed,
    limits: Limits,
    /// None before the header.
    decoder: Option<Alone>,
    piece: usize,
}

/// Bytes decoded at a time: they stay in the processor's cache until they are copied.
const PIECE: usize = 64 << 10;

impl Lzma {
    pub(super) fn new(feed: Feed, limits: Limits) -> Self {
        Self { feed, limits, decoder: None, piece: 0 }
    }

    pub(super) fn resume(feed: Feed, limits: Limits, from: &Checkpoint) -> Result<Self> {
        if from.in_bits != 0 {
            return Err(bad_checkpoint());
        }
        let decoder = Alone::unpack(&from.extra, &from.window, limits.memory)?;
        Ok(Self { feed, limits, decoder: Some(decoder), piece: 0 })
    }
}

impl Stage for Lzma {
    fn advance(&mut self) -> Result<bool> {
        self.piece = 0;
        let Some(decoder) = &mut self.decoder else {
            let header = self.feed.want(Alone::HEADER)?.first_chunk().ok_or(Error::Truncated)?;
            self.decoder = Some(Alone::new(header, self.limits.memory)?);
            self.feed.skip(Alone::HEADER);
            return Ok(true);
        };
        if decoder.is_ended() {
            return if self.feed.want(1)?.is_empty() { Ok(false) } else { Err(self.feed.trailing()) };
        }
        self.feed.want(Alone::ENOUGH_INPUT)?;
        let rest = if self.feed.ended() { Rest::Ended } else { Rest::Follows };
        let step = decoder.step(self.feed.at_hand(), PIECE, rest)?;
        self.feed.skip(step.consumed);
        self.piece = step.written;
        if !step.ended && step.consumed == 0 && step.written == 0 {
            return Err(Error::Truncated);
        }
        Ok(true)
    }

    fn piece(&self) -> &[u8] {
        self.decoder.as_ref().map_or(&[], |decoder| decoder.tail(self.piece))
    }

    fn at_restart(&self) -> bool {
        self.decoder.as_ref().is_some_and(|decoder| !decoder.is_ended())
    }

    fn restart(&self) -> Option<Checkpoint> {
        let mut extra = Vec::new();
        let window = self.decoder.as_ref()?.pack(&mut extra)?;
        Some(Checkpoint { in_offset: self.feed.offset(), in_bits: 0, out_offset: 0, window, extra })
    }

    fn in_offset(&self) -> u64 {
        self.feed.offset()
    }

    fn is_checked(&self) -> bool {
        false
    }
}
