//! What files of others do not show.

use super::*;
use tintype_core::Kind;
use tintype_core::testing::{Model, check_source, open_bytes};

/// A disk of `version` whose extents of 4 KiB lie in reverse order; every third is not there, and a sector in each is not.
fn bochs(model: &mut Model, version: u32) -> Vec<u8> {
    let extents = model.bytes.len() / 4096;
    let mut file = MAGIC.to_vec();
    file.resize(32, 0);
    file.extend(b"Redolog\0\0\0\0\0\0\0\0\0Growing\0\0\0\0\0\0\0\0\0");
    for number in [version, 512, extents as u32, 1, 4096] {
        file.extend(number.to_le_bytes());
    }
    if version > 0x10000 {
        file.extend([7; 4]);
    }
    file.extend((model.bytes.len() as u64).to_le_bytes());
    file.resize(512, 0);
    for n in 0..extents {
        let number = if n % 3 == 2 { u32::MAX } else { (extents - 1 - n) as u32 };
        file.extend(number.to_le_bytes());
    }
    for n in (0..extents).rev() {
        let plain = &mut model.bytes[n * 4096..(n + 1) * 4096];
        file.push(0b1111_1011);
        file.resize(file.len() + 511, 0);
        file.extend(&plain[..]);
        match n % 3 {
            2 => plain.fill(0),
            _ => plain[1024..1536].fill(0),
        }
    }
    file
}

#[test]
fn both_versions_are_read() {
    for version in [0x10000, 0x20000] {
        let mut model = Model::noise(4096 * 20, u64::from(version));
        let file = bochs(&mut model, version);
        check_source(&*read::open(&open_bytes("d.bochs", file.clone())).unwrap().disk, &model);
        assert_eq!(check::check(&open_bytes("d.bochs", file)).unwrap(), []);
    }
}

#[test]
fn damage_is_found() {
    let good = bochs(&mut Model::noise(4096 * 20, 1), 0x20000);
    let with = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        open_bytes("d.bochs", file)
    };
    let found =
        |at, bytes: &[u8]| check::check(&with(at, bytes)).unwrap().iter().map(|f| f.what.clone()).collect::<String>();
    assert!(found(512, &[18]).contains("lie over each other"), "{}", found(512, &[18]));
    assert!(found(512, &[99]).contains("outside the file"));
    // The last sector of the last extent in the file is cut off: lost if it has a bit, else never there.
    for (bits, gone, lost) in [(0b0111_1011, 512, false), (0b0111_1011, 513, true), (0b1111_1011, 1, true)] {
        let mut cut = good[..good.len() - gone].to_vec();
        cut[good.len() - 4096 - 512] = bits;
        let found = check::check(&open_bytes("d.bochs", cut.clone())).unwrap();
        let read = read::open(&open_bytes("d.bochs", cut)).unwrap().disk.read_at(&mut vec![0; 4096 * 20], 0);
        assert_eq!((!found.is_empty(), read.is_err()), (lost, lost), "{gone}: {found:?}");
    }
    assert!(read::open(&with(512, &[99])).unwrap().disk.read_at(&mut [0; 4], 0).is_err());
    for (at, bytes, kind) in [
        (0x30, &b"Volatile"[..], Kind::Unsupported),
        (0x42, &[9], Kind::Unsupported),
        (0x48, &[1, 0], Kind::Corrupt),
        (0x48, &[0, 0, 0, 1], Kind::Corrupt),
        (0x4c, &[0, 0], Kind::Corrupt),
        (0x50, &[1], Kind::Corrupt),
    ] {
        let e = read::open(&with(at, bytes)).err().unwrap_or_else(|| panic!("{at:#x}"));
        assert_eq!(e.kind(), kind, "{at:#x}: {e}");
    }
}
