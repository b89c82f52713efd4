//! `tintype`: one program for everything people do with disk images.

#![forbid(unsafe_code)]

mod cli;
mod output;
mod report;
mod standing;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
