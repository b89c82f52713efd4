//! Comparing files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// All bytes of a file or drive.
pub fn read(path: impl AsRef<Path>) -> Vec<u8> {
    let path = path.as_ref();
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Where two files or drives first differ: the offset, or the shorter length where one is the beginning of the other.
pub fn first_difference(a: impl AsRef<Path>, b: impl AsRef<Path>) -> Option<u64> {
    let open = |p: &Path| File::open(p).unwrap_or_else(|e| panic!("{}: {e}", p.display()));
    let (mut a, mut b) = (open(a.as_ref()), open(b.as_ref()));
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut at = 0;
    loop {
        let (n, m) = (fill(&mut a, &mut left), fill(&mut b, &mut right));
        let both = n.min(m);
        if left[..both] != right[..both] {
            let i = left.iter().zip(&right).position(|(x, y)| x != y).expect("the slices differ");
            return Some(at + i as u64);
        }
        at += both as u64;
        if n != m {
            return Some(at);
        }
        if n == 0 {
            return None;
        }
    }
}

fn fill(file: &mut File, buf: &mut [u8]) -> usize {
    let mut n = 0;
    while n < buf.len() {
        match file.read(&mut buf[n..]).expect("a test file can be read") {
            0 => break,
            k => n += k,
        }
    }
    n
}

/// Panics unless two files or drives hold the same bytes.
#[track_caller]
pub fn assert_same(a: impl AsRef<Path>, b: impl AsRef<Path>) {
    let (a, b) = (a.as_ref(), b.as_ref());
    if let Some(at) = first_difference(a, b) {
        let len = |p: &Path| std::fs::metadata(p).map_or(0, |m| m.len());
        panic!("{} ({} bytes) and {} ({} bytes) differ at {at}", a.display(), len(a), b.display(), len(b));
    }
}

/// The runs of units of `unit` bytes that differ, as offset and length; both slices are of one length.
#[track_caller]
pub fn runs_that_differ(a: &[u8], b: &[u8], unit: usize) -> Vec<(u64, u64)> {
    assert_eq!(a.len(), b.len(), "lengths");
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for (i, (x, y)) in a.chunks(unit).zip(b.chunks(unit)).enumerate() {
        if x != y {
            let at = (i * unit) as u64;
            match runs.last_mut() {
                Some((offset, len)) if *offset + *len == at => *len += x.len() as u64,
                _ => runs.push((at, x.len() as u64)),
            }
        }
    }
    runs
}
