//! Drives that misbehave on command: nbdkit serves a file through filters, nbdfuse shows it as a file, and a loop device
//! with direct I/O makes a block device of that, so that the kernel's own error path is the one that is tested.

use crate::{Deadline, Invocation, LoopDevice, Running, tool};
use rustix::process::Signal;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What is wrong with a drive.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Sectors of 512 bytes that cannot be read: first sector and count.
    pub bad: Vec<(u64, u64)>,
    /// Bytes per second at most; 0: as fast as it goes.
    pub rate: u64,
    /// True if it can be written.
    pub writable: bool,
}

/// A drive in a folder of its own; everything is taken down when dropped.
#[derive(Debug)]
pub struct Drive {
    // In the order they have to go.
    device: Option<LoopDevice>,
    server: Option<Running>,
    folder: PathBuf,
}

impl Drive {
    /// `file` as a drive that behaves like this; `folder` is where the pieces of it may lie.
    #[track_caller]
    pub fn new(file: &Path, folder: &Path, behaviour: &Behaviour) -> Self {
        let mut drive = Drive::as_file(file, folder, behaviour);
        let mount = drive.file();
        drive.device = Some(match behaviour.writable {
            true => LoopDevice::direct(mount),
            false => LoopDevice::read_only_direct(mount),
        });
        drive
    }

    /// The same without the loop device: [`Drive::file`] is a regular file whose every read is seen by [`Drive::reads`].
    #[track_caller]
    pub fn as_file(file: &Path, folder: &Path, behaviour: &Behaviour) -> Self {
        std::fs::create_dir_all(folder).expect("the drive's folder can be made");
        let point = folder.join("disk");
        std::fs::write(&point, b"").expect("a mount point can be made");
        let len = std::fs::metadata(file).expect("the drive's file is there").len();
        let map = folder.join("bad.map");
        std::fs::write(&map, mapfile(len, &behaviour.bad)).expect("a map can be written");

        let mut words: Vec<OsString> = Vec::new();
        let mut word = |w: &dyn AsRef<std::ffi::OsStr>| words.push(w.as_ref().to_owned());
        word(&"-o");
        word(&"allow_other");
        if !behaviour.writable {
            word(&"-r");
        }
        word(&point);
        for fixed in ["--command", "nbdkit", "-s", "--exit-with-parent", "--filter=log", "--filter=error"] {
            word(&fixed);
        }
        if behaviour.rate > 0 {
            word(&"--filter=rate");
        }
        // The filter that plays a map knows no writing.
        if !behaviour.bad.is_empty() {
            word(&"--filter=ddrescue");
        }
        word(&"file");
        word(&file);
        word(&with("logfile=", &folder.join("log")));
        word(&"error=EIO");
        word(&"error-rate=100%");
        word(&with("error-file=", &folder.join("gone")));
        if behaviour.rate > 0 {
            // nbdkit counts bits.
            word(&format!("rate={}", behaviour.rate * 8));
        }
        if !behaviour.bad.is_empty() {
            word(&with("ddrescue-mapfile=", &map));
        }
        let server = Invocation::args(tool("nbdfuse", &[]), words).start();
        let mut drive = Drive { device: None, server: Some(server), folder: folder.to_owned() };
        let up = Deadline::after(30).poll(|| {
            let up = std::fs::metadata(&point).is_ok_and(|m| m.len() == len);
            let ended = drive.server.as_mut().is_some_and(|s| s.ended().is_some());
            (up || ended).then_some(up)
        });
        if up != Some(true) {
            let said = drive.server.as_ref().map(Running::stderr_so_far).unwrap_or_default();
            panic!("the drive does not come up: {said}");
        }
        drive
    }

    /// The block device.
    pub fn path(&self) -> &Path {
        self.device.as_ref().expect("this drive has a block device").path()
    }

    /// The file under the block device.
    pub fn file(&self) -> PathBuf {
        self.folder.join("disk")
    }

    /// From now on nothing can be read or written any more.
    pub fn vanish(&self) {
        std::fs::write(self.folder.join("gone"), b"").expect("the drive's folder can be written");
    }

    /// It works again.
    pub fn come_back(&self) {
        std::fs::remove_file(self.folder.join("gone")).expect("the drive was gone");
    }

    /// From now on reads are not answered any more. `reader`, which reads from it, is held while this
    /// happens: what it has asked for is still answered, so that every later question is one that can be taken back.
    pub fn hang(&self, reader: &Running) {
        reader.signal(Signal::STOP);
        let held = Deadline::after(30).poll(|| reader.is_stopped().then_some(()));
        assert!(held.is_some(), "the reader does not stop");
        if let Some(server) = &self.server {
            server.signal(Signal::STOP);
        }
        reader.signal(Signal::CONT);
    }

    /// Everything that was asked since [`Drive::hang`] is answered.
    pub fn answer(&self) {
        if let Some(server) = &self.server {
            server.signal(Signal::CONT);
        }
    }

    /// Every read that reached it so far, as offset and length, in order.
    pub fn reads(&self) -> Vec<(u64, u64)> {
        let text = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        text.lines().filter_map(parse_read).collect()
    }
}

/// A line such as `2026-11-20 13:45:00.000000 connection=1 Read id=3 offset=0x0 count=0x1000 ...`.
fn parse_read(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_whitespace();
    words.find(|w| *w == "Read")?;
    let mut number = |name: &str| {
        let word = words.find_map(|w| w.strip_prefix(name)?.strip_prefix("=0x"))?;
        u64::from_str_radix(word, 16).ok()
    };
    Some((number("offset")?, number("count")?))
}

fn with(prefix: &str, path: &Path) -> OsString {
    let mut word = OsString::from(prefix);
    word.push(path);
    word
}

/// ddrescue's own text form: what the filter reads.
fn mapfile(len: u64, bad: &[(u64, u64)]) -> String {
    let mut text = "# made by a test\n0x0 + 1\n".to_owned();
    let mut at = 0;
    for (sector, count) in bad {
        let (from, run) = (sector * 512, count * 512);
        if from > at {
            text += &format!("0x{at:x} 0x{:x} +\n", from - at);
        }
        text += &format!("0x{from:x} 0x{run:x} -\n");
        at = from + run;
    }
    if at < len {
        text += &format!("0x{at:x} 0x{:x} +\n", len - at);
    }
    text
}

impl Drop for Drive {
    fn drop(&mut self) {
        self.device = None;
        let point = self.file();
        self.answer();
        let _ = tool("fusermount3", &[&"-u", &point]).run();
        if let Some(mut server) = self.server.take() {
            // A loop device that is still on its way out keeps the mount busy for a moment.
            let gone = Deadline::after(10).poll(|| {
                if server.ended().is_none() {
                    let _ = tool("fusermount3", &[&"-u", &point]).run();
                }
                server.ended()
            });
            if gone.is_none() {
                let _ = tool("fusermount3", &[&"-u", &"-z", &point]).run();
            }
        }
    }
}
