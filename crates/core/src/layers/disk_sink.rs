//! The sink made of a disk.

use crate::Written;
use crate::{
    Checkpoint, Coded, Disk, Encoder, Error, Extent, Feed, Piece, PieceBody, Result, Seal, Sink, State, States,
};
use std::sync::Arc;

/// Writes an image into a [`Disk`]: a drive, or a file that is already as long as the image.
///
/// Bytes are written by the workers, in place and out of order; `put` only zeros runs and keeps count.
pub struct DiskSink {
    disk: Arc<dyn Disk>,
    zeros: u32,
    unused: Unused,
    done: u64,
}

/// What becomes of runs that no file system uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// They become zeros.
    Zero,
    /// The disk keeps what it has there.
    Leave,
}

impl DiskSink {
    /// A sink that writes from the start of `disk` and looks for zeros in units of `zeros` bytes (0: not at all).
    pub fn new(disk: Arc<dyn Disk>, zeros: u32, unused: Unused) -> Self {
        DiskSink { disk, zeros, unused, done: 0 }
    }

    /// The same, going on from `offset`.
    pub fn from_offset(mut self, offset: u64) -> Self {
        self.done = offset;
        self
    }
}

struct InPlace {
    disk: Arc<dyn Disk>,
    unused: Unused,
}

impl InPlace {
    fn run(&self, run: Extent) -> Result<()> {
        match run.state {
            State::Unused if self.unused == Unused::Leave => Ok(()),
            _ => self.disk.zero(run.offset, run.len),
        }
    }
}

impl Encoder for InPlace {
    fn encode(&mut self, plain: &[u8], offset: u64, marks: &[Extent], _out: &mut Coded) -> Result<()> {
        let end = offset + plain.len() as u64;
        let slice = |from: u64, to: u64| &plain[(from - offset) as usize..(to - offset) as usize];
        let mut at = offset;
        for mark in marks.iter().filter(|m| m.state.reads_zero()) {
            if at < mark.offset {
                self.disk.write_at(slice(at, mark.offset), at)?;
            }
            self.run(*mark)?;
            at = mark.end();
        }
        if at < end {
            self.disk.write_at(slice(at, end), at)?;
        }
        Ok(())
    }
}

impl Sink for DiskSink {
    fn feed(&self) -> Feed {
        Feed {
            chunk: 4096,
            carries: States::of(&[State::Data, State::Zero, State::Unused]),
            zeros: self.zeros,
            digests: Vec::new(),
        }
    }

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        Some(Box::new(InPlace { disk: Arc::clone(&self.disk), unused: self.unused }))
    }

    fn put(&mut self, piece: Piece<'_>) -> Result<()> {
        if piece.offset != self.done {
            return Err(Error::usage("pieces out of order").at(piece.offset));
        }
        if let PieceBody::Run(state) = piece.body {
            InPlace { disk: Arc::clone(&self.disk), unused: self.unused }.run(Extent::new(
                piece.offset,
                piece.len,
                state,
            ))?;
        }
        self.done += piece.len;
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>> {
        self.disk.flush()?;
        Ok(Some(Checkpoint { offset: self.done, state: Vec::new() }))
    }

    fn finish(self: Box<Self>, seal: &Seal) -> Result<Written> {
        self.disk.flush()?;
        Ok(Written { bytes: seal.len, ..Written::default() })
    }
}
