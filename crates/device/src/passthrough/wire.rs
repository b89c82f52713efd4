//! The requests to the kernel that carry a command: SG_IO (`scsi/sg.h`, interface version 3) and those of `linux/nvme_ioctl.h`.

use super::allow::Allowed;
use super::command::{Body, Data, Words};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use std::ffi::c_void;
use std::io;
use std::ptr::null_mut;

/// `struct sg_io_hdr`.
#[repr(C)]
struct SgIo {
    interface_id: i32,
    dxfer_direction: i32,
    cmd_len: u8,
    mx_sb_len: u8,
    iovec_count: u16,
    dxfer_len: u32,
    dxferp: *mut c_void,
    cmdp: *mut u8,
    sbp: *mut u8,
    timeout: u32,
    flags: u32,
    pack_id: i32,
    usr_ptr: *mut c_void,
    status: u8,
    masked_status: u8,
    msg_status: u8,
    sb_len_wr: u8,
    host_status: u16,
    driver_status: u16,
    resid: i32,
    duration: u32,
    info: u32,
}

/// `struct nvme_passthru_cmd`.
#[repr(C)]
struct NvmeCommand {
    opcode: u8,
    flags: u8,
    rsvd1: u16,
    nsid: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    addr: u64,
    metadata_len: u32,
    data_len: u32,
    cdw: [u32; 6],
    timeout_ms: u32,
    result: u32,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<SgIo>() == 88);
const _: () = assert!(size_of::<NvmeCommand>() == 72);

const SG_GET_VERSION_NUM: u32 = 0x2282;
const SG_IO: u32 = 0x2285;
const NVME_ID: u32 = 0x4E40;
// _IOWR('N', nr, 72 bytes)
const NVME_ADMIN_CMD: u32 = 0xC048_4E41;
const NVME_IO_CMD: u32 = 0xC048_4E43;

const DIRECTION_NONE: i32 = -1;
const DIRECTION_OUT: i32 = -2;
const DIRECTION_IN: i32 = -3;

