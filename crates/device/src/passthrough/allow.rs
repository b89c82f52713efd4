//! What may be sent to a drive: the one table, and the one place that every command passes.
//!
//! There is no row that writes, formats, erases, downloads or locks, and what has no row cannot be sent: the functions that talk to
//! the kernel take an [`Allowed`], which only [`judge`] makes.

use super::command::{Body, Command, Data};
use tintype_core::{Error, Result};

/// What a command does to a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It only answers.
    Read,
    /// It changes how the drive works until it is switched off, never what it holds.
    Setting,
}

/// Which set of commands an opcode is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// SCSI.
    Scsi,
    /// ATA, inside ATA PASS-THROUGH (16).
    Ata,
    /// NVMe, for the controller.
    Admin,
    /// NVMe, for the medium.
    Io,
}

/// A kind of command that may be sent.
#[derive(Debug)]
pub struct Row {
    /// Where its opcode is from.
    pub set: Set,
    /// Its opcode.
    pub opcode: u8,
    /// Its service action (SCSI), feature (ATA SMART and SET FEATURES) or feature identifier (NVMe).
    pub sub: Option<u8>,
    /// What it does to a drive.
    pub class: Class,
    /// Its name in the standard, and what else it has to be like.
    pub name: &'static str,
    data: Flow,
    rule: Rule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    None,
    In,
    Out,
}

/// What more has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Any,
    /// LOG SENSE: the drive is not to save its parameters.
    NotSaved,
    /// MODE SELECT: not saved, one page, which is the one of error recovery.
    RecoveryPage {
        header: usize,
    },
    /// SMART: its signature is in the registers.
    Smart,
    /// SMART WRITE LOG that is an SCT command asking for, or setting, the time for error recovery.
    SctRecovery(u8),
    /// SMART WRITE LOG that is an SCT command to read one sector with what corrects it: action 1, function 1. Function 2 writes one.
    SctReadLong,
    /// SMART ENABLE/DISABLE ATTRIBUTE AUTOSAVE: the count says which.
    Autosave,
    /// READ LONG: one sector.
    OneSector,
    /// NVMe Get Log Page that leaves events as they are and whose length is that of the buffer.
    EventsKept,
    /// NVMe: an answer of 4 KiB, into as much room. The drive would write past a shorter buffer.
    Page,
    /// NVMe Get LBA Status: the length is that of the buffer.
    StatusRoom,
    /// NVMe Read: the buffer has room for as many blocks as are asked for.
    BlocksRoom,
    /// NVMe Set Features that is not saved.
    NotStored,
}

use Class::{Read, Setting};
use Flow::{In, Out};
use Rule::*;
use Set::{Admin, Ata, Io, Scsi};

const fn row(set: Set, opcode: u8, sub: Option<u8>, class: Class, name: &'static str, data: Flow, rule: Rule) -> Row {
    Row { set, opcode, sub, class, name, data, rule }
}

