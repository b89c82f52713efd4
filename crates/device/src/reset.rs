//! Bringing a drive back that does not answer: what the kernel offers, from gentle to rough.

use crate::block::BlockSource;
use crate::enumerate::devices;
use crate::ioctl;
use crate::sysfs::{System, text};
use rustix::fs::{Mode, OFlags, open};
use std::path::{Path, PathBuf};
use tintype_core::{Error, Identity, Result};

/// Where the kernel takes requests to reset a drive; found while it is there.
#[derive(Clone, Debug)]
pub struct Handles {
    /// `/dev/sda`.
    device: PathBuf,
    /// Its folder in sysfs with `state` and `delete`: a SCSI device.
    scsi: Option<PathBuf>,
    /// The SCSI host it hangs on, which looks for drives when told to.
    host: Option<PathBuf>,
    /// The NVMe controller.
    nvme: Option<PathBuf>,
    /// The PCI device of that controller.
    pci: Option<PathBuf>,
    /// The USB device that the drive is, or sits behind.
    usb: Option<PathBuf>,
}

impl Handles {
    /// Those of a drive or partition that is open.
    pub fn of(drive: &BlockSource) -> Handles {
        let device = drive.device();
        let dir = PathBuf::from(format!("/sys/dev/block/{}:{}", rustix::fs::major(device), rustix::fs::minor(device)));
        let dir = dir.canonicalize().unwrap_or_default();
        let whole = match dir.parent() {
            Some(parent) if dir.join("partition").exists() => parent.to_path_buf(),
            _ => dir,
        };
        let mut handles = Handles::below(&whole);
        if handles.device.as_os_str().is_empty() {
            handles.device = drive.path().to_path_buf();
        }
        handles
    }