/// What carries commands to a drive: the kernel, or in tests the model of a drive.
pub(super) trait Line: Send + Sync {
    /// Sends a SCSI command and waits for it.
    fn scsi(&self, allowed: &mut Allowed<'_>, timeout_ms: u32) -> io::Result<Carried>;

    /// Sends an NVMe command and waits for it: status and first dword of the completion.
    fn nvme(&self, allowed: &mut Allowed<'_>, timeout_ms: u32) -> io::Result<(u16, u32)>;
}

impl Line for OwnedFd {
    fn scsi(&self, allowed: &mut Allowed<'_>, timeout_ms: u32) -> io::Result<Carried> {
        scsi(self, allowed, timeout_ms)
    }

    fn nvme(&self, allowed: &mut Allowed<'_>, timeout_ms: u32) -> io::Result<(u16, u32)> {
        nvme(self, allowed, timeout_ms)
    }
}

/// What SG_IO brought back.
pub(super) struct Carried {
    pub status: u8,
    pub host: u16,
    pub missing: u32,
    pub sense: Vec<u8>,
}

fn scsi(fd: impl AsFd, allowed: &mut Allowed<'_>, timeout_ms: u32) -> io::Result<Carried> {
    let command = allowed.command();
    let Body::Scsi(mut cdb, cmd_len) = command.body else { return Err(io::ErrorKind::InvalidInput.into()) };
    let (direction, data, len) = match &mut command.data {
        Data::None => (DIRECTION_NONE, null_mut(), 0),
        Data::In(bytes) => (DIRECTION_IN, bytes.as_mut_ptr(), bytes.len()),
        Data::Out(bytes) => (DIRECTION_OUT, bytes.as_ptr().cast_mut(), bytes.len()),
    };
    let mut sense = [0_u8; 64];
    let mut header = SgIo {
        interface_id: i32::from(b'S'),
        dxfer_direction: direction,
        cmd_len,
        mx_sb_len: sense.len() as u8,
        iovec_count: 0,
        dxfer_len: u32::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?,
        dxferp: data.cast(),
        cmdp: cdb.as_mut_ptr(),
        sbp: sense.as_mut_ptr(),
        timeout: timeout_ms,
        flags: 0,
        pack_id: 0,
        usr_ptr: null_mut(),
        status: 0,
        masked_status: 0,
        msg_status: 0,
        sb_len_wr: 0,
        host_status: 0,
        driver_status: 0,
        resid: 0,
        duration: 0,
        info: 0,
    };
    // SAFETY: the header is laid out as the kernel's, and its pointers are to `cdb` (`cmd_len` of its 16 bytes are read), `sense` (at
    // most its 64 bytes are written) and the caller's data (`dxfer_len` bytes, written only for DIRECTION_IN, where they came from a
    // mutable slice). All outlive the call, which returns only when the kernel is done with the command.
    unsafe { request(fd.as_fd().as_raw_fd(), SG_IO, (&raw mut header).cast())? };
    Ok(Carried {
        status: header.status,
        host: header.host_status,
        missing: u32::try_from(header.resid).unwrap_or(0).min(header.dxfer_len),
        sense: sense[..usize::from(header.sb_len_wr).min(64)].to_vec(),
    })
}

fn nvme(fd: impl AsFd, allowed: &mut Allowed<'_>, timeout_ms: u32) -> io::Result<(u16, u32)> {
    let command = allowed.command();
    let (number, Words { opcode, namespace, dwords }) = match command.body {
        Body::Admin(words) => (NVME_ADMIN_CMD, words),
        Body::Io(words) => (NVME_IO_CMD, words),
        Body::Scsi(..) => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let (addr, len) = match &mut command.data {
        Data::None => (0, 0),
        Data::In(bytes) => (bytes.as_mut_ptr() as u64, bytes.len()),
        // No allowed NVMe command sends data.
        Data::Out(_) => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let mut request_block = NvmeCommand {
        opcode,
        flags: 0,
        rsvd1: 0,
        nsid: namespace,
        cdw2: 0,
        cdw3: 0,
        metadata: 0,
        addr,
        metadata_len: 0,
        data_len: u32::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?,
        cdw: dwords,
        timeout_ms,
        result: 0,
    };
    // SAFETY: the block is laid out as the kernel's; `addr` is that of a mutable slice of `data_len` bytes, to which the drive writes (the
    // opcodes that were allowed move data only from the drive), and which outlives the call.
    let status = unsafe { request(fd.as_fd().as_raw_fd(), number, (&raw mut request_block).cast())? };
    Ok((u16::try_from(status).unwrap_or(u16::MAX), request_block.result))
}

/// True if the handle takes SG_IO of interface version 3.
pub(super) fn takes_scsi(fd: impl AsFd) -> bool {
    let mut version = 0_i32;
    // SAFETY: SG_GET_VERSION_NUM writes one int to its argument.
    let asked = unsafe { request(fd.as_fd().as_raw_fd(), SG_GET_VERSION_NUM, (&raw mut version).cast()) };
    asked.is_ok() && version >= 30_000
}

/// The namespace behind the handle, if it is one of an NVMe drive.
pub(super) fn namespace(fd: impl AsFd) -> Option<u32> {
    // SAFETY: NVME_IOCTL_ID takes no argument and returns the number.
    let id = unsafe { request(fd.as_fd().as_raw_fd(), NVME_ID, null_mut()) };
    id.ok().and_then(|id| u32::try_from(id).ok()).filter(|id| *id > 0)
}

/// # Safety
///
/// `argument` has to be what the request with this number reads and writes.
unsafe fn request(fd: i32, number: u32, argument: *mut c_void) -> io::Result<i32> {
    // SAFETY: the caller's promise; the type of the number differs among C libraries.
    match unsafe { libc::ioctl(fd, number as _, argument) } {
        result if result < 0 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}