/// Everything that may be sent.
pub const TABLE: &[Row] = &[
    row(Scsi, 0x00, None, Read, "TEST UNIT READY", Flow::None, Any),
    row(Scsi, 0x03, None, Read, "REQUEST SENSE", In, Any),
    row(Scsi, 0x12, None, Read, "INQUIRY", In, Any),
    row(Scsi, 0x15, None, Setting, "MODE SELECT (6), page 01h, not saved", Out, RecoveryPage { header: 4 }),
    row(Scsi, 0x1A, None, Read, "MODE SENSE (6)", In, Any),
    row(Scsi, 0x25, None, Read, "READ CAPACITY (10)", In, Any),
    row(Scsi, 0x28, None, Read, "READ (10)", In, Any),
    row(Scsi, 0x37, None, Read, "READ DEFECT DATA (10)", In, Any),
    row(Scsi, 0x3E, None, Read, "READ LONG (10)", In, Any),
    row(Scsi, 0x4D, None, Read, "LOG SENSE, not saved", In, NotSaved),
    row(Scsi, 0x55, None, Setting, "MODE SELECT (10), page 01h, not saved", Out, RecoveryPage { header: 8 }),
    row(Scsi, 0x5A, None, Read, "MODE SENSE (10)", In, Any),
    row(Scsi, 0x88, None, Read, "READ (16)", In, Any),
    row(Scsi, 0x9E, Some(0x10), Read, "READ CAPACITY (16)", In, Any),
    row(Scsi, 0x9E, Some(0x11), Read, "READ LONG (16)", In, Any),
    row(Scsi, 0x9E, Some(0x12), Read, "GET LBA STATUS (16)", In, Any),
    row(Scsi, 0xA3, Some(0x0C), Read, "REPORT SUPPORTED OPERATION CODES", In, Any),
    row(Ata, 0x20, None, Read, "READ SECTORS", In, Any),
    row(Ata, 0x22, None, Read, "READ LONG, one sector", In, OneSector),
    row(Ata, 0x24, None, Read, "READ SECTORS EXT", In, Any),
    row(Ata, 0x25, None, Read, "READ DMA EXT", In, Any),
    row(Ata, 0x2A, None, Read, "READ STREAM DMA EXT", In, Any),
    row(Ata, 0x2B, None, Read, "READ STREAM EXT", In, Any),
    row(Ata, 0x2F, None, Read, "READ LOG EXT", In, Any),
    row(Ata, 0xB0, Some(0xD0), Read, "SMART READ DATA", In, Smart),
    row(Ata, 0xB0, Some(0xD1), Read, "SMART READ THRESHOLDS", In, Smart),
    row(Ata, 0xB0, Some(0xD2), Setting, "SMART ATTRIBUTE AUTOSAVE on or off", Flow::None, Autosave),
    row(Ata, 0xB0, Some(0xD5), Read, "SMART READ LOG", In, Smart),
    row(Ata, 0xB0, Some(0xD6), Read, "SMART WRITE LOG E0h: ask for the SCT error recovery time", Out, SctRecovery(2)),
    row(Ata, 0xB0, Some(0xD6), Read, "SMART WRITE LOG E0h: ask for an SCT long read", Out, SctReadLong),
    row(Ata, 0xB0, Some(0xD6), Setting, "SMART WRITE LOG E0h: set the SCT error recovery time", Out, SctRecovery(1)),
    row(Ata, 0xB0, Some(0xDA), Read, "SMART RETURN STATUS", Flow::None, Smart),
    row(Ata, 0xE5, None, Read, "CHECK POWER MODE", Flow::None, Any),
    row(Ata, 0xEC, None, Read, "IDENTIFY DEVICE", In, Any),
    row(Ata, 0xEF, Some(0x55), Setting, "SET FEATURES, look-ahead off", Flow::None, Any),
    row(Ata, 0xEF, Some(0xAA), Setting, "SET FEATURES, look-ahead on", Flow::None, Any),
    row(Admin, 0x02, None, Read, "Get Log Page, events retained", In, EventsKept),
    row(Admin, 0x06, None, Read, "Identify", In, Page),
    row(Admin, 0x09, Some(0x05), Setting, "Set Features, Error Recovery, not saved", Flow::None, NotStored),
    row(Admin, 0x0A, None, Read, "Get Features", Flow::None, Any),
    row(Admin, 0x86, None, Read, "Get LBA Status", In, StatusRoom),
    row(Io, 0x02, None, Read, "Read", In, BlocksRoom),
];

/// Somebody's word that settings of a drive may be changed. Without one, only commands that read are sent.
#[derive(Debug)]
pub struct Consent(());

impl Consent {
    /// Given by the person who asked for it on the command line.
    pub fn given() -> Self {
        Consent(())
    }
}

/// A command that was found in the table.
#[derive(Debug)]
pub(super) struct Allowed<'a>(Command<'a>);

impl<'a> Allowed<'a> {
    /// The command.
    pub fn command(&mut self) -> &mut Command<'a> {
        &mut self.0
    }
}

/// The command, if it may be sent; `Denied` if not.
pub(super) fn judge<'a>(command: Command<'a>, consent: Option<&Consent>) -> Result<Allowed<'a>> {
    let Some(row) = TABLE.iter().find(|row| row.covers(&command)) else {
        return Err(Error::denied(format!("{:02x?} is no command that may be sent to a drive", command.body)));
    };
    if row.class == Class::Setting && consent.is_none() {
        return Err(Error::denied(format!("{} changes a setting, and nobody asked for that", row.name)));
    }
    Ok(Allowed(command))
}

/// ATA PASS-THROUGH (16).
pub(super) const PASS_THROUGH: u8 = 0x85;

