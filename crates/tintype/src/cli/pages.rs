//! Man pages and completions, from the same definitions as the command line.

use crate::output::Status;
use clap::Command;
use clap_complete::Shell;
use std::path::{Path, PathBuf};
use tintype_core::{Error, Result};

/// Options of the hidden verb.
#[derive(clap::Args)]
pub struct Args {
    /// Where to write `man/` and `completions/`
    #[arg(value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    folder: PathBuf,
}

/// Writes them all.
pub fn run(args: &Args, mut command: Command) -> Result<Status> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |e: std::io::Error| Error::io("cannot write", e).in_path(path)
    };
    let man = args.folder.join("man");
    let completions = args.folder.join("completions");
    for folder in [&man, &completions] {
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
    }
    clap_mangen::generate_to(command.clone(), &man).map_err(failed(&man))?;
    let formats = man.join("tintype-formats.5");
    std::fs::write(&formats, crate::report::formats_page()).map_err(failed(&formats))?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "tintype", &completions).map_err(failed(&completions))?;
    }
    Ok(Status::Done)
}
