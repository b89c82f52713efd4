use super::*;
use crate::stream::Memory;

fn text() -> Vec<u8> {
    (0..60_000u32).flat_map(|i| format!("{:x}.", i.wrapping_mul(31_337)).into_bytes()).collect()
}

#[test]
fn frames_round_trip() {
    let plain = text();
    let mut decompressor = Decompressor::new().unwrap();
    for (level, checksum) in [(1, Checksum::Written), (3, Checksum::Omitted), (19, Checksum::Written)] {
        let mut compressor = Compressor::new(level, checksum).unwrap();
        let mut out = b"before".to_vec();
        let len = compressor.frame(&plain, &mut out).unwrap();
        assert_eq!(out.len(), 6 + len);
        let mut dst = vec![0; plain.len() + 1];
        assert_eq!(decompressor.frame(&out[6..], &mut dst).unwrap(), plain.len());
        assert!(dst[..plain.len()] == plain);
        assert!(matches!(decompressor.frame(&out[6..], &mut dst[..100]), Err(Error::TooLarge(_))));
        assert!(decompressor.frame(&out[6..200], &mut dst).is_err());
        let mut padded = out[6..].to_vec();
        padded.resize(padded.len() + 300, 0);
        assert!(decompressor.frame(&padded, &mut dst).is_err());
        assert_eq!(decompressor.first_frame(&padded, &mut dst).unwrap(), plain.len());
        assert!(dst[..plain.len()] == plain && decompressor.first_frame(&out[6..200], &mut dst).is_err());
        let header = parse_frame_header(&out[6..]).unwrap();
        assert_eq!(header.content, Some(plain.len() as u64));
        assert_eq!(header.checksum, checksum == Checksum::Written);
        assert_eq!(header.dictionary, 0);

        assert_eq!(compressor.frame_bounded(&plain, len / 2, &mut out).unwrap(), None);
        assert_eq!(out.len(), 6 + len);
        assert_eq!(compressor.frame_bounded(&plain, len + 100, &mut out).unwrap(), Some(len));
        let mut wrong = out[6..6 + len].to_vec();
        wrong[len / 2] ^= 1;
        if checksum == Checksum::Written {
            assert!(matches!(decompressor.frame(&wrong, &mut dst), Err(Error::Corrupt(_))));
        }
    }
}

#[test]
fn frames_are_found_without_decoding() {
    let plain = text();
    let mut compressor = Compressor::new(3, Checksum::Written).unwrap();
    let mut file = Vec::new();
    let mut lens = Vec::new();
    for part in plain.chunks(150_000) {
        lens.push((compressor.frame(part, &mut file).unwrap() as u64, Some(part.len() as u64)));
        file.extend_from_slice(&[0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9]);
        lens.push((10, None));
    }
    // Runs become blocks of another type.
    lens.push((compressor.frame(&[0; 1 << 20], &mut file).unwrap() as u64, Some(1 << 20)));
    let frames: Vec<_> = Frames::new(Box::new(Memory(file.clone()))).map(|f| f.unwrap()).collect();
    assert_eq!(frames.iter().map(|f| (f.len, f.header.and_then(|h| h.content))).collect::<Vec<_>>(), lens);
    let mut offset = 0;
    for frame in &frames {
        assert_eq!(frame.offset, offset);
        assert!(frame.header.is_none_or(|h| h.content.unwrap() <= frame.content_bound));
        offset += frame.len;
    }
    assert_eq!(offset, file.len() as u64);

    for end in [1, 3, 5, 8, 100, file.len() - 1] {
        let last = Frames::new(Box::new(Memory(file[..end].to_vec()))).last().unwrap();
        assert!(matches!(last, Err(Error::Truncated)), "{end}");
    }
    file.extend_from_slice(b"tail");
    let last = Frames::new(Box::new(Memory(file))).last().unwrap();
    assert!(matches!(last, Err(Error::Trailing { offset: at }) if at == offset));
}

#[test]
fn header_fields() {
    // Window of 1.125 * 2^20, no content size, dictionary of two bytes, checksum.
    let header = parse_frame_header(&[0x28, 0xb5, 0x2f, 0xfd, 4 | 2, 10 << 3 | 1, 0x34, 0x12]).unwrap();
    assert_eq!(header, FrameHeader { len: 8, window: 9 << 17, content: None, dictionary: 0x1234, checksum: true });
    assert!(matches!(parse_frame_header(&[0x28, 0xb5, 0x2f, 0xfd, 8]), Err(Error::Unsupported(_))));
    assert!(matches!(parse_frame_header(&[0x28, 0xb5, 0x2f, 0xfd, 0xe0, 1]), Err(Error::Truncated)));
    assert!(matches!(parse_frame_header(&[0; 20]), Err(Error::Corrupt(_))));
}