impl Row {
    fn covers(&self, command: &Command<'_>) -> bool {
        let flow = match &command.data {
            Data::None => Flow::None,
            Data::In(_) => Flow::In,
            Data::Out(_) => Flow::Out,
        };
        let out: &[u8] = match &command.data {
            Data::Out(bytes) => bytes,
            _ => &[],
        };
        let room = match &command.data {
            Data::In(bytes) => bytes.len() as u64,
            _ => 0,
        };
        let named = match &command.body {
            Body::Scsi(cdb, 16) if cdb[0] == PASS_THROUGH => self.set == Ata && self.covers_ata(cdb, out),
            Body::Scsi(cdb, len) => self.set == Scsi && *len == cdb_len(cdb[0]) && self.covers_scsi(cdb, out),
            Body::Admin(words) => {
                let sub = self.sub.is_none_or(|sub| words.dwords[0] & 0xFF == u32::from(sub));
                self.set == Admin && words.opcode == self.opcode && sub && self.holds_nvme(&words.dwords, room)
            }
            Body::Io(words) => self.set == Io && words.opcode == self.opcode && self.holds_nvme(&words.dwords, room),
        };
        named && flow == self.data
    }

    fn covers_scsi(&self, cdb: &[u8; 16], out: &[u8]) -> bool {
        let sub = self.sub.is_none_or(|sub| cdb[1] & 0x1F == sub);
        let rule = match self.rule {
            NotSaved => cdb[1] & 1 == 0,
            RecoveryPage { header } => cdb[1] & 1 == 0 && one_page(out, header, 0x01),
            _ => true,
        };
        cdb[0] == self.opcode && sub && rule
    }

    fn covers_ata(&self, cdb: &[u8; 16], out: &[u8]) -> bool {
        let (feature, count, low, middle, high) = (cdb[4], cdb[6], cdb[8], cdb[10], cdb[12]);
        let smart = (middle, high) == (0x4F, 0xC2);
        let rule = match self.rule {
            Smart => smart,
            Autosave => smart && matches!(count, 0x00 | 0xF1),
            SctRecovery(function) => {
                smart && low == 0xE0 && count == 1 && out.len() == 512 && out[..4] == [3, 0, function, 0]
            }
            SctReadLong => {
                let asks = out.len() == 512 && out[..4] == [1, 0, 1, 0] && out[12..].iter().all(|b| *b == 0);
                smart && low == 0xE0 && count == 1 && asks
            }
            OneSector => count == 1,
            _ => true,
        };
        // Non-data, PIO and DMA, in the direction that the row says: nothing that resets or queues.
        let from_drive = cdb[2] & 0x08 != 0;
        let protocol = match (cdb[1] >> 1 & 0x0F, self.data) {
            (3, Flow::None) => true,
            (4 | 6, In) => from_drive,
            (5, Out) => !from_drive,
            _ => false,
        };
        cdb[14] == self.opcode && self.sub.is_none_or(|sub| feature == sub) && rule && protocol
    }

    fn holds_nvme(&self, dwords: &[u32; 6], room: u64) -> bool {
        match self.rule {
            EventsKept => {
                let words = u64::from(dwords[0] >> 16) + (u64::from(dwords[1] & 0xFFFF) << 16) + 1;
                dwords[0] & 1 << 15 != 0 && words * 4 == room
            }
            NotStored => dwords[0] & 1 << 31 == 0,
            Page => room == 4096,
            StatusRoom => (u64::from(dwords[2]) + 1) * 4 == room,
            BlocksRoom => {
                let blocks = u64::from(dwords[2] & 0xFFFF) + 1;
                room.is_multiple_of(blocks) && room / blocks >= 512 && (room / blocks).is_power_of_two()
            }
            _ => true,
        }
    }
}

/// Bytes of a command with this opcode (SPC-5, 4.3.4.1).
fn cdb_len(opcode: u8) -> u8 {
    match opcode >> 5 {
        0 => 6,
        1 | 2 => 10,
        4 => 16,
        5 => 12,
        _ => 0,
    }
}

/// True if the parameters of a MODE SELECT are a header without block descriptors and this one page.
fn one_page(out: &[u8], header: usize, page: u8) -> bool {
    let descriptors = match header {
        4 => out.get(3).is_some_and(|n| *n == 0),
        _ => out.get(6..8).is_some_and(|n| n == [0, 0]),
    };
    // The bits above are "saveable" and "has subpages"; a page with subpages is another page.
    let whole = out.get(header..).is_some_and(|p| p.len() >= 2 && p.len() == 2 + usize::from(p[1]));
    descriptors && whole && out[header] & 0x7F == page
}

#[cfg(test)]
mod tests {
    use super::super::command::Words;
    use super::*;

