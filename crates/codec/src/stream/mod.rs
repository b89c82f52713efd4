//! Compressed streams decoded front to back, with places to take the decoding up again.
//!
//! ```text
//!   Input  ->  open / resume  ->  Decoder.read ... read -> 0      (0: the whole container ended and verified)
//!                                    |
//!                                 checkpoint  ->  Checkpoint      (kept by the caller; resume starts there)
//! ```
//!
//! A [`Decoder`] goes through all members, frames or streams of a container and verifies every checksum on the way. Where decoding may
//! be taken up again depends on the format:
//!
//! | kind | places | verified after a resume |
//! |---|---|---|
//! | gzip, zlib, deflate | after every deflate block | everything (the running checksum is kept) |
//! | xz | start of every block; inside blocks of LZMA2 alone after every chunk, where the window is not too much | everything (the running check is kept) |
//! | zstd | after every block, where the window is not too much for a [`Window`] | everything (the running checksum is kept) |
//! | bzip2 | start of every stream | everything |
//! | lz4 | after every block | block checksums; not the content checksum of the frame resumed in |
//! | lzop | start of every block | everything |
//! | lzma | anywhere, where the window is not too much | there is nothing to verify |

mod bzip2;
mod deflated;
mod feed;
mod lz4;
mod lzma;
mod lzop;
mod probe;
#[cfg(test)]
mod tests;
mod window;
mod xz;
mod zstd;

use crate::error::{Error, Result};
pub(crate) use feed::Feed;
pub use probe::{Certainty, probe};
use std::io;
pub use window::Window;

/// Compressed bytes by position.
pub trait Input: Send {
    /// Reads bytes at `offset` into the start of `buf` and returns how many; fewer than asked is allowed, 0 means the end.
    fn read_at(&mut self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// Bytes in memory as an [`Input`].
pub struct Memory<T>(pub T);

impl<T: AsRef<[u8]> + Send> Input for Memory<T> {
    fn read_at(&mut self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.as_ref();
        let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

#[cfg(unix)]
impl Input for std::fs::File {
    fn read_at(&mut self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buf, offset)
    }
}

impl<I: Input + ?Sized> Input for Box<I> {
    fn read_at(&mut self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buf, offset)
    }
}

/// What a stream is compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// gzip members (RFC 1952), BGZF included.
    Gzip,
    /// One zlib stream (RFC 1950).
    Zlib,
    /// Bare deflate blocks (RFC 1951).
    Deflate,
    /// .xz streams.
    Xz,
    /// One .lzma ("lzma alone") stream.
    Lzma,
    /// zstd frames (RFC 8878) and skippable frames.
    Zstd,
    /// bzip2 streams.
    Bzip2,
    /// LZ4 frames, legacy frames and skippable frames.
    Lz4,
    /// lzop files.
    Lzop,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] =
        [Self::Gzip, Self::Zlib, Self::Deflate, Self::Xz, Self::Lzma, Self::Zstd, Self::Bzip2, Self::Lz4, Self::Lzop];

    /// Its lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
            Self::Deflate => "deflate",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
            Self::Lzop => "lzop",
        }
    }
}

/// What a decoder may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory for one window, dictionary or block; a stream that wants more is refused with [`Error::TooLarge`].
    ///
    /// xz and lzma take memory as output fills it: they are refused only where something refers back further than this.
    pub memory: u64,
}

impl Default for Limits {
    /// 128 MiB: enough for everything but `zstd --long=28` and up and `xz` with dictionaries of one's own choice.
    fn default() -> Self {
        Self { memory: 128 << 20 }
    }
}

/// A place where decoding can be taken up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The byte of the compressed input.
    pub in_offset: u64,
    /// How many of that byte's lowest bits belong to what came before; 0 to 7.
    pub in_bits: u8,
    /// How many bytes of output lie before this place.
    pub out_offset: u64,
    /// The output just before, as far as the format refers back to it.
    pub window: Window,
    /// What else the format needs, at most [`Checkpoint::MOST_EXTRA`] bytes; to be kept as it is.
    pub extra: Vec<u8>,
}

impl Checkpoint {
    /// No checkpoint has more bytes of `extra`.
    pub const MOST_EXTRA: usize = 32 << 10;
}

