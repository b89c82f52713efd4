//! The writing side: everything an image can be written to is a [`Sink`].

use crate::{Extent, Result, Source, State, States};
use std::sync::Arc;

/// How a sink wants to be fed.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Pieces begin at multiples of this many bytes, and are multiples of it but for the last. At most 64 MiB.
    pub chunk: u32,
    /// States it can carry. [`State::Unread`] reaches a sink that carries only [`State::Bad`] as that, and the other way
    /// round; [`State::Unused`] comes as [`State::Zero`]; what is left comes as [`State::Data`] with the fill in place.
    pub carries: States,
    /// The engine looks for zeros in units of this many bytes and marks them; 0: it does not look.
    pub zeros: u32,
    /// Digests it stores and must have in its [`Seal`], by name.
    pub digests: Vec<String>,
}

/// One run of bytes on its way to a sink.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Logical offset of its first byte.
    pub offset: u64,
    /// Bytes, at least 1.
    pub len: u64,
    /// What it is.
    pub body: PieceBody<'a>,
}

/// What a [`Piece`] is.
#[derive(Clone, Copy, Debug)]
pub enum PieceBody<'a> {
    /// Bytes.
    Bytes {
        /// The bytes themselves.
        plain: &'a [u8],
        /// What the sink's encoder made of them; empty for a sink without one.
        coded: &'a Coded,
        /// Ascending, absolute ranges inside the piece that are not [`State::Data`], [`State::Zero`] among them where
        /// [`Feed::zeros`] asked for that. What `plain` has there is the fill.
        marks: &'a [Extent],
    },
    /// Zeros all over, in this state; of any length.
    Run(State),
}

/// What an encoder made of one piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coded {
    /// The encoded chunks, one after the other.
    pub bytes: Vec<u8>,
    /// Length of each in `bytes`, and whatever the encoder wants to tell its sink about it.
    pub chunks: Vec<CodedChunk>,
}

impl Coded {
    /// Forgets what it held but keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.chunks.clear();
    }
}

/// One encoded chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodedChunk {
    /// Bytes in [`Coded::bytes`].
    pub len: u32,
    /// The format's own flag, such as "compressed".
    pub tag: u32,
}

/// The half of a sink that may run on any worker and out of order: compression, or writing in place where the target
/// is random access.
pub trait Encoder: Send {
    /// Encodes `plain`, which begins at `offset` and has `marks` as in [`PieceBody::Bytes`], and appends it to `out`. A piece may
    /// come in several calls, ascending and without gaps, each a multiple of [`Feed::chunk`] but for the last.
    fn encode(&mut self, plain: &[u8], offset: u64, marks: &[Extent], out: &mut Coded) -> Result<()>;
}

/// Takes an image piece by piece. Formats never spawn threads, hash, retry or print.
pub trait Sink: Send {
    /// How it wants to be fed; the same at every call.
    fn feed(&self) -> Feed;

    /// A new encoder, one per worker, or none if there is nothing to encode.
    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        None
    }

    /// Takes the next piece: ascending, without gaps.
    fn put(&mut self, piece: Piece<'_>) -> Result<()>;

    /// Makes everything put so far durable, as far as the format can go on from. `None` if it cannot be resumed.
    fn checkpoint(&mut self) -> Result<Option<Checkpoint>> {
        Ok(None)
    }

    /// A sink on a backing file that got nothing at all holds what that file holds: an empty overlay is made so.
    ///
    /// Writes what comes last, makes everything durable, and says what was written. The files keep the names the
    /// outlet gave them.
    fn finish(self: Box<Self>, seal: &Seal) -> Result<Written>;
}

/// How far a sink is safe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Everything before this offset is on the medium; a multiple of the chunk.
    pub offset: u64,
    /// What the sink needs to know, besides its files, to go on from here. Checkpoints are handed back all, in order,
    /// so each needs to say only what is new since the one before.
    pub state: Vec<u8>,
}

/// What a sink is sealed with.
#[derive(Clone, Debug, Default)]
pub struct Seal {
    /// Logical bytes.
    pub len: u64,
    /// Digest name and value over all logical bytes, fills included.
    pub digests: Vec<(String, Vec<u8>)>,
    /// Every lost range of the whole image, ascending.
    pub lost: Vec<Extent>,
}

impl Seal {
    /// The value of a digest.
    pub fn digest(&self, name: &str) -> Option<&[u8]> {
        self.digests.iter().find(|(n, _)| n == name).map(|(_, value)| &value[..])
    }
}

/// What a sink wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes that its files take.
    pub bytes: u64,
    /// Names of its files, the first one first.
    pub files: Vec<String>,
    /// Things the person should know.
    pub notes: Vec<String>,
}

/// A sink that goes on.
pub struct Resumed {
    /// The sink, positioned.
    pub sink: Box<dyn Sink>,
    /// It wants to be fed from here.
    pub offset: u64,
    /// What it holds already, at least `offset` bytes, to compute digests from.
    pub stored: Arc<dyn Source>,
}