    fn ata(opcode: u8, feature: u8, protocol: u8, smart: bool) -> [u8; 16] {
        let mut cdb = [0; 16];
        (cdb[0], cdb[1], cdb[2], cdb[4], cdb[14]) = (0x85, protocol << 1 | 1, 0x2E, feature, opcode);
        if protocol == 5 || protocol == 3 {
            cdb[2] = 0x26;
        }
        if smart {
            (cdb[10], cdb[12]) = (0x4F, 0xC2);
        }
        cdb
    }

    fn refused(command: Command<'_>) -> bool {
        judge(command, Some(&Consent(()))).is_err()
    }

    #[test]
    fn no_other_scsi_opcode_passes() {
        let listed = [0x00, 0x03, 0x12, 0x15, 0x1A, 0x25, 0x28, 0x37, 0x3E, 0x4D, 0x55, 0x5A, 0x88, 0x9E, 0xA3];
        for opcode in 0..=255_u8 {
            for action in 0..32 {
                for len in [6, 10, 12, 16] {
                    let mut cdb = [0_u8; 16];
                    (cdb[0], cdb[1]) = (opcode, action);
                    let mut room = [0; 512];
                    let command = [Data::None, Data::In(&mut room), Data::Out(&[0; 512])]
                        .map(|data| refused(Command::scsi(&cdb[..len], data)));
                    let some = command.contains(&false);
                    assert!(!some || listed.contains(&opcode), "{opcode:02x}");
                    // READ CAPACITY, READ LONG, GET LBA STATUS; not SANITIZE's or anything else's neighbours.
                    assert!(!some || opcode != 0x9E || (0x10..=0x12).contains(&action), "{opcode:02x}/{action:02x}");
                    assert!(!some || opcode != 0xA3 || action == 0x0C, "{opcode:02x}/{action:02x}");
                }
            }
        }
    }

    #[test]
    fn no_other_ata_command_passes() {
        let reads = [0x20, 0x24, 0x25, 0x2A, 0x2B, 0x2F, 0xB0, 0xE5, 0xEC, 0xEF];
        for opcode in 0..=255_u8 {
            for feature in 0..=255_u8 {
                for protocol in 0..16 {
                    let cdb = ata(opcode, feature, protocol, true);
                    let mut room = [0; 512];
                    let all = [Data::None, Data::In(&mut room), Data::Out(&[0; 512])];
                    if all.map(|data| refused(Command::scsi(&cdb, data))) == [true; 3] {
                        continue;
                    }
                    assert!(
                        reads.contains(&opcode) && [3, 4, 6].contains(&protocol),
                        "{opcode:02x}, protocol {protocol}"
                    );
                    let smart = opcode != 0xB0 || [0xD0, 0xD1, 0xD2, 0xD5, 0xDA].contains(&feature);
                    let features = opcode != 0xEF || [0x55, 0xAA].contains(&feature);
                    assert!(smart && features, "{opcode:02x}/{feature:02x}");
                }
            }
        }
        // SMART without its signature is an old recalibrate; the 12-byte form is not used at all.
        let mut room = [0; 512];
        assert!(refused(Command::scsi(&ata(0xB0, 0xD0, 4, false), Data::In(&mut room))));
        assert!(refused(Command::scsi(&[0xA1, 8, 0x0E, 0, 1, 0, 0, 0, 0, 0xEC, 0, 0], Data::In(&mut room))));
        // In the wrong direction.
        let mut cdb = ata(0x25, 0, 6, false);
        cdb[2] = 0x26;
        assert!(refused(Command::scsi(&cdb, Data::In(&mut room))));
    }

    #[test]
    fn the_only_logs_that_are_written_are_questions() {
        let mut cdb = ata(0xB0, 0xD6, 5, true);
        (cdb[6], cdb[8]) = (1, 0xE0);
        let mut page = [0; 512];
        page[..6].copy_from_slice(&[3, 0, 2, 0, 1, 0]);
        assert!(judge(Command::scsi(&cdb, Data::Out(&page)), None).is_ok());
        page[2] = 1;
        assert!(judge(Command::scsi(&cdb, Data::Out(&page)), None).is_err(), "setting it is a setting");
        assert!(!refused(Command::scsi(&cdb, Data::Out(&page))));
        // SCT WRITE SAME overwrites the medium, and so does what is one function beside the long read.
        for action in (0..=255).filter(|a| *a != 3) {
            for function in 0..=255 {
                (page[0], page[2]) = (action, function);
                let passes = !refused(Command::scsi(&cdb, Data::Out(&page)));
                assert_eq!(passes, (action, function) == (1, 1), "SCT action {action}, function {function}");
            }
        }
        (page[0], page[2], page[13]) = (1, 1, 1);
        assert!(refused(Command::scsi(&cdb, Data::Out(&page))), "more than an address");
        (page[2], page[13]) = (1, 0);
        page[0] = 3;
        cdb[8] = 0xE1;
        assert!(refused(Command::scsi(&cdb, Data::Out(&page))), "SCT data");
    }

