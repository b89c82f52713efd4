//! gzip, zlib and bare deflate.

use super::{Checkpoint, Feed, Stage, Window, bad_checkpoint};
use crate::checksum::{Adler32, Crc32};
use crate::deflate::zlib_body;
use crate::error::{Error, Result};
use crate::gzip;
use crate::inflate::{ENOUGH_INPUT, Inflater, Rules, Stop, WINDOW};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrap {
    Gzip,
    Zlib,
    Raw,
}

enum Check {
    Crc32(Crc32),
    Adler32(Adler32),
    None,
}

impl Check {
    fn new(wrap: Wrap) -> Self {
        match wrap {
            Wrap::Gzip => Self::Crc32(Crc32::new()),
            Wrap::Zlib => Self::Adler32(Adler32::new()),
            Wrap::Raw => Self::None,
        }
    }

    fn resume(wrap: Wrap, value: u32) -> Self {
        match wrap {
            Wrap::Gzip => Self::Crc32(Crc32::resume(value)),
            Wrap::Zlib => Self::Adler32(Adler32::resume(value)),
            Wrap::Raw => Self::None,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(crc) => crc.update(bytes),
            Self::Adler32(adler) => adler.update(bytes),
            Self::None => {}
        }
    }

    fn value(&self) -> u32 {
        match self {
            Self::Crc32(crc) => crc.value(),
            Self::Adler32(adler) => adler.value(),
            Self::None => 0,
        }
    }
}

enum Phase {
    Header { first: bool },
    Body,
    Trailer,
}

pub(super) struct Deflated {
    feed: Feed,
    wrap: Wrap,
    inflater: Inflater,
    phase: Phase,
    /// History, then the piece; `floor` is where the member's history starts.
    buf: Box<[u8]>,
    floor: usize,
    piece_start: usize,
    piece_end: usize,
    check: Check,
    member_len: u64,
    at_block: bool,
}

const BUFFER: usize = WINDOW + 128 * 1024;
/// Less room than this is not worth a run.
const LEAST_ROOM: usize = 16 * 1024;

impl Deflated {
    pub(super) fn new(feed: Feed, wrap: Wrap) -> Self {
        Self {
            feed,
            wrap,
            inflater: Inflater::new(Rules::STRICT),
            phase: Phase::Header { first: true },
            buf: vec![0; BUFFER].into(),
            floor: 0,
            piece_start: 0,
            piece_end: 0,
            check: Check::new(wrap),
            member_len: 0,
            at_block: false,
        }
    }

    pub(super) fn resume(feed: Feed, wrap: Wrap, from: &Checkpoint) -> Result<Self> {
        let mut stage = Self::new(feed, wrap);
        let (Some(check), Some(len)) = (from.extra.first_chunk(), from.extra.get(4..).and_then(<[u8]>::first_chunk))
        else {
            return Err(bad_checkpoint());
        };
        if from.window.len() > WINDOW || from.in_bits > 7 || from.extra.len() != 12 {
            return Err(bad_checkpoint());
        }
        stage.check = Check::resume(wrap, u32::from_le_bytes(*check));
        stage.member_len = u64::from_le_bytes(*len);
        from.window.unpack(&mut stage.buf[..from.window.len()])?;
        stage.piece_start = from.window.len();
        stage.piece_end = from.window.len();
        if from.in_bits > 0 {
            let [byte] = stage.feed.take()?;
            stage.inflater.restart(byte, from.in_bits.into());
        }
        stage.phase = Phase::Body;
        stage.at_block = true;
        Ok(stage)
    }

