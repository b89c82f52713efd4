//! The one error type of the workspace.

use std::fmt;
use std::path::{Path, PathBuf};

/// Short for a result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller does about an error; it also decides the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The operating system refused or failed an operation.
    Io,
    /// Input contradicts its own format.
    Corrupt,
    /// Input is valid but asks for something this program cannot do.
    Unsupported,
    /// The medium gave no bytes. The first `good` bytes of the caller's buffer are valid; `first_bad` is the absolute
    /// offset of the first failing byte when the device named it.
    Unreadable {
        /// Valid bytes at the start of the buffer.
        good: u64,
        /// Absolute offset of the failure, from sense data.
        first_bad: Option<u64>,
    },
    /// Input asks for more memory, depth or files than [`crate::Limits`] allow.
    Limit,
    /// A guard of this program refused: nothing was touched.
    Denied,
    /// The person asked to stop.
    Cancelled,
    /// The request makes no sense: nothing was touched.
    Usage,
}

impl Kind {
    /// The name used in JSON output.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Io => "io",
            Kind::Corrupt => "corrupt",
            Kind::Unsupported => "unsupported",
            Kind::Unreadable { .. } => "unreadable",
            Kind::Limit => "limit",
            Kind::Denied => "denied",
            Kind::Cancelled => "cancelled",
            Kind::Usage => "usage",
        }
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug)]
struct Inner {
    kind: Kind,
    what: String,
    path: Option<PathBuf>,
    offset: Option<u64>,
    source: Option<Cause>,
    advice: String,
}

/// What went wrong, where, and why. One line when displayed; the chain is in `source()`.
#[derive(Debug)]
pub struct Error(Box<Inner>);

