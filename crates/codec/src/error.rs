//! The one error of this crate.

use std::borrow::Cow;
use std::fmt;
use std::io;

/// What went wrong with some bytes.
///
/// The variants are what callers act on; the text inside is for people.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The data breaks its format or does not match its own checksum.
    Corrupt(Cow<'static, str>),
    /// The data ends before it is complete.
    Truncated,
    /// Going on would need more room or memory than the caller allowed.
    TooLarge(Cow<'static, str>),
    /// The data is valid as far as seen, but uses something this crate cannot do.
    Unsupported(Cow<'static, str>),
    /// Everything before `offset` (in the compressed input) decoded and verified; what follows is not part of it.
    ///
    /// Reported once, after all data was delivered: callers usually turn it into a warning.
    Trailing {
        /// Where the foreign bytes start, in the compressed input.
        offset: u64,
    },
    /// Reading the compressed input failed.
    Io(io::Error),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) const fn corrupt(text: &'static str) -> Self {
        Self::Corrupt(Cow::Borrowed(text))
    }

    pub(crate) const fn too_large(text: &'static str) -> Self {
        Self::TooLarge(Cow::Borrowed(text))
    }

    pub(crate) const fn unsupported(text: &'static str) -> Self {
        Self::Unsupported(Cow::Borrowed(text))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt(text) => write!(f, "corrupt data: {text}"),
            Self::Truncated => f.write_str("the data ends too early"),
            Self::TooLarge(text) => write!(f, "too large: {text}"),
            Self::Unsupported(text) => write!(f, "not supported: {text}"),
            Self::Trailing { offset } => write!(f, "foreign data after the end, at offset {offset}"),
            Self::Io(e) => write!(f, "cannot read the compressed data: {e}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(e) => Some(e),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}
