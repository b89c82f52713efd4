//! Names and paths with wildcards.

/// Whether capitals matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters {
    /// They do.
    Exact,
    /// They do not.
    Folded,
}

/// A pattern as shells have them: `*` any characters but a slash, `**` any, `?` one, `[a-z]` and `[!a-z]` one of some.
///
/// With a slash in it, it is matched with whole paths, and everything below a folder that it matches is meant as well; without one, with
/// names alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Vec<u8>,
    whole: bool,
}

impl Pattern {
    /// The pattern in `text`.
    pub fn new(text: &str) -> Self {
        let whole = text.contains('/');
        let text = text.trim_end_matches('/');
        let text = match text.strip_prefix('/') {
            Some(rest) => format!("/{}", rest.trim_start_matches('/')),
            None if whole => format!("/{text}"),
            None => text.to_owned(),
        };
        Pattern { text: text.into_bytes(), whole }
    }

    /// True if a file with this path, which begins with a slash, is meant.
    pub fn matches(&self, path: &[u8], letters: Letters) -> bool {
        let folded = |bytes: &[u8]| match letters {
            Letters::Exact => bytes.to_vec(),
            Letters::Folded => String::from_utf8_lossy(bytes).to_lowercase().into_bytes(),
        };
        let (text, path) = (folded(&self.text), folded(path));
        if !self.whole {
            let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
            return matched(&text, name);
        }
        // The folders above it, and itself.
        let ends = (1..path.len()).filter(|i| path[*i] == b'/').chain([path.len()]);
        text == b"/" || text.is_empty() || ends.into_iter().any(|end| matched(&text, &path[..end]))
    }
}

/// A place in the pattern and one in the text.
type Mark = (usize, usize);

/// Goes back to the last wildcard where what follows it does not fit; takes at most `pattern.len() * text.len()` steps for each kind of it.
fn matched(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last `*`, and the last `**`.
    let (mut star, mut deep): (Option<Mark>, Option<Mark>) = (None, None);
    loop {
        if pattern[p..].starts_with(b"**") {
            p += 2;
            while pattern.get(p) == Some(&b'*') {
                p += 1;
            }
            (deep, star) = (Some((p, t)), None);
            continue;
        }
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
            continue;
        }
        match (p < pattern.len(), text.get(t)) {
            (false, None) => return true,
            (true, Some(byte)) => {
                if let Some(next) = one(&pattern[p..], *byte) {
                    p += next;
                    t += 1;
                    continue;
                }
            }
            _ => {}
        }
        match (star, deep) {
            (Some((at, from)), _) if text.get(from).is_some_and(|b| *b != b'/') => {
                star = Some((at, from + 1));
                (p, t) = (at, from + 1);
            }
            (_, Some((at, from))) if from < text.len() => {
                deep = Some((at, from + 1));
                star = None;
                (p, t) = (at, from + 1);
            }
            _ => return false,
        }
    }
}

/// The length of what stands for one character at the start of `pattern`, if `byte` fits it.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => (byte != b'/').then_some(1),
        b'\\' if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        b'[' => {
            let inner = &pattern[1..];
            let inverted = matches!(inner.first(), Some(b'!' | b'^'));
            let start = usize::from(inverted);
            let Some(end) = inner.iter().skip(start + 1).position(|b| *b == b']').map(|i| i + start + 1) else {
                return (byte == b'[').then_some(1);
            };
            let set = &inner[start..end];
            let mut found = false;
            let mut i = 0;
            while i < set.len() {
                if set.len() > i + 2 && set[i + 1] == b'-' {
                    found |= (set[i]..=set[i + 2]).contains(&byte);
                    i += 3;
                } else {
                    found |= set[i] == byte;
                    i += 1;
                }
            }
            (found != inverted && byte != b'/').then_some(end + 2)
        }
        literal => (*literal == byte).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths() {
        let is = |pattern: &str, path: &str| Pattern::new(pattern).matches(path.as_bytes(), Letters::Exact);
        assert!(is("*.jpg", "/a/b/c.jpg") && !is("*.jpg", "/a/b.jpg/c.png") && !is("*.jpg", "/a/b.JPG"));
        assert!(is("/home/*/*.txt", "/home/a/b.txt") && !is("/home/*.txt", "/home/a/b.txt"));
        assert!(is("/home/**.txt", "/home/a/b.txt") && is("/**/c", "/a/b/c") && is("/home/", "/home/a/b"));
        assert!(is("/home", "/home/a/b") && !is("/home", "/homes/a") && is("home/a", "/home/a/x"));
        assert!(is("IMG_[0-9][!a].?", "/x/IMG_1b.c") && !is("IMG_[0-9][!a].?", "/x/IMG_1a.c"));
        assert!(is("[", "/[") && is("a[]]b", "/a]b") && is("\\*", "/*") && !is("\\*", "/a"));
        assert!(is("/", "/anything") && is("*", "/a/b") && is("/*", "/a/b") && !is("", "/a"));
        assert!(Pattern::new("*.jpg").matches("/A/B.JPG".as_bytes(), Letters::Folded));
        // What goes back again and again ends soon.
        assert!(!is(&"*a".repeat(50), &format!("/{}", "a".repeat(49))));
    }
}