    /// False when the container ended before another member.
    fn header(&mut self, first: bool) -> Result<bool> {
        match self.wrap {
            Wrap::Gzip => {
                if !first {
                    if self.feed.want(1)?.is_empty() || (self.feed.at_hand()[0] == 0 && self.feed.skip_zeros()?) {
                        return Ok(false);
                    }
                    if !self.feed.want(2)?.starts_with(&[0x1f, 0x8b]) {
                        return Err(self.feed.trailing());
                    }
                }
                let mut header = gzip::parse_header(self.feed.want(ENOUGH_INPUT)?);
                if matches!(header, Err(Error::Truncated)) && !self.feed.ended() {
                    header = gzip::parse_header(self.feed.want(Feed::CAPACITY)?);
                    if matches!(header, Err(Error::Truncated)) && !self.feed.ended() {
                        return Err(Error::unsupported("gzip: endless header"));
                    }
                }
                self.feed.skip(header?.len);
            }
            Wrap::Zlib => {
                zlib_body(self.feed.want(2)?)?;
                self.feed.skip(2);
            }
            Wrap::Raw => {}
        }
        self.inflater.restart(0, 0);
        self.floor = self.piece_end;
        self.check = Check::new(self.wrap);
        self.member_len = 0;
        self.at_block = true;
        self.phase = Phase::Body;
        Ok(true)
    }

    fn body(&mut self) -> Result<()> {
        if self.buf.len() - self.piece_end < LEAST_ROOM {
            let kept = self.piece_end - WINDOW;
            self.buf.copy_within(kept..self.piece_end, 0);
            self.piece_end = WINDOW;
            self.floor = self.floor.saturating_sub(kept);
        }
        self.piece_start = self.piece_end;
        let src = self.feed.want(ENOUGH_INPUT)?;
        let run = self.inflater.run(src, &mut self.buf, self.piece_end, self.floor)?;
        self.feed.skip(run.consumed);
        self.piece_end = run.out;
        self.check.update(&self.buf[self.piece_start..run.out]);
        // Only its lower half counts in the end, and a checkpoint may have started it anywhere.
        self.member_len = self.member_len.wrapping_add((run.out - self.piece_start) as u64);
        self.at_block = run.stop == Stop::BlockEnd;
        match run.stop {
            Stop::End => self.phase = Phase::Trailer,
            Stop::Input if run.consumed == 0 && run.out == self.piece_start => return Err(Error::Truncated),
            _ => {}
        }
        Ok(())
    }

    fn trailer(&mut self) -> Result<bool> {
        match self.wrap {
            Wrap::Gzip => {
                let crc = u32::from_le_bytes(self.feed.take()?);
                let len = u32::from_le_bytes(self.feed.take()?);
                if crc != self.check.value() {
                    return Err(Error::corrupt("gzip: CRC-32 does not match"));
                }
                if len != self.member_len as u32 {
                    return Err(Error::corrupt("gzip: length does not match"));
                }
                self.phase = Phase::Header { first: false };
                return Ok(true);
            }
            Wrap::Zlib => {
                if u32::from_be_bytes(self.feed.take()?) != self.check.value() {
                    return Err(Error::corrupt("zlib: Adler-32 does not match"));
                }
            }
            Wrap::Raw => {}
        }
        if self.feed.want(1)?.is_empty() { Ok(false) } else { Err(self.feed.trailing()) }
    }
}

impl Stage for Deflated {
    fn advance(&mut self) -> Result<bool> {
        self.piece_start = self.piece_end;
        self.at_block = false;
        match self.phase {
            Phase::Header { first } => self.header(first),
            Phase::Body => self.body().map(|()| true),
            Phase::Trailer => self.trailer(),
        }
    }

    fn piece(&self) -> &[u8] {
        &self.buf[self.piece_start..self.piece_end]
    }

    fn at_restart(&self) -> bool {
        self.at_block
    }

    fn restart(&self) -> Option<Checkpoint> {
        let unused = self.inflater.unused_bits();
        let mut extra = self.check.value().to_le_bytes().to_vec();
        extra.extend_from_slice(&self.member_len.to_le_bytes());
        Some(Checkpoint {
            in_offset: self.feed.offset() - u64::from(unused > 0),
            in_bits: ((8 - unused) % 8) as u8,
            out_offset: 0,
            window: Window::pack(
                &self.buf[self.floor.max(self.piece_end.saturating_sub(WINDOW))..self.piece_end],
                &[],
            )?,
            extra,
        })
    }

    fn in_offset(&self) -> u64 {
        self.feed.offset()
    }

    fn is_checked(&self) -> bool {
        self.wrap != Wrap::Raw
    }
}
