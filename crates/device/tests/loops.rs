//! Real drives of the kernel: loop devices. Needs root.
//!
//! Without root or loop devices these say so and pass, unless `TINTYPE_ROOT_TESTS=1` asks for them: then they fail.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use tintype_core::testing::{Model, check_source};
use tintype_core::{Aligned, Disk, Kind, Source};
use tintype_device::{block, disk};

/// False, and a line that says so, where this machine cannot run them.
fn possible(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root() && Path::new("/dev/loop-control").exists();
    if !root {
        assert_ne!(std::env::var("TINTYPE_ROOT_TESTS").as_deref(), Ok("1"), "{test}: needs root and /dev/loop-control");
        let _ = writeln!(std::io::stderr(), "not run: {test}: needs root and /dev/loop-control");
    }
    root
}

fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// A loop device that goes away with its value.
struct Loop(PathBuf);

impl Loop {
    fn new(file: &Path, args: &[&str]) -> Self {
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

fn backing(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    File::create(&path).unwrap().write_all(bytes).unwrap();
    path
}

#[test]
fn a_drive_reads_right_at_any_offset() {
    if !possible("a_drive_reads_right_at_any_offset") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (sector, len) in [(512, 3 << 20), (4096, 3 << 20), (512, 1_000_448)] {
        let model = Model::noise(len, 5);
        let file = backing(dir.path(), "disk", &model.bytes);
        let device = Loop::new(&file, &["-r", "-b", &sector.to_string()]);
        let source = block::open(&device.0).unwrap();
        assert_eq!((source.shape().sector, source.shape().direct), (sector, true));
        assert_eq!(source.len(), len as u64);
        check_source(&source, &model);
        let mut whole = Aligned::new(len);
        source.read_at(&mut whole, 0).unwrap();
        assert!(whole[..] == model.bytes[..]);
        assert!(source.is_read_only());
        assert_eq!(disk::BlockDisk::open(&device.0).err().unwrap().kind(), Kind::Denied);
    }
}

/// The kernel itself cannot reach what follows the last whole sector, neither way.
#[test]
fn the_end_that_is_no_sector_is_unreadable_and_nothing_else() {
    if !possible("the_end_that_is_no_sector_is_unreadable_and_nothing_else") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (len, whole) = (1_000_448, 999_424);
    let model = Model::noise(len, 5);
    let device = Loop::new(&backing(dir.path(), "disk", &model.bytes), &["-b", "4096"]);
    let source = block::open(&device.0).unwrap();
    assert_eq!(source.len(), len as u64);
    for from in [0, 1, 4096, whole - 7, whole] {
        let mut buf = vec![0; len - from];
        let e = source.read_at(&mut buf, from as u64).err().unwrap();
        assert_eq!(e.kind(), Kind::Unreadable { good: (whole - from) as u64, first_bad: None });
        assert!(buf[..whole - from] == model.bytes[from..whole]);
    }
    let target = disk::BlockDisk::open(&device.0).unwrap();
    let e = target.write_at(&model.bytes, 0).and_then(|()| target.flush()).err().unwrap();
    assert_eq!((e.kind(), e.offset()), (Kind::Io, Some(whole as u64)));
}

#[test]
fn a_drive_is_written_at_any_offset() {
    if !possible("a_drive_is_written_at_any_offset") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (sector, len) in [(512, 3 << 20), (4096, 3 << 20), (512, 1_000_448)] {
        let mut want = Model::noise(len, 9).bytes;
        let file = backing(dir.path(), "disk", &want);
        let device = Loop::new(&file, &["-b", &sector.to_string()]);
        let target = disk::BlockDisk::open(&device.0).unwrap();
        assert!(disk::BlockDisk::open(&device.0).is_err(), "two programs write one drive");
        let new = Model::noise(2 << 20, 11).bytes;
        for (at, n) in [(0, 512), (1, 511), (4095, 2), (5000, 1_000_000 - 5_000), (700, 70_000), (len - 300, 300)] {
            let n = n.min(len - at);
            target.write_at(&new[..n], at as u64).unwrap();
            want[at..at + n].copy_from_slice(&new[..n]);
        }
        for (at, n) in [(0, 100), (3000, 300_000), (4096, 4096), (len - 5000, 5000), (512, 0)] {
            target.zero(at as u64, n as u64).unwrap();
            want[at..at + n].fill(0);
        }
        let mut aligned = Aligned::new(64 << 10);
        aligned.copy_from_slice(&new[..64 << 10]);
        target.write_at(&aligned, 8192).unwrap();
        want[8192..8192 + (64 << 10)].copy_from_slice(&aligned);
        assert_eq!(target.write_at(&new[..2], len as u64 - 1).err().unwrap().kind(), Kind::Usage);
        assert_eq!(target.zero(len as u64, 1).err().unwrap().kind(), Kind::Usage);
        target.flush().unwrap();
        let mut back = vec![0; len];
        target.read_at(&mut back, 0).unwrap();
        assert!(back == want);
        drop(target);
        drop(device);
        assert!(std::fs::read(&file).unwrap() == want);
    }
}

#[test]
fn a_drive_that_loses_its_end_is_told_apart_from_bad_sectors() {
    if !possible("a_drive_that_loses_its_end_is_told_apart_from_bad_sectors") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = backing(dir.path(), "disk", &vec![3; 1 << 20]);
    let device = Loop::new(&file, &["-r"]);
    let source = block::open(&device.0).unwrap();
    File::options().write(true).open(&file).unwrap().set_len(512 << 10).unwrap();
    run("losetup", &["-c", device.0.to_str().unwrap()]);
    let mut buf = vec![0; 1 << 20];
    let e = source.read_at(&mut buf, 0).err().unwrap();
    assert_eq!((e.kind(), e.offset()), (Kind::Io, Some(512 << 10)), "{e}");
    assert!(source.changed().unwrap().unwrap().contains("size has changed"));
}

/// The rig's 9 bad sectors in 32 MiB: nbdkit behind nbdfuse behind a loop device with direct I/O.
struct Rig {
    device: Option<Loop>,
    fuse: std::process::Child,
    mount: PathBuf,
}

impl Rig {
    fn new(dir: &Path, script: &str) -> Option<Self> {
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

#[test]
fn only_the_bad_sectors_are_lost() {
    if !possible("only_the_bad_sectors_are_lost") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let model = Model::noise(32 << 20, 3);
    let image = backing(dir.path(), "image", &model.bytes);
    let bad = |sector: u64| (20_000..=20_007).contains(&sector) || sector == 40_001;
    let script = format!(
        r#"case "$1" in
 get_size) echo {len};;
 pread) len=$3; off=$4; a=$((off/512)); b=$(((off+len-1)/512))
   if {{ [ $a -le 20007 ] && [ $b -ge 20000 ]; }} || {{ [ $a -le 40001 ] && [ $b -ge 40001 ]; }}; then
     echo "EIO bad sector" >&2; exit 1; fi
   dd if={image} iflag=skip_bytes,count_bytes skip=$off count=$len bs=65536 status=none;;
 *) exit 2;;
esac"#,
        len = model.bytes.len(),
        image = image.display(),
    );
    let Some(rig) = Rig::new(dir.path(), &format!("#!/bin/sh\n{script}")) else { return };
    let source = block::open(&rig.device.as_ref().unwrap().0).unwrap();
    assert!(source.is_direct());
    // Sector by sector around the bad ones, and in a buffer that needs the bounce.
    for sector in (19_990..20_020).chain(39_990..40_010) {
        let mut buf = vec![0; 513];
        let result = source.read_at(&mut buf[1..], sector * 512);
        assert_eq!(result.is_err(), bad(sector), "sector {sector}");
        match result {
            Ok(()) => assert!(buf[1..] == model.bytes[sector as usize * 512..][..512]),
            Err(e) => assert_eq!(e.kind(), Kind::Unreadable { good: 0, first_bad: None }),
        }
    }
    // Reads across them: what is called good is good, and it never reaches into a bad sector.
    for (offset, len) in
        [(0u64, 32usize << 20), (19_999 * 512, 512 * 20), (19_990 * 512 + 7, 9_000), (9 << 20, 1 << 20)]
    {
        let mut buf = Aligned::new(len);
        let e = source.read_at(&mut buf, offset).err().unwrap();
        let Kind::Unreadable { good, .. } = e.kind() else { panic!("{e}") };
        assert!(offset + good <= 20_000 * 512, "{good} of {len} at {offset}");
        assert!(buf[..good as usize] == model.bytes[offset as usize..][..good as usize]);
        assert_eq!(e.offset(), Some(offset + good));
    }
}
