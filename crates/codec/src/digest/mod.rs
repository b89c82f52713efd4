//! Cryptographic digests: one hasher type over all algorithms a disk image may be sealed with.
//!
//! [`Hasher`] is fed from one thread; a program that wants several digests runs one thread per hasher. Snapshots of a running
//! hash are clones.

mod md5;
#[cfg(test)]
mod tests;
mod tree;

use crate::error::{Error, Result};
use sha1::Digest as _;
use std::fmt;
use std::str::FromStr;

/// A digest algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// MD5, RFC 1321: broken as a proof against malice, still what every E01 carries.
    Md5,
    /// SHA-1, FIPS 180-4.
    Sha1,
    /// SHA-256, FIPS 180-4.
    Sha256,
    /// SHA-512, FIPS 180-4.
    Sha512,
    /// BLAKE3 with 32 bytes of output.
    Blake3,
}

impl Algorithm {
    /// Every algorithm, weakest first.
    pub const ALL: [Self; 5] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512, Self::Blake3];

    /// The lower-case name used on the command line and in reports; [`FromStr`] reads it back.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Blake3 => "blake3",
        }
    }

    /// The length of its digest in bytes.
    pub const fn output_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 | Self::Blake3 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    /// Reads a name in any case, with or without a hyphen (`SHA-256`).
    fn from_str(s: &str) -> Result<Self> {
        let plain: String = s.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
        Self::ALL
            .into_iter()
            .find(|a| a.name() == plain)
            .ok_or_else(|| Error::Unsupported(format!("no digest is called {s:?}").into()))
    }
}

/// The result of a digest, at most 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    // Bytes past `len` are zero, so that the derived comparisons hold.
    bytes: [u8; 64],
    len: u8,
}

impl Digest {
    /// The digest with these bytes; `None` when there are more than 64.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut all = [0; 64];
        all.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self { bytes: all, len: bytes.len() as u8 })
    }

    /// The digest written as an even number of hexadecimal digits, in either case; `None` for anything else.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let hex = hex.as_bytes();
        if !hex.len().is_multiple_of(2) || hex.len() > 128 {
            return None;
        }
        let mut bytes = [0; 64];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = (high * 16 + low) as u8;
        }
        Some(Self { bytes, len: (hex.len() / 2) as u8 })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The bytes as lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.as_bytes()
            .iter()
            .flat_map(|b| [b >> 4, b & 15])
            .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
            .collect()
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// A running digest. A clone is a snapshot.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    // Two kilobytes of state: boxed to keep the others small.
    Blake3(Box<tree::Tree>),
}

/// A part of a digest, hashed apart from the rest: put together by [`Hasher::append`].
#[derive(Clone)]
pub struct Part {
    offset: u64,
    len: usize,
    state: Box<blake3::Hasher>,
}

impl Part {
    /// Length of every part, in bytes.
    pub const LEN: usize = tree::PART;

    /// The part that begins at `offset`, a multiple of [`Part::LEN`], before any of its bytes.
    pub fn new(offset: u64) -> Self {
        assert!(offset.is_multiple_of(Self::LEN as u64), "parts lie at multiples of their length");
        Part { offset, len: 0, state: Box::new(tree::at(offset)) }
    }

    /// Takes in its next bytes; at most [`Part::LEN`] in all.
    pub fn update(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        assert!(self.len <= Self::LEN, "a part has no more than {} bytes", Self::LEN);
        self.state.update(bytes);
    }

    /// True once it has all its bytes.
    pub fn is_whole(&self) -> bool {
        self.len == Self::LEN
    }
}

impl Hasher {
    /// A hasher that has seen nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Md5 => State::Md5(md5::Md5::new()),
            Algorithm::Sha1 => State::Sha1(sha1::Sha1::new()),
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
            Algorithm::Blake3 => State::Blake3(Box::new(tree::Tree::new())),
        })
    }

    /// The algorithm this hasher was made for.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            State::Md5(_) => Algorithm::Md5,
            State::Sha1(_) => Algorithm::Sha1,
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
            State::Blake3(_) => Algorithm::Blake3,
        }
    }

    /// Takes in the next bytes; where they are split makes no difference.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Md5(h) => h.update(bytes),
            State::Sha1(h) => h.update(bytes),
            State::Sha256(h) => h.update(bytes),
            State::Sha512(h) => h.update(bytes),
            State::Blake3(h) => h.update(bytes),
        }
    }

    /// Whether parts that were hashed elsewhere, at the same time, can be put together here.
    pub fn takes_parts(&self) -> bool {
        matches!(self.0, State::Blake3(_))
    }

    /// Takes in the bytes of a part that was hashed elsewhere; costs next to nothing.
    ///
    /// # Panics
    /// If the hasher takes none ([`takes_parts`](Self::takes_parts)), or has seen more or less than what lies before the part.
    pub fn append(&mut self, part: &Part) {
        match &mut self.0 {
            State::Blake3(h) => h.append(part),
            _ => panic!("{} cannot be put together from parts", self.algorithm()),
        }
    }

    /// The digest of everything taken in.
    pub fn finish(self) -> Digest {
        let digest = match self.0 {
            State::Md5(h) => Digest::from_bytes(&h.finish()),
            State::Sha1(h) => Digest::from_bytes(&h.finalize()),
            State::Sha256(h) => Digest::from_bytes(&h.finalize()),
            State::Sha512(h) => Digest::from_bytes(&h.finalize()),
            State::Blake3(h) => Digest::from_bytes(h.finish().as_bytes()),
        };
        digest.expect("no algorithm has more than 64 bytes of output")
    }
}

/// The digest of a whole buffer.
pub fn digest(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}
