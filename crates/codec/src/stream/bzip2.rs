//! bzip2 streams.

use super::{Checkpoint, Feed, Stage, Window};
use crate::error::{Error, Result};
use ::bzip2::{Decompress, Error as BzError, Status};

enum Phase {
    Header { first: bool },
    Body(Decompress),
}

pub(super) struct Bzip2 {
    feed: Feed,
    phase: Phase,
    buf: Box<[u8]>,
    piece: usize,
}

impl Bzip2 {
    pub(super) fn new(feed: Feed) -> Self {
        Self { feed, phase: Phase::Header { first: true }, buf: vec![0; 128 * 1024].into(), piece: 0 }
    }

    pub(super) fn resume(feed: Feed) -> Self {
        Self { phase: Phase::Header { first: false }, ..Self::new(feed) }
    }

    fn header(&mut self, first: bool) -> Result<bool> {
        let head = self.feed.want(4)?;
        if head.is_empty() {
            return if first { Err(Error::Truncated) } else { Ok(false) };
        }
        let [b'B', b'Z', b'h', b'1'..=b'9', ..] = head else {
            return Err(if first { Error::corrupt("bzip2: not a stream") } else { self.feed.trailing() });
        };
        self.phase = Phase::Body(Decompress::new(false));
        Ok(true)
    }
}

impl Stage for Bzip2 {
    fn advance(&mut self) -> Result<bool> {
        self.piece = 0;
        let decoder = match &mut self.phase {
            Phase::Header { first } => {
                let first = *first;
                return self.header(first);
            }
            Phase::Body(decoder) => decoder,
        };
        let (consumed, written) = (decoder.total_in(), decoder.total_out());
        let status = decoder.decompress(self.feed.want(1)?, &mut self.buf).map_err(|e| match e {
            BzError::Sequence | BzError::Param => Error::corrupt("bzip2: unusable data"),
            BzError::Data | BzError::DataMagic => Error::corrupt("bzip2: broken data or wrong checksum"),
        })?;
        let consumed = (decoder.total_in() - consumed) as usize;
        self.piece = (decoder.total_out() - written) as usize;
        self.feed.skip(consumed);
        match status {
            Status::StreamEnd => self.phase = Phase::Header { first: false },
            _ if consumed == 0 && self.piece == 0 => return Err(Error::Truncated),
            _ => {}
        }
        Ok(true)
    }

    fn piece(&self) -> &[u8] {
        &self.buf[..self.piece]
    }

    fn at_restart(&self) -> bool {
        matches!(self.phase, Phase::Header { .. })
    }

    fn restart(&self) -> Option<Checkpoint> {
        Some(Checkpoint {
            in_offset: self.feed.offset(),
            in_bits: 0,
            out_offset: 0,
            window: Window::default(),
            extra: Vec::new(),
        })
    }

    fn in_offset(&self) -> u64 {
        self.feed.offset()
    }

    fn is_checked(&self) -> bool {
        true
    }
}
