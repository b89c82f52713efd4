//! Which compression a stream starts with.

use super::Kind;
use crate::deflate::zlib_body;
use crate::inflate::{ENOUGH_INPUT, Inflater, Rules, WINDOW};

/// How sure a guess is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// The first bytes are possible; anything may start like this. Better ask the file's name too.
    Possible,
    /// A magic number matches.
    Sure,
}

/// What a stream that starts with `head` is compressed with; the more of it (up to a few kilobytes), the better.
///
/// Bare deflate has no sign at all and is never reported.
pub fn probe(head: &[u8]) -> Option<(Kind, Certainty)> {
    let sure = if head.starts_with(&[0x1f, 0x8b, 8]) {
        Kind::Gzip
    } else if head.starts_with(b"\xfd7zXZ\0") {
        Kind::Xz
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Kind::Zstd
    } else if head.starts_with(&[4, 0x22, 0x4d, 0x18]) || head.starts_with(&[2, 0x21, 0x4c, 0x18]) {
        Kind::Lz4
    } else if head.starts_with(crate::lzop::MAGIC) {
        Kind::Lzop
    } else if is_bzip2(head) {
        Kind::Bzip2
    } else if let Some(after) = after_skippable(head) {
        // Both formats share the skippable frames; what follows decides, and zstd is the likelier owner.
        return probe(after)
            .filter(|(kind, _)| matches!(kind, Kind::Zstd | Kind::Lz4))
            .or(Some((Kind::Zstd, Certainty::Possible)));
    } else if is_zlib(head) {
        return Some((Kind::Zlib, Certainty::Possible));
    } else if is_lzma(head) {
        return Some((Kind::Lzma, Certainty::Possible));
    } else {
        return None;
    };
    Some((sure, Certainty::Sure))
}

fn is_bzip2(head: &[u8]) -> bool {
    let block = head.get(4..10);
    head.starts_with(b"BZh")
        && head.get(3).is_some_and(|level| (b'1'..=b'9').contains(level))
        && (block == Some(b"\x31\x41\x59\x26\x53\x59") || block == Some(b"\x17\x72\x45\x38\x50\x90"))
}

fn after_skippable(head: &[u8]) -> Option<&[u8]> {
    if head.first()? & 0xf0 != 0x50 || head.get(1..4)? != [0x2a, 0x4d, 0x18] {
        return None;
    }
    let len = u32::from_le_bytes(*head.get(4..)?.first_chunk()?);
    Some(usize::try_from(len).ok().and_then(|len| head.get(8..)?.get(len..)).unwrap_or_default())
}

fn is_zlib(head: &[u8]) -> bool {
    // The two header bytes pass one time in a thousand for any data, so the first blocks must decode too.
    let Ok(body) = zlib_body(head) else { return false };
    let body = &body[..body.len().min(4 * ENOUGH_INPUT)];
    let mut out = vec![0; WINDOW];
    !body.is_empty() && Inflater::new(Rules::STRICT).run(body, &mut out, 0, 0).is_ok()
}

fn is_lzma(head: &[u8]) -> bool {
    let (Some(properties), Some(dictionary), Some(size), Some(first)) = (
        head.first(),
        head.get(1..).and_then(<[u8]>::first_chunk),
        head.get(5..).and_then(<[u8]>::first_chunk),
        head.get(13),
    ) else {
        return false;
    };
    let dictionary = u32::from_le_bytes(*dictionary);
    let size = u64::from_le_bytes(*size);
    // Encoders write 2^n or 3 * 2^n; the range coder's first byte is always zero.
    let round = dictionary == u32::MAX
        || dictionary.is_power_of_two()
        || (dictionary / 3).is_power_of_two() && dictionary % 3 == 0;
    *properties < 225 && *first == 0 && dictionary >= 4096 && round && (size == u64::MAX || size < 1 << 48)
}
