use super::looks_incompressible;
use crate::deflate::{Compressor, Level};

/// xorshift64*, so that nothing here depends on chance.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

const SIZES: [usize; 4] = [32 << 10, 64 << 10, 1 << 20, 4 << 20];

fn saving(chunk: &[u8]) -> f64 {
    let mut out = Vec::new();
    Compressor::new(Level::number(1).unwrap()).zlib(chunk, &mut out);
    1.0 - out.len() as f64 / chunk.len() as f64
}

fn assert_never_wrong(name: &str, chunk: &[u8]) {
    assert!(!looks_incompressible(chunk) || saving(chunk) < 0.03, "{name}, {} bytes: {}", chunk.len(), saving(chunk));
}

#[test]
fn noise_is_recognised() {
    let mut yes = 0;
    let mut all = 0;
    for size in SIZES {
        for seed in 1..=if size > 100_000 { 4 } else { 100 } {
            all += 1;
            yes += u32::from(looks_incompressible(&Noise(seed).bytes(size)));
        }
    }
    assert!(yes * 100 >= all * 98, "{yes} of {all}");
}

#[test]
fn compressed_data_is_recognised() {
    let text: Vec<u8> =
        (0..900_000u32).flat_map(|i| format!("{:x} ", i.wrapping_mul(2_654_435_761)).into_bytes()).collect();
    let mut packed = Vec::new();
    crate::zstd::Compressor::new(3, crate::zstd::Checksum::Omitted).unwrap().frame(&text, &mut packed).unwrap();
    let chunks: Vec<_> = packed.chunks_exact(32 << 10).collect();
    let yes = chunks.iter().filter(|chunk| looks_incompressible(chunk)).count();
    assert!(chunks.len() > 30);
    assert!(yes * 10 >= chunks.len() * 9, "{yes} of {}", chunks.len());
}

#[test]
fn periods_are_seen() {
    for period in [16, 100, 256, 512, 1000, 4096, 5000, 8192, 16384, 30000, 32768] {
        for seed in 1..20 {
            let block = Noise(seed).bytes(period);
            for size in [32 << 10, 64 << 10, 128 << 10, 1 << 20] {
                if size >= 2 * period {
                    let chunk: Vec<u8> = block.iter().copied().cycle().take(size).collect();
                    assert!(!looks_incompressible(&chunk), "period {period}, {size} bytes, seed {seed}");
                }
            }
        }
    }
}

#[test]
fn structure_is_never_taken_for_noise() {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for size in SIZES {
        for seed in 1..4 {
            let mut noise = Noise(seed);
            assert_never_wrong(
                "text",
                &(0..size as u32).flat_map(|i| format!("{} ", i * 7).into_bytes()).take(size).collect::<Vec<_>>(),
            );
            assert_never_wrong(
                "base64",
                &noise.bytes(size).iter().map(|b| BASE64[usize::from(b & 63)]).collect::<Vec<_>>(),
            );
            assert_never_wrong("seven bits", &noise.bytes(size).iter().map(|b| b & 127).collect::<Vec<_>>());
            for most in [200, 220, 230, 240, 250] {
                let few = (0..size).map(|_| (noise.next() % most) as u8).collect::<Vec<_>>();
                assert_never_wrong("few values", &few);
            }
            for step in [1, 3, 5, 255] {
                assert_never_wrong("counter", &(0..size).map(|i| (i * step) as u8).collect::<Vec<_>>());
            }
            for width in [2, 3, 4, 8] {
                let counters: Vec<u8> =
                    (0..size as u64).flat_map(|i| i.to_le_bytes().into_iter().take(width)).take(size).collect();
                assert_never_wrong("wide counter", &counters);
                let counters: Vec<u8> =
                    (0..size as u64).flat_map(|i| i.to_be_bytes().into_iter().skip(8 - width)).take(size).collect();
                assert_never_wrong("wide counter", &counters);
            }
            let walk: Vec<u8> = (0..size / 2)
                .scan(0_i16, |level, _| {
                    *level = level.wrapping_add((noise.next() % 2048) as i16 - 1024);
                    Some(level.to_le_bytes())
                })
                .flatten()
                .collect();
            assert_never_wrong("samples of sound", &walk);
            for record in [512, 1024, 4096] {
                let mut records = noise.bytes(size);
                records.chunks_mut(record).for_each(|r| r[64..].fill(0));
                assert_never_wrong("records with little in them", &records);
            }
            let words = noise.bytes(4000);
            let records: Vec<u8> = (0..size / 4)
                .flat_map(|_| *words[(noise.next() % 1000) as usize * 4..].first_chunk::<4>().unwrap())
                .collect();
            assert_never_wrong("records from a list", &records);
        }
    }
}

#[test]
fn noise_with_something_else_in_it() {
    for size in SIZES {
        for seed in 1..if size > 100_000 { 3 } else { 10 } {
            for share in [3, 4, 5, 6, 8, 10, 15, 20, 30, 50] {
                let mut noise = Noise(seed * 1000 + share);
                let part = size * share as usize / 100;
                let at = noise.next() as usize % (size - part);
                let mut zeros = noise.bytes(size);
                zeros[at..at + part].fill(0);
                assert_never_wrong("one zero run", &zeros);
                let mut scattered = noise.bytes(size);
                for _ in 0..part / 64 {
                    let at = noise.next() as usize % (size - 64);
                    scattered[at..at + 64].fill(b' ');
                }
                assert_never_wrong("scattered runs", &scattered);
                let mut copies = noise.bytes(size);
                for _ in 0..part / 128 {
                    let at = noise.next() as usize % (size - 128);
                    let from = at.saturating_sub(1 + noise.next() as usize % 20000);
                    copies.copy_within(from..from + 128, at);
                }
                assert_never_wrong("scattered copies", &copies);
            }
        }
    }
}
