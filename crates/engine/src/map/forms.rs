//! Maps in other forms: lists of sectors, bitmaps, extents.

use super::Domain;
use super::algebra::Shift;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::ops::Range;
use tintype_core::mapfile::{END, MOST_BLOCKS, Mapfile, Progress, Status};
use tintype_core::{Error, RangeMap, Result, Source, State, extents};

/// Longest bitmap that is written, in bytes.
const MOST_BITMAP: u64 = 1 << 36;

/// How sectors are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sectors {
    /// Bytes of one; at least 1.
    pub size: u64,
    /// How far positions of the map are moved before they are counted; whole sectors.
    pub shift: Shift,
}

impl Sectors {
    /// Sectors of `size > 0` bytes; `Usage` if the shift is not made of whole ones.
    pub fn new(size: u64, shift: Shift) -> Result<Self> {
        let (Shift::Up(by) | Shift::Down(by)) = shift;
        match size {
            0 => Err(Error::usage("a sector of 0 bytes is none")),
            _ if !by.is_multiple_of(size) => {
                Err(Error::usage(format!("a shift by {by} bytes is not made of whole sectors of {size} bytes")))
            }
            _ => Ok(Sectors { size, shift }),
        }
    }

    /// The numbers of the sectors that lie, even in part, in bytes of these statuses that are meant: runs, ascending.
    pub fn of<'a>(
        self,
        map: &'a Mapfile,
        statuses: &'a [Status],
        domain: &'a Domain,
    ) -> impl Iterator<Item = Range<u64>> + 'a {
        let mut next = 0;
        domain.pieces(map).filter(|(_, status)| statuses.contains(status)).filter_map(move |(range, _)| {
            let range = self.shift.apply(&range);
            let run = (range.start / self.size).max(next)..range.end.div_ceil(self.size);
            next = next.max(run.end);
            (!range.is_empty() && run.start < run.end).then_some(run)
        })
    }
}

/// Writes one number a line, as `badblocks` does.
pub fn write_list(runs: impl Iterator<Item = Range<u64>>, out: &mut dyn Write) -> std::io::Result<()> {
    for number in runs.flatten() {
        writeln!(out, "{number}")?;
    }
    Ok(())
}

/// Which bit of a byte of a bitmap is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// The least significant.
    Little,
    /// The most significant.
    Big,
}

impl Bits {
    const fn mask(self, number: u64) -> u8 {
        match self {
            Bits::Little => 1 << (number % 8),
            Bits::Big => 0x80 >> (number % 8),
        }
    }
}

/// Bits that a bitmap of a map has: up to its last sector, whatever is meant of it, as `ddrescuelog` has it. A map of an input of
/// unknown length has bits up to the end of what is meant; `Limit` if that would still be absurd.
pub fn bits_of(map: &Mapfile, sectors: Sectors, domain: &Domain) -> Result<u64> {
    let bits_to = |end: u64| sectors.shift.apply(&(0..end)).end.div_ceil(sectors.size);
    let end = map.range().end;
    let mut bits = bits_to(end);
    if bits / 8 > MOST_BITMAP {
        bits = bits_to(domain.end().min(end));
    }
    if bits / 8 > MOST_BITMAP {
        let why = "the map is of an input of unknown length; say how much of it is meant with --size";
        return Err(Error::limit(format!("the bitmap would have {} bytes: {why}", bits / 8)));
    }
    Ok(bits)
}

/// Writes a bitmap of `bits` bits with those of `runs` set, which are ascending and below `bits`.
pub fn write_bitmap(
    runs: impl Iterator<Item = Range<u64>>,
    bits: u64,
    order: Bits,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let mut number = 0;
    let mut byte = 0;
    for run in runs.chain(std::iter::once(bits..bits)) {
        for (end, value) in [(run.start, 0), (run.end, 0xff)] {
            while number < end {
                if number % 8 == 0 && end - number >= 8 {
                    out.write_all(&[value])?;
                    number += 8;
                    continue;
                }
                byte |= order.mask(number) & value;
                number += 1;
                if number % 8 == 0 {
                    out.write_all(&[byte])?;
                    byte = 0;
                }
            }
        }
    }
    if number % 8 != 0 {
        out.write_all(&[byte])?;
    }
    Ok(())
}

/// What a map is made of that lists sectors.
#[derive(Clone, Debug)]
pub struct Listed {
    /// How they are counted.
    pub sectors: Sectors,
    /// What those in the list are.
    pub listed: Status,
    /// What all others are.
    pub others: Status,
    /// Which bytes may be listed; the map ends where this does.
    pub domain: Domain,
}

impl Listed {
    /// The map of a list of numbers, in any order, decimal, hex or octal as C has it, between spaces or lines.
    pub fn from_list(&self, text: &[u8]) -> Result<Mapfile> {
        let mut numbers = RangeMap::new();
        for (n, line) in text.split(|b| *b == b'\n').enumerate() {
            for word in line.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()) {
                let number = parse_number(word)
                    .ok_or_else(|| Error::corrupt(format!("line {}: this is no sector number", n + 1)))?;
                numbers.set(number..number + 1, ());
                bounded(numbers.len())?;
            }
        }
        self.map(&numbers)
    }

    /// The map of a bitmap.
    pub fn from_bitmap(&self, bytes: &[u8], order: Bits) -> Result<Mapfile> {
        let mut numbers = RangeMap::new();
        for (i, byte) in (0u64..).zip(bytes).filter(|(_, b)| **b != 0) {
            for number in (i * 8..i * 8 + 8).filter(|n| byte & order.mask(*n) != 0) {
                numbers.set(number..number + 1, ());
            }
            bounded(numbers.len())?;
        }
        self.map(&numbers)
    }

    fn map(&self, numbers: &RangeMap<()>) -> Result<Mapfile> {
        let size = self.sectors.size;
        let mut blocks = RangeMap::new();
        let meant = self.sectors.shift.apply(&(0..self.domain.end())).end;
        blocks.set(0..meant, self.others);
        for (run, ()) in numbers.iter() {
            let range = run.start.saturating_mul(size).min(END)..run.end.saturating_mul(size).min(END);
            for part in self.domain.within(range) {
                blocks.set(self.sectors.shift.apply(&part), self.listed);
            }
        }
        bounded(blocks.len())?;
        Ok(Mapfile::new(Progress::default(), blocks))
    }
}

