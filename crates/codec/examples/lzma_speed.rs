//! `lzma_speed FILE.xz`: how fast a whole file is decoded, beside liblzma, in turns.

use liblzma::stream::{Action, Status, Stream};
use std::time::Instant;
use tintype_codec::stream::{Kind, Limits, Memory, open};

fn main() {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: lzma_speed FILE.xz");
        std::process::exit(2);
    };
    let file = std::fs::read(&path).expect("the file can be read");
    let mut buf = vec![0; 256 << 10];
    let (mut best_ours, mut best_theirs) = (f64::MAX, f64::MAX);
    for _ in 0..5 {
        let input = Box::new(Memory(file.clone()));
        let start = Instant::now();
        let mut decoder = open(Kind::Xz, input, Limits { memory: 1 << 30 }).expect("an xz file");
        while decoder.read(&mut buf).expect("a whole file") > 0 {}
        best_ours = best_ours.min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        let mut decoder = Stream::new_stream_decoder(u64::MAX, 0).expect("memory");
        while decoder
            .process(&file[decoder.total_in() as usize..], &mut buf, Action::Run)
            .is_ok_and(|status| status != Status::StreamEnd)
        {}
        best_theirs = best_theirs.min(start.elapsed().as_secs_f64());
    }
    println!("ours {best_ours:.2} s, liblzma {best_theirs:.2} s: {:.2} times its speed", best_theirs / best_ours);
}
