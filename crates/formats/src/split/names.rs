//! The ways in which programs count the parts of a set.
//!
//! | made by | names |
//! |---|---|
//! | most imagers | `x.001 x.002 ... x.999 x.1000`, some `x.999 x.A00` |
//! | `split -d`, dcfldd, dc3dd | `x.000 x.001 ...`, any width |
//! | `split` | `x.aa x.ab ... x.yz x.zaaa`, `xaa xab` without a dot; `x.89 x.9000` with digits |
//! | `split -a 3`, Clonezilla | `x.aaa x.aab ...` |
//! | libsmraw | `x.zz x.aaa`, `x.1of5 x.2of5 ...` |
//! | others | `x.r01 x.r02 ...` |

/// How parts are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    /// In digits: `001`.
    Digits,
    /// In letters: `aa`.
    Letters,
    /// In digits, with the total beside: `1of5`.
    Of(u64),
}

/// A name that may be that of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// What comes before the count, the dot included.
    pub stem: String,
    suffix: String,
    count: Count,
}

/// Wider counts than this are no counts.
const WIDEST: usize = 9;

impl Part {
    /// The part that a file of this name would be, be it the first or a later one.
    pub fn parse(name: &str) -> Option<Part> {
        let (stem, tail) = match name.rfind('.') {
            Some(dot) => name.split_at(dot + 1),
            None => ("", name),
        };
        let part = |stem: &str, suffix: &str, count| {
            (!stem.is_empty()).then(|| Part { stem: stem.to_owned(), suffix: suffix.to_owned(), count })
        };
        let lower = tail.to_ascii_lowercase();
        if let Some((i, total)) = lower.split_once("of")
            && let (Some(i), Some(total)) = (digits(i), digits(total))
            && (1..=total).contains(&i)
        {
            return part(stem, &tail[..tail.len() - "of".len() - total_width(&lower)], Count::Of(total));
        }
        if !stem.is_empty() {
            let (stem, suffix) = match tail.strip_prefix(['r', 'R']) {
                Some(rest) if digits(rest).is_some() => (&name[..stem.len() + 1], rest),
                _ => (stem, tail),
            };
            if suffix.len() >= 2 && digits(suffix).is_some() {
                return part(stem, suffix, Count::Digits);
            }
            // Most endings are letters; only the first few of a count are unlike any of them.
            if suffix.len() >= 2 && is_early(suffix) {
                return part(stem, suffix, Count::Letters);
            }
            return None;
        }
        // Without a dot: what `split` makes when it is given no name of its own, or one without a dot at its end.
        if let Some(rest) = name.strip_prefix('x')
            && rest.len() >= 2
            && digits(rest).is_some()
        {
            return part("x", rest, Count::Digits);
        }
        let bytes = name.as_bytes();
        let mut start = name.len().checked_sub(1)?;
        while start > 1 && bytes[start - 1].eq_ignore_ascii_case(&b'a') {
            start -= 1;
        }
        let suffix = name.get(start..).filter(|s| s.len() >= 2 && is_early(s))?;
        part(&name[..start], suffix, Count::Letters)
    }

    /// True for a count after a dot.
    pub fn is_dotted(&self) -> bool {
        self.stem.contains('.')
    }

    /// True if it begins a set.
    pub fn is_first(&self) -> bool {
        match self.count {
            Count::Digits => matches!(digits(&self.suffix), Some(0 | 1)),
            Count::Letters => self.suffix.bytes().all(|b| b.eq_ignore_ascii_case(&b'a')),
            Count::Of(_) => digits(&self.suffix) == Some(1),
        }
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.with(&self.suffix)
    }

    /// The parts that its set may begin with, the likelier one first.
    pub fn firsts(&self) -> Vec<Part> {
        let part = |suffix: String| Part { suffix, ..self.clone() };
        match self.count {
            Count::Digits => (2..=self.suffix.len())
                .rev()
                .flat_map(|width| [part(format!("{:01$}", 0, width)), part(format!("{:01$}", 1, width))])
                .collect(),
            Count::Letters => vec![part("a".repeat(self.suffix.len()))],
            Count::Of(_) => vec![part(format!("{:01$}", 1, self.suffix.len())), part("1".to_owned())],
        }
    }

    /// The parts that may follow, the likelier one first; none after the last of a counted set.
    pub fn followers(&self) -> Vec<Part> {
        let suffixes = match self.count {
            Count::Digits => after_digits(&self.suffix),
            Count::Letters => after_letters(&self.suffix),
            Count::Of(total) => match digits(&self.suffix) {
                Some(i) if i < total => {
                    vec![format!("{:01$}", i + 1, self.suffix.len()), (i + 1).to_string()]
                }
                _ => Vec::new(),
            },
        };
        suffixes.into_iter().map(|suffix| Part { suffix, ..self.clone() }).collect()
    }

