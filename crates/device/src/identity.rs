//! Which drive it is: model, serial number, firmware, name and way of attachment, as far as it can be told without
//! sending the drive a command.

use crate::sysfs::{System, text};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tintype_core::Identity;

/// What is known of the drive with this device number, a partition's being that of its drive.
pub(crate) fn of(device: u64) -> Identity {
    let number = (rustix::fs::major(device), rustix::fs::minor(device));
    let system = System::here();
    let node = system.at(format!("/sys/dev/block/{}:{}", number.0, number.1));
    let Ok(dir) = node.canonicalize() else { return Identity::default() };
    let dir = match dir.parent() {
        Some(parent) if dir.join("partition").exists() => parent.to_path_buf(),
        _ => dir,
    };
    read(&system, &dir)
}

/// The identity of the whole drive whose folder in sysfs is `dir`.
pub(crate) fn read(system: &System, dir: &Path) -> Identity {
    let name = dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let udev = udev(system, dir);
    let asked = |key: &str| udev.get(key).filter(|v| !v.is_empty()).cloned();
    let ata = ata_identify(dir);
    let file = |names: &[&str]| names.iter().find_map(|n| text(&dir.join(n)));
    let ata_text = |from: usize, to: usize| ata.as_ref().map(|id| ata_string(&id[from * 2..to * 2]));
    let usb = usb_serial(dir);
    // Words of IDENTIFY DEVICE: 10-19 serial number, 23-26 firmware, 27-46 model (ACS).
    let model = ata_text(27, 47).or_else(|| {
        let model = file(&["device/model", "device/name"])?;
        // The SCSI layer says ATA for the maker of every SATA drive.
        Some(match file(&["device/vendor"]).filter(|v| v != "ATA" && !v.starts_with("0x")) {
            Some(vendor) => format!("{vendor} {model}"),
            None => model,
        })
    });
    let serial = ata_text(10, 20)
        .or_else(|| file(&["device/serial", "serial"]))
        .or_else(|| vpd_serial(dir))
        .or(usb)
        .or_else(|| asked("ID_SERIAL_SHORT"));
    Identity {
        model: model.or_else(|| asked("ID_MODEL").map(|m| m.replace('_', " "))).unwrap_or_default(),
        serial: serial.unwrap_or_default(),
        firmware: ata_text(23, 27)
            .or_else(|| file(&["device/firmware_rev", "device/fwrev", "device/rev"]))
            .or_else(|| asked("ID_REVISION"))
            .unwrap_or_default(),
        transport: transport(&name, dir).into(),
        wwn: file(&["device/wwid", "wwid"]).or_else(|| asked("ID_WWN")).unwrap_or_default(),
    }
}

/// How the drive is attached.
fn transport(name: &str, dir: &Path) -> &'static str {
    let kinds: [(&str, &'static str); 12] = [
        ("nvme", "nvme"),
        ("vd", "virtio"),
        ("loop", "loop"),
        ("zram", "ram"),
        ("ram", "ram"),
        ("mmcblk", "mmc"),
        ("md", "md"),
        ("dm-", "dm"),
        ("nbd", "nbd"),
        ("rbd", "rbd"),
        ("pmem", "pmem"),
        ("xvd", "xen"),
    ];
    if let Some((_, kind)) = kinds.iter().find(|(prefix, _)| name.starts_with(prefix)) {
        return kind;
    }
    // The way through the machine is in the path: .../usb2/2-1/..., .../ata3/host2/..., .../session1/...
    let way = dir.join("device").canonicalize().unwrap_or_default();
    let through = |prefix: &str| {
        way.components().any(|c| {
            let part = c.as_os_str().to_string_lossy();
            part.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
    };
    let ways: [(&str, &'static str); 7] = [
        ("usb", "usb"),
        ("ata", "sata"),
        ("session", "iscsi"),
        ("rport-", "fc"),
        ("end_device-", "sas"),
        ("fw", "firewire"),
        ("virtio", "virtio"),
    ];
    ways.iter().find(|(prefix, _)| through(prefix)).map_or("unknown", |(_, kind)| kind)
}

/// What udev wrote about the drive when it was attached; empty without udev.
fn udev(system: &System, dir: &Path) -> HashMap<String, String> {
    let Some(number) = text(&dir.join("dev")) else { return HashMap::new() };
    let bytes = std::fs::read(system.at(format!("/run/udev/data/b{number}"))).unwrap_or_default();
    let all = String::from_utf8_lossy(&bytes);
    let properties = all.lines().filter_map(|l| l.strip_prefix("E:")?.split_once('='));
    properties.map(|(k, v)| (k.to_owned(), v.trim().to_owned())).collect()
}

/// The 512 bytes of IDENTIFY DEVICE that the kernel keeps of a SATA drive, in the ATA information page (SAT).
fn ata_identify(dir: &Path) -> Option<Vec<u8>> {
    let page = std::fs::read(dir.join("device/vpd_pg89")).ok()?;
    Some(page.get(60..572)?.to_vec())
}

/// Two characters in each word, the first one in the high byte.
fn ata_string(words: &[u8]) -> String {
    let swapped: Vec<u8> = words.chunks_exact(2).flat_map(|w| [w[1], w[0]]).collect();
    String::from_utf8_lossy(&swapped).trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned()
}

/// The unit serial number page: four bytes of header, then text (SPC).
fn vpd_serial(dir: &Path) -> Option<String> {
    let page = std::fs::read(dir.join("device/vpd_pg80")).ok()?;
    let serial =
        String::from_utf8_lossy(page.get(4..)?).trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned();
    (!serial.is_empty()).then_some(serial)
}

/// The serial number of the USB device that the drive is, or sits behind.
fn usb_serial(dir: &Path) -> Option<String> {
    let way: PathBuf = dir.join("device").canonicalize().ok()?;
    way.ancestors().find(|d| d.join("idVendor").exists()).and_then(|d| text(&d.join("serial")))
}
