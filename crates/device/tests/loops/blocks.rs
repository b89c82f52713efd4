//! Drives read and written at any offset.

use crate::rig::{Loop, backing, possible, run};
use std::fs::File;
use tintype_core::testing::{Model, check_source};
use tintype_core::{Aligned, Disk, Kind, Source};
use tintype_device::{block, disk};

#[test]
fn a_drive_reads_right_at_any_offset() {
    let Some(_alone) = possible("a_drive_reads_right_at_any_offset") else { return };
    let dir = tempfile::tempdir().unwrap();
    for (sector, len) in [(512, 3 << 20), (4096, 3 << 20), (512, 1_000_448)] {
        let model = Model::noise(len, 5);
        let file = backing(dir.path(), "disk", &model.bytes);
        let device = Loop::new(&file, &["-r", "-b", &sector.to_string()]);
        let source = block::open(&device.0).unwrap();
        assert_eq!((source.shape().sector, source.shape().direct), (sector, true));
        assert_eq!(source.len(), len as u64);
        check_source(&source, &model);
        let mut whole = Aligned::new(len);
        source.read_at(&mut whole, 0).unwrap();
        assert!(whole[..] == model.bytes[..]);
        assert!(source.is_read_only());
        assert_eq!(disk::BlockDisk::open(&device.0).err().unwrap().kind(), Kind::Denied);
    }
}

/// The kernel itself cannot reach what follows the last whole sector, neither way.
#[test]
fn the_end_that_is_no_sector_is_unreadable_and_nothing_else() {
    let Some(_alone) = possible("the_end_that_is_no_sector_is_unreadable_and_nothing_else") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (len, whole) = (1_000_448, 999_424);
    let model = Model::noise(len, 5);
    let device = Loop::new(&backing(dir.path(), "disk", &model.bytes), &["-b", "4096"]);
    let source = block::open(&device.0).unwrap();
    assert_eq!(source.len(), len as u64);
    for from in [0, 1, 4096, whole - 7, whole] {
        let mut buf = vec![0; len - from];
        let e = source.read_at(&mut buf, from as u64).err().unwrap();
        assert_eq!(e.kind(), Kind::Unreadable { good: (whole - from) as u64, first_bad: None });
        assert!(buf[..whole - from] == model.bytes[from..whole]);
    }
    let target = disk::BlockDisk::open(&device.0).unwrap();
    let e = target.write_at(&model.bytes, 0).and_then(|()| target.flush()).err().unwrap();
    assert_eq!((e.kind(), e.offset()), (Kind::Io, Some(whole as u64)));
}

#[test]
fn a_drive_is_written_at_any_offset() {
    let Some(_alone) = possible("a_drive_is_written_at_any_offset") else { return };
    let dir = tempfile::tempdir().unwrap();
    for (sector, len) in [(512, 3 << 20), (4096, 3 << 20), (512, 1_000_448)] {
        let mut want = Model::noise(len, 9).bytes;
        let file = backing(dir.path(), "disk", &want);
        let device = Loop::new(&file, &["-b", &sector.to_string()]);
        let target = disk::BlockDisk::open(&device.0).unwrap();
        assert!(disk::BlockDisk::open(&device.0).is_err(), "two programs write one drive");
        let new = Model::noise(2 << 20, 11).bytes;
        for (at, n) in [(0, 512), (1, 511), (4095, 2), (5000, 1_000_000 - 5_000), (700, 70_000), (len - 300, 300)] {
            let n = n.min(len - at);
            target.write_at(&new[..n], at as u64).unwrap();
            want[at..at + n].copy_from_slice(&new[..n]);
        }
        for (at, n) in [(0, 100), (3000, 300_000), (4096, 4096), (len - 5000, 5000), (512, 0)] {
            target.zero(at as u64, n as u64).unwrap();
            want[at..at + n].fill(0);
        }
        let mut aligned = Aligned::new(64 << 10);
        aligned.copy_from_slice(&new[..64 << 10]);
        target.write_at(&aligned, 8192).unwrap();
        want[8192..8192 + (64 << 10)].copy_from_slice(&aligned);
        assert_eq!(target.write_at(&new[..2], len as u64 - 1).err().unwrap().kind(), Kind::Usage);
        assert_eq!(target.zero(len as u64, 1).err().unwrap().kind(), Kind::Usage);
        target.flush().unwrap();
        let mut back = vec![0; len];
        target.read_at(&mut back, 0).unwrap();
        assert!(back == want);
        drop(target);
        drop(device);
        assert!(std::fs::read(&file).unwrap() == want);
    }
}

#[test]
fn a_drive_that_loses_its_end_is_told_apart_from_bad_sectors() {
    let Some(_alone) = possible("a_drive_that_loses_its_end_is_told_apart_from_bad_sectors") else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = backing(dir.path(), "disk", &vec![3; 1 << 20]);
    let device = Loop::new(&file, &["-r"]);
    let source = block::open(&device.0).unwrap();
    File::options().write(true).open(&file).unwrap().set_len(512 << 10).unwrap();
    run("losetup", &["-c", device.0.to_str().unwrap()]);
    let mut buf = vec![0; 1 << 20];
    let e = source.read_at(&mut buf, 0).err().unwrap();
    assert_eq!((e.kind(), e.offset()), (Kind::Io, Some(512 << 10)), "{e}");
    assert!(source.changed().unwrap().unwrap().contains("size has changed"));
}
