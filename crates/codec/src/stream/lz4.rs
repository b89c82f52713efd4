//! LZ4 frames, legacy frames, skippable frames.

use super::{Checkpoint, Feed, Limits, Stage, Window, bad_checkpoint};
use crate::checksum::{Xxh32, xxh32};
use crate::error::{Error, Result};
use crate::lz4::{
    BlockSize, FrameHeader, LEGACY_BLOCK, LEGACY_MAGIC, Linkage, MAGIC, MAX_HEADER, block_decode_after,
    parse_block_size, parse_frame_header,
};
use crate::zstd::is_skippable;

enum Phase {
    Header { first: bool },
    Blocks(Frame),
    Legacy,
}

struct Frame {
    header: FrameHeader,
    /// How much of the announced content is still to come.
    content_left: Option<u64>,
    /// `None` where the frame was resumed inside, or has none.
    content_hash: Option<Xxh32>,
}

pub(super) struct Lz4 {
    feed: Feed,
    limits: Limits,
    phase: Phase,
    checked: bool,
    packed: Vec<u8>,
    /// History of linked blocks, then the piece.
    buf: Vec<u8>,
    history: usize,
    piece: usize,
}

const HISTORY: usize = 64 * 1024;

impl Lz4 {
    pub(super) fn new(feed: Feed, limits: Limits) -> Self {
        Self {
            feed,
            limits,
            phase: Phase::Header { first: true },
            checked: true,
            packed: Vec::new(),
            buf: Vec::new(),
            history: 0,
            piece: 0,
        }
    }

    pub(super) fn resume(feed: Feed, limits: Limits, from: &Checkpoint) -> Result<Self> {
        let mut stage = Self::new(feed, limits);
        stage.phase = match from.extra[..] {
            [] => Phase::Header { first: false },
            [0] => {
                stage.check_memory(LEGACY_BLOCK)?;
                Phase::Legacy
            }
            [flags, block, ref left @ ..] => {
                let header = FrameHeader::from_descriptor([flags, block]).map_err(|_| bad_checkpoint())?;
                let content_left = match *left {
                    [] => None,
                    [a, b, c, d, e, f, g, h] => Some(u64::from_le_bytes([a, b, c, d, e, f, g, h])),
                    _ => return Err(bad_checkpoint()),
                };
                stage.check_memory(header.max_block)?;
                Phase::Blocks(Frame { header, content_left, content_hash: None })
            }
            _ => return Err(bad_checkpoint()),
        };
        if from.window.len() > HISTORY {
            return Err(bad_checkpoint());
        }
        stage.buf.resize(from.window.len(), 0);
        from.window.unpack(&mut stage.buf)?;
        stage.history = from.window.len();
        Ok(stage)
    }

    fn check_memory(&self, block: usize) -> Result<()> {
        if block as u64 > self.limits.memory {
            return Err(Error::TooLarge(format!("lz4: needs blocks of {block} bytes").into()));
        }
        Ok(())
    }

    fn header(&mut self, first: bool) -> Result<bool> {
        let head = self.feed.want(MAX_HEADER)?;
        if head.is_empty() && !first {
            return Ok(false);
        }
        let foreign = |feed: &Feed| if first { Error::corrupt("lz4: not a frame") } else { feed.trailing() };
        let Some(magic) = head.first_chunk() else {
            return Err(if head.is_empty() { Error::Truncated } else { foreign(&self.feed) });
        };
        self.history = 0;
        self.phase = match u32::from_le_bytes(*magic) {
            MAGIC => {
                let header = parse_frame_header(head)?;
                if header.dictionary.is_some_and(|id| id != 0) {
                    return Err(Error::unsupported("lz4: needs a dictionary"));
                }
                self.check_memory(header.max_block)?;
                self.feed.skip(header.len);
                let content_hash = header.content_checksum.then(Xxh32::new);
                Phase::Blocks(Frame { header, content_left: header.content, content_hash })
            }
            LEGACY_MAGIC => {
                self.check_memory(LEGACY_BLOCK)?;
                self.feed.skip(4);
                Phase::Legacy
            }
            magic if is_skippable(magic) => {
                let len = u32::from_le_bytes(*head[4..].first_chunk().ok_or(Error::Truncated)?);
                self.feed.hop(8 + u64::from(len))?;
                Phase::Header { first: false }
            }
            _ => return Err(foreign(&self.feed)),
        };
        Ok(true)
    }

