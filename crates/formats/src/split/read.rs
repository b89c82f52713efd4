//! Finding the parts of a set, and reading them as one.

use super::names::Part;
use super::parts::{Handles, Lazy, OPEN};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tintype_core::layers::Concat;
use tintype_core::{Error, Image, OpenRequest, Result, Source};

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let Some(set) = find(request)? else {
        let files = vec![request.entry.name.clone()];
        return Ok(Image::new("one part", Arc::clone(request.entry.source()?), files));
    };
    let count = set.files.len();
    let variant = if count == 1 { "one part".to_owned() } else { format!("{count} parts") };
    Ok(Image { warnings: set.warnings, ..Image::new(variant, set.source, set.files) })
}

/// All parts of a set, one after the other.
pub(crate) struct Set {
    pub source: Arc<dyn Source>,
    pub files: Vec<String>,
    pub warnings: Vec<String>,
}

/// The set that the entry begins, if it has more than one part: for formats that are themselves cut into pieces.
pub(crate) fn joined(request: &OpenRequest) -> Result<Option<Set>> {
    Ok(find(request)?.filter(|set| set.files.len() > 1))
}

/// The set that the entry begins; `None` if its name counts nothing, or nothing beside it belongs to it.
fn find(request: &OpenRequest) -> Result<Option<Set>> {
    let name = &request.entry.name;
    let Some(first) = Part::parse(name) else { return Ok(None) };
    let folder = Folder::new(request.opener.list()?);
    if !is_begun_by(&first, &folder)? {
        return Ok(None);
    }
    let parts = walk(&first, name, &folder, request.limits.files as usize)?;
    let mut sources: Vec<Arc<dyn Source>> = vec![Arc::clone(request.entry.source()?)];
    let mut files = vec![name.clone()];
    let handles = Arc::new(Handles::new(Arc::clone(&request.opener)));
    for (index, name) in parts.iter().enumerate().skip(1) {
        let source = request.opener.open(name).map_err(|e| e.in_path(name))?;
        sources.push(if parts.len() > OPEN {
            let (len, shape) = (source.len(), source.shape());
            Arc::new(Lazy { handles: Arc::clone(&handles), index, name: name.clone(), len, shape })
        } else {
            source
        });
        files.push(name.clone());
    }
    let lens: Vec<u64> = sources.iter().map(|s| s.len()).collect();
    refuse_gap(&first, &files, &lens, &folder)?;
    let mut warnings = odd_lens(&files, &lens);
    if first.is_also_a_number() && lens.len() > 1 && lens.iter().all(|len| *len == lens[0]) {
        warnings.push(format!(
            "all {} parts have the same length; if they are images of their own, open each with --from raw",
            lens.len()
        ));
    }
    Ok(Some(Set { source: Arc::new(Concat::new(sources)?), files, warnings }))
}

/// The names in a folder, found whatever their case.
struct Folder {
    by_lower: HashMap<String, Vec<String>>,
}

impl Folder {
    fn new(names: Vec<String>) -> Self {
        let mut by_lower: HashMap<String, Vec<String>> = HashMap::new();
        for name in names {
            by_lower.entry(name.to_ascii_lowercase()).or_default().push(name);
        }
        Folder { by_lower }
    }

    /// The file called `name`, or else one whose name differs only in case.
    fn get(&self, name: &str) -> Option<&str> {
        let names = self.by_lower.get(&name.to_ascii_lowercase())?;
        names.iter().find(|n| *n == name).or(names.first()).map(String::as_str)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.by_lower.values().flatten().map(String::as_str)
    }
}

/// Whether the set begins with `part`. A later part of a set whose first one is there, or is missing, is an error.
fn is_begun_by(part: &Part, folder: &Folder) -> Result<bool> {
    let name = part.name();
    let begins = part.firsts().iter().find_map(|first| {
        let found = folder.get(&first.name())?;
        (first.rank() < part.rank()).then(|| found.to_owned())
    });
    if let Some(first) = begins {
        return Err(
            Error::usage(format!("this is a later part of a split image; open {first}, its first part")).in_path(name)
        );
    }
    let has_next = part.followers().iter().any(|next| folder.get(&next.name()).is_some());
    if part.is_first() {
        return Ok(part.is_dotted() || has_next);
    }
    let has_neighbour = has_next || folder.names().any(|n| part.rank_of(n).is_some_and(|rank| rank + 1 == part.rank()));
    if has_neighbour && part.is_dotted() {
        let missing = part.firsts().pop().map_or_else(String::new, |first| first.name());
        return Err(Error::corrupt(format!("the first part of the split image, {missing}, is missing")).in_path(name));
    }
    Ok(false)
}

