//! The text of a model.

use super::heads::{self, Heads};
use super::{Fault, Model, Random, SECTOR};
use std::ops::Range;
use tintype_core::{Error, Result};

/// What a share of a head is cut into.
const BLOCK: u64 = 4096;
/// Blocks that are made by chance and bytes of a scratch, at most: more would take for ever to make.
const MOST_BLOCKS: u64 = 10_000_000;
const MOST_SCRATCHED: u64 = 4 << 30;

pub(super) fn parse(text: &str) -> Result<Model> {
    let mut reader = Reader { model: Model::default(), heads: None };
    for (n, line) in text.lines().enumerate() {
        let at = |e: Error| Error::corrupt(format!("line {} of the model: {}: {line:?}", n + 1, e.what()));
        reader.line(line).map_err(at)?;
    }
    Ok(reader.model)
}

struct Reader {
    model: Model,
    heads: Option<Heads>,
}

struct Words<'a>(std::str::SplitWhitespace<'a>);

impl Words<'_> {
    fn number(&mut self) -> Result<f64> {
        let word = self.0.next().ok_or_else(|| Error::corrupt("a number is missing"))?;
        let number = word.parse().ok().filter(|v: &f64| v.is_finite() && *v >= 0.0);
        number.ok_or_else(|| Error::corrupt(format!("{word} is no number")))
    }

    fn whole(&mut self) -> Result<u64> {
        let word = self.0.next().ok_or_else(|| Error::corrupt("a number is missing"))?;
        let number = word.parse().ok().filter(|v: &u64| i64::try_from(*v).is_ok());
        number.ok_or_else(|| Error::corrupt(format!("{word} is no whole number")))
    }

    fn sectors(&mut self) -> Result<u64> {
        let bytes = self.whole()?;
        if !bytes.is_multiple_of(SECTOR) {
            return Err(Error::corrupt(format!("{bytes} is no multiple of {SECTOR}")));
        }
        Ok(bytes)
    }

    fn range(&mut self) -> Result<Range<u64>> {
        let (offset, len) = (self.sectors()?, self.sectors()?);
        let end = offset.checked_add(len).filter(|e| i64::try_from(*e).is_ok());
        Ok(offset..end.ok_or_else(|| Error::corrupt("ends beyond all drives"))?)
    }

    fn share(&mut self) -> Result<f64> {
        let share = self.number()?;
        if share > 1.0 {
            return Err(Error::corrupt("a share is from 0 to 1"));
        }
        Ok(share)
    }

    fn fault(&mut self, kind: &str) -> Result<Fault> {
        Ok(match kind {
            "bad" => Fault::Dead,
            "weak" => Fault::Weak(self.number()?.min(200.0) as u8),
            "flaky" => Fault::Flaky(self.share()? as f32),
            "hang" => Fault::Hang,
            "garbage" | "zeros" => Fault::False,
            _ => return Err(Error::corrupt(format!("{kind} is not known"))),
        })
    }
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<()> {
        let (text, comment) = line.split_once('#').unwrap_or((line, ""));
        // The rig writes `# model NAME size BYTES`.
        let mut remark = comment.split_whitespace().skip_while(|w| *w != "size").skip(1);
        if let (None, Some(Ok(size))) = (self.model.len, remark.next().map(str::parse::<u64>)) {
            self.model.len = Some(size).filter(|s| i64::try_from(*s).is_ok());
        }
        let mut words = Words(text.split_whitespace());
        let Some(kind) = words.0.next() else { return Ok(()) };
        let model = &mut self.model;
        match kind {
            "rate_mbs" => model.rate = words.number()?.max(0.001) * 1e6,
            "seek_ms" => model.seek = words.number()? / 1e3,
            "near_ms" => model.near = words.number()? / 1e3,
            "cmd_ms" => model.command = words.number()? / 1e3,
            "bad_ms" => model.bad = words.number()? / 1e3,
            "size" => model.len = Some(words.whole()?),
            "sector" => {
                model.sector = words.whole()?;
                if !model.sector.is_power_of_two() || !(SECTOR..=1 << 20).contains(&model.sector) {
                    return Err(Error::corrupt("sectors are a power of two from 512 bytes to 1 MiB"));
                }
            }
            "seed" => model.random = Random::new(words.whole()?),
            "hiccup" => model.hiccup = (words.share()?, words.number()? / 1e3),
            "vanish" => model.vanishes = Some(words.whole()?),
            "dies" => model.dies = Some(words.whole()?),
            "heads" => self.heads(&mut words)?,
            "head" => self.head(&mut words)?,
            "scattered" => self.scattered(words.whole()?)?,
            "scratch" => self.scratch(words.sectors()?, words.sectors()?)?,
            "slow" => {
                let range = words.range()?;
                self.model.slow.set(range, words.number()? as u64);
            }
            _ => {
                let range = words.range()?;
                let fault = words.fault(kind)?;
                self.model.faults.set(range, fault);
            }
        }
        match words.0.next() {
            Some(word) => Err(Error::corrupt(format!("{word} is too much"))),
            None => Ok(()),
        }
    }

    fn heads(&mut self, words: &mut Words<'_>) -> Result<()> {
        let heads =
            Heads { heads: words.whole()?, zones: words.whole()?, outer: words.sectors()?, inner: words.sectors()? };
        let few = |n: u64| (1..=heads::MOST).contains(&n);
        let fits = u128::from(heads.heads) * u128::from(heads.zones) * u128::from(heads.outer) <= i64::MAX as u128;
        if !few(heads.heads) || !few(heads.zones) || heads.outer < heads.inner || heads.inner == 0 || !fits {
            return Err(Error::corrupt("heads COUNT ZONES OUTER INNER, OUTER not less than INNER"));
        }
        if self.model.len.is_none() {
            self.model.len = Some(heads.len());
        }
        self.heads = Some(heads);
        Ok(())
    }

    /// `head NUMBER slow FACTOR` or `head NUMBER FAULT [share SHARE]`.
    fn head(&mut self, words: &mut Words<'_>) -> Result<()> {
        let head = words.whole()?;
        let heads = self.heads.filter(|h| head < h.heads).ok_or_else(|| Error::corrupt("there is no such head"))?;
        let kind = words.0.next().unwrap_or_default();
        if kind == "slow" {
            let factor = words.number()? as u64;
            heads.stripes(head).into_iter().for_each(|stripe| self.model.slow.set(stripe, factor));
            return Ok(());
        }
        let fault = words.fault(kind)?;
        let share = match words.0.next() {
            Some("share") => words.share()?,
            Some(word) => return Err(Error::corrupt(format!("{word} is not known"))),
            None => 1.0,
        };
        if share < 1.0 && heads.len() / heads.heads / BLOCK > MOST_BLOCKS {
            return Err(Error::corrupt("that many blocks are too many"));
        }
        for stripe in heads.stripes(head) {
            if share >= 1.0 {
                self.model.faults.set(stripe, fault);
                continue;
            }
            for at in stripe.clone().step_by(BLOCK as usize) {
                if self.model.random.chance(share) {
                    self.model.faults.set(at..(at + BLOCK).min(stripe.end), fault);
                }
            }
        }
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        self.model.len.filter(|len| *len >= SECTOR).ok_or_else(|| Error::corrupt("the size has to come first"))
    }

    /// Single sectors, one in four of which reads after one to three failures.
    fn scattered(&mut self, count: u64) -> Result<()> {
        let sectors = self.len()? / SECTOR;
        if count > MOST_BLOCKS {
            return Err(Error::corrupt("that many sectors are too many"));
        }
        let random = &mut self.model.random;
        for _ in 0..count {
            let at = random.below(sectors) * SECTOR;
            let weak = random.chance(0.25).then(|| Fault::Weak(1 + random.below(3) as u8));
            self.model.faults.set(at..at + SECTOR, weak.unwrap_or(Fault::Dead));
        }
        Ok(())
    }

    /// A scratch crosses tracks: many short bad runs, dense in the middle, slow and weak sectors around.
    fn scratch(&mut self, centre: u64, bytes: u64) -> Result<()> {
        let len = self.len()?;
        if bytes > MOST_SCRATCHED {
            return Err(Error::corrupt("that is no scratch any more"));
        }
        let Model { random, faults, slow, .. } = &mut self.model;
        let from = centre.saturating_sub(bytes * 2) / SLOW * SLOW;
        slow.set(from..(from + bytes * 5 / SLOW * SLOW).min(len), 20);
        let near = |random: &mut Random, deviation: f64, run: u64| {
            let at = (centre as f64 + random.normal() * deviation * bytes as f64).max(0.0) as u64 / BLOCK * BLOCK;
            at..(at + run).min(len.max(at))
        };
        let mut left = bytes;
        while left > 0 {
            let run = BLOCK << random.below(5);
            faults.set(near(random, 0.6, run), Fault::Dead);
            left = left.saturating_sub(run);
        }
        for _ in 0..60 {
            let weak = near(random, 1.2, BLOCK);
            if faults.within(weak.clone()).next().is_none() {
                faults.set(weak, Fault::Weak(1 + random.below(2) as u8));
            }
        }
        Ok(())
    }
}

/// What slow places are cut into.
const SLOW: u64 = 65536;
