//! Disks to make images of.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use tintype_core::State;
use tintype_core::testing::Model;

/// How the bytes of a sample file lie in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Every byte is written, zeros too.
    Full,
    /// Long runs of zeros are holes.
    Sparse,
}

/// `len` bytes of runs of noise, of repeated words and of zeros, the same for one `seed`.
pub fn sample(len: usize, seed: u64) -> Vec<u8> {
    Model::mixed(len, &[State::Data, State::Zero], 512, seed).bytes
}

/// A file called `name` in `scratch` that holds [`sample`], and its bytes.
pub fn sample_file(scratch: &crate::Scratch, name: &str, len: usize, seed: u64, layout: Layout) -> (PathBuf, Vec<u8>) {
    let bytes = sample(len, seed);
    let path = scratch.join(name);
    match layout {
        Layout::Full => std::fs::write(&path, &bytes).expect("the scratch folder can be written"),
        Layout::Sparse => write_sparse(&path, &bytes),
    }
    (path, bytes)
}

/// Writes `bytes` to a new file, leaving holes for blocks of zeros.
pub fn write_sparse(path: impl AsRef<std::path::Path>, bytes: &[u8]) {
    let file = File::create(path).expect("the scratch folder can be written");
    file.set_len(bytes.len() as u64).expect("a length can be set");
    for (i, block) in bytes.chunks(64 << 10).enumerate() {
        if block.iter().any(|b| *b != 0) {
            file.write_all_at(block, (i * (64 << 10)) as u64).expect("the scratch folder can be written");
        }
    }
}

/// What the table of formats calls E01.
pub fn e01_name() -> &'static str {
    tintype_formats::by_extension("x.E01").expect("E01 is written").name
}
