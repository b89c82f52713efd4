//! Folders that are full, read-only, or of a file system with short files.

use crate::rig::{Loop, Mount, backing, possible, run};
use std::path::Path;
use tintype_core::{Error, Kind, Opener, Outlet};
use tintype_device::file::Uncached;
use tintype_device::folder::{Folder, Reach, Reading};

fn formatted(dir: &Path, size: u64, options: &[&str]) -> Loop {
    let file = backing(dir, "fs", &[]);
    std::fs::File::options().write(true).open(&file).unwrap().set_len(size).unwrap();
    let device = Loop::new(&file, &[]);
    run("mkfs.ext4", &[options, &["-q", device.0.to_str().unwrap()]].concat());
    device
}

fn tells(e: &Error, words: &str, path: &Path) {
    assert_eq!(e.kind(), Kind::Io);
    assert!(e.what().contains(words), "{}", e.chain());
    assert_eq!(e.path(), Some(path));
}

#[test]
fn a_full_and_a_read_only_target_say_so() {
    let Some(_alone) = possible("a_full_and_a_read_only_target_say_so") else { return };
    let dir = tempfile::tempdir().unwrap();
    let device = formatted(dir.path(), 8 << 20, &[]);
    let point = dir.path().join("mount");
    let path = point.join("x.img");
    {
        let _mount = Mount::new(&device.0, point.clone(), "rw");
        let folder = Folder::open(&point, Reach::Beside).unwrap();
        let file = folder.create("x.img").unwrap();
        let block = vec![7; 1 << 20];
        let mut at = 0;
        let e = loop {
            match file.write_at(&block, at) {
                Ok(()) => at += block.len() as u64,
                Err(e) => break e,
            }
            assert!(at < 16 << 20);
        };
        tells(&e, "the target is full", &path);
        // As much of the last block as had room was written: what counts is that the place is told and inside it.
        assert!(e.offset().is_some_and(|o| (at..at + block.len() as u64).contains(&o)), "{e}");
        assert_eq!(e.errno(), Some(28));
        file.sync().unwrap();
        assert!(folder.space().unwrap().unwrap() < 1 << 20);
        // What did fit is there, and is read from the medium.
        let source = folder.reading(Reading::Uncached).open("x.img").unwrap();
        let mut back = vec![0; 1 << 20];
        source.read_at(&mut back, 3).unwrap();
        assert!(back.iter().all(|b| *b == 7));
        let direct = Uncached::open(&path).unwrap();
        tintype_core::Source::read_at(&direct, &mut back, 0).unwrap();
        assert!(direct.past_cache());
    }
    let _mount = Mount::new(&device.0, point.clone(), "ro");
    let folder = Folder::open(&point, Reach::Beside).unwrap();
    tells(&folder.create("y.img").err().unwrap(), "read-only", &point.join("y.img"));
    tells(&folder.reopen("x.img").err().unwrap(), "read-only", &path);
    tells(&folder.remove("x.img").err().unwrap(), "read-only", &path);
    folder.open("x.img").unwrap();
}

#[test]
fn a_file_system_with_short_files_says_so() {
    let Some(_alone) = possible("a_file_system_with_short_files_says_so") else { return };
    let dir = tempfile::tempdir().unwrap();
    let device = formatted(dir.path(), 8 << 20, &["-O", "^extent,^64bit", "-b", "1024"]);
    let point = dir.path().join("mount");
    let _mount = Mount::new(&device.0, point.clone(), "rw");
    let folder = Folder::open(&point, Reach::Beside).unwrap();
    let file = folder.create("x.img").unwrap();
    tells(&file.set_len(1 << 40).err().unwrap(), "--split", &point.join("x.img"));
}
