//! A guest with drives that take commands: QEMU without KVM, a kernel and tools from the distribution's packages (`tests/guest/`), and
//! the program under test inside. Buses, sense data, resets and hot-unplug are the kernel's and QEMU's own.

use crate::{Deadline, Invocation, Running, Scratch, tintype_binary, tool};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

/// Seconds that booting, or a command, may take.
const PATIENCE: u64 = 300;

/// How a drive of a guest is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    /// SATA, behind AHCI.
    Ahci,
    /// SCSI, behind virtio.
    Scsi,
    /// NVMe.
    Nvme,
    /// USB mass storage.
    Usb,
    /// virtio-blk, which takes no commands.
    Virtio,
}

/// A drive of a guest.
#[derive(Clone, Debug)]
pub struct GuestDrive {
    /// How it is attached.
    pub bus: Bus,
    /// The file that holds its bytes.
    pub file: PathBuf,
    /// QEMU's name of the format of that file; of anything but `raw` only reads go to it, at full speed, and all succeed.
    pub format: &'static str,
    /// Its serial number, by which it is found.
    pub serial: &'static str,
    /// Bytes in a sector.
    pub sector: u32,
    /// Offsets in units of 512 bytes at which reads fail.
    pub bad: Vec<u64>,
    /// Bytes per second at most; 0: as fast as it goes.
    pub rate: u64,
}

impl GuestDrive {
    /// A drive of 512-byte sectors that is well.
    pub fn new(bus: Bus, file: &Path, serial: &'static str) -> Self {
        GuestDrive { bus, file: file.to_owned(), format: "raw", serial, sector: 512, bad: Vec::new(), rate: 0 }
    }

    fn node(&self) -> String {
        format!("node-{}", self.serial)
    }

    /// What makes the bytes of it.
    fn block_words(&self) -> Vec<String> {
        if self.format != "raw" {
            let (file, node) = (self.file.display(), self.node());
            return vec!["-drive".into(), format!("if=none,id={node},file={file},format={},readonly=on", self.format)];
        }
        let file = json!({"driver": "file", "filename": self.file, "node-name": format!("file-{}", self.serial)});
        let error = |s: &u64| json!({"event": "none", "iotype": "read", "errno": 5, "sector": s, "once": false});
        let errors: Vec<Value> = self.bad.iter().map(error).collect();
        let mut broken = json!({"driver": "blkdebug", "image": file, "node-name": format!("broken-{}", self.serial)});
        // It takes no empty list.
        if !errors.is_empty() {
            broken["inject-error"] = errors.into();
        }
        let mut words = Vec::new();
        let whole = match self.rate {
            0 => {
                let mut whole = broken;
                whole["node-name"] = self.node().into();
                whole
            }
            rate => {
                let group = format!("rate-{}", self.serial);
                words.extend(["-object".to_owned(), format!("throttle-group,id={group},x-bps-read={rate}")]);
                json!({"driver": "throttle", "throttle-group": group, "file": broken, "node-name": self.node()})
            }
        };
        words.extend(["-blockdev".to_owned(), whole.to_string()]);
        words
    }

    /// The device that shows it to the guest.
    fn device(&self) -> Value {
        let (driver, bus) = match self.bus {
            Bus::Ahci => ("ide-hd", None),
            Bus::Scsi => ("scsi-hd", Some("scsi.0")),
            Bus::Nvme => ("nvme", None),
            Bus::Usb => ("usb-storage", Some("usb.0")),
            Bus::Virtio => ("virtio-blk-pci", None),
        };
        let mut device = json!({"driver": driver, "drive": self.node(), "serial": self.serial, "id": self.serial});
        if let Some(bus) = bus {
            device["bus"] = bus.into();
        }
        if self.bus != Bus::Nvme {
            // An error is the guest's to see; QEMU would stop for some.
            device["rerror"] = "report".into();
        }
        if self.sector != 512 {
            device["logical_block_size"] = self.sector.into();
            device["physical_block_size"] = self.sector.into();
        }
        if matches!(self.bus, Bus::Nvme) {
            // So that it can be taken away and put back.
            device["bus"] = format!("port-{}", self.serial).into();
        }
        device
    }
}

/// A guest that runs.
#[derive(Debug)]
pub struct Guest {
    port: BufReader<UnixStream>,
    control: BufReader<UnixStream>,
    console: PathBuf,
    drives: Vec<GuestDrive>,
    // Killed when dropped.
    _machine: Running,
    _scratch: Scratch,
    // Two at once would only make each other slow.
    _alone: MutexGuard<'static, ()>,
}

