//! The journal of a rescue: what is safely stored, in the order it came to be.
//!
//! ```text
//! tintype rescue journal 1
//! {header as JSON}
//! r 0 1048576 + 0          a range, its status and how often it failed
//! c 0123abcd               everything since the last such line is on the medium; CRC-32 of those lines
//! m 89abcdef               the mapfile was written, with this CRC-32
//! ```
//!
//! What follows the last `c` or `m` line that is right is what a power cut left over, and is ignored.

use super::{Fate, Ledger, Status};
use crate::identity::SourceId;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use tintype_codec::checksum::crc32;
use tintype_core::{Error, Result};

const MAGIC: &str = "tintype rescue journal 1";

/// Longest journal that is read.
const MOST: u64 = 4 << 30;

/// What the journal belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Program and version.
    pub program: String,
    /// When the rescue began.
    pub started: String,
    /// The drive.
    pub source: SourceId,
    /// The image.
    pub target: String,
}

/// What a journal says.
pub(super) struct Found {
    pub header: Header,
    pub ranges: Vec<(Range<u64>, Fate)>,
    /// CRC-32 of the mapfile as it was written last.
    pub map: Option<u32>,
    // Bytes up to the last line that counts.
    valid: u64,
}

/// The journal at `path`; `None` if there is none. Fails with `Corrupt` if it is something else.
pub(super) fn read(path: &Path) -> Result<Option<Found>> {
    let failed = |e| Error::io("cannot read the journal", e).in_path(path);
    let mut text = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MOST).read_to_end(&mut text).map_err(failed)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let wrong = || Error::corrupt("is not the journal of a rescue").in_path(path);
    let mut lines = text.split_inclusive(|b| *b == b'\n');
    let first = lines.next().unwrap_or_default();
    if first != format!("{MAGIC}\n").as_bytes() {
        return Err(wrong());
    }
    let second = lines.next().unwrap_or_default();
    let header: Header = serde_json::from_slice(second).map_err(|e| wrong().because(e))?;
    let mut found = Found { header, ranges: Vec::new(), map: None, valid: (first.len() + second.len()) as u64 };
    let (mut pending, mut at, mut sum_from) = (Vec::new(), found.valid as usize, found.valid as usize);
    for line in lines {
        let end = at + line.len();
        let Some(words) = std::str::from_utf8(line).ok().and_then(|l| l.strip_suffix('\n')) else { break };
        let words: Vec<_> = words.split(' ').collect();
        match &words[..] {
            ["r", offset, len, status, tries] => {
                let Some(range) = parse_range(offset, len, status, tries) else { break };
                pending.push(range);
            }
            ["c", sum] if u32::from_str_radix(sum, 16) == Ok(crc32(&text[sum_from..at])) => {
                found.ranges.append(&mut pending);
                (found.valid, sum_from) = (end as u64, end);
            }
            ["m", sum] if pending.is_empty() => {
                let Ok(sum) = u32::from_str_radix(sum, 16) else { break };
                found.map = Some(sum);
                (found.valid, sum_from) = (end as u64, end);
            }
            _ => break,
        }
        at = end;
    }
    Ok(Some(found))
}

fn parse_range(offset: &str, len: &str, status: &str, tries: &str) -> Option<(Range<u64>, Fate)> {
    let (offset, len): (u64, u64) = (offset.parse().ok()?, len.parse().ok()?);
    let status = Status::ALL.into_iter().find(|s| status.chars().eq([s.sign()]))?;
    Some((offset..offset.checked_add(len)?, Fate { status, tries: tries.parse().ok()? }))
}

/// A journal being written.
pub(super) struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    /// A new one that begins with everything in `ledger`; takes its name only when it is whole.
    pub fn create(path: &Path, header: &Header, ledger: &Ledger) -> Result<Self> {
        let failed = |e| Error::io("cannot write the journal", e).in_path(path);
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let beside = PathBuf::from(name);
        let file = File::create(&beside).map_err(failed)?;
        let mut log = Log { file, path: path.to_path_buf() };
        let header = serde_json::to_string(header).map_err(|e| Error::usage("the header has no text").because(e))?;
        log.file.write_all(format!("{MAGIC}\n{header}\n").as_bytes()).map_err(failed)?;
        let ranges: Vec<_> = ledger.iter().filter(|(_, f)| f.status != Status::NonTried).collect();
        log.commit(&ranges)?;
        std::fs::rename(&beside, path).map_err(failed)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|f| f.sync_all()).map_err(failed)?;
        Ok(log)
    }

    /// The one that was found, to go on after its last line that counts.
    pub fn reopen(path: &Path, found: &Found) -> Result<Self> {
        let failed = |e| Error::io("cannot write the journal", e).in_path(path);
        let mut file = File::options().write(true).open(path).map_err(failed)?;
        file.set_len(found.valid).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Log { file, path: path.to_path_buf() })
    }

    /// Says that these ranges are on the medium of the target; durable when it returns.
    pub fn commit(&mut self, ranges: &[(Range<u64>, Fate)]) -> Result<()> {
        let mut text = String::new();
        for (range, fate) in ranges {
            // Writing to a string cannot fail.
            let len = range.end - range.start;
            let _ = writeln!(text, "r {} {len} {} {}", range.start, fate.status.sign(), fate.tries);
        }
        let sum = crc32(text.as_bytes());
        let _ = writeln!(text, "c {sum:08x}");
        self.append(&text)
    }

    /// Says that the mapfile was written.
    pub fn mapped(&mut self, map: &[u8]) -> Result<()> {
        self.append(&format!("m {:08x}\n", crc32(map)))
    }

    fn append(&mut self, text: &str) -> Result<()> {
        let failed = |e| Error::io("cannot write the journal", e).in_path(&self.path);
        self.file.write_all(text.as_bytes()).map_err(failed)?;
        self.file.sync_data().map_err(failed)
    }
}
