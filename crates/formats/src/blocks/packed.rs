//! Packed blocks: what is stored is read for several at once, and what was unpacked is kept for those who read it bit by bit.

use super::coding::Tools;
use super::host::as_a_whole;
use super::shelf::{Key, Shelf};
use super::{BlockMap, HostFile, Packed, Unpacked};
use std::sync::Arc;
use tintype_core::{Error, Result};

/// The unpacked blocks of all images.
static BLOCKS: Shelf<Arc<[u8]>> = Shelf::new(16 << 20);
/// Longest stretch of a file that is read at once for several blocks.
const STRETCH: u64 = 4 << 20;
/// Longest gap between two blocks that is read with them.
const GAP: u64 = 64 << 10;

/// Bytes of a file, from `start` on.
pub(super) struct Stretch<'a> {
    file: &'a HostFile,
    owner: u64,
    start: u64,
    bytes: Vec<u8>,
}

static BUFFERS: Tools<Vec<u8>> = Tools::new();

impl Drop for Stretch<'_> {
    fn drop(&mut self) {
        // What one image with huge blocks took is not kept for all.
        if self.bytes.capacity() as u64 <= 2 * STRETCH {
            BUFFERS.put(std::mem::take(&mut self.bytes));
        }
    }
}

impl<'a> Stretch<'a> {
    /// Nothing yet of `file`, whose blocks are kept under `owner`.
    pub(super) fn new(file: &'a HostFile, owner: u64) -> Result<Self> {
        let mut bytes = BUFFERS.take(|| Ok(Vec::new()))?;
        bytes.clear();
        Ok(Stretch { file, owner, start: 0, bytes })
    }

    fn has(&self, at: u64, len: u64) -> bool {
        at >= self.start && at.saturating_add(len) <= self.start + self.bytes.len() as u64
    }

    fn load(&mut self, at: u64, len: u64) -> Result<()> {
        self.bytes.resize(len as usize, 0);
        self.start = at;
        let done = self.file.source.read_at(&mut self.bytes, at);
        if done.is_err() {
            self.bytes.clear();
        }
        done.map_err(|e| as_a_whole(e).at(at).met_in(&self.file.name))
    }

    /// The bytes that are stored at `at`, `len` of them, or as many as there are.
    fn stored(&mut self, at: u64, len: u64, next: &mut dyn Iterator<Item = Packed>) -> Result<std::ops::Range<usize>> {
        let there = self.file.source.len().saturating_sub(at);
        if there == 0 {
            self.file.holds("a compressed block", at, 1)?;
        }
        let len = len.min(there);
        if !self.has(at, len) {
            // What follows is mostly wanted next.
            let mut end = at + len;
            let mut last = at;
            for packed in next {
                let to = packed.at.saturating_add(packed.stored).min(self.file.source.len());
                if packed.at < last || packed.at > end + GAP || to.saturating_sub(at) > STRETCH {
                    break;
                }
                (end, last) = (end.max(to), packed.at);
            }
            if self.load(at, end - at).is_err() {
                self.load(at, len)?;
            }
        }
        let from = (at - self.start) as usize;
        Ok(from..from + len as usize)
    }

    /// Unpacks a block into `out`, which is as long. `next` tells of the packed blocks that are wanted after it.
    fn unpack(
        &mut self,
        map: &impl BlockMap,
        packed: &Packed,
        out: &mut [u8],
        next: &mut dyn Iterator<Item = Packed>,
    ) -> Result<()> {
        let file = self.file;
        let named = |e: Error| e.at(packed.at).met_in(&file.name);
        let most = packed.plain.saturating_mul(2).saturating_add(1 << 20);
        let mut len = packed.stored;
        loop {
            if len > most {
                let what = format!("a compressed block of {len} bytes, more than it can have");
                return Err(named(Error::corrupt(what)));
            }
            let range = self.stored(packed.at, len, next)?;
            let had = range.len() as u64;
            match map.unpack(packed, &self.bytes[range], out).map_err(named)? {
                Unpacked::Whole => return Ok(()),
                Unpacked::Needs(more) if more > had && had == len => len = more,
                Unpacked::Needs(_) => {
                    return Err(named(Error::corrupt("a compressed block leaves the file: it was cut off")));
                }
            }
        }
    }

    /// Fills `buf` with the bytes of a block from `inside` on.
    pub(super) fn fill(
        &mut self,
        map: &impl BlockMap,
        packed: &Packed,
        buf: &mut [u8],
        inside: u64,
        next: &mut dyn Iterator<Item = Packed>,
    ) -> Result<()> {
        if inside == 0 && buf.len() as u64 == packed.plain {
            return self.unpack(map, packed, buf, next);
        }
        let key: Key = (self.owner, packed.at, packed.block);
        let bytes = match BLOCKS.get(key) {
            Some(bytes) => bytes,
            None => {
                let plain = usize::try_from(packed.plain).map_err(|_| Error::limit("a block is too long"))?;
                let mut bytes = vec![0; plain];
                self.unpack(map, packed, &mut bytes, next)?;
                let bytes: Arc<[u8]> = bytes.into();
                BLOCKS.put(key, Arc::clone(&bytes), plain);
                bytes
            }
        };
        let part = bytes.get(inside as usize..).and_then(|b| b.get(..buf.len()));
        buf.copy_from_slice(part.ok_or_else(|| Error::corrupt("a compressed block is shorter than its run"))?);
        Ok(())
    }
}
