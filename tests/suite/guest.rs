//! Drives that take commands, in a guest: what the kernel of this machine may have no drivers for.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use tintype_tests::{Bus, Deadline, Guest, GuestDrive, Need::*, Scratch, check_map, sample, tool};

tintype_tests::topic! {
    exactly_the_bad_sectors_are_left:
        [Long, Tool("qemu-system-x86_64"), Tool("sg_raw"), Tool("apt-get"), Tool("sfdisk")],
    one_read_is_one_command: [Long, Tool("qemu-system-x86_64"), Tool("sg_raw"), Tool("apt-get")],
    what_the_drive_says_is_understood: [Long, Tool("qemu-system-x86_64"), Tool("sg_raw"), Tool("apt-get")],
    unplugged_and_plugged_in_again: [Long, Tool("qemu-system-x86_64"), Tool("sg_raw"), Tool("apt-get")],
    a_drive_that_hangs_is_brought_back: [Long, Tool("qemu-system-x86_64"), Tool("sg_raw"), Tool("apt-get")],
    suspect_reads_of_drives_that_know_none:
        [Long, Tool("qemu-system-x86_64"), Tool("sg_raw"), Tool("apt-get"), Tool("sg_opcodes")],
    settings_are_put_back: [Long, Tool("qemu-system-x86_64"), Tool("sg_raw"), Tool("apt-get"), Tool("nvme")],
    reset_three_times: [Long, Tool("qemu-system-x86_64"), Tool("sg_raw"), Tool("apt-get"), Tool("mkfs.ext4")],
}

const LEN: usize = 16 << 20;

fn backing(scratch: &Scratch, name: &str, seed: u64) -> (Vec<u8>, PathBuf) {
    let bytes: Vec<u8> = sample(LEN, seed).into_iter().map(|b| b | 1).collect();
    let file = scratch.file(name, &bytes);
    (bytes, file)
}

/// Sectors of 512 bytes in a list of a result.
fn sectors(list: &Value) -> BTreeSet<u64> {
    let all = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    let range = |r: &Value| (r["offset"].as_u64().unwrap_or(0), r["len"].as_u64().unwrap_or(0));
    all.iter().map(range).flat_map(|(offset, len)| offset / 512..(offset + len) / 512).collect()
}

fn exactly_the_bad_sectors_are_left() {
    let scratch = Scratch::new();
    let kinds = [
        (Bus::Ahci, "SATA512", 512, "SCSI commands"),
        (Bus::Scsi, "SCSI512", 512, "SCSI commands"),
        (Bus::Scsi, "SCSI4K", 4096, "SCSI commands"),
        (Bus::Nvme, "NVME512", 512, "NVMe commands"),
        (Bus::Nvme, "NVME4K", 4096, "NVMe commands"),
        (Bus::Usb, "USB512", 512, "SCSI commands"),
        (Bus::Virtio, "VIRTIO512", 512, ""),
    ];
    let mut drives = Vec::new();
    let mut all = Vec::new();
    for (n, (bus, serial, sector, commands)) in kinds.into_iter().enumerate() {
        let (bytes, file) = backing(&scratch, serial, 900 + n as u64);
        let bad: Vec<u64> = vec![7, 10_000, 10_009, 20_001, LEN as u64 / 512 - 1];
        drives.push(GuestDrive { sector, bad: bad.clone(), ..GuestDrive::new(bus, &file, serial) });
        let per = u64::from(sector) / 512;
        let lost: BTreeSet<u64> = bad.iter().flat_map(|s| s / per * per..(s / per + 1) * per).collect();
        all.push((serial, commands, bytes, lost));
    }
    let (mut bytes, file) = backing(&scratch, "parted", 910);
    tool("sfdisk", &[&"-q", &file]).stdin(std::fs::File::open(scratch.file("table", b"2048,20000")).unwrap()).ok();
    bytes.drain(..2048 * 512);
    bytes.truncate(20_000 * 512);
    drives.push(GuestDrive { bad: vec![1_000, 12_048, 30_000], ..GuestDrive::new(Bus::Scsi, &file, "PARTED") });
    let mut guest = Guest::boot(drives);
    // Blocks of a partition are counted from its begin, not from that of the drive.
    let path = guest.path_of("PARTED") + "1";
    let said = guest.sh(&format!("tintype rescue {path} /tmp/t.img --json"));
    assert!(said.err.contains("SCSI commands"), "{}", said.err);
    assert_eq!(sectors(&said.json()["bad"]), BTreeSet::from([10_000]));
    let (map, image) = (guest.ok("cat /tmp/t.img.map").text(), guest.ok("cat /tmp/t.img").out);
    assert_eq!(check_map(&map, &image, &bytes), BTreeSet::from([10_000]));
    guest.ok("rm /tmp/t.*");
    for (serial, commands, bytes, lost) in all {
        let path = guest.path_of(serial);
        let said = guest.sh(&format!("tintype rescue {path} /tmp/t.img --json"));
        assert_eq!(said.status, 1, "{serial}: {}", said.err);
        assert!(said.err.contains(commands), "{serial}: {}", said.err);
        assert!(!commands.is_empty() || !said.err.contains("commands"), "{serial}: {}", said.err);
        assert_eq!(sectors(&said.json()["bad"]), lost, "{serial}");
        let image = guest.ok("cat /tmp/t.img").out;
        let map = guest.ok("cat /tmp/t.img.map").text();
        assert_eq!(check_map(&map, &image, &bytes), lost, "{serial}");
        guest.ok("rm /tmp/t.*");
    }
    // ATA commands, where there is an ATA drive, come to the same.
    let path = guest.path_of("SATA512");
    let said = guest.sh(&format!("tintype rescue {path} /tmp/t.img --json --passthrough ata"));
    assert!(said.err.contains("ATA commands"), "{}", said.err);
    assert_eq!(sectors(&said.json()["bad"]).len(), 5);
}

