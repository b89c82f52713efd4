//! From the stored form of a chunk to its bytes. Nothing comes out whose checksum does not match.

use tintype_codec::checksum::adler32;
use tintype_codec::deflate::{Decompressor, Padding, zlib_lenient};

/// What X-Ways' own compression begins with.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Why a chunk has no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Checksum,
    Deflate,
    /// Its bytes come out right, but not every program gets them.
    Odd,
    Length,
    /// Compressed in X-Ways' own way.
    Zstd,
}

impl Broken {
    pub(super) fn text(self) -> &'static str {
        match self {
            Broken::Checksum => "the checksum of a chunk does not match",
            Broken::Deflate => "a compressed chunk is damaged",
            Broken::Odd => {
                "a compressed chunk is damaged: its bytes come out right by its checksum, but it has bits that no encoder writes"
            }
            Broken::Length => "a chunk has another length than it should",
            Broken::Zstd => "a chunk is compressed with zstd, as only X-Ways does",
        }
    }
}

/// Decodes a chunk that is not compressed and fills `out`. Returns how many bytes the chunk holds, which may be more.
fn plain(stored: &[u8], out: &mut [u8]) -> Result<usize, Broken> {
    let matches = |len: usize| {
        let sum = stored.get(len..len + 4);
        sum.is_some_and(|sum| sum == adler32(&stored[..len]).to_le_bytes())
    };
    let all = stored.len().checked_sub(4).ok_or(Broken::Length)?;
    if all < out.len() {
        return Err(Broken::Length);
    }
    // What follows the chunk may be a gap; or the chunk itself is longer than what it stands for.
    let len = if matches(all) { all } else { out.len() };
    if !matches(len) {
        return Err(Broken::Checksum);
    }
    out.copy_from_slice(&stored[..out.len()]);
    Ok(len)
}

/// Decodes a stored chunk into `out`, which it has to fill. Returns how many bytes the chunk holds: more than `out` has is an
/// error unless `room`, as long as a whole chunk, is there to take them.
pub(super) fn decode(
    decoder: &mut Decompressor,
    stored: &[u8],
    compressed: bool,
    out: &mut [u8],
    room: Option<&mut Vec<u8>>,
) -> Result<usize, Broken> {
    if !compressed {
        return plain(stored, out);
    }
    let written = match room {
        None => inflate(decoder, stored, out)?,
        Some(room) => {
            let written = inflate(decoder, stored, room)?;
            let head = room.get(..written.min(out.len())).unwrap_or_default();
            out[..head.len()].copy_from_slice(head);
            written
        }
    };
    if written < out.len() { Err(Broken::Length) } else { Ok(written) }
}

fn inflate(decoder: &mut Decompressor, stored: &[u8], out: &mut [u8]) -> Result<usize, Broken> {
    if let Ok(progress) = decoder.zlib(stored, out) {
        return Ok(progress.written);
    }
    let padding = if decoder.is_exact() { Padding::Zero } else { Padding::Any };
    match zlib_lenient(stored, out, padding) {
        Ok(lenient) if lenient.checksum_matches => Ok(lenient.progress.written),
        _ if decoder.is_exact() && Decompressor::new().zlib(stored, out).is_ok() => Err(Broken::Odd),
        Ok(_) => Err(Broken::Checksum),
        Err(tintype_codec::Error::TooLarge(_)) => Err(Broken::Length),
        Err(_) if stored.starts_with(&ZSTD) => Err(Broken::Zstd),
        Err(_) => Err(Broken::Deflate),
    }
}
