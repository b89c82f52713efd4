//! Raw to a pipe: every byte once, in order.

use super::FORMAT;
use std::sync::Arc;
use tintype_core::{Error, Feed, File, Piece, PieceBody, Result, Seal, Sink, Written};

/// Writes pieces as they come, runs as zeros.
pub(super) struct StreamWriter {
    file: Arc<dyn File>,
    name: String,
    done: u64,
}

static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

impl StreamWriter {
    pub fn new(file: Arc<dyn File>, name: String) -> Self {
        StreamWriter { file, name, done: 0 }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_at(bytes, self.done)?;
        self.done += bytes.len() as u64;
        Ok(())
    }
}

impl Sink for StreamWriter {
    fn feed(&self) -> Feed {
        // Zeros have to be written like any other byte, so nobody needs to look for them.
        Feed { chunk: 4096, carries: FORMAT.caps.states, zeros: 0, digests: Vec::new() }
    }

    fn put(&mut self, piece: Piece<'_>) -> Result<()> {
        if piece.offset != self.done {
            return Err(Error::usage("pieces out of order").at(piece.offset));
        }
        match piece.body {
            PieceBody::Bytes { plain, .. } => self.write(plain),
            PieceBody::Run(_) => {
                let mut left = piece.len;
                while left > 0 {
                    let now = left.min(ZEROS.len() as u64);
                    self.write(&ZEROS[..now as usize])?;
                    left -= now;
                }
                Ok(())
            }
        }
    }

    fn finish(self: Box<Self>, seal: &Seal) -> Result<Written> {
        self.file.sync()?;
        Ok(Written { bytes: seal.len, files: vec![self.name], notes: Vec::new() })
    }
}
