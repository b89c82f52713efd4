//! .xz streams.

use super::{Checkpoint, Feed, Limits, Stage, Window, bad_checkpoint};
use crate::checksum::{Crc32, Crc64};
use crate::error::{Error, Result};
use crate::xz::{BlockHeader, Check, HEADER_MAGIC, RawDecoder, Running, parse_stream_footer, parse_stream_header};

enum Phase {
    StreamHeader { first: bool },
    BlockOrIndex,
    Body(Box<Body>),
    Done,
}

struct Body {
    header: BlockHeader,
    decoder: RawDecoder,
    running: Running,
    consumed: u64,
    written: u64,
}

/// The blocks seen, to hold against the index.
#[derive(Default)]
struct Seen {
    count: u64,
    records: Crc64,
    /// The blocks before a resume were not seen.
    incomplete: bool,
}

impl Seen {
    fn push(&mut self, unpadded: u64, len: u64) {
        self.count += 1;
        self.records.update(&unpadded.to_le_bytes());
        self.records.update(&len.to_le_bytes());
    }
}

pub(super) struct Xz {
    feed: Feed,
    limits: Limits,
    phase: Phase,
    check: Check,
    seen: Seen,
    checked: bool,
    buf: Box<[u8]>,
    piece: usize,
}

impl Xz {
    pub(super) fn new(feed: Feed, limits: Limits) -> Self {
        Self {
            feed,
            limits,
            phase: Phase::StreamHeader { first: true },
            check: Check(0),
            seen: Seen::default(),
            checked: true,
            buf: vec![0; 128 * 1024].into(),
            piece: 0,
        }
    }

    pub(super) fn resume(feed: Feed, limits: Limits, from: &Checkpoint) -> Result<Self> {
        let [check @ 0..=15] = from.extra[..] else { return Err(bad_checkpoint()) };
        let mut stage = Self::new(feed, limits);
        stage.check = Check(check);
        stage.seen.incomplete = true;
        stage.phase = Phase::BlockOrIndex;
        Ok(stage)
    }

    fn stream_header(&mut self, first: bool) -> Result<bool> {
        if !first {
            let before = self.feed.offset();
            let ended = self.feed.skip_zeros()?;
            if !(self.feed.offset() - before).is_multiple_of(4) {
                return Err(self.feed.trailing());
            }
            if ended {
                return Ok(false);
            }
            if !self.feed.want(HEADER_MAGIC.len())?.starts_with(HEADER_MAGIC) {
                return Err(self.feed.trailing());
            }
        }
        self.check = parse_stream_header(&self.feed.take()?)?;
        self.seen = Seen::default();
        self.phase = Phase::BlockOrIndex;
        Ok(true)
    }

    fn block_or_index(&mut self) -> Result<()> {
        let first = self.feed.need(1)?[0];
        if first == 0 {
            self.index()?;
            self.phase = Phase::StreamHeader { first: false };
            return Ok(());
        }
        let (header, decoder) = BlockHeader::parse(self.feed.need(BlockHeader::len_of(first))?, self.limits.memory)?;
        self.feed.skip(header.len);
        let running = self.check.start();
        self.phase = Phase::Body(Box::new(Body { header, decoder, running, consumed: 0, written: 0 }));
        Ok(())
    }

    fn body(&mut self, mut body: Box<Body>) -> Result<Phase> {
        let src = self.feed.want(1)?;
        let step = body.decoder.step(src, &mut self.buf)?;
        self.feed.skip(step.consumed);
        self.piece = step.written;
        body.running.update(&self.buf[..step.written]);
        body.consumed += step.consumed as u64;
        body.written += step.written as u64;
        self.checked &= step.written == 0 || self.check.is_known();
        if !step.ended {
            if step.consumed == 0 && step.written == 0 {
                return Err(Error::Truncated);
            }
            return Ok(Phase::Body(body));
        }
        self.end_block(&body)?;
        Ok(Phase::BlockOrIndex)
    }

    fn end_block(&mut self, body: &Body) -> Result<()> {
        if body.header.compressed.is_some_and(|n| n != body.consumed)
            || body.header.uncompressed.is_some_and(|n| n != body.written)
        {
            return Err(Error::corrupt("xz: block does not have the size it announced"));
        }
        let padding = (body.consumed.next_multiple_of(4) - body.consumed) as usize;
        let stored = self.feed.need(padding + self.check.len())?;
        if stored[..padding].iter().any(|b| *b != 0) || !body.running.matches(&stored[padding..]) {
            return Err(Error::corrupt("xz: check of a block does not match"));
        }
        self.feed.skip(padding + self.check.len());
        self.seen.push(body.header.len as u64 + body.consumed + self.check.len() as u64, body.written);
        Ok(())
    }

    fn index(&mut self) -> Result<()> {
        let mut index = IndexReader { feed: &mut self.feed, crc: Crc32::new(), len: 0 };
        index.byte()?;
        let count = index.number()?;
        let mut records = Seen::default();
        for _ in 0..count {
            let unpadded = index.number()?;
            let len = index.number()?;
            records.push(unpadded, len);
        }
        while !index.len.is_multiple_of(4) {
            if index.byte()? != 0 {
                return Err(Error::corrupt("xz: something after the index"));
            }
        }
        let (crc, len) = (index.crc.value(), index.len + 4);
        if u32::from_le_bytes(self.feed.take()?) != crc {
            return Err(Error::corrupt("xz: index's checksum does not match"));
        }
        let same = records.count == self.seen.count && records.records.value() == self.seen.records.value();
        if !same && !self.seen.incomplete {
            return Err(Error::corrupt("xz: index does not fit the blocks"));
        }
        if parse_stream_footer(&self.feed.take()?)? != (self.check, len) {
            return Err(Error::corrupt("xz: stream footer does not fit the stream"));
        }
        Ok(())
    }
}

struct IndexReader<'a> {
    feed: &'a mut Feed,
    crc: Crc32,
    len: u64,
}

impl IndexReader<'_> {
    fn byte(&mut self) -> Result<u8> {
        let byte = self.feed.take::<1>()?;
        self.crc.update(&byte);
        self.len += 1;
        Ok(byte[0])
    }

    fn number(&mut self) -> Result<u64> {
        let mut bytes = [0; 9];
        for slot in &mut bytes {
            *slot = self.byte()?;
            if *slot & 0x80 == 0 {
                break;
            }
        }
        Ok(crate::xz::parse_number(&bytes)?.0)
    }
}

impl Stage for Xz {
    fn advance(&mut self) -> Result<bool> {
        self.piece = 0;
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::StreamHeader { first } => return self.stream_header(first),
            Phase::BlockOrIndex => self.block_or_index()?,
            Phase::Body(body) => self.phase = self.body(body)?,
            Phase::Done => return Ok(false),
        }
        Ok(true)
    }

    fn piece(&self) -> &[u8] {
        &self.buf[..self.piece]
    }

    fn at_restart(&self) -> bool {
        matches!(self.phase, Phase::BlockOrIndex)
    }

    fn restart(&self) -> Option<Checkpoint> {
        Some(Checkpoint {
            in_offset: self.feed.offset(),
            in_bits: 0,
            out_offset: 0,
            window: Window::default(),
            extra: vec![self.check.0],
        })
    }

    fn in_offset(&self) -> u64 {
        self.feed.offset()
    }

    fn is_checked(&self) -> bool {
        self.checked
    }
}