impl Error {
    /// An error of `kind`; `what` is lower case and names the structure or the operation.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            what: what.into(),
            path: None,
            offset: None,
            source: None,
            advice: String::new(),
        }))
    }

    /// Input contradicts its own format.
    pub fn corrupt(what: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, what)
    }

    /// Input is valid but beyond this program.
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, what)
    }

    /// The request makes no sense.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Kind::Usage, what)
    }

    /// A guard refused.
    pub fn denied(what: impl Into<String>) -> Self {
        Self::new(Kind::Denied, what)
    }

    /// Input asks for too much.
    pub fn limit(what: impl Into<String>) -> Self {
        Self::new(Kind::Limit, what)
    }

    /// The person asked to stop.
    pub fn cancelled() -> Self {
        Self::new(Kind::Cancelled, "stopped on request")
    }

    /// An operating system error met while doing `what`.
    pub fn io(what: impl Into<String>, cause: std::io::Error) -> Self {
        Self::new(Kind::Io, what).because(cause)
    }

    /// The medium gave no bytes after the first `good` of the buffer.
    pub fn unreadable(what: impl Into<String>, good: u64, first_bad: Option<u64>) -> Self {
        Self::new(Kind::Unreadable { good, first_bad }, what)
    }

    /// Adds the cause, unless there is one already.
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.0.source.get_or_insert(cause.into());
        self
    }

    /// Adds the file or drive, unless there is one already.
    pub fn in_path(mut self, path: impl AsRef<Path>) -> Self {
        self.0.path.get_or_insert_with(|| path.as_ref().to_path_buf());
        self
    }

    /// The same as [`Error::in_path`], but a stop that was asked for is about no file.
    pub fn met_in(self, path: impl AsRef<Path>) -> Self {
        if self.kind() == Kind::Cancelled { self } else { self.in_path(path) }
    }

    /// Puts a bare file name into `folder`, so that a person finds the file; a path with a folder stays as it is.
    pub fn in_folder(mut self, folder: impl AsRef<Path>) -> Self {
        let folder = folder.as_ref();
        let here = folder.as_os_str().is_empty() || folder == Path::new(".");
        if let Some(path) = &mut self.0.path
            && !here
            && path.parent() == Some(Path::new(""))
        {
            *path = folder.join(&*path);
        }
        self
    }

    /// Adds what is to be known besides, such as what is kept; it comes last in [`Error::chain`].
    pub fn advising(mut self, advice: impl AsRef<str>) -> Self {
        self.0.advice.push_str("; ");
        self.0.advice.push_str(advice.as_ref());
        self
    }

    /// Adds the byte offset, unless there is one already.
    pub fn at(mut self, offset: u64) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// The same error with another kind, for when a caller knows better what it means.
    pub fn into_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// An error that says the same as `other`, for a second place that has to tell it; the cause becomes text.
    pub fn copy_of(other: &Error) -> Self {
        let Inner { kind, what, path, offset, source, advice } = &*other.0;
        let cause = source.as_ref().map(|c| Cause::from(c.to_string()));
        let (what, path, advice) = (what.clone(), path.clone(), advice.clone());
        Error(Box::new(Inner { kind: *kind, what, path, offset: *offset, source: cause, advice }))
    }

    /// What the caller does about it.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message without path, offset and cause.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// The file or drive it is about.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The byte offset it is about.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The operating system's error kind, where one lies at the bottom.
    pub fn io_kind(&self) -> Option<std::io::ErrorKind> {
        self.os_error().map(std::io::Error::kind)
    }

    /// The operating system's error number, where one lies at the bottom.
    pub fn errno(&self) -> Option<i32> {
        self.os_error().and_then(std::io::Error::raw_os_error)
    }

    fn os_error(&self) -> Option<&std::io::Error> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(self);
        while let Some(e) = cause {
            if let Some(io) = e.downcast_ref::<std::io::Error>() {
                return Some(io);
            }
            cause = e.source();
        }
        None
    }

    /// The message with every cause and advice, in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(e) = cause {
            text.push_str(": ");
            text.push_str(&e.to_string());
            cause = e.source();
        }
        text + &self.0.advice
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.0.path {
            write!(f, "{}: ", path.display())?;
        }
        f.write_str(&self.0.what)?;
        if let Some(offset) = self.0.offset {
            write!(f, " (at offset {offset})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|c| &**c as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_path_and_offset_once() {
        let e = Error::corrupt("table entry 3 points past the end").in_path("/a/b.E01").at(512).at(7).in_path("/x");
        assert_eq!(e.to_string(), "/a/b.E01: table entry 3 points past the end (at offset 512)");
    }

    #[test]
    fn a_bare_name_is_put_into_its_folder() {
        let named = |path: &str, folder: &str| {
            let e = Error::corrupt("x").in_path(path).in_folder(folder);
            e.path().expect("a path was given").to_string_lossy().into_owned()
        };
        assert_eq!(named("a.E02", "/evidence/7"), "/evidence/7/a.E02");
        assert_eq!(named("b/a.E02", "/evidence/7"), "b/a.E02");
        assert_eq!(named("/a.E02", "/evidence/7"), "/a.E02");
        assert_eq!(named("a.E02", "."), "a.E02");
        assert_eq!(Error::corrupt("x").in_folder("/evidence").path(), None);
    }

    #[test]
    fn chain_reaches_the_operating_system() {
        let e = Error::io("cannot write", std::io::Error::from_raw_os_error(28));
        assert_eq!(e.errno(), Some(28));
        assert!(e.chain().starts_with("cannot write: "));
        let outer = Error::new(Kind::Io, "outer").because(e);
        assert_eq!(outer.errno(), Some(28));
        let advised = Error::io("cannot write", std::io::Error::from_raw_os_error(28)).at(7).advising("it is kept");
        assert!(
            advised.chain().ends_with("; it is kept") && advised.chain().contains(": No space"),
            "{}",
            advised.chain()
        );
        assert_eq!((advised.errno(), advised.offset()), (Some(28), Some(7)));
    }
}
