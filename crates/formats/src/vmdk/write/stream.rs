//! The sink of a stream that lies in a file, by itself or among other things.

use crate::vmdk::StreamWriter;
use tintype_core::{Encoder, Feed, Piece, Result, Seal, Sink, Written};

/// Finishes the stream, given the length of the disk, and what lies around it.
type Close = Box<dyn FnOnce(StreamWriter, u64) -> Result<Written> + Send>;

/// Takes a disk into a stream.
pub(crate) struct StreamSink {
    stream: StreamWriter,
    close: Close,
}

impl StreamSink {
    /// A sink into `stream`, which `close` finishes.
    pub(crate) fn boxed(
        stream: StreamWriter,
        close: impl FnOnce(StreamWriter, u64) -> Result<Written> + Send + 'static,
    ) -> Box<dyn Sink> {
        Box::new(StreamSink { stream, close: Box::new(close) })
    }

    /// A sink into a stream that is the file `name`.
    pub(in crate::vmdk) fn alone(stream: StreamWriter, name: String) -> Box<dyn Sink> {
        Self::boxed(stream, move |mut stream, len| {
            let bytes = stream.finish(len)?;
            stream.file().sync()?;
            Ok(Written { bytes, files: vec![name], notes: Vec::new() })
        })
    }
}

impl Sink for StreamSink {
    fn feed(&self) -> Feed {
        self.stream.feed()
    }

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        Some(self.stream.encoder())
    }

    fn put(&mut self, piece: Piece<'_>) -> Result<()> {
        self.stream.put(piece)
    }

    fn finish(self: Box<Self>, seal: &Seal) -> Result<Written> {
        (self.close)(self.stream, seal.len)
    }
}
