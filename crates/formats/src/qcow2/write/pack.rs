//! Compression of clusters, and their places: one behind the other, at any byte.

use super::encode::{Pack, Target};
use super::plan::Packing;
use super::references::References;
use tintype_codec::deflate::{self, Window};
use tintype_codec::zstd::{self, Checksum};
use tintype_core::{Error, File, Result};

/// Bytes that are collected before they are written.
const COLLECTED: usize = 1 << 20;

struct Zlib(deflate::Compressor);

impl Pack for Zlib {
    fn pack(&mut self, cluster: &[u8], most: usize, out: &mut Vec<u8>) -> Result<Option<usize>> {
        Ok(self.0.raw_bounded(cluster, most, out))
    }
}

/// An encoder, or why there is none: it cannot be refused once the work has begun.
struct Zstd(tintype_codec::Result<zstd::Compressor>);

impl Pack for Zstd {
    fn pack(&mut self, cluster: &[u8], most: usize, out: &mut Vec<u8>) -> Result<Option<usize>> {
        let encoder = self.0.as_mut().map_err(|e| Error::limit(format!("no encoder: {e}")))?;
        encoder.frame_bounded(cluster, most, out).map_err(|e| Error::limit("cannot compress").because(e))
    }
}

/// A new encoder.
pub(super) fn packer(packing: Packing) -> Box<dyn Pack> {
    match packing {
        // The specification lets readers keep no more than 4 KiB.
        Packing::Zlib(level) => Box::new(Zlib(deflate::Compressor::within(level, Window::Near))),
        Packing::Zstd(level) => Box::new(Zstd(zstd::Compressor::new(level, Checksum::Omitted))),
    }
}

/// Gives compressed clusters their places, and writes them in large pieces.
pub(super) struct Packed {
    /// Where the next compressed cluster can go: the end of the last one, inside its cluster of the file.
    tail: Option<u64>,
    collected: Vec<u8>,
    at: u64,
}

impl Packed {
    pub(super) fn new() -> Self {
        Packed { tail: None, collected: Vec::new(), at: 0 }
    }

    /// Every cluster of the file before this number gets no more compressed bytes, if `next` is the next free one.
    pub(super) fn settled(&self, next: u64, cluster: u64) -> u64 {
        self.tail.map_or(next, |tail| next.min(tail / cluster))
    }

    /// Begins a new cluster with the next compressed one.
    pub(super) fn leave(&mut self) {
        self.tail = None;
    }

    /// Where `len` compressed bytes go, fewer than a cluster; `None` if no such place can be described.
    pub(super) fn place(&mut self, len: u64, target: &Target, references: &mut References) -> Option<u64> {
        let geometry = target.geometry;
        let cluster = geometry.cluster();
        let tail = self.tail.filter(|tail| references.shared(tail / cluster) < geometry.most_references());
        let at = match tail {
            Some(tail) if len <= cluster - tail % cluster => tail,
            Some(tail) => {
                let next = target.take(1);
                // What does not fit may go on in the next cluster of the file, if that is free.
                if next == tail / cluster + 1 { tail } else { next * cluster }
            }
            None => target.take(1) * cluster,
        };
        if !geometry.can_pack_at(at + len) {
            return None;
        }
        for touched in at / cluster..=(at + len - 1) / cluster {
            references.share(touched);
        }
        let end = at + len;
        self.tail = (!end.is_multiple_of(cluster)).then_some(end);
        Some(at)
    }

    /// Writes `bytes` at `at`, now or later.
    pub(super) fn write(&mut self, file: &dyn File, at: u64, bytes: &[u8]) -> Result<()> {
        if self.at + self.collected.len() as u64 != at || self.collected.len() >= COLLECTED {
            self.flush(file)?;
            self.at = at;
        }
        self.collected.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn flush(&mut self, file: &dyn File) -> Result<()> {
        if !self.collected.is_empty() {
            file.write_at(&self.collected, self.at)?;
            file.write_soon(self.at, self.collected.len() as u64);
            self.at += self.collected.len() as u64;
            self.collected.clear();
        }
        Ok(())
    }
}
