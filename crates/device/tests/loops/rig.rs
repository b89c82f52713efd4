//! Loop devices, mounts, and a drive with bad sectors.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// False, and a line that says so, where this machine cannot run them.
pub fn possible(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root() && Path::new("/dev/loop-control").exists();
    if !root {
        assert_ne!(std::env::var("TINTYPE_ROOT_TESTS").as_deref(), Ok("1"), "{test}: needs root and /dev/loop-control");
        let _ = writeln!(std::io::stderr(), "not run: {test}: needs root and /dev/loop-control");
    }
    root
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
        let _ = Command::new("losetup").arg("-d").arg(&self.0).status();
    }
}

pub fn backing(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    File::create(&path).unwrap().write_all(bytes).unwrap();
    path
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
        let begun = std::time::Instant::now();
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
