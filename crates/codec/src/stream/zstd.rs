//! zstd frames.
//!
//! libzstd cannot save its state in the middle of a frame, and what plain `zstd` writes is one frame: hence a decoder of our own.

use super::{Checkpoint, Feed, Limits, Stage, Window, bad_checkpoint};
use crate::checksum::Xxh64;
use crate::error::{Error, Result};
use crate::zstd::{BLOCK, Blocks, FrameHeader, History, MAGIC, is_skippable, parse_frame_header};
use std::ops::Range;

#[cfg(test)]
mod tests;

enum Phase {
    Header { first: bool },
    Block(Frame),
    Trailer(Frame),
}

/// The frame being decoded.
struct Frame {
    window: u64,
    content: Option<u64>,
    checksum: Option<Xxh64>,
    /// Bytes of content so far.
    len: u64,
}

impl Frame {
    const NO_CONTENT: u64 = u64::MAX;

    fn new(header: &FrameHeader) -> Self {
        let checksum = header.checksum.then(Xxh64::new);
        Frame { window: header.window, content: header.content, checksum, len: 0 }
    }

    fn save(&self, to: &mut Vec<u8>) {
        for number in [self.window, self.content.unwrap_or(Self::NO_CONTENT), self.len] {
            to.extend(number.to_le_bytes());
        }
        to.push(self.checksum.is_some().into());
        to.extend(self.checksum.iter().flat_map(Xxh64::state));
    }

    fn load(src: &mut &[u8]) -> Option<Self> {
        let mut number = || Some(u64::from_le_bytes(*src.split_off(..8)?.first_chunk()?));
        let (window, content, len) = (number()?, number()?, number()?);
        let checksum = match src.split_off_first()? {
            0 => None,
            _ => Some(Xxh64::resume(src.split_off(..Xxh64::STATE)?.first_chunk()?)),
        };
        Some(Frame { window, content: (content != Self::NO_CONTENT).then_some(content), checksum, len })
    }

    /// How much history the next block may refer to.
    fn reach(&self) -> u64 {
        self.window.min(self.len)
    }
}

pub(super) struct Zstd {
    feed: Feed,
    limits: Limits,
    phase: Phase,
    blocks: Blocks,
    history: History,
    checked: bool,
    piece: Range<usize>,
}

impl Zstd {
    pub(super) fn new(feed: Feed, limits: Limits) -> Self {
        Self {
            feed,
            limits,
            phase: Phase::Header { first: true },
            blocks: Blocks::new(),
            history: History::new(),
            checked: true,
            piece: 0..0,
        }
    }

    pub(super) fn resume(feed: Feed, limits: Limits, from: &Checkpoint) -> Result<Self> {
        let mut stage = Self::new(feed, limits);
        if from.extra.is_empty() && from.window.is_empty() && from.in_bits == 0 {
            stage.phase = Phase::Header { first: false };
            return Ok(stage);
        }
        let mut extra = &from.extra[..];
        let frame = Frame::load(&mut extra).ok_or_else(bad_checkpoint)?;
        stage.blocks.load(&mut extra).ok_or_else(bad_checkpoint)?;
        if !extra.is_empty() || from.in_bits != 0 || frame.reach() != from.window.len() as u64 {
            return Err(bad_checkpoint());
        }
        stage.check_window(frame.window)?;
        stage.history.resume(frame.window as usize, &from.window)?;
        stage.phase = Phase::Block(frame);
        Ok(stage)
    }

    fn check_window(&self, window: u64) -> Result<()> {
        if window > self.limits.memory || usize::try_from(window).is_err() {
            return Err(Error::TooLarge(format!("zstd: needs a window of {window} bytes").into()));
        }
        Ok(())
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
        self.check_window(header.window)?;
        self.feed.skip(header.len);
        self.blocks.restart();
        self.history.restart(header.window as usize);
        self.phase = Phase::Block(Frame::new(&header));
        Ok(true)
    }

    fn block(&mut self, mut frame: Frame) -> Result<Phase> {
        let most = frame.window.min(BLOCK as u64) as usize;
        let [a, b, c] = self.feed.take()?;
        let header = u32::from_le_bytes([a, b, c, 0]);
        let (is_last, kind, size) = (header & 1 == 1, header >> 1 & 3, (header >> 3) as usize);
        if kind != 1 && size > most {
            return Err(Error::corrupt("zstd: a block is larger than its frame allows"));
        }
        let mut out = self.history.block(most)?;
        match kind {
            0 => {
                out.push(self.feed.need(size)?)?;
                self.feed.skip(size);
            }
            1 => {
                let [byte] = self.feed.take()?;
                out.fill(byte, size)?;
            }
            2 => {
                self.blocks.decode(self.feed.need(size)?, &mut out)?;
                self.feed.skip(size);
            }
            _ => return Err(Error::corrupt("zstd: unknown type of block")),
        }
        let end = out.pos();
        self.piece = self.history.advance(end);
        self.checked &= self.piece.is_empty() || frame.checksum.is_some();
        // A hostile checkpoint may have started it anywhere.
        frame.len = frame.len.saturating_add(self.piece.len() as u64);
        if frame.content.is_some_and(|len| if is_last { len != frame.len } else { len < frame.len }) {
            return Err(Error::corrupt("zstd: the content does not have the length announced"));
        }
        if let Some(checksum) = &mut frame.checksum {
            checksum.update(self.history.bytes(self.piece.clone()));
        }
        Ok(if is_last { Phase::Trailer(frame) } else { Phase::Block(frame) })
    }

    fn trailer(&mut self, frame: &Frame) -> Result<()> {
        if let Some(checksum) = &frame.checksum
            && u32::from_le_bytes(self.feed.take()?) != checksum.value() as u32
        {
            return Err(Error::corrupt("zstd: the checksum of the content does not match"));
        }
        Ok(())
    }
}

impl Stage for Zstd {
    fn advance(&mut self) -> Result<bool> {
        self.piece = 0..0;
        match std::mem::replace(&mut self.phase, Phase::Header { first: false }) {
            Phase::Header { first } => return self.header(first),
            Phase::Block(frame) => self.phase = self.block(frame)?,
            Phase::Trailer(frame) => self.trailer(&frame)?,
        }
        Ok(true)
    }

    fn piece(&self) -> &[u8] {
        self.history.bytes(self.piece.clone())
    }

    fn at_restart(&self) -> bool {
        !matches!(self.phase, Phase::Trailer(_))
    }

    fn restart(&self) -> Option<Checkpoint> {
        let mut extra = Vec::new();
        let window = match &self.phase {
            Phase::Block(frame) => {
                frame.save(&mut extra);
                self.blocks.save(&mut extra);
                let (head, tail) = self.history.last(frame.reach() as usize);
                Window::pack(head, tail)?
            }
            _ => Window::default(),
        };
        Some(Checkpoint { in_offset: self.feed.offset(), in_bits: 0, out_offset: 0, window, extra })
    }

    fn in_offset(&self) -> u64 {
        self.feed.offset()
    }

    fn is_checked(&self) -> bool {
        self.checked
    }
}
