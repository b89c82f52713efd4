//! Locks that other programs hold on a file they write to.

use crate::file::open_reading;
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::OFlags;
use std::path::Path;
use tintype_core::Result;

/// Where QEMU locks one byte for every permission that a process has on an image (`block/file-posix.c`).
const QEMU_PERMISSIONS: i64 = 100;
/// Those among them that let it be changed: writing, and changing its size.
const QEMU_WRITES: [i64; 2] = [1, 3];

/// What a lock on the regular file at `path` says about somebody who writes to it, as a sentence about the file; none where there
/// is no such lock, or where the file system knows none.
///
/// `Io` where the file cannot be opened. Takes no lock itself.
pub fn writer(path: &Path) -> Result<Option<&'static str>> {
    let fd = open_reading(path, OFlags::empty())?;
    let writes = |bit: &i64| conflicts(&fd, libc::F_WRLCK, QEMU_PERMISSIONS + bit, 1);
    if QEMU_WRITES.iter().any(writes) {
        return Ok(Some("is open for writing in a virtual machine, or in a program that locks images as QEMU does"));
    }
    Ok(conflicts(&fd, libc::F_RDLCK, 0, 0).then_some("is locked for writing by another program"))
}

/// True if somebody holds a lock that a lock of this kind on `len` bytes (0: all) from `start` would have to wait for.
fn conflicts(fd: impl AsFd, kind: libc::c_int, start: i64, len: i64) -> bool {
    let mut lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        l_pid: 0,
    };
    // SAFETY: F_OFD_GETLK reads and writes the structure it is given, which lives until the call returns; the descriptor is open.
    let asked = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    asked == 0 && lock.l_type != libc::F_UNLCK as libc::c_short
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn hold(file: &File, kind: libc::c_int, start: i64, len: i64) {
        let l_whence = libc::SEEK_SET as libc::c_short;
        let lock = libc::flock { l_type: kind as libc::c_short, l_whence, l_start: start, l_len: len, l_pid: 0 };
        // SAFETY: F_OFD_SETLK reads the structure it is given.
        assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) }, 0);
    }

    #[test]
    fn somebody_who_writes_is_seen_and_somebody_who_reads_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, [0; 10]).unwrap();
        assert_eq!(writer(&path).unwrap(), None);
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        // A process that reads an image: it has that permission, and leaves others no right to write.
        let reader = open();
        hold(&reader, libc::F_RDLCK, 100, 1);
        hold(&reader, libc::F_RDLCK, 201, 1);
        assert_eq!(writer(&path).unwrap(), None);
        let machine = open();
        hold(&machine, libc::F_RDLCK, 101, 1);
        assert!(writer(&path).unwrap().unwrap().contains("virtual machine"));
        drop(machine);
        assert_eq!(writer(&path).unwrap(), None);
        drop(reader);
        let other = open();
        hold(&other, libc::F_WRLCK, 0, 0);
        assert!(writer(&path).unwrap().is_some());
        drop(other);
        assert_eq!(writer(&path).unwrap(), None);
        assert!(writer(&dir.path().join("none")).is_err());
    }
}
