//! What an error number of the kernel means to a person who images drives.

use rustix::io::Errno;
use std::path::Path;
use tintype_core::Error;

/// What a failed read or write says about the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The medium did not give these bytes; others may still come.
    Medium,
    /// The drive, or the file system the file lies on, is not there any more.
    Gone,
    /// Anything else.
    Other,
}

/// The block layer's table of status codes (`blk_errors` in block/blk-core.c) and what file systems add to it.
pub(crate) fn trouble(e: Errno) -> Trouble {
    const MEDIUM: [Errno; 10] = [
        Errno::IO,
        Errno::NODATA,
        Errno::REMOTEIO,
        Errno::TIME,
        Errno::TIMEDOUT,
        Errno::BADE,
        Errno::ILSEQ,
        Errno::BADMSG,
        Errno::UCLEAN,
        Errno::NOLINK,
    ];
    const GONE: [Errno; 7] =
        [Errno::NODEV, Errno::NXIO, Errno::SHUTDOWN, Errno::NOENT, Errno::STALE, Errno::NOTCONN, Errno::NOMEDIUM];
    if MEDIUM.contains(&e) {
        Trouble::Medium
    } else if GONE.contains(&e) {
        Trouble::Gone
    } else {
        Trouble::Other
    }
}

/// The error for a read at `offset` that failed after `good` bytes.
pub(crate) fn reading(path: &Path, offset: u64, good: usize, e: Errno) -> Error {
    let at = offset.saturating_add(good as u64);
    match trouble(e) {
        Trouble::Medium => unreadable(path, offset, good).because(std::io::Error::from(e)),
        Trouble::Gone => gone(path, at, "was read").because(std::io::Error::from(e)),
        Trouble::Other => Error::io("cannot be read", e.into()).in_path(path).at(at),
    }
}

/// The error for a read at `offset` after whose first `good` bytes the medium gave nothing.
pub(crate) fn unreadable(path: &Path, offset: u64, good: usize) -> Error {
    Error::unreadable("cannot be read", good as u64, None).in_path(path).at(offset.saturating_add(good as u64))
}

/// The error for something that is no longer there.
pub(crate) fn gone(path: &Path, at: u64, done: &str) -> Error {
    Error::new(
        tintype_core::Kind::Io,
        format!("has vanished while it {done}; attach it again and start the same command again"),
    )
    .in_path(path)
    .at(at)
}

/// The error for a file that ended before the length it had when it was opened.
pub(crate) fn shrunk(path: &Path, at: u64) -> Error {
    Error::new(tintype_core::Kind::Io, "has shrunk while it was read; make sure nothing changes it and start again")
        .in_path(path)
        .at(at)
}

/// The error for a write at `offset` that failed.
pub(crate) fn writing(path: &Path, offset: u64, e: Errno) -> Error {
    let error = match trouble(e) {
        Trouble::Medium => Error::io("the target cannot be written here", e.into()),
        Trouble::Gone => gone(path, offset, "was written").because(std::io::Error::from(e)),
        Trouble::Other => Error::io(changing(e).unwrap_or("cannot be written"), e.into()),
    };
    error.in_path(path).at(offset)
}

/// The error for `what` (make, open, rename ...) that failed on `path` before a byte was touched.
pub(crate) fn preparing(path: &Path, what: &str, e: Errno) -> Error {
    let advice = match e {
        Errno::EXIST => Some("already exists"),
        Errno::NOENT => Some("does not exist"),
        Errno::NOTDIR => Some("a part of the path is no folder"),
        Errno::LOOP => Some("a link in the path leads in circles or where it may not"),
        Errno::BUSY => Some("in use by something else; unmount or release it first"),
        Errno::NOMEDIUM => Some("there is no medium in the drive"),
        Errno::NODEV | Errno::NXIO => Some("there is no such drive behind this name"),
        Errno::NAMETOOLONG => Some("the name is too long for the file system"),
        Errno::MFILE | Errno::NFILE => Some("too many open files; raise the limit with ulimit -n"),
        Errno::ACCESS | Errno::PERM => Some("permission denied; run it as a user who may, or as root"),
        _ => changing(e),
    };
    match advice {
        Some(advice) => Error::io(format!("cannot {what}: {advice}"), e.into()).in_path(path),
        None => Error::io(format!("cannot {what}"), e.into()).in_path(path),
    }
}

fn changing(e: Errno) -> Option<&'static str> {
    Some(match e {
        Errno::NOSPC => {
            "the target is full; free some space and start the same command again, or choose another target"
        }
        Errno::DQUOT => "the disk quota is used up; free some space or choose another target",
        Errno::FBIG => "the file system does not take files this large; use --split or another file system",
        Errno::ROFS => "the target is read-only; mount it for writing or choose another target",
        Errno::ACCESS | Errno::PERM => {
            "permission to write is denied; run it as a user who may, or choose another target"
        }
        Errno::TXTBSY => "in use by a running program",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_core::Kind;

    #[test]
    fn numbers_become_kinds() {
        let p = Path::new("/dev/x");
        assert_eq!(reading(p, 100, 12, Errno::IO).kind(), Kind::Unreadable { good: 12, first_bad: None });
        assert_eq!(reading(p, 100, 12, Errno::IO).offset(), Some(112));
        assert_eq!(reading(p, 100, 12, Errno::NODEV).kind(), Kind::Io);
        assert!(reading(p, 0, 0, Errno::NODEV).what().contains("vanished"));
        let full = writing(p, 7, Errno::NOSPC);
        assert_eq!((full.kind(), full.errno(), full.offset()), (Kind::Io, Some(28), Some(7)));
        assert!(full.what().contains("full"));
    }
}
