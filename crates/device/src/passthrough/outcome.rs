//! What a command came to.

use super::sense::Sense;

/// What a command came to, as far as somebody who reads drives has to tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; also where the drive had to correct something.
    Done,
    /// The medium does not give the data; the block that failed where the drive names it.
    Unreadable(Option<u64>),
    /// The drive, or what lies between, broke the command off.
    Aborted,
    /// A fault of the drive's hardware.
    Hardware,
    /// The drive does not answer yet, or not any more: no medium, not spun up, failed.
    NotReady,
    /// Something happened before, such as a reset; the command was not carried out, and may be sent again.
    Attention,
    /// It has other things to do; the command may be sent again.
    Busy,
    /// The drive refuses: locked, or protected.
    Protected,
    /// The block lies outside the drive.
    OutOfRange,
    /// The drive does not know the command, or not in this form.
    Unsupported,
    /// No answer in time; the kernel has taken the command back.
    TimedOut,
    /// There is no drive there any more.
    Gone,
    /// Anything else.
    Other,
}

/// What sense data means (SPC-5, tables 49 and F.2).
pub(super) fn of_sense(sense: &Sense) -> Outcome {
    if sense.deferred {
        // About something before; this command was not carried out.
        return Outcome::Attention;
    }
    match (sense.key, sense.asc) {
        (0x0 | 0x1, _) => match sense.ata {
            Some(ata) if ata.failed() => of_registers(ata.error, ata.status, ata.lba),
            _ => Outcome::Done,
        },
        (0x2, _) => Outcome::NotReady,
        (0x3 | 0x8, _) => Outcome::Unreadable(sense.information),
        (0x4, _) => Outcome::Hardware,
        (0x5, 0x21) => Outcome::OutOfRange,
        (0x5, _) => Outcome::Unsupported,
        (0x6, _) => Outcome::Attention,
        (0x7, _) => Outcome::Protected,
        // The registers of an ATA drive say more than the translation.
        (0xB, _) => match sense.ata {
            Some(ata) if ata.failed() => of_registers(ata.error, ata.status, ata.lba),
            _ => Outcome::Aborted,
        },
        _ => Outcome::Other,
    }
}

/// The ERROR register (ACS-4, 6.2): UNC 40h, IDNF 10h, ABRT 04h, ICRC 80h.
fn of_registers(error: u8, status: u8, lba: u64) -> Outcome {
    match error {
        _ if status & 0x20 != 0 => Outcome::Hardware,
        e if e & 0x40 != 0 => Outcome::Unreadable(Some(lba)),
        e if e & 0x80 != 0 => Outcome::Aborted,
        e if e & 0x10 != 0 => Outcome::Unreadable(Some(lba)),
        _ => Outcome::Aborted,
    }
}

/// What the SCSI layer says besides sense data (`DID_*` in include/scsi/scsi_status.h); `None` where it has nothing to say.
pub(super) fn of_host(host: u16) -> Option<Outcome> {
    Some(match host {
        0x00 => return None,
        // NO_CONNECT, BAD_TARGET
        0x01 | 0x04 => Outcome::Gone,
        // BUS_BUSY, SOFT_ERROR, REQUEUE, IMM_RETRY
        0x02 | 0x0B | 0x0D | 0x0C => Outcome::Busy,
        // TIME_OUT
        0x03 => Outcome::TimedOut,
        // ABORT, PARITY, ERROR, RESET, TRANSPORT_DISRUPTED, TRANSPORT_FAILFAST
        0x05 | 0x06 | 0x07 | 0x08 | 0x0E | 0x0F => Outcome::Aborted,
        _ => Outcome::Other,
    })
}

/// What a SCSI status says where there is no sense data (SAM-6, 5.3).
pub(super) fn of_status(status: u8) -> Outcome {
    match status & 0x3E {
        0x00 => Outcome::Done,
        // BUSY, TASK SET FULL
        0x08 | 0x28 => Outcome::Busy,
        // RESERVATION CONFLICT
        0x18 => Outcome::Protected,
        // TASK ABORTED
        _ => Outcome::Aborted,
    }
}

/// What an NVMe status says: status code, and status code type from bit 8 on (NVM Express base 2.0, figure 93 and on).
pub(super) fn of_nvme(status: u16) -> Outcome {
    match status & 0x7FF {
        0x000 => Outcome::Done,
        // Invalid opcode, field, log page, or feature
        0x001 | 0x002 | 0x00B | 0x109 => Outcome::Unsupported,
        // Data transfer error, internal error
        0x004 | 0x006 => Outcome::Hardware,
        // Aborted: power loss, on request, by a deleted queue, by a failed one it was fused with
        0x005 | 0x007 | 0x008 | 0x009 => Outcome::Aborted,
        0x080 => Outcome::OutOfRange,
        // Namespace not ready; sanitize or format goes on
        0x082 | 0x01D | 0x084 => Outcome::NotReady,
        // Locked by a password, reserved, write protected
        0x015 | 0x083 | 0x020 => Outcome::Protected,
        // Media and data integrity: write fault, unrecovered read, guard, application and reference tag, deallocated
        0x280..=0x284 | 0x287 => Outcome::Unreadable(None),
        0x286 => Outcome::Protected,
        // Path errors; 371h is the kernel's own for a command it took back
        0x371 => Outcome::TimedOut,
        0x300..=0x37F => Outcome::Aborted,
        _ => Outcome::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sense::Registers;
    use super::*;

    fn sense(key: u8, asc: u8, ascq: u8) -> Sense {
        Sense { key, asc, ascq, ..Sense::default() }
    }

    #[test]
    fn sense_keys() {
        assert_eq!(of_sense(&Sense { information: Some(9), ..sense(3, 0x11, 0) }), Outcome::Unreadable(Some(9)));
        assert_eq!(of_sense(&sense(1, 0x17, 1)), Outcome::Done);
        assert_eq!(of_sense(&sense(2, 0x3A, 0)), Outcome::NotReady);
        assert_eq!(of_sense(&sense(5, 0x20, 0)), Outcome::Unsupported);
        assert_eq!(of_sense(&sense(5, 0x21, 0)), Outcome::OutOfRange);
        assert_eq!(of_sense(&sense(6, 0x29, 0)), Outcome::Attention);
        assert_eq!(of_sense(&sense(0xB, 0, 6)), Outcome::Aborted);
    }

    #[test]
    fn registers_of_an_ata_drive_say_more_than_the_key() {
        let ata = |status, error| Some(Registers { status, error, count: 0, lba: 77 });
        let with = |key, ata| of_sense(&Sense { ata, ..sense(key, 0, 0x1D) });
        assert_eq!(with(1, ata(0x50, 0)), Outcome::Done);
        assert_eq!(with(1, ata(0x51, 0x40)), Outcome::Unreadable(Some(77)));
        assert_eq!(with(0xB, ata(0x51, 0x10)), Outcome::Unreadable(Some(77)));
        assert_eq!(with(0xB, ata(0x51, 0x04)), Outcome::Aborted);
        assert_eq!(with(0xB, ata(0x51, 0x84)), Outcome::Aborted);
        assert_eq!(with(1, ata(0x70, 0)), Outcome::Hardware);
    }

    #[test]
    fn nvme_status() {
        assert_eq!(of_nvme(0), Outcome::Done);
        // With the "do not retry" bit.
        assert_eq!(of_nvme(0x4281), Outcome::Unreadable(None));
        assert_eq!(of_nvme(0x4002), Outcome::Unsupported);
        assert_eq!(of_nvme(0x371), Outcome::TimedOut);
    }
}
