//! LUKS version 1: the header, and the key behind a passphrase.
//!
//! The specification is "LUKS On-Disk Format Specification", version 1.2.3, of the cryptsetup project.

use super::sectors::{Iv, Mode, SECTOR, SectorCipher};
use crate::error::{Error, Result};
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use std::ops::Range;

/// Bytes of the header without key material.
pub const HEADER: usize = 592;
const MAGIC: [u8; 6] = *b"LUKS\xba\xbe";
const SLOTS: usize = 8;
const ENABLED: u32 = 0x00ac_71f3;
/// Most rounds of one derivation: more than ten times what programs choose on fast machines.
const ROUNDS: u32 = 100_000_000;
/// Most stripes that a key is spread over; programs use 4000.
const STRIPES: u32 = 16_384;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

impl Hash {
    fn derive(self, secret: &[u8], salt: &[u8], rounds: u32, key: &mut [u8]) {
        match self {
            Hash::Sha1 => pbkdf2_hmac::<Sha1>(secret, salt, rounds, key),
            Hash::Sha256 => pbkdf2_hmac::<Sha256>(secret, salt, rounds, key),
            Hash::Sha512 => pbkdf2_hmac::<Sha512>(secret, salt, rounds, key),
        }
    }

    fn len(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
            Hash::Sha512 => 64,
        }
    }

    /// Replaces `bytes` by as many bytes of their hash.
    fn digest(self, number: u32, bytes: &mut [u8]) {
        let number = number.to_be_bytes();
        let digest = match self {
            Hash::Sha1 => Sha1::new().chain_update(number).chain_update(&*bytes).finalize().to_vec(),
            Hash::Sha256 => Sha256::new().chain_update(number).chain_update(&*bytes).finalize().to_vec(),
            Hash::Sha512 => Sha512::new().chain_update(number).chain_update(&*bytes).finalize().to_vec(),
        };
        bytes.copy_from_slice(&digest[..bytes.len()]);
    }
}

/// One of the places where the key lies, behind a passphrase of its own.
#[derive(Clone, Debug)]
pub struct Slot {
    rounds: u32,
    salt: [u8; 32],
    stripes: u32,
    /// Where its key material lies, counted from the start of the header.
    pub material: Range<u64>,
}

/// A header that was read.
#[derive(Clone, Debug)]
pub struct Header {
    mode: Mode,
    hash: Hash,
    key_len: usize,
    digest: [u8; 20],
    salt: [u8; 32],
    rounds: u32,
    /// Where the encrypted bytes begin, counted from the start of the header.
    pub payload: u64,
    /// The slots that are in use.
    pub slots: Vec<Slot>,
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |n, b| n << 8 | u32::from(*b))
}

fn word(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes.split(|b| *b == 0).next().unwrap_or_default()).unwrap_or("?")
}

fn array<const N: usize>(bytes: &[u8; HEADER], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("every field lies inside the header")
}

impl Header {
    /// Reads the header; [`Error::Unsupported`] for ciphers and hashes other than AES and SHA, and for version 2.
    pub fn parse(bytes: &[u8; HEADER]) -> Result<Self> {
        if bytes[..6] != MAGIC {
            return Err(Error::corrupt("LUKS: not a header"));
        }
        if bytes[6..8] != [0, 1] {
            return Err(Error::unsupported("LUKS: a version other than 1"));
        }
        let unknown =
            |what: &str, word: &str| Error::Unsupported(format!("LUKS: {what} {}", word.escape_debug()).into());
        let (cipher, mode, hash) = (word(&bytes[8..40]), word(&bytes[40..72]), word(&bytes[72..104]));
        if cipher != "aes" {
            return Err(unknown("the cipher", cipher));
        }
        let mode = match mode {
            "xts-plain64" => Mode::Xts,
            "cbc-plain" => Mode::Cbc(Iv::Plain),
            "cbc-plain64" => Mode::Cbc(Iv::Plain64),
            "cbc-essiv:sha256" => Mode::Cbc(Iv::Essiv),
            other => return Err(unknown("the mode", other)),
        };
        let hash = match hash {
            "sha1" => Hash::Sha1,
            "sha256" => Hash::Sha256,
            "sha512" => Hash::Sha512,
            other => return Err(unknown("the hash", other)),
        };
        let key_len = be32(bytes, 108) as usize;
        if !matches!((key_len, mode), (32 | 64, Mode::Xts) | (16 | 32, Mode::Cbc(_))) {
            return Err(Error::unsupported("LUKS: a key of a length that AES does not have"));
        }
        let mut header = Header {
            mode,
            hash,
            key_len,
            digest: array(bytes, 112),
            salt: array(bytes, 132),
            rounds: be32(bytes, 164),
            payload: u64::from(be32(bytes, 104)) * SECTOR as u64,
            slots: Vec::new(),
        };
        let bounded = |rounds: u32| match (1..=ROUNDS).contains(&rounds) {
            true => Ok(()),
            false => Err(Error::Unsupported(format!("LUKS: {rounds} rounds of the hash").into())),
        };
        bounded(header.rounds)?;
        for slot in (0..SLOTS).map(|i| 208 + i * 48).filter(|at| be32(bytes, *at) == ENABLED) {
            let (rounds, stripes) = (be32(bytes, slot + 4), be32(bytes, slot + 44));
            bounded(rounds)?;
            if !(1..=STRIPES).contains(&stripes) {
                return Err(Error::corrupt("LUKS: a key in too many stripes"));
            }
            let start = u64::from(be32(bytes, slot + 40)) * SECTOR as u64;
            let len = u64::from(stripes) * key_len as u64;
            header.slots.push(Slot { rounds, salt: array(bytes, slot + 8), stripes, material: start..start + len });
        }
        Ok(header)
    }

    /// The cipher behind `slot`, whose key material is given, if `passphrase` is that of the slot. Takes as long as whoever made
    /// the slot wanted, often a second.
    pub fn unlock(&self, slot: &Slot, passphrase: &[u8], mut material: Vec<u8>) -> Result<Option<SectorCipher>> {
        let mut key = vec![0; self.key_len];
        self.hash.derive(passphrase, &slot.salt, slot.rounds, &mut key);
        let len = slot.stripes as usize * self.key_len;
        if material.len() < len {
            return Err(Error::Truncated);
        }
        // It was encrypted in whole sectors.
        material.resize(len.next_multiple_of(SECTOR), 0);
        SectorCipher::aes(&key, self.mode)?.decrypt(&mut material, 0);
        let mut master = vec![0; self.key_len];
        for (i, stripe) in material[..len].chunks_exact(self.key_len).enumerate() {
            master.iter_mut().zip(stripe).for_each(|(byte, other)| *byte ^= other);
            if i + 1 < slot.stripes as usize {
                for (number, part) in master.chunks_mut(self.hash.len()).enumerate() {
                    self.hash.digest(number as u32, part);
                }
            }
        }
        let mut digest = [0; 20];
        self.hash.derive(&master, &self.salt, self.rounds, &mut digest);
        if digest != self.digest {
            return Ok(None);
        }
        SectorCipher::aes(&master, self.mode).map(Some)
    }
}
