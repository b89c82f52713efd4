//! NVMe commands (NVM Express base specification 2.0, NVM command set 1.0).

use super::channel::Channel;
use super::command::{Body, Command, Data, Words};
use super::outcome::Outcome;
use super::scsi::QUESTION;
use tintype_core::{Aligned, Result};

/// Read; `blocks` from 1 to 65,536. With `limited`, the drive is to give up early.
pub(super) fn read(namespace: u32, lba: u64, blocks: u32, limited: Limited, into: &mut [u8]) -> Command<'_> {
    let retry = match limited {
        Limited::Yes => 1 << 31,
        Limited::No => 0,
    };
    let count = blocks.saturating_sub(1).min(0xFFFF);
    let dwords = [lba as u32, (lba >> 32) as u32, count | retry, 0, 0, 0];
    Command { body: Body::Io(Words { opcode: 0x02, namespace, dwords }), data: Data::In(into) }
}

/// Whether a drive is to try less than all it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limited {
    Yes,
    No,
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

#[cfg(test)]
mod tests {
    use super::*;

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