    #[test]
    fn settings_ask_for_consent_and_are_never_saved() {
        let page = [0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x0A, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let select = |cdb1: u8, page: &[u8]| {
            let cdb = [0x55, cdb1, 0, 0, 0, 0, 0, 0, page.len() as u8, 0];
            (judge(Command::scsi(&cdb, Data::Out(page)), None).is_ok(), !refused(Command::scsi(&cdb, Data::Out(page))))
        };
        assert_eq!(select(0x10, &page), (false, true));
        assert_eq!(select(0x11, &page), (false, false), "saved");
        for other in (0..=255).filter(|p| p & 0x7F != 1) {
            let mut page = page;
            page[8] = other;
            assert_eq!(select(0x10, &page), (false, false), "page {other:02x}");
        }
        let mut two = page.to_vec();
        two.extend([0x08, 0x12]);
        two.extend([0; 18]);
        assert_eq!(select(0x10, &two), (false, false), "a second page");
        let mut blocks = page;
        blocks[7] = 8;
        assert_eq!(select(0x10, &blocks), (false, false), "block descriptors change the size of sectors");
        for (opcode, feature) in [(0xEF, 0x55), (0xEF, 0xAA), (0xB0, 0xD2)] {
            let cdb = ata(opcode, feature, 3, true);
            assert!(judge(Command::scsi(&cdb, Data::None), None).is_err());
            assert!(!refused(Command::scsi(&cdb, Data::None)));
        }
    }

    #[test]
    fn no_other_nvme_command_passes() {
        for opcode in 0..=255_u8 {
            for feature in [0_u32, 5, 6, 0x8000, 0x8000_0005, 0x03FF_8000] {
                let words = Words { opcode, namespace: 1, dwords: [feature, 0, 1023, 0, 0, 0] };
                let mut room = [0; 4096];
                let mut passes = |body: fn(Words) -> Body| {
                    let all = [Data::None, Data::In(&mut room), Data::Out(&[0; 512])];
                    all.map(|data| !refused(Command { body: body(words), data })).contains(&true)
                };
                assert!(!passes(Body::Io) || opcode == 0x02, "{opcode:02x}");
                assert!(!passes(Body::Admin) || [0x02, 0x06, 0x09, 0x0A, 0x86].contains(&opcode), "{opcode:02x}");
                assert!(!passes(Body::Admin) || opcode != 0x09 || feature == 5, "feature {feature:x}");
                assert!(!passes(Body::Admin) || opcode != 0x02 || feature & 0x8000 != 0, "log that takes events away");
            }
        }
    }

    #[test]
    fn the_drive_never_has_more_to_give_than_there_is_room() {
        let mut room = vec![0; 8192];
        let mut fits = |body: Body, len: usize| judge(Command { body, data: Data::In(&mut room[..len]) }, None).is_ok();
        let words = |opcode, dwords| Words { opcode, namespace: 1, dwords };
        let read = Body::Io(words(0x02, [0, 0, 7, 0, 0, 0]));
        assert!(fits(read, 4096) && !fits(read, 2048) && !fits(read, 512) && !fits(read, 4095));
        let log = Body::Admin(words(0x02, [0x007F_8002, 0, 0, 0, 0, 0]));
        assert!(fits(log, 512) && !fits(log, 508));
        let identify = Body::Admin(words(0x06, [1, 0, 0, 0, 0, 0]));
        assert!(fits(identify, 4096) && !fits(identify, 512));
        let status = Body::Admin(words(0x86, [0, 0, 1023, 0, 0, 0]));
        assert!(fits(status, 4096) && !fits(status, 2048));
    }

    #[test]
    fn every_row_names_what_the_standard_calls_no_write() {
        for row in TABLE {
            let name = row.name.to_uppercase();
            assert!(
                !["FORMAT", "SANITIZE", "ERASE", "DOWNLOAD", "SECURITY", "UNMAP", "TRIM"]
                    .iter()
                    .any(|w| name.contains(w))
            );
            assert!(!name.contains("WRITE") || name.starts_with("SMART WRITE LOG E0H"));
        }
    }
}
