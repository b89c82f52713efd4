use super::*;
use crate::recorded::Recorded;
use tintype_core::Kind;

fn refusal(stack: &Stack, name: &str) -> Option<String> {
    refuse_in_use(stack, stack.node(name).unwrap()).err().map(|e| {
        assert_eq!(e.kind(), Kind::Denied);
        e.to_string()
    })
}

#[test]
fn what_is_used_whole_or_in_part_is_refused() {
    let machine = Recorded::machine();
    let stack = Stack::of(machine.system());
    for (name, words) in [
        ("sda", "this system runs from /dev/sda1"),
        ("sda1", "this system runs from /dev/sda1"),
        ("sda2", "/dev/sda2 is used as swap; switch that off first (swapoff /dev/sda2)"),
        ("sda10", "/dev/sda10 is part of /dev/dm-0 (vg-home)"),
        ("dm-0", "mounted at /home; unmount it first (umount /home)"),
        ("nvme0n1", "part of /dev/md0"),
        ("md0", "mounted at /srv/the array"),
        ("sdb1", "attached as /dev/loop2; detach it first (losetup -d /dev/loop2)"),
        ("sdb", "/dev/sdb1 is attached as /dev/loop2"),
    ] {
        let said = refusal(&stack, name).unwrap_or_else(|| panic!("{name} was not refused"));
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(refusal(&stack, "loop2"), None);
}

#[test]
fn a_drive_mounted_whole_protects_its_partitions() {
    let machine = Recorded::machine();
    machine.file("/proc/self/mountinfo", "27 1 8:16 / /usb rw - iso9660 /dev/sdb ro\n");
    let stack = Stack::of(machine.system());
    assert!(refusal(&stack, "sdb1").unwrap().contains("/dev/sdb is mounted at /usb"));
}

#[test]
fn all_drives_of_a_btrfs_are_in_use() {
    let machine = Recorded::machine();
    machine.file("/proc/self/mountinfo", "27 1 0:33 / /b rw - btrfs /dev/sda10 rw\n");
    for member in ["sda10", "sdb1"] {
        machine.file(&format!("/sys/fs/btrfs/1234/devices/{member}"), "");
    }
    let stack = Stack::of(machine.system());
    assert!(refusal(&stack, "sdb").unwrap().contains("/dev/sdb1 is mounted at /b"));
}

#[test]
fn stacks_are_followed_down_to_the_drive() {
    let machine = Recorded::machine();
    let stack = Stack::of(machine.system());
    let node = |n: &str| stack.node(n).unwrap();
    let drives = |n: &str| stack.physical(&stack.ground(node(n))).into_iter().collect::<Vec<_>>();
    // The file behind loop0 lies on /home, which is dm-0 on sda10.
    for name in ["sda", "sda2", "dm-0", "loop0"] {
        assert_eq!(drives(name), [PathBuf::from("/dev/sda")], "{name}");
    }
    assert_eq!(drives("md0"), [PathBuf::from("/dev/nvme0n1"), "/dev/nvme1n1".into()]);
    assert_eq!(drives("loop2"), [PathBuf::from("/dev/sdb")]);
}

#[test]
fn what_shares_sectors_overlaps() {
    let machine = Recorded::machine();
    let stack = Stack::of(machine.system());
    let overlap = |a: &str, b: &str| {
        let (a, b) = (stack.node(a).unwrap(), stack.node(b).unwrap());
        assert_eq!(stack.overlap(a, b), stack.overlap(b, a));
        stack.overlap(a, b)
    };
    for (a, b) in
        [("sda", "sda1"), ("sda", "dm-0"), ("sda10", "dm-0"), ("md0", "nvme1n1"), ("loop2", "sdb"), ("loop2", "sdb1")]
    {
        assert!(overlap(a, b), "{a} {b}");
    }
    for (a, b) in [("sda1", "sda2"), ("sda", "sdb"), ("sda1", "dm-0"), ("nvme0n1", "nvme1n1"), ("loop2", "sda")] {
        assert!(!overlap(a, b), "{a} {b}");
    }
}

#[test]
fn a_file_does_not_replace_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (a, link, other) = (dir.path().join("a"), dir.path().join("link"), dir.path().join("new"));
    std::fs::write(&a, b"x").unwrap();
    std::os::unix::fs::symlink(&a, &link).unwrap();
    let request = Request { sources: vec![a.clone()] };
    for target in [&a, &link] {
        assert_eq!(check_target(target, &request).err().unwrap().kind(), Kind::Denied);
    }
    assert_eq!(check_target(&other, &request).unwrap(), []);
    assert_eq!(check_target(&dir.path().join("none/x"), &request).err().unwrap().kind(), Kind::Io);
}

#[test]
fn a_source_that_can_change_is_told() {
    let machine = Recorded::machine();
    let stack = Stack::of(machine.system());
    let point = |n: &str| stack.mounted_for_writing(stack.node(n).unwrap());
    assert_eq!(point("sda1"), Some(Path::new("/")));
    assert_eq!(point("sda10"), Some(Path::new("/home")));
    assert_eq!(point("nvme0n1"), Some(Path::new("/srv/the array")));
    assert_eq!((point("sda2"), point("sdb"), point("loop2")), (None, None, None));
}
