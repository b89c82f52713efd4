//! What the program prints, and with which status it ends.

use crate::cli::Common;
use serde::Serialize;
use std::io::Write;
use tintype_core::{Error, Kind};

/// The exit status, by what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done, and as good as the source.
    Done = 0,
    /// This run found loss, damage or difference.
    Found = 1,
    /// Refused or wrong usage: nothing was touched.
    Refused = 2,
    /// Could not be carried out.
    Failed = 3,
    /// Stopped by a signal.
    Stopped = 130,
}

impl Status {
    /// The status of a run that ended with `error`.
    pub fn of(error: &Error) -> Self {
        match error.kind() {
            Kind::Usage | Kind::Denied => Status::Refused,
            Kind::Cancelled => Status::Stopped,
            _ => Status::Failed,
        }
    }
}

/// Where the one result document goes, and text for people.
pub struct Output<'a> {
    common: &'a Common,
    stdout: Stdout,
}

/// Whether standard output carries an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdout {
    /// It is free for results.
    Results,
    /// An image goes there.
    Image,
}

impl<'a> Output<'a> {
    /// Output as `common` asks for it.
    pub fn new(common: &'a Common, stdout: Stdout) -> Self {
        Output { common, stdout }
    }

    /// Prints the result: the JSON document where one was asked for, and the text unless that is the only output.
    pub fn result(&self, value: &impl Serialize, text: &str) -> Result<(), Error> {
        let json = || {
            serde_json::to_string_pretty(value)
                .map(|text| text + "\n")
                .map_err(|e| Error::usage("the result has no JSON form").because(e))
        };
        match self.common.json.as_deref() {
            Some("-") => self.print(&json()?)?,
            Some(path) => {
                std::fs::write(path, json()?).map_err(|e| Error::io("cannot write the result", e).in_path(path))?;
                self.text(text)?;
            }
            None => self.text(text)?,
        }
        Ok(())
    }

    fn text(&self, text: &str) -> Result<(), Error> {
        if self.common.quiet { Ok(()) } else { self.print(text) }
    }

    fn print(&self, text: &str) -> Result<(), Error> {
        let printed = match self.stdout {
            Stdout::Results => {
                std::io::stdout().lock().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush())
            }
            Stdout::Image => std::io::stderr().lock().write_all(text.as_bytes()),
        };
        match printed {
            // Whoever closed the pipe has seen enough; the work is done all the same.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|e| Error::io("the work is done, but its result cannot be printed", e)),
        }
    }
}

/// Prints why a run ended, once, with its causes.
pub fn failure(error: &Error, json: Option<&str>, stdout: Stdout) {
    let _ = writeln!(std::io::stderr().lock(), "tintype: {}", error.chain());
    let Some(place) = json else { return };
    let document = serde_json::json!({
        "error": {
            "kind": error.kind().name(),
            "message": error.chain(),
            "path": error.path().map(|p| p.to_string_lossy()),
            "offset": error.offset(),
        }
    });
    let text = format!("{document:#}\n");
    let _ = match (place, stdout) {
        ("-", Stdout::Results) => std::io::stdout().lock().write_all(text.as_bytes()),
        ("-", Stdout::Image) => std::io::stderr().lock().write_all(text.as_bytes()),
        (path, _) => std::fs::write(path, text),
    };
}
