//! Identifiers that images are told apart by.

use std::fmt::Write;
use std::hash::{BuildHasher, Hasher, RandomState};

/// An identifier that nobody else has: version 4 of RFC 9562, in the byte order that Microsoft and VirtualBox store.
pub(crate) fn fresh() -> [u8; 16] {
    let mut uuid = [0; 16];
    for half in uuid.chunks_mut(8) {
        // The standard library seeds each of these with numbers from the operating system.
        half.copy_from_slice(&RandomState::new().build_hasher().finish().to_le_bytes());
    }
    uuid[7] = uuid[7] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

/// The text of an identifier whose first three groups are stored little-endian.
pub(crate) fn text(uuid: &[u8; 16]) -> String {
    in_order(uuid, [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15])
}

/// The text of an identifier that is stored as it is written.
pub(crate) fn plain_text(uuid: &[u8; 16]) -> String {
    in_order(uuid, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
}

/// The identifier in a text as [`text`] makes it, in braces or without, in any case.
pub(crate) fn parse(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b"{}-".contains(b)).collect();
    let mut plain = [0; 16];
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in plain.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    let [a, b, c, d, e, f, g, h, ..] = plain;
    plain[..8].copy_from_slice(&[d, c, b, a, f, e, h, g]);
    Some(plain)
}

fn in_order(uuid: &[u8; 16], order: [usize; 16]) -> String {
    order.iter().enumerate().fold(String::with_capacity(36), |mut text, (i, at)| {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{:02x}", uuid[*at]);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_one_is_another() {
        let (a, b) = (fresh(), fresh());
        assert_ne!(a, b);
        assert_eq!((a[7] >> 4, a[8] >> 6), (4, 2));
    }

    #[test]
    fn text_has_the_order_of_the_field() {
        // The identifier of a Microsoft basic data partition, as it is stored.
        let stored = [0xA2, 0xA0, 0xD0, 0xEB, 0xE5, 0xB9, 0x33, 0x44, 0x87, 0xC0, 0x68, 0xB6, 0xB7, 0x26, 0x99, 0xC7];
        assert_eq!(text(&stored), "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7");
        assert_eq!(parse("{EBD0A0A2-B9E5-4433-87C0-68B6B72699C7}"), Some(stored));
        assert_eq!(parse("EBD0A0A2-B9E5"), None);
        assert_eq!(&plain_text(&stored)[..9], "a2a0d0eb-");
    }
}