    /// The name of the part `i` places on, as they are written.
    pub fn nth(&self, i: u64) -> String {
        self.with(&format!("{:01$}", self.rank() + i, self.suffix.len()))
    }

    /// Where in the set a file called `name` would stand, if it could be of the same set; greater is later.
    pub fn rank_of(&self, name: &str) -> Option<u64> {
        let head = name.get(..self.stem.len())?;
        if !head.eq_ignore_ascii_case(&self.stem) {
            return None;
        }
        let suffix = &name[self.stem.len()..];
        let width = self.suffix.len();
        match self.count {
            Count::Digits => {
                let wider = suffix.len() > width && !suffix.starts_with('0');
                (suffix.len() == width || wider).then(|| digits(suffix).or_else(|| self.lettered(suffix))).flatten()
            }
            Count::Letters => {
                let is_count = suffix.len() >= width && suffix.len() <= WIDEST && letters(suffix);
                is_count.then(|| letter_rank(suffix))
            }
            Count::Of(total) => {
                let (i, n) = suffix.split_once(['o', 'O'])?;
                let n = n.strip_prefix(['f', 'F'])?;
                (digits(n)? == total).then(|| digits(i)).flatten()
            }
        }
    }

    /// Its own place in the set.
    pub fn rank(&self) -> u64 {
        self.rank_of(&self.name()).unwrap_or(0)
    }

    /// Parts in all, where the names tell.
    pub fn total(&self) -> Option<u64> {
        match self.count {
            Count::Of(total) => Some(total),
            _ => None,
        }
    }

    /// True for counts of two digits, as versions and months have them too.
    pub fn is_also_a_number(&self) -> bool {
        self.count == Count::Digits && self.suffix.len() == 2
    }

    /// True if any word may be mistaken for a count.
    pub fn is_letters(&self) -> bool {
        self.count == Count::Letters
    }

    /// `A00` follows `999`; elsewhere such an ending is a word: `E01`.
    fn lettered(&self, suffix: &str) -> Option<u64> {
        lettered(suffix).filter(|_| self.suffix == "999" || lettered(&self.suffix).is_some())
    }

    fn with(&self, suffix: &str) -> String {
        match self.count {
            Count::Of(total) => format!("{}{suffix}of{total}", self.stem),
            _ => format!("{}{suffix}", self.stem),
        }
    }
}

/// The name of the first part that is written for a target called `name`: `name` itself if it ends in such a count, else
/// `name.001`.
pub fn first_name(name: &str) -> String {
    match Part::parse(name) {
        Some(part) if part.is_dotted() && part.count == Count::Digits && part.is_first() => name.to_owned(),
        _ => format!("{name}.001"),
    }
}

fn digits(text: &str) -> Option<u64> {
    let fits = !text.is_empty() && text.len() <= WIDEST && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

fn total_width(lower: &str) -> usize {
    lower.split_once("of").map_or(0, |(_, total)| total.len())
}

fn letters(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphabetic())
}

/// `aa` to `az`, `aaa` to `aaz` and so on.
fn is_early(text: &str) -> bool {
    let Some((last, head)) = text.as_bytes().split_last() else { return false };
    text.len() <= WIDEST && last.is_ascii_alphabetic() && head.iter().all(|b| b.eq_ignore_ascii_case(&b'a'))
}

/// `A00` follows `999` in some programs.
fn lettered(suffix: &str) -> Option<u64> {
    match suffix.as_bytes() {
        [letter, tens @ b'0'..=b'9', ones @ b'0'..=b'9'] if letter.is_ascii_alphabetic() => {
            let letter = u64::from(letter.to_ascii_uppercase() - b'A');
            Some(1000 + letter * 100 + u64::from(tens - b'0') * 10 + u64::from(ones - b'0'))
        }
        _ => None,
    }
}

fn after_digits(suffix: &str) -> Vec<String> {
    if let Some(rank) = lettered(suffix).filter(|_| digits(suffix).is_none()) {
        let next = rank + 1 - 1000;
        let letter = char::from(b'A' + (next / 100).min(25) as u8);
        return if next < 2600 { vec![format!("{letter}{:02}", next % 100)] } else { Vec::new() };
    }
    let Some(value) = digits(suffix) else { return Vec::new() };
    let width = suffix.len();
    let next = format!("{:01$}", value + 1, width);
    if next.len() > width {
        // All nines.
        return if width == 3 { vec![next, "A00".to_owned()] } else { vec![next] };
    }
    let mut suffixes = vec![next];
    suffixes.extend(grown(suffix, b'8', '9', '0'));
    suffixes
}

