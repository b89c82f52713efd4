//! A command on its way to a drive.

/// A command and its data.
#[derive(Debug)]
pub(super) struct Command<'a> {
    pub body: Body,
    pub data: Data<'a>,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// A SCSI command descriptor block and its length.
    Scsi([u8; 16], u8),
    /// A command for the controller of an NVMe drive.
    Admin(Words),
    /// A command for its medium.
    Io(Words),
}

/// An NVMe command without its addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub opcode: u8,
    /// Namespace; 0 where none is meant.
    pub namespace: u32,
    /// Command dwords 10 to 15.
    pub dwords: [u32; 6],
}

/// Data of a command.
#[derive(Debug)]
pub(super) enum Data<'a> {
    None,
    /// From the drive.
    In(&'a mut [u8]),
    /// To the drive: parameters, never contents.
    Out(&'a [u8]),
}

impl Command<'_> {
    /// A SCSI command of up to 16 bytes.
    pub fn scsi<'a>(cdb: &[u8], data: Data<'a>) -> Command<'a> {
        let mut bytes = [0; 16];
        bytes[..cdb.len()].copy_from_slice(cdb);
        Command { body: Body::Scsi(bytes, cdb.len() as u8), data }
    }
}
