//! SCSI commands (SPC-5, SBC-4).

use super::allow::Consent;
use super::answer::Answer;
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

/// How the long form of a sector is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Long {
    /// READ LONG (10).
    Short,
    /// READ LONG (16).
    Wide,
}

/// READ LONG without correction: one block and what would correct it, of exactly as many bytes as the drive has (SBC-3, 5.17 and 5.18).
pub(super) fn read_long(form: Long, lba: u64, into: &mut [u8]) -> Option<Command<'_>> {
    let [m, n] = u16::try_from(into.len()).ok()?.to_be_bytes();
    Some(match form {
        Long::Short => {
            let [a, b, c, d] = u32::try_from(lba).ok()?.to_be_bytes();
            Command::scsi(&[0x3E, 0, a, b, c, d, 0, m, n, 0], Data::In(into))
        }
        Long::Wide => {
            let mut cdb = [0; 16];
            (cdb[0], cdb[1], cdb[12], cdb[13]) = (0x9E, 0x11, m, n);
            cdb[2..10].copy_from_slice(&lba.to_be_bytes());
            Command::scsi(&cdb, Data::In(into))
        }
    })
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
pub(super) fn repeat<T: ?Sized>(channel: &Channel, room: &mut T, command: fn(&mut T) -> Command<'_>) -> Result<Answer> {
    let mut left = 5;
    loop {
        let answer = channel.send(command(room), QUESTION, None)?;
        if left == 0 || !matches!(answer.outcome, Outcome::Attention | Outcome::Busy) {
            return Ok(answer);
        }
        left -= 1;
    }
}

/// TEST UNIT READY.
pub(super) fn ready() -> Command<'static> {
    Command::scsi(&[0; 6], Data::None)
}

/// Longest answer that is asked for.
const ROOM: usize = 8192;

/// A log page without its header; empty where the drive does not know it.
pub(super) fn log(channel: &Channel, page: u8, subpage: u8) -> Result<Vec<u8>> {
    let mut room = vec![0; ROOM];
    let [m, n] = (ROOM as u16).to_be_bytes();
    // Cumulative values, not saved.
    let cdb = [0x4D, 0, 0x40 | page, subpage, 0, 0, 0, m, n, 0];
    let answer = channel.send(Command::scsi(&cdb, Data::In(&mut room)), QUESTION, None)?;
    let came = ROOM.saturating_sub(answer.missing as usize);
    if answer.outcome != Outcome::Done || came < 4 || room[0] & 0x3F != page {
        return Ok(Vec::new());
    }
    let len = usize::from(u16::from_be_bytes([room[2], room[3]])).min(came - 4);
    Ok(room[4..4 + len].to_vec())
}

/// The parameters of a log page: code and value.
pub(super) fn parameters(mut page: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [c1, c0, _, len, rest @ ..] = page else { return None };
        let (value, next) = rest.split_at(usize::from(*len).min(rest.len()));
        page = next;
        Some((u16::from_be_bytes([*c1, *c0]), value))
    })
}

/// GET LBA STATUS (16) of one kind from `lba` on: an address, how many blocks, and the status byte. Empty where it is not known.
pub(super) fn lba_status(channel: &Channel, lba: u64, kind: u8) -> Result<Vec<(u64, u64)>> {
    let mut room = vec![0; ROOM];
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[14]) = (0x9E, 0x12, kind);
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..14].copy_from_slice(&(ROOM as u32).to_be_bytes());
    let answer = channel.send(Command::scsi(&cdb, Data::In(&mut room)), QUESTION, None)?;
    if answer.outcome != Outcome::Done {
        return Ok(Vec::new());
    }
    let came = ROOM.saturating_sub(answer.missing as usize);
    Ok(parse_lba_status(&room[..came], kind))
}

fn parse_lba_status(bytes: &[u8], kind: u8) -> Vec<(u64, u64)> {
    let Some(head) = bytes.get(..8) else { return Vec::new() };
    let told = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    // A drive that does not know kinds answers with all blocks; the one that does says so (RTP).
    if kind != 0 && head[7] & 1 == 0 {
        return Vec::new();
    }
    let list = &bytes[8..bytes.len().min(told.saturating_add(4).max(8))];
    let wide = |d: &[u8]| u64::from_be_bytes(d[..8].try_into().expect("eight bytes"));
    list.chunks_exact(16).map(|d| (wide(d), u64::from(u32::from_be_bytes([d[8], d[9], d[10], d[11]])))).collect()
}

/// Mode page 01h, error recovery, as it is now, header of the page included.
pub(super) fn recovery_page(channel: &Channel) -> Result<Option<Vec<u8>>> {
    let mut room = [0; 252];
    // Without block descriptors.
    let cdb = [0x5A, 0x08, 0x01, 0, 0, 0, 0, 0, room.len() as u8, 0];
    let answer = channel.send(Command::scsi(&cdb, Data::In(&mut room)), QUESTION, None)?;
    Ok((answer.outcome == Outcome::Done).then(|| parse_mode(&room, 0x01)).flatten())
}

fn parse_mode(bytes: &[u8], page: u8) -> Option<Vec<u8>> {
    let descriptors = usize::from(u16::from_be_bytes([*bytes.get(6)?, *bytes.get(7)?]));
    let found = bytes.get(8 + descriptors..)?;
    let len = 2 + usize::from(*found.get(1)?);
    (found[0] & 0x7F == page && len >= 4).then(|| found.get(..len).map(<[u8]>::to_vec))?
}

/// Sets mode page 01h until the drive is switched off.
pub(super) fn set_recovery_page(channel: &Channel, page: &[u8], consent: &Consent) -> Result<Answer> {
    let mut out = vec![0; 8];
    out.extend_from_slice(page);
    // "Saveable" is an answer of the drive, no request.
    out[8] &= 0x7F;
    let cdb = [0x55, 0x10, 0, 0, 0, 0, 0, 0, out.len() as u8, 0];
    channel.send(Command::scsi(&cdb, Data::Out(&out)), QUESTION, Some(consent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passthrough::command::Body;

    #[test]
    fn the_long_form_is_used_where_the_short_one_does_not_reach() {
        let mut room = [0; 4096];
        let cdb = |lba, blocks, room: &mut [u8]| match read(lba, blocks, room).body {
            Body::Scsi(cdb, len) => cdb[..usize::from(len)].to_vec(),
            _ => panic!("no SCSI command"),
        };
        assert_eq!(cdb(0x4E20, 8, &mut room), [0x28, 0, 0, 0, 0x4E, 0x20, 0, 0, 8, 0]);
        assert_eq!(cdb(u64::from(u32::MAX), 1, &mut room)[..10], [0x88, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
        assert_eq!(cdb(1 << 40, 65_536, &mut room), [0x88, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn answers_that_are_cut_are_survived() {
        for len in 0..64_u8 {
            let bytes: Vec<u8> = (0..len).map(|n: u8| n.wrapping_mul(37)).collect();
            parse_mode(&bytes, 1);
            parse_lba_status(&bytes, 0x10);
            parameters(&bytes).for_each(drop);
        }
    }
}
