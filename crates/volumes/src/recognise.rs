//! Which file system, or what else, begins at the start of a source.

use crate::field::{le16, le32, peek};
use tintype_core::Source;

/// The name of what a partition or disk holds, by its magic numbers; none if nothing is known there, or if what would
/// tell cannot be read. Reads at most a few sectors. It recognises, it does not check.
pub fn recognise(source: &dyn Source) -> Option<&'static str> {
    let at = |offset: u64, magic: &[u8]| peek(source, offset, magic.len()).is_some_and(|b| b == magic);
    // The surest first: a container before what may be left of an older file system under it.
    const MAGIC: [(u64, &[u8], &str); 12] = [
        (0, b"LUKS\xba\xbe", "luks"),
        (0, b"XFSB", "xfs"),
        (3, b"NTFS    ", "ntfs"),
        (3, b"EXFAT   ", "exfat"),
        (32, b"NXSB", "apfs"),
        (0, b"hsqs", "squashfs"),
        (0, b"sqsh", "squashfs"),
        (0x10040, b"_BHRfS_M", "btrfs"),
        (0x400, b"\x10\x20\xf5\xf2", "f2fs"),
        (0x400, b"H+\x00\x04", "hfs+"),
        (0x400, b"HX\x00\x05", "hfs+"),
        (0x8001, b"CD001", "iso9660"),
    ];
    if (0..4).any(|sector| at(sector * 512, b"LABELONE") && at(sector * 512 + 24, b"LVM2 001")) {
        return Some("lvm2 pv");
    }
    if let Some((.., name)) = MAGIC.iter().find(|(offset, magic, _)| at(*offset, magic)) {
        return Some(name);
    }
    // The last ten bytes of the first page, whatever the machine's page was.
    let pages = [4096, 8192, 16384, 32768, 65536];
    if pages.iter().any(|page| at(page - 10, b"SWAPSPACE2") || at(page - 10, b"SWAP-SPACE")) {
        return Some("swap");
    }
    peek(source, 0x400, 0x68).and_then(|b| ext(&b)).or_else(|| peek(source, 0, 512).and_then(|b| fat(&b)))
}

/// The ext family by its feature words (Linux, fs/ext4/ext4.h): what only the younger ones have makes it younger.
pub(crate) fn ext(superblock: &[u8]) -> Option<&'static str> {
    const HAS_JOURNAL: u32 = 0x4;
    const JOURNAL_DEVICE: u32 = 0x8;
    // Incompatible: filetype, recover, journal device, meta block groups. Read-only: sparse, large file, btree dirs.
    const EXT3_INCOMPAT: u32 = 0x2 | 0x4 | 0x8 | 0x10;
    const EXT3_RO_COMPAT: u32 = 0x1 | 0x2 | 0x4;
    let (compat, incompat, ro) = (le32(superblock, 0x5c), le32(superblock, 0x60), le32(superblock, 0x64));
    (le16(superblock, 0x38) == 0xef53 && incompat & JOURNAL_DEVICE == 0).then_some(())?;
    if incompat & !EXT3_INCOMPAT != 0 || ro & !EXT3_RO_COMPAT != 0 {
        Some("ext4")
    } else if compat & HAS_JOURNAL != 0 {
        Some("ext3")
    } else {
        Some("ext2")
    }
}

/// FAT by its BIOS parameter block; which one, by the count of clusters as Microsoft's specification has it.
pub(crate) fn fat(sector: &[u8]) -> Option<&'static str> {
    let (bytes, per_cluster) = (u64::from(le16(sector, 11)), u64::from(sector[13]));
    let (reserved, fats, roots) = (u64::from(le16(sector, 14)), u64::from(sector[16]), u64::from(le16(sector, 17)));
    let pick = |small: u16, large: u32| if small != 0 { u64::from(small) } else { u64::from(large) };
    let total = pick(le16(sector, 19), le32(sector, 32));
    let table = pick(le16(sector, 22), le32(sector, 36));
    let sane = matches!(sector[0], 0xeb | 0xe9)
        && matches!(bytes, 512 | 1024 | 2048 | 4096)
        && per_cluster.is_power_of_two()
        && reserved > 0
        && (1..=2).contains(&fats)
        && sector[21] >= 0xf0
        && table > 0;
    let system = reserved + fats * table + (roots * 32).div_ceil(bytes.max(1));
    let clusters = total.checked_sub(system).filter(|_| sane)? / per_cluster;
    Some(match clusters {
        _ if roots == 0 && le16(sector, 22) == 0 => "fat32",
        0..4085 => "fat12",
        4085..65525 => "fat16",
        _ => "fat32",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_core::testing::Bytes;

    fn with(len: usize, parts: &[(usize, &[u8])]) -> Bytes {
        let mut bytes = vec![0; len];
        for (at, part) in parts {
            bytes[*at..at + part.len()].copy_from_slice(part);
        }
        Bytes(bytes)
    }

    #[test]
    fn magic_at_its_place() {
        let is = |parts: &[(usize, &[u8])]| recognise(&with(128 << 10, parts));
        assert_eq!(is(&[(0x10040, b"_BHRfS_M")]), Some("btrfs"));
        assert_eq!(is(&[(4086, b"SWAPSPACE2")]), Some("swap"));
        assert_eq!(is(&[(512, b"LABELONE"), (536, b"LVM2 001")]), Some("lvm2 pv"));
        assert_eq!(is(&[(512, b"LABELONE")]), None);
        let ext: &[u8] = &[0x53, 0xef];
        assert_eq!(is(&[(0x438, ext)]), Some("ext2"));
        assert_eq!(is(&[(0x438, ext), (0x45c, &[4])]), Some("ext3"));
        assert_eq!(is(&[(0x438, ext), (0x45c, &[4]), (0x460, &[0x40])]), Some("ext4"));
        assert_eq!(is(&[]), None);
    }

    #[test]
    fn short_sources_hold_nothing() {
        for len in [0, 1, 511, 512, 4096] {
            assert_eq!(recognise(&Bytes(vec![0xff; len])), None);
        }
    }
}