fn after_letters(suffix: &str) -> Vec<String> {
    let mut next: Vec<u8> = suffix.bytes().collect();
    for byte in next.iter_mut().rev() {
        match *byte {
            b'z' => *byte = b'a',
            b'Z' => *byte = b'A',
            _ => {
                *byte += 1;
                let next = next.iter().map(|b| char::from(*b)).collect();
                return std::iter::once(next).chain(grown(suffix, b'y', 'z', 'a')).collect();
            }
        }
    }
    let a = if suffix.starts_with('Z') { "A" } else { "a" };
    vec![a.repeat(suffix.len() + 1)]
}

/// What GNU `split` calls the next part when it is about to run out of names of this width: `yz` is followed by `zaaa`,
/// `zyzz` by `zzaaaa`, so that the names still sort.
fn grown(suffix: &str, before_last: u8, last: char, first: char) -> Option<String> {
    let half = suffix.len() / 2;
    if !suffix.len().is_multiple_of(2) || half == 0 {
        return None;
    }
    let lower = suffix.to_ascii_lowercase();
    let (lead, rest) = lower.split_at(half - 1);
    let is_full = |text: &str| text.chars().all(|c| c == last);
    let runs_out = is_full(lead) && rest.as_bytes()[0] == before_last && is_full(&rest[1..]);
    runs_out.then(|| last.to_string().repeat(half) + &first.to_string().repeat(half + 2))
}

fn letter_rank(suffix: &str) -> u64 {
    // Every shorter count stands before.
    suffix.bytes().fold(0, |rank, b| rank * 26 + u64::from(b.to_ascii_lowercase() - b'a') + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(first: &str, of: usize) -> Vec<String> {
        let mut part = Part::parse(first).unwrap();
        let mut names = vec![part.name()];
        for _ in 1..of {
            part = part.followers().swap_remove(0);
            names.push(part.name());
        }
        names
    }

    #[test]
    fn counts_go_on() {
        assert_eq!(chain("x.001", 3), ["x.001", "x.002", "x.003"]);
        assert_eq!(chain("d.img.000", 2), ["d.img.000", "d.img.001"]);
        assert_eq!(chain("x.r01", 2), ["x.r01", "x.r02"]);
        assert_eq!(chain("x.1of3", 3), ["x.1of3", "x.2of3", "x.3of3"]);
        assert_eq!(chain("x.01of10", 2), ["x.01of10", "x.02of10"]);
        assert_eq!(chain("x.001", 1001)[998..], ["x.999", "x.1000", "x.1001"]);
        assert_eq!(chain("x.aa", 27)[25..], ["x.az", "x.ba"]);
        assert_eq!(chain("x.aa", 677)[675..], ["x.zz", "x.aaa"]);
        assert_eq!(chain("x.AA", 2), ["x.AA", "x.AB"]);
        assert_eq!(chain("xaa", 2), ["xaa", "xab"]);
        assert_eq!(chain("xaaa", 677)[676], "xbaa");
        assert!(Part::parse("x.3of3").unwrap().followers().is_empty());
    }

    #[test]
    fn growing_counts_are_known() {
        let after = |name: &str| Part { suffix: name.into(), ..Part::parse("x.aa").unwrap() }.followers();
        let names = |parts: Vec<Part>| parts.iter().map(Part::name).collect::<Vec<_>>();
        assert_eq!(names(after("yz")), ["x.za", "x.zaaa"]);
        assert_eq!(names(after("zyzz")), ["x.zzaa", "x.zzaaaa"]);
        assert_eq!(after_digits("89"), ["90", "9000"]);
        assert_eq!(after_digits("9899"), ["9900", "990000"]);
        assert_eq!(after_digits("999"), ["1000", "A00"]);
        assert_eq!(after_digits("A99"), ["B00"]);
    }

    #[test]
    fn what_is_no_part() {
        for name in
            ["photo.img", "disk.E01", "x", "a.raw", "a.dd", "x.1", "disk01", "x.0of5", "a.aff", "x.s01", "ab.", ".aa"]
        {
            let part = Part::parse(name);
            assert!(part.is_none() || name == ".aa", "{name}: {part:?}");
        }
    }

    #[test]
    fn the_first_name_of_a_target() {
        assert_eq!(first_name("d.001"), "d.001");
        assert_eq!(first_name("d.000"), "d.000");
        assert_eq!(first_name("d.img"), "d.img.001");
        assert_eq!(first_name("d.005"), "d.005.001");
    }
}
