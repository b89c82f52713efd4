//! A small machine made of files, for the tests of what reads sysfs.

use crate::sysfs::System;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A tree below a temporary folder.
pub(crate) struct Recorded {
    dir: tempfile::TempDir,
}

impl Recorded {
    /// A SATA disk with a mounted root, swap and an LVM partition; a USB stick; two members of an array; a loop device.
    pub fn machine() -> Self {
        let it = Recorded { dir: tempfile::tempdir().unwrap() };
        let ata = "/sys/devices/pci0/ata3/host2/target2:0:0/2:0:0:0";
        let sda = &format!("{ata}/block/sda");
        it.drive(sda, "8:0", 2_000_000, &[(1, 2048, 100_000), (2, 102_048, 50_000), (10, 200_000, 1_000_000)]);
        it.device(
            sda,
            ata,
            &[("vendor", "ATA     "), ("model", "Short Model 1234"), ("rev", "0001"), ("state", "running")],
        );
        it.file(&format!("{ata}/wwid"), "naa.5000c500a1b2c3d4\n");
        let mut page = vec![b' '; 572];
        for (word, text) in [(10, "SERIAL01"), (23, "FW99"), (27, "The Whole Long Model Name")] {
            for (i, b) in text.bytes().enumerate() {
                page[60 + word * 2 + (i ^ 1)] = b;
            }
        }
        std::fs::write(it.path(&format!("{ata}/vpd_pg89")), page).unwrap();
        let usb = "/sys/devices/pci0/usb2/2-1";
        it.file(&format!("{usb}/idVendor"), "0781");
        it.file(&format!("{usb}/serial"), "USB7");
        let sdb = &format!("{usb}/2-1:1.0/host6/6:0:0:0/block/sdb");
        it.drive(sdb, "8:16", 30_000, &[(1, 63, 29_000)]);
        it.device(
            sdb,
            &format!("{usb}/2-1:1.0/host6/6:0:0:0"),
            &[("vendor", "SanDisk "), ("model", "Ultra"), ("rev", "1.0")],
        );
        it.file(&format!("{sdb}/removable"), "1");
        for (i, name) in ["nvme0n1", "nvme1n1"].iter().enumerate() {
            let dir = &format!("/sys/devices/pci0/nvme/nvme{i}/{name}");
            it.drive(dir, &format!("259:{i}"), 500_000, &[]);
            it.device(
                dir,
                &format!("/sys/devices/pci0/nvme/nvme{i}"),
                &[("model", "Fast"), ("serial", &format!("N{i}")), ("firmware_rev", "2B")],
            );
            it.file(&format!("{dir}/queue/logical_block_size"), "4096");
            it.file(&format!("{dir}/queue/physical_block_size"), "4096");
            it.file(&format!("{dir}/queue/rotational"), "0");
            it.file(&format!("{dir}/holders/md0"), "");
        }
        it.drive("/sys/devices/virtual/block/md0", "9:0", 400_000, &[]);
        it.file("/sys/devices/virtual/block/md0/slaves/nvme0n1", "");
        it.file("/sys/devices/virtual/block/md0/slaves/nvme1n1", "");
        it.drive("/sys/devices/virtual/block/dm-0", "253:0", 90_000, &[]);
        it.file("/sys/devices/virtual/block/dm-0/dm/name", "vg-home");
        it.file("/sys/devices/virtual/block/dm-0/slaves/sda10", "");
        it.file(&format!("{sda}/sda10/holders/dm-0"), "");
        it.drive("/sys/devices/virtual/block/loop0", "7:0", 1000, &[]);
        it.file("/sys/devices/virtual/block/loop0/loop/backing_file", "/home/disk.img\n");
        it.drive("/sys/devices/virtual/block/loop1", "7:1", 0, &[]);
        it.drive("/sys/devices/virtual/block/loop2", "7:2", 29_000, &[]);
        it.file("/sys/devices/virtual/block/loop2/loop/backing_file", "/dev/sdb1\n");
        it.file("/home/disk.img", "x");
        it.file("/run/udev/data/b8:16", "S:disk/by-id/usb-x\nE:ID_MODEL=Never_Used\nE:ID_WWN=0xdead\n");
        std::fs::create_dir_all(it.path("/dev/disk/by-id")).unwrap();
        symlink("../../sda", it.path("/dev/disk/by-id/ata-x")).unwrap();
        symlink("../../sda1", it.path("/dev/disk/by-id/ata-x-part1")).unwrap();
        it.file(
            "/proc/self/mountinfo",
            "22 1 0:21 / /proc rw - proc proc rw\n\
             27 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
             28 27 253:0 / /home rw - xfs /dev/mapper/vg-home rw\n\
             29 27 9:0 / /srv/the\\040array rw - ext4 /dev/md0 rw\n",
        );
        it.file("/proc/swaps", "Filename\tType\tSize\n/dev/sda2                               partition\t1\t0\t-2\n");
        it
    }

    pub fn system(&self) -> System {
        System::recorded(self.dir.path())
    }

    pub fn path(&self, path: &str) -> std::path::PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    pub fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn drive(&self, dir: &str, number: &str, sectors: u64, parts: &[(u32, u64, u64)]) {
        let name = Path::new(dir).file_name().unwrap().to_str().unwrap();
        self.file(&format!("{dir}/dev"), number);
        self.file(&format!("{dir}/size"), &sectors.to_string());
        let (major, minor) = number.split_once(':').unwrap();
        for (n, start, len) in parts {
            let part = format!("{dir}/{name}{n}");
            let minor: u32 = minor.parse::<u32>().unwrap() + n;
            for (file, value) in [("partition", n.to_string()), ("start", start.to_string()), ("size", len.to_string())]
            {
                self.file(&format!("{part}/{file}"), &value);
            }
            self.file(&format!("{part}/dev"), &format!("{major}:{minor}"));
            self.file(&format!("/dev/{name}{n}"), "");
        }
        self.file(&format!("/dev/{name}"), "");
        std::fs::create_dir_all(self.path("/sys/block")).unwrap();
        symlink(self.path(dir), self.path("/sys/block").join(name)).unwrap();
    }

    fn device(&self, drive: &str, dir: &str, files: &[(&str, &str)]) {
        for (file, value) in files {
            self.file(&format!("{dir}/{file}"), value);
        }
        symlink(self.path(dir), self.path(drive).join("device")).unwrap();
    }
}
