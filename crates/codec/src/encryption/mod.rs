//! Encrypted disks: sectors in, sectors out, and keys from passphrases. Nothing here writes what is encrypted.

pub mod luks1;
mod sectors;
#[cfg(test)]
mod tests;

pub use sectors::{Iv, Mode, SECTOR, SectorCipher};
