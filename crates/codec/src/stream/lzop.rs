//! lzop files.

use super::{Checkpoint, Feed, Limits, Stage, Window, bad_checkpoint};
use crate::error::{Error, Result};
use crate::lzop::{BlockHeader, Flags, MAGIC, read_header};

enum Phase {
    Header { first: bool },
    Blocks(Flags),
}

pub(super) struct Lzop {
    feed: Feed,
    limits: Limits,
    phase: Phase,
    checked: bool,
    packed: Vec<u8>,
    piece: Vec<u8>,
}

impl Lzop {
    pub(super) fn new(feed: Feed, limits: Limits) -> Self {
        Self {
            feed,
            limits,
            phase: Phase::Header { first: true },
            checked: true,
            packed: Vec::new(),
            piece: Vec::new(),
        }
    }

    pub(super) fn resume(feed: Feed, limits: Limits, from: &Checkpoint) -> Result<Self> {
        let phase = match from.extra[..] {
            [] => Phase::Header { first: false },
            [a, b, c, d] => Phase::Blocks(Flags::from_bits(u32::from_le_bytes([a, b, c, d]))),
            _ => return Err(bad_checkpoint()),
        };
        Ok(Self { phase, ..Self::new(feed, limits) })
    }

    fn header(&mut self, first: bool) -> Result<bool> {
        if !first {
            let head = self.feed.want(MAGIC.len())?;
            if head.is_empty() {
                return Ok(false);
            }
            if !head.starts_with(MAGIC) {
                return Err(self.feed.trailing());
            }
        }
        self.phase = Phase::Blocks(read_header(&mut self.feed)?);
        Ok(true)
    }

    fn block(&mut self, flags: Flags) -> Result<()> {
        let Some(header) = BlockHeader::read(&mut self.feed, flags)? else {
            self.phase = Phase::Header { first: false };
            return Ok(());
        };
        if u64::from(header.len) > self.limits.memory {
            return Err(Error::TooLarge(format!("lzop: needs a block of {} bytes", header.len).into()));
        }
        self.packed.resize(header.packed_len as usize, 0);
        self.feed.fill(&mut self.packed)?;
        let mut plain = std::mem::take(&mut self.piece);
        plain.resize(header.len as usize, 0);
        header.decode(&self.packed, &mut plain)?;
        self.piece = plain;
        self.checked &= header.is_checked();
        Ok(())
    }
}

impl Stage for Lzop {
    fn advance(&mut self) -> Result<bool> {
        self.piece.clear();
        match self.phase {
            Phase::Header { first } => self.header(first),
            Phase::Blocks(flags) => self.block(flags).map(|()| true),
        }
    }

    fn piece(&self) -> &[u8] {
        &self.piece
    }

    fn at_restart(&self) -> bool {
        true
    }

    fn restart(&self) -> Option<Checkpoint> {
        let extra = match self.phase {
            Phase::Header { .. } => Vec::new(),
            Phase::Blocks(flags) => flags.bits().to_le_bytes().to_vec(),
        };
        Some(Checkpoint { in_offset: self.feed.offset(), in_bits: 0, out_offset: 0, window: Window::default(), extra })
    }

    fn in_offset(&self) -> u64 {
        self.feed.offset()
    }

    fn is_checked(&self) -> bool {
        self.checked
    }
}
