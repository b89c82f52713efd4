//! Reads a range and finds out which parts of it cannot be read.

use std::path::PathBuf;
use tintype_core::{Error, Extent, Kind, Result, Source, State};

/// A failed read is first tried again in pieces of this many bytes, then by sector.
const PIECE: usize = 64 << 10;

/// After this many failing sectors in a row the rest of the unit is left alone: that is work for `rescue`.
const IN_A_ROW: u32 = 64;

/// Corrupt ranges are narrowed down to this many bytes.
const CORRUPT_GRAIN: usize = 4096;

/// What to do when a read fails.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Further tries for a sector that fails.
    pub retries: u32,
    /// The run ends once more than this many sectors have failed.
    pub max_errors: Option<u64>,
    /// What stands for bytes that could not be read.
    pub fill: Vec<u8>,
    /// True if the fill also replaces what a container stored in its lost ranges.
    pub replace_stored: Replace,
    /// What to do when a container's checksum does not match.
    pub on_corrupt: OnCorrupt,
}

/// Whether a fill replaces what a container stored in its lost ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Stored fills stay.
    Keep,
    /// They are replaced.
    Replace,
}

/// What to do when a container's checksum does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCorrupt {
    /// The run ends.
    Fail,
    /// The range is noted and the run goes on, with zeros there.
    Record,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            retries: 0,
            max_errors: None,
            fill: vec![0],
            replace_stored: Replace::Keep,
            on_corrupt: OnCorrupt::Fail,
        }
    }
}

impl Policy {
    /// Puts the fill into `bytes`, which begin at `offset`; a pattern keeps its phase over the whole image.
    pub fn fill(&self, bytes: &mut [u8], offset: u64) {
        match &self.fill[..] {
            [] => bytes.fill(0),
            [one] => bytes.fill(*one),
            pattern => {
                let phase = (offset % pattern.len() as u64) as usize;
                for (byte, fill) in bytes.iter_mut().zip(pattern.iter().cycle().skip(phase)) {
                    *byte = *fill;
                }
            }
        }
    }
}

/// What a range came to.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Ranges that could not be read, ascending.
    pub lost: Vec<Extent>,
    /// Ranges whose checksum does not match, with the reader's words.
    pub corrupt: Vec<(Extent, String)>,
    /// Sectors that failed.
    pub failed: u64,
}

/// Reads `buf` from `offset`. Fails only with errors that end the run.
pub(crate) fn read(source: &dyn Source, buf: &mut [u8], offset: u64, policy: &Policy) -> Result<Found> {
    match source.read_at(buf, offset) {
        Ok(()) => Ok(Found::default()),
        Err(error) => isolate(source, buf, offset, policy, error),
    }
}

/// Reads `buf` from `offset` after a read that begins there has failed, of all of it or of less.
pub(crate) fn isolate(
    source: &dyn Source,
    buf: &mut [u8],
    offset: u64,
    policy: &Policy,
    error: Error,
) -> Result<Found> {
    let shape = source.shape();
    let sector = shape.physical.max(shape.sector).max(1) as usize;
    let mut reader = Reader { source, policy, sector, row: 0, place: None, found: Found::default() };
    match error.kind() {
        Kind::Unreadable { good, .. } => reader.halves(buf, offset, good as usize)?,
        _ => reader.rejected(buf, offset, error)?,
    }
    Ok(reader.found)
}

/// Reads `buf` from `offset` outside the pipeline; gives the ranges that could not be read, and those the source itself
/// calls lost.
pub fn read_isolated(source: &dyn Source, buf: &mut [u8], offset: u64, policy: &Policy) -> Result<Vec<Extent>> {
    let mut lost = read(source, buf, offset, policy)?.lost;
    for extent in tintype_core::extents(source, offset, offset + buf.len() as u64) {
        let extent = extent?;
        if extent.state.is_lost() {
            lost.push(extent);
        }
    }
    Ok(lost)
}

struct Reader<'a> {
    source: &'a dyn Source,
    policy: &'a Policy,
    sector: usize,
    // Places of the medium that failed since the last good sector, and the last of them.
    row: u32,
    place: Option<(PathBuf, u64)>,
    found: Found,
}