/// Pulls the decoded bytes of a stream.
pub trait Decoder: Send {
    /// Decodes the next bytes into `out` and returns how many; 0 means the whole container ended and all of it verified.
    ///
    /// After an error only [`Error::Trailing`] leaves the decoder usable; it then reports its end.
    fn read(&mut self, out: &mut [u8]) -> Result<usize>;

    /// The place just reached, if decoding can be taken up there.
    ///
    /// There is none where its window would be more than [`Window`] allows; the next few windows' worth of output have none then.
    fn checkpoint(&mut self) -> Option<Checkpoint>;

    /// Makes `read` come back early at the first such place at least `bytes` of output after the last checkpoint taken.
    ///
    /// Without it, hitting such a place is luck.
    fn set_spacing(&mut self, bytes: u64);

    /// How many bytes have been given out, counted from the start of the stream, also after a resume.
    fn out_offset(&self) -> u64;

    /// How far the compressed input has been used, roughly: decoders work ahead.
    fn in_offset(&self) -> u64;

    /// Whether a checksum of the container covers every byte given out by this decoder.
    ///
    /// The checksum may follow those bytes: once `read` has returned 0 it was verified.
    fn is_checked(&self) -> bool;
}

/// Opens a stream at its start.
pub fn open(kind: Kind, input: Box<dyn Input>, limits: Limits) -> Result<Box<dyn Decoder>> {
    let feed = Feed::new(input, 0);
    Ok(match kind {
        Kind::Gzip => Stream::boxed(deflated::Deflated::new(feed, deflated::Wrap::Gzip), 0),
        Kind::Zlib => Stream::boxed(deflated::Deflated::new(feed, deflated::Wrap::Zlib), 0),
        Kind::Deflate => Stream::boxed(deflated::Deflated::new(feed, deflated::Wrap::Raw), 0),
        Kind::Xz => Stream::boxed(xz::Xz::new(feed, limits), 0),
        Kind::Lzma => Stream::boxed(lzma::Lzma::new(feed, limits), 0),
        Kind::Zstd => Stream::boxed(zstd::Zstd::new(feed, limits), 0),
        Kind::Bzip2 => Stream::boxed(bzip2::Bzip2::new(feed), 0),
        Kind::Lz4 => Stream::boxed(lz4::Lz4::new(feed, limits), 0),
        Kind::Lzop => Stream::boxed(lzop::Lzop::new(feed, limits), 0),
    })
}

/// Opens a stream at a checkpoint an earlier decoder of the same kind and input gave.
///
/// [`Error::Corrupt`] when the checkpoint cannot be one of this kind; one of another input is not recognised.
pub fn resume(kind: Kind, input: Box<dyn Input>, limits: Limits, from: &Checkpoint) -> Result<Box<dyn Decoder>> {
    if from.in_offset == 0 && from.in_bits == 0 && from.out_offset == 0 {
        return open(kind, input, limits);
    }
    let feed = Feed::new(input, from.in_offset);
    let out = from.out_offset;
    Ok(match kind {
        Kind::Gzip => Stream::boxed(deflated::Deflated::resume(feed, deflated::Wrap::Gzip, from)?, out),
        Kind::Zlib => Stream::boxed(deflated::Deflated::resume(feed, deflated::Wrap::Zlib, from)?, out),
        Kind::Deflate => Stream::boxed(deflated::Deflated::resume(feed, deflated::Wrap::Raw, from)?, out),
        Kind::Xz => Stream::boxed(xz::Xz::resume(feed, limits, from)?, out),
        Kind::Lzma => Stream::boxed(lzma::Lzma::resume(feed, limits, from)?, out),
        Kind::Zstd => Stream::boxed(zstd::Zstd::resume(feed, limits, from)?, out),
        Kind::Bzip2 => Stream::boxed(bzip2::Bzip2::resume(feed), out),
        Kind::Lz4 => Stream::boxed(lz4::Lz4::resume(feed, limits, from)?, out),
        Kind::Lzop => Stream::boxed(lzop::Lzop::resume(feed, limits, from)?, out),
    })
}

fn bad_checkpoint() -> Error {
    Error::corrupt("not a checkpoint of this kind of stream")
}

