use super::*;

fn text() -> Vec<u8> {
    (0..9000u32).flat_map(|i| format!("{:x},", i * i).into_bytes()).collect()
}

#[test]
fn round_trips_with_lengths() {
    let plain = text();
    for (level, mut decompressor) in [Decompressor::new, Decompressor::exact].into_iter().flat_map(|new| {
        let levels = [Level::Fast, Level::Best, Level::number(6).unwrap(), Level::number(12).unwrap()];
        levels.map(|level| (level, new()))
    }) {
        let mut compressor = Compressor::new(level);
        let mut packed = b"before".to_vec();
        let zlib = compressor.zlib(&plain, &mut packed);
        assert_eq!(packed.len(), 6 + zlib);
        assert!(zlib < plain.len());
        let raw = compressor.raw(&plain, &mut packed);
        let mut dst = vec![0; plain.len() + 10];
        let progress = decompressor.zlib(&packed[6..], &mut dst).unwrap();
        assert_eq!(progress, Progress { consumed: zlib, written: plain.len() });
        assert!(dst[..plain.len()] == plain);
        let progress = decompressor.raw(&packed[6 + zlib..], &mut dst).unwrap();
        assert_eq!(progress, Progress { consumed: raw, written: plain.len() });
        assert!(matches!(decompressor.zlib(&packed[6..], &mut dst[..100]), Err(Error::TooLarge(_))));
        assert!(decompressor.zlib(&packed[6..90], &mut dst).is_err());
    }
}

#[test]
fn a_bound_is_kept_or_nothing_is_written() {
    let plain = text();
    let mut compressor = Compressor::new(Level::Fast);
    let mut out = Vec::new();
    let len = compressor.zlib(&plain, &mut out);
    let mut bounded = b"x".to_vec();
    assert_eq!(compressor.zlib_bounded(&plain, len - 1, &mut bounded), None);
    assert_eq!(bounded, b"x");
    assert_eq!(compressor.zlib_bounded(&plain, len, &mut bounded), Some(len));
    assert_eq!(bounded[1..], out);
    assert_eq!(compressor.raw_bounded(&plain, 10, &mut bounded), None);
    assert_eq!(compressor.zlib_bounded(b"", 0, &mut bounded), None);
}

#[test]
fn levels_have_limits() {
    assert_eq!(Level::number(0), None);
    assert_eq!(Level::number(13), None);
}

fn stored(plain: &[u8], complement: u16) -> Vec<u8> {
    let mut packed = vec![0x78, 0x01, 0x01];
    packed.extend_from_slice(&(plain.len() as u16).to_le_bytes());
    packed.extend_from_slice(&complement.to_le_bytes());
    packed.extend_from_slice(plain);
    packed.extend_from_slice(&crate::checksum::adler32(plain).to_be_bytes());
    packed
}

#[test]
fn a_wrong_complement_is_forgiven_only_on_request() {
    let plain = text();
    let plain = &plain[..32768];
    let packed = stored(plain, 0);
    let mut dst = vec![0; 32768];
    assert!(matches!(Decompressor::new().zlib(&packed, &mut dst), Err(Error::Corrupt(_))));
    let got = zlib_lenient(&packed, &mut dst, Padding::Any).unwrap();
    assert_eq!(got.progress, Progress { consumed: packed.len(), written: plain.len() });
    assert!(got.checksum_matches);
    assert!(dst == plain);

    let mut wrong = packed.clone();
    *wrong.last_mut().unwrap() ^= 1;
    assert!(!zlib_lenient(&wrong, &mut dst, Padding::Any).unwrap().checksum_matches);
    assert!(!zlib_lenient(&packed[..packed.len() - 2], &mut dst, Padding::Any).unwrap().checksum_matches);
    assert!(matches!(zlib_lenient(&packed[..1000], &mut dst, Padding::Any), Err(Error::Truncated)));
    assert!(matches!(zlib_lenient(&packed, &mut dst[..1000], Padding::Any), Err(Error::TooLarge(_))));
}

#[test]
fn lenient_reads_ordinary_streams_too() {
    let plain = text();
    let mut packed = Vec::new();
    Compressor::new(Level::Best).zlib(&plain, &mut packed);
    let mut dst = vec![0; plain.len()];
    let got = zlib_lenient(&packed, &mut dst, Padding::Any).unwrap();
    assert!(got.checksum_matches && dst == plain);
}
