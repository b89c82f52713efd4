//! BLAKE3 in parts that may be hashed anywhere and in any order, and put together in order.

use super::Part;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// Bytes of a part: a whole subtree wherever it lies.
pub(super) const PART: usize = 1 << 20;

/// A running digest.
#[derive(Clone)]
pub(super) struct Tree {
    // Complete subtrees, largest first; their sizes in parts are the bits of `parts`.
    subtrees: Vec<ChainingValue>,
    parts: u64,
    // The part that is being filled. It is closed only once more bytes come: the last one of all ends the tree otherwise.
    last: blake3::Hasher,
    filled: usize,
}

/// A hasher of what begins at `offset`.
pub(super) fn at(offset: u64) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset);
    hasher
}

impl Tree {
    pub fn new() -> Self {
        Tree { subtrees: Vec::new(), parts: 0, last: blake3::Hasher::new(), filled: 0 }
    }

    pub fn len(&self) -> u64 {
        self.parts * PART as u64 + self.filled as u64
    }

    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.filled == PART {
                self.close();
            }
            let (now, rest) = bytes.split_at(bytes.len().min(PART - self.filled));
            self.last.update(now);
            self.filled += now.len();
            bytes = rest;
        }
    }

    pub fn append(&mut self, part: &Part) {
        assert_eq!((self.len(), PART), (part.offset, part.len), "whole parts are put together in order");
        if self.filled == PART {
            self.close();
        }
        self.last = (*part.state).clone();
        self.filled = PART;
    }

    fn close(&mut self) {
        let mut whole = self.last.finalize_non_root();
        self.parts += 1;
        let mut size = self.parts;
        while size.is_multiple_of(2) {
            let left = self.subtrees.pop().expect("an even number of parts has a left half");
            whole = merge_subtrees_non_root(&left, &whole, Mode::Hash);
            size /= 2;
        }
        self.subtrees.push(whole);
        self.last = at(self.parts * PART as u64);
        self.filled = 0;
    }

    pub fn finish(mut self) -> blake3::Hash {
        if self.subtrees.is_empty() {
            return self.last.finalize();
        }
        let mut right = self.last.finalize_non_root();
        loop {
            let left = self.subtrees.pop().expect("the root was not reached yet");
            if self.subtrees.is_empty() {
                return merge_subtrees_root(&left, &right, Mode::Hash);
            }
            right = merge_subtrees_non_root(&left, &right, Mode::Hash);
        }
    }
}
