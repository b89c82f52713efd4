//! ATA commands (ACS-4) inside ATA PASS-THROUGH (16) (SAT-4, 12.2.2).

use super::allow::{Consent, PASS_THROUGH};
use super::answer::Answer;
use super::channel::Channel;
use super::command::{Command, Data};
use super::outcome::Outcome;
use super::scsi::QUESTION;
use std::time::Duration;
use tintype_core::Result;

/// How the data goes, as the translator numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    NonData = 3,
    PioIn = 4,
    PioOut = 5,
    Dma = 6,
}

/// What goes into the registers of an ATA drive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub command: u8,
    pub feature: u16,
    pub count: u16,
    pub lba: u64,
    pub device: u8,
    pub protocol: Protocol,
}

impl Task {
    /// The command block.
    pub fn cdb(&self) -> [u8; 16] {
        let [_, _, l5, l4, l3, l2, l1, l0] = self.lba.to_be_bytes();
        let [f1, f0] = self.feature.to_be_bytes();
        let [c1, c0] = self.count.to_be_bytes();
        let extended = u8::from(self.count > 0xFF || self.lba >= 1 << 28 || is_extended(self.command));
        // As many blocks as COUNT says, of 512 bytes unless sectors are read (T_TYPE). Where there is no data to ask for, the
        // registers come back (CK_COND); with data they come with a failure anyway, and some controllers make one of the asking.
        let flags = match self.protocol {
            Protocol::NonData => 0x20,
            Protocol::PioIn => 0x08 | 0x04 | 0x02,
            Protocol::PioOut => 0x20 | 0x04 | 0x02,
            Protocol::Dma => 0x10 | 0x08 | 0x04 | 0x02,
        };
        [
            PASS_THROUGH,
            (self.protocol as u8) << 1 | extended,
            flags,
            f1,
            f0,
            c1,
            c0,
            l3,
            l0,
            l4,
            l1,
            l5,
            l2,
            self.device,
            self.command,
            0,
        ]
    }
}

/// Commands of the 48-bit set.
fn is_extended(command: u8) -> bool {
    matches!(command, 0x24 | 0x25 | 0x2A | 0x2B | 0x2F)
}

/// READ DMA EXT; `blocks` up to 65,536.
pub(super) fn read(lba: u64, blocks: u32, into: &mut [u8]) -> Command<'_> {
    // 0 stands for 65,536.
    let count = blocks as u16;
    let task = Task { command: 0x25, feature: 0, count, lba, device: 0x40, protocol: Protocol::Dma };
    Command::scsi(&task.cdb(), Data::In(into))
}

/// READ STREAM DMA EXT with Read Continuous: the drive is to hand over what it has instead of failing, padded where it has nothing
/// (ACS-3, 7.29). `limit` is the time it may take, in units of its granularity, 0 for its own; `blocks` up to 65,535.
pub(super) fn read_stream(lba: u64, blocks: u16, limit: u8, into: &mut [u8]) -> Command<'_> {
    // What follows is not going to be asked for (NS).
    let feature = u16::from(limit) << 8 | 0x40 | 0x20;
    let task = Task { command: 0x2A, feature, count: blocks, lba, device: 0x40, protocol: Protocol::Dma };
    Command::scsi(&task.cdb(), Data::In(into))
}

/// READ LONG: one sector as it is on the medium, and what would correct it (ATA-3, 7.19); `None` for a sector that 28 bits do not reach.
pub(super) fn read_long(lba: u64, into: &mut [u8]) -> Option<Command<'_>> {
    let lba = u32::try_from(lba).ok().filter(|lba| lba >> 28 == 0)?;
    let device = 0x40 | (lba >> 24) as u8;
    let task = Task {
        command: 0x22,
        feature: 0,
        count: 1,
        lba: u64::from(lba & 0xFF_FFFF),
        device,
        protocol: Protocol::PioIn,
    };
    Some(Command::scsi(&task.cdb(), Data::In(into)))
}

/// Bytes that follow a sector in a READ LONG, unless a drive was told otherwise.
pub(super) const LONG: usize = 4;

