//! Numbers and times as ddrescue reads them.
//!
//! An integer as in C++ (decimal, hexadecimal with `0x`, octal with `0`, since 1.30 with `_` between digits), then a prefix (`k`, `M`, `G` ... powers
//! of 1000; `Ki`, `Mi`, `Gi` ... of 1024), then `s` for sectors or `B` for bytes. Source: the manual, "Invoking ddrescue", "Argument
//! syntax".

use std::time::Duration;
use tintype_core::{Error, Result};

/// Parses a number that is not negative; `sector` bytes are one `s`.
pub fn number(text: &str, sector: u64) -> Result<u64> {
    parse(text, sector).ok_or_else(|| {
        Error::usage(format!(
            "{text:?} is no number of ddrescue's: they look like 4096, 0x1000, 10k, 1GiB, 5GB or 2048s"
        ))
    })
}

fn parse(text: &str, sector: u64) -> Option<u64> {
    let (radix, rest) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &text[2..]),
        [b'0', b'0'..=b'9', ..] => (8, &text[1..]),
        _ => (10, text),
    };
    let end = rest.find(|c: char| !c.is_digit(radix) && c != '_').unwrap_or(rest.len());
    let (digits, unit) = rest.split_at(end);
    if digits.is_empty() || digits.starts_with('_') || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    let value = u64::from_str_radix(&digits.replace('_', ""), radix).ok()?;
    let (prefix, last) = match unit.strip_suffix(['s', 'B']) {
        Some(prefix) => (prefix, &unit[prefix.len()..]),
        None => (unit, ""),
    };
    let (letter, base) = match prefix.strip_suffix('i') {
        Some(letter) => (letter, 1024_u64),
        None => (prefix, 1000),
    };
    let power = match (letter, base) {
        ("", 1000) => 0,
        ("k", 1000) | ("K", 1024) => 1,
        ("M", _) => 2,
        ("G", _) => 3,
        ("T", _) => 4,
        ("P", _) => 5,
        ("E", _) => 6,
        // No drive is so large, but ddrescue knows them: what is counted in these is without a limit.
        ("Z" | "Y" | "R" | "Q", _) => return Some(if value == 0 { 0 } else { i64::MAX as u64 }),
        _ => return None,
    };
    let factor = base.pow(power);
    let unit = if last == "s" { sector } else { 1 };
    value.checked_mul(factor)?.checked_mul(unit).filter(|v| *v <= i64::MAX as u64)
}

/// Parses a time: seconds, or with `s`, `m`, `h` or `d`; `1.5h` and `1/2m` are understood.
pub fn time(text: &str) -> Result<Duration> {
    let parse = || {
        let (number, factor) = match text.char_indices().last()? {
            (i, 's') => (&text[..i], 1.0),
            (i, 'm') => (&text[..i], 60.0),
            (i, 'h') => (&text[..i], 3600.0),
            (i, 'd') => (&text[..i], 86_400.0),
            _ => (text, 1.0),
        };
        let plain = |text: &str| -> Option<f64> {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            text.parse().ok().filter(|_| digits)
        };
        let value = match number.split_once('/') {
            Some((over, under)) => plain(over)? / plain(under).filter(|v| *v > 0.0)?,
            None => plain(number)?,
        };
        Duration::try_from_secs_f64(value * factor).ok()
    };
    parse()
        .ok_or_else(|| Error::usage(format!("{text:?} is no time of ddrescue's: they look like 30, 1.5m, 1/2h or 1d")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, value) in [
            ("0", 0),
            ("1k", 1000),
            ("1kB", 1000),
            ("1Ki", 1024),
            ("0x10", 16),
            ("0x1Gi", 1 << 30),
            ("010", 8),
            ("2s", 4096),
            ("2ks", 4_096_000),
            ("2Kis", 4 << 20),
            ("5GB", 5_000_000_000),
            ("1_000_000", 1_000_000),
            ("1GiB", 1 << 30),
            ("7Ei", 7 << 60),
            ("1Y", i64::MAX as u64),
        ] {
            assert_eq!(number(text, 2048).unwrap(), value, "{text}");
        }
        for text in ["", "k", "-1", "1K", "1ki", "1.5M", "08", "1_", "1__0", "8Ei", "1Bs", "0x", "1 k", "1m"] {
            assert!(number(text, 512).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, seconds) in [("30", 30.0), ("1.5m", 90.0), ("1/2h", 1800.0), ("1d", 86_400.0), ("0.5s", 0.5)] {
            assert_eq!(time(text).unwrap().as_secs_f64(), seconds, "{text}");
        }
        for text in ["", "s", "1/0", "-1", "1e3", "1w"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
