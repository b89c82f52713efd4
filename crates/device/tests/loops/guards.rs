//! Targets that must not be written.

use crate::rig::{Loop, Mount, backing, possible, run};
use std::path::{Path, PathBuf};
use tintype_core::Kind;
use tintype_device::disk::BlockDisk;
use tintype_device::enumerate::{Use, devices};
use tintype_device::guard::{Request, Warning, check_target, same_physical_drive};
use tintype_device::{System, block};

fn said(target: &Path, sources: &[&Path]) -> String {
    let request = Request { sources: sources.iter().map(|p| p.to_path_buf()).collect() };
    let e = check_target(target, &request).err().unwrap_or_else(|| panic!("{} was not refused", target.display()));
    assert_eq!(e.kind(), Kind::Denied, "{e}");
    e.to_string()
}

fn fine(target: &Path, sources: &[&Path]) -> Vec<Warning> {
    let request = Request { sources: sources.iter().map(|p| p.to_path_buf()).collect() };
    check_target(target, &request).unwrap_or_else(|e| panic!("{}", e.chain()))
}

/// A disk of two partitions with an ext4 each, and a second, empty disk.
#[test]
fn mounted_shared_and_held_drives_are_refused() {
    let Some(_alone) = possible("mounted_shared_and_held_drives_are_refused") else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = backing(dir.path(), "disk", &[]);
    std::fs::File::options().write(true).open(&file).unwrap().set_len(64 << 20).unwrap();
    let script = dir.path().join("script");
    std::fs::write(&script, "label: dos\nsize=30MiB\nsize=30MiB\n").unwrap();
    run("sh", &["-c", &format!("sfdisk -q {} < {}", file.display(), script.display())]);
    let disk = Loop::new(&file, &[]);
    // Not every kernel reads partition tables itself.
    run("partx", &["-a", disk.0.to_str().unwrap()]);
    let part = |n: u32| PathBuf::from(format!("{}p{n}", disk.0.display()));
    assert!(part(1).exists() && part(2).exists(), "no partitions: devtmpfs is needed");
    run("mkfs.ext4", &["-q", part(1).to_str().unwrap()]);
    let other_file = backing(dir.path(), "other", &[0; 1 << 20]);
    let other = Loop::new(&other_file, &[]);
    // Nothing is in use yet.
    fine(&disk.0, &[&other.0]);
    fine(&part(2), &[&part(1)]);
    // One is a part of the other.
    assert!(said(&disk.0, &[&disk.0]).contains("is the source"));
    assert!(said(&disk.0, &[&part(1)]).contains("share the same sectors"));
    assert!(said(&part(2), &[&disk.0]).contains("share the same sectors"));
    // The file behind.
    assert!(said(&file, &[]).contains("is attached as"));
    assert!(said(&disk.0, &[&file]).contains("lies on the target"));
    // Held by somebody.
    let held = BlockDisk::open(&part(2)).unwrap();
    assert!(said(&part(2), &[]).contains("holds this drive"));
    assert!(said(&disk.0, &[]).contains("holds this drive"));
    drop(held);
    // Mounted: itself, its whole drive; the sibling is free.
    let mount = Mount::new(&part(1), dir.path().join("mount point"), "rw");
    assert!(said(&part(1), &[]).contains("unmount it first"));
    assert!(said(&disk.0, &[]).contains("unmount it first"));
    assert!(BlockDisk::open(&disk.0).is_err());
    fine(&part(2), &[]);
    // A new file on it is inside the drive that is read, and inside that partition, but not inside its sibling.
    let new = mount.0.join("x.img");
    assert!(said(&new, &[&disk.0]).contains("would lie on the source"));
    assert!(said(&new, &[&part(1)]).contains("would lie on the source"));
    let warnings = fine(&new, &[&part(2)]);
    assert!(matches!(&warnings[..], [Warning::SameDrive(_)]), "{warnings:?}");
    assert!(fine(dir.path().join("y.img").as_path(), &[&part(1)]).iter().any(|w| matches!(w, Warning::Mounted { .. })));
    // A drive inside a file on it: what is written to that drive lands in the partition.
    let nested_file = mount.0.join("nested");
    std::fs::write(&nested_file, vec![0; 1 << 20]).unwrap();
    let nested = Loop::new(&nested_file, &[]);
    assert!(said(&nested.0, &[&part(1)]).contains("share the same sectors"));
    assert!(said(&nested_file, &[]).contains("is attached as"));
    fine(&nested.0, &[&part(2)]);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(part(1), &link).unwrap();
    assert!(said(&link, &[]).contains("unmount it first"));
    assert_eq!(same_physical_drive(&nested_file, &disk.0).unwrap(), same_physical_drive(&file, &file).unwrap());
    // The list says the same.
    let drives = devices(&System::here());
    let listed = drives.iter().find(|d| d.path == disk.0).unwrap();
    assert_eq!((listed.len, listed.partitions.len()), (64 << 20, 2));
    assert_eq!(listed.partitions[0].uses, [Use::Mounted(mount.0.clone())]);
    assert_eq!(listed.backing.as_deref(), Some(file.as_path()));
    assert_eq!(listed.identity.transport, "loop");
    // Reading is never refused.
    block::open(&disk.0).unwrap();
    drop(nested);
}

#[test]
fn swap_is_refused() {
    let Some(_alone) = possible("swap_is_refused") else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = backing(dir.path(), "swap", &vec![0; 1 << 20]);
    let device = Loop::new(&file, &[]);
    let path = device.0.to_str().unwrap();
    run("mkswap", &["-q", path]);
    run("swapon", &[path]);
    let message = std::panic::catch_unwind(|| said(&device.0, &[]));
    run("swapoff", &[path]);
    assert!(message.unwrap().contains("swapoff"));
    fine(&device.0, &[]);
}
