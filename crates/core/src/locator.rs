//! What names a source or a target on the command line.

use crate::{Error, Result};
use std::path::PathBuf;

/// A parsed locator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locator {
    /// Where it is.
    pub place: Place,
    /// Which part of it is meant.
    pub part: Option<PartName>,
}

/// Where a locator points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, a folder or a drive.
    Path(PathBuf),
    /// Standard input or output.
    Stdio,
    /// `nbd://`, `http://`, `s3://` and their kin.
    Url(String),
    /// `REPO::NAME[@WHICH]`: a snapshot of a repository.
    Snapshot {
        /// The repository.
        repository: String,
        /// Name and selector.
        name: String,
    },
}

/// A part of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartName {
    /// `#p2`: a partition by its number.
    Partition(u32),
    /// `#snap=NAME`, `#bitmap=NAME`, `#vol=NAME`, `#disk=NAME`.
    Named {
        /// `snap`, `bitmap`, `vol` or `disk`.
        kind: String,
        /// The name after `=`.
        name: String,
    },
}

const SCHEMES: [&str; 7] = ["nbd://", "nbds://", "nbd+unix://", "nbds+unix://", "http://", "https://", "s3://"];

impl Locator {
    /// Parses a locator. `./` protects a path that looks like something else; a `#` that begins no part belongs to
    /// the name.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::usage("an empty name is no source or target"));
        }
        let (rest, part) = match text.rsplit_once('#') {
            Some((rest, tail)) if !rest.is_empty() => match parse_part(tail) {
                Some(part) => (rest, Some(part)),
                None => (text, None),
            },
            _ => (text, None),
        };
        let place = if rest == "-" {
            Place::Stdio
        } else if SCHEMES.iter().any(|s| rest.starts_with(s)) {
            Place::Url(rest.to_owned())
        } else if rest.starts_with("./") || rest.starts_with("../") {
            Place::Path(PathBuf::from(rest))
        } else if let Some((repository, name)) = rest.split_once("::")
            && !repository.is_empty()
            && !name.is_empty()
        {
            Place::Snapshot { repository: repository.to_owned(), name: name.to_owned() }
        } else {
            Place::Path(PathBuf::from(rest))
        };
        Ok(Locator { place, part })
    }

    /// The path, or an `Unsupported` error that says what cannot be reached yet.
    pub fn path(&self) -> Result<&PathBuf> {
        match &self.place {
            Place::Path(path) => Ok(path),
            Place::Stdio => Err(Error::usage("standard input and output cannot be used here")),
            Place::Url(url) => Err(Error::unsupported(format!("{url}: network locators are not supported yet"))),
            Place::Snapshot { repository, .. } => {
                Err(Error::unsupported(format!("{repository}: repositories are not supported yet")))
            }
        }
    }
}

fn parse_part(tail: &str) -> Option<PartName> {
    if let Some(number) = tail.strip_prefix('p')
        && let Ok(number) = number.parse::<u32>()
        && number > 0
        && !tail.starts_with("p+")
    {
        return Some(PartName::Partition(number));
    }
    let (kind, name) = tail.split_once('=')?;
    (matches!(kind, "snap" | "bitmap" | "vol" | "disk") && !name.is_empty())
        .then(|| PartName::Named { kind: kind.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_forms() {
        let place = |t: &str| Locator::parse(t).unwrap().place;
        assert_eq!(place("/dev/sda"), Place::Path("/dev/sda".into()));
        assert_eq!(place("-"), Place::Stdio);
        assert_eq!(place("./-"), Place::Path("./-".into()));
        assert_eq!(place("nbd://h/e"), Place::Url("nbd://h/e".into()));
        assert_eq!(place("./a::b"), Place::Path("./a::b".into()));
        assert_eq!(place("/r::web@latest"), Place::Snapshot { repository: "/r".into(), name: "web@latest".into() });
        let l = Locator::parse("a.E01#p2").unwrap();
        assert_eq!((l.place, l.part), (Place::Path("a.E01".into()), Some(PartName::Partition(2))));
        let l = Locator::parse("a#b.img").unwrap();
        assert_eq!((l.place, l.part), (Place::Path("a#b.img".into()), None));
        assert!(matches!(Locator::parse("x#snap=s 1").unwrap().part, Some(PartName::Named { .. })));
        assert!(Locator::parse("").is_err());
    }
}
