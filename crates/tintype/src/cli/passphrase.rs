//! Where the passphrase of an encrypted image comes from.

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use tintype_core::{Error, Result, Secrets};

/// Longest passphrase, in bytes.
const LONGEST: u64 = 64 << 10;

/// Where to look for it.
pub enum Passphrase {
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// The person at the terminal, asked once per image.
    Terminal,
}

impl Secrets for Passphrase {
    fn passphrase(&self, what: &str) -> Result<Vec<u8>> {
        match self {
            Passphrase::File(path) => from_file(path),
            Passphrase::Environment(name) => {
                use std::os::unix::ffi::OsStringExt;
                let value = std::env::var_os(name);
                Ok(value
                    .ok_or_else(|| Error::usage(format!("--passphrase-env {name}: there is no such variable")))?
                    .into_vec())
            }
            Passphrase::Terminal => ask(what),
        }
    }
}

fn from_file(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    let failed = |e| Error::io("cannot read the passphrase", e).in_path(path);
    let mut text = Vec::new();
    File::open(path).map_err(failed)?.take(LONGEST + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > LONGEST {
        return Err(Error::usage(format!("holds more than {LONGEST} bytes, which is no passphrase")).in_path(path));
    }
    Ok(without_end_of_line(text))
}

fn without_end_of_line(mut text: Vec<u8>) -> Vec<u8> {
    if text.last() == Some(&b'\n') {
        text.pop();
        if text.last() == Some(&b'\r') {
            text.pop();
        }
    }
    text
}

/// Asks on the terminal without showing what is typed.
fn ask(what: &str) -> Result<Vec<u8>> {
    let none = || Error::denied("is encrypted; give --passphrase-file or --passphrase-env").in_path(what);
    let mut tty = File::options().read(true).write(true).open("/dev/tty").map_err(|_| none())?;
    let shown = tcgetattr(&tty).map_err(|_| none())?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    let failed = |e| Error::io("cannot ask for the passphrase", e);
    write!(tty, "Passphrase of {what}: ").map_err(failed)?;
    tcsetattr(&tty, OptionalActions::Flush, &hidden).map_err(|e| failed(e.into()))?;
    let mut line = Vec::new();
    let read = BufReader::new(&tty).read_until(b'\n', &mut line);
    tcsetattr(&tty, OptionalActions::Flush, &shown).map_err(|e| failed(e.into()))?;
    writeln!(tty).map_err(failed)?;
    read.map_err(failed)?;
    if line.is_empty() {
        return Err(none());
    }
    Ok(without_end_of_line(line))
}
