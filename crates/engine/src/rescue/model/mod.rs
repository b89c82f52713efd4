//! A drive that fails as a model says, on a virtual clock: to practise, to compare settings, to test.
//!
//! docs/rescue/simulate.md has the text it is made from. A read that meets an unreadable sector fails as a whole, as direct I/O on a
//! block device does, and costs what came before that sector and what a failure costs. One read at a time, like one disk.

mod heads;
mod parse;
mod random;
#[cfg(test)]
mod tests;

use random::Random;
use std::collections::HashMap;
use std::ops::Range;
use tintype_core::mapfile::{Mapfile, Status};
use tintype_core::{Error, Kind, RangeMap, Result};

/// What the model's faults are made of.
const SECTOR: u64 = 512;
/// Nearer than this the heads need not move far.
const NEAR: u64 = 4 << 20;

/// How a sector fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Always.
    Dead,
    /// So many times, then no more.
    Weak(u8),
    /// Now and then: the chance of each read.
    Flaky(f32),
    /// The read does not come back.
    Hang,
    /// It reads well, and the bytes are not those that were written.
    False,
}

/// A drive that fails.
#[derive(Clone)]
pub struct Model {
    len: Option<u64>,
    sector: u64,
    rate: f64,
    seek: f64,
    near: f64,
    command: f64,
    bad: f64,
    slow: RangeMap<u64>,
    faults: RangeMap<Fault>,
    // How often weak sectors still fail, where that is less than at first.
    left: HashMap<u64, u8>,
    // The chance that a read takes longer, whatever it reads, and by how many seconds.
    hiccup: (f64, f64),
    // Reads after which the drive is gone, and failed reads after which nothing is read any more.
    vanishes: Option<u64>,
    dies: Option<u64>,
    random: Random,
    head: u64,
    reads: u64,
    failed: u64,
}

impl Default for Model {
    fn default() -> Self {
        Model {
            len: None,
            sector: SECTOR,
            rate: 150e6,
            seek: 0.008,
            near: 0.001,
            command: 0.0001,
            bad: 0.5,
            slow: RangeMap::new(),
            faults: RangeMap::new(),
            left: HashMap::new(),
            hiccup: (0.0, 0.0),
            vanishes: None,
            dies: None,
            random: Random::new(0),
            head: 0,
            reads: 0,
            failed: 0,
        }
    }
}

/// How a read of the model ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was read.
    Good,
    /// It met an unreadable sector.
    Failed,
    /// It did not come back.
    Hung,
}

/// What a read of the model came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Played {
    /// How it ended.
    pub outcome: Outcome,
    /// Virtual seconds; of a read that hung those until it did.
    pub seconds: f64,
}

impl Model {
    /// A model from its text, or from a mapfile: what that does not call finished is bad. Fails with `Corrupt`, naming the line.
    pub fn parse(text: &str) -> Result<Self> {
        let first = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'));
        match first.and_then(|l| l.chars().next()) {
            Some('0'..='9') => {
                Ok(Model::of_map(&Mapfile::parse(text.as_bytes(), tintype_core::mapfile::Gaps::Refused)?))
            }
            _ => parse::parse(text),
        }
    }

    /// A drive that reads well where a mapfile says finished, and nowhere else.
    pub fn of_map(map: &Mapfile) -> Self {
        let mut model = Model { len: Some(map.range().end), ..Model::default() };
        for (range, status) in map.blocks().iter() {
            if status != Status::Finished {
                model.kill(range);
            }
        }
        model
    }

    /// Bytes of the drive, if the model says.
    pub fn size(&self) -> Option<u64> {
        self.len
    }

    /// Bytes of its sectors.
    pub fn sector(&self) -> u64 {
        self.sector
    }

    /// Makes a range unreadable for ever.
    pub fn kill(&mut self, range: Range<u64>) {
        self.faults.set(range, Fault::Dead);
    }

    /// Bytes of a range that can be read at all, at last.
    pub fn recoverable(&self, range: Range<u64>) -> u64 {
        let len = range.end - range.start;
        len - self.count(range, |fault| matches!(fault, Fault::Dead | Fault::Hang))
    }

