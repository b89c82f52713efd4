//! What each lane gets of a unit, made bit by bit while its bytes are near the processor.

use super::lease::Lease;
use tintype_core::{Coded, Encoder, Error, Extent, State};

/// What one lane gets of a unit.
#[derive(Default)]
pub(crate) struct Line {
    /// Zeros all over, in this state.
    pub run: Option<State>,
    /// As in [`tintype_core::PieceBody::Bytes`].
    pub marks: Vec<Extent>,
    /// Why its encoder could not.
    pub error: Option<Error>,
    // Where its part of the unit begins, once something has come.
    from: Option<u64>,
}

impl Line {
    fn encode(
        &mut self,
        encoder: Option<&mut Box<dyn Encoder>>,
        plain: &[u8],
        offset: u64,
        marks: &[Extent],
        out: &mut Coded,
    ) {
        if let Some(encoder) = encoder
            && self.error.is_none()
        {
            self.error = encoder.encode(plain, offset, marks, out).err();
        }
        for mark in marks {
            match self.marks.last_mut() {
                Some(last) if last.state == mark.state && last.end() == mark.offset => last.len += mark.len,
                _ => self.marks.push(*mark),
            }
        }
    }
}

/// The lines of a unit while they are made.
pub(crate) struct Lines {
    lines: Vec<Line>,
    coded: Vec<Coded>,
    /// Where the unit has been given to the lanes up to; 0 before the first byte.
    pub to: u64,
}

impl Lines {
    /// Nothing yet, for so many lanes.
    pub fn new(lease: &mut Lease, lanes: usize) -> Self {
        Lines { lines: (0..lanes).map(|_| Line::default()).collect(), coded: lease.coded(lanes), to: 0 }
    }

    /// The whole unit is a run.
    pub fn run(&mut self, lane: usize, state: State) {
        self.lines[lane].run = Some(state);
    }

    /// The next bytes of a unit that begins at `offset`, from `start` to the end of `bytes`, which begins with the unit.
    ///
    /// As long as they are all in one state that needs no bytes, they are put off: perhaps the whole unit is.
    pub fn bytes(
        &mut self,
        lane: usize,
        mut encoder: Option<&mut Box<dyn Encoder>>,
        bytes: &[u8],
        offset: u64,
        start: u64,
        marks: &[Extent],
    ) {
        let line = &mut self.lines[lane];
        let first = line.from.is_none();
        let from = *line.from.get_or_insert(start);
        let whole = whole(marks, start, offset + bytes.len() as u64 - start);
        if whole.is_some() && (first || whole == line.run) {
            line.run = whole;
            return;
        }
        let plain = |from: u64, to: u64| &bytes[(from - offset) as usize..(to - offset) as usize];
        let out = &mut self.coded[lane];
        if let Some(state) = line.run.take() {
            let put_off = Extent::new(from, start - from, state);
            line.encode(encoder.as_deref_mut(), plain(from, start), from, &[put_off], out);
        }
        line.encode(encoder, &bytes[(start - offset) as usize..], start, marks, out);
    }

    /// The finished lines; what encoders made goes back with the lease.
    pub fn finish(self, lease: &mut Lease) -> Vec<Line> {
        lease.keep(self.coded);
        self.lines
    }
}

/// The one state that a range is in, if it needs no bytes.
fn whole(marks: &[Extent], offset: u64, len: u64) -> Option<State> {
    match marks {
        [only] if only.offset == offset && only.len == len && only.state.reads_zero() => Some(only.state),
        _ => None,
    }
}