/// SCT Long Sector Access, read: 512 bytes of a sector, and as many of what would correct them (SCT, T13/1701, 4.1; the drive's manual
/// warns that the data may be encoded).
pub(super) fn sct_read_long(channel: &Channel, lba: u64, into: &mut [u8; 1024], timeout: Duration) -> Result<Answer> {
    let mut page = [0; 512];
    (page[0], page[2]) = (1, 1);
    page[4..12].copy_from_slice(&lba.to_le_bytes());
    let ask = smart(0xD6, 1, 0xE0, Protocol::PioOut);
    let answer = channel.send(Command::scsi(&ask.cdb(), Data::Out(&page)), timeout, None)?;
    if answer.outcome != Outcome::Done {
        return Ok(answer);
    }
    let fetch = smart(0xD5, 2, 0xE1, Protocol::PioIn);
    channel.send(Command::scsi(&fetch.cdb(), Data::In(into)), timeout, None)
}

/// The signature of SMART in LBA (23:8).
const SMART: u64 = 0xC2_4F00;

/// A question with an answer of 512 bytes; `None` where the drive does not know it.
fn page(channel: &Channel, task: Task) -> Result<Option<[u8; 512]>> {
    let mut page = [0; 512];
    let answer = channel.send(Command::scsi(&task.cdb(), Data::In(&mut page)), QUESTION, None)?;
    Ok((answer.outcome == Outcome::Done && answer.missing == 0).then_some(page))
}

/// IDENTIFY DEVICE; `None` for a drive that is none of ATA.
pub(super) fn identify(channel: &Channel) -> Result<Option<Identify>> {
    let task = Task { command: 0xEC, feature: 0, count: 1, lba: 0, device: 0, protocol: Protocol::PioIn };
    // All zeros is what bridges answer to what they do not know.
    Ok(page(channel, task)?.filter(|page| page.iter().any(|b| *b != 0)).map(Identify))
}

/// The answer to IDENTIFY DEVICE (ACS-4, 7.13).
pub(super) struct Identify([u8; 512]);

impl Identify {
    fn word(&self, index: usize) -> u16 {
        u16::from_le_bytes([self.0[index * 2], self.0[index * 2 + 1]])
    }

    /// SMART is there and switched on.
    pub fn smart(&self) -> bool {
        self.word(82) & 1 != 0 && self.word(85) & 1 != 0
    }

    /// Look-ahead, where the drive knows it: on or off.
    pub fn look_ahead(&self) -> Option<bool> {
        (self.word(82) & 1 << 6 != 0).then(|| self.word(85) & 1 << 6 != 0)
    }

    /// READ LOG EXT is there.
    pub fn logs(&self) -> bool {
        // Bits 15:14 of the word have to be 01b for the others to count.
        self.word(84) >> 14 == 1 && self.word(84) & 1 << 5 != 0
    }

    /// The streaming commands are there: microseconds in a unit of their time limit, 0 where that is not told.
    pub fn streaming(&self) -> Option<u32> {
        let there = self.word(84) >> 14 == 1 && self.word(84) & 1 << 4 != 0;
        there.then(|| u32::from(self.word(98)) | u32::from(self.word(99)) << 16)
    }

    /// SCT Long Sector Access is there.
    pub fn long_sectors(&self) -> bool {
        self.word(206) & 1 != 0 && self.word(206) & 1 << 1 != 0
    }

    /// SCT error recovery control is there.
    pub fn recovery_control(&self) -> bool {
        self.word(206) & 1 != 0 && self.word(206) & 1 << 3 != 0
    }
}

/// SMART READ DATA.
pub(super) fn smart_data(channel: &Channel) -> Result<Option<[u8; 512]>> {
    page(channel, smart(0xD0, 1, 0, Protocol::PioIn))
}

/// SMART RETURN STATUS: true if a threshold is exceeded; `None` where it is not told.
pub(super) fn smart_failing(channel: &Channel) -> Result<Option<bool>> {
    let answer = plain(channel, smart(0xDA, 0, 0, Protocol::NonData), None)?;
    Ok(answer.registers.filter(|r| !r.failed()).and_then(|r| match r.lba >> 8 & 0xFFFF {
        0xC24F => Some(false),
        0x2CF4 => Some(true),
        _ => None,
    }))
}