    /// Bytes of a range that read well and are not those that were written.
    pub fn untrue(&self, range: Range<u64>) -> u64 {
        self.count(range, |fault| fault == Fault::False)
    }

    /// The text that the rig's faultdisk plays as well: offsets and lengths only.
    #[cfg(test)]
    pub fn plain(&self) -> String {
        let ms = |seconds: f64| seconds * 1e3;
        let mut text = format!(
            "# size {}\nrate_mbs {}\nseek_ms {}\nnear_ms {}\ncmd_ms {}\nbad_ms {}\n",
            self.len.unwrap_or_default(),
            self.rate / 1e6,
            ms(self.seek),
            ms(self.near),
            ms(self.command),
            ms(self.bad)
        );
        for (range, factor) in self.slow.iter() {
            text += &format!("slow {} {} {factor}\n", range.start, range.end - range.start);
        }
        for (range, fault) in self.faults.iter() {
            let (offset, len) = (range.start, range.end - range.start);
            text += &match fault {
                Fault::Dead => format!("bad {offset} {len}\n"),
                Fault::Weak(times) => format!("weak {offset} {len} {times}\n"),
                other => unreachable!("the rig knows no {other:?}"),
            };
        }
        text
    }

    fn count(&self, range: Range<u64>, which: impl Fn(Fault) -> bool) -> u64 {
        self.faults.within(range).filter(|(_, fault)| which(*fault)).map(|(r, _)| r.end - r.start).sum()
    }

    /// Reads a range. Fails with `Io` where the drive is gone.
    pub fn read(&mut self, range: Range<u64>) -> Result<Played> {
        if self.vanishes.is_some_and(|most| self.reads >= most) {
            return Err(Error::new(Kind::Io, "the drive has vanished, as its model says").at(range.start));
        }
        self.reads += 1;
        let mut seconds = self.command;
        if range.start != self.head {
            seconds += if range.start.abs_diff(self.head) < NEAR { self.near } else { self.seek };
        }
        if self.hiccup.0 > 0.0 && self.random.chance(self.hiccup.0) {
            seconds += self.hiccup.1;
        }
        let stop = match self.dies.is_some_and(|most| self.failed >= most) {
            true => Some((range.start, Outcome::Failed)),
            false => self.stop(range.clone()),
        };
        // The sector that fails is passed over as well.
        let end = stop.map_or(range.end, |(sector, _)| sector + SECTOR).min(range.end);
        let slow: u64 = self.slow.within(range.start..end).map(|(r, f)| (r.end - r.start) * f.saturating_sub(1)).sum();
        seconds += (end - range.start + slow) as f64 / self.rate;
        self.head = end;
        let outcome = stop.map_or(Outcome::Good, |(_, outcome)| outcome);
        if outcome != Outcome::Good {
            self.failed += 1;
        }
        if outcome == Outcome::Failed {
            seconds += self.bad;
        }
        Ok(Played { outcome, seconds })
    }

    /// The first sector of a range that is not read this time, and how that ends.
    fn stop(&mut self, range: Range<u64>) -> Option<(u64, Outcome)> {
        for (part, fault) in self.faults.within(range) {
            let mut sectors = (part.start / SECTOR * SECTOR..part.end).step_by(SECTOR as usize);
            let failed = match fault {
                Fault::Dead => return Some((part.start, Outcome::Failed)),
                Fault::Hang => return Some((part.start, Outcome::Hung)),
                Fault::False => None,
                Fault::Flaky(chance) => sectors.find(|_| self.random.chance(f64::from(chance))),
                Fault::Weak(times) => sectors.find(|sector| {
                    let left = self.left.entry(*sector).or_insert(times);
                    let fails = *left > 0;
                    *left = left.saturating_sub(1);
                    fails
                }),
            };
            if let Some(sector) = failed {
                return Some((sector, Outcome::Failed));
            }
        }
        None
    }
}
