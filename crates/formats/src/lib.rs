//! Image containers: one folder per format, one row per format in [`FORMATS`].
//!
//! A format is layout and bookkeeping: it never spawns threads, hashes the whole, retries or prints. Every folder has the
//! same files (`mod.rs` the row and the page, `layout.rs` on-disk structures, `read.rs`, `write.rs`, `check.rs`,
//! `tests.rs`); a missing file means: not supported.

#![forbid(unsafe_code)]

use tintype_core::{Body, Error, Format, Image, OpenRequest, PROBE_HEAD, PROBE_TAIL, Probe, Result};

mod blocks;
pub mod bochs;
pub mod cloop;
mod decoder;
pub mod ewf;
pub mod gzip;
pub mod ova;
pub mod packed;
pub mod parallels;
pub mod qcow;
pub mod qcow2;
pub mod qed;
pub mod raw;
pub mod simg;
pub mod split;
mod uuid;
pub mod vdi;
pub mod vhd;
pub mod vhdx;
pub mod vmdk;
mod windows_paths;
pub mod xz;
pub mod zip;
pub mod zstd;

/// Every format, the more particular first.
pub static FORMATS: &[&Format] = &[
    &ewf::FORMAT,
    &vdi::FORMAT,
    &vhd::FORMAT,
    &vhdx::FORMAT,
    &simg::FORMAT,
    &bochs::FORMAT,
    &cloop::FORMAT,
    &parallels::FORMAT,
    &gzip::FORMAT,
    &zstd::FORMAT,
    &xz::FORMAT,
    &packed::BZIP2,
    &packed::LZ4,
    &packed::LZOP,
    &packed::LZMA,
    &packed::ZLIB,
    &zip::FORMAT,
    &qcow2::FORMAT,
    &qcow::FORMAT,
    &qed::FORMAT,
    &vmdk::FORMAT,
    &ova::FORMAT,
    &split::FORMAT,
    &raw::FORMAT,
];

/// The format called `name`.
pub fn by_name(name: &str) -> Result<&'static Format> {
    FORMATS.iter().copied().find(|f| f.name == name).ok_or_else(|| {
        let names: Vec<_> = FORMATS.iter().map(|f| f.name).collect();
        Error::usage(format!("{name:?} is no format; formats are {}", names.join(", ")))
    })
}

/// The format that a new file called `name` is written in, by its extension.
pub fn by_extension(name: &str) -> Option<&'static Format> {
    let name = name.to_ascii_lowercase();
    let fits = |f: &Format| {
        f.extensions
            .iter()
            .filter(|e| name.ends_with(&format!(".{e}")))
            .map(|e| e.len())
            .max()
            .filter(|_| f.create.is_some())
    };
    FORMATS.iter().copied().filter_map(|f| Some((fits(f)?, f))).max_by_key(|(len, _)| *len).map(|(_, f)| f)
}

/// The format that is surest that the entry is its own. Reads the head and the tail of the entry.
pub fn probe(request: &OpenRequest) -> Result<&'static Format> {
    let (mut head, mut tail, mut len) = (Vec::new(), Vec::new(), 0);
    let folder = match &request.entry.body {
        Body::Folder => true,
        Body::Bytes(source) => {
            len = source.len();
            head.resize(len.min(PROBE_HEAD as u64) as usize, 0);
            tail.resize(len.min(PROBE_TAIL as u64) as usize, 0);
            // A drive may have bad sectors just here; what cannot be read is recognised by nobody.
            if source.read_at(&mut head, 0).is_err() {
                head.clear();
            }
            let tail_at = len - tail.len() as u64;
            if source.read_at(&mut tail, tail_at).is_err() {
                tail.clear();
            }
            false
        }
    };
    let probe = Probe { name: &request.entry.name, folder, head: &head, tail: &tail, len };
    let best = FORMATS.iter().copied().filter(|f| f.open.is_some()).map(|f| ((f.probe)(&probe), f));
    let mut winner: Option<(u8, &'static Format)> = None;
    for (score, format) in best {
        if score > 0 && winner.is_none_or(|(s, _)| score > s) {
            winner = Some((score, format));
        }
    }
    winner.map(|(_, f)| f).ok_or_else(|| Error::unsupported(format!("{}: no format recognises it", request.entry.name)))
}

/// Opens the entry as `format`, or as what [`probe`] finds.
pub fn open(request: &OpenRequest, format: Option<&'static Format>) -> Result<(&'static Format, Image)> {
    let format = match format {
        Some(format) => format,
        None => {
            let found = probe(request)?;
            as_named(request, found)?;
            found
        }
    };
    let open = format.open.ok_or_else(|| Error::unsupported(format!("{} images can only be written", format.title)))?;
    Ok((format, open(request)?))
}

/// Refuses to take for plain bytes what its name says is something else: a damaged head must not turn a container into a
/// disk.
fn as_named(request: &OpenRequest, found: &'static Format) -> Result<()> {
    let name = request.entry.name.to_ascii_lowercase();
    let ending = name.rsplit_once('.').map(|(_, ending)| ending).unwrap_or_default();
    if !std::ptr::eq(found, &raw::FORMAT) || raw::FORMAT.extensions.contains(&ending) {
        return Ok(());
    }
    match FORMATS.iter().find(|f| f.extensions.contains(&ending)) {
        Some(named) => Err(Error::corrupt(format!(
            "is named like {} but does not begin like it: it is damaged, or it is something else; to read it as plain bytes, \
             give --from raw",
            named.title
        ))),
        None => Ok(()),
    }
}
