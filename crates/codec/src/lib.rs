//! Bytes to bytes: digests, checksums and compression, for image formats and the engine.
//!
//! This crate knows nothing of images, drives or any other crate of the project. Everything in it works on slices, or pulls compressed
//! bytes through a small trait; nothing spawns threads, prints or touches files. Hostile input is the normal case: no decoder panics, and
//! none allocates by a number it has not checked against the caller's limit.
//!
//! Where to start:
//!
//! - [`digest`]: MD5, SHA-1, SHA-256, SHA-512, BLAKE3 behind one [`digest::Hasher`].
//! - [`checksum`]: Adler-32, CRC-32, CRC-32C, CRC-64, XXH32, XXH64.
//! - [`deflate`]: whole chunks in, whole chunks out; what block-compressed image formats need.
//! - [`looks_incompressible`]: whether to compress at all.
//! - [`stream`]: whole compressed files (gzip, zlib, xz, lzma, zstd, bzip2, lz4, lzop) pulled through one trait, with checkpoints.
//! - [`bgzf`], [`zstd`], [`zstd_seekable`]: blocks, frames and seek tables for writers of compressed raw images.
//! - [`encryption`]: sectors decrypted, keys from passphrases.
//! - [`gzip`], [`xz`], [`zstd`], [`lz4`], [`lzop`], [`lzo1x`]: headers and indexes read without decoding, and single blocks.
#![warn(missing_docs)]

pub mod bgzf;
pub mod checksum;
pub mod deflate;
pub mod digest;
pub mod encryption;
mod error;
pub mod gzip;
mod incompressible;
mod inflate;
pub mod lz4;
mod lzma;
pub mod lzo1x;
pub mod lzop;
pub mod stream;
pub mod xz;
pub mod zstd;
pub mod zstd_seekable;

pub use error::{Error, Result};
pub use incompressible::looks_incompressible;