/// What a command in the guest came to.
#[derive(Debug)]
pub struct Said {
    /// Its exit status.
    pub status: i32,
    /// Its standard output.
    pub out: Vec<u8>,
    /// Its standard error.
    pub err: String,
}

impl Said {
    /// Standard output as text, trimmed.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).trim().to_owned()
    }

    /// The JSON document on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|e| panic!("standard output is no JSON: {e}\n{self:?}"))
    }
}

impl Guest {
    /// Boots a guest with these drives, and waits until it can be told what to do.
    #[track_caller]
    pub fn boot(drives: Vec<GuestDrive>) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
        let folder = parts();
        let scratch = Scratch::new();
        let initrd = scratch.join("initrd");
        let mut all = crate::read(folder.join("base.gz"));
        all.extend(crate::read(folder.join("program.gz")));
        std::fs::write(&initrd, all).expect("the scratch folder can be written");
        let (port, control, console) = (scratch.join("port"), scratch.join("control"), scratch.join("console"));

        let mut words: Vec<OsString> = Vec::new();
        let mut word = |w: &dyn AsRef<std::ffi::OsStr>| words.push(w.as_ref().to_owned());
        for fixed in
            ["-M", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "900", "-nodefaults", "-nographic"]
        {
            word(&fixed);
        }
        word(&"-kernel");
        word(&folder.join("vmlinuz"));
        word(&"-initrd");
        word(&initrd);
        word(&"-append");
        word(&"console=ttyS0 quiet nokaslr mitigations=off panic=1");
        word(&"-serial");
        word(&format!("file:{}", console.display()));
        word(&"-device");
        word(&"virtio-serial-pci");
        word(&"-chardev");
        word(&format!("socket,id=port,path={},server=on,wait=off", port.display()));
        word(&"-device");
        word(&"virtserialport,chardev=port,name=port");
        word(&"-qmp");
        word(&format!("unix:{},server=on,wait=off", control.display()));
        word(&"-device");
        word(&"virtio-scsi-pci,id=scsi");
        word(&"-device");
        word(&"qemu-xhci,id=usb");
        for (slot, drive) in drives.iter().enumerate() {
            for w in drive.block_words() {
                word(&w);
            }
            if drive.bus == Bus::Nvme {
                word(&"-device");
                word(&format!("pcie-root-port,id=port-{0},chassis={1},slot={1}", drive.serial, slot + 1));
            }
            word(&"-device");
            word(&drive.device().to_string());
        }
        let mut machine = Invocation::args(tool("qemu-system-x86_64", &[]), words).start();
        let mut connect = |path: &Path| {
            let deadline = Deadline::after(PATIENCE);
            let stream = deadline.poll(|| {
                assert!(machine.ended().is_none(), "the guest does not start: {}", machine.stderr_so_far());
                UnixStream::connect(path).ok()
            });
            let stream = stream.expect("the machine listens");
            stream.set_read_timeout(Some(Duration::from_secs(PATIENCE))).expect("a socket has a timeout");
            BufReader::new(stream)
        };
        let (port, control) = (connect(&port), connect(&control));
        let mut guest = Guest { port, control, console, drives, _machine: machine, _scratch: scratch, _alone: alone };
        let mut greeting = String::new();
        guest.control.read_line(&mut greeting).expect("the machine greets");
        guest.order("qmp_capabilities", json!({}));
        guest.wait_until_ready();
        guest
    }

    #[track_caller]
    fn wait_until_ready(&mut self) {
        let mut line = String::new();
        while line.trim() != "ready" {
            line.clear();
            let read = self.port.read_line(&mut line);
            let console = || String::from_utf8_lossy(&std::fs::read(&self.console).unwrap_or_default()).into_owned();
            assert!(matches!(read, Ok(n) if n > 0), "the guest does not come up ({read:?}): {}", console());
        }
        // Buses are looked through in the background.
        for serial in self.drives.iter().map(|d| d.serial).collect::<Vec<_>>() {
            self.path_of(serial);
        }
    }

    /// Tells the machine something (QMP).
    #[track_caller]
    pub fn order(&mut self, execute: &str, arguments: Value) -> Value {
        let line = json!({"execute": execute, "arguments": arguments}).to_string() + "\n";
        self.control.get_mut().write_all(line.as_bytes()).expect("the machine hears");
        loop {
            let mut line = String::new();
            assert!(self.control.read_line(&mut line).is_ok_and(|n| n > 0), "the machine answers");
            let answer: Value = serde_json::from_str(&line).expect("an answer is JSON");
            assert!(answer.get("error").is_none(), "{execute}: {answer}");
            if let Some(result) = answer.get("return") {
                return result.clone();
            }
        }
    }

    /// Runs a line of shell in the guest to its end.
    #[track_caller]
    pub fn sh(&mut self, line: &str) -> Said {
        assert!(!line.contains('\n'), "one line");
        self.port.get_mut().write_all(format!("{line}\n").as_bytes()).expect("the guest hears");
        let mut head = String::new();
        self.port.read_line(&mut head).unwrap_or_else(|e| panic!("{line}: no answer from the guest: {e}"));
        let numbers: Vec<usize> = head.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let [status, out, err] = numbers[..] else { panic!("{line}: answered {head:?}") };
        let mut take = |len| {
            let mut bytes = vec![0; len];
            self.port.read_exact(&mut bytes).expect("the answer is whole");
            bytes
        };
        let (out, err) = (take(out), take(err));
        Said { status: status as i32, out, err: String::from_utf8_lossy(&err).into_owned() }
    }

    /// The same, and it has to succeed.
    #[track_caller]
    pub fn ok(&mut self, line: &str) -> Said {
        let said = self.sh(line);
        assert_eq!(said.status, 0, "{line}: {} {}", said.text(), said.err);
        said
    }

    /// The path in the guest of the drive with this serial number, once it is there.
    #[track_caller]
    pub fn path_of(&mut self, serial: &str) -> String {
        let deadline = Deadline::after(PATIENCE);
        let found = deadline.poll(|| {
            let list = self.ok("tintype devices --json").json();
            let list = list["devices"].as_array().cloned().unwrap_or_default();
            let drive = list.iter().find(|d| d["serial"] == serial)?;
            Some(drive["path"].as_str()?.to_owned())
        });
        found.unwrap_or_else(|| panic!("the guest has no drive {serial}"))
    }

    /// Takes a drive away.
    #[track_caller]
    pub fn unplug(&mut self, serial: &str) {
        self.order("device_del", json!({"id": serial}));
        let deadline = Deadline::after(PATIENCE);
        let gone = deadline.poll(|| {
            let left = self.ok("tintype devices --json").json().to_string();
            (!left.contains(serial)).then_some(())
        });
        assert!(gone.is_some(), "{serial} does not go");
    }

    /// Puts it back.
    #[track_caller]
    pub fn plug(&mut self, serial: &str) {
        let drive = self.drives.iter().find(|d| d.serial == serial).expect("it was there").device();
        // The machine lets go of a drive a moment after the guest has.
        let deadline = Deadline::after(PATIENCE);
        let line = json!({"execute": "device_add", "arguments": drive}).to_string() + "\n";
        let back = deadline.poll(|| {
            self.control.get_mut().write_all(line.as_bytes()).expect("the machine hears");
            loop {
                let mut answer = String::new();
                self.control.read_line(&mut answer).expect("the machine answers");
                let answer: Value = serde_json::from_str(&answer).expect("an answer is JSON");
                if answer.get("return").is_some() {
                    return Some(());
                }
                if answer.get("error").is_some() {
                    return None;
                }
            }
        });
        assert!(back.is_some(), "{serial} cannot be put back");
        self.path_of(serial);
    }

    /// Presses the reset button: what the guest had in memory is lost. Returns when it has booted again.
    #[track_caller]
    pub fn reset(&mut self) {
        self.order("system_reset", json!({}));
        self.wait_until_ready();
    }

    /// What the kernel of the guest said.
    pub fn kernel_log(&mut self) -> String {
        self.sh("dmesg").text()
    }
}

/// The folder with kernel and initramfs, made if it is not there.
fn parts() -> &'static Path {
    static PARTS: OnceLock<PathBuf> = OnceLock::new();
    PARTS.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = here.parent().expect("a checkout").join("target/guest");
        let script = here.join("guest/build.sh").to_string_lossy().into_owned();
        tool(&script, &[&folder]).ok();
        tool(&script, &[&"--program", &folder, tintype_binary()]).ok();
        folder
    })
}
