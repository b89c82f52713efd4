//! A drive that fails as a model says, on a virtual clock: to practise, to compare settings, to test.
//!
//! One item a line; offsets and lengths in bytes, multiples of 512:
//!
//! ```text
//! rate_mbs R | seek_ms S | near_ms N | cmd_ms C | bad_ms B
//! slow OFFSET LEN FACTOR      reads there take FACTOR times as long
//! bad  OFFSET LEN             never readable
//! weak OFFSET LEN TIMES       every sector fails so many times, then reads
//! ```
//!
//! A read that meets an unreadable sector fails as a whole, as direct I/O on a block device does, and costs what came before that
//! sector and `bad_ms`.

use std::collections::HashMap;
use std::ops::Range;
use tintype_core::{Error, RangeMap, Result};

const SECTOR: u64 = 512;
/// Nearer than this the heads need not move far.
const NEAR: u64 = 4 << 20;

/// A drive that fails.
#[derive(Clone)]
pub struct Model {
    rate: f64,
    seek: f64,
    near: f64,
    command: f64,
    bad: f64,
    slow: RangeMap<u64>,
    dead: RangeMap<()>,
    weak: RangeMap<u8>,
    // How often weak sectors still fail, where that is less than at first.
    left: HashMap<u64, u8>,
    head: u64,
}

impl Default for Model {
    fn default() -> Self {
        Model {
            rate: 150e6,
            seek: 0.008,
            near: 0.001,
            command: 0.0001,
            bad: 0.5,
            slow: RangeMap::new(),
            dead: RangeMap::new(),
            weak: RangeMap::new(),
            left: HashMap::new(),
            head: 0,
        }
    }
}

/// What a read of the model came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Played {
    /// False if it met an unreadable sector.
    pub good: bool,
    /// Virtual seconds.
    pub seconds: f64,
}

impl Model {
    /// A model from its text. Fails with `Corrupt`, naming the line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut model = Model::default();
        for (n, line) in text.lines().enumerate() {
            let words: Vec<_> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
            let wrong = || Error::corrupt(format!("line {} of the model is not understood: {line:?}", n + 1));
            let number = |i: usize| -> Result<f64> {
                let word: &&str = words.get(i).ok_or_else(wrong)?;
                word.parse().ok().filter(|v: &f64| v.is_finite() && *v >= 0.0).ok_or_else(wrong)
            };
            let range = || -> Result<Range<u64>> {
                let (offset, len): (u64, u64) = match (words.get(1), words.get(2)) {
                    (Some(o), Some(l)) => (o.parse().map_err(|_| wrong())?, l.parse().map_err(|_| wrong())?),
                    _ => return Err(wrong()),
                };
                let end = offset.checked_add(len).filter(|e| *e <= i64::MAX as u64).ok_or_else(wrong)?;
                if !offset.is_multiple_of(SECTOR) || !end.is_multiple_of(SECTOR) {
                    return Err(wrong());
                }
                Ok(offset..end)
            };
            match words.first().copied() {
                None => {}
                Some("rate_mbs") => model.rate = number(1)?.max(0.001) * 1e6,
                Some("seek_ms") => model.seek = number(1)? / 1e3,
                Some("near_ms") => model.near = number(1)? / 1e3,
                Some("cmd_ms") => model.command = number(1)? / 1e3,
                Some("bad_ms") => model.bad = number(1)? / 1e3,
                Some("slow") => model.slow.set(range()?, number(3)? as u64),
                Some("bad") => model.kill(range()?),
                Some("weak") => model.weak.set(range()?, number(3)?.min(200.0) as u8),
                Some(_) => return Err(wrong()),
            }
        }
        Ok(model)
    }

    /// Makes a range unreadable for ever.
    pub fn kill(&mut self, range: Range<u64>) {
        self.weak.clear(range.clone());
        self.dead.set(range, ());
    }

    /// True if these bytes can be read at all, at last.
    pub fn recoverable(&self, range: Range<u64>) -> u64 {
        let dead: u64 = self.dead.within(range.clone()).map(|(r, ())| r.end - r.start).sum();
        range.end - range.start - dead
    }

    /// Reads a range, in whole sectors.
    pub fn read(&mut self, range: Range<u64>) -> Played {
        let mut seconds = self.command;
        if range.start != self.head {
            seconds += if range.start.abs_diff(self.head) < NEAR { self.near } else { self.seek };
        }
        let dead = self.dead.next_from(range.start).map(|(r, ())| r.start.max(range.start)).filter(|s| *s < range.end);
        let until = dead.unwrap_or(range.end);
        let weak = self.weak_before(range.start..until);
        let stop = weak.or(dead);
        // The sector that fails is passed over as well.
        let end = stop.map_or(range.end, |sector| sector + SECTOR);
        let slow: u64 = self.slow.within(range.start..end).map(|(r, f)| (r.end - r.start) * f.saturating_sub(1)).sum();
        seconds += (end - range.start + slow) as f64 / self.rate;
        if stop.is_some() {
            seconds += self.bad;
        }
        self.head = end;
        Played { good: stop.is_none(), seconds }
    }

    /// The first weak sector of a range that still fails; it will fail once less.
    fn weak_before(&mut self, range: Range<u64>) -> Option<u64> {
        for (weak, times) in self.weak.within(range) {
            let mut sector = weak.start / SECTOR * SECTOR;
            while sector < weak.end {
                let left = self.left.entry(sector).or_insert(times);
                if *left > 0 {
                    *left -= 1;
                    return Some(sector);
                }
                sector += SECTOR;
            }
        }
        None
    }
}
