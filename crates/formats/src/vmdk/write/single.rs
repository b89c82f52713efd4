//! A stream that is a file of its own.

use crate::vmdk::StreamWriter;
use tintype_core::{Encoder, Feed, Piece, Result, Seal, Sink, Written};

/// The sink of a streamOptimized file.
pub(in crate::vmdk) struct Single {
    stream: StreamWriter,
    name: String,
}

impl Single {
    pub(in crate::vmdk) fn new(stream: StreamWriter, name: String) -> Self {
        Single { stream, name }
    }
}

impl Sink for Single {
    fn feed(&self) -> Feed {
        self.stream.feed()
    }

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        Some(self.stream.encoder())
    }

    fn put(&mut self, piece: Piece<'_>) -> Result<()> {
        self.stream.put(piece)
    }

    fn finish(mut self: Box<Self>, seal: &Seal) -> Result<Written> {
        let bytes = self.stream.finish(seal.len)?;
        self.stream.file().sync()?;
        Ok(Written { bytes, files: vec![self.name], notes: Vec::new() })
    }
}
