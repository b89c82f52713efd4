use super::*;

#[test]
fn known_answers() {
    let cases: [(Algorithm, &[u8], &str); 10] = [
        (Algorithm::Md5, b"", "d41d8cd98f00b204e9800998ecf8427e"),
        (Algorithm::Md5, b"a", "0cc175b9c0f1b6a831c399e269772661"),
        (Algorithm::Md5, b"abc", "900150983cd24fb0d6963f7d28e17f72"),
        (Algorithm::Md5, b"message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
        (Algorithm::Md5, b"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
        (
            Algorithm::Md5,
            b"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
            "57edf4a22be3c955ac49da2e2107b67a",
        ),
        (Algorithm::Sha1, b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (Algorithm::Sha256, b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            Algorithm::Sha512,
            b"abc",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (Algorithm::Blake3, b"", "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
    ];
    for (algorithm, text, hex) in cases {
        assert_eq!(digest(algorithm, text).to_hex(), hex, "{algorithm}");
    }
}

#[test]
fn names_and_lengths() {
    for algorithm in Algorithm::ALL {
        assert_eq!(algorithm.name().parse::<Algorithm>().unwrap(), algorithm);
        let result = digest(algorithm, b"tintype");
        assert_eq!(result.as_bytes().len(), algorithm.output_len());
        assert_eq!(Digest::from_hex(&result.to_hex().to_uppercase()), Some(result));
        assert_eq!(Digest::from_bytes(result.as_bytes()), Some(result));
    }
    assert_eq!("SHA-256".parse::<Algorithm>().unwrap(), Algorithm::Sha256);
    assert!("crc32".parse::<Algorithm>().is_err());
    assert_eq!(Digest::from_hex("abc"), None);
    assert_eq!(Digest::from_hex("zz"), None);
    assert_eq!(Digest::from_hex("é"), None);
    assert_eq!(Digest::from_bytes(&[0; 65]), None);
}

#[test]
fn a_clone_is_a_snapshot() {
    for algorithm in Algorithm::ALL {
        let mut running = Hasher::new(algorithm);
        running.update(b"first");
        let snapshot = running.clone();
        running.update(b" second");
        assert_eq!(snapshot.finish(), digest(algorithm, b"first"));
        assert_eq!(running.algorithm(), algorithm);
        assert_eq!(running.finish(), digest(algorithm, b"first second"));
    }
}

#[test]
fn parts_make_the_same_digest() {
    let part = Part::LEN;
    let bytes: Vec<u8> = (0..5 * part + 4321).map(|i: usize| (i.wrapping_mul(0x9e37_79b1) >> 11) as u8).collect();
    for len in [0, 1, 1024, part - 1, part, part + 1, 2 * part, 3 * part, 3 * part + 7, 4 * part, bytes.len()] {
        let bytes = &bytes[..len];
        let whole = blake3::hash(bytes);
        assert_eq!(digest(Algorithm::Blake3, bytes).as_bytes(), whole.as_bytes(), "{len} bytes");
        let made = bytes.chunks(part).enumerate().map(|(i, chunk)| {
            let mut made = Part::new((i * part) as u64);
            chunk.chunks(300_000).for_each(|bytes| made.update(bytes));
            made
        });
        let parts: Vec<_> = made.filter(Part::is_whole).collect();
        // Some parts hashed elsewhere, in any mixture with those that are hashed here.
        for which in 0..1_u32 << parts.len() {
            let mut hasher = Hasher::new(Algorithm::Blake3);
            for (i, chunk) in bytes.chunks(part).enumerate() {
                match parts.get(i).filter(|_| which >> i & 1 == 1) {
                    Some(part) => hasher.append(part),
                    None => hasher.update(chunk),
                }
            }
            assert_eq!(hasher.finish().as_bytes(), whole.as_bytes(), "{len} bytes, parts {which:b}");
        }
        let mut hasher = Hasher::new(Algorithm::Blake3);
        bytes.chunks(777_777).for_each(|chunk| hasher.update(chunk));
        assert_eq!(hasher.finish().as_bytes(), whole.as_bytes(), "{len} bytes");
    }
    assert!(!Hasher::new(Algorithm::Md5).takes_parts());
}