fn bounded(blocks: usize) -> Result<()> {
    if blocks > MOST_BLOCKS {
        return Err(Error::limit(format!("the map would have more than {MOST_BLOCKS} blocks")));
    }
    Ok(())
}

fn parse_number(word: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(word).ok()?;
    // A sign would be taken by the parser of integers.
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        _ if text.starts_with('+') => None,
        Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None if text.len() > 1 && text.starts_with('0') => u64::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    };
    number.filter(|n| *n < END)
}

/// One block in JSON; reading, `status` says more than `state` and one of them has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// What it means for an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Named>,
    /// ddrescue's sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<char>,
}

impl Block {
    /// The JSON form of a block.
    pub fn of((range, status): (Range<u64>, Status)) -> Self {
        let state = Some(Named::of(status.state()));
        Block { offset: range.start, len: range.end - range.start, state, status: Some(status.sign()) }
    }
}

/// A state by the name that results have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Named {
    /// [`State::Data`].
    Data,
    /// [`State::Zero`].
    Zero,
    /// [`State::Unused`].
    Unused,
    /// [`State::Bad`].
    Bad,
    /// [`State::Unread`].
    Unread,
}

impl Named {
    fn of(state: State) -> Self {
        match state {
            State::Data => Named::Data,
            State::Zero => Named::Zero,
            State::Unused => Named::Unused,
            State::Bad => Named::Bad,
            State::Unread => Named::Unread,
        }
    }

    fn state(self) -> State {
        match self {
            Named::Data => State::Data,
            Named::Zero => State::Zero,
            Named::Unused => State::Unused,
            Named::Bad => State::Bad,
            Named::Unread => State::Unread,
        }
    }
}

#[derive(Deserialize)]
struct Document {
    extent_list: Vec<Block>,
}

/// Which states of an image are finished; of the others, bad stays bad and everything else was not tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished(Vec<State>);

impl Default for Finished {
    /// What was read, or is known without reading.
    fn default() -> Self {
        Finished(vec![State::Data, State::Zero, State::Unused])
    }
}

impl Finished {
    /// Parses names of states, separated by commas.
    pub fn parse(text: &str) -> Result<Self> {
        let states = text.split(',').map(|name| {
            State::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| {
                let known: Vec<_> = State::ALL.iter().map(|s| s.name()).collect();
                Error::usage(format!("there is no state {name:?}; there are {}", known.join(", ")))
            })
        });
        Ok(Finished(states.collect::<Result<_>>()?))
    }

    fn status(&self, state: State) -> Status {
        match state {
            state if self.0.contains(&state) => Status::Finished,
            State::Bad => Status::Bad,
            _ => Status::NonTried,
        }
    }
}

/// The map of extents in JSON: an object with an `extent_list`, such as `info --extents --json` and `map list --json` print.
pub fn from_json(text: &[u8], finished: &Finished) -> Result<Mapfile> {
    let document: Document =
        serde_json::from_slice(text).map_err(|e| Error::corrupt("this is no JSON with an extent_list").because(e))?;
    let mut blocks = RangeMap::new();
    for (i, block) in document.extent_list.into_iter().enumerate() {
        let bad = |why: &str| Error::corrupt(format!("extent {i}: {why}"));
        let status = match (block.status, block.state) {
            (Some(sign), _) => Status::of_sign(sign).ok_or_else(|| bad("its status is none of ?*/-+"))?,
            (None, Some(state)) => finished.status(state.state()),
            (None, None) => return Err(bad("it has neither state nor status")),
        };
        let end = block.offset.checked_add(block.len).filter(|e| *e <= END && block.len > 0);
        let range = block.offset..end.ok_or_else(|| bad("it is empty or too far out"))?;
        if blocks.within(range.clone()).any(|(_, s)| s != status) {
            return Err(bad("it overlaps one of another status"));
        }
        blocks.set(range, status);
        bounded(blocks.len())?;
    }
    Ok(Mapfile::new(Progress::default(), blocks))
}

/// The map of an image: what its extents say.
pub fn from_source(source: &dyn Source, finished: &Finished) -> Result<Mapfile> {
    let mut blocks = RangeMap::new();
    for extent in extents(source, 0, source.len()) {
        let extent = extent?;
        blocks.set(extent.offset..extent.end(), finished.status(extent.state));
        bounded(blocks.len())?;
    }
    Ok(Mapfile::new(Progress::default(), blocks))
}

/// Writes blocks as `{"size": N, "extent_list": [...]}`, however many there are.
pub fn write_json(
    size: u64,
    blocks: impl Iterator<Item = (Range<u64>, Status)>,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    write!(out, "{{\n  \"size\": {size},\n  \"extent_list\": [")?;
    let mut comma = "";
    for block in blocks {
        write!(out, "{comma}\n    {}", serde_json::to_string(&Block::of(block))?)?;
        comma = ",";
    }
    writeln!(out, "\n  ]\n}}")
}
