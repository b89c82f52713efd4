//! The journal of a rescue: what is safely stored, in the order it came to be.
//!
//! ```text
//! tintype rescue journal 3
//! {header as JSON}
//! h 76543210               CRC-32 of the line before
//! r 0 1048576 + 0 q        a range, its status, how often it failed, and how long the last read took
//! r 1048576 512 - 2 l ms31100   the same, and why the last read failed
//! c 0123abcd               everything since the last such line is on the medium; CRC-32 of those lines
//! m 89abcdef               the mapfile is about to be replaced by one with this CRC-32
//! ```
//!
//! What follows the last `c` or `m` line that is right is what a power cut left over, and is ignored. A journal that has grown far
//! beyond what it says is written anew, beside the old one, and takes its name when it is whole. Version 2 does not say how long reads took
//! and why they failed; it is read, and written anew before anything is added.

use super::{Cause, Causes, Fate, Status, Took};
use crate::identity::SourceId;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;
use tintype_codec::checksum::crc32;
use tintype_core::{Error, File, Outlet, RangeMap, Result};
use tintype_device::Why;

const MAGIC: &str = "tintype rescue journal 3";

/// What a journal begins with that says less of its ranges.
const OLDER: &str = "tintype rescue journal 2";

/// Longest journal that is read; it is compacted long before.
const MOST: u64 = 4 << 30;

/// Longest line that is read: the header holds names.
const LONGEST: usize = 64 << 10;

/// Ranges that are vouched for by one `c` line, at most: what is read is held back until its line comes.
const GROUP: usize = 4096;

/// Bytes of a range in a journal, about.
const LINE: u64 = 32;

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
    /// Which drive the image is, if it is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub medium: Option<SourceId>,
}

/// What a journal says.
pub(super) struct Found {
    pub header: Header,
    /// What is not named was not tried.
    pub fates: RangeMap<Fate>,
    /// The causes that these name.
    pub causes: Causes,
    /// True if it is of an older version, and has to be written anew before anything is added.
    pub older: bool,
    /// CRC-32 of the mapfiles that say nothing new, the latest last: it may not have got its name.
    pub maps: Vec<u32>,
    /// Bytes at the end that count for nothing.
    pub ignored: u64,
    // Bytes up to the last line that counts.
    valid: u64,
}

/// The journal called `name`; `None` if there is none. Fails with `Corrupt` if it is something else.
pub(super) fn read(outlet: &dyn Outlet, name: &str) -> Result<Option<Found>> {
    if !outlet.exists(name)? {
        return Ok(None);
    }
    let file = outlet.reopen(name)?;
    let len = file.len()?;
    if len > MOST {
        return Err(Error::limit(format!("is longer than {MOST} bytes, so it is no journal")).in_path(name));
    }
    let mut lines = Lines { text: BufReader::with_capacity(1 << 20, Reading { file, at: 0, len }), line: Vec::new() };
    let wrong =
        |why: &str| Error::corrupt(format!("{why}; move it away, and the mapfile is what counts")).in_path(name);
    let failed = |e| Error::io("cannot read the journal", e).in_path(name);
    let mut valid = 0;
    let older = match lines.next().map_err(failed)? {
        Some(line) if line == MAGIC.as_bytes() => false,
        Some(line) if line == OLDER.as_bytes() => true,
        _ => return Err(wrong("is not the journal of a rescue, or of a version that this program does not know")),
    };
    valid += lines.bytes();
    let header = lines.next().map_err(failed)?.unwrap_or_default().to_vec();
    valid += lines.bytes();
    let sum = format!("h {:08x}", crc32(&with_newline(&header)));
    if lines.next().map_err(failed)?.is_none_or(|line| line != sum.as_bytes()) {
        return Err(wrong("is damaged: its head is not what was written"));
    }
    valid += lines.bytes();
    let header: Header =
        serde_json::from_slice(&header).map_err(|e| wrong("is not the journal of a rescue").because(e))?;
    let causes = Causes::new();
    let mut found =
        Found { header, fates: RangeMap::new(), causes: causes.clone(), older, maps: Vec::new(), ignored: 0, valid };
    let (mut group, mut ranges, mut at) = (Vec::new(), Vec::new(), valid);
    let words_of_range = |n| if older { n == 4 } else { (5..=6).contains(&n) };
    while let Some(line) = lines.next().map_err(failed)? {
        let Ok(text) = std::str::from_utf8(line) else { break };
        let mut words = text.split(' ');
        match (words.next(), words.clone().count()) {
            (Some("r"), n) if words_of_range(n) && ranges.len() < GROUP => {
                let Some(range) = parse_range(words) else { break };
                ranges.push(range);
                group.extend_from_slice(line);
                group.push(b'\n');
                at += lines.bytes();
                continue;
            }
            (Some("c"), 1) if parse_sum(words.next()) == Some(crc32(&group)) => {
                // Only what is vouched for is remembered as a cause: there is room for few.
                for (range, fate, took, why) in ranges.drain(..) {
                    let cause = why.map_or(Cause::NONE, |why| causes.number(why));
                    found.fates.set(range, Fate::after(fate, took, cause));
                }
                group.clear();
            }
            (Some("m"), 1) if ranges.is_empty() => {
                let Some(sum) = parse_sum(words.next()) else { break };
                remember(&mut found.maps, sum);
            }
            _ => break,
        }
        at += lines.bytes();
        found.valid = at;
    }
    found.ignored = len - found.valid;
    Ok(Some(found))
}

