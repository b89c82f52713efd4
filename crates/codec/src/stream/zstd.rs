//! zstd frames.

use super::{Checkpoint, Feed, Limits, Stage, Window};
use crate::error::{Error, Result};
use crate::zstd::{MAGIC, MAX_WINDOW_LOG, error, is_skippable, parse_frame_header};
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

enum Phase {
    Header { first: bool },
    Body { checked: bool },
}

pub(super) struct Zstd {
    feed: Feed,
    limits: Limits,
    context: DCtx<'static>,
    phase: Phase,
    checked: bool,
    buf: Box<[u8]>,
    piece: usize,
}

impl Zstd {
    pub(super) fn new(feed: Feed, limits: Limits) -> Result<Self> {
        let mut context = DCtx::try_create().ok_or(Error::too_large("zstd: no memory for a decoder"))?;
        // Our own limit is finer than the library's and checked first.
        context.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG)).map_err(error)?;
        let buf = vec![0; DCtx::out_size()].into();
        Ok(Self { feed, limits, context, phase: Phase::Header { first: true }, checked: true, buf, piece: 0 })
    }

    pub(super) fn resume(feed: Feed, limits: Limits) -> Result<Self> {
        Ok(Self { phase: Phase::Header { first: false }, ..Self::new(feed, limits)? })
    }

    fn header(&mut self, first: bool) -> Result<bool> {
        let head = self.feed.want(32)?;
        if head.is_empty() && !first {
            return Ok(false);
        }
        let foreign = |feed: &Feed| if first { Error::corrupt("zstd: not a frame") } else { feed.trailing() };
        let Some(magic) = head.first_chunk() else {
            return Err(if head.is_empty() { Error::Truncated } else { foreign(&self.feed) });
        };
        let magic = u32::from_le_bytes(*magic);
        if is_skippable(magic) {
            let len = u32::from_le_bytes(*head[4..].first_chunk().ok_or(Error::Truncated)?);
            self.feed.hop(8 + u64::from(len))?;
            self.phase = Phase::Header { first: false };
            return Ok(true);
        }
        if magic != MAGIC {
            return Err(foreign(&self.feed));
        }
        let header = parse_frame_header(head)?;
        if header.dictionary != 0 {
            return Err(Error::unsupported("zstd: needs a dictionary"));
        }
        if header.window > self.limits.memory {
            return Err(Error::TooLarge(format!("zstd: needs a window of {} bytes", header.window).into()));
        }
        self.context.reset(ResetDirective::SessionOnly).map_err(error)?;
        self.phase = Phase::Body { checked: header.checksum };
        Ok(true)
    }

    fn body(&mut self, checked: bool) -> Result<()> {
        let mut src = InBuffer::around(self.feed.want(1)?);
        let mut dst = OutBuffer::around(&mut self.buf[..]);
        let left = self.context.decompress_stream(&mut dst, &mut src).map_err(error)?;
        let (consumed, written) = (src.pos(), dst.pos());
        self.feed.skip(consumed);
        self.piece = written;
        self.checked &= written == 0 || checked;
        if left == 0 {
            self.phase = Phase::Header { first: false };
        } else if consumed == 0 && written == 0 {
            return Err(Error::Truncated);
        }
        Ok(())
    }
}

impl Stage for Zstd {
    fn advance(&mut self) -> Result<bool> {
        self.piece = 0;
        match self.phase {
            Phase::Header { first } => self.header(first),
            Phase::Body { checked } => self.body(checked).map(|()| true),
        }
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
        self.checked
    }
}
