//! `map ...`

mod files;
pub mod fill;
mod gather;
pub mod generate;
mod make;
mod show;
mod tell;

use super::Context;
use super::common::size;
use super::domain::DomainArgs;
use crate::output::{Output, Status as Exit};
use std::io::Write;
use std::path::{Path, PathBuf};
use tintype_core::mapfile::{Gaps, Mapfile, Status};
use tintype_core::{Error, Result};
use tintype_engine::map::algebra::Shift;
use tintype_engine::map::{Domain, parse_statuses, save};
use tintype_engine::target::Overwrite;

/// Options of `map`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype map show disk.map                                how far a rescue has come, drawn
  tintype map merge a.map b.map -o both.map                what two rescues know together
  tintype map list disk.map --status - --sectors           bad sectors, for other programs
  tintype map convert disk.map --change '*/=?' -o new.map  try again what failed

A MAP is a ddrescue mapfile, or - for standard input. Statuses are ddrescue's: ? not tried, * not trimmed, / not scraped,
- bad, + finished. docs/rescue/maps.md has a table from ddrescuelog's options to these.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Draw a map, with its sums
    Show(show::ShowArgs),
    /// Print the sums of maps
    Stats(tell::StatsArgs),
    /// List the blocks or the sectors of some statuses
    List(tell::ListArgs),
    /// Make one map of several, and one image of several rescues
    Merge(gather::MergeArgs),
    /// Keep as finished what is finished in both maps
    Intersect(make::PairArgs),
    /// Keep as finished what is not finished in the second map
    Subtract(make::PairArgs),
    /// Keep as finished what is finished in only one of the maps
    Xor(make::PairArgs),
    /// Swap finished and everything else
    Invert(make::InvertArgs),
    /// Write over the blocks of some statuses
    Fill(fill::FillArgs),
    /// Make the map of an image whose own map is lost
    Generate(generate::GenerateArgs),
    /// Say where two maps differ
    Compare(tell::CompareArgs),
    /// Name the files and metadata that are touched by what is lost
    Files(files::FilesArgs),
    /// Make a map of what the file systems of a source use
    Used(files::UsedArgs),
    /// Change statuses, shift, fill gaps, and turn maps into other forms and back
    Convert(make::ConvertArgs),
}

impl Args {
    /// True if standard output gets a map and no results.
    pub fn prints_a_map(&self) -> bool {
        match &self.what {
            What::Show(_) | What::Stats(_) | What::List(_) | What::Compare(_) | What::Files(_) | What::Fill(_) => false,
            What::Generate(args) => args.target.is_stdout(),
            What::Merge(args) => args.target.is_stdout(),
            What::Intersect(args) | What::Subtract(args) | What::Xor(args) => args.target.is_stdout(),
            What::Invert(args) => args.target.is_stdout(),
            What::Used(args) => args.target.is_stdout(),
            What::Convert(args) => args.target.is_stdout(),
        }
    }
}

/// Runs it.
pub fn run(args: &Args, context: &Context<'_>) -> Result<Exit> {
    use tintype_engine::map::algebra::Logic;
    match &args.what {
        What::Show(args) => show::run(args, context),
        What::Stats(args) => tell::stats(args, context),
        What::List(args) => tell::list(args, context),
        What::Fill(args) => fill::run(args, context),
        What::Generate(args) => generate::run(args, context),
        What::Compare(args) => tell::compare(args, context),
        What::Merge(args) => gather::run(args, context),
        What::Intersect(args) => make::combined(args, Logic::And, context),
        What::Subtract(args) => make::combined(args, Logic::Without, context),
        What::Xor(args) => make::combined(args, Logic::Xor, context),
        What::Invert(args) => make::invert(args, context),
        What::Files(args) => files::files(args, context),
        What::Used(args) => files::used(args, context),
        What::Convert(args) => make::convert(args, context),
    }
}

/// Where a map goes.
#[derive(clap::Args)]
#[command(next_help_heading = "Output")]
pub struct TargetArgs {
    /// The file to write; without it, standard output
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Replace what is in the way
    #[arg(long)]
    pub force: bool,
}

impl TargetArgs {
    fn is_stdout(&self) -> bool {
        self.path().is_none()
    }

    fn path(&self) -> Option<&Path> {
        self.output.as_deref().filter(|p| *p != Path::new("-"))
    }

    fn overwrite(&self) -> Overwrite {
        if self.force { Overwrite::Replace } else { Overwrite::Refuse }
    }

    /// Writes something there.
    fn put(&self, write: &mut dyn FnMut(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
        match self.path() {
            Some(path) => save::save(path, self.overwrite(), write),
            None => {
                let mut out = std::io::BufWriter::new(std::io::stdout().lock());
                let done = write(&mut out).and_then(|()| out.flush());
                done.map_err(|e| Error::io("cannot write to standard output", e))
            }
        }
    }

    /// Writes a map there, and prints what is in it where standard output is free for that.
    fn put_map(&self, map: &Mapfile, context: &Context<'_>) -> Result<()> {
        let command: Vec<String> = std::env::args().collect();
        self.put(&mut |out| map.write(&save::heading(&command), out))?;
        let name = self.path().map_or_else(|| "-".to_owned(), |p| p.display().to_string());
        let stats = tintype_engine::map::stats::Stats::of(&name, map, &Domain::default());
        let text = if self.is_stdout() { String::new() } else { tell::sums(&stats) };
        Output::new(context.common, context.stdout).result(&stats, &text)
    }
}

/// Reads a map.
fn load(path: &str) -> Result<Mapfile> {
    super::domain::load(path, Gaps::Refused)
}

/// Statuses, for clap.
#[derive(Clone, Debug)]
pub struct Statuses(pub Vec<Status>);

impl Statuses {
    fn parse(text: &str) -> Result<Self, String> {
        parse_statuses(text).map(Statuses).map_err(|e| e.to_string())
    }

    fn one(text: &str) -> Result<Status, String> {
        match parse_statuses(text).map_err(|e| e.to_string())?[..] {
            [status] => Ok(status),
            _ => Err("one status is wanted".into()),
        }
    }
}

/// A distance, for clap: `+SIZE` or `-SIZE`.
fn shift(text: &str) -> Result<Shift, String> {
    match text.strip_prefix('-') {
        Some(down) => Ok(Shift::Down(size(down)?)),
        None => Ok(Shift::Up(size(text.strip_prefix('+').unwrap_or(text))?)),
    }
}
