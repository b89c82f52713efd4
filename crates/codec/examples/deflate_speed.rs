//! Holds the fast level against libdeflate's level 1 over the chunks of a disk: `deflate_speed CHUNK FILE [ROUNDS]`.
//!
//! One MiB of every 32 is read; chunks that an image writer would not compress are left out. Every result is decoded. Writes sizes and
//! the best of some rounds, the two taking turns.

use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, Instant};
use tintype_codec::deflate::{Compressor, Decompressor, Level};
use tintype_codec::looks_incompressible;

const SAMPLE: usize = 1 << 20;
const EVERY: u64 = 32 << 20;

fn main() {
    let mut args = std::env::args().skip(1);
    let size: usize = args.next().and_then(|n| n.parse().ok()).expect("the first argument is a chunk size");
    let path = args.next().expect("the second argument is a file");
    let rounds: u32 = args.next().map_or(5, |n| n.parse().expect("the third argument is a number"));

    let mut file = std::fs::File::open(&path).expect("the file opens");
    let len = file.seek(SeekFrom::End(0)).expect("the file has an end");
    let mut chunks = Vec::new();
    let mut sample = vec![0; SAMPLE];
    for at in (0..len.saturating_sub(SAMPLE as u64 - 1)).step_by(EVERY as usize) {
        file.seek(SeekFrom::Start(at)).expect("within the file");
        file.read_exact(&mut sample).expect("the file can be read");
        let worthwhile = |c: &&[u8]| c.iter().any(|b| *b != 0) && !looks_incompressible(c);
        chunks.extend(sample.chunks(size).filter(worthwhile).map(<[u8]>::to_vec));
    }

    let mut engines =
        [("fast", Compressor::new(Level::Fast)), ("libdeflate 1", Compressor::new(Level::number(1).expect("a level")))];
    // By chunk, so that what else the machine does is left out.
    let mut best = [const { Vec::new() }; 2];
    best.iter_mut().for_each(|b| b.resize(chunks.len(), Duration::MAX));
    let mut sizes = [0; 2];
    let mut out = Vec::with_capacity(2 * size + 64);
    for _ in 0..rounds {
        for (i, (_, engine)) in engines.iter_mut().enumerate() {
            sizes[i] = 0;
            for (chunk, best) in chunks.iter().zip(&mut best[i]) {
                // In the program a chunk has just been hashed, so it is in the cache.
                std::hint::black_box(tintype_codec::checksum::crc32(chunk));
                out.clear();
                let started = Instant::now();
                sizes[i] += engine.zlib_bounded(chunk, chunk.len() - 1, &mut out).unwrap_or(chunk.len() + 4);
                *best = started.elapsed().min(*best);
            }
        }
    }
    let mut back = vec![0; size];
    for chunk in &chunks {
        out.clear();
        engines[0].1.zlib(chunk, &mut out);
        let progress = Decompressor::new().zlib(&out, &mut back).expect("the result decodes");
        assert!(progress.consumed == out.len() && back[..progress.written] == **chunk, "other bytes came back");
    }
    let plain: usize = chunks.iter().map(Vec::len).sum();
    let best = best.map(|times| times.iter().sum::<Duration>());
    for (i, (name, _)) in engines.iter().enumerate() {
        println!(
            "{name:12} {:6.1} MB/s {:6.2} us a chunk, {sizes:.4} of {plain} bytes",
            plain as f64 / best[i].as_secs_f64() / 1e6,
            best[i].as_secs_f64() * 1e6 / chunks.len() as f64,
            sizes = sizes[i] as f64 / plain as f64,
        );
    }
    println!(
        "speed x {:.3}, size x {:.4}",
        best[1].as_secs_f64() / best[0].as_secs_f64(),
        sizes[0] as f64 / sizes[1] as f64
    );
}
