//! The integrity checks of blocks.

use crate::checksum::{Crc32, Crc64};
use sha2::Digest as _;
use sha2::Sha256;
use sha2::digest::common::hazmat::SerializableState as _;

/// A kind of check, 0 to 15, as stream flags number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Check(pub(crate) u8);

impl Check {
    /// How many bytes it takes after a block.
    pub(crate) fn len(self) -> usize {
        match self.0 {
            0 => 0,
            1..=3 => 4,
            4..=6 => 8,
            7..=9 => 16,
            10..=12 => 32,
            _ => 64,
        }
    }

    /// Whether it is verified.
    pub(crate) fn is_known(self) -> bool {
        matches!(self.0, 1 | 4 | 10)
    }

    /// The check over `len` bytes that [`Running::pack`] gave; `None` for what cannot come from it.
    pub(crate) fn resume(self, packed: &[u8], len: u64) -> Option<Running> {
        Some(match self.0 {
            1 => Running::Crc32(Crc32::resume(u32::from_le_bytes(packed.try_into().ok()?))),
            4 => Running::Crc64(Crc64::resume(u64::from_le_bytes(packed.try_into().ok()?))),
            10 => {
                // The number of its blocks follows its 32 bytes of state; another one would be counted on into nowhere.
                let blocks = u64::from_le_bytes(*packed.get(32..)?.first_chunk()?);
                if blocks != len / 64 || len > i64::MAX as u64 / 16 {
                    return None;
                }
                Running::Sha256(Box::new(Sha256::deserialize(packed.try_into().ok()?).ok()?))
            }
            _ => packed.is_empty().then_some(Running::Unknown)?,
        })
    }

    pub(crate) fn start(self) -> Running {
        match self.0 {
            1 => Running::Crc32(Crc32::new()),
            4 => Running::Crc64(Crc64::new()),
            10 => Running::Sha256(Box::default()),
            // The specification keeps these numbers free; data can be read, only not be verified.
            _ => Running::Unknown,
        }
    }
}

/// A check being computed.
pub(crate) enum Running {
    Crc32(Crc32),
    Crc64(Crc64),
    Sha256(Box<Sha256>),
    Unknown,
}

impl Running {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(crc) => crc.update(bytes),
            Self::Crc64(crc) => crc.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Unknown => {}
        }
    }

    pub(crate) fn matches(&self, stored: &[u8]) -> bool {
        match self {
            Self::Crc32(crc) => stored == crc.value().to_le_bytes(),
            Self::Crc64(crc) => stored == crc.value().to_le_bytes(),
            Self::Sha256(hasher) => stored == Sha256::clone(hasher).finalize().as_slice(),
            Self::Unknown => true,
        }
    }
    /// Appends all that it depends on.
    pub(crate) fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Crc32(crc) => out.extend(crc.value().to_le_bytes()),
            Self::Crc64(crc) => out.extend(crc.value().to_le_bytes()),
            Self::Sha256(hasher) => out.extend(hasher.serialize()),
            Self::Unknown => {}
        }
    }
}