/// The names of all parts in order.
fn walk(first: &Part, name: &str, folder: &Folder, most: usize) -> Result<Vec<String>> {
    let mut names = vec![name.to_owned()];
    let mut seen: HashSet<String> = HashSet::from([name.to_ascii_lowercase()]);
    let mut part = first.clone();
    while let Some((next, name)) =
        part.followers().into_iter().find_map(|next| folder.get(&next.name()).map(|n| (next.clone(), n.to_owned())))
    {
        if !seen.insert(name.to_ascii_lowercase()) {
            break;
        }
        if names.len() >= most {
            return Err(Error::limit(format!("the split image has more than {most} parts")).in_path(name));
        }
        names.push(name);
        part = next;
    }
    Ok(names)
}

/// Endings that are words, not counts, though they are letters.
const WORDS: [&str; 22] = [
    "img", "raw", "bin", "iso", "log", "txt", "map", "csv", "xml", "dd", "gz", "xz", "zst", "bz", "lz", "bak", "cfg",
    "doc", "pdf", "zip", "json", "partial",
];

/// Refuses a set that goes on after a part that is not there.
fn refuse_gap(first: &Part, files: &[String], lens: &[u64], folder: &Folder) -> Result<()> {
    let missing = |expected: String, there: Option<&str>| {
        let there = there.map_or_else(String::new, |name| format!(", but {name} is there"));
        let readable: u64 = lens.iter().sum();
        Error::corrupt(format!(
            "part {expected} of the split image is missing{there}; the first {readable} bytes can be read"
        ))
        .at(readable)
        .in_path(&files[0])
    };
    let mut part = first.clone();
    for _ in 1..files.len() {
        let taken = |next: &Part| files.iter().any(|f| f.eq_ignore_ascii_case(&next.name()));
        match part.followers().into_iter().find(taken) {
            Some(next) => part = next,
            None => break,
        }
    }
    let last = part.rank();
    let next = part.followers().into_iter().next();
    if let (Some(total), Some(next)) = (first.total(), &next)
        && (files.len() as u64) < total
    {
        return Err(missing(next.name(), None));
    }
    let later = folder
        .names()
        .filter_map(|name| part.rank_of(name).filter(|rank| *rank > last).map(|rank| (rank, name)))
        .filter(|(rank, name)| !first.is_letters() || is_near(*rank - last, &name[first.stem.len()..], lens))
        .min();
    match (later, next) {
        (Some((_, there)), Some(next)) => Err(missing(next.name(), Some(there))),
        _ => Ok(()),
    }
}

/// Whether a file that lies `distance` after the last part is more likely to be a part than to end in a word.
fn is_near(distance: u64, suffix: &str, lens: &[u64]) -> bool {
    let is_word = WORDS.iter().any(|word| suffix.eq_ignore_ascii_case(word));
    // The last part of a set is the only one that is shorter, so a set that ends in a long one may not end there.
    let ends_long = lens.len() > 1 && lens.last() == lens.first();
    !is_word && (ends_long || distance <= 26.max(lens.len() as u64))
}

/// Warnings about parts that are shorter than those around them, as a part cut off by a full medium would be.
fn odd_lens(files: &[String], lens: &[u64]) -> Vec<String> {
    let Some((_, middle)) = lens.split_last() else { return Vec::new() };
    let full = middle.iter().copied().max().unwrap_or(0);
    let short: Vec<_> = (0..middle.len()).filter(|i| lens[*i] < full).collect();
    match short[..] {
        [i] if middle.len() > 1 => vec![format!(
            "{} has {} bytes, the parts around it have {full}: it may have been cut off",
            files[i], lens[i]
        )],
        _ => Vec::new(),
    }
}
