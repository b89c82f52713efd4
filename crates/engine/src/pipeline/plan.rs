//! Cuts the input into units.

use super::Input;
use super::lease::Lease;
use std::io::Read;
use std::sync::Arc;
use tintype_core::{Error, Extent, Result, Source, State};

/// Longest run of zeros handed on as one unit: short enough to stop and to show progress between two. Of a disk of more than 16 TiB it
/// is longer, so that there are no more units.
const LONGEST_RUN: u64 = 256 << 20;
/// Most units of such a length that a disk has.
const MOST_RUNS: u64 = 1 << 16;

/// The same where workers hash it: short enough for each to have its share.
const SHARED_RUN: u64 = 16 << 20;

/// How runs of zeros are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    /// Nobody does anything with them.
    Long,
    /// Workers hash them.
    Shared,
}

/// What a worker does next.
pub(crate) struct Task {
    /// Its place in the order.
    pub seq: u64,
    pub offset: u64,
    pub len: u64,
    pub work: Work,
}

pub(crate) enum Work {
    /// Read it; the extents are those inside it that are not data.
    Read(Arc<dyn Source>, Vec<Extent>),
    /// Bytes of a stream, already in the lease.
    Filled,
    /// Zeros in one state.
    Run(State),
}

/// Gives out tasks in ascending order. Units begin at multiples of the unit; only the last one may end elsewhere.
pub(crate) struct Planner {
    input: Input,
    at: u64,
    seq: u64,
    unit: u64,
    longest_run: u64,
    // The last extent the source told of, to ask once for each.
    extent: Option<Extent>,
    ended: bool,
}

impl Planner {
    pub fn new(input: Input, from: u64, unit: u64, runs: Runs) -> Self {
        let longest_run = match runs {
            Runs::Long => match &input {
                Input::Source(source) => LONGEST_RUN.max((source.len() / MOST_RUNS) / unit * unit),
                Input::Stream(..) => LONGEST_RUN,
            },
            Runs::Shared => SHARED_RUN,
        };
        Planner { input, at: from, seq: 0, unit, longest_run, extent: None, ended: false }
    }

    /// The next task; `None` at the end. `lease` receives the bytes where they come from a stream.
    pub fn next(&mut self, lease: &mut Lease) -> Result<Option<Task>> {
        if self.ended {
            return Ok(None);
        }
        let (len, work) = match &mut self.input {
            Input::Stream(stream, promised) => {
                let len = fill(stream, lease.prepare(self.unit as usize)).map_err(|e| e.at(self.at))? as u64;
                lease.truncate(len as usize);
                // A short unit is the last one: only the end of the stream leaves a unit unfilled.
                self.ended = len < self.unit;
                if let Some(promised) = *promised
                    && (self.at + len > promised || (self.ended && self.at + len < promised))
                {
                    let what = if self.ended { "ended before" } else { "went on after" };
                    return Err(Error::corrupt(format!("the stream {what} the {promised} bytes that --size promised"))
                        .at(self.at + len));
                }
                (len, Work::Filled)
            }
            Input::Source(source) => {
                let source = Arc::clone(source);
                let (len, work) = self.cut(&source)?;
                self.ended = len == 0;
                (len, work)
            }
        };
        if len == 0 {
            self.ended = true;
            return Ok(None);
        }
        let task = Task { seq: self.seq, offset: self.at, len, work };
        self.seq += 1;
        self.at += len;
        Ok(Some(task))
    }

    fn cut(&mut self, source: &Arc<dyn Source>) -> Result<(u64, Work)> {
        let size = source.len();
        if self.at >= size {
            return Ok((0, Work::Filled));
        }
        let here = self.extent_at(&**source, self.at)?;
        let whole = |end: u64| if end == size { end } else { end / self.unit * self.unit };
        if here.state.reads_zero() {
            let end = whole(here.end().min(self.at / self.unit * self.unit + self.longest_run.max(self.unit)));
            if end > self.at {
                return Ok((end - self.at, Work::Run(here.state)));
            }
        }
        let end = ((self.at / self.unit + 1) * self.unit).min(size);
        let mut states: Vec<Extent> = Vec::new();
        let mut at = self.at;
        while at < end {
            let extent = self.extent_at(&**source, at)?;
            let piece =
                extent.clip(at, end).ok_or_else(|| Error::corrupt("an extent does not cover its offset").at(at))?;
            match states.last_mut() {
                _ if piece.state == State::Data => {}
                Some(last) if last.state == piece.state && last.end() == piece.offset => last.len += piece.len,
                _ => states.push(piece),
            }
            at = piece.end();
        }
        Ok((end - self.at, Work::Read(Arc::clone(source), states)))
    }

    fn extent_at(&mut self, source: &dyn Source, offset: u64) -> Result<Extent> {
        if let Some(extent) = self.extent
            && extent.offset <= offset
            && offset < extent.end()
        {
            return Ok(extent);
        }
        let extent = source.extent_at(offset)?;
        if extent.offset > offset || extent.end() <= offset {
            return Err(Error::corrupt("an extent does not cover its offset").at(offset));
        }
        self.extent = Some(extent);
        Ok(extent)
    }
}

fn fill(stream: &mut dyn Read, buf: &mut [u8]) -> Result<usize> {
    let mut len = 0;
    while len < buf.len() {
        match stream.read(&mut buf[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("cannot read the stream", e)),
        }
    }
    Ok(len)
}
