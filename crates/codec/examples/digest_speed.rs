//! Measures every digest over a buffer larger than the cache, and the md-5 crate beside ours.

use md5::Digest as _;
use std::time::Instant;
use tintype_codec::digest::{Algorithm, Hasher};

fn main() {
    let data: Vec<u8> = (0..64 << 20_u32).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 9) as u8).collect();
    for algorithm in Algorithm::ALL {
        best(algorithm.name(), data.len(), || {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(&data);
            std::hint::black_box(hasher.finish());
        });
    }
    best("md-5 crate", data.len(), || {
        std::hint::black_box(md5::Md5::digest(&data));
    });
}

fn best(name: &str, len: usize, mut run: impl FnMut()) {
    let seconds = (0..5)
        .map(|_| {
            let started = Instant::now();
            run();
            started.elapsed().as_secs_f64()
        })
        .fold(f64::MAX, f64::min);
    println!("{name:>12} {:6.0} MB/s", len as f64 / seconds / 1e6);
}
