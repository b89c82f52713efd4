//! The disk that the benches work on: 4 GiB, half full, as much text, programs and noise as a used machine has.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const NAME: &str = "mixed-4g.img";
const LEN: u64 = 4 << 30;

/// The disk in `data`, made if it is not there.
///
/// With the project's rig beside the checkout, it is the rig's disk, whose figures the goals are quoted from; else one of
/// the same make, without a file system of real files.
pub fn disk(data: &Path) -> Result<PathBuf, String> {
    let path = data.join(NAME);
    if path.metadata().is_ok_and(|m| m.len() == LEN) {
        return Ok(path);
    }
    std::fs::create_dir_all(data).map_err(|e| format!("{}: {e}", data.display()))?;
    let rig = crate::root().parent().map(|p| p.join("shared/rigs/bench")).filter(|p| p.join("mkworkloads.sh").exists());
    if let Some(rig) = rig {
        match from_rig(&rig, data) {
            Ok(()) if path.exists() => return Ok(path),
            Ok(()) => eprintln!("the rig made no {NAME}; a simpler disk is made instead"),
            Err(e) => eprintln!("the rig failed ({e}); a simpler disk is made instead"),
        }
    }
    generate(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

/// Runs the beginning of the rig's script, up to the one disk that is needed: the whole makes 22 GB.
fn from_rig(rig: &Path, data: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(rig.join("mkworkloads.sh")).map_err(|e| e.to_string())?;
    let head: Vec<&str> = text.lines().take_while(|l| !l.starts_with("[ -e random-1g.img")).collect();
    let scratch = tintype_tests::Scratch::new();
    for entry in std::fs::read_dir(rig).map_err(|e| e.to_string())?.flatten() {
        if entry.path().extension().is_some_and(|e| e == "py") {
            std::fs::copy(entry.path(), scratch.join(entry.file_name())).map_err(|e| e.to_string())?;
        }
    }
    let script = scratch.file("mixed.sh", (head.join("\n") + "\n").as_bytes());
    let status = Command::new("bash").arg(&script).arg(data).status().map_err(|e| e.to_string())?;
    // What the disk was filled from is not needed any more.
    for name in ["tree", "golden", "mnt"] {
        let _ = std::fs::remove_dir_all(data.join(name));
    }
    if status.success() { Ok(()) } else { Err(format!("mkworkloads.sh: {status}")) }
}

/// Runs of text, of machine code, of noise and of zeros; no holes, because a disk has none.
fn generate(path: &Path) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    let file = File::create(&partial)?;
    let mut rng = Rng(4242);
    let words: Vec<Vec<u8>> =
        (0..4000).map(|_| (0..2 + rng.next() % 9).map(|_| b'a' + (rng.next() % 26) as u8).collect()).collect();
    let mut at = 0;
    while at < LEN {
        let run = ((64 << 10) << (rng.next() % 9)).min(LEN - at) as usize;
        let mut bytes = Vec::with_capacity(run + 16);
        // A quarter noise, a quarter to be compressed by half or more, half empty.
        match rng.next() % 8 {
            0 | 1 => {
                while bytes.len() < run {
                    bytes.extend_from_slice(&rng.next().to_le_bytes());
                }
            }
            2 => {
                while bytes.len() < run {
                    let square = rng.next() % 4000 * (rng.next() % 4000) / 4000;
                    bytes.extend_from_slice(&words[square as usize]);
                    bytes.push(if rng.next().is_multiple_of(9) { b'\n' } else { b' ' });
                }
            }
            3 => {
                while bytes.len() < run {
                    let word = rng.next();
                    bytes.extend_from_slice(&[0x48, 0x8b, (word & 0x3f) as u8, (word >> 8 & 0x7) as u8, 0, 0]);
                    bytes.extend_from_slice(&(word as u16).to_le_bytes());
                }
            }
            _ => bytes.resize(run, 0),
        }
        bytes.truncate(run);
        file.write_all_at(&bytes, at)?;
        at += run as u64;
    }
    file.sync_all()?;
    std::fs::rename(partial, path)
}

/// Numbers that look random and are the same every time (xorshift).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