/// The format's half of a decoder: decodes piece after piece.
trait Stage: Send {
    /// Decodes the next piece, which may be empty; false at the end of the container.
    ///
    /// Every call uses up input, makes output or changes phase, so that a loop of calls ends.
    fn advance(&mut self) -> Result<bool>;

    /// The piece last decoded.
    fn piece(&self) -> &[u8];

    /// Whether decoding can be taken up after the piece.
    fn at_restart(&self) -> bool;

    /// The place after the piece, without its `out_offset`; only asked where [`at_restart`](Self::at_restart) holds.
    ///
    /// `None` if the history is more than a [`Window`] may be.
    fn restart(&self) -> Option<Checkpoint>;

    /// Where in the input it is.
    fn in_offset(&self) -> u64;

    /// Whether a checksum covers every byte of all pieces so far.
    fn is_checked(&self) -> bool;
}

/// The common half: hands pieces out and keeps count.
struct Stream<S> {
    stage: S,
    taken: usize,
    out_offset: u64,
    last_checkpoint: u64,
    spacing: u64,
    /// Trying to make a checkpoint is not worth its while before this.
    refused_until: u64,
    state: Flow,
}

/// Output that goes by before a checkpoint is tried again whose window was too much.
const AFTER_REFUSAL: u64 = 8 * Window::LARGEST as u64;

enum Flow {
    Going,
    /// Fails at the next read, because this one still had bytes to deliver.
    Failing(Error),
    Failed,
    Ended,
}

impl<S: Stage + 'static> Stream<S> {
    fn boxed(stage: S, out_offset: u64) -> Box<dyn Decoder> {
        let taken = stage.piece().len();
        Box::new(Self {
            stage,
            taken,
            out_offset,
            last_checkpoint: out_offset,
            spacing: u64::MAX,
            refused_until: 0,
            state: Flow::Going,
        })
    }

    fn at_place(&self) -> bool {
        matches!(self.state, Flow::Going) && self.taken == self.stage.piece().len() && self.stage.at_restart()
    }

    fn fail(&mut self, error: Error) -> Error {
        self.state = if matches!(error, Error::Trailing { .. }) { Flow::Ended } else { Flow::Failed };
        error
    }
}

impl<S: Stage + 'static> Decoder for Stream<S> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        match std::mem::replace(&mut self.state, Flow::Going) {
            Flow::Going => {}
            Flow::Failing(error) => return Err(self.fail(error)),
            Flow::Failed => {
                self.state = Flow::Failed;
                return Err(Error::corrupt("this stream has failed before"));
            }
            Flow::Ended => {
                self.state = Flow::Ended;
                return Ok(0);
            }
        }
        let mut filled = 0;
        while filled < out.len() {
            let rest = &self.stage.piece()[self.taken..];
            let n = rest.len().min(out.len() - filled);
            out[filled..filled + n].copy_from_slice(&rest[..n]);
            self.taken += n;
            filled += n;
            // A hostile checkpoint may start anywhere.
            self.out_offset = self.out_offset.saturating_add(n as u64);
            if filled == out.len() {
                break;
            }
            if filled > 0 && self.out_offset - self.last_checkpoint >= self.spacing && self.at_place() {
                break;
            }
            match self.stage.advance() {
                Ok(true) => self.taken = 0,
                Ok(false) => {
                    self.state = Flow::Ended;
                    break;
                }
                Err(error) if filled == 0 => return Err(self.fail(error)),
                Err(error) => {
                    self.state = Flow::Failing(error);
                    break;
                }
            }
        }
        Ok(filled)
    }

    fn checkpoint(&mut self) -> Option<Checkpoint> {
        if !self.at_place() || self.out_offset < self.refused_until {
            return None;
        }
        self.last_checkpoint = self.out_offset;
        let place = self.stage.restart();
        if place.is_none() {
            self.refused_until = self.out_offset.saturating_add(AFTER_REFUSAL);
        }
        Some(Checkpoint { out_offset: self.out_offset, ..place? })
    }

    fn set_spacing(&mut self, bytes: u64) {
        self.spacing = bytes;
    }

    fn out_offset(&self) -> u64 {
        self.out_offset
    }

    fn in_offset(&self) -> u64 {
        self.stage.in_offset()
    }

    fn is_checked(&self) -> bool {
        self.stage.is_checked()
    }
}
