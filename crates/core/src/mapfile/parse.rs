//! From text to a map.

use super::{END, MOST_BLOCKS, Mapfile, Phase, Progress, Status, fill_gaps};
use crate::{Error, RangeMap, Result};

/// What becomes of gaps between blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gaps {
    /// They are an error, as is a block that is out of order. The first block may begin anywhere.
    Refused,
    /// From 0 to the last block they get a status; blocks may come in any order, and blocks of one status may overlap.
    Filled(Status),
}

impl Mapfile {
    /// Parses a mapfile by ddrescue's rules, as it was written by ddrescue or by hand; errors name the line.
    ///
    /// As there, whatever follows the status of a line is passed over, a status line may lack its pass, and what reaches beyond
    /// [`END`] ends there. A text without a status line is `Corrupt`: ddrescue takes an empty file for a run that has not begun, which is
    /// for the caller to decide. More than [`MOST_BLOCKS`] blocks are a `Limit`.
    pub fn parse(text: &[u8], gaps: Gaps) -> Result<Self> {
        let mut lines = text.split(|b| *b == b'\n').enumerate().filter_map(|(n, line)| {
            let line = line.split(|b| *b == b'#').next().unwrap_or_default();
            line.iter().any(|b| !is_space(*b)).then_some((n + 1, line))
        });
        let (n, line) = lines.next().ok_or_else(|| Error::corrupt("the mapfile has no status line"))?;
        let progress = status_line(line).ok_or_else(|| {
            at_line(n, "this is no status line, which is a position, a status out of ?*%/-FG+ and a pass from 1")
        })?;
        let mut blocks = RangeMap::new();
        let mut end = None;
        for (n, line) in lines {
            let (pos, len, status) = block_line(line).ok_or_else(|| {
                at_line(n, "this is no block, which is a position, a size above 0 and a status out of ?*/-+")
            })?;
            let range = pos..pos.saturating_add(len).min(END);
            match gaps {
                Gaps::Refused if end.is_some_and(|end| end != pos) => {
                    return Err(at_line(n, "the block does not begin where the one before it ends"));
                }
                Gaps::Filled(_) if blocks.within(range.clone()).any(|(_, s)| s != status) => {
                    return Err(at_line(n, "the block overlaps one of another status"));
                }
                _ => {}
            }
            // Empty is only what ddrescue writes of an empty input.
            if !range.is_empty() {
                end = Some(range.end);
                blocks.set(range, status);
            }
            if blocks.len() > MOST_BLOCKS {
                return Err(Error::limit(format!("the mapfile has more than {MOST_BLOCKS} blocks")));
            }
        }
        if let Gaps::Filled(status) = gaps {
            if let Some((first, _)) = blocks.next_from(0) {
                blocks.set(0..first.start, status);
            }
            fill_gaps(&mut blocks, status);
        }
        Ok(Mapfile { progress, blocks })
    }
}

fn at_line(n: usize, why: &str) -> Error {
    Error::corrupt(format!("mapfile line {n}: {why}"))
}

fn status_line(line: &[u8]) -> Option<Progress> {
    let mut scan = Scan(line);
    let pos = scan.number()?;
    let phase = Phase::of_sign(scan.sign()?)?;
    let pass = match scan.pass() {
        // Written by a version before 1.20.
        None => 1,
        Some(pass) => pass.filter(|p| *p > 0)?,
    };
    Some(Progress { pos, phase, pass })
}

fn block_line(line: &[u8]) -> Option<(u64, u64, Status)> {
    let mut scan = Scan(line);
    let (pos, len) = (scan.number()?, scan.number()?);
    let status = Status::of_sign(scan.sign()?)?;
    let empty = len == 0 || pos == END;
    (!empty || (pos == 0 && len == 0)).then_some((pos, len, status))
}

/// The rest of a line, read as C's `scanf` does.
struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn skip_space(&mut self) {
        let spaces = self.0.iter().take_while(|b| is_space(**b)).count();
        self.0 = &self.0[spaces..];
    }

    /// True if a minus was passed over; a plus is, too.
    fn minus(&mut self) -> bool {
        let first = self.0.first().copied();
        if matches!(first, Some(b'+' | b'-')) {
            self.0 = &self.0[1..];
        }
        first == Some(b'-')
    }

    /// A number that is not negative, in decimal, 0x hex or octal, at most [`END`].
    fn number(&mut self) -> Option<u64> {
        self.skip_space();
        let minus = self.minus();
        let (base, prefix) = match self.0 {
            [b'0', b'x' | b'X', ..] => (16, 2),
            [b'0', ..] => (8, 0),
            _ => (10, 0),
        };
        self.0 = &self.0[prefix..];
        let value = match self.digits(base) {
            // `0x` alone is its zero.
            None if prefix > 0 => 0,
            value => value?,
        };
        (!minus || value == 0).then_some(value)
    }

    /// Digits, at least one.
    fn digits(&mut self, base: u32) -> Option<u64> {
        let mut value: Option<u64> = None;
        while let Some(digit) = self.0.first().and_then(|b| (*b as char).to_digit(base)) {
            self.0 = &self.0[1..];
            let grown = value.unwrap_or(0).saturating_mul(base.into()).saturating_add(digit.into());
            value = Some(grown.min(END));
        }
        value
    }

    fn sign(&mut self) -> Option<char> {
        self.skip_space();
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first as char)
    }

    /// The decimal number that follows; `None` without one, `Some(None)` if it is negative.
    fn pass(&mut self) -> Option<Option<u32>> {
        self.skip_space();
        let minus = self.minus();
        let value = self.digits(10)?;
        Some((!minus).then_some(u32::try_from(value).unwrap_or(u32::MAX)))
    }
}

/// What C calls a space.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
