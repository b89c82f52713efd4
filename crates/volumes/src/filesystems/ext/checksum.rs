//! The checksums of ext: CRC-32C without the last inversion, and CRC-16 (Linux, fs/ext4 and lib/crc16.c).

use tintype_codec::checksum::Crc32c;

/// Goes on from `seed` over `bytes`.
pub(super) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    let mut crc = Crc32c::resume(!seed);
    crc.update(bytes);
    !crc.value()
}

/// CRC-16 with the polynomial 0x8005, reflected.
pub(super) fn crc16(seed: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(seed, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_published_check_values() {
        // CRC-16/ARC and CRC-32C of "123456789", from the catalogue of parametrised CRC algorithms.
        assert_eq!(super::crc16(0, b"123456789"), 0xbb3d);
        assert_eq!(!super::crc32c(!0, b"123456789"), 0xe306_9283);
    }
}
