//! Reading compressed files by position.
//!
//! ```text
//!   gzip (BGZF)  zstd (frames)  xz (blocks)      gzip  zlib  zstd  xz  lzma  bzip2  lz4  lzop  zip
//!            \        |        /                                   |
//!             Blocks: an index tells                     Streamed: decoded front to back, with
//!             which block holds an offset                checkpoints where decoding can go on
//!                       \                                         /
//!                        +------------------ Source -------------+
//! ```
//!
//! [`Blocks`] decodes any block on its own, in any thread. [`Streamed`] goes through the file once, in one announced pass
//! where the length is not known before, and keeps checkpoints; they may be kept in a side-car, see [`sidecar`].

mod blocks;
mod input;
mod points;
mod rows;
mod sidecar;
mod streamed;
#[cfg(test)]
mod tests;

pub(crate) use blocks::{Block, Blocks, LARGEST_BLOCK, Layout};
pub(crate) use input::{Input, Packed, lift};
pub use rows::{BZIP2, LZ4, LZMA, LZOP, ZLIB};
pub(crate) use streamed::{Known, Spec, Streamed};

use std::sync::Arc;
use tintype_core::{Checksums, Finding, Image, OpenRequest, Source};

/// Memory that one window or dictionary may take: the format's own limit for zstd, more than any `xz` preset needs.
///
/// It is taken from the system as the content fills it, so a lying header costs nothing.
pub(crate) const WINDOW: u64 = 2 << 30;

/// An image that holds one disk.
pub(crate) fn image(
    packed: Packed,
    variant: impl Into<String>,
    compression: &str,
    disk: Arc<dyn Source>,
    checksums: Checksums,
) -> Image {
    Image {
        compression: compression.to_owned(),
        warnings: packed.warnings,
        damage: packed.damage,
        checksums,
        ..Image::new(variant, disk, packed.files)
    }
}

/// The image that is decoded front to back, with a pass in advance unless the length is known.
pub(crate) fn streamed(
    request: &OpenRequest,
    mut packed: Packed,
    variant: &str,
    compression: &str,
    spec: Spec,
    known: Option<Known>,
) -> tintype_core::Result<Image> {
    let source = Streamed::open(request, &packed, spec, known)?;
    packed.damage.extend(source.foreign().map(|offset| foreign_data(&packed, offset)));
    let checksums = if source.is_checked() { Checksums::Whole } else { Checksums::None };
    Ok(image(packed, variant, compression, Arc::new(source), checksums))
}

/// What it means that something else begins at `offset` of the file: a flipped bit may have made it so.
pub(crate) fn foreign_data(packed: &Packed, offset: u64) -> Finding {
    Finding::damage(foreign_words(offset)).in_file(&packed.files[0], offset)
}

fn foreign_words(offset: u64) -> String {
    format!("something else follows the compressed data, from byte {offset} of the file; it was left out")
}