/// Keeps the last two.
fn remember(maps: &mut Vec<u32>, sum: u32) {
    maps.push(sum);
    if maps.len() > 2 {
        maps.remove(0);
    }
}

fn with_newline(line: &[u8]) -> Vec<u8> {
    [line, b"\n"].concat()
}

fn parse_sum(word: Option<&str>) -> Option<u32> {
    u32::from_str_radix(word.filter(|w| w.len() == 8)?, 16).ok()
}

fn parse_range<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<(Range<u64>, Fate, Took, Option<Why>)> {
    let (offset, len): (u64, u64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let sign = words.next()?;
    let status = Status::ALL.into_iter().find(|s| sign.chars().eq([s.sign()]))?;
    let fate = Fate::new(status, words.next()?.parse().ok()?);
    let took = words.next().map_or(Some(Took::Unknown), Took::of_sign)?;
    let why = words.next().map(|code| Why::of_code(code).ok_or(())).transpose().ok()?;
    Some((offset..offset.checked_add(len)?, fate, took, why))
}

/// A file read from its beginning.
struct Reading {
    file: Arc<dyn File>,
    at: u64,
    len: u64,
}

impl Read for Reading {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let now = (self.len - self.at).min(buf.len() as u64) as usize;
        self.file.read_at(&mut buf[..now], self.at).map_err(std::io::Error::other)?;
        self.at += now as u64;
        Ok(now)
    }
}

/// Whole lines, none longer than [`LONGEST`].
struct Lines {
    text: BufReader<Reading>,
    line: Vec<u8>,
}

impl Lines {
    /// The next line without its end; `None` at the end, or where there is no whole line.
    fn next(&mut self) -> std::io::Result<Option<&[u8]>> {
        self.line.clear();
        (&mut self.text).take(LONGEST as u64).read_until(b'\n', &mut self.line)?;
        Ok(self.line.strip_suffix(b"\n"))
    }

    /// Bytes of the line that was read last, with its end.
    fn bytes(&self) -> u64 {
        self.line.len() as u64
    }
}

/// A journal being written.
pub(super) struct Log {
    outlet: Arc<dyn Outlet>,
    name: String,
    header: Header,
    file: Arc<dyn File>,
    // Where the next line goes; after a write that failed, the same place.
    at: u64,
    maps: Vec<u32>,
    causes: Causes,
}

impl Log {
    /// A new one that begins with everything in `fates`, which mapfiles with the CRC-32s `maps` may have said; takes its name only when
    /// it is whole.
    pub fn create(
        outlet: Arc<dyn Outlet>,
        name: &str,
        header: Header,
        fates: &RangeMap<Fate>,
        causes: Causes,
        maps: Vec<u32>,
    ) -> Result<Self> {
        let whole = Whole::write(&*outlet, name, &header, fates, &causes)?;
        let file = Arc::clone(&whole.file);
        let mut log = Log { outlet, name: name.to_owned(), header, file, at: 0, maps, causes };
        log.replace(whole, &[])?;
        Ok(log)
    }

