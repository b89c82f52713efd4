//! The compressions that are read from start to end.

use super::{Known, Packed, Spec, WINDOW, streamed};
use tintype_codec::stream::{Certainty, Kind, probe};
use tintype_core::{Caps, Format, Image, OpenRequest, Probe, Result, State, States};

const fn row(name: &'static str, title: &'static str, extensions: &'static [&'static str]) -> Format {
    Format {
        name,
        title,
        extensions,
        caps: Caps { states: States::of(&[State::Data]), ..Caps::NOTHING },
        ..Format::NOTHING
    }
}

/// The row of bzip2.
pub static BZIP2: Format = Format {
    probe: |p| magic(p, Kind::Bzip2),
    open: Some(|request| open(request, Kind::Bzip2, 4)),
    sums: "the CRC-32 of every block",
    ..row("bzip2", "raw in bzip2", &["bz2", "bz"])
};

/// The row of LZ4 frames, the legacy ones among them.
pub static LZ4: Format = Format {
    probe: |p| magic(p, Kind::Lz4),
    open: Some(|request| open(request, Kind::Lz4, 4)),
    sums: "the XXH32 of every frame or block",
    ..row("lz4", "raw in LZ4", &["lz4"])
};

/// The row of lzop.
pub static LZOP: Format = Format {
    probe: |p| magic(p, Kind::Lzop),
    open: Some(|request| open(request, Kind::Lzop, 4)),
    sums: "the checksum of every block",
    ..row("lzop", "raw in lzop", &["lzo"])
};

/// The row of zlib streams.
pub static ZLIB: Format = Format {
    probe: |p| named(p, Kind::Zlib, &ZLIB),
    open: Some(|request| open(request, Kind::Zlib, 4)),
    sums: "the Adler-32 of the stream",
    ..row("zlib", "raw in zlib", &["zz", "zlib"])
};

/// The row of lzma-alone.
pub static LZMA: Format = Format {
    probe: |p| named(p, Kind::Lzma, &LZMA),
    open: Some(open_lzma),
    ..row("lzma", "raw in lzma-alone", &["lzma"])
};

fn magic(p: &Probe<'_>, kind: Kind) -> u8 {
    match probe(p.head) {
        Some((found, Certainty::Sure)) if found == kind => 90,
        _ => 0,
    }
}

/// For formats whose first bytes may begin anything: they and the name must agree. The name may be that of the first part
/// of a set.
fn named(p: &Probe<'_>, kind: Kind, row: &Format) -> u8 {
    let name = p.name.to_ascii_lowercase();
    let is_named = row.extensions.iter().any(|e| name.ends_with(&format!(".{e}")) || name.contains(&format!(".{e}.")));
    match probe(p.head) {
        Some((found, _)) if found == kind && is_named => 80,
        _ => 0,
    }
}

fn open(request: &OpenRequest, kind: Kind, live: usize) -> Result<Image> {
    let spec = Spec { kind, memory: WINDOW, live };
    streamed(request, Packed::new(request)?, kind.name(), kind.name(), spec, None)
}

fn open_lzma(request: &OpenRequest) -> Result<Image> {
    let packed = Packed::new(request)?;
    let mut head = [0; 13];
    if packed.source.len() >= head.len() as u64 {
        packed.source.read_at(&mut head, 0)?;
    }
    // Bytes 5 to 12 are the length of the content, all ones where it was not known.
    let len = head[5..].iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
    let known = (1..1 << 62).contains(&len).then_some(Known { len, crc32: None, is_checked: false });
    let spec = Spec { kind: Kind::Lzma, memory: WINDOW, live: 1 };
    streamed(request, packed, "lzma-alone", "lzma", spec, known)
}