    fn block(&mut self, mut frame: Frame) -> Result<Phase> {
        let size = parse_block_size(self.feed.take()?, frame.header.max_block)?;
        let (len, stored) = match size {
            BlockSize::EndMark => {
                if frame.header.content_checksum {
                    let stored = u32::from_le_bytes(self.feed.take()?);
                    if frame.content_hash.as_ref().is_some_and(|hash| hash.value() != stored) {
                        return Err(Error::corrupt("lz4: checksum of the content does not match"));
                    }
                }
                if frame.content_left.is_some_and(|left| left > 0) {
                    return Err(Error::corrupt("lz4: the content is shorter than announced"));
                }
                return Ok(Phase::Header { first: false });
            }
            BlockSize::Stored(len) => (len, true),
            BlockSize::Compressed(len) => (len, false),
        };
        self.packed.resize(len, 0);
        self.feed.fill(&mut self.packed)?;
        if frame.header.block_checksums && u32::from_le_bytes(self.feed.take()?) != xxh32(&self.packed) {
            return Err(Error::corrupt("lz4: checksum of a block does not match"));
        }
        self.unpack(stored, frame.header.max_block)?;
        let piece = &self.buf[self.history..self.history + self.piece];
        self.checked &= frame.header.block_checksums || frame.content_hash.is_some();
        if let Some(hash) = &mut frame.content_hash {
            hash.update(piece);
        }
        if let Some(left) = &mut frame.content_left {
            *left = left.checked_sub(piece.len() as u64).ok_or(Error::corrupt("lz4: more content than announced"))?;
        }
        Ok(Phase::Blocks(frame))
    }

    fn legacy_block(&mut self) -> Result<Phase> {
        let head = self.feed.want(4)?;
        if head.is_empty() {
            return Ok(Phase::Header { first: false });
        }
        let len = u32::from_le_bytes(*head.first_chunk().ok_or(Error::Truncated)?) as usize;
        if len > lz4_flex::block::get_maximum_output_size(LEGACY_BLOCK) {
            // No block is that long, so this is the magic number of what follows the frame.
            return Ok(Phase::Header { first: false });
        }
        self.feed.skip(4);
        self.packed.resize(len, 0);
        self.feed.fill(&mut self.packed)?;
        self.unpack(false, LEGACY_BLOCK)?;
        self.checked = false;
        Ok(Phase::Legacy)
    }

    fn unpack(&mut self, stored: bool, max_block: usize) -> Result<()> {
        self.buf.resize(HISTORY + max_block, 0);
        let (history, room) = self.buf.split_at_mut(self.history);
        let room = &mut room[..max_block];
        self.piece = if stored {
            room[..self.packed.len()].copy_from_slice(&self.packed);
            self.packed.len()
        } else {
            block_decode_after(history, &self.packed, room).map_err(|e| match e {
                Error::TooLarge(_) => Error::corrupt("lz4: a block holds more than the frame allows"),
                e => e,
            })?
        };
        Ok(())
    }

    /// Keeps of the last piece what the next block may refer to.
    fn turn_over(&mut self) {
        let end = self.history + self.piece;
        let linked = matches!(&self.phase, Phase::Blocks(frame) if frame.header.linkage == Linkage::Linked);
        let kept = if linked { end.min(HISTORY) } else { 0 };
        self.buf.copy_within(end - kept..end, 0);
        self.history = kept;
        self.piece = 0;
    }
}

impl Stage for Lz4 {
    fn advance(&mut self) -> Result<bool> {
        self.turn_over();
        match std::mem::replace(&mut self.phase, Phase::Header { first: false }) {
            Phase::Header { first } => return self.header(first),
            Phase::Blocks(frame) => self.phase = self.block(frame)?,
            Phase::Legacy => self.phase = self.legacy_block()?,
        }
        Ok(true)
    }

    fn piece(&self) -> &[u8] {
        self.buf.get(self.history..self.history + self.piece).unwrap_or_default()
    }

    fn at_restart(&self) -> bool {
        true
    }

    fn restart(&self) -> Option<Checkpoint> {
        let end = self.history + self.piece;
        let (extra, window) = match &self.phase {
            Phase::Header { .. } => (Vec::new(), 0),
            Phase::Legacy => (vec![0], 0),
            Phase::Blocks(frame) => {
                let mut extra = frame.header.descriptor().to_vec();
                extra.extend(frame.content_left.map(u64::to_le_bytes).iter().flatten());
                (extra, if frame.header.linkage == Linkage::Linked { end.min(HISTORY) } else { 0 })
            }
        };
        Some(Checkpoint {
            in_offset: self.feed.offset(),
            in_bits: 0,
            out_offset: 0,
            window: Window::pack(&self.buf[end - window..end], &[])?,
            extra,
        })
    }

    fn in_offset(&self) -> u64 {
        self.feed.offset()
    }

    fn is_checked(&self) -> bool {
        self.checked
    }
}