/// Loads scsi_debug; returns its path and the file that takes rules.
fn scsi_debug(guest: &mut Guest, options: &str) -> (String, String) {
    guest.ok(&format!("modprobe scsi_debug dev_size_mb=16 ndelay=20000 {options}"));
    let rules = Deadline::after(60).poll(|| {
        let said = guest.sh("ls /sys/kernel/debug/scsi_debug/*:*:*:*/error");
        (said.status == 0).then(|| said.text())
    });
    let rules = rules.expect("scsi_debug takes rules: Linux 6.7");
    let address = rules.trim_end_matches("/error").rsplit('/').next().unwrap_or_default().to_owned();
    let name = Deadline::after(60).poll(|| {
        let said = guest.sh(&format!("ls /sys/bus/scsi/devices/{address}/block"));
        (said.status == 0 && !said.text().is_empty()).then(|| said.text())
    });
    (format!("/dev/{}", name.expect("it is a drive")), rules)
}

/// How many commands a rule that is to hold for `count` of them has met: the kernel's own count.
fn met(guest: &mut Guest, rules: &str, count: i64) -> i64 {
    let text = guest.ok(&format!("cat {rules}")).text();
    let left = text.lines().skip(1).find_map(|l| l.split_whitespace().nth(1)?.parse::<i64>().ok());
    count + left.unwrap_or_else(|| panic!("no rule: {text}"))
}

