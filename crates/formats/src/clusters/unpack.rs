//! Compressed clusters.

use super::Codec;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tintype_codec::{deflate, zstd};
use tintype_core::{Error, Result};

/// Bytes of clusters that are kept for those who read them bit by bit.
const KEPT: usize = 4 << 20;

/// Decompresses, for any number of threads.
pub(crate) struct Unpacker {
    codec: Codec,
    cluster: usize,
    zlib: Mutex<Vec<deflate::Decompressor>>,
    zstd: Mutex<Vec<zstd::Decompressor>>,
    /// By place in the file, the last used last.
    kept: Mutex<Vec<(u64, Arc<[u8]>)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Unpacker {
    pub(crate) fn new(codec: Codec, cluster: u64) -> Self {
        let (zlib, zstd, kept) = (Mutex::default(), Mutex::default(), Mutex::default());
        Unpacker { codec, cluster: cluster as usize, zlib, zstd, kept }
    }

    /// Decodes what stands at the start of `packed` into `cluster`, which it has to fill.
    pub(crate) fn unpack(&self, packed: &[u8], cluster: &mut [u8]) -> Result<()> {
        let broken = |e: tintype_codec::Error| Error::corrupt("a compressed cluster cannot be decoded").because(e);
        let written = match self.codec {
            Codec::Zlib => {
                let mut decoder = lock(&self.zlib).pop().unwrap_or_default();
                let progress = decoder.raw(packed, cluster);
                lock(&self.zlib).push(decoder);
                progress.map_err(broken)?.written
            }
            Codec::Zstd => {
                let decoder = lock(&self.zstd).pop();
                let mut decoder = match decoder {
                    Some(decoder) => decoder,
                    None => zstd::Decompressor::new().map_err(broken)?,
                };
                let written = decoder.first_frame(packed, cluster);
                lock(&self.zstd).push(decoder);
                written.map_err(broken)?
            }
        };
        if written != cluster.len() {
            return Err(Error::corrupt(format!("a compressed cluster has {written} bytes, not {}", cluster.len())));
        }
        Ok(())
    }

    /// The cluster whose compressed bytes lie at `offset`, kept from before or decoded from what `read` gives.
    pub(crate) fn kept(&self, offset: u64, read: impl FnOnce() -> Result<Vec<u8>>) -> Result<Arc<[u8]>> {
        let mut kept = lock(&self.kept);
        if let Some(place) = kept.iter().position(|(o, _)| *o == offset) {
            kept[place..].rotate_left(1);
            return Ok(kept.last().map_or_else(|| Arc::from([]), |(_, cluster)| Arc::clone(cluster)));
        }
        drop(kept);
        let mut cluster = vec![0; self.cluster];
        self.unpack(&read()?, &mut cluster)?;
        let cluster: Arc<[u8]> = cluster.into();
        let mut kept = lock(&self.kept);
        if kept.len() >= (KEPT / self.cluster).clamp(1, 64) {
            kept.remove(0);
        }
        kept.push((offset, Arc::clone(&cluster)));
        Ok(cluster)
    }
}
