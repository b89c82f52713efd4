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
//! - [`inflate`]: the resumable deflate decoder under the streams.
#![warn(missing_docs)]

pub mod checksum;
pub mod deflate;
pub mod digest;
mod error;
pub mod inflate;

pub use error::{Error, Result};