fn one_read_is_one_command() {
    let mut guest = Guest::boot(Vec::new());
    let (path, rules) = scsi_debug(&mut guest, "");
    // Medium error, hardware error, aborted command: READ (10) always fails.
    for sense in ["0x3 0x11 0x0", "0x4 0x44 0x0", "0xb 0x0 0x6"] {
        guest.ok(&format!("echo '2 -1000 0x28 0 0 0x2 {sense}' > {rules}"));
        let json = guest.sh(&format!("tintype rescue {path} /tmp/t.img --json --max-errors 20")).json();
        assert_eq!(met(&mut guest, &rules, 1000), 20, "{sense}");
        assert_eq!((&json["reads"], &json["failed_reads"]), (&20.into(), &20.into()), "{sense}");
        guest.ok(&format!("echo '- 2 0x28' > {rules}; rm /tmp/t.*"));
    }
    // The same through the kernel takes more: what this is for.
    guest.ok(&format!("echo '2 -1000 0x28 0 0 0x2 0xb 0x0 0x6' > {rules}"));
    guest.sh(&format!("tintype rescue {path} /tmp/t.img -q --max-errors 20 --passthrough no"));
    assert!(met(&mut guest, &rules, 1000) > 60, "the kernel tries again");
    guest.ok(&format!("echo '- 2 0x28' > {rules}; rm /tmp/t.*"));
    // After a reset and while it spins up the drive has not begun: nothing is lost, and nothing counts as failed.
    for sense in ["0x6 0x29 0x0", "0x2 0x4 0x1"] {
        guest.ok(&format!("echo '2 -3 0x28 0 0 0x2 {sense}' > {rules}"));
        let json = guest.ok(&format!("tintype rescue {path} /tmp/t.img --json")).json();
        assert_eq!((&json["failed_reads"], &json["rescued"]), (&0.into(), &LEN.into()), "{sense}");
        guest.ok(&format!("echo '- 2 0x28' > {rules}; rm /tmp/t.*"));
    }
    // A command that is never answered is taken back, and the drive stays in use.
    guest.ok(&format!("echo '0 -1 0x28' > {rules}"));
    let json = guest.ok(&format!("tintype rescue {path} /tmp/t.img --json --read-timeout 1")).json();
    assert_eq!((&json["failed_reads"], &json["hung_reads"], &json["rescued"]), (&1.into(), &0.into(), &LEN.into()));
    let address = rules.trim_end_matches("/error").rsplit('/').next().unwrap_or_default();
    assert_eq!(guest.ok(&format!("cat /sys/bus/scsi/devices/{address}/state")).text(), "running");
}

fn what_the_drive_says_is_understood() {
    let mut guest = Guest::boot(Vec::new());
    let (path, _) = scsi_debug(&mut guest, "opts=2 medium_error_start=0x1234 medium_error_count=10");
    let said = guest.sh(&format!("tintype rescue {path} /tmp/t.img --json"));
    let lost: BTreeSet<u64> = (0x1234..0x1234 + 10).collect();
    assert_eq!(sectors(&said.json()["bad"]), lost, "{}", said.err);
    assert_eq!(said.json()["rescued"], LEN as u64 - 10 * 512);
    // Its temperature, as scsi_debug answers it and sg_logs shows it.
    let logs = guest.ok(&format!("sg_logs -p 0xd {path}")).text();
    let list = guest.ok("tintype devices --health --json").json();
    let drive = list["devices"].as_array().and_then(|l| l.iter().find(|d| d["path"] == *path)).cloned();
    let smart = drive.unwrap_or_default()["smart"].clone();
    assert!(logs.contains(&format!("Current temperature = {} C", smart["temperature"])), "{logs} {smart}");
    assert_eq!(smart["failing"], false);
}

