//! The sink that writes blocks in place and leaves the tables to the format.

use super::Space;
use std::sync::Arc;
use tintype_core::{Encoder, Error, Feed, Piece, Result, Seal, Sink, State, States, Written};

/// Units in which zeros are looked for: the smallest hole that common file systems make.
const HOLE: u32 = 4096;

/// Writes what comes last: headers and tables. Everything else is in the space.
type Close = Box<dyn FnOnce(&Space, &Seal) -> Result<Written> + Send>;

/// Takes an image into the blocks of a [`Space`]. Zeros take no room.
pub(crate) struct BlockSink {
    space: Arc<Space>,
    done: u64,
    close: Close,
}

impl BlockSink {
    /// A sink into `space`. `close` writes headers and tables and sets the length of the file; it is made durable afterwards.
    pub(crate) fn boxed(
        space: Arc<Space>,
        close: impl FnOnce(&Space, &Seal) -> Result<Written> + Send + 'static,
    ) -> Box<dyn Sink> {
        Box::new(BlockSink { space, done: 0, close: Box::new(close) })
    }
}

impl Sink for BlockSink {
    fn feed(&self) -> Feed {
        Feed { chunk: HOLE, carries: States::of(&[State::Data, State::Zero]), zeros: HOLE, digests: Vec::new() }
    }

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        Some(self.space.encoder())
    }

    fn put(&mut self, piece: Piece<'_>) -> Result<()> {
        if piece.offset != self.done {
            return Err(Error::usage("pieces out of order").at(piece.offset));
        }
        // The workers have written it, and runs are zeros that are there already.
        self.done += piece.len;
        Ok(())
    }

    fn finish(self: Box<Self>, seal: &Seal) -> Result<Written> {
        let written = (self.close)(&self.space, seal)?;
        self.space.file().sync()?;
        Ok(Written { bytes: self.space.file().stored()?, ..written })
    }
}
