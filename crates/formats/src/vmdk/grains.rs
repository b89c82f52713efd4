//! Compressed grains: read several at once, inflated where they are wanted.

use super::layout::{GrainMarker, Packing, SECTOR};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tintype_codec::deflate::Decompressor;
use tintype_core::{Error, Result, Source};
use zerocopy::FromBytes;

/// Bytes of inflated grains that are kept for reads of parts of them.
const KEPT: usize = 4 << 20;
/// Longest stretch of a file that is read at once for several grains.
const STRETCH: u64 = 4 << 20;

/// What inflating takes, kept for the next read.
struct Kit {
    decompressor: Decompressor,
    packed: Vec<u8>,
}

/// An extent and a place in its file, and the grain that is there.
type Whole = ((usize, u64), Arc<Vec<u8>>);

/// What the extents of a disk keep together, however many they are.
#[derive(Default)]
pub(super) struct Store {
    // One for each thread that has read at the same time as others.
    kits: Mutex<Vec<Kit>>,
    // The last used last.
    kept: Mutex<VecDeque<Whole>>,
}

/// Inflates the grains of one extent, on any thread.
pub(super) struct Inflated {
    grain: usize,
    extent: usize,
    store: Arc<Store>,
}

/// The grains of one read.
pub(super) struct Batch<'a> {
    owner: &'a Inflated,
    file: &'a dyn Source,
    packing: Packing,
    places: std::vec::IntoIter<u64>,
    // What of the file `kit.packed` holds.
    start: u64,
    kit: Option<Kit>,
}

impl Inflated {
    /// For grains of `grain` bytes of the extent with this number.
    pub(super) fn new(grain: u64, extent: usize, store: Arc<Store>) -> Self {
        Inflated { grain: grain as usize, extent, store }
    }

    /// The grains at these places of `file`, to be taken one by one.
    pub(super) fn batch<'a>(&'a self, file: &'a dyn Source, places: Vec<u64>, packing: Packing) -> Result<Batch<'a>> {
        let kit = self.store.kits.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut kit = kit.unwrap_or_else(|| Kit { decompressor: Decompressor::new(), packed: Vec::new() });
        kit.packed.clear();
        let start = places.first().copied().unwrap_or(0);
        // Streams are written in order: then one read does.
        if let Some(last) = places.last().filter(|_| places.len() > 1)
            && places.is_sorted()
            && last - start < STRETCH
        {
            let end = (last + self.likely()).min(file.len());
            kit.packed.resize((end - start) as usize, 0);
            file.read_at(&mut kit.packed, start)?;
        }
        Ok(Batch { owner: self, file, packing, places: places.into_iter(), start, kit: Some(kit) })
    }

    /// Bytes that a grain may take in the file, with what stands before it: as much as qemu reads of it.
    fn longest(&self) -> u64 {
        2 * self.grain as u64 + SECTOR
    }

    /// Bytes that no grain of a good encoder is longer than.
    fn likely(&self) -> u64 {
        (self.grain + self.grain / 64) as u64 + 2 * SECTOR
    }

    fn kept(&self, at: u64) -> Option<Arc<Vec<u8>>> {
        let mut kept = self.store.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().position(|(place, _)| *place == (self.extent, at)).and_then(|i| kept.remove(i))?;
        let bytes = Arc::clone(&found.1);
        kept.push_back(found);
        Some(bytes)
    }

    fn keep(&self, at: u64, bytes: Arc<Vec<u8>>) {
        let mut kept = self.store.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(((self.extent, at), bytes));
        // Grains of several extents may differ in length.
        while kept.len() > 1 && kept.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > KEPT {
            kept.pop_front();
        }
    }
}

impl Batch<'_> {
    /// Puts the bytes of the next grain from `inside` on into `part`. On the disk the grain begins at `offset` and has `len` bytes.
    pub(super) fn next(&mut self, part: &mut [u8], inside: usize, len: usize, offset: u64) -> Result<()> {
        let at = self.places.next().ok_or_else(|| Error::corrupt("a grain without a place"))?;
        if inside == 0 && part.len() == self.owner.grain {
            return self.inflate(at, part, len, offset);
        }
        let whole = match self.owner.kept(at) {
            Some(whole) => whole,
            None => {
                let mut bytes = vec![0; self.owner.grain];
                self.inflate(at, &mut bytes, len, offset)?;
                let bytes = Arc::new(bytes);
                self.owner.keep(at, Arc::clone(&bytes));
                bytes
            }
        };
        part.copy_from_slice(&whole[inside..inside + part.len()]);
        Ok(())
    }

    /// Inflates the grain at `at` into `out`, which has room for a whole grain; at least `len` bytes have to come.
    fn inflate(&mut self, at: u64, out: &mut [u8], len: usize, offset: u64) -> Result<()> {
        let Some(kit) = &mut self.kit else { return Err(Error::corrupt("a batch that has ended")) };
        let beyond = || Error::corrupt("a compressed grain leaves the file: it was cut off").at(at);
        let head_len = match self.packing {
            Packing::Marked => GrainMarker::LEN,
            Packing::Bare | Packing::Plain => 4,
        };
        let have = |kit: &Kit, start: u64, to: u64| at >= start && to <= start + kit.packed.len() as u64;
        if !have(kit, self.start, at + head_len as u64) {
            let end = (at + self.owner.likely()).min(self.file.len());
            kit.packed.resize(end.checked_sub(at).ok_or_else(beyond)? as usize, 0);
            self.file.read_at(&mut kit.packed, at)?;
            self.start = at;
        }
        let head = kit.packed.get((at - self.start) as usize..).unwrap_or_default();
        let size = match self.packing {
            Packing::Marked => {
                let marker = GrainMarker::read_from_prefix(head).map_err(|_| beyond())?.0;
                if marker.lba.get() != offset / SECTOR {
                    let what = format!(
                        "the grain of sector {} is said to be here, but its marker is that of sector {}",
                        offset / SECTOR,
                        marker.lba.get()
                    );
                    return Err(Error::corrupt(what).at(at));
                }
                marker.size.get()
            }
            Packing::Bare | Packing::Plain => u32::from_le_bytes(*head.first_chunk().ok_or_else(beyond)?),
        };
        let end = at + head_len as u64 + u64::from(size);
        if end - at > self.owner.longest() {
            return Err(
                Error::corrupt(format!("a compressed grain of {size} bytes, more than deflate can need")).at(at)
            );
        }
        if end > self.file.len() {
            return Err(beyond());
        }
        if !have(kit, self.start, end) {
            kit.packed.resize((end - at) as usize, 0);
            self.file.read_at(&mut kit.packed, at)?;
            self.start = at;
        }
        let from = (at - self.start) as usize + head_len;
        let packed = &kit.packed[from..from + size as usize];
        let done = kit
            .decompressor
            .zlib(packed, out)
            .map_err(|e| Error::corrupt("a compressed grain cannot be inflated").because(e).at(at))?;
        if done.written < len {
            let what = format!("a compressed grain holds {} bytes, not {len}", done.written);
            return Err(Error::corrupt(what).at(at));
        }
        out[done.written..].fill(0);
        Ok(())
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if let Some(kit) = self.kit.take() {
            self.owner.store.kits.lock().unwrap_or_else(PoisonError::into_inner).push(kit);
        }
    }
}
