//! ddrescue's mapfile: the text form of a map that recovery tools share.
//!
//! Lines are `pos size status`, numbers decimal, octal or 0x hex; the first line that is no comment is the status of the
//! run itself. Source: the GNU ddrescue manual, chapter "Mapfile structure".

use crate::{Error, Extent, ExtentMap, Result, State};

/// How far a range has come; the words and the signs are ddrescue's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// `?`: not tried.
    NonTried,
    /// `*`: in a read that failed and that was longer than the unit.
    NonTrimmed,
    /// `/`: failed as a unit, its sectors not tried one by one.
    NonScraped,
    /// `-`: a sector that failed alone.
    Bad,
    /// `+`: read.
    Finished,
}

impl Status {
    /// Every status, in the order of the passes.
    pub const ALL: [Status; 5] =
        [Status::NonTried, Status::NonTrimmed, Status::NonScraped, Status::Bad, Status::Finished];

    /// ddrescue's sign for it.
    pub const fn sign(self) -> char {
        match self {
            Status::NonTried => '?',
            Status::NonTrimmed => '*',
            Status::NonScraped => '/',
            Status::Bad => '-',
            Status::Finished => '+',
        }
    }

    /// The name used in JSON output.
    pub const fn name(self) -> &'static str {
        match self {
            Status::NonTried => "non_tried",
            Status::NonTrimmed => "non_trimmed",
            Status::NonScraped => "non_scraped",
            Status::Bad => "bad_sector",
            Status::Finished => "finished",
        }
    }
}

/// Parses a mapfile. `?` `*` `/` `%` become [`State::Unread`], `-` [`State::Bad`], `+` [`State::Data`].
pub fn parse_mapfile(text: &str) -> Result<ExtentMap> {
    let mut map = ExtentMap::new();
    for (range, status) in blocks(text)? {
        let state = match status {
            Status::NonTried | Status::NonTrimmed | Status::NonScraped => State::Unread,
            Status::Bad => State::Bad,
            Status::Finished => State::Data,
        };
        map.set(Extent::new(range.start, range.end - range.start, state));
    }
    Ok(map)
}

/// The blocks of a mapfile, ascending.
pub fn blocks(text: &str) -> Result<Vec<(std::ops::Range<u64>, Status)>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate().filter_map(|(n, line)| {
        let line = line.split('#').next().unwrap_or_default().trim();
        (!line.is_empty()).then_some((n + 1, line))
    });
    lines.next().ok_or_else(|| Error::corrupt("the mapfile has no status line"))?;
    let mut end = None;
    for (n, line) in lines {
        let bad = |why: &str| Error::corrupt(format!("mapfile line {n}: {why}"));
        let mut words = line.split_whitespace();
        let mut number =
            || words.next().and_then(parse_number).ok_or_else(|| bad("a position and a size were expected"));
        let (offset, len) = (number()?, number()?);
        let status = match words.next() {
            Some("?" | "%") => Status::NonTried,
            Some("*") => Status::NonTrimmed,
            Some("/") => Status::NonScraped,
            Some("-") => Status::Bad,
            Some("+") => Status::Finished,
            _ => return Err(bad("unknown status")),
        };
        if offset.checked_add(len).is_none_or(|e| e > i64::MAX as u64) || len == 0 {
            return Err(bad("the range is empty or too far out"));
        }
        if end.is_some_and(|e| e > offset) {
            return Err(bad("ranges overlap or are out of order"));
        }
        end = Some(offset + len);
        blocks.push((offset..offset + len, status));
    }
    Ok(blocks)
}

/// Writes the mapfile of a finished run over `len` bytes: what `lost` does not name was read.
pub fn write_mapfile<'a>(len: u64, lost: impl IntoIterator<Item = &'a Extent>, program: &str) -> String {
    use std::fmt::Write;
    let mut text = format!(
        "# Mapfile. Created by {program}\n# current_pos  current_status  current_pass\n{len:#010x}     +               1\n\
         #      pos        size  status\n"
    );
    let mut at = 0;
    // Writing to a string cannot fail.
    let mut line = |offset: u64, len: u64, status: char| {
        if len > 0 {
            let _ = writeln!(text, "{offset:#010x}  {len:#010x}  {status}");
        }
    };
    for extent in lost {
        line(at, extent.offset.saturating_sub(at), '+');
        line(extent.offset, extent.len, if extent.state == State::Bad { '-' } else { '?' });
        at = extent.end();
    }
    line(at, len.saturating_sub(at), '+');
    text
}

fn parse_number(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16).ok()
    } else if text.len() > 1 && text.starts_with('0') {
        u64::from_str_radix(text, 8).ok()
    } else {
        text.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_ddrescue_writes() {
        let text = "# Mapfile. Created by GNU ddrescue version 1.27\n0x00120000  ?  1\n#      pos        size  status\n\
                    0x00000000  0x00117000  +\n0x00117000  0x00000200  -\n0x00117200  0x1000  /\n";
        let map = parse_mapfile(text).unwrap();
        assert_eq!(map.total(State::Data), 0x117000);
        assert_eq!(map.get(0x117000), Some(Extent::new(0x117000, 512, State::Bad)));
        assert_eq!(map.total(State::Unread), 0x1000);
    }

    #[test]
    fn what_is_written_is_read() {
        let lost = [Extent::new(512, 1024, State::Bad), Extent::new(4096, 512, State::Unread)];
        let map = parse_mapfile(&write_mapfile(10_000, &lost, "test")).unwrap();
        assert_eq!(map.iter().filter(|e| e.state.is_lost()).collect::<Vec<_>>(), lost);
        assert_eq!(map.total(State::Data), 10_000 - 1024 - 512);
    }

    #[test]
    fn refuses_nonsense_by_line() {
        for text in ["", "0 ?\n1 2 x\n", "0 ?\n0 10 +\n5 10 +\n", "0 ?\n0xffffffffffffffff 5 +\n", "0 ?\n0 0 +\n"] {
            assert!(parse_mapfile(text).is_err(), "{text:?}");
        }
    }
}
