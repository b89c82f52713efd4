//! A run of bytes and what is known about it.

use std::fmt;

/// What is known about a run of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Bytes that were read from the medium or that a container stores.
    Data,
    /// Known zeros: a hole in a regular file, or zeros a container records as such.
    Zero,
    /// No file system uses it. Reads as zeros but is no evidence of zeros.
    Unused,
    /// Tried, failed. What stands there is a fill.
    Bad,
    /// Not, or not finally, tried. What stands there is a fill.
    Unread,
}

impl State {
    /// Every state, in the order reports list them.
    pub const ALL: [State; 5] = [State::Data, State::Zero, State::Unused, State::Bad, State::Unread];

    /// The name used in JSON output and in reports.
    pub fn name(self) -> &'static str {
        match self {
            State::Data => "data",
            State::Zero => "zero",
            State::Unused => "unused",
            State::Bad => "bad",
            State::Unread => "unread",
        }
    }

    /// True where the bytes are not those of the medium.
    pub fn is_lost(self) -> bool {
        matches!(self, State::Bad | State::Unread)
    }

    /// True where the bytes are zeros without being read.
    pub fn reads_zero(self) -> bool {
        matches!(self, State::Zero | State::Unused)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of states, such as the ones a format can carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct States(u8);

impl States {
    /// The set of exactly these states.
    pub const fn of(states: &[State]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < states.len() {
            bits |= 1 << states[i] as u8;
            i += 1;
        }
        States(bits)
    }

    /// True if `state` is in the set.
    pub fn has(self, state: State) -> bool {
        self.0 & (1 << state as u8) != 0
    }
}

/// A run of bytes in one state. `len` is never zero, and `offset + len` never overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// What is known about them.
    pub state: State,
}

impl Extent {
    /// The extent of `len` bytes from `offset`.
    pub fn new(offset: u64, len: u64, state: State) -> Self {
        Extent { offset, len, state }
    }

    /// The first byte after it.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    /// The part of it inside `[from, to)`, if any.
    pub fn clip(&self, from: u64, to: u64) -> Option<Extent> {
        let start = self.offset.max(from);
        let end = self.end().min(to);
        (start < end).then(|| Extent::new(start, end - start, self.state))
    }
}

/// Where a run of bytes lies in its container, for people who look inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// The file that holds it, by the name the opener knows.
    pub file: Option<String>,
    /// Its offset in that file.
    pub host_offset: Option<u64>,
    /// Its length in that file.
    pub stored_len: Option<u64>,
    /// True if it is stored compressed.
    pub compressed: bool,
    /// How many backing files down it lies.
    pub depth: u32,
}
