//! Names of segment files: `.E01` to `.E99`, then `.EAA` to `.ZZZ`.
//!
//! The letters follow the first segment's: `.s01` is followed by `.s02`, and after `.s99` comes `.saa`. Source: libyal's EWF
//! specification, "Segment file extensions", confirmed with files that ewfacquire writes.

use tintype_core::Opener;

/// Letters in the alphabet that extensions count with.
const LETTERS: u32 = 26;
/// Segments whose names end in digits.
const DIGITS: u32 = 99;

/// The names of one set of segment files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    stem: String,
    letter: u8,
}

impl Names {
    /// The names of the set whose first file is called `first`; none if that does not end in a letter and `01`.
    pub(super) fn of_first(first: &str) -> Option<Self> {
        let (stem, extension) = first.rsplit_once('.')?;
        match extension.as_bytes() {
            [letter, b'0', b'1'] if letter.is_ascii_alphabetic() => {
                Some(Names { stem: stem.to_owned(), letter: *letter })
            }
            _ => None,
        }
    }

    /// Most segments that can be named.
    pub(super) fn most(&self) -> u32 {
        let last = if self.letter.is_ascii_lowercase() { b'z' } else { b'Z' };
        DIGITS + u32::from(last - self.letter + 1) * LETTERS * LETTERS
    }

    /// The name of segment `number`, counted from 1; none past the last name.
    pub(super) fn name(&self, number: u32) -> Option<String> {
        if number == 0 || number > self.most() {
            return None;
        }
        if number <= DIGITS {
            return Some(format!("{}.{}{number:02}", self.stem, self.letter as char));
        }
        let n = number - DIGITS - 1;
        let a = if self.letter.is_ascii_lowercase() { b'a' } else { b'A' };
        let letter = |base: u8, n: u32| (base + u8::try_from(n).expect("at most 26 letters")) as char;
        Some(format!(
            "{}.{}{}{}",
            self.stem,
            letter(self.letter, n / (LETTERS * LETTERS)),
            letter(a, n / LETTERS % LETTERS),
            letter(a, n % LETTERS)
        ))
    }
}

/// The first file of the set that `name` seems to be a later file of, as far as the opener can tell.
pub(super) fn first_of(name: &str, opener: &dyn Opener) -> Option<String> {
    let (stem, extension) = name.rsplit_once('.')?;
    let listed = opener.list().unwrap_or_default();
    let wanted = |name: &&String| {
        name.rsplit_once('.')
            .is_some_and(|(s, e)| s == stem && matches!(e.as_bytes(), [b'E' | b'e' | b'S' | b's', b'0', b'1']))
    };
    listed.iter().find(wanted).cloned().or_else(|| {
        let letter = extension.chars().next().filter(char::is_ascii_alphabetic)?;
        let digits = extension.bytes().skip(1).all(|b| b.is_ascii_digit());
        let first = match letter {
            _ if digits => letter,
            'a'..='z' => 'e',
            _ => 'E',
        };
        Some(format!("{stem}.{first}01"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_core::Kind;
    use tintype_core::testing::open_bytes;

    #[test]
    fn count_as_the_others_do() {
        let names = Names::of_first("a.b.E01").unwrap();
        let pairs = [
            (1, "E01"),
            (99, "E99"),
            (100, "EAA"),
            (101, "EAB"),
            (126, "EBA"),
            (775, "EZZ"),
            (776, "FAA"),
            (14971, "ZZZ"),
        ];
        for (number, extension) in pairs {
            assert_eq!(names.name(number).unwrap(), format!("a.b.{extension}"));
        }
        assert_eq!(names.most(), 14971);
        assert_eq!(names.name(14972), None);
        assert_eq!(names.name(0), None);
        let smart = Names::of_first("x.s01").unwrap();
        assert_eq!(smart.name(100).unwrap(), "x.saa");
        assert_eq!(smart.name(smart.most()).unwrap(), "x.zzz");
        for name in ["x", "x.e1", "x.E02", "x.001", "x.é01"] {
            assert_eq!(Names::of_first(name), None, "{name}");
        }
    }

    #[test]
    fn a_first_file_with_another_number_is_damaged() {
        let mut head = b"EVF\x09\x0d\x0a\xff\x00\x01\x03\x00\x00\x00".to_vec();
        head.resize(1000, 0);
        let number_of = |name: &str| super::super::scan::scan(&open_bytes(name, head.clone())).err().expect("refused");
        let e = number_of("t.E01");
        assert_eq!((e.kind(), e.offset()), (Kind::Corrupt, Some(9)));
        assert!(e.to_string().contains("first") && e.to_string().contains("segment 3"), "{e}");
        assert_eq!(number_of("t.E03").kind(), Kind::Usage);
    }
}