    /// The one that was found, to go on after its last line that counts.
    pub fn reopen(outlet: Arc<dyn Outlet>, name: &str, found: &Found) -> Result<Self> {
        let file = outlet.reopen(name)?;
        file.set_len(found.valid)?;
        let (header, maps, causes) = (found.header.clone(), found.maps.clone(), found.causes.clone());
        Ok(Log { outlet, name: name.to_owned(), header, file, at: found.valid, maps, causes })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The causes that it knows.
    pub fn causes(&self) -> &Causes {
        &self.causes
    }

    /// What it belongs to.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Says that these ranges are on the medium of the target; durable when it returns.
    pub fn commit(&mut self, ranges: &[(Range<u64>, Fate)]) -> Result<()> {
        self.append(&lines(ranges, &self.causes))
    }

    /// Says which mapfile is about to get its name.
    pub fn mapped(&mut self, sum: u32) -> Result<()> {
        self.append(&format!("m {sum:08x}\n"))?;
        remember(&mut self.maps, sum);
        Ok(())
    }

    /// True if it says much more than `fragments` ranges need, beyond `spare` bytes.
    pub fn is_bloated(&self, fragments: usize, spare: u64) -> bool {
        self.at > spare.saturating_add(2 * LINE * fragments as u64)
    }

    /// Puts another one in its place, which says the same but for `since`.
    pub fn replace(&mut self, whole: Whole, since: &[(Range<u64>, Fate)]) -> Result<()> {
        (self.file, self.at) = (whole.file, whole.len);
        let mut text = lines(since, &self.causes);
        for sum in &self.maps {
            let _ = writeln!(text, "m {sum:08x}");
        }
        self.append(&text)?;
        self.outlet.rename(&fresh(&self.name), &self.name)?;
        self.outlet.sync()
    }

    fn append(&mut self, text: &str) -> Result<()> {
        self.file.write_at(text.as_bytes(), self.at)?;
        self.file.sync()?;
        self.at += text.len() as u64;
        Ok(())
    }
}

/// Lines for ranges, vouched for.
fn lines(ranges: &[(Range<u64>, Fate)], causes: &Causes) -> String {
    let mut text = String::new();
    for group in ranges.chunks(GROUP) {
        let start = text.len();
        for (range, fate) in group {
            // Writing to a string cannot fail.
            let len = range.end - range.start;
            let (sign, took) = (fate.status().sign(), fate.took().sign());
            let _ = write!(text, "r {} {len} {sign} {} {took}", range.start, fate.tries());
            let _ = match causes.why(fate.cause()) {
                Some(why) => writeln!(text, " {}", why.code()),
                None => writeln!(text),
            };
        }
        let sum = crc32(&text.as_bytes()[start..]);
        let _ = writeln!(text, "c {sum:08x}");
    }
    text
}

/// The name under which a file is made that is to be called `name`.
pub(super) fn fresh(name: &str) -> String {
    format!("{name}.new")
}

/// A journal that has no name yet and says everything there is to say.
pub(super) struct Whole {
    file: Arc<dyn File>,
    len: u64,
}

impl Whole {
    /// Writes it beside the one called `name`.
    pub fn write(
        outlet: &dyn Outlet,
        name: &str,
        header: &Header,
        fates: &RangeMap<Fate>,
        causes: &Causes,
    ) -> Result<Self> {
        let fresh = fresh(name);
        if outlet.exists(&fresh)? {
            outlet.remove(&fresh)?;
        }
        let mut whole = Whole { file: outlet.create(&fresh)?, len: 0 };
        let header = serde_json::to_string(header).map_err(|e| Error::usage("the header has no text").because(e))?;
        let sum = crc32(&with_newline(header.as_bytes()));
        whole.add(&format!("{MAGIC}\n{header}\nh {sum:08x}\n"))?;
        let mut ranges = Vec::with_capacity(GROUP);
        for part in fates.iter().filter(|(_, f)| f.status() != Status::NonTried) {
            ranges.push(part);
            if ranges.len() == GROUP {
                whole.add(&lines(&ranges, causes))?;
                ranges.clear();
            }
        }
        whole.add(&lines(&ranges, causes))?;
        whole.file.sync()?;
        Ok(whole)
    }

    fn add(&mut self, text: &str) -> Result<()> {
        self.file.write_at(text.as_bytes(), self.len)?;
        self.len += text.len() as u64;
        Ok(())
    }
}
