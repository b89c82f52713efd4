//! A format's own options, and the compression words that all formats share.

use crate::{Error, Result};
use std::collections::BTreeMap;
use std::str::FromStr;

/// One option of a format, for help, man page, completion and checking.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Its name in `--option NAME=VALUE`.
    pub name: &'static str,
    /// Its values, as help shows them: `16KiB..1MiB`, `on|off`.
    pub values: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
}

/// Options given for one image.
#[derive(Clone, Debug, Default)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Parses `NAME=VALUE` words; a name not in `specs` is a `Usage` error that lists them.
    pub fn parse<S: AsRef<str>>(specs: &[OptionSpec], words: &[S]) -> Result<Self> {
        let mut options = BTreeMap::new();
        for word in words {
            let word = word.as_ref();
            let (name, value) =
                word.split_once('=').ok_or_else(|| Error::usage(format!("--option {word}: it takes NAME=VALUE")))?;
            if !specs.iter().any(|s| s.name == name) {
                let known: Vec<_> = specs.iter().map(|s| s.name).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Error::usage(format!("--option {name}: the format has no such option; it has {known}")));
            }
            options.insert(name.to_owned(), value.to_owned());
        }
        Ok(Options(options))
    }

    /// The value given for `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value given for `name` as a size in bytes, within `range`.
    pub fn size(&self, name: &str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let size = parse_size(text)?;
        if !range.contains(&size) {
            return Err(Error::usage(format!(
                "--option {name}={text}: must be {} to {} bytes",
                range.start(),
                range.end()
            )));
        }
        Ok(Some(size))
    }
}

/// How hard to compress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Store everything.
    None,
    /// Only chunks of zeros are made small.
    Empty,
    /// As fast as the format allows while still making most things smaller.
    Fast,
    /// Small, within reason.
    Best,
    /// A codec of the format by name, with its level.
    Codec {
        /// `zlib`, `zstd` ...
        name: String,
        /// The codec's own scale.
        level: Option<i32>,
    },
}

impl Compression {
    /// The word for it, without a level.
    pub fn word(&self) -> &str {
        match self {
            Compression::None => "none",
            Compression::Empty => "empty",
            Compression::Fast => "fast",
            Compression::Best => "best",
            Compression::Codec { name, .. } => name,
        }
    }
}

impl FromStr for Compression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "none" => Compression::None,
            "empty" => Compression::Empty,
            "fast" => Compression::Fast,
            "best" => Compression::Best,
            _ => {
                let (name, level) = match text.split_once(':') {
                    Some((name, level)) => {
                        let level = level
                            .parse()
                            .map_err(|_| Error::usage(format!("--compression {text}: the level is no number")))?;
                        (name, Some(level))
                    }
                    None => (text, None),
                };
                Compression::Codec { name: name.to_owned(), level }
            }
        })
    }
}

/// Parses a size: bytes, or a number with `s` (512), `K`, `KiB`, `M`, `MiB`, `G`, `GiB`, `T`, `TiB` (powers of 1024).
pub fn parse_size(text: &str) -> Result<u64> {
    let bad = || Error::usage(format!("{text:?} is no size; sizes look like 4096, 64KiB, 100M, 2TiB or 2048s"));
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "s" => 512,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        _ => return Err(bad()),
    };
    number.checked_mul(factor).ok_or_else(bad)
}

/// Writes a size for people: `4.0 GiB (4294967296 bytes)` without the bytes.
pub fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "";
    for name in UNITS {
        value /= 1024.0;
        unit = name;
        if value < 1023.95 {
            break;
        }
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("8s", 4096), ("64KiB", 65536), ("1M", 1 << 20), ("2TiB", 2 << 40)]
        {
            assert_eq!(parse_size(text).unwrap(), bytes);
        }
        for text in ["", "K", "-1", "1.5M", "1MB", "99999999999999999999", "16777216TiB", "1 K"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert_eq!(human_size(1023), "1023 B");
        assert_eq!(human_size(1 << 20), "1.0 MiB");
        assert_eq!(human_size(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn compression_words() {
        assert_eq!("fast".parse::<Compression>().unwrap(), Compression::Fast);
        assert_eq!(
            "zstd:19".parse::<Compression>().unwrap(),
            Compression::Codec { name: "zstd".into(), level: Some(19) }
        );
        assert!("zlib:x".parse::<Compression>().is_err());
    }

    #[test]
    fn unknown_options_are_refused_by_name() {
        let specs = [OptionSpec { name: "chunk", values: "", default: "", help: "" }];
        assert!(Options::parse(&specs, &["chunk=1M"]).is_ok());
        let e = Options::parse(&specs, &["chnk=1M"]).unwrap_err();
        assert!(e.to_string().contains("chunk"));
    }
}
