//! Settings of a drive that wear it out or hold up a rescue: told, changed with consent, and put back.

use super::allow::Consent;
use super::ata::{self, Protocol, Task, Timer};
use super::channel::{Channel, Way};
use super::outcome::Outcome;
use super::{nvme, scsi};
use std::str::FromStr;
use tintype_core::{Error, Result};

/// A setting and its value. As text: `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Mode page 01h of a SCSI drive: retries, time for recovery, whether bad sectors are replaced when they are read.
    RecoveryPage(Vec<u8>),
    /// The time that an ATA drive takes for error recovery of reads and of writes, in tenths of a second; 0 is no limit.
    RecoveryTime(u16, u16),
    /// Whether an ATA drive reads ahead.
    LookAhead(bool),
    /// Whether an ATA drive saves its SMART attributes, which is a write. Drives do not tell; they come with it on.
    Autosave(bool),
    /// The Error Recovery feature of an NVMe namespace.
    Recovery(u32),
}

/// TB in the third byte of mode page 01h.
const TRANSFER_BLOCK: u8 = 0x20;

/// Tenths of a second that a drive may take for error recovery while it is rescued.
const BRIEF: u16 = 10;

impl Setting {
    /// The value it should have during a rescue; `None` if it has it.
    pub fn for_rescue(&self) -> Option<Setting> {
        let wanted = match self {
            Setting::RecoveryPage(page) => {
                let mut page = page.clone();
                // AWRE and ARRE off: nothing is replaced. RC off: never made-up data. EER off, so that the count below holds.
                page[2] &= !(0x80 | 0x40 | 0x10 | 0x08);
                // One try more than the first.
                page[3] = page[3].min(1);
                // RECOVERY TIME LIMIT in milliseconds.
                if let Some(time) = page.get_mut(10..12) {
                    time.copy_from_slice(&(BRIEF * 100).to_be_bytes());
                }
                Setting::RecoveryPage(page)
            }
            Setting::RecoveryTime(_, write) => Setting::RecoveryTime(BRIEF, *write),
            Setting::LookAhead(_) => Setting::LookAhead(false),
            Setting::Autosave(_) => Setting::Autosave(false),
            Setting::Recovery(value) => Setting::Recovery(value & 0xFFFF_0000 | u32::from(BRIEF)),
        };
        (wanted != *self).then_some(wanted)
    }

    /// The same, with blocks handed over that could not be corrected (TB); `None` for what is no page of error recovery or has it.
    pub fn with_failed_blocks(&self) -> Option<Setting> {
        let Setting::RecoveryPage(page) = self else { return None };
        let mut page = page.clone();
        page[2] |= TRANSFER_BLOCK;
        Some(Setting::RecoveryPage(page)).filter(|wanted| wanted != self)
    }

    /// What is changed, in words.
    pub fn title(&self) -> &'static str {
        match self {
            Setting::RecoveryPage(_) => "error recovery and replacing of bad sectors",
            Setting::RecoveryTime(..) | Setting::Recovery(_) => "time for error recovery",
            Setting::LookAhead(_) => "look-ahead",
            Setting::Autosave(_) => "saving of SMART attributes",
        }
    }

    /// True if both are values of one setting.
    pub fn is_same(&self, other: &Setting) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let on = |on: bool| if on { "on" } else { "off" };
        match self {
            Setting::RecoveryPage(page) => {
                f.write_str("recovery-page=")?;
                page.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
            Setting::RecoveryTime(read, write) => write!(f, "recovery-time={read},{write}"),
            Setting::LookAhead(value) => write!(f, "look-ahead={}", on(*value)),
            Setting::Autosave(value) => write!(f, "autosave={}", on(*value)),
            Setting::Recovery(value) => write!(f, "recovery={value}"),
        }
    }
}

impl FromStr for Setting {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).ok_or_else(|| Error::corrupt(format!("{text}: no setting of a drive")))
    }
}

fn parse(text: &str) -> Option<Setting> {
    let (name, value) = text.split_once('=')?;
    let on = || match value {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    };
    Some(match name {
        "recovery-page" => {
            let digits: Option<Vec<u8>> = value.bytes().map(|b| Some((b as char).to_digit(16)? as u8)).collect();
            let digits = digits.filter(|d| d.len() % 2 == 0 && (8..=256).contains(&d.len()))?;
            Setting::RecoveryPage(digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect())
        }
        "recovery-time" => {
            let (read, write) = value.split_once(',')?;
            Setting::RecoveryTime(read.parse().ok()?, write.parse().ok()?)
        }
        "look-ahead" => Setting::LookAhead(on()?),
        "autosave" => Setting::Autosave(on()?),
        "recovery" => Setting::Recovery(value.parse().ok()?),
        _ => return None,
    })
}

