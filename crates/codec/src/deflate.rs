//! Deflate of whole buffers, for formats that compress independent chunks: E01, qcow2, VMDK, DMG, BGZF.
//!
//! [`Compressor`] and [`Decompressor`] are kept one per worker and used again and again. Which engine stands behind a
//! [`Level`] is decided in `Engine::new` alone.

mod ffi;
mod quick;
#[cfg(test)]
mod tests;

use crate::checksum::Adler32;
use crate::error::{Error, Result};
pub use crate::inflate::Padding;
use crate::inflate::{Complement, Inflater, Rules, Stop};

/// How much work goes into making data small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The fastest that is worth doing: an encoder of our own, 1.7 to 1.9 times as fast as libdeflate's level 1, whose results are two to
    /// three per cent larger.
    Fast,
    /// Smaller than what zlib's level 9 makes of disks. The encoder's own levels above this one take two to three times as long for one
    /// part in a thousand.
    Best,
    /// One of libdeflate's levels, 1 to 12; made by [`Level::number`].
    Number(Number),
}

/// How far back a stream refers at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// 32 KiB, which every deflate decoder has to have.
    Full,
    /// 4 KiB: all that readers of qcow2 need to keep. Encoded by an encoder of our own at every level.
    Near,
}

/// A level from 1 to 12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(u8);

impl Level {
    /// The level with this number; `None` outside 1 to 12.
    pub const fn number(number: u8) -> Option<Self> {
        match number {
            1..=12 => Some(Self::Number(Number(number))),
            _ => None,
        }
    }
}

enum Engine {
    Quick(Box<quick::Encoder>),
    Libdeflate(ffi::Encoder),
}

impl Engine {
    fn new(level: Level, window: Window) -> Self {
        if window == Window::Near {
            let effort = match level {
                Level::Fast => quick::Effort::of(1),
                Level::Best => quick::Effort::of(9),
                Level::Number(Number(number)) => quick::Effort::of(number),
            };
            return Self::Quick(Box::new(quick::Encoder::near(effort)));
        }
        match level {
            Level::Fast => Self::Quick(Box::new(quick::Encoder::new())),
            Level::Best => Self::Libdeflate(ffi::Encoder::new(7)),
            Level::Number(Number(number)) => Self::Libdeflate(ffi::Encoder::new(number.into())),
        }
    }

    /// Appends at most `max_len` bytes, or nothing at all.
    fn encode(&mut self, wrap: Wrap, plain: &[u8], max_len: usize, out: &mut Vec<u8>) -> Option<usize> {
        match self {
            Self::Quick(encoder) => encoder.encode(wrap, plain, max_len, out),
            Self::Libdeflate(encoder) => encoder.encode(wrap, plain, max_len, out),
        }
    }
}

/// The wrapping around deflate's blocks.
#[derive(Clone, Copy)]
pub(crate) enum Wrap {
    Raw,
    Zlib,
}

/// A reusable encoder. Output is appended to `out`; it depends on the plain bytes alone, not on what was compressed before.
pub struct Compressor(Engine);

impl Compressor {
    /// An encoder of this level; costs up to some megabytes of memory.
    pub fn new(level: Level) -> Self {
        Self::within(level, Window::Full)
    }

    /// An encoder of this level whose streams refer back as far as `window` says.
    pub fn within(level: Level, window: Window) -> Self {
        Self(Engine::new(level, window))
    }

    /// Appends `plain` as a zlib stream (RFC 1950); returns its length.
    pub fn zlib(&mut self, plain: &[u8], out: &mut Vec<u8>) -> usize {
        self.unbounded(Wrap::Zlib, plain, out)
    }

    /// Appends `plain` as bare deflate blocks (RFC 1951); returns their length.
    pub fn raw(&mut self, plain: &[u8], out: &mut Vec<u8>) -> usize {
        self.unbounded(Wrap::Raw, plain, out)
    }

    /// Like [`zlib`](Self::zlib), but gives up, leaving `out` as it was, when the result would be longer than `max_len`.
    ///
    /// Giving up is cheaper than finishing.
    pub fn zlib_bounded(&mut self, plain: &[u8], max_len: usize, out: &mut Vec<u8>) -> Option<usize> {
        self.0.encode(Wrap::Zlib, plain, max_len, out)
    }

    /// Like [`raw`](Self::raw), but gives up, leaving `out` as it was, when the result would be longer than `max_len`.
    pub fn raw_bounded(&mut self, plain: &[u8], max_len: usize, out: &mut Vec<u8>) -> Option<usize> {
        self.0.encode(Wrap::Raw, plain, max_len, out)
    }

    fn unbounded(&mut self, wrap: Wrap, plain: &[u8], out: &mut Vec<u8>) -> usize {
        self.0.encode(wrap, plain, usize::MAX, out).expect("nothing is too long for no bound")
    }
}

