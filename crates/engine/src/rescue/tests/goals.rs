//! The goals, on drives that fail as those of the rig do, beside what GNU ddrescue 1.27 did on the very same models.
//!
//! ddrescue's figures come from the rig (a FUSE file that fails, read with `ddrescue -d -b512` or `-b4096` and `-r1`); the models were
//! written down for it by `write_models` below.

use super::*;

/// What a peer came to.
struct Peer {
    /// Virtual seconds until 90, 99 and 99.9 % of what can be had were there, at the best of its settings.
    seconds: [f64; 3],
    /// Failed reads, and bytes that were there after them: steps past 90 %.
    steps: &'static [(u64, u64)],
}

const LEN: u64 = 1 << 30;

fn model(name: &str) -> Model {
    let text = match name {
        "scattered" => format!("size {LEN}\nseed 11\nscattered 200"),
        "scratch" => {
            let mut text = format!("size {LEN}\nseed 12");
            for i in [3_u64, 8, 13, 14, 17, 22, 24, 29, 31, 37, 40, 44] {
                text += &format!("\nscratch {} 1789440", i * LEN / 50 / 65536 * 65536);
            }
            text
        }
        "weakhead" => {
            "seed 13\nheads 4 32 8388608 8388608\nhead 2 slow 20\nhead 2 weak 1 share 0.02\nhead 2 bad share 0.05"
                .into()
        }
        "deadhead" => "heads 4 32 8388608 8388608\nhead 2 bad".into(),
        "zones" => "heads 8 24 153600000 89600000\nhead 3 bad".into(),
        _ => unreachable!("no such model"),
    };
    Model::parse(&text).unwrap()
}

/// A rescue that is told nothing of how long reads take, as by the rig, or all of it.
fn played(name: &str, blind: bool, plan: Plan) -> Bench {
    let model = model(name);
    let len = model.size().unwrap();
    let mut bench = Bench::new(model, len);
    bench.blind = blind;
    rescue(&mut bench, Ledger::new(len), plan);
    bench
}

#[test]
fn write_models() {
    let Some(folder) = std::env::var_os("RESCUE_WRITE_MODELS") else { return };
    for name in ["scattered", "scratch", "weakhead", "deadhead"] {
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.model")), model(name).plain()).unwrap();
    }
}