    /// Those of the drive whose folder in sysfs is `node`.
    fn below(node: &Path) -> Handles {
        let name = node.file_name().map(|n| n.to_string_lossy().replace('!', "/")).unwrap_or_default();
        let device = if name.is_empty() { PathBuf::new() } else { Path::new("/dev").join(name) };
        let below = node.join("device").canonicalize().ok();
        let above = |wanted: &dyn Fn(&Path) -> bool| {
            below.as_ref().and_then(|b| b.ancestors().find(|d| wanted(d)).map(Path::to_path_buf))
        };
        let named = |d: &Path, prefix: &str| {
            let name = d.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            name.strip_prefix(prefix).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        // The folder `scsi_host` of a host holds one with the same name, which takes the request.
        let host = above(&|d| named(d, "host") && d.join("scsi_host").is_dir());
        let nvme = above(&|d| d.join("reset_controller").exists());
        Handles {
            device,
            scsi: below.clone().filter(|d| d.join("delete").exists() && d.join("state").exists()),
            host: host.and_then(|h| Some(h.join("scsi_host").join(h.file_name()?))),
            pci: nvme.as_ref().and_then(|n| n.join("device").canonicalize().ok()).filter(|d| d.join("remove").exists()),
            nvme,
            usb: above(&|d| d.join("idVendor").exists() && d.join("authorized").exists()),
        }
    }

    /// Resets the drive itself; what was done, in words. Nothing else is touched.
    pub fn reset_device(&self) -> Result<Vec<String>> {
        let mut done = Vec::new();
        if let Some(nvme) = &self.nvme {
            tell(&nvme.join("reset_controller"), "1", "the controller was reset", &mut done)?;
        }
        if let Some(scsi) = &self.scsi {
            if text(&scsi.join("state")).is_some_and(|s| s != "running") {
                tell(&scsi.join("state"), "running", "the kernel was told to use it again", &mut done)?;
            }
            if let Ok(fd) = open(&self.device, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
                if ioctl::scsi_reset(&fd, ioctl::ScsiReset::Device).is_ok() {
                    done.push("the device was reset".to_owned());
                } else if ioctl::scsi_reset(&fd, ioctl::ScsiReset::Target).is_ok() {
                    done.push("the target was reset".to_owned());
                }
            }
        }
        Ok(done)
    }

    /// Takes the drive out of the kernel's list and has it looked for again, which resets its link; what was done, in words.
    pub fn reset_link(&self) -> Result<Vec<String>> {
        let mut done = Vec::new();
        if let Some(usb) = &self.usb {
            tell(&usb.join("authorized"), "0", "the USB device was detached", &mut done)?;
            tell(&usb.join("authorized"), "1", "the USB device was attached", &mut done)?;
            return Ok(done);
        }
        if let Some(pci) = &self.pci {
            tell(&pci.join("remove"), "1", "the PCI device was removed", &mut done)?;
            tell(Path::new("/sys/bus/pci/rescan"), "1", "PCI was looked through", &mut done)?;
            return Ok(done);
        }
        if let Some(scsi) = self.scsi.as_ref().filter(|s| s.exists()) {
            tell(&scsi.join("delete"), "1", "the device was removed", &mut done)?;
        }
        done.extend(self.rescan()?);
        Ok(done)
    }

    /// Has the bus looked through for drives that came back.
    pub fn rescan(&self) -> Result<Vec<String>> {
        let mut done = Vec::new();
        if let Some(host) = &self.host {
            tell(&host.join("scan"), "- - -", "the host was looked through", &mut done)?;
        } else if self.nvme.is_some() {
            tell(Path::new("/sys/bus/pci/rescan"), "1", "PCI was looked through", &mut done)?;
        }
        Ok(done)
    }
}

fn tell(file: &Path, value: &str, what: &str, done: &mut Vec<String>) -> Result<()> {
    // Some of these files want a whole line.
    std::fs::write(file, format!("{value}\n"))
        .map_err(|e| Error::io("cannot be told to the kernel", e).in_path(file))?;
    done.push(what.to_owned());
    Ok(())
}

/// Where the drive `identity` of `len` bytes, or its partition of this number, is now; its name may be another than it was. `None` for
/// drives that have neither serial number nor world wide name, and while it is not there.
pub fn find(identity: &Identity, len: u64, partition: Option<u32>) -> Option<PathBuf> {
    let same = |a: &str, b: &str| !a.is_empty() && a == b;
    let drives = devices(&System::here());
    let mut found = drives.iter().filter(|d| {
        let known = match identity.serial.is_empty() {
            true => same(&d.identity.wwn, &identity.wwn),
            false => same(&d.identity.serial, &identity.serial) && d.identity.model == identity.model,
        };
        known && !matches!(&d.health, crate::enumerate::Health::Failed(_))
    });
    let drive = found.next()?;
    // Two of one number: neither is meant for sure.
    if found.next().is_some() {
        return None;
    }
    match partition {
        None => (drive.len == len).then(|| drive.path.clone()),
        Some(number) => {
            let part = drive.partitions.iter().find(|p| p.number == number && p.len == len)?;
            Some(part.path.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(root: &Path, files: &[&str]) {
        for file in files {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
    }

    #[test]
    fn a_usb_disk_is_reset_at_its_port_and_a_sata_disk_at_its_host() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let at = |p: &str| root.join(p);
        tree(
            &root,
            &[
                "usb2/2-1/idVendor",
                "usb2/2-1/authorized",
                "usb2/2-1/host7/scsi_host/host7/scan",
                "usb2/2-1/host7/target7:0:0/7:0:0:0/delete",
                "usb2/2-1/host7/target7:0:0/7:0:0:0/state",
                "usb2/2-1/host7/target7:0:0/7:0:0:0/block/sdc/size",
            ],
        );
        let node = at("usb2/2-1/host7/target7:0:0/7:0:0:0/block/sdc");
        std::os::unix::fs::symlink("../..", node.join("device")).unwrap();
        let handles = Handles::below(&node);
        assert_eq!(handles.device, Path::new("/dev/sdc"));
        assert_eq!(handles.usb, Some(at("usb2/2-1")));
        assert_eq!(handles.host, Some(at("usb2/2-1/host7/scsi_host/host7")));
        assert_eq!(handles.scsi, Some(at("usb2/2-1/host7/target7:0:0/7:0:0:0")));
        let done = handles.reset_link().unwrap();
        assert_eq!(done.len(), 2, "{done:?}");
        assert_eq!(std::fs::read_to_string(at("usb2/2-1/authorized")).unwrap(), "1\n");
        assert_eq!(std::fs::read_to_string(at("usb2/2-1/host7/scsi_host/host7/scan")).unwrap(), "x");
        // Not behind USB.
        let handles = Handles { usb: None, ..handles };
        handles.reset_link().unwrap();
        assert_eq!(std::fs::read_to_string(at("usb2/2-1/host7/scsi_host/host7/scan")).unwrap(), "- - -\n");
        assert_eq!(std::fs::read_to_string(at("usb2/2-1/host7/target7:0:0/7:0:0:0/delete")).unwrap(), "1\n");
    }
}
