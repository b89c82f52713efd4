//! Files made of blocks that can be decoded on their own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tintype_core::{Error, Result, Shape, Source, in_range};

/// Larger blocks are not decoded whole.
pub(crate) const LARGEST_BLOCK: u64 = 32 << 20;
/// Bytes of decoded blocks that are kept.
const CACHE: u64 = 32 << 20;
/// Decoded blocks that are kept, at most and at least.
const CACHED: usize = 64;
const LEAST_CACHED: usize = 2;
/// Whoever finds a block of this size being decoded by somebody else decodes the one after it in the meantime.
const WORTH_READING_AHEAD: u64 = 256 << 10;

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub in_offset: u64,
    pub in_len: u64,
    pub out_offset: u64,
    /// Bytes of content, at least 1 and at most [`LARGEST_BLOCK`].
    pub len: u64,
}

/// Which blocks there are, and how one is decoded.
pub(crate) trait Layout: Send + Sync {
    /// Bytes of content in all.
    fn len(&self) -> u64;

    /// The block that holds the byte at `offset`, which is less than `len`.
    fn find(&self, offset: u64) -> Result<Block>;

    /// Decodes a block into `out`, which has exactly its length, and verifies what checksums it has.
    fn decode(&self, block: &Block, out: &mut [u8]) -> Result<()>;

    /// Bytes that are best read at once.
    fn unit(&self) -> u32;
}

type Slot = Arc<Mutex<Option<Result<Vec<u8>>>>>;

/// The content of all blocks.
pub(crate) struct Blocks<L> {
    layout: L,
    name: String,
    // By offset of the content; the one used last at the end.
    cache: Mutex<VecDeque<(Block, Slot)>>,
}

impl<L: Layout> Blocks<L> {
    /// `name` is the file that errors are about.
    pub fn new(layout: L, name: &str) -> Self {
        Blocks { layout, name: name.to_owned(), cache: Mutex::new(VecDeque::new()) }
    }

    fn find(&self, offset: u64) -> Result<Block> {
        let block = self.layout.find(offset).map_err(|e| e.at(offset))?;
        let covers = block.out_offset <= offset && offset - block.out_offset < block.len;
        if !covers || block.len > LARGEST_BLOCK {
            return Err(Error::corrupt("the index leads to a block that does not hold what it should").at(offset));
        }
        Ok(block)
    }

    fn cached(&self, block: &Block) -> Option<Slot> {
        let mut cache = lock(&self.cache);
        let at = cache.iter().position(|(b, _)| b.out_offset == block.out_offset)?;
        let entry = cache.remove(at)?;
        let slot = Arc::clone(&entry.1);
        cache.push_back(entry);
        Some(slot)
    }

    fn slot(&self, block: &Block) -> Slot {
        if let Some(slot) = self.cached(block) {
            return slot;
        }
        let mut cache = lock(&self.cache);
        if let Some((_, slot)) = cache.iter().find(|(b, _)| b.out_offset == block.out_offset) {
            return Arc::clone(slot);
        }
        let slot = Slot::default();
        cache.push_back((*block, Arc::clone(&slot)));
        let mut bytes: u64 = cache.iter().map(|(b, _)| b.len).sum();
        while (bytes > CACHE || cache.len() > CACHED) && cache.len() > LEAST_CACHED {
            bytes -= cache.pop_front().map_or(0, |(b, _)| b.len);
        }
        slot
    }

    fn fill(&self, block: &Block, kept: &mut Option<Result<Vec<u8>>>) {
        if kept.is_none() {
            let mut bytes = vec![0; block.len as usize];
            let result = self.layout.decode(block, &mut bytes).map_err(|e| e.at(block.out_offset));
            *kept = Some(result.map(|()| bytes));
        }
    }

    /// Copies from `offset`, which lies in `block`.
    fn copy(&self, block: &Block, offset: u64, out: &mut [u8]) -> Result<()> {
        let slot = self.slot(block);
        let mut kept = match slot.try_lock() {
            Ok(kept) => kept,
            Err(_) => {
                self.read_ahead(block);
                lock(&slot)
            }
        };
        self.fill(block, &mut kept);
        let from = (offset - block.out_offset) as usize;
        match &*kept {
            Some(Ok(bytes)) => {
                out.copy_from_slice(&bytes[from..from + out.len()]);
                Ok(())
            }
            // A range that fails is asked for again in pieces, and the block would fail each time.
            Some(Err(e)) if e.kind() == tintype_core::Kind::Corrupt => Err(Error::copy_of(e)),
            _ => match kept.take() {
                Some(Err(e)) => Err(e),
                _ => Err(Error::corrupt("the block was not decoded").at(offset)),
            },
        }
    }

    fn read(&self, mut buf: &mut [u8], mut offset: u64) -> Result<()> {
        while !buf.is_empty() {
            let block = self.find(offset)?;
            let n = (block.out_offset + block.len - offset).min(buf.len() as u64) as usize;
            let (now, later) = buf.split_at_mut(n);
            if n as u64 == block.len && self.cached(&block).is_none() {
                self.layout.decode(&block, now).map_err(|e| e.at(block.out_offset))?;
            } else {
                self.copy(&block, offset, now)?;
            }
            buf = later;
            offset += n as u64;
        }
        Ok(())
    }

    fn read_ahead(&self, block: &Block) {
        let next = block.out_offset + block.len;
        if block.len < WORTH_READING_AHEAD || next >= self.layout.len() {
            return;
        }
        // What fails here fails again, and is told, when it is asked for.
        if let Ok(next) = self.find(next) {
            let slot = self.slot(&next);
            if let Ok(mut kept) = slot.try_lock() {
                self.fill(&next, &mut kept);
            }
        }
    }
}

impl<L: Layout> Source for Blocks<L> {
    fn len(&self) -> u64 {
        self.layout.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len(), offset, buf.len() as u64)?;
        self.read(buf, offset).map_err(|e| e.in_path(&self.name))
    }

    fn shape(&self) -> Shape {
        Shape { unit: self.layout.unit(), ..Shape::default() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
