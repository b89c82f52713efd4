//! Decodes a compressed file: `unpack KIND FILE` writes the output's length and SHA-256, and the speed.
//!
//! With `--resume` it also takes a checkpoint about every megabyte and proves each one by decoding on from it.

use std::fs::File;
use std::time::Instant;
use tintype_codec::digest::{Algorithm, Hasher};
use tintype_codec::stream::{self, Kind, Limits};
use tintype_codec::{Error, Result};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kind, path, options @ ..] = &args[..] else {
        eprintln!("usage: unpack KIND|auto FILE [--resume]");
        std::process::exit(2);
    };
    let kind = match Kind::ALL.into_iter().find(|k| k.name() == kind) {
        Some(kind) => kind,
        None => {
            let mut head = vec![0; 8192];
            let n = stream::Input::read_at(&mut File::open(path)?, &mut head, 0)?;
            let guess = stream::probe(&head[..n]);
            eprintln!("probe: {guess:?}");
            guess.map(|(kind, _)| kind).ok_or(Error::Unsupported("nothing known".into()))?
        }
    };
    let limits = Limits { memory: 1 << 31 };
    let mut decoder = stream::open(kind, Box::new(File::open(path)?), limits)?;
    let resume = options.iter().any(|o| o == "--resume");
    if resume {
        decoder.set_spacing(1 << 20);
    }
    let started = Instant::now();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buf = vec![0; 1 << 20];
    let mut places = Vec::new();
    loop {
        match decoder.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => {
                if !options.iter().any(|o| o == "--speed") {
                    hasher.update(&buf[..n]);
                }
            }
            Err(Error::Trailing { offset }) => eprintln!("trailing bytes at {offset}"),
            Err(e) => return Err(e),
        }
        if resume && let Some(place) = decoder.checkpoint() {
            places.push((place, hasher.clone()));
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let len = decoder.out_offset();
    let digest = hasher.finish();
    println!("{digest} {len} {:.0} MB/s", len as f64 / seconds / 1e6);
    for (place, hasher) in &places {
        let mut decoder = stream::resume(kind, Box::new(File::open(path)?), limits, place)?;
        let mut hasher = hasher.clone();
        loop {
            match decoder.read(&mut buf) {
                Ok(0) => break,
                Ok(n) => hasher.update(&buf[..n]),
                Err(Error::Trailing { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        assert_eq!(hasher.finish(), digest, "resumed at {}", place.out_offset);
        assert_eq!(decoder.out_offset(), len);
    }
    if resume {
        println!("{} checkpoints hold", places.len());
    }
    Ok(())
}
