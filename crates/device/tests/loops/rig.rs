//! Loop devices, mounts, and a drive with bad sectors.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// One test at a time: a child that another test starts holds every drive of this process until it has begun.
static ALONE: Mutex<()> = Mutex::new(());

/// The right to use the machine's drives; none, and a line that says so, where they cannot be used.
pub fn possible(test: &str) -> Option<MutexGuard<'static, ()>> {
    let root = rustix::process::geteuid().is_root() && Path::new("/dev/loop-control").exists();
    if !root {
        assert_ne!(std::env::var("TINTYPE_ROOT_TESTS").as_deref(), Ok("1"), "{test}: needs root and /dev/loop-control");
        let _ = writeln!(std::io::stderr(), "not run: {test}: needs root and /dev/loop-control");
        return None;
    }
    Some(ALONE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Runs a command until it succeeds, for at most ten seconds; what is released may stay busy for a moment.
fn insist(program: &str, args: &[&str]) {
    let begun = Instant::now();
    while !Command::new(program).args(args).output().is_ok_and(|o| o.status.success()) && begun.elapsed().as_secs() < 10
    {
        std::thread::yield_now();
    }
}

pub fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// A loop device that goes away with its value.
pub struct Loop(pub PathBuf);

impl Loop {
    pub fn new(file: &Path, args: &[&str]) -> Self {
        let mut all = vec!["-f", "--show"];
        all.extend(args);
        all.push(file.to_str().unwrap());
        Loop(PathBuf::from(run("losetup", &all)))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let path = self.0.to_str().unwrap();
        // Partitions that partx added would outlive the disk.
        let _ = Command::new("partx").args(["-d", path]).output();
        insist("losetup", &["-d", path]);
    }
}

pub fn backing(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    File::create(&path).unwrap().write_all(bytes).unwrap();
    path
}

/// A mount that goes away with its value.
pub struct Mount(pub PathBuf);

impl Mount {
    pub fn new(device: &Path, point: PathBuf, options: &str) -> Self {
        std::fs::create_dir_all(&point).unwrap();
        run("mount", &["-o", options, device.to_str().unwrap(), point.to_str().unwrap()]);
        Mount(point)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        insist("umount", &[self.0.to_str().unwrap()]);
    }
}

/// The rig's 9 bad sectors in 32 MiB: nbdkit behind nbdfuse behind a loop device with direct I/O.
pub struct Rig {
    pub device: Option<Loop>,
    fuse: std::process::Child,
    mount: PathBuf,
}

impl Rig {
    pub fn new(dir: &Path, script: &str) -> Option<Self> {
        let tools = ["nbdkit", "nbdfuse", "fusermount3"];
        let there =
            |t: &&str| std::env::var_os("PATH").is_some_and(|p| std::env::split_paths(&p).any(|d| d.join(t).exists()));
        if let Some(missing) = tools.iter().find(|t| !there(t)) {
            assert_ne!(std::env::var("TINTYPE_ROOT_TESTS").as_deref(), Ok("1"), "needs {missing}");
            let _ = writeln!(std::io::stderr(), "not run: the fault rig needs {missing}");
            return None;
        }
        let plugin = backing(dir, "plugin", script.as_bytes());
        run("chmod", &["+x", plugin.to_str().unwrap()]);
        let mount = dir.join("drive");
        File::create(&mount).unwrap();
        let fuse = Command::new("nbdfuse")
            .args(["-o", "allow_other", "-r", mount.to_str().unwrap(), "--command", "nbdkit", "-s"])
            .args(["--exit-with-parent", "sh", plugin.to_str().unwrap()])
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while mount.metadata().map_or(0, |m| m.len()) == 0 {
            assert!(begun.elapsed().as_secs() < 20, "nbdfuse does not start");
            std::thread::yield_now();
        }
        Some(Rig { device: Some(Loop::new(&mount, &["-r", "--direct-io=on"])), fuse, mount })
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.device = None;
        let _ = Command::new("fusermount3").arg("-u").arg(&self.mount).status();
        let _ = self.fuse.wait();
    }
}
