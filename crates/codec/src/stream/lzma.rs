//! "lzma alone" files.

use super::{Checkpoint, Feed, Limits, Stage, Window};
use crate::error::{Error, Result};
use crate::xz::RawDecoder;

pub(super) struct Lzma {
    feed: Feed,
    decoder: RawDecoder,
    ended: bool,
    buf: Box<[u8]>,
    piece: usize,
}

impl Lzma {
    pub(super) fn new(feed: Feed, limits: Limits) -> Result<Self> {
        // The decoder's own needs come on top of the dictionary.
        let decoder = RawDecoder::lzma_alone(limits.memory.saturating_add(1 << 20))?;
        Ok(Self { feed, decoder, ended: false, buf: vec![0; 128 * 1024].into(), piece: 0 })
    }
}

impl Stage for Lzma {
    fn advance(&mut self) -> Result<bool> {
        self.piece = 0;
        if self.ended {
            return if self.feed.want(1)?.is_empty() { Ok(false) } else { Err(self.feed.trailing()) };
        }
        let step = self.decoder.step(self.feed.want(1)?, &mut self.buf)?;
        self.feed.skip(step.consumed);
        self.piece = step.written;
        self.ended = step.ended;
        if !step.ended && step.consumed == 0 && step.written == 0 {
            return Err(Error::Truncated);
        }
        Ok(true)
    }

    fn piece(&self) -> &[u8] {
        &self.buf[..self.piece]
    }

    fn at_restart(&self) -> bool {
        false
    }

    fn restart(&self) -> Option<Checkpoint> {
        Some(Checkpoint { in_offset: 0, in_bits: 0, out_offset: 0, window: Window::default(), extra: Vec::new() })
    }

    fn in_offset(&self) -> u64 {
        self.feed.offset()
    }

    fn is_checked(&self) -> bool {
        false
    }
}
