//! From a map to text.

use super::{Mapfile, Progress, Status};
use std::io::{Result, Write};
use std::ops::Range;

/// What the comments at the head of a mapfile say to people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heading {
    /// The program and its version.
    pub program: String,
    /// The command line; empty for none.
    pub command: String,
    /// When the run began, `YYYY-MM-DD HH:MM:SS`; empty for not told.
    pub started: String,
    /// When the map was written; empty for not told.
    pub now: String,
    /// What the run is doing, in words; empty for nothing.
    pub doing: String,
}

impl Heading {
    /// The heading that only names a program.
    pub fn of(program: impl Into<String>) -> Self {
        Heading { program: program.into(), ..Heading::default() }
    }
}

impl Mapfile {
    /// Writes it, to the byte as ddrescue does but for the comments.
    pub fn write(&self, heading: &Heading, out: &mut dyn Write) -> Result<()> {
        write(heading, &self.progress, self.blocks.iter(), out)
    }

    /// Its text.
    pub fn text(&self, heading: &Heading) -> String {
        let mut bytes = Vec::new();
        self.write(heading, &mut bytes).expect("memory can be written");
        String::from_utf8(bytes).expect("it is written from text")
    }
}

/// Writes the mapfile of `blocks`, which have to be ascending and without gaps.
pub fn write(
    heading: &Heading,
    progress: &Progress,
    blocks: impl Iterator<Item = (Range<u64>, Status)>,
    out: &mut dyn Write,
) -> Result<()> {
    let Heading { program, command, started, now, doing } = heading;
    let lines = [
        ("Mapfile. Created by ", program),
        ("Command line: ", command),
        ("Start time:   ", started),
        ("Current time: ", now),
        ("", doing),
    ];
    for (what, text) in lines.into_iter().filter(|(_, text)| !text.is_empty()) {
        // A line break in a file's name must not end the comment.
        let text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        writeln!(out, "# {what}{text}")?;
    }
    let Progress { pos, phase, pass } = progress;
    writeln!(out, "# current_pos  current_status  current_pass")?;
    writeln!(out, "0x{pos:08X}     {}               {pass}", phase.sign())?;
    writeln!(out, "#      pos        size  status")?;
    for (range, status) in blocks {
        writeln!(out, "0x{:08X}  0x{:08X}  {}", range.start, range.end - range.start, status.sign())?;
    }
    Ok(())
}
