//! The command line: one file per verb, and the options they share.

mod clone;
mod common;
mod compare;
mod convert;
mod create;
mod devices;
mod domain;
mod files;
mod hash;
mod image;
mod imaging;
mod info;
mod map;
mod pages;
mod passphrase;
mod rescue;
mod restore;
mod verify;

pub use common::{Common, ProgressKind};

use crate::output::{self, Status, Stdout};
use crate::watch::{Teller, hear_signals};
use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;
use tintype_core::{Error, Result};

/// One program for everything people do with disk images.
#[derive(Parser)]
#[command(name = "tintype", version, max_term_width = 110, disable_help_subcommand = true, after_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    common: Common,
}

const AFTER: &str = "\
Examples:
  tintype devices                                  which drive is which
  tintype image /dev/sdb case17.E01 --verify       a proven image of a drive
  tintype verify case17.E01                        prove it again, years later
  tintype restore case17.E01 /dev/sdc --verify     put it back

Exit status: 0 done; 1 loss, damage or difference was found; 2 refused, nothing was touched;
3 could not be carried out; 130 stopped, and the same command goes on.";

#[derive(Subcommand)]
enum Verb {
    /// List the drives of this machine, and what uses them
    Devices(devices::Args),
    /// Say what a source or image is
    Info(info::Args),
    /// Make one or several images of a drive or file in one read
    Image(image::Args),
    /// Image a failing drive, the most valuable data first
    Rescue(Box<rescue::Args>),
    /// Prove an image by its structure, its digests, or against another source
    Verify(verify::Args),
    /// Turn an image of one format into one of another
    Convert(convert::Args),
    /// Make an empty image
    Create(create::Args),
    /// Put an image back onto a drive
    Restore(restore::Args),
    /// Copy one drive onto another
    Clone(clone::Args),
    /// Say where two sources differ
    Compare(compare::Args),
    /// Compute digests of the logical bytes
    Hash(hash::Args),
    /// Look into the file systems of an image: list, print, copy and find files
    Files(files::Args),
    /// Show, combine, compare and convert ddrescue mapfiles
    Map(map::Args),
    /// Write man pages or shell completions
    #[command(hide = true)]
    Pages(pages::Args),
}

/// Runs the command line and gives the status to end with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return unparsed(&e),
    };
    let stdout = cli.verb.stdout();
    let status = match run(&cli, stdout) {
        Ok(status) => status,
        Err(error) => {
            output::failure(&error, cli.common.json.as_deref(), stdout);
            cli.verb.status_of(&error)
        }
    };
    // Threads that hang in a read of a dead drive must not keep the program alive.
    std::process::exit(status as i32)
}

/// Lets the program hold as many files as the system allows: an image may have thousands of segments.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused the old limit holds, and an image that needs more says so when it is opened.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn run(cli: &Cli, stdout: Stdout) -> Result<Status> {
    raise_file_limit();
    hear_signals()?;
    let watch = Teller::new(&cli.common)?;
    let context = Context { common: &cli.common, watch, stdout };
    match &cli.verb {
        Verb::Devices(args) => devices::run(args, &context),
        Verb::Info(args) => info::run(args, &context),
        Verb::Image(args) => image::run(args, &context),
        Verb::Rescue(args) => rescue::run(args, &context),
        Verb::Verify(args) => verify::run(args, &context),
        Verb::Convert(args) => convert::run(args, &context),
        Verb::Create(args) => create::run(args, &context),
        Verb::Restore(args) => restore::run(args, &context),
        Verb::Clone(args) => clone::run(args, &context),
        Verb::Compare(args) => compare::run(args, &context),
        Verb::Hash(args) => hash::run(args, &context),
        Verb::Files(args) => files::run(args, &context),
        Verb::Map(args) => map::run(args, &context),
        Verb::Pages(args) => pages::run(args, Cli::command()),
    }
}

/// What every verb gets.
pub struct Context<'a> {
    /// The shared options.
    pub common: &'a Common,
    /// Shows the work.
    pub watch: std::sync::Arc<Teller>,
    /// Whether standard output is free for results.
    pub stdout: Stdout,
}

impl Verb {
    fn stdout(&self) -> Stdout {
        let image = match self {
            Verb::Image(args) => args.images.iter().any(|i| i == "-"),
            Verb::Convert(args) => args.target.as_deref() == Some("-"),
            Verb::Restore(args) => args.drive == "-",
            Verb::Files(args) => args.prints_a_file(),
            Verb::Map(args) => args.prints_a_map(),
            _ => false,
        };
        if image { Stdout::Image } else { Stdout::Results }
    }

    /// A damaged image is what `verify` was asked to find, not a failure of it.
    fn status_of(&self, error: &Error) -> Status {
        match (self, error.kind()) {
            (Verb::Verify(_), tintype_core::Kind::Corrupt) => Status::Found,
            _ => Status::of(error),
        }
    }
}

fn unparsed(error: &clap::Error) -> ExitCode {
    let help = !error.use_stderr();
    let _ = error.print();
    if help {
        return ExitCode::SUCCESS;
    }
    // The options could not be parsed, so --json is looked for by hand.
    let json = std::env::args().find_map(|a| match a.strip_prefix("--json") {
        Some("") => Some("-".to_owned()),
        Some(rest) => rest.strip_prefix('=').map(str::to_owned),
        None => None,
    });
    if json.is_some() {
        let words = error.render().to_string();
        let line = words.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        output::failure(&Error::usage(line), json.as_deref(), Stdout::Results);
    }
    ExitCode::from(Status::Refused as u8)
}
