use super::*;

#[test]
fn blocks_round_trip() {
    let plain: Vec<u8> = (0..9000u32).flat_map(|i| format!("{i} ").into_bytes()).collect();
    let mut out = b"x".to_vec();
    let len = block_encode(&plain, &mut out);
    assert_eq!(out.len(), len + 1);
    assert!(len < plain.len());
    let mut dst = vec![0; plain.len()];
    assert_eq!(block_decode(&out[1..], &mut dst).unwrap(), plain.len());
    assert!(dst == plain);
    assert!(matches!(block_decode(&out[1..], &mut dst[1..]), Err(Error::TooLarge(_))));
    assert!(block_decode(&out[1..len], &mut dst).is_err());
}

#[test]
fn descriptors_survive_a_round_trip() {
    for flags in (0..=255_u8).filter(|f| f & 0xcb == 0x40) {
        for size in 4..8_u8 {
            let header = FrameHeader::from_descriptor([flags, size << 4]).unwrap();
            assert_eq!(header.descriptor(), [flags, size << 4]);
            assert_eq!(header.max_block, 1 << (8 + 2 * size));
        }
    }
    assert!(FrameHeader::from_descriptor([0x40, 3 << 4]).is_err());
    assert!(FrameHeader::from_descriptor([0x80, 4 << 4]).is_err());
}

#[test]
fn headers() {
    // As the lz4 program writes it: independent blocks of 64 KiB (-B4), content checksum.
    let header = parse_frame_header(&[4, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7]).unwrap();
    assert_eq!((header.len, header.max_block, header.linkage), (7, 65536, Linkage::Independent));
    assert!(header.content_checksum && !header.block_checksums && header.content.is_none());
    assert!(matches!(parse_frame_header(&[4, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa8]), Err(Error::Corrupt(_))));
    for end in 0..7 {
        let head = [4, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7];
        assert!(matches!(parse_frame_header(&head[..end]), Err(Error::Truncated)));
    }
    assert!(parse_block_size((65537_u32).to_le_bytes(), 65536).is_err());
    assert_eq!(parse_block_size((65536_u32 | 1 << 31).to_le_bytes(), 65536).unwrap(), BlockSize::Stored(65536));
    assert_eq!(parse_block_size([0; 4], 65536).unwrap(), BlockSize::EndMark);
}