/// One page of a log (READ LOG EXT).
pub(super) fn log(channel: &Channel, address: u8, number: u16) -> Result<Option<[u8; 512]>> {
    let [high, low] = number.to_be_bytes();
    let lba = u64::from(address) | u64::from(low) << 8 | u64::from(high) << 32;
    let task = Task { command: 0x2F, feature: 0, count: 1, lba, device: 0, protocol: Protocol::PioIn };
    page(channel, task)
}

/// A command without data.
pub(super) fn plain(channel: &Channel, task: Task, consent: Option<&Consent>) -> Result<Answer> {
    channel.send(Command::scsi(&task.cdb(), Data::None), QUESTION, consent)
}

/// A command of the SMART set.
pub(super) fn smart(feature: u16, count: u16, log: u8, protocol: Protocol) -> Task {
    Task { command: 0xB0, feature, count, lba: SMART | u64::from(log), device: 0, protocol }
}

/// Which commands the time for error recovery is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    Read = 1,
    Write = 2,
}

/// The time that the drive takes for error recovery, in tenths of a second; 0 stands for no limit (SCT, ACS-4, 8.3.3).
pub(super) fn recovery_time(channel: &Channel, timer: Timer) -> Result<Option<u16>> {
    let answer = sct_recovery(channel, [2, timer as u16, 0], None)?;
    Ok(answer
        .registers
        .filter(|r| answer.outcome == Outcome::Done && !r.failed())
        .map(|r| r.count & 0xFF | (r.lba as u16 & 0xFF) << 8))
}

/// Sets that time until the drive is switched off.
pub(super) fn set_recovery_time(channel: &Channel, timer: Timer, tenths: u16, consent: &Consent) -> Result<Answer> {
    sct_recovery(channel, [1, timer as u16, tenths], Some(consent))
}

fn sct_recovery(channel: &Channel, [function, timer, value]: [u16; 3], consent: Option<&Consent>) -> Result<Answer> {
    let mut page = [0; 512];
    for (at, word) in [3, function, timer, value].into_iter().enumerate() {
        page[at * 2..][..2].copy_from_slice(&word.to_le_bytes());
    }
    let task = smart(0xD6, 1, 0xE0, Protocol::PioOut);
    channel.send(Command::scsi(&task.cdb(), Data::Out(&page)), QUESTION, consent)
}

#[cfg(test)]
mod tests {
    use super::super::command::Body;
    use super::*;

    #[test]
    fn read_dma_ext_as_the_standard_lays_it_out() {
        let mut room = [0; 4096];
        let command = read(0x6655_4433_2211, 8, &mut room);
        // LBA (31:24), (7:0), (39:32), (15:8), (47:40), (23:16) from the eighth byte on.
        let want = [0x85, 0x0D, 0x1E, 0, 0, 0, 8, 0x44, 0x11, 0x55, 0x22, 0x66, 0x33, 0x40, 0x25, 0];
        assert_eq!(command.body, Body::Scsi(want, 16));
    }

    #[test]
    fn read_stream_asks_for_what_there_is_in_the_time_there_is() {
        let mut room = [0; 4096];
        // Feature (15:8) is the limit, (7:0) is Read Continuous and Not Sequential.
        let want = [0x85, 0x0D, 0x1E, 20, 0x60, 0, 8, 0, 0x34, 0, 0x12, 0, 0, 0x40, 0x2A, 0];
        assert_eq!(read_stream(0x1234, 8, 20, &mut room).body, Body::Scsi(want, 16));
    }

    #[test]
    fn read_long_is_of_the_28_bit_set() {
        let mut room = [0; 516];
        // LBA (27:24) lies in the device register.
        let want = [0x85, 0x08, 0x0E, 0, 0, 0, 1, 0, 0x78, 0, 0x56, 0, 0x34, 0x42, 0x22, 0];
        assert_eq!(read_long(0x0234_5678, &mut room).unwrap().body, Body::Scsi(want, 16));
        assert!(read_long(1 << 28, &mut room).is_none());
    }
}
