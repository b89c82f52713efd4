//! Blocks that are encrypted.

use tintype_codec::encryption::SectorCipher;

/// Bytes of the sectors that are encrypted one by one.
pub(super) const SECTOR: u64 = 512;

/// What decrypts blocks.
pub(crate) struct Cipher {
    /// What decrypts a sector by its number.
    pub(crate) cipher: SectorCipher,
    /// Which number a sector has.
    pub(crate) numbered: Numbered,
}

/// How the sectors of an encrypted disk are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbered {
    /// By their place in the file.
    InFile,
    /// By their place on the disk.
    OnDisk,
}

impl Cipher {
    /// Decrypts whole sectors that lie at `host` of the file and at `offset` of the disk.
    pub(super) fn decrypt(&self, sectors: &mut [u8], host: u64, offset: u64) {
        let place = match self.numbered {
            Numbered::InFile => host,
            Numbered::OnDisk => offset,
        };
        self.cipher.decrypt(sectors, place / SECTOR);
    }
}