/// How far a buffer was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the compressed buffer that belong to the stream, its trailer included.
    pub consumed: usize,
    /// Bytes written to the start of the output.
    pub written: usize,
}

/// A reusable decoder.
pub struct Decompressor(Decoding);

enum Decoding {
    Fast(ffi::Decoder),
    Exact(Box<Inflater>),
}

impl Default for Decompressor {
    fn default() -> Self {
        Self::new()
    }
}

impl Decompressor {
    /// A decoder that gets the bytes, as fast as can be: libdeflate. It takes either value for the one bit of a code that has no
    /// other, where zlib takes one only, and does not look at bits that only fill up a byte.
    pub fn new() -> Self {
        Self(Decoding::Fast(ffi::Decoder::new()))
    }

    /// A decoder that proves a stream: what zlib refuses it refuses, and bits that only fill up a byte have to be zero. Takes about
    /// one and a half times as long.
    pub fn exact() -> Self {
        Self(Decoding::Exact(Box::new(Inflater::new(Rules { padding: Padding::Zero, ..Rules::STRICT }))))
    }

    /// Whether it is [`exact`](Self::exact).
    pub fn is_exact(&self) -> bool {
        matches!(self.0, Decoding::Exact(_))
    }

    fn decode(&mut self, wrap: Wrap, src: &[u8], dst: &mut [u8]) -> Result<Progress> {
        match (&mut self.0, wrap) {
            (Decoding::Fast(decoder), wrap) => decoder.decode(wrap, src, dst),
            (Decoding::Exact(inflater), Wrap::Raw) => inflate(inflater, src, dst),
            (Decoding::Exact(inflater), Wrap::Zlib) => {
                let decoded = zlib(inflater, src, dst)?;
                match decoded.checksum_matches {
                    true => Ok(decoded.progress),
                    false => Err(Error::corrupt("deflate: broken stream or wrong checksum")),
                }
            }
        }
    }

    /// Decodes the zlib stream at the start of `src` and checks its Adler-32.
    ///
    /// The output may be shorter than `dst`; [`Error::TooLarge`] when it is longer. What follows the stream is left alone.
    pub fn zlib(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Progress> {
        self.decode(Wrap::Zlib, src, dst)
    }

    /// Decodes the bare deflate blocks at the start of `src`; otherwise like [`zlib`](Self::zlib).
    pub fn raw(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Progress> {
        self.decode(Wrap::Raw, src, dst)
    }
}

/// The result of [`zlib_lenient`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lenient {
    /// How far it got.
    pub progress: Progress,
    /// Whether the stream's Adler-32 matches the output.
    pub checksum_matches: bool,
}

/// Decodes a zlib stream whose stored blocks carry wrong length complements, as Tableau TD3 firmware wrote them.
///
/// Meant for data the other decoders refused. A missing or wrong Adler-32 is reported, not an error.
pub fn zlib_lenient(src: &[u8], dst: &mut [u8], padding: Padding) -> Result<Lenient> {
    zlib(&mut Inflater::new(Rules { complement: Complement::Any, padding }), src, dst)
}

fn zlib(inflater: &mut Inflater, src: &[u8], dst: &mut [u8]) -> Result<Lenient> {
    let body = zlib_body(src)?;
    let Progress { consumed, written } = inflate(inflater, body, dst)?;
    let stored: Option<&[u8; 4]> = body[consumed..].first_chunk();
    let mut adler = Adler32::new();
    adler.update(&dst[..written]);
    Ok(Lenient {
        progress: Progress { consumed: src.len() - body.len() + consumed + stored.map_or(0, |s| s.len()), written },
        checksum_matches: stored.is_some_and(|s| u32::from_be_bytes(*s) == adler.value()),
    })
}

fn inflate(inflater: &mut Inflater, src: &[u8], dst: &mut [u8]) -> Result<Progress> {
    inflater.restart(0, 0);
    let (mut consumed, mut written) = (0, 0);
    loop {
        let run = inflater.run(&src[consumed..], dst, written, 0)?;
        consumed += run.consumed;
        written = run.out;
        match run.stop {
            Stop::BlockEnd => {}
            Stop::End => return Ok(Progress { consumed, written }),
            Stop::Input => return Err(Error::Truncated),
            Stop::Output => return Err(Error::too_large("the output does not fit its buffer")),
        }
    }
}

/// What follows a zlib header.
pub(crate) fn zlib_body(src: &[u8]) -> Result<&[u8]> {
    let [cmf, flags, body @ ..] = src else { return Err(Error::Truncated) };
    if cmf & 0x0f != 8 || cmf >> 4 > 7 || !u16::from_be_bytes([*cmf, *flags]).is_multiple_of(31) {
        return Err(Error::corrupt("zlib: not a header"));
    }
    if flags & 0x20 != 0 {
        return Err(Error::unsupported("zlib: a stream with a preset dictionary"));
    }
    Ok(body)
}
