//! NVMe commands (NVM Express base specification 2.0, NVM command set 1.0).

use super::allow::Consent;
use super::answer::Answer;
use super::channel::Channel;
use super::command::{Body, Command, Data, Words};
use super::outcome::Outcome;
use super::scsi::QUESTION;
use tintype_core::{Aligned, Result};

/// Read; `blocks` from 1 to 65,536.
pub(super) fn read(namespace: u32, lba: u64, blocks: u32, effort: Effort, into: &mut [u8]) -> Command<'_> {
    // Limited Retry (LR). The time limit of the Error Recovery feature holds for commands that have it.
    let retry = match effort {
        Effort::Brief => 1 << 31,
        Effort::Full => 0,
    };
    let count = blocks.saturating_sub(1).min(0xFFFF);
    let dwords = [lba as u32, (lba >> 32) as u32, count | retry, 0, 0, 0];
    Command { body: Body::Io(Words { opcode: 0x02, namespace, dwords }), data: Data::In(into) }
}

/// How much a drive is to do before it calls a block unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// What can be done within the time that is set, or a little.
    Brief,
    /// All it can.
    Full,
}

/// What a namespace is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Namespace {
    pub blocks: u64,
    pub block: u64,
    /// Bytes of metadata with each block.
    pub metadata: u16,
}

/// Identify Namespace: its size in blocks, and its format.
pub(super) fn namespace(channel: &Channel) -> Result<Namespace> {
    let mut page = Aligned::new(4096);
    let words = Words { opcode: 0x06, namespace: channel.namespace, dwords: [0; 6] };
    let answer = channel.send(Command { body: Body::Admin(words), data: Data::In(&mut page) }, QUESTION, None)?;
    if answer.outcome != Outcome::Done {
        return Err(channel.unanswered("what the namespace is like", &answer));
    }
    Ok(parse_namespace(&page))
}

fn parse_namespace(page: &[u8]) -> Namespace {
    // FLBAS: the format in use, its upper two bits apart since there are more than 16 formats.
    let flbas = page[26];
    let index = usize::from(flbas & 0x0F | flbas >> 1 & 0x30);
    let format = &page[128 + index * 4..][..4];
    Namespace {
        blocks: u64::from_le_bytes(page[..8].try_into().expect("eight bytes")),
        block: 1_u64.checked_shl(u32::from(format[2])).unwrap_or(0),
        metadata: u16::from_le_bytes([format[0], format[1]]),
    }
}

/// The SMART / Health Information log page, of the whole drive.
pub(super) fn health(channel: &Channel) -> Result<Option<[u8; 512]>> {
    let mut page = [0; 512];
    let words = (page.len() / 4 - 1) as u32;
    // With RAE, so that events are left for whoever waits for them.
    let dwords = [0x02 | 1 << 15 | words << 16, 0, 0, 0, 0, 0];
    let answer = admin(channel, Words { opcode: 0x02, namespace: u32::MAX, dwords }, Data::In(&mut page), None)?;
    Ok((answer.outcome == Outcome::Done).then_some(page))
}

/// Identify Controller.
pub(super) fn controller(channel: &Channel) -> Result<Option<Aligned>> {
    let mut page = Aligned::new(4096);
    let words = Words { opcode: 0x06, namespace: 0, dwords: [1, 0, 0, 0, 0, 0] };
    let answer = admin(channel, words, Data::In(&mut page), None)?;
    Ok((answer.outcome == Outcome::Done).then_some(page))
}

/// The Error Recovery feature of the namespace: its time limit is in the lower half, in tenths of a second, 0 for none.
pub(super) fn recovery(channel: &Channel) -> Result<Option<u32>> {
    let words = Words { opcode: 0x0A, namespace: channel.namespace, dwords: [0x05, 0, 0, 0, 0, 0] };
    let answer = admin(channel, words, Data::None, None)?;
    Ok((answer.outcome == Outcome::Done).then_some(answer.dword))
}

/// Sets that feature until the drive is switched off.
pub(super) fn set_recovery(channel: &Channel, value: u32, consent: &Consent) -> Result<Answer> {
    let words = Words { opcode: 0x09, namespace: channel.namespace, dwords: [0x05, value, 0, 0, 0, 0] };
    admin(channel, words, Data::None, Some(consent))
}

/// Get LBA Status without a scan: blocks that the drive knows it may not be able to read; empty where it does not tell.
pub(super) fn lba_status(channel: &Channel) -> Result<Vec<(u64, u64)>> {
    let mut room = Aligned::new(4096);
    let words = (room.len() / 4 - 1) as u32;
    // ATYPE 11h: what is known already, from block 0 to the end (range length 0).
    let dwords = [0, 0, words, 0x11 << 24, 0, 0];
    let command = Words { opcode: 0x86, namespace: channel.namespace, dwords };
    let answer = admin(channel, command, Data::In(&mut room), None)?;
    Ok(if answer.outcome == Outcome::Done { parse_lba_status(&room) } else { Vec::new() })
}

fn parse_lba_status(room: &[u8]) -> Vec<(u64, u64)> {
    let count = u32::from_le_bytes([room[0], room[1], room[2], room[3]]) as usize;
    let entry = |d: &[u8]| {
        let lba = u64::from_le_bytes(d[..8].try_into().expect("eight bytes"));
        (lba, u64::from(u32::from_le_bytes([d[8], d[9], d[10], d[11]])))
    };
    room[8..].chunks_exact(16).take(count).map(entry).filter(|(_, blocks)| *blocks > 0).collect()
}

fn admin(channel: &Channel, words: Words, data: Data<'_>, consent: Option<&Consent>) -> Result<Answer> {
    channel.send(Command { body: Body::Admin(words), data }, QUESTION, consent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brief_read_has_the_bit_for_it() {
        let mut room = [0; 4096];
        let mut words = |effort| match read(1, 0x1_2345_6789, 8, effort, &mut room).body {
            Body::Io(words) => words.dwords,
            other => panic!("{other:?}"),
        };
        assert_eq!(words(Effort::Full), [0x2345_6789, 1, 7, 0, 0, 0]);
        assert_eq!(words(Effort::Brief), [0x2345_6789, 1, 0x8000_0007, 0, 0, 0]);
    }

    #[test]
    fn the_format_in_use_is_found() {
        let mut page = [0; 4096];
        page[..8].copy_from_slice(&65_536_u64.to_le_bytes());
        page[26] = 0x21;
        // Format 17.
        page[128 + 17 * 4..][..4].copy_from_slice(&[8, 0, 12, 0]);
        assert_eq!(parse_namespace(&page), Namespace { blocks: 65_536, block: 4096, metadata: 8 });
    }
}
