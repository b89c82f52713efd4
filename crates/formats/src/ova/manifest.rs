//! The manifest: a digest of every file, a line each.

use tintype_codec::digest::{Algorithm, Digest};

/// Longest manifest that is read.
pub(super) const LONGEST: u64 = 1 << 20;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) algorithm: Algorithm,
    pub(super) digest: Digest,
}

/// The lines of a manifest, and those that cannot be understood.
pub(super) fn parse(text: &str) -> (Vec<Line>, Vec<String>) {
    let mut lines = Vec::new();
    let mut wrong = Vec::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        match parse_line(line) {
            Some(parsed) => lines.push(parsed),
            None => wrong.push(line.chars().take(80).collect()),
        }
    }
    (lines, wrong)
}

/// `SHA256(name)= hex`, with blanks or without; a name may have brackets in it.
fn parse_line(line: &str) -> Option<Line> {
    let (before, hex) = line.rsplit_once('=')?;
    let (algorithm, name) = before.trim_end().strip_suffix(')')?.split_once('(')?;
    let algorithm: Algorithm = algorithm.trim().to_ascii_lowercase().replace('-', "").parse().ok()?;
    let digest = Digest::from_hex(&hex.trim().to_ascii_lowercase())?;
    let fits = digest.to_hex().len() == 2 * algorithm.output_len();
    fits.then(|| Line { name: name.trim().to_owned(), algorithm, digest })
}

/// The manifest of these files.
pub(super) fn encode(lines: &[(&str, Digest)]) -> String {
    lines.iter().map(|(name, digest)| format!("SHA256({name})= {}\n", digest.to_hex())).collect()
}
