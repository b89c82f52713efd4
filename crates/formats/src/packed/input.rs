//! The compressed bytes, as the codec wants them.

use crate::split;
use std::io;
use std::sync::Arc;
use tintype_codec::stream;
use tintype_core::{Error, Finding, Kind, OpenRequest, Result, Source};

/// A compressed file, or a compressed file that was cut into parts.
#[derive(Clone)]
pub(crate) struct Packed {
    pub source: Arc<dyn Source>,
    pub files: Vec<String>,
    pub warnings: Vec<String>,
    pub damage: Vec<Finding>,
}

impl Packed {
    /// What the entry holds; `x.gz.aa` stands for all parts of its set.
    pub fn new(request: &OpenRequest) -> Result<Packed> {
        if let Some(set) = split::joined(request)? {
            return Ok(Packed { source: set.source, files: set.files, warnings: set.warnings, damage: Vec::new() });
        }
        let source = Arc::clone(request.entry.source()?);
        Ok(Packed { source, files: vec![request.entry.name.clone()], warnings: Vec::new(), damage: Vec::new() })
    }

    /// Its bytes for a decoder.
    pub fn input(&self) -> Input {
        Input { source: Arc::clone(&self.source), start: 0 }
    }
}

/// The bytes of a source from some place on.
#[derive(Clone)]
pub(crate) struct Input {
    pub source: Arc<dyn Source>,
    pub start: u64,
}

impl stream::Input for Input {
    fn read_at(&mut self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let Some(at) = self.start.checked_add(offset).filter(|at| *at < self.source.len()) else { return Ok(0) };
        let n = (self.source.len() - at).min(buf.len() as u64) as usize;
        self.source.read_at(&mut buf[..n], at).map_err(io::Error::other)?;
        Ok(n)
    }
}

/// The codec's error in this program's terms.
pub(crate) fn lift(error: tintype_codec::Error) -> Error {
    use tintype_codec::Error as Codec;
    match error {
        Codec::Corrupt(text) => Error::corrupt(text),
        Codec::Truncated => Error::corrupt("the compressed data ends too early"),
        Codec::TooLarge(text) => Error::limit(text),
        Codec::Unsupported(text) => Error::unsupported(text),
        Codec::Trailing { offset } => Error::corrupt(format!("foreign data at {offset} of the compressed file")),
        Codec::Io(e) => match e.downcast::<Error>() {
            // What could not be read are compressed bytes; how many of the caller's are good is not known.
            Ok(inner) if matches!(inner.kind(), Kind::Unreadable { .. }) => inner.into_kind(Kind::Io),
            Ok(inner) => inner,
            Err(e) => Error::io("cannot read the compressed data", e),
        },
        other => Error::corrupt(other.to_string()),
    }
}
