//! Ranges on demand: a rescue that reads what it is asked for, line by line.
//!
//! | line | does | answer |
//! |---|---|---|
//! | `c POS SIZE` | reads what is missing of a range, with all passes of the plan | `done` |
//! | `s POS SIZE` | says what is known of it | blocks as in a mapfile, then `done` |
//! | `u` | writes the mapfile | `done` |
//! | `f`, or the end of the lines | ends | `done` |
//! | `q` | ends | nothing |
//!
//! Everything else is answered by `error` and a reason. Lines and answers are those of ddrescue's command mode.

use super::passes::Rescue;
use crate::map::Domain;
use std::io::Write;
use std::ops::Range;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tintype_core::{Error, Result, Watch};

/// How often somebody who waits for a line looks whether to go on.
const LOOK: Duration = Duration::from_millis(100);

/// Reads a number as it is written on a line.
pub type Number = fn(&str) -> Result<u64>;

/// Where lines come from and answers go to.
pub struct Console {
    /// The lines; they end when the other side is dropped.
    pub lines: Receiver<String>,
    /// The answers.
    pub answers: Box<dyn Write + Send>,
    /// How positions and sizes are written.
    pub number: Number,
}

enum Command {
    Copy(Range<u64>),
    Status(Range<u64>),
    Update,
    Finish,
    Quit,
}

impl Console {
    fn answer(&mut self, text: &str) -> Result<()> {
        let said = writeln!(self.answers, "{text}").and_then(|()| self.answers.flush());
        said.map_err(|e| Error::io("nobody hears the answers", e))
    }

    /// The next line; nothing at their end.
    fn line(&self, watch: &dyn Watch) -> Result<Option<String>> {
        loop {
            match self.lines.recv_timeout(LOOK) {
                Ok(line) => return Ok(Some(line)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if watch.cancelled() => return Err(Error::cancelled()),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn parse(&self, line: &str) -> std::result::Result<Command, String> {
        let words: Vec<_> = line.split_whitespace().collect();
        let range = || -> std::result::Result<Range<u64>, String> {
            match words[..] {
                [_, pos, size] => {
                    let number = |text| (self.number)(text).map_err(|e| e.to_string());
                    let (pos, size) = (number(pos)?, number(size)?);
                    Ok(pos..pos.saturating_add(size))
                }
                _ => Err("a position and a size are wanted".into()),
            }
        };
        match words.first().copied() {
            Some("c") => Ok(Command::Copy(range()?)),
            Some("s") => Ok(Command::Status(range()?)),
            Some("u") if words.len() == 1 => Ok(Command::Update),
            Some("f") if words.len() == 1 => Ok(Command::Finish),
            Some("q") if words.len() == 1 => Ok(Command::Quit),
            Some(word) => Err(format!("unknown command '{word}'")),
            None => Err("an empty line".into()),
        }
    }
}

impl Rescue<'_> {
    /// Does what the lines say; what they leave out is not read.
    pub(super) fn obey(&mut self, console: &mut Console, watch: &dyn Watch) -> Result<()> {
        let meant = self.ledger.domain().clone();
        loop {
            let command = match console.line(watch)? {
                None => Command::Finish,
                Some(line) => match console.parse(&line) {
                    Ok(command) => command,
                    Err(why) => {
                        console.answer(&format!("error: {why}"))?;
                        continue;
                    }
                },
            };
            match command {
                Command::Copy(range) => {
                    let part = Domain::of(meant.within(range)).in_units(self.plan.sector, self.ledger.len());
                    self.ledger.restrict(&part);
                    let run = self.run();
                    self.ledger.restrict(&meant);
                    run?;
                }
                Command::Status(range) => {
                    let blocks: Vec<_> = self.ledger.within(range).map(|(r, fate)| (r, fate.status())).collect();
                    let mut at = 0;
                    while at < blocks.len() {
                        let (first, status) = (&blocks[at].0, blocks[at].1);
                        // Neighbours that differ only in how often they were tried are one block.
                        let same = blocks[at..].iter().take_while(|(_, s)| *s == status).count();
                        let end = blocks[at + same - 1].0.end;
                        let line = format!("0x{:08X}  0x{:08X}  {}", first.start, end - first.start, status.sign());
                        console.answer(&line)?;
                        at += same;
                    }
                }
                Command::Update => self.drive.save()?,
                Command::Finish => return console.answer("done"),
                Command::Quit => return Ok(()),
            }
            console.answer("done")?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Bench;
    use super::super::{Ledger, Model, Plan, Status};
    use super::*;
    use std::sync::mpsc::channel;
    use std::sync::{Arc, Mutex};
    use tintype_core::Silent;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<u8>>>);

    impl Write for Heard {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_asked_for_is_read_and_nothing_else() {
        let mut model = Model::default();
        model.kill(8192..8704);
        let mut bench = Bench::new(model, 1 << 20);
        let plan = Plan { exhaustive: true, retries: 0, ..Plan::new(512, 512) };
        let mut rescue = Rescue::new(&mut bench, Ledger::new(1 << 20), plan);
        let (sender, lines) = channel();
        for line in ["c 4096 8192", "s 0 20480", "c 1", "x", "u", "f", "c 0 512"] {
            sender.send(line.to_owned()).unwrap();
        }
        let heard = Heard::default();
        let number = |text: &str| text.parse().map_err(|_| Error::usage("no number"));
        let mut console = Console { lines, answers: Box::new(heard.clone()), number };
        rescue.obey(&mut console, &Silent::default()).unwrap();
        assert_eq!(rescue.ledger.total(Status::Finished), 7680);
        let said = String::from_utf8(heard.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            said.lines().collect::<Vec<_>>(),
            [
                "done",
                "0x00000000  0x00001000  ?",
                "0x00001000  0x00001000  +",
                "0x00002000  0x00000200  -",
                "0x00002200  0x00000E00  +",
                "0x00003000  0x00002000  ?",
                "done",
                "error: a position and a size are wanted",
                "error: unknown command 'x'",
                "done",
                "done",
            ]
        );
    }
}
