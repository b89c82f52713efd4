//! The block device requests that rustix does not cover. Numbers are those of `linux/fs.h`.

use rustix::fd::AsFd;
use rustix::io::Result;
use rustix::ioctl::{Getter, NoArg, Opcode, Setter, ioctl, opcode};

const BLKRRPART: Opcode = opcode::none(0x12, 95);
const BLKFLSBUF: Opcode = opcode::none(0x12, 97);
const BLKROGET: Opcode = opcode::none(0x12, 94);
// Declared with `size_t` in the header, although the value is always 64 bits wide.
const BLKGETSIZE64: Opcode = opcode::read::<usize>(0x12, 114);
const BLKZEROOUT: Opcode = opcode::none(0x12, 127);
const SG_SCSI_RESET: Opcode = 0x2284;

/// Bytes of the drive.
pub(crate) fn size(fd: impl AsFd) -> Result<u64> {
    // SAFETY: BLKGETSIZE64 writes one u64 to its argument.
    unsafe { ioctl(fd, Getter::<BLKGETSIZE64, u64>::new()) }
}

/// True if the kernel refuses to write to the drive.
pub(crate) fn read_only(fd: impl AsFd) -> Result<bool> {
    // SAFETY: BLKROGET writes one int to its argument.
    unsafe { ioctl(fd, Getter::<BLKROGET, libc::c_int>::new()) }.map(|n| n != 0)
}

/// Writes zeros to a range of whole sectors, by the drive's own command where it has one. Never unmaps.
pub(crate) fn zero(fd: impl AsFd, offset: u64, len: u64) -> Result<()> {
    // SAFETY: BLKZEROOUT reads two u64, start and length in bytes, from its argument.
    unsafe { ioctl(fd, Setter::<BLKZEROOUT, [u64; 2]>::new([offset, len])) }
}

/// Writes out and forgets what the page cache holds of the drive.
pub(crate) fn drop_cache(fd: impl AsFd) -> Result<()> {
    // SAFETY: BLKFLSBUF takes no argument.
    unsafe { ioctl(fd, NoArg::<BLKFLSBUF>::new()) }
}

/// What is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScsiReset {
    Device = 1,
    Target = 4,
}

/// Has the SCSI layer reset a device or its target, and nothing larger if that does not help (`scsi/sg.h`).
pub(crate) fn scsi_reset(fd: impl AsFd, what: ScsiReset) -> Result<()> {
    const NO_ESCALATE: libc::c_int = 0x100;
    // SAFETY: SG_SCSI_RESET reads one int from its argument.
    unsafe { ioctl(fd, Setter::<SG_SCSI_RESET, libc::c_int>::new(what as libc::c_int | NO_ESCALATE)) }
}

/// Makes the kernel read the partition table again.
pub(crate) fn reread_partitions(fd: impl AsFd) -> Result<()> {
    // SAFETY: BLKRRPART takes no argument.
    unsafe { ioctl(fd, NoArg::<BLKRRPART>::new()) }
}
