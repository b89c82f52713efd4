//! Images whose numbers are not what the program that made them wrote.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The order of bytes in a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The lowest first.
    Little,
    /// The highest first.
    Big,
}

/// The bytes of an image, to be changed.
#[derive(Clone, Debug)]
pub struct Forged {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The order of bytes in its numbers.
    pub order: Order,
    /// Its length, where more of it than `bytes` is a hole.
    pub len: u64,
}

impl Forged {
    /// What lies at `path`.
    #[track_caller]
    pub fn read(path: &Path, order: Order) -> Self {
        Forged::new(crate::read(path), order)
    }

    /// These bytes.
    pub fn new(bytes: Vec<u8>, order: Order) -> Self {
        let len = bytes.len() as u64;
        Forged { bytes, order, len }
    }

    /// The number of `width` bytes at `at`.
    #[track_caller]
    pub fn get(&self, at: usize, width: usize) -> u64 {
        let field = self.bytes[at..at + width].iter();
        let join = |n: u64, b: &u8| n << 8 | u64::from(*b);
        match self.order {
            Order::Big => field.fold(0, join),
            Order::Little => field.rev().fold(0, join),
        }
    }

    /// The bytes of a number of `width` bytes.
    pub fn encoded(&self, width: usize, value: u64) -> Vec<u8> {
        match self.order {
            Order::Big => value.to_be_bytes()[8 - width..].to_vec(),
            Order::Little => value.to_le_bytes()[..width].to_vec(),
        }
    }

    /// Puts a number of `width` bytes at `at`; the image becomes longer where that is needed.
    pub fn put(&mut self, at: usize, width: usize, value: u64) -> &mut Self {
        let bytes = self.encoded(width, value);
        self.put_bytes(at, &bytes)
    }

    /// Puts `bytes` at `at`.
    pub fn put_bytes(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        let end = at + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
            self.len = self.len.max(end as u64);
        }
        self.bytes[at..end].copy_from_slice(bytes);
        self
    }

    /// Makes it `len` bytes long, with a hole behind what is there.
    pub fn sparse(&mut self, len: u64) -> &mut Self {
        self.len = len;
        self
    }

    /// Writes it to `path`.
    #[track_caller]
    pub fn write(&self, path: &Path) {
        let file = File::create(path).expect("the scratch folder can be written");
        let there = self.bytes.len().min(self.len as usize);
        file.write_all_at(&self.bytes[..there], 0).expect("the scratch folder can be written");
        file.set_len(self.len).expect("the file system takes a file of this length");
    }
}

/// CRC-32C, as the book has it.
pub fn crc32c(bytes: impl IntoIterator<Item = u8>) -> u32 {
    !bytes.into_iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| sum >> 1 ^ (0x82F6_3B78 & (sum & 1).wrapping_neg()))
    })
}
