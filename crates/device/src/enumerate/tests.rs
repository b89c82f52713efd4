use super::*;
use crate::recorded::Recorded;

fn drive(name: &str) -> Drive {
    let all = devices(&Recorded::machine().system());
    all.into_iter().find(|d| d.path == Path::new("/dev").join(name)).unwrap()
}

#[test]
fn every_drive_is_listed_once_and_idle_loops_are_not() {
    let all = devices(&Recorded::machine().system());
    let names: Vec<_> = all.iter().map(|d| d.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["dm-0", "loop0", "loop2", "md0", "nvme0n1", "nvme1n1", "sda", "sdb"]);
}

#[test]
fn a_sata_disk_is_known_by_its_own_words() {
    let sda = drive("sda");
    let id = &sda.identity;
    assert_eq!([&id.model[..], &id.serial, &id.firmware], ["The Whole Long Model Name", "SERIAL01", "FW99"]);
    assert_eq!([&id.transport[..], &id.wwn], ["sata", "naa.5000c500a1b2c3d4"]);
    assert_eq!((sda.len, sda.sector, sda.physical, sda.removable), (2_000_000 * 512, 512, 512, false));
    assert_eq!(sda.links, [PathBuf::from("/dev/disk/by-id/ata-x")]);
    assert_eq!(sda.health, Health::Unknown);
    let parts: Vec<_> = sda.partitions.iter().map(|p| (p.number, p.offset / 512, p.uses.clone())).collect();
    let want = [
        (1, 2048, vec![Use::Mounted("/".into())]),
        (2, 102_048, vec![Use::Swap]),
        (10, 200_000, vec![Use::Held("/dev/dm-0".into())]),
    ];
    assert_eq!(parts, want);
}

#[test]
fn other_ways_of_attachment() {
    let sdb = drive("sdb");
    let id = &sdb.identity;
    assert_eq!([&id.model[..], &id.serial, &id.firmware, &id.transport], ["SanDisk Ultra", "USB7", "1.0", "usb"]);
    assert_eq!(id.wwn, "0xdead");
    assert!(sdb.removable);
    assert_eq!(sdb.partitions[0].uses, [Use::Loop("/dev/loop2".into())]);
    let nvme = drive("nvme1n1");
    assert_eq!([&nvme.identity.serial[..], &nvme.identity.transport], ["N1", "nvme"]);
    assert_eq!((nvme.sector, nvme.rotational), (4096, Some(false)));
    assert_eq!(nvme.uses, [Use::Held("/dev/md0".into())]);
    let md = drive("md0");
    assert_eq!(md.uses, [Use::Mounted("/srv/the array".into())]);
    assert_eq!(md.made_of, [PathBuf::from("/dev/nvme0n1"), "/dev/nvme1n1".into()]);
    assert_eq!(drive("dm-0").title.as_deref(), Some("vg-home"));
    assert_eq!(drive("loop0").backing, Some("/home/disk.img".into()));
}

#[test]
fn a_machine_that_tells_nothing_has_no_drives() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(devices(&System::recorded(dir.path())), []);
}
