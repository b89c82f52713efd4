//! .xz streams.

#[cfg(test)]
mod tests;

use super::{Checkpoint, Feed, Limits, Stage, Window, bad_checkpoint};
use crate::checksum::{Crc32, Crc64};
use crate::error::{Error, Result};
use crate::lzma::Lzma2;
use crate::xz::{BlockDecoder, BlockHeader, Check, HEADER_MAGIC, Running, parse_stream_footer, parse_stream_header};

enum Phase {
    StreamHeader {
        first: bool,
    },
    BlockOrIndex,
    Body(Box<Body>),
    /// It has ended; its last piece is still needed.
    BlockEnd(Box<Body>),
    Done,
}

struct Body {
    /// Of the block's header: its length, and what it announces.
    header_len: u64,
    compressed: Option<u64>,
    uncompressed: Option<u64>,
    dictionary: u32,
    decoder: BlockDecoder,
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
        self.count = self.count.wrapping_add(1);
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
    piece: usize,
}

/// Bytes decoded at a time: they stay in the processor's cache until they are checked and copied.
const PIECE: usize = 64 << 10;

impl Xz {
    pub(super) fn new(feed: Feed, limits: Limits) -> Self {
        Self {
            feed,
            limits,
            phase: Phase::StreamHeader { first: true },
            check: Check(0),
            seen: Seen::default(),
            checked: true,
            piece: 0,
        }
    }

    pub(super) fn resume(feed: Feed, limits: Limits, from: &Checkpoint) -> Result<Self> {
        let mut stage = Self::new(feed, limits);
        let mut rest = Rest(&from.extra);
        let [check @ 0..=15] = rest.array()? else { return Err(bad_checkpoint()) };
        stage.check = Check(check);
        stage.phase = Phase::BlockOrIndex;
        stage.seen.incomplete = true;
        if from.in_bits != 0 {
            return Err(bad_checkpoint());
        }
        if !rest.0.is_empty() {
            let [incomplete] = rest.array()?;
            let (count, records) = (rest.u64()?, Crc64::resume(rest.u64()?));
            stage.seen = Seen { count, records, incomplete: incomplete != 0 };
        }
        if !rest.0.is_empty() {
            stage.phase = Phase::Body(Box::new(Body::unpack(rest, &from.window, stage.check, limits)?));
        }
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
        let header = BlockHeader::parse(self.feed.need(BlockHeader::len_of(first))?)?;
        self.feed.skip(header.len);
        self.phase = Phase::Body(Box::new(Body {
            header_len: header.len as u64,
            compressed: header.compressed,
            uncompressed: header.uncompressed,
            dictionary: header.dictionary,
            decoder: BlockDecoder::new(&header, u64::MAX, self.limits.memory)?,
            running: self.check.start(),
            consumed: 0,
            written: 0,
        }));
        Ok(())
    }

    /// True when the block ended.
    fn body(&mut self, body: &mut Body) -> Result<bool> {
        let step = body.decoder.step(self.feed.want(BlockDecoder::ENOUGH_INPUT)?, PIECE)?;
        self.feed.skip(step.consumed);
        body.running.update(body.decoder.tail(step.written));
        // A hostile checkpoint may have started them anywhere.
        body.consumed = body.consumed.saturating_add(step.consumed as u64);
        body.written = body.written.saturating_add(step.written as u64);
        if body.compressed.is_some_and(|n| n < body.consumed) || body.uncompressed.is_some_and(|n| n < body.written) {
            return Err(wrong_size());
        }
        self.piece = step.written;
        self.checked &= step.written == 0 || self.check.is_known();
        if !step.ended && step.consumed == 0 && step.written == 0 {
            return Err(Error::Truncated);
        }
        if step.ended {
            self.end_block(body)?;
        }
        Ok(step.ended)
    }

    fn end_block(&mut self, body: &Body) -> Result<()> {
        if body.compressed.is_some_and(|n| n != body.consumed) || body.uncompressed.is_some_and(|n| n != body.written) {
            return Err(wrong_size());
        }
        let padding = (body.consumed.wrapping_neg() & 3) as usize;
        let stored = self.feed.need(padding + self.check.len())?;
        if stored[..padding].iter().any(|b| *b != 0) || !body.running.matches(&stored[padding..]) {
            return Err(Error::corrupt("xz: check of a block does not match"));
        }
        self.feed.skip(padding + self.check.len());
        let unpadded = body.consumed.saturating_add(body.header_len).saturating_add(self.check.len() as u64);
        self.seen.push(unpadded, body.written);
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

fn wrong_size() -> Error {
    Error::corrupt("xz: block does not have the size it announced")
}

impl Body {
    /// Packs what it depends on, but for the history; `None` if it cannot be taken up here.
    fn pack(&self, out: &mut Vec<u8>) -> Option<Window> {
        let BlockDecoder::Plain(lzma2) = &self.decoder else { return None };
        let sizes = [self.compressed.unwrap_or(u64::MAX), self.uncompressed.unwrap_or(u64::MAX)];
        for number in [self.header_len].into_iter().chain(sizes).chain([self.consumed, self.written]) {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.dictionary.to_le_bytes());
        let at = out.len();
        self.running.pack(out);
        out.insert(at, (out.len() - at) as u8);
        lzma2.pack(out)
    }

    fn unpack(mut rest: Rest<'_>, history: &Window, check: Check, limits: Limits) -> Result<Self> {
        let size = |number| (number != u64::MAX).then_some(number);
        let (header_len, compressed, uncompressed) = (rest.u64()?, size(rest.u64()?), size(rest.u64()?));
        let (consumed, written) = (rest.u64()?, rest.u64()?);
        let dictionary = u32::from_le_bytes(rest.array()?);
        let [len] = rest.array()?;
        let (running, state) = rest.0.split_at_checked(len.into()).ok_or_else(bad_checkpoint)?;
        let running = check.resume(running, written).ok_or_else(bad_checkpoint)?;
        let most = u64::from(dictionary).min(uncompressed.unwrap_or(u64::MAX));
        let decoder = BlockDecoder::Plain(Lzma2::unpack(state, history, most, limits.memory)?);
        Ok(Self { header_len, compressed, uncompressed, dictionary, decoder, running, consumed, written })
    }
}

/// What is left of a checkpoint's own bytes.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or_else(bad_checkpoint)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
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
            Phase::Body(mut body) => {
                let ended = self.body(&mut body)?;
                self.phase = if ended { Phase::BlockEnd(body) } else { Phase::Body(body) };
            }
            Phase::BlockEnd(_) => self.phase = Phase::BlockOrIndex,
            Phase::Done => return Ok(false),
        }
        Ok(true)
    }

    fn piece(&self) -> &[u8] {
        match &self.phase {
            Phase::Body(body) | Phase::BlockEnd(body) => body.decoder.tail(self.piece),
            _ => &[],
        }
    }

    fn at_restart(&self) -> bool {
        match &self.phase {
            Phase::BlockOrIndex => true,
            Phase::Body(body) => match &body.decoder {
                BlockDecoder::Plain(lzma2) => lzma2.is_between_chunks(),
                BlockDecoder::Filtered(_) => false,
            },
            _ => false,
        }
    }

    fn restart(&self) -> Option<Checkpoint> {
        let mut extra = vec![self.check.0, self.seen.incomplete.into()];
        extra.extend(self.seen.count.to_le_bytes());
        extra.extend(self.seen.records.value().to_le_bytes());
        let window = match &self.phase {
            Phase::Body(body) => body.pack(&mut extra)?,
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
