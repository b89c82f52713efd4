use super::*;
use sha2::{Digest, Sha256};

/// Digests of what OpenSSL makes of the same two sectors.
#[test]
fn sectors_are_decrypted_as_openssl_does() {
    let key: Vec<u8> = (0..64).collect();
    let sectors: Vec<u8> = (0..1024u32).map(|i| i as u8).collect();
    let ways: [(&[u8], Mode, &str); 6] = [
        (&key[..32], Mode::Xts, "21615d19fcfeb6e93e6c7d9a64f54ded1abfd0c8e9317f899eeaed2471386479"),
        (&key[..], Mode::Xts, "2d5bd01e65694397219afd910f4b365b1e6eb1564a894f1c8888bb4d8facb0c7"),
        (&key[..16], Mode::Cbc(Iv::Plain64), "62ed06513f2539e5639d7e97d519ff73a5abbbab98dc0e1d4b54dc0615f5574d"),
        (&key[..32], Mode::Cbc(Iv::Plain64), "b8c9d44a1c25f3a5a6036315e4d0e8f7af1e12d1cdf593e1b7d995beebf12816"),
        (&key[..32], Mode::Cbc(Iv::Plain), "62c2a45f5ba3bbf5ac4c30766667af6a5716ae7ff737c5dcb5533223d21c42da"),
        (&key[..32], Mode::Cbc(Iv::Essiv), "664acb58e7d723d7498e54ab123c40a81680f6cb7e18669931e7c6b773b9c8db"),
    ];
    for (key, mode, digest) in ways {
        let cipher = SectorCipher::aes(key, mode).unwrap();
        let mut plain = sectors.clone();
        cipher.decrypt(&mut plain, 5 + (1 << 32));
        let hex: String = Sha256::digest(&plain).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, digest, "{} bytes, {mode:?}", key.len());
    }
}

#[test]
fn keys_and_headers_that_cannot_be_are_refused() {
    for (len, mode) in
        [(15, Mode::Cbc(Iv::Plain)), (24, Mode::Xts), (33, Mode::Xts), (0, Mode::Xts), (64, Mode::Cbc(Iv::Essiv))]
    {
        assert!(SectorCipher::aes(&vec![1; len], mode).is_err(), "{len} {mode:?}");
    }
    let mut header = [0; luks1::HEADER];
    assert!(luks1::Header::parse(&header).is_err());
    header[..8].copy_from_slice(b"LUKS\xba\xbe\0\x01");
    header[8..11].copy_from_slice(b"aes");
    header[40..51].copy_from_slice(b"xts-plain64");
    header[72..78].copy_from_slice(b"sha256");
    header[111] = 64;
    header[167] = 200;
    assert!(luks1::Header::parse(&header).unwrap().slots.is_empty());
    for (at, byte) in [(7, 2), (8, b's'), (40, b'e'), (72, b'x'), (111, 16), (164, 0xff)] {
        let mut wrong = header;
        wrong[at] = byte;
        assert!(luks1::Header::parse(&wrong).is_err(), "byte {at}");
    }
    // A slot in use whose key is spread over nothing.
    header[208..212].copy_from_slice(&[0, 0xac, 0x71, 0xf3]);
    header[215] = 9;
    assert!(luks1::Header::parse(&header).is_err());
    header[208 + 47] = 4;
    let slots = luks1::Header::parse(&header).unwrap();
    assert!(slots.unlock(&slots.slots[0], b"x", vec![0; 255]).is_err());
    assert!(slots.unlock(&slots.slots[0], b"x", vec![0; 256]).unwrap().is_none());
}
