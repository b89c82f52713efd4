//! Cylinders, heads and sectors, and which size of a disk holds.
//!
//! Source: the appendix "CHS Calculation" of the specification.

use super::layout::{Footer, SECTOR};

/// The most that can be said.
const MOST: u64 = 65535 * 16 * 255;

/// Programs that mean the current size and not the geometry: Hyper-V, Azure, qemu-img with `force_size`, disk2vhd, Xen's tapdisk,
/// XenServer, VirtualBox. All others are taken to be like Virtual PC.
const EXACT: [[u8; 4]; 7] = [*b"win ", *b"wa\0\0", *b"qem2", *b"d2v ", *b"tap\0", *b"CTXS", *b"vbox"];
/// Programs that mean the geometry, even where a fixed disk has bytes behind its end: Virtual PC, Virtual Server, qemu-img.
const BY_GEOMETRY: [[u8; 4]; 3] = [*b"vpc ", *b"vs  ", *b"qemu"];

/// Cylinders, heads, sectors for this many sectors.
pub(super) fn geometry(sectors: u64) -> (u16, u8, u8) {
    let total = sectors.min(MOST);
    let (heads, spt, tracks) = if total >= 65535 * 16 * 63 {
        (16, 255, total / 255)
    } else {
        let tracks = total / 17;
        let heads = tracks.div_ceil(1024).max(4);
        if tracks < heads * 1024 && heads <= 16 {
            (heads, 17, tracks)
        } else if total / 31 < 16 * 1024 {
            (16, 31, total / 31)
        } else {
            (16, 63, total / 63)
        }
    };
    // Within the bounds of the arithmetic above: at most 65535, 16 and 255.
    ((tracks / heads) as u16, heads as u8, spt as u8)
}

fn product((cylinders, heads, sectors): (u16, u8, u8)) -> u64 {
    u64::from(cylinders) * u64::from(heads) * u64::from(sectors)
}

/// The least number of sectors, from `sectors` on, that a geometry can say exactly; `None` where they are too many for one.
pub(super) fn round_up(sectors: u64) -> Option<u64> {
    (sectors <= MOST)
        .then(|| (sectors.max(1)..).find(|s| product(geometry(*s)) >= sectors).unwrap_or(sectors))
        .map(|found| product(geometry(found)))
}

/// How long the disk is by its footer, and what is odd about that; a fixed one has `fixed` bytes in front of it.
pub(super) fn len(footer: &Footer, fixed: Option<u64>) -> (u64, Option<String>) {
    let current = footer.current_size.get();
    let said = product((footer.cylinders.get(), footer.heads, footer.sectors));
    // Bytes that are there, as many as the footer says, are the disk's.
    let there = fixed == Some(current) && !BY_GEOMETRY.contains(&footer.creator_application);
    if EXACT.contains(&footer.creator_application) || there || said == MOST || said == 0 {
        return (current, None);
    }
    let said = said * SECTOR;
    let creator = String::from_utf8_lossy(&footer.creator_application).trim_end_matches([' ', '\0']).to_owned();
    let odd = (said != current).then(|| {
        format!("the geometry says {said} bytes, the footer {current}; as for Virtual PC, the geometry holds (made by {creator:?})")
    });
    (said, odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_other_programs() {
        // What qemu-img 7.2 makes of these sizes in MiB (and of 3,146,240 bytes) without force_size.
        for (bytes, chs) in [(3_146_240, 3_168_256), (102 << 10, 104_448), (1 << 30, 1_073_479_680 + 516_096)] {
            let rounded = round_up(u64::div_ceil(bytes, 512)).unwrap() * 512;
            assert!(rounded >= bytes && rounded - bytes <= 516_096 * 8, "{bytes}: {rounded}");
            if bytes < 1 << 30 {
                assert_eq!(rounded, chs);
            }
        }
        assert_eq!(geometry(MOST + 5), (65535, 16, 255));
        assert_eq!(round_up(MOST + 1), None);
        assert_eq!(round_up(MOST), Some(MOST));
    }
}
