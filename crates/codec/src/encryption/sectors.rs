//! AES over sectors of 512 bytes.

use crate::error::{Error, Result};
use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit, consts::U16};
use aes::{Aes128, Aes256};
use sha2::{Digest, Sha256};

/// Bytes of a sector; numbers of sectors are what ciphertext depends on.
pub const SECTOR: usize = 512;
const BLOCK: usize = 16;
type Block = Array<u8, U16>;

/// How blocks are chained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Cipher block chaining.
    Cbc(Iv),
    /// XEX with ciphertext stealing, of which whole sectors need none; the number of the sector is the tweak.
    Xts,
}

/// What the first block of a sector is chained to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Iv {
    /// The lower 32 bits of the sector's number.
    Plain,
    /// Its 64 bits.
    Plain64,
    /// The same, encrypted with the SHA-256 of the key.
    Essiv,
}

enum Key {
    Short(Box<Aes128>),
    Long(Box<Aes256>),
}

impl Key {
    fn new(key: &[u8]) -> Result<Self> {
        let wrong = |_| Error::unsupported("encryption: a key that is no key of AES");
        match key.len() {
            16 => Aes128::new_from_slice(key).map(|key| Key::Short(Box::new(key))).map_err(wrong),
            _ => Aes256::new_from_slice(key).map(|key| Key::Long(Box::new(key))).map_err(wrong),
        }
    }

    fn decrypt(&self, blocks: &mut [Block]) {
        match self {
            Key::Short(key) => key.decrypt_blocks(blocks),
            Key::Long(key) => key.decrypt_blocks(blocks),
        }
    }

    fn encrypt(&self, block: &mut Block) {
        match self {
            Key::Short(key) => key.encrypt_block(block),
            Key::Long(key) => key.encrypt_block(block),
        }
    }
}

/// Decrypts sectors. May be used by several threads at once.
pub struct SectorCipher {
    key: Key,
    /// Encrypts tweaks and initial values, where there is such a key.
    second: Option<Key>,
    mode: Mode,
}

impl SectorCipher {
    /// AES with a key of 16 or 32 bytes, for XTS of twice as many.
    pub fn aes(key: &[u8], mode: Mode) -> Result<Self> {
        let (first, second) = match mode {
            Mode::Xts if key.len().is_multiple_of(2) => {
                let (first, second) = key.split_at(key.len() / 2);
                (first, Some(Key::new(second)?))
            }
            Mode::Xts => return Err(Error::unsupported("encryption: a key that has no halves")),
            Mode::Cbc(Iv::Essiv) => (key, Some(Key::new(&Sha256::digest(key))?)),
            Mode::Cbc(_) => (key, None),
        };
        Ok(SectorCipher { key: Key::new(first)?, second, mode })
    }

    /// The cipher of old QCOW and QCOW2 images: the passphrase itself, cut or filled with zeros to 16 bytes, is the key.
    pub fn qcow(passphrase: &[u8]) -> Result<Self> {
        let mut key = [0; 16];
        let len = passphrase.len().min(16);
        key[..len].copy_from_slice(&passphrase[..len]);
        Self::aes(&key, Mode::Cbc(Iv::Plain64))
    }

    /// Decrypts whole sectors in place, the first of which has the number `first`. A rest that is no sector is left as it is.
    pub fn decrypt(&self, sectors: &mut [u8], first: u64) {
        for (number, sector) in (first..).zip(sectors.as_chunks_mut::<SECTOR>().0) {
            let (blocks, _) = Array::slice_as_chunks_mut(sector);
            match self.mode {
                Mode::Cbc(iv) => self.cbc(blocks, number, iv),
                Mode::Xts => self.xts(blocks, number),
            }
        }
    }

    fn initial(&self, number: u64, encrypted: bool) -> Block {
        let mut initial = Block::default();
        initial[..8].copy_from_slice(&number.to_le_bytes());
        if let (true, Some(key)) = (encrypted, &self.second) {
            key.encrypt(&mut initial);
        }
        initial
    }

    fn cbc(&self, blocks: &mut [Block], number: u64, iv: Iv) {
        let mut before = match iv {
            Iv::Plain => self.initial(number & u64::from(u32::MAX), false),
            Iv::Plain64 => self.initial(number, false),
            Iv::Essiv => self.initial(number, true),
        };
        let mut chained = [Block::default(); SECTOR / BLOCK];
        for (chained, block) in chained.iter_mut().zip(blocks.iter()) {
            *chained = before;
            before = *block;
        }
        self.key.decrypt(blocks);
        for (block, chained) in blocks.iter_mut().zip(&chained) {
            mix(block, chained);
        }
    }

    fn xts(&self, blocks: &mut [Block], number: u64) {
        let mut tweak = u128::from_le_bytes(self.initial(number, true).into());
        let mut tweaks = [Block::default(); SECTOR / BLOCK];
        for (block, kept) in blocks.iter_mut().zip(&mut tweaks) {
            *kept = tweak.to_le_bytes().into();
            mix(block, kept);
            // Multiplied by x modulo x^128 + x^7 + x^2 + x + 1.
            tweak = (tweak << 1) ^ ((tweak >> 127) * 0x87);
        }
        self.key.decrypt(blocks);
        for (block, tweak) in blocks.iter_mut().zip(&tweaks) {
            mix(block, tweak);
        }
    }
}

fn mix(block: &mut Block, with: &Block) {
    for (byte, other) in block.iter_mut().zip(with) {
        *byte ^= other;
    }
}
