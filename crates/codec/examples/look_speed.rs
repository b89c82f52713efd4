//! Holds `looks_incompressible` against libdeflate's level 1 over files: `look_speed CHUNK FILE...`.
//!
//! Writes what each costs, how often noise was recognised, and every chunk refused although it would have shrunk by over 2.5 per cent.

use std::time::{Duration, Instant};
use tintype_codec::deflate::{Compressor, Level};
use tintype_codec::looks_incompressible;

fn main() {
    let mut args = std::env::args().skip(1);
    let size: usize = args.next().and_then(|n| n.parse().ok()).expect("the first argument is a chunk size");
    let mut compressor = Compressor::new(Level::number(1).expect("a level"));
    let (mut looking, mut packing) = (Duration::ZERO, Duration::ZERO);
    let (mut looking_noise, mut packing_noise) = (Duration::ZERO, Duration::ZERO);
    let (mut chunks, mut refused, mut noise, mut wrong, mut worst) = (0, 0, 0, 0, 0.0_f64);
    for path in args {
        let Ok(data) = std::fs::read(&path) else { continue };
        for (i, chunk) in data.chunks(size).enumerate().filter(|(_, c)| c.len() >= 4096) {
            // In the program a chunk has just been hashed, so it is in the cache.
            std::hint::black_box(tintype_codec::checksum::crc32(chunk));
            let started = Instant::now();
            let look = looks_incompressible(chunk);
            let looked = started.elapsed();
            let mut out = Vec::with_capacity(chunk.len() * 2);
            let started = Instant::now();
            compressor.zlib(chunk, &mut out);
            let packed = started.elapsed();
            let saving = 1.0 - out.len() as f64 / chunk.len() as f64;
            chunks += 1;
            refused += u32::from(look);
            noise += u32::from(saving < 0.01);
            looking += looked;
            packing += packed;
            if saving < 0.01 {
                looking_noise += looked;
                packing_noise += packed;
            }
            if look && saving > 0.025 {
                wrong += 1;
                if saving > worst {
                    worst = saving;
                    println!("{path}: chunk {i} refused although it would shrink by {:.1} %", saving * 100.0);
                }
            }
        }
    }
    let share = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64().max(1e-9) * 100.0;
    println!(
        "{chunks} chunks of {size}: {noise} hopeless, {refused} refused, {wrong} of them wrongly (worst {:.1} %); \
         costs {:.2} % of packing, {:.2} % for hopeless ones",
        worst * 100.0,
        share(looking, packing),
        share(looking_noise, packing_noise),
    );
}
