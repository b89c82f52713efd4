//! The room of an image that is being written: which block lies in which slot of the file.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tintype_core::{Coded, Encoder, Error, Extent, File, Result};

/// Blocks whose slots are kept in one piece of memory.
const PAGE: u64 = 4096;
/// Most blocks of an image.
const MOST: u64 = u32::MAX as u64 - 1;

/// Which slot a block gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// The next one that is free, when its first byte that is no zero comes.
    ByNeed,
    /// The one with its own number: nothing is left out.
    InOrder,
}

/// How slots lie in the file.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    /// Offset of the first slot.
    pub(crate) base: u64,
    /// Bytes from one slot to the next, at least those of a block and what leads it.
    pub(crate) stride: u64,
    /// What stands at the start of each slot, before the bytes of the block.
    pub(crate) lead: Vec<u8>,
    /// Which block gets which.
    pub(crate) placement: Placement,
}

/// The blocks of an image in a new file, which reads as zeros where nothing was written. Shared by the workers.
pub(crate) struct Space {
    file: Arc<dyn File>,
    name: String,
    slots: Slots,
    block: u64,
    blocks: u64,
    // Slot + 1 by block; a page is made when its first block is claimed.
    pages: Vec<OnceLock<Box<[AtomicU32]>>>,
    used: Mutex<u32>,
}

impl Space {
    /// Room for `len` bytes in blocks of `block` bytes (at least 1) in `file`, which is called `name`. `Unsupported` for more than
    /// 2^32 - 2 blocks.
    pub(crate) fn new(file: Arc<dyn File>, name: &str, len: u64, block: u64, slots: Slots) -> Result<Arc<Self>> {
        let blocks = len.div_ceil(block);
        if blocks > MOST {
            return Err(Error::unsupported(format!("{blocks} blocks are more than {MOST}; take larger blocks")));
        }
        let pages = match slots.placement {
            Placement::ByNeed => (0..blocks.div_ceil(PAGE)).map(|_| OnceLock::new()).collect(),
            Placement::InOrder => Vec::new(),
        };
        Ok(Arc::new(Space { file, name: name.to_owned(), slots, block, blocks, pages, used: Mutex::default() }))
    }

    /// The file.
    pub(crate) fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many blocks there are.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// How many slots are taken.
    pub(crate) fn used(&self) -> u64 {
        match self.slots.placement {
            Placement::InOrder => self.blocks,
            Placement::ByNeed => u64::from(*self.used.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// The first byte after the last slot that is taken.
    pub(crate) fn end(&self) -> u64 {
        self.slots.base + self.used() * self.slots.stride
    }

    /// Where slot `slot` begins in the file.
    pub(crate) fn place(&self, slot: u64) -> u64 {
        self.slots.base + slot * self.slots.stride
    }

    /// The slot of a block, if it has one.
    pub(crate) fn slot(&self, block: u64) -> Option<u64> {
        match self.slots.placement {
            Placement::InOrder => (block < self.blocks).then_some(block),
            Placement::ByNeed => {
                let page = self.pages.get((block / PAGE) as usize)?.get()?;
                u64::from(page[(block % PAGE) as usize].load(Ordering::Acquire)).checked_sub(1)
            }
        }
    }

    /// All blocks in pages, and whether none of a page's has a slot.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (std::ops::Range<u64>, bool)> {
        let pages = (0..self.blocks).step_by(PAGE as usize);
        pages.map(|from| (from..(from + PAGE).min(self.blocks), self.is_bare(from)))
    }

    /// Whether none of the blocks from `block` to the end of its page, which has 4096 of them, has a slot.
    pub(super) fn is_bare(&self, block: u64) -> bool {
        self.slots.placement == Placement::ByNeed
            && self.pages.get((block / PAGE) as usize).is_none_or(|page| page.get().is_none())
    }

    /// The slot of a block, which it gets now if it had none.
    fn claim(&self, block: u64) -> Result<u64> {
        if let Some(slot) = self.slot(block) {
            return Ok(slot);
        }
        let page = self.pages.get((block / PAGE) as usize);
        let page = page.ok_or_else(|| Error::usage(format!("block {block} lies beyond the end of the image")))?;
        let page = page.get_or_init(|| (0..PAGE).map(|_| AtomicU32::new(0)).collect());
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have been faster.
        if let Some(slot) = self.slot(block) {
            return Ok(slot);
        }
        let slot = u64::from(*used);
        if !self.slots.lead.is_empty() {
            self.file.write_at(&self.slots.lead, self.place(slot))?;
        }
        *used += 1;
        page[(block % PAGE) as usize].store(*used, Ordering::Release);
        Ok(slot)
    }

    /// Writes `bytes`, which lie at `offset` of the disk.
    fn write(&self, mut bytes: &[u8], mut offset: u64) -> Result<()> {
        while !bytes.is_empty() {
            let (block, inside) = (offset / self.block, offset % self.block);
            let slot = self.claim(block)?;
            let mut len = (self.block - inside).min(bytes.len() as u64);
            // Blocks that lie side by side are written together.
            if self.slots.stride == self.block {
                let mut next = 1;
                while len < bytes.len() as u64 && self.claim(block + next)? == slot + next {
                    len = (len + self.block).min(bytes.len() as u64);
                    next += 1;
                }
            }
            let at = self.place(slot) + self.slots.lead.len() as u64 + inside;
            let (now, later) = bytes.split_at(len as usize);
            self.file.write_at(now, at)?;
            self.file.write_soon(at, len);
            bytes = later;
            offset += len;
        }
        Ok(())
    }

    /// A new encoder, which writes what is data in place.
    pub(crate) fn encoder(self: &Arc<Self>) -> Box<dyn Encoder> {
        Box::new(InPlace(Arc::clone(self)))
    }
}

struct InPlace(Arc<Space>);

impl Encoder for InPlace {
    fn encode(&mut self, plain: &[u8], offset: u64, marks: &[Extent], _out: &mut Coded) -> Result<()> {
        let end = offset + plain.len() as u64;
        let mut at = offset;
        let last = Extent::new(end, 0, tintype_core::State::Zero);
        for mark in marks.iter().filter(|m| m.state.reads_zero()).chain([&last]) {
            if at < mark.offset {
                self.0.write(&plain[(at - offset) as usize..(mark.offset - offset) as usize], at)?;
            }
            at = mark.end();
        }
        Ok(())
    }
}
