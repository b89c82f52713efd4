//! Random work, killed at random moments, checked every time.

use crate::Outcome;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tintype_core::Format;
use tintype_formats::FORMATS;
use tintype_tests::{Scratch, ours};

/// Works for this many minutes. Stops at the first thing that is wrong, with the number that does it again.
pub fn run(minutes: u64) -> Outcome {
    let end = Instant::now() + Duration::from_secs(minutes * 60);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?.as_nanos() as u64;
    let first = std::env::var("TINTYPE_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(now | 1);
    let writers: Vec<&Format> = FORMATS.iter().copied().filter(|f| f.create.is_some() && f.open.is_some()).collect();
    let mut rounds = 0u64;
    while Instant::now() < end {
        let seed = first.wrapping_add(rounds.wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1;
        eprintln!("round {rounds} TINTYPE_TEST_SEED={seed}");
        round(&writers, Rng(seed));
        rounds += 1;
    }
    println!("{rounds} rounds, nothing wrong");
    Ok(())
}

/// One disk, through one format with interruptions, through another, and back.
fn round(writers: &[&Format], mut rng: Rng) {
    let scratch = Scratch::new();
    let len = (rng.below(64 << 20) / 512 * 512).max(512) as usize;
    let disk = scratch.file("disk", &tintype_tests::sample(len, rng.below(u64::MAX)));
    let name = |stem: &str, format: &Format| format!("{stem}.{}", format.extensions[0].replace("e01", "E01"));
    let (a, b) = (writers[rng.below(writers.len() as u64) as usize], writers[rng.below(writers.len() as u64) as usize]);
    let first = scratch.join(name("a", a));
    let word = a.caps.compression.get(rng.below(a.caps.compression.len().max(1) as u64) as usize).copied();
    let words: Vec<&str> = word.into_iter().flat_map(|w| ["--compression", w]).collect();
    for _ in 0..rng.below(5) {
        let mut running = ours(&[&"image", &disk, &first, &"--to", &a.name, &"-q"]).args(&words).start();
        running.has_written(rng.below(len as u64));
        running.kill();
        running.wait();
    }
    ours(&[&"image", &disk, &first, &"--to", &a.name, &"-q"]).args(&words).ok();
    ours(&[&"verify", &first, &"-q"]).ok();
    ours(&[&"compare", &disk, &first, &"-q"]).ok();
    let second = scratch.join(name("b", b));
    ours(&[&"convert", &first, &second, &"--to", &b.name, &"-q", &"--verify"]).ok();
    ours(&[&"compare", &disk, &second, &"-q"]).ok();
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}
