//! What a drive knows of its own defects, before anything is read.

use super::channel::{Channel, Way};
use super::{ata, nvme, scsi};
use std::ops::Range;
use tintype_core::Result;

/// Most defects that are taken over.
const MOST: usize = 65_536;

/// Where a list of defects is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// The Pending Defects log of an ATA drive.
    AtaPending,
    /// The Pending Defects log page of a SCSI drive.
    ScsiPending,
    /// The results of the scan that a SCSI drive makes in the background.
    BackgroundScan,
    /// GET LBA STATUS of a SCSI drive: blocks that may return an unrecovered error.
    ScsiStatus,
    /// Get LBA Status of an NVMe drive.
    NvmeStatus,
}

impl List {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            List::AtaPending | List::ScsiPending => "log of pending defects",
            List::BackgroundScan => "results of the background scan",
            List::ScsiStatus | List::NvmeStatus => "status of its blocks",
        }
    }
}

/// Places that the drive says it cannot read, as ranges of the drive or partition in bytes, by the list that has them. Lists that are
/// empty, or that the drive does not keep, are left out. Nothing here was tried.
pub fn known(channel: &Channel, block: u64, len: u64) -> Result<Vec<(List, Vec<Range<u64>>)>> {
    let mut all = Vec::new();
    let mut take = |list: List, blocks: Vec<(u64, u64)>| {
        let ranges: Vec<_> =
            blocks.into_iter().take(MOST).filter_map(|b| within(channel.start, block, len, b)).collect();
        if !ranges.is_empty() {
            all.push((list, ranges));
        }
    };
    match channel.way() {
        Way::Nvme => {
            // Optional Admin Command Support, bit 9.
            let knows = nvme::controller(channel)?.is_some_and(|page| page[257] & 0x02 != 0);
            if knows {
                take(List::NvmeStatus, nvme::lba_status(channel)?);
            }
        }
        Way::Scsi => match ata::identify(channel)? {
            Some(identify) => {
                if identify.logs() {
                    take(List::AtaPending, ata_pending(channel)?);
                }
            }
            None => {
                take(List::ScsiPending, scsi_pending(&scsi::log(channel, 0x15, 0x01)?));
                take(List::BackgroundScan, background(&scsi::log(channel, 0x15, 0)?));
                take(List::ScsiStatus, scsi::lba_status(channel, 0, 0x10)?);
            }
        },
    }
    Ok(all)
}

fn within(start: u64, block: u64, len: u64, (lba, blocks): (u64, u64)) -> Option<Range<u64>> {
    let end = lba.checked_add(blocks)?.checked_mul(block)?.saturating_sub(start).min(len);
    let from = lba.checked_mul(block)?.saturating_sub(start).min(len);
    (from < end).then_some(from..end)
}

/// Log 0Ch (ACS-4, 9.26): a count, and entries of 16 bytes from the second on.
fn ata_pending(channel: &Channel) -> Result<Vec<(u64, u64)>> {
    // The directory says whether the log is there.
    let pages = match ata::log(channel, 0, 0)? {
        Some(directory) => u16::from_le_bytes([directory[0x0C * 2], directory[0x0C * 2 + 1]]),
        None => 0,
    };
    let mut bytes = Vec::new();
    let mut count = 0;
    for number in 0..pages.min(2048) {
        let Some(page) = ata::log(channel, 0x0C, number)? else { break };
        if number == 0 {
            count = u32::from_le_bytes([page[0], page[1], page[2], page[3]]) as usize;
        }
        bytes.extend_from_slice(&page);
        if bytes.len() / 16 > count {
            break;
        }
    }
    Ok(parse_ata_pending(&bytes, count))
}

fn parse_ata_pending(bytes: &[u8], count: usize) -> Vec<(u64, u64)> {
    let entries = bytes.chunks_exact(16).skip(1).take(count.min(MOST));
    entries.map(|e| (u64::from_le_bytes(e[8..].try_into().expect("eight bytes")), 1)).collect()
}

/// Log page 15h, subpage 01h (SBC-4, 6.4.8): parameter 0 is the count, the others one block each.
fn scsi_pending(page: &[u8]) -> Vec<(u64, u64)> {
    let defects = scsi::parameters(page).filter(|(code, value)| *code > 0 && value.len() >= 12);
    defects.map(|(_, value)| (u64::from_be_bytes(value[4..12].try_into().expect("eight bytes")), 1)).collect()
}

/// Log page 15h (SBC-4, 6.4.3): parameters from 1 to 800h are what the scan found.
fn background(page: &[u8]) -> Vec<(u64, u64)> {
    let found = scsi::parameters(page).filter(|(code, value)| (1..=0x800).contains(code) && value.len() >= 20);
    let unread = found.filter(|(_, value)| {
        // Not replaced: waits for a write, or replacing failed.
        let (status, key) = (value[4] >> 4, value[4] & 0x0F);
        key == 3 && matches!(status, 1 | 4 | 8)
    });
    unread.map(|(_, value)| (u64::from_be_bytes(value[12..20].try_into().expect("eight bytes")), 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_defects_of_an_ata_drive() {
        let mut page = vec![0; 512];
        page[0] = 2;
        page[16..32].copy_from_slice(&[1, 2, 0, 0, 0, 0, 0, 0, 0x34, 0x12, 0, 0, 1, 0, 0, 0]);
        page[32..48].copy_from_slice(&[1, 2, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(parse_ata_pending(&page, 2), [(0x1_0000_1234, 1), (9, 1)]);
        assert_eq!(parse_ata_pending(&page, usize::MAX).len(), 31);
    }

    #[test]
    fn what_the_background_scan_could_not_read() {
        let entry = |code: u8, status: u8, lba: u8| {
            let mut bytes = vec![0, code, 3, 20];
            bytes.extend([0, 0, 1, 0, status, 0x11, 0, 0, 0, 0, 0, 0]);
            bytes.extend([0, 0, 0, 0, 0, 0, 2, lba]);
            bytes
        };
        let mut page = vec![0, 0, 3, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        page.extend(entry(1, 0x13, 7));
        // Replaced since; a recovered error.
        page.extend(entry(2, 0x23, 8));
        page.extend(entry(3, 0x11, 9));
        assert_eq!(background(&page), [(0x207, 1)]);
        page.truncate(30);
        assert_eq!(background(&page), []);
    }

    #[test]
    fn a_partition_has_only_what_lies_in_it() {
        assert_eq!(within(1 << 20, 512, 1 << 20, (2048, 1)), Some(0..512));
        assert_eq!(within(1 << 20, 512, 1 << 20, (2047, 2)), Some(0..512));
        assert_eq!(within(1 << 20, 512, 1 << 20, (2047, 1)), None);
        assert_eq!(within(1 << 20, 512, 1 << 20, (4096, 1)), None);
        assert_eq!(within(0, 512, 1 << 20, (u64::MAX, 1)), None);
    }
}