fn suspect_reads_of_drives_that_know_none() {
    let scratch = Scratch::new();
    let (bytes, sata) = backing(&scratch, "sata", 950);
    let (_, nvme) = backing(&scratch, "nvme", 951);
    let (_, virtio) = backing(&scratch, "virtio", 952);
    let bad = vec![7, 10_000];
    let mut guest = Guest::boot(vec![
        GuestDrive { bad: bad.clone(), ..GuestDrive::new(Bus::Ahci, &sata, "SATALONG") },
        GuestDrive::new(Bus::Nvme, &nvme, "NVMELONG"),
        GuestDrive::new(Bus::Virtio, &virtio, "VIRTIOLONG"),
    ]);
    // Where there is nothing to ask with, that is said before anything is read.
    for (serial, why) in [("NVMELONG", "NVMe drives have none"), ("VIRTIOLONG", "takes no commands")] {
        let path = guest.path_of(serial);
        let said = guest.sh(&format!("tintype rescue {path} /tmp/n.img --suspect-reads"));
        assert!(said.status == 3 && said.err.contains(why), "{serial}: {} {}", said.status, said.err);
        assert_eq!(guest.sh("ls /tmp/n.img /tmp/n.img.map").out, b"", "{serial}");
    }
    // QEMU's SATA disk refuses READ LONG: that is found out, and everything else is as without.
    let path = guest.path_of("SATALONG");
    let said = guest.sh(&format!("tintype rescue {path} /tmp/t.img --json --suspect-reads=image"));
    assert_eq!(said.status, 1, "{}", said.err);
    for words in ["counts as not rescued", "ATA READ LONG is not used"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    assert_eq!(sectors(&said.json()["bad"]), bad.iter().copied().collect());
    assert_eq!(said.json()["suspect"], serde_json::json!([]));
    let (map, image) = (guest.ok("cat /tmp/t.img.map").text(), guest.ok("cat /tmp/t.img").out);
    assert_eq!(check_map(&map, &image, &bytes), bad.into_iter().collect());
    guest.ok("rm /tmp/t.*");
    // scsi_debug has neither READ LONG, by its own word, nor takes mode page 01h.
    let (path, _) = scsi_debug(&mut guest, "opts=2 medium_error_start=0x1234 medium_error_count=10");
    let known = guest.ok(&format!("sg_opcodes {path}")).text();
    assert!(known.contains("Read(10)") && !known.contains("Read long"), "{known}");
    guest.ok(&format!("dd if=/dev/urandom of={path} bs=1M count=16; sync"));
    let said = guest.sh(&format!("tintype rescue {path} /tmp/t.img --json --suspect-reads --prepare"));
    assert_eq!(said.status, 1, "{}", said.err);
    assert!(said.err.contains("(TB) is not used") && said.err.contains("READ LONG is not used"), "{}", said.err);
    assert_eq!(sectors(&said.json()["bad"]), (0x1234..0x1234 + 10).collect(), "{}", said.err);
    assert_eq!((&said.json()["suspect"], &said.json()["suspect_reads"]), (&serde_json::json!([]), &0.into()));
    // What it says of them in its own numbers is kept.
    let failures = said.json()["failures"].clone();
    assert_eq!(
        (&failures[0]["failure"], &failures[0]["said"]),
        (&"medium".into(), &"sense 3/11/00".into()),
        "{failures}"
    );
    assert_eq!(guest.sh("ls /tmp/t.img.map.suspect /tmp/t.img.map.suspect.img").out, b"");
}

fn unplugged_and_plugged_in_again() {
    let scratch = Scratch::new();
    let mut drives = Vec::new();
    let mut all = Vec::new();
    for (n, (bus, serial)) in
        [(Bus::Usb, "USBGONE"), (Bus::Nvme, "NVMEGONE"), (Bus::Scsi, "SCSIGONE")].into_iter().enumerate()
    {
        let (bytes, file) = backing(&scratch, serial, 920 + n as u64);
        drives.push(GuestDrive { rate: 2 << 20, ..GuestDrive::new(bus, &file, serial) });
        all.push((serial, bytes));
    }
    let mut guest = Guest::boot(drives);
    for (serial, bytes) in all {
        let path = guest.path_of(serial);
        guest.ok(&format!("tintype rescue {path} /tmp/t.img > /tmp/t.out 2>&1 & echo $! > /tmp/t.pid"));
        kept(&mut guest, "/tmp/t.img.map.journal");
        guest.unplug(serial);
        let ended = Deadline::after(120).poll(|| (guest.sh("kill -0 $(cat /tmp/t.pid)").status != 0).then_some(()));
        assert!(ended.is_some(), "{serial}: the rescue of a drive that is gone ends");
        let said = guest.ok("cat /tmp/t.out").text();
        assert!(said.contains("vanished"), "{serial}: {said}");
        let (map, image) = (guest.ok("cat /tmp/t.img.map").text(), guest.ok("cat /tmp/t.img").out);
        let missing = check_map(&map, &image, &bytes).len();
        assert!(missing > 0 && missing < LEN / 512, "{serial}: {missing}");
        assert!(!map.lines().any(|l| l.ends_with("  -")), "{serial}: no sector is called bad for that: {map}");
        guest.plug(serial);
        // It may have another name now.
        let path = guest.path_of(serial);
        let json = guest.ok(&format!("tintype rescue {path} /tmp/t.img --json")).json();
        assert_eq!(json["rescued"], LEN, "{serial}");
        assert!(guest.ok("cat /tmp/t.img").out == bytes, "{serial}");
        guest.ok("rm /tmp/t.*");
    }
}

/// Waits until a journal names something.
#[track_caller]
fn kept(guest: &mut Guest, journal: &str) {
    let some = Deadline::after(120).poll(|| (guest.sh(&format!("grep -q '^r ' {journal}")).status == 0).then_some(()));
    assert!(some.is_some(), "the journal grows");
}

fn a_drive_that_hangs_is_brought_back() {
    let mut guest = Guest::boot(Vec::new());
    for step in ["device", "link"] {
        let (path, rules) = scsi_debug(&mut guest, "");
        let address = rules.trim_end_matches("/error").rsplit('/').next().unwrap_or_default().to_owned();
        // One read is never answered, its abort fails, and the drive says nothing while the kernel looks after it: it is given up.
        for rule in ["0 -1 0x28", "3 -1 0x28", "0 -4 0x0"] {
            guest.ok(&format!("echo '{rule}' > {rules}"));
        }
        guest.ok(&format!("echo 1 > /sys/bus/scsi/devices/{address}/eh_timeout"));
        let line = format!("tintype rescue {path} /tmp/t.img --json --read-timeout 1");
        if step == "device" {
            let said = guest.sh(&line);
            assert_eq!(said.status, 3, "without a ladder the drive is gone: {}", said.err);
            assert_eq!(guest.ok(&format!("cat /sys/bus/scsi/devices/{address}/state")).text(), "offline");
            guest.ok(&format!("echo running > /sys/bus/scsi/devices/{address}/state; rm /tmp/t.*"));
            for rule in ["0 -1 0x28", "3 -1 0x28", "0 -4 0x0"] {
                guest.ok(&format!("echo '{rule}' > {rules}"));
            }
        }
        let said = guest.sh(&format!("{line} --reset {step}"));
        assert_eq!(said.status, 0, "{step}: {}", said.err);
        assert_eq!(said.json()["rescued"], LEN, "{step}");
        assert!(said.err.contains(&format!("{step} reset: the drive answers again")), "{step}: {}", said.err);
        guest.ok("rm /tmp/t.*; rmmod scsi_debug");
    }
}

fn settings_are_put_back() {
    let scratch = Scratch::new();
    let (_, nvme) = backing(&scratch, "nvme", 940);
    let (_, sata) = backing(&scratch, "sata", 941);
    let slow = |bus, file, serial| GuestDrive { rate: 1 << 20, ..GuestDrive::new(bus, file, serial) };
    let mut guest = Guest::boot(vec![slow(Bus::Nvme, &nvme, "NVMESET"), slow(Bus::Ahci, &sata, "SATASET")]);
    let path = guest.path_of("NVMESET");
    // Asked by somebody else: the time limit for error recovery, in tenths of a second.
    let limit = |guest: &mut Guest| {
        let text = guest.ok(&format!("nvme get-feature {path} -n 1 -f 5")).text();
        let value =
            text.rsplit(':').next().and_then(|v| u32::from_str_radix(v.trim().trim_start_matches("0x"), 16).ok());
        value.unwrap_or_else(|| panic!("no value: {text}"))
    };
    guest.ok(&format!("nvme set-feature {path} -n 1 -f 5 -v 77"));
    assert_eq!(limit(&mut guest), 77);
    let start = |guest: &mut Guest, options: &str| {
        guest.ok(&format!("tintype rescue {path} /tmp/t.img {options} > /tmp/t.out 2>&1 & echo $! > /tmp/t.pid"));
        kept(guest, "/tmp/t.img.map.journal");
    };
    let ended = |guest: &mut Guest| {
        let gone = Deadline::after(120).poll(|| (guest.sh("kill -0 $(cat /tmp/t.pid)").status != 0).then_some(()));
        assert!(gone.is_some(), "it ends: {}", guest.sh("cat /tmp/t.out").text());
    };
    start(&mut guest, "");
    assert_eq!(limit(&mut guest), 77, "nothing is changed unasked");
    guest.ok("kill -INT $(cat /tmp/t.pid)");
    ended(&mut guest);
    let changed = |guest: &mut Guest| {
        let now = Deadline::after(120).poll(|| (limit(guest) == 10).then_some(()));
        assert!(now.is_some(), "it is changed: {}", guest.sh("cat /tmp/t.out").text());
    };
    start(&mut guest, "--prepare");
    changed(&mut guest);
    // Stopped by a person: put back.
    guest.ok("kill -INT $(cat /tmp/t.pid)");
    ended(&mut guest);
    assert_eq!(limit(&mut guest), 77);
    assert_ne!(guest.sh("ls /tmp/t.img.map.settings").status, 0);
    let killed = |guest: &mut Guest| {
        start(guest, "--prepare");
        changed(guest);
        guest.ok("kill -KILL $(cat /tmp/t.pid)");
        ended(guest);
        assert_eq!(limit(guest), 10);
        assert!(guest.ok("cat /tmp/t.img.map.settings").text().contains("recovery=77"));
    };
    // Killed: it is put back alone where somebody asks for that.
    killed(&mut guest);
    let said = guest.ok(&format!("tintype rescue {path} /tmp/t.img --put-back")).text();
    assert!(said.contains("put back") && said.contains("recovery=77") && limit(&mut guest) == 77, "{said}");
    assert_ne!(guest.sh("ls /tmp/t.img.map.settings").status, 0);
    // Or the next run puts it back, though nobody asked for --prepare.
    killed(&mut guest);
    let json = guest.ok(&format!("tintype rescue {path} /tmp/t.img --json")).json();
    assert_eq!((json["rescued"].as_u64(), limit(&mut guest)), (Some(LEN as u64), 77));
    assert_ne!(guest.sh("ls /tmp/t.img.map.settings").status, 0);
    // A SATA drive takes the commands of SMART.
    let path = guest.path_of("SATASET");
    let said = guest.ok(&format!("tintype rescue {path} /tmp/s.img --prepare"));
    assert!(
        said.err.contains("autosave=on is now autosave=off") && said.err.contains("autosave=on again"),
        "{}",
        said.err
    );
}

fn reset_three_times() {
    let scratch = Scratch::new();
    let (bytes, file) = backing(&scratch, "source", 930);
    let target = scratch.file("target", &[]);
    std::fs::File::options().write(true).open(&target).and_then(|f| f.set_len(64 << 20)).unwrap();
    tool("mkfs.ext4", &[&"-q", &"-F", &target]).ok();
    let bad = vec![9_000, 9_003];
    let source = GuestDrive { rate: 1 << 20, bad: bad.clone(), ..GuestDrive::new(Bus::Scsi, &file, "SICK") };
    let mut guest = Guest::boot(vec![source, GuestDrive::new(Bus::Virtio, &target, "TARGET")]);
    let mut before = 0;
    for _ in 0..3 {
        let (path, onto) = (guest.path_of("SICK"), guest.path_of("TARGET"));
        guest.ok(&format!("mount {onto} /mnt"));
        let records = guest.sh("grep -c '^c ' /mnt/t.img.map.journal").text().parse::<u64>().unwrap_or(0);
        guest.ok(&format!("tintype rescue {path} /mnt/t.img > /tmp/t.out 2>&1 & true"));
        let grown = Deadline::after(120).poll(|| {
            let now = guest.sh("grep -c '^c ' /mnt/t.img.map.journal").text().parse::<u64>().unwrap_or(0);
            (now > records + 2).then_some(())
        });
        assert!(grown.is_some(), "something is kept: {}", guest.sh("cat /tmp/t.out").text());
        guest.reset();
        let onto = guest.path_of("TARGET");
        guest.ok(&format!("mount {onto} /mnt"));
        // What the journal says is on the target is there; a run that may do nothing writes the mapfile of it.
        let path = guest.path_of("SICK");
        guest.sh(&format!("tintype rescue {path} /mnt/t.img -q --max-errors 0"));
        let (map, image) = (guest.ok("cat /mnt/t.img.map").text(), guest.ok("cat /mnt/t.img").out);
        let there = LEN / 512 - check_map(&map, &image, &bytes).len();
        assert!(there > before, "a reset costs little: {there} sectors after {before}");
        before = there;
        guest.ok("umount /mnt");
    }
    let (path, onto) = (guest.path_of("SICK"), guest.path_of("TARGET"));
    guest.ok(&format!("mount {onto} /mnt"));
    let said = guest.sh(&format!("tintype rescue {path} /mnt/t.img --json"));
    assert_eq!(sectors(&said.json()["bad"]), bad.iter().copied().collect(), "{}", said.err);
    let (map, image) = (guest.ok("cat /mnt/t.img.map").text(), guest.ok("cat /mnt/t.img").out);
    assert_eq!(check_map(&map, &image, &bytes), bad.into_iter().collect());
}