/// The settings of a drive that it tells and that matter to a rescue.
pub fn current(channel: &Channel) -> Result<Vec<Setting>> {
    let mut all = Vec::new();
    match channel.way() {
        Way::Nvme => all.extend(nvme::recovery(channel)?.map(Setting::Recovery)),
        Way::Scsi => match ata::identify(channel)? {
            Some(identify) => {
                if identify.recovery_control()
                    && let (Some(read), Some(write)) =
                        (ata::recovery_time(channel, Timer::Read)?, ata::recovery_time(channel, Timer::Write)?)
                {
                    all.push(Setting::RecoveryTime(read, write));
                }
                all.extend(identify.look_ahead().map(Setting::LookAhead));
                if identify.smart() {
                    all.push(Setting::Autosave(true));
                }
            }
            None => all.extend(scsi::recovery_page(channel)?.map(Setting::RecoveryPage)),
        },
    }
    Ok(all)
}

/// Gives a setting a value until the drive is switched off.
///
/// `Unsupported` where the drive refuses, `Io` where it fails.
pub fn apply(channel: &Channel, setting: &Setting, consent: &Consent) -> Result<()> {
    let features = |feature| {
        let task = Task { command: 0xEF, feature, count: 0, lba: 0, device: 0, protocol: Protocol::NonData };
        ata::plain(channel, task, Some(consent))
    };
    let answer = match setting {
        Setting::RecoveryPage(page) => scsi::set_recovery_page(channel, page, consent)?,
        Setting::RecoveryTime(read, write) => {
            let answer = ata::set_recovery_time(channel, Timer::Read, *read, consent)?;
            match answer.outcome {
                Outcome::Done => ata::set_recovery_time(channel, Timer::Write, *write, consent)?,
                _ => answer,
            }
        }
        Setting::LookAhead(true) => features(0xAA)?,
        Setting::LookAhead(false) => features(0x55)?,
        Setting::Autosave(on) => {
            let count = if *on { 0xF1 } else { 0 };
            ata::plain(channel, ata::smart(0xD2, count, 0, Protocol::NonData), Some(consent))?
        }
        Setting::Recovery(value) => nvme::set_recovery(channel, *value, consent)?,
    };
    match answer.outcome {
        Outcome::Done => Ok(()),
        Outcome::Aborted => Err(channel.refused(setting.title(), &answer).into_kind(tintype_core::Kind::Unsupported)),
        _ => Err(channel.refused(setting.title(), &answer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let all = [
            Setting::RecoveryPage(vec![0x81, 0x0A, 0xC0, 0x0B, 0xFF, 0, 0, 0, 5, 0, 0xFF, 0xFF]),
            Setting::RecoveryTime(70, 0),
            Setting::LookAhead(true),
            Setting::Autosave(false),
            Setting::Recovery(0x1_0046),
        ];
        for setting in all {
            assert_eq!(setting.to_string().parse::<Setting>().unwrap(), setting);
        }
        for wrong in
            ["", "look-ahead", "look-ahead=yes", "recovery-page=8", "recovery-page=81", "recovery-time=1", "x=1"]
        {
            assert!(wrong.parse::<Setting>().is_err(), "{wrong}");
        }
    }

    fn want_page(setting: &Setting) -> Vec<u8> {
        match setting {
            Setting::RecoveryPage(page) => page.clone(),
            _ => panic!("{setting}"),
        }
    }

    #[test]
    fn nothing_is_replaced_and_little_is_retried() {
        let page = Setting::RecoveryPage(vec![0x81, 0x0A, 0xC0, 0x0B, 0xFF, 0, 0, 0, 5, 0, 0xFF, 0xFF]);
        let quiet = page.for_rescue().unwrap();
        let want = vec![0x81, 0x0A, 0x00, 0x01, 0xFF, 0, 0, 0, 5, 0, 0x03, 0xE8];
        assert_eq!(quiet, Setting::RecoveryPage(want));
        assert_eq!(quiet.for_rescue(), None);
        assert_eq!(Setting::LookAhead(false).for_rescue(), None);
        let mut handing = want_page(&quiet);
        handing[2] = 0x20;
        assert_eq!(quiet.with_failed_blocks(), Some(Setting::RecoveryPage(handing.clone())));
        assert_eq!(Setting::RecoveryPage(handing).with_failed_blocks(), None);
        assert_eq!(Setting::Recovery(0x1_0000).for_rescue(), Some(Setting::Recovery(0x1_000A)));
    }
}