impl Reader<'_> {
    /// A read of `buf` has failed after `good` bytes: what is left is read in smaller steps.
    fn halves(&mut self, buf: &mut [u8], offset: u64, good: usize) -> Result<()> {
        // Only whole sectors before the failure are believed.
        let good = (offset + good.min(buf.len()) as u64) / self.sector as u64 * self.sector as u64;
        let mut at = good.saturating_sub(offset) as usize;
        while at < buf.len() {
            let end = self.boundary(offset, at, PIECE, buf.len());
            let piece = &mut buf[at..end];
            if self.row >= IN_A_ROW {
                self.lose(&mut buf[at..], offset + at as u64, State::Unread);
                return Ok(());
            }
            if piece.len() > self.sector {
                match self.source.read_at(piece, offset + at as u64) {
                    Ok(()) => self.row = 0,
                    Err(e) => match e.kind() {
                        Kind::Unreadable { good, .. } => {
                            self.sectors(&mut buf[at..end], offset + at as u64, good as usize)?
                        }
                        _ => self.rejected(&mut buf[at..end], offset + at as u64, e)?,
                    },
                }
            } else {
                self.sectors(piece, offset + at as u64, 0)?;
            }
            at = end;
        }
        Ok(())
    }

    fn sectors(&mut self, buf: &mut [u8], offset: u64, good: usize) -> Result<()> {
        let good = (offset + good.min(buf.len()) as u64) / self.sector as u64 * self.sector as u64;
        let mut at = good.saturating_sub(offset) as usize;
        if at > 0 {
            self.row = 0;
        }
        while at < buf.len() {
            if self.row >= IN_A_ROW {
                self.lose(&mut buf[at..], offset + at as u64, State::Unread);
                return Ok(());
            }
            let end = self.boundary(offset, at, self.sector, buf.len());
            self.sector(&mut buf[at..end], offset + at as u64)?;
            at = end;
        }
        Ok(())
    }

    fn sector(&mut self, buf: &mut [u8], offset: u64) -> Result<()> {
        let mut failed_at = None;
        for _ in 0..=self.policy.retries {
            match self.source.read_at(buf, offset) {
                Ok(()) => {
                    self.row = 0;
                    return Ok(());
                }
                Err(e) if matches!(e.kind(), Kind::Unreadable { .. }) => failed_at = place(&e),
                Err(e) => return self.rejected(buf, offset, e),
            }
        }
        // All sectors of a container's chunk fail for one bad sector of its file: that is one failure, not many in a row.
        if failed_at.is_none() || failed_at != self.place {
            self.row += 1;
            self.place = failed_at;
        }
        self.found.failed += 1;
        self.lose(buf, offset, State::Bad);
        Ok(())
    }

    /// A read of `buf` has failed, and not for the medium: where a checksum does not match, and that is to be recorded, the
    /// corrupt parts are found. Anything else ends the run.
    fn rejected(&mut self, buf: &mut [u8], offset: u64, error: Error) -> Result<()> {
        match error.kind() {
            Kind::Corrupt if self.policy.on_corrupt == OnCorrupt::Record => {
                // The medium gave the bytes, whatever they are worth.
                self.row = 0;
                self.narrow(buf, offset, error)
            }
            _ => Err(error),
        }
    }

    /// Halves a range until the corrupt parts are as small as the container's own units. Parts of it may be unreadable.
    fn narrow(&mut self, buf: &mut [u8], offset: u64, error: Error) -> Result<()> {
        if buf.len() <= CORRUPT_GRAIN {
            record(buf, offset, &error, &mut self.found);
            return Ok(());
        }
        let before = corrupt_bytes(&self.found);
        let middle = (buf.len() / 2).next_multiple_of(CORRUPT_GRAIN).min(buf.len() - 1);
        let (left, right) = buf.split_at_mut(middle);
        for (part, at) in [(left, offset), (right, offset + middle as u64)] {
            if let Err(e) = self.source.read_at(part, at) {
                match e.kind() {
                    Kind::Corrupt => self.narrow(part, at, e)?,
                    Kind::Unreadable { good, .. } => self.halves(part, at, good as usize)?,
                    _ => return Err(e),
                }
            }
        }
        if corrupt_bytes(&self.found) == before {
            // Whatever it was, the bytes were not proved when they were asked for at once.
            record(buf, offset, &error, &mut self.found);
        }
        Ok(())
    }

    fn lose(&mut self, buf: &mut [u8], offset: u64, state: State) {
        self.policy.fill(buf, offset);
        note(&mut self.found.lost, Extent::new(offset, buf.len() as u64, state));
    }

    /// The end of the step that begins at `at`: the next multiple of `step`, as an index into the buffer.
    fn boundary(&self, offset: u64, at: usize, step: usize, len: usize) -> usize {
        let absolute = offset + at as u64;
        let next = (absolute / step as u64 + 1) * step as u64;
        ((next - offset) as usize).min(len)
    }
}

fn note(list: &mut Vec<Extent>, extent: Extent) {
    match list.last_mut() {
        Some(last) if last.state == extent.state && last.end() == extent.offset => last.len += extent.len,
        _ => list.push(extent),
    }
}

/// The file and offset at the bottom of an error.
fn place(error: &Error) -> Option<(PathBuf, u64)> {
    let mut lowest = error;
    while let Some(cause) = std::error::Error::source(lowest).and_then(|cause| cause.downcast_ref::<Error>()) {
        lowest = cause;
    }
    Some((lowest.path()?.to_path_buf(), lowest.offset()?))
}

fn corrupt_bytes(found: &Found) -> u64 {
    found.corrupt.iter().map(|(extent, _)| extent.len).sum()
}

fn record(buf: &mut [u8], offset: u64, error: &Error, found: &mut Found) {
    let extent = Extent::new(offset, buf.len() as u64, State::Data);
    buf.fill(0);
    match found.corrupt.last_mut() {
        Some((last, words)) if last.end() == offset && *words == error.to_string() => last.len += extent.len,
        _ => found.corrupt.push((extent, error.to_string())),
    }
}
