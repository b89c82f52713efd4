//! The decoder of deflate that an image is opened with.

use tintype_codec::deflate::Decompressor;
use tintype_core::Care;

/// The fast one to read, the exact one to prove.
pub(crate) fn decompressor(care: Care) -> Decompressor {
    match care {
        Care::Read => Decompressor::new(),
        Care::Prove => Decompressor::exact(),
    }
}
