//! ddrescue's mapfile: the text form of a map that recovery tools share.
//!
//! Lines are `pos size status`, numbers decimal, octal or 0x hex; the first line that is no comment is the status of the
//! run itself. Source: the GNU ddrescue manual, chapter "Mapfile structure".

use crate::{Error, Extent, ExtentMap, Result, State};

/// Parses a mapfile. `?` `*` `/` `%` become [`State::Unread`], `-` [`State::Bad`], `+` [`State::Data`].
pub fn parse_mapfile(text: &str) -> Result<ExtentMap> {
    let mut map = ExtentMap::new();
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
        let state = match words.next() {
            Some("?" | "*" | "/" | "%") => State::Unread,
            Some("-") => State::Bad,
            Some("+") => State::Data,
            _ => return Err(bad("unknown status")),
        };
        if offset.checked_add(len).is_none_or(|e| e > i64::MAX as u64) || len == 0 {
            return Err(bad("the range is empty or too far out"));
        }
        if end.is_some_and(|e| e > offset) {
            return Err(bad("ranges overlap or are out of order"));
        }
        end = Some(offset + len);
        map.set(Extent::new(offset, len, state));
    }
    Ok(map)
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
    fn refuses_nonsense_by_line() {
        for text in ["", "0 ?\n1 2 x\n", "0 ?\n0 10 +\n5 10 +\n", "0 ?\n0xffffffffffffffff 5 +\n", "0 ?\n0 0 +\n"] {
            assert!(parse_mapfile(text).is_err(), "{text:?}");
        }
    }
}
