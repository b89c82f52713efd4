//! Whether a drive is well, by its own word.

use super::channel::{Channel, Way};
use super::outcome::Outcome;
use super::{ata, nvme, scsi};
use crate::enumerate::Health;
use tintype_core::Result;

/// What a drive says of its health. What it does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// True if it says that it is failing; false if it says that it is not.
    pub failing: Option<bool>,
    /// Degrees Celsius.
    pub temperature: Option<i32>,
    /// Hours it was switched on.
    pub hours: Option<u64>,
    /// Sectors that were replaced by spare ones.
    pub reallocated: Option<u64>,
    /// Sectors that could not be read and wait to be replaced.
    pub pending: Option<u64>,
    /// Errors that it could not correct.
    pub uncorrected: Option<u64>,
    /// Percent of its life that is used up; may be above 100.
    pub used: Option<u8>,
    /// Percent of its spare blocks that are left.
    pub spare: Option<u8>,
}

/// Asks the drive. It wakes up for that.
pub fn ask(channel: &Channel) -> Result<Report> {
    match channel.way() {
        Way::Nvme => Ok(nvme::health(channel)?.map(|page| of_nvme(&page)).unwrap_or_default()),
        Way::Scsi => match ata::identify(channel)? {
            Some(identify) if identify.smart() => {
                let mut report = ata::smart_data(channel)?.map(|page| of_ata(&page)).unwrap_or_default();
                report.failing = ata::smart_failing(channel)?;
                Ok(report)
            }
            Some(_) => Ok(Report::default()),
            None => of_scsi(channel),
        },
    }
}

impl Report {
    /// What it comes to.
    pub fn health(&self) -> Health {
        let some = |n: Option<u64>, what: &str| n.filter(|n| *n > 0).map(|n| format!("{n} {what}"));
        if self.failing == Some(true) {
            return Health::Failed("it says that it is failing".into());
        }
        let signs: Vec<String> = [
            some(self.pending, "sectors cannot be read"),
            some(self.reallocated, "sectors were replaced"),
            some(self.uncorrected, "errors could not be corrected"),
            self.used.filter(|n| *n >= 90).map(|n| format!("{n} % of its life is used up")),
            self.spare.filter(|n| *n <= 10).map(|n| format!("{n} % of its spare blocks are left")),
        ]
        .into_iter()
        .flatten()
        .collect();
        match (signs.is_empty(), self.failing) {
            (false, _) => Health::Worn(signs.join(", ")),
            (true, Some(false)) => Health::Good,
            (true, _) => Health::Unknown,
        }
    }
}

/// SMART / Health Information (NVM Express base 2.0, figure 207).
fn of_nvme(page: &[u8; 512]) -> Report {
    let wide = |at: usize| u64::from_le_bytes(page[at..at + 8].try_into().expect("eight bytes"));
    let kelvin = i32::from(u16::from_le_bytes([page[1], page[2]]));
    Report {
        // Spare blocks, reliability, read-only, backup; the temperature comes and goes.
        failing: Some(page[0] & 0b1_1101 != 0),
        temperature: (kelvin > 0).then_some(kelvin - 273),
        hours: Some(wide(128)),
        uncorrected: Some(wide(160)),
        used: Some(page[5]),
        // A drive without a threshold keeps no count.
        spare: (page[4] > 0).then_some(page[3]),
        ..Report::default()
    }
}

/// The table of attributes, whose meaning is custom, no standard: 5 reallocated, 9 hours, 194 temperature, 197 pending, 198 uncorrectable.
fn of_ata(page: &[u8; 512]) -> Report {
    let mut report = Report::default();
    for entry in page[2..362].chunks_exact(12) {
        let raw = u64::from_le_bytes([entry[5], entry[6], entry[7], entry[8], entry[9], entry[10], 0, 0]);
        // Some makers keep minutes, minima or maxima in the upper bytes.
        let low = raw & 0xFFFF_FFFF;
        match entry[0] {
            5 => report.reallocated = Some(low),
            9 => report.hours = Some(low & 0x00FF_FFFF),
            194 => report.temperature = Some(i32::from(entry[5])),
            197 => report.pending = Some(low),
            198 => report.uncorrected = Some(low),
            _ => {}
        }
    }
    report
}

/// Informational exceptions (log page 2Fh), temperature (0Dh) and errors of reads (03h) of a SCSI drive.
fn of_scsi(channel: &Channel) -> Result<Report> {
    let mut report = Report::default();
    if channel.send(scsi::ready(), scsi::QUESTION, None)?.outcome == Outcome::Gone {
        return Ok(report);
    }
    for (code, value) in scsi::parameters(&scsi::log(channel, 0x2F, 0)?) {
        if code == 0 && value.len() >= 2 {
            // Failure prediction threshold exceeded.
            report.failing = Some(value[0] == 0x5D);
        }
    }
    for (code, value) in scsi::parameters(&scsi::log(channel, 0x0D, 0)?) {
        if code == 0 && value.len() >= 2 && value[1] != 0xFF {
            report.temperature = Some(i32::from(value[1]));
        }
    }
    for (code, value) in scsi::parameters(&scsi::log(channel, 0x03, 0)?) {
        if code == 6 && value.len() <= 8 {
            report.uncorrected = Some(value.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dying_nvme_drive_says_so() {
        let mut page = [0; 512];
        (page[0], page[1], page[2], page[3], page[5]) = (0, 0x2C, 1, 100, 7);
        page[128] = 200;
        let report = of_nvme(&page);
        assert_eq!((report.temperature, report.hours, report.used), (Some(27), Some(200), Some(7)));
        assert_eq!(report.health(), Health::Good);
        page[0] = 0x04;
        assert!(matches!(of_nvme(&page).health(), Health::Failed(_)));
    }

    #[test]
    fn pending_sectors_are_told() {
        let mut page = [0; 512];
        page[2..14].copy_from_slice(&[5, 0x33, 0, 100, 100, 0, 0, 0, 0, 0, 0, 0]);
        page[14..26].copy_from_slice(&[197, 0x12, 0, 100, 100, 8, 0, 0, 0, 0, 0, 0]);
        page[26..38].copy_from_slice(&[194, 0x22, 0, 60, 50, 40, 0, 20, 0, 55, 0, 0]);
        let report = Report { failing: Some(false), ..of_ata(&page) };
        assert_eq!((report.reallocated, report.pending, report.temperature), (Some(0), Some(8), Some(40)));
        assert_eq!(report.health(), Health::Worn("8 sectors cannot be read".into()));
    }
}
