//! SCSI commands (SPC-5, SBC-4).

use super::channel::Channel;
use super::command::{Command, Data};
use super::outcome::Outcome;
use std::time::Duration;
use tintype_core::Result;

/// How long a question may take that needs no medium. A drive that wakes up takes half a minute.
pub(super) const QUESTION: Duration = Duration::from_secs(30);

/// READ (10) or, where that cannot name them, READ (16).
pub(super) fn read(lba: u64, blocks: u32, into: &mut [u8]) -> Command<'_> {
    match (u32::try_from(lba), u16::try_from(blocks)) {
        (Ok(lba), Ok(blocks)) if lba.checked_add(u32::from(blocks)).is_some() => {
            let [a, b, c, d] = lba.to_be_bytes();
            let [m, n] = blocks.to_be_bytes();
            Command::scsi(&[0x28, 0, a, b, c, d, 0, m, n, 0], Data::In(into))
        }
        _ => {
            let mut cdb = [0; 16];
            cdb[0] = 0x88;
            cdb[2..10].copy_from_slice(&lba.to_be_bytes());
            cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
            Command::scsi(&cdb, Data::In(into))
        }
    }
}

/// READ CAPACITY (16).
fn capacity_16(into: &mut [u8; 32]) -> Command<'_> {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[13]) = (0x9E, 0x10, 32);
    Command::scsi(&cdb, Data::In(into))
}

/// READ CAPACITY (10).
fn capacity_10(into: &mut [u8; 8]) -> Command<'_> {
    Command::scsi(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], Data::In(into))
}

/// Blocks of a drive, and bytes in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capacity {
    pub blocks: u64,
    pub block: u32,
}

/// What the drive says of its size. The short form is asked where the long one is not known.
pub(super) fn capacity(channel: &Channel) -> Result<Capacity> {
    let mut long = [0; 32];
    let answer = repeat(channel, &mut long, capacity_16)?;
    if answer.outcome == Outcome::Done && answer.missing <= 20 {
        let last = u64::from_be_bytes(long[..8].try_into().expect("eight bytes"));
        let block = u32::from_be_bytes(long[8..12].try_into().expect("four bytes"));
        return Ok(Capacity { blocks: last.saturating_add(1), block });
    }
    let mut short = [0; 8];
    let answer = repeat(channel, &mut short, capacity_10)?;
    if answer.outcome != Outcome::Done || answer.missing > 0 {
        return Err(channel.unanswered("its size", &answer));
    }
    let last = u32::from_be_bytes(short[..4].try_into().expect("four bytes"));
    let block = u32::from_be_bytes(short[4..].try_into().expect("four bytes"));
    Ok(Capacity { blocks: u64::from(last) + 1, block })
}

/// Asks, and again while the drive only says that something happened before.
pub(super) fn repeat<T: ?Sized>(
    channel: &Channel,
    room: &mut T,
    command: fn(&mut T) -> Command<'_>,
) -> Result<super::answer::Answer> {
    let mut left = 5;
    loop {
        let answer = channel.send(command(room), QUESTION, None)?;
        if left == 0 || !matches!(answer.outcome, Outcome::Attention | Outcome::Busy) {
            return Ok(answer);
        }
        left -= 1;
    }
}
