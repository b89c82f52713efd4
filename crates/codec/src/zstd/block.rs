//! Compressed blocks (RFC 8878, 3.1.1.3).

use super::bits::PAD;
use super::history::{BLOCK, Output, STEP};
use super::huffman::Huffman;
use super::sequences::Sequences;
use crate::error::{Error, Result};

/// What one block leaves for the next, and room to work.
pub(crate) struct Blocks {
    huffman: Huffman,
    sequences: Sequences,
    /// The block, with room around it for words that are loaded whole.
    packed: Vec<u8>,
    literals: Vec<u8>,
}

/// Where the literals of a block are, and where in the block they end.
struct Literals {
    place: Place,
    count: usize,
    end: usize,
}

enum Place {
    /// In the block itself.
    Block(usize),
    /// In the buffer for literals.
    Buffer,
}

fn wrong() -> Error {
    Error::corrupt("zstd: the literals of a block do not fit")
}

impl Blocks {
    pub fn new() -> Self {
        Blocks {
            huffman: Huffman::new(),
            sequences: Sequences::new(),
            packed: Vec::new(),
            literals: vec![0; BLOCK + STEP],
        }
    }

    /// Forgets the frame before.
    pub fn restart(&mut self) {
        self.huffman.forget();
        self.sequences.restart();
    }

    /// Appends what [`load`](Self::load) needs.
    pub fn save(&self, to: &mut Vec<u8>) {
        let description = self.huffman.description();
        to.push(description.len() as u8);
        to.extend_from_slice(description);
        self.sequences.save(to);
    }

    /// Takes what [`save`](Self::save) appended from the start of `src`.
    pub fn load(&mut self, src: &mut &[u8]) -> Option<()> {
        self.restart();
        let len = usize::from(*src.split_off_first()?);
        let description = src.split_off(..len)?;
        if len > 0 {
            self.set_packed(description);
            (self.huffman.parse(&self.packed, PAD, PAD + len).ok()? == len).then_some(())?;
        }
        self.sequences.load(src)
    }

    fn set_packed(&mut self, block: &[u8]) {
        self.packed.clear();
        self.packed.resize(PAD, 0);
        self.packed.extend_from_slice(block);
        self.packed.resize(self.packed.len() + STEP, 0);
    }

    /// Decodes a block.
    pub fn decode(&mut self, block: &[u8], out: &mut Output<'_>) -> Result<()> {
        self.set_packed(block);
        let end = PAD + block.len();
        let found = self.literals(end, out.room())?;
        let literals = match found.place {
            Place::Block(at) => &self.packed[at..],
            Place::Buffer => &self.literals[..],
        };
        self.sequences.run(&self.packed, found.end, end, literals, found.count, out)
    }

    /// Decodes the literals of the block, which has `end - PAD` bytes, unless they are as they are.
    fn literals(&mut self, end: usize, most: usize) -> Result<Literals> {
        let header = &self.packed[PAD..end];
        let number = |n: usize| -> Result<usize> {
            Ok(header.get(..n).ok_or_else(wrong)?.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b)))
        };
        let first = number(1)?;
        let (kind, size) = (first & 3, first >> 2 & 3);
        if kind < 2 {
            let (len, count) = match size {
                0 | 2 => (1, first >> 3),
                1 => (2, number(2)? >> 4),
                _ => (3, number(3)? >> 4),
            };
            let at = PAD + len;
            let stored = if kind == 0 { count } else { 1 };
            if count > most || stored > end - at {
                return Err(wrong());
            }
            if kind == 0 {
                return Ok(Literals { place: Place::Block(at), count, end: at + count });
            }
            self.literals[..count].fill(self.packed[at]);
            return Ok(Literals { place: Place::Buffer, count, end: at + 1 });
        }
        let (len, bits) = match size {
            0 | 1 => (3, 10),
            2 => (4, 14),
            _ => (5, 18),
        };
        let fields = number(len)? >> 4;
        let count = fields & ((1 << bits) - 1);
        let stored = fields >> bits;
        let mut at = PAD + len;
        if count == 0 || count > most || stored > end - at {
            return Err(wrong());
        }
        let end = at + stored;
        if kind == 2 {
            at += self.huffman.parse(&self.packed, at, end)?;
        } else if self.huffman.description().is_empty() {
            return Err(Error::corrupt("zstd: a Huffman table is missing"));
        }
        let out = &mut self.literals[..count];
        let decoded = match size {
            0 => self.huffman.one(&self.packed, at, end, out),
            _ => self.huffman.four(&self.packed, at, end, out),
        };
        decoded.map_err(|_| Error::corrupt("zstd: the literals do not end where they should"))?;
        Ok(Literals { place: Place::Buffer, count, end })
    }
}
