#![no_main]
//! What liblzma makes of any bytes, this project's decoder has to make of them too: as a .lzma file, or as LZMA2 data that an .xz
//! file is made around. From every place where decoding can be taken up, the rest has to follow.

use liblzma::stream::{Action, Filters, Status, Stream};
use tintype_codec::checksum::crc32;
use tintype_codec::stream::{Kind, Limits, Memory, open, resume};

/// More output is not looked at.
const MOST: usize = 2 << 20;
const LIMITS: Limits = Limits { memory: 64 << 20 };

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    if choice & 1 == 0 { alone(data) } else { lzma2(data, choice >> 1) }
});

enum End {
    /// It ended after so many bytes of input.
    Whole(usize),
    Failed,
    /// There was more output than is looked at.
    Cut,
}

fn theirs(mut stream: Stream, src: &[u8]) -> (Vec<u8>, End) {
    let mut out = vec![0; MOST];
    let end = loop {
        let (read, written) = (stream.total_in() as usize, stream.total_out() as usize);
        let status = stream.process(&src[read..], &mut out[written..], Action::Run);
        let now = (stream.total_in() as usize, stream.total_out() as usize);
        match status {
            Ok(Status::StreamEnd) => break End::Whole(now.0),
            _ if now.1 == MOST => break End::Cut,
            Err(_) => break End::Failed,
            Ok(_) if now == (read, written) => break End::Failed,
            Ok(_) => {}
        }
    };
    out.truncate(stream.total_out() as usize);
    (out, end)
}

/// The output, and whether it ended: well, or with foreign data after it.
fn ours(kind: Kind, file: &[u8], spacing: u64) -> (Vec<u8>, bool) {
    let mut decoder = open(kind, Box::new(Memory(file.to_vec())), LIMITS).expect("opening looks at nothing");
    decoder.set_spacing(spacing);
    let (mut out, mut buf, mut places) = (Vec::new(), vec![0; 100_000], Vec::new());
    let ended = loop {
        if places.len() < 4 {
            places.extend(decoder.checkpoint());
        }
        match decoder.read(&mut buf) {
            Ok(0) => break true,
            Ok(n) => out.extend_from_slice(&buf[..n]),
            Err(e) => break matches!(e, tintype_codec::Error::Trailing { .. }),
        }
        if out.len() >= MOST {
            return (out, false);
        }
    };
    if ended {
        for place in places {
            let mut decoder =
                resume(kind, Box::new(Memory(file.to_vec())), LIMITS, &place).expect("a place it gave itself");
            let mut at = place.out_offset as usize;
            loop {
                match decoder.read(&mut buf) {
                    Ok(0) => break,
                    Ok(n) => {
                        assert!(out[at..].starts_with(&buf[..n]), "other bytes after a place");
                        at += n;
                    }
                    Err(e) => {
                        assert!(matches!(e, tintype_codec::Error::Trailing { .. }), "after a place: {e}");
                        break;
                    }
                }
            }
            assert_eq!(at, out.len());
        }
    }
    (out, ended)
}

fn compare(their: &[u8], end: &End, our: &[u8], ended: bool) {
    match end {
        End::Whole(_) => assert!(ended && their == our, "it ends, ours ended: {ended}"),
        End::Failed => assert!(!ended && their.starts_with(our), "it fails"),
        // What comes after may be broken, and then ours fails a piece earlier.
        End::Cut => assert!(their.iter().zip(our).all(|(their, our)| their == our), "it goes on"),
    }
}

fn alone(data: &[u8]) {
    let mut file = data.to_vec();
    if let Some(dictionary) = file.get_mut(1..5) {
        // liblzma takes it all at once.
        dictionary[2] &= 0x1f;
        dictionary[3] = 0;
    }
    let (their, end) = theirs(Stream::new_lzma_decoder(u64::MAX).expect("no memory is needed yet"), &file);
    let (our, ended) = ours(Kind::Lzma, &file, 1000);
    compare(&their, &end, &our, ended);
}

fn lzma2(data: &[u8], choice: u8) {
    let size = choice % 16;
    let mut filters = Filters::new();
    filters.lzma2_properties(&[size]).expect("a size");
    let (their, end) = theirs(Stream::new_raw_decoder(&filters).expect("little memory"), data);
    let used = if let End::Whole(used) = end { used } else { data.len() };
    // The data in a block without sizes and without a check.
    let mut file = b"\xfd7zXZ\0\0\0".to_vec();
    file.extend(crc32(&[0, 0]).to_le_bytes());
    let mut header = vec![2, 0, 0x21, 1, size, 0, 0, 0];
    header.extend(crc32(&header).to_le_bytes());
    file.extend(&header);
    file.extend(&data[..used]);
    if let End::Whole(_) = end {
        file.resize(file.len().next_multiple_of(4), 0);
        let mut index = vec![0, 1];
        number(&mut index, (header.len() + used) as u64);
        number(&mut index, their.len() as u64);
        index.resize(index.len().next_multiple_of(4), 0);
        index.extend(crc32(&index).to_le_bytes());
        let mut footer = ((index.len() / 4 - 1) as u32).to_le_bytes().to_vec();
        footer.extend([0, 0]);
        file.extend(index);
        file.extend(crc32(&footer).to_le_bytes());
        file.extend(footer);
        file.extend(b"YZ");
    }
    let (our, ended) = ours(Kind::Xz, &file, 1000);
    compare(&their, &end, &our, ended);
}

fn number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
