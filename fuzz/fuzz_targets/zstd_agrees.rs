#![no_main]
//! Our zstd decoder beside libzstd: what ours accepts libzstd accepts too, with the same bytes; and the other way round, but for
//! what the format forbids and libzstd lets pass. Going on from a place gives the same bytes as going through.
use tintype_codec::Error;
use tintype_codec::stream::{Checkpoint, Decoder, Kind, Limits, Memory, open, resume};
use tintype_codec::zstd::Decompressor;

/// More content than this is not decoded.
const MOST: usize = 4 << 20;

/// What ours is stricter about.
const STRICTER: &[&str] = &[
    // Distances are held against the window, not against what happens to be at hand.
    "zstd: a match refers to what is not there",
    // A block holds no more than the window, also where the whole frame is at hand.
    "zstd: a block holds more than it may",
    // Codes have at most 11 bits.
    "zstd: a Huffman table is wrong",
    // Where four streams of literals end, and whether they have the mark of the end, is not looked at in every case.
    "zstd: the literals do not end where they should",
];

fn drain(decoder: &mut dyn Decoder, places: &mut Vec<Checkpoint>) -> Result<Option<Vec<u8>>, Error> {
    let mut out = Vec::new();
    let mut buf = vec![0; 50_021];
    decoder.set_spacing(1000);
    loop {
        match decoder.read(&mut buf)? {
            0 => return Ok(Some(out)),
            n => out.extend_from_slice(&buf[..n]),
        }
        if out.len() > MOST {
            return Ok(None);
        }
        if places.len() < 20 {
            places.extend(decoder.checkpoint());
        }
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // Nothing at all is no file, but no mistake to libzstd.
    if data.is_empty() {
        return;
    }
    let limits = Limits { memory: 2 << 30 };
    let Ok(mut decoder) = open(Kind::Zstd, Box::new(Memory(data.to_vec())), limits) else { return };
    let mut places = Vec::new();
    let ours = drain(&mut *decoder, &mut places);
    let mut theirs = vec![0; MOST + 1];
    let file = match &ours {
        Ok(None) => return,
        Err(Error::Trailing { offset }) => &data[..*offset as usize],
        _ => data,
    };
    let theirs = Decompressor::new().and_then(|mut d| d.frame(file, &mut theirs).map(|n| theirs[..n].to_vec()));
    match (ours, theirs) {
        (Ok(Some(ours)), Ok(theirs)) => {
            assert!(ours == theirs, "other bytes");
            for place in &places {
                let mut decoder = resume(Kind::Zstd, Box::new(Memory(data.to_vec())), limits, place).expect("a place");
                let rest = drain(&mut *decoder, &mut Vec::new());
                assert!(rest.is_ok_and(|rest| rest.as_deref() == Some(&ours[place.out_offset as usize..])), "a place");
            }
        }
        (Ok(_), Err(e)) => panic!("libzstd refuses it: {e}"),
        // Whole frames are decoded in place there, so that the size of the window costs nothing.
        (Err(Error::Trailing { .. } | Error::TooLarge(_)), _) => {}
        (Err(e), Ok(_)) => {
            assert!(STRICTER.iter().any(|text| e.to_string().ends_with(text)), "ours refuses it: {e}");
        }
        _ => {}
    }
});
