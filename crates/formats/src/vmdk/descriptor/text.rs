//! The encodings that descriptors name.

use tintype_core::{Error, Result};

/// Windows-1252 from 0x80 to 0x9f; the five bytes without a character stand for themselves, as everybody reads them.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// The text of a descriptor in the encoding that it names itself.
pub(super) fn decode(bytes: &[u8]) -> Result<String> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        // Whatever is named: bytes that are valid UTF-8 beyond ASCII are hardly ever anything else.
        return Ok(text.to_owned());
    }
    let encoding = named(bytes);
    match &encoding.to_ascii_lowercase()[..] {
        "windows-1252" | "iso-8859-1" | "latin1" => Ok(bytes.iter().map(|b| western(*b)).collect()),
        _ => Err(Error::unsupported(format!(
            "the descriptor is written in {}, which cannot be read; save it as UTF-8",
            if encoding.is_empty() { "no encoding that it names" } else { &encoding }
        ))),
    }
}

fn western(byte: u8) -> char {
    match byte {
        0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)],
        other => char::from(other),
    }
}

/// The encoding that is named, which is ASCII in every encoding there is.
fn named(bytes: &[u8]) -> String {
    let lines = bytes.split(|b| *b == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let mut values = lines.filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        key.trim().eq_ignore_ascii_case("encoding").then(|| value.trim().trim_matches('"').to_owned())
    });
    values.next_back().unwrap_or_default()
}
