//! The drives that the goals are about, in the text that the rig's fault drive reads.

use crate::workload::Rng;
use std::path::Path;
use tintype_tests::{python, tool};

const SECTOR: u64 = 512;
/// What a weak head's damage and large sectors are cut into.
const BLOCK: u64 = 4096;

/// What a drive suffers from: how it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Scattered,
    Scratch,
    WeakHead,
    DeadHead,
    /// A dead head on a drive of many zones, `ddrescuelog --make-test=6000:8:1200-700:FF:3`.
    MakeTest,
    /// Nothing that the table of goals has a number for: only the curve is judged.
    Other,
}

/// A drive that fails.
pub struct Model {
    pub name: &'static str,
    pub kind: Kind,
    pub size: u64,
    /// Its smallest read: 4096 where a medium has sectors of that size.
    pub sector: u64,
    seed: &'static str,
}

const GIB: u64 = 1 << 30;

const fn model(name: &'static str, kind: Kind, seed: &'static str) -> Model {
    Model { name, kind, size: GIB, sector: SECTOR, seed }
}

const fn sized(model: Model, size: u64) -> Model {
    Model { size, ..model }
}

const fn large_sectors(model: Model) -> Model {
    Model { sector: BLOCK, ..model }
}

/// Every model, in the order of the table of goals.
pub const MODELS: [Model; 18] = [
    model("scattered", Kind::Scattered, ""),
    model("scattered-seed4", Kind::Scattered, "4"),
    model("scattered-seed5", Kind::Scattered, "5"),
    large_sectors(model("scattered-4k", Kind::Scattered, "")),
    sized(model("scattered-4gib", Kind::Scattered, ""), 4 * GIB),
    model("scratch", Kind::Scratch, ""),
    model("scratch-seed4", Kind::Scratch, "4"),
    model("scratch-seed5", Kind::Scratch, "5"),
    large_sectors(model("scratch-4k", Kind::Scratch, "")),
    sized(model("scratch-4gib", Kind::Scratch, ""), 4 * GIB),
    model("weakhead", Kind::WeakHead, ""),
    model("weakhead-seed4", Kind::WeakHead, "4"),
    model("weakhead-seed5", Kind::WeakHead, "5"),
    large_sectors(model("weakhead-4k", Kind::WeakHead, "")),
    model("weakheads-2of8", Kind::Other, ""),
    model("deadhead", Kind::DeadHead, ""),
    large_sectors(model("deadhead-4k", Kind::DeadHead, "")),
    sized(model("make-test", Kind::MakeTest, ""), 23_335_936_000),
];

impl Model {
    /// Its text.
    pub fn text(&self, rig: &Path) -> Result<String, String> {
        let text = match self.kind {
            Kind::MakeTest => make_test(),
            Kind::Other => two_weak_heads(),
            Kind::Scattered | Kind::Scratch | Kind::WeakHead | Kind::DeadHead => {
                let name = ["scattered", "scratch", "weakhead", "deadhead"][self.kind as usize];
                let script = rig.join("genmodel.py");
                let python = python().display().to_string();
                tool(&python, &[&script, &name, &self.size.to_string()]).env("SEED", self.seed).ok().out()
            }
        };
        if self.sector == SECTOR { Ok(text) } else { in_blocks(&text) }
    }
}

/// The same faults on a medium of large sectors: what is bad is so as a whole, and a weak one fails once for all its parts.
fn in_blocks(text: &str) -> Result<String, String> {
    let mut all = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |i: usize| words[i].parse::<u64>().map_err(|e| format!("{line}: {e}"));
        match words.first().copied() {
            Some("bad") => {
                let (from, to) = (number(1)? / BLOCK * BLOCK, (number(1)? + number(2)?).next_multiple_of(BLOCK));
                all += &format!("bad {from} {}\n", to - from);
            }
            // Reads begin with a block, so that its first part stands for all of it.
            Some("weak") => all += &format!("weak {} {SECTOR} {}\n", number(1)? / BLOCK * BLOCK, number(3)?),
            _ => all += &format!("{line}\n"),
        }
    }
    Ok(all)
}

const CLOCK: &str = "rate_mbs 150\nseek_ms 8\nnear_ms 1\ncmd_ms 0.1\nbad_ms 500\n";

/// 24 zones of 250 cylinders, 1,200 sectors a track outside and 700 inside, head 3 of 8 dead.
fn make_test() -> String {
    let (mut text, mut at) = (String::new(), 0);
    for zone in 0..24 {
        let stripe = 250 * ((1200 * (23 - zone) + 700 * zone) / 23) * SECTOR;
        text += &format!("bad {} {stripe}\n", at + 3 * stripe);
        at += 8 * stripe;
    }
    format!("# size {at}\n{CLOCK}{text}")
}

/// Eight heads, stripes of 8 MiB: one is slow and one block in 20 of it bad, the other is worse.
fn two_weak_heads() -> String {
    let mut text = format!("# size {GIB}\n{CLOCK}");
    let mut rng = Rng(5);
    for stripe in 0..GIB / STRIPE {
        let (slow, one_in) = match stripe % 8 {
            1 => (20, 20),
            6 => (30, 5),
            _ => continue,
        };
        text += &format!("slow {} {STRIPE} {slow}\n", stripe * STRIPE);
        for block in 0..STRIPE / BLOCK {
            let at = stripe * STRIPE + block * BLOCK;
            match rng.next() % (one_in * 4) {
                0..4 => text += &format!("bad {at} {BLOCK}\n"),
                4 => text += &format!("weak {at} {BLOCK} 1\n"),
                _ => {}
            }
        }
    }
    text
}

const STRIPE: u64 = 8 << 20;
