//! What a developer runs besides cargo: `cargo xtask VERB`.

#![forbid(unsafe_code)]

mod bench;
mod deps;
mod docs;
mod licences;
mod seeds;
mod sizes;
mod soak;
mod workload;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask VERB

  bench [ROW...] [--data DIR] [--runs N]  whole programs beside their peers, as ratios; rows by name or first word, all without
  bench rescue-goals [MODEL...] [--newer DDRESCUE] [--scale S] [--alone]
                                          rescue beside ddrescue on failing drives: the table of its goals
  workload [--data DIR]                   the disk that bench works on
  docs [--check]                          the parts of README.md that are made from code
  deps                                    fails if sibling crates depend on each other
  licences                                fails on dependencies whose licence deny.toml does not allow
  sizes                                   fails on files of more than 1,000 lines that are no tests
  seeds [DIR]                             seeds for the fuzz targets, from our own writers (default fuzz/corpus)
  soak [--minutes N]                      random work, killed at random moments, checked every time
";

/// What goes wrong, as a sentence.
type Outcome = Result<(), String>;

/// The checkout.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in a folder of the checkout")
}

/// `--NAME VALUE`, taken out of the words.
fn option(words: &mut Vec<String>, name: &str) -> Result<Option<String>, String> {
    let Some(at) = words.iter().position(|w| w == name) else { return Ok(None) };
    if at + 1 >= words.len() {
        return Err(format!("{name} wants a value"));
    }
    words.remove(at);
    Ok(Some(words.remove(at)))
}

fn number(words: &mut Vec<String>, name: &str, default: u64) -> Result<u64, String> {
    match option(words, name)? {
        Some(text) => text.parse().map_err(|_| format!("{name} {text}: no number")),
        None => Ok(default),
    }
}

fn data_folder(words: &mut Vec<String>) -> Result<PathBuf, String> {
    Ok(option(words, "--data")?.map_or_else(|| root().join("target/bench-data"), PathBuf::from))
}

fn rescue_goals(data: &Path, mut words: Vec<String>) -> Outcome {
    use bench::rescue::{Beside, Wanted};
    let newer = option(&mut words, "--newer")?.map(PathBuf::from);
    let scale = option(&mut words, "--scale")?.unwrap_or_else(|| "0".into());
    let scale = scale.parse().map_err(|_| format!("--scale {scale}: no number"))?;
    let before = words.len();
    words.retain(|w| w != "--alone");
    let beside = if words.len() < before { Beside::Nobody } else { Beside::Peers };
    bench::rescue::run(&Wanted { data, names: &words, scale, newer, beside })
}

fn run(mut words: Vec<String>) -> Outcome {
    if words.is_empty() {
        return Err(USAGE.to_owned());
    }
    let verb = words.remove(0);
    match &*verb {
        "bench" => {
            let data = data_folder(&mut words)?;
            if words.first().is_some_and(|w| w == "rescue-goals") {
                return rescue_goals(&data, words.split_off(1));
            }
            let runs = number(&mut words, "--runs", 3)?;
            bench::run(&data, runs as usize, &words)
        }
        "workload" => {
            let disk = workload::disk(&data_folder(&mut words)?)?;
            println!("{}", disk.display());
            Ok(())
        }
        "docs" => match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => docs::write(),
            ["--check"] => docs::check(),
            _ => Err(USAGE.to_owned()),
        },
        "deps" => deps::check(),
        "licences" => licences::check(),
        "sizes" => sizes::check(),
        "seeds" => seeds::write(&words.first().map_or_else(|| root().join("fuzz/corpus"), PathBuf::from)),
        "soak" => soak::run(number(&mut words, "--minutes", 10)?),
        _ => Err(USAGE.to_owned()),
    }
}

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{}", message.trim_end());
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    // What holds of the checkout is tested with everything else, so that nobody has to think of it.

    #[test]
    fn sibling_crates_do_not_depend_on_each_other() {
        super::deps::check().unwrap();
    }

    #[test]
    fn no_file_is_too_long() {
        super::sizes::check().unwrap();
    }

    #[test]
    fn the_readme_is_what_the_code_says() {
        super::docs::check().unwrap();
    }
}
