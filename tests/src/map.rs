//! Mapfiles, read by nobody's code but this.

use std::collections::BTreeSet;

/// What a mapfile calls finished holds the drive's bytes; returns the sectors of 512 bytes of which it does not say that.
pub fn check_map(map: &str, image: &[u8], bytes: &[u8]) -> BTreeSet<u64> {
    let mut missing = BTreeSet::new();
    let mut at = 0;
    for line in map.lines().filter(|l| !l.starts_with('#')).skip(1) {
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |s: &str| u64::from_str_radix(s.trim_start_matches("0x"), 16).unwrap_or_else(|_| panic!("{line}"));
        let (offset, len) = (number(words[0]), number(words[1]));
        assert_eq!(offset, at, "{line}");
        at += len;
        let range = offset as usize..(offset + len) as usize;
        match words[2] {
            "+" => assert!(image[range.clone()] == bytes[range], "{line}: not what the drive holds"),
            _ => missing.extend(offset / 512..(offset + len) / 512),
        }
    }
    assert_eq!(at, bytes.len() as u64, "the map covers the drive");
    missing
}
