//! Lists what a compressed file says of itself without decoding it: `scan xz|zstd|lzop|bgzf FILE`, or makes a BGZF: `scan to-bgzf FILE OUT`.

use std::fs::File;
use std::time::Instant;
use tintype_codec::deflate::{Decompressor, Level};
use tintype_codec::{Result, bgzf, lzop, xz, zstd};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let started = Instant::now();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["xz", path] => {
            let mut file = File::open(path)?;
            let len = file.metadata()?.len();
            let index = xz::Index::read(&mut file, len, 1 << 20)?;
            let mut whole = Vec::new();
            for block in &index.blocks {
                let start = whole.len();
                whole.resize(start + block.len as usize, 0);
                block.decode(&mut file, 1 << 30, &mut whole[start..])?;
            }
            println!("{} blocks, {} bytes, all decode", index.blocks.len(), index.len);
        }
        ["zstd", path] => {
            for frame in zstd::Frames::new(Box::new(File::open(path)?)) {
                println!("{:?}", frame?);
            }
        }
        ["lzop", path] => {
            let blocks = lzop::Blocks::new(Box::new(File::open(path)?)).collect::<Result<Vec<_>>>()?;
            println!("{} blocks, {} bytes", blocks.len(), blocks.iter().map(|b| u64::from(b.len)).sum::<u64>());
        }
        ["bgzf", path] => {
            let blocks = bgzf::Blocks::new(Box::new(File::open(path)?)).collect::<Result<Vec<_>>>()?;
            let file = std::fs::read(path)?;
            let mut decompressor = Decompressor::new();
            let mut out = vec![0; 65536];
            for block in &blocks {
                let stored = &file[block.in_offset as usize..][..block.in_len as usize];
                bgzf::decode_block(&mut decompressor, stored, &mut out[..block.len as usize])?;
            }
            println!("{} blocks, {} bytes", blocks.len(), blocks.iter().map(|b| u64::from(b.len)).sum::<u64>());
        }
        ["to-bgzf", path, target] => {
            let mut encoder = bgzf::Encoder::new(Level::Fast);
            let mut out = Vec::new();
            for part in std::fs::read(path)?.chunks(bgzf::MAX_PLAIN) {
                encoder.block(part, &mut out)?;
            }
            out.extend_from_slice(&bgzf::END);
            std::fs::write(target, out)?;
        }
        _ => eprintln!("usage: scan xz|zstd|lzop|bgzf FILE"),
    }
    eprintln!("{:.3} s", started.elapsed().as_secs_f64());
    Ok(())
}
