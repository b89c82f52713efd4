//! Options that several verbs share: one name for one thing.

use super::Context;
use super::passphrase::Passphrase;
use std::path::PathBuf;
use std::sync::Arc;
use tintype_codec::digest::Algorithm;
use tintype_core::{Care, Compression, Error, Facts, Outlet, Result, parse_size};
use tintype_device::folder::{Folder, Reach};
use tintype_engine::open::{InUse, Inputs};
use tintype_engine::pipeline::{Policy, Replace};
use tintype_engine::target::{Overwrite, Wish, backing};
use tintype_engine::transfer::Proof;

/// Options of every verb.
#[derive(clap::Args)]
pub struct Common {
    /// Print one JSON document at the end, or write it to FILE
    #[arg(long, global = true, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub json: Option<String>,
    /// How to show progress; without it a bar on a terminal, else nothing
    #[arg(long, global = true, value_name = "KIND")]
    pub progress: Option<ProgressKind>,
    /// Append what happens, with times, to FILE
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub log: Option<PathBuf>,
    /// Say nothing but warnings and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Also say what each stage did and how fast
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ProgressKind {
    /// A bar with rate and time left.
    Bar,
    /// One JSON event a line on standard error.
    Json,
    /// Nothing.
    None,
}

/// How an input is read.
#[derive(Default, clap::Args)]
pub struct InputArgs {
    /// Format of the source, instead of what its content says
    #[arg(long, value_name = "FORMAT", value_parser = readable(), help_heading = "Input")]
    pub from: Option<String>,
    /// A ddrescue mapfile that says which bytes of the source were read
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Input")]
    pub map: Option<PathBuf>,
    /// Open files that an image names outside its own folder
    #[arg(long, help_heading = "Input")]
    pub allow_outside: bool,
    /// Read an image that a virtual machine, or another program, has open for writing
    #[arg(long, help_heading = "Input")]
    pub allow_in_use: bool,
    /// The passphrase of an encrypted image is what FILE holds, without the end of its last line
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Input", conflicts_with = "passphrase_env")]
    pub passphrase_file: Option<PathBuf>,
    /// The passphrase of an encrypted image is the value of the environment variable NAME
    #[arg(long, value_name = "NAME", help_heading = "Input")]
    pub passphrase_env: Option<String>,
}

fn readable() -> clap::builder::PossibleValuesParser {
    tintype_formats::FORMATS.iter().filter(|f| f.open.is_some()).map(|f| f.name).collect::<Vec<_>>().into()
}

/// Names of formats that can be written, for clap.
pub fn writable() -> clap::builder::PossibleValuesParser {
    tintype_formats::FORMATS.iter().filter(|f| f.create.is_some()).map(|f| f.name).collect::<Vec<_>>().into()
}

impl InputArgs {
    /// How inputs are opened.
    pub fn inputs(&self, context: &Context<'_>) -> Inputs {
        Inputs {
            from: self.from.clone(),
            in_use: if self.allow_in_use { InUse::Allowed } else { InUse::Refused },
            reach: if self.allow_outside { Reach::Anywhere } else { Reach::Beside },
            map: self.map.clone(),
            sidecars: sidecars(),
            watch: Arc::clone(&context.watch) as _,
            secrets: Arc::new(match (&self.passphrase_file, &self.passphrase_env) {
                (Some(file), _) => Passphrase::File(file.clone()),
                (None, Some(name)) => Passphrase::Environment(name.clone()),
                (None, None) => Passphrase::Terminal,
            }),
            care: Care::Read,
        }
    }
}

/// The user's cache folder, for side-cars; none where there is no such place.
pub fn sidecars() -> Option<Arc<dyn Outlet>> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache")))?;
    let folder = base.join("tintype");
    std::fs::create_dir_all(&folder).ok()?;
    Some(Arc::new(Folder::open(&folder, Reach::Beside).ok()?))
}

/// How images are written.
#[derive(clap::Args)]
pub struct OutputArgs {
    /// Format of the target, instead of what its extension says
    #[arg(long, value_name = "FORMAT", value_parser = writable(), help_heading = "Output")]
    pub to: Option<String>,
    /// An option of the target's format; `man tintype-formats` lists them
    #[arg(long = "option", value_name = "NAME=VALUE", help_heading = "Output")]
    pub options: Vec<String>,
    /// none, empty (only zeros), fast, best, or CODEC[:LEVEL]
    #[arg(long, value_name = "HOW", value_parser = compression, help_heading = "Output")]
    pub compression: Option<Compression>,
    /// Keep only what differs from the image FILE, and name that as what the new image stands on
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Output")]
    pub backing: Option<String>,
    /// Format of the file given by --backing, instead of what its content says
    #[arg(long, value_name = "FORMAT", value_parser = readable(), requires = "backing", help_heading = "Output")]
    pub backing_from: Option<String>,
    /// Most bytes of one segment
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Output")]
    pub split: Option<u64>,
    /// Replace what is in the way
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    /// Say what would be done, and do nothing
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,
}

fn compression(text: &str) -> Result<Compression, String> {
    text.parse().map_err(|e: Error| e.to_string())
}

/// A size, for clap.
pub fn size(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|e| e.to_string())
}

impl OutputArgs {
    /// What is asked for the target at `locator`.
    pub fn wish(&self, locator: &str, inputs: &Inputs) -> Result<Wish> {
        let own = Inputs { from: self.backing_from.clone(), map: None, reach: Reach::Anywhere, ..inputs.clone() };
        Ok(Wish {
            locator: locator.to_owned(),
            to: self.to.clone(),
            options: self.options.clone(),
            compression: self.compression.clone(),
            split: self.split,
            backing: self.backing.as_ref().map(|b| backing(b, locator, &own)).transpose()?,
        })
    }

    /// What happens to files that are in the way.
    pub fn overwrite(&self) -> Overwrite {
        if self.force { Overwrite::Replace } else { Overwrite::Refuse }
    }
}

/// What is done with the bytes.
#[derive(clap::Args)]
pub struct ContentArgs {
    /// Digests to compute: md5, sha1, sha256, sha512, blake3, separated by commas, or none
    #[arg(long, value_name = "LIST", help_heading = "Content")]
    pub hash: Option<String>,
    /// Further tries for a sector that cannot be read
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Content")]
    pub retries: u32,
    /// Stop once more than N sectors could not be read
    #[arg(long, value_name = "N", help_heading = "Content")]
    pub max_errors: Option<u64>,
    /// What stands for bytes that could not be read: source (what an image holds there, else zeros), zero, or a pattern
    /// as text or 0xHEX
    #[arg(long, value_name = "FILL", default_value = "source", help_heading = "Content")]
    pub fill: String,
}

impl ContentArgs {
    /// The digests that were asked for.
    pub fn digests(&self) -> Result<Option<Vec<Algorithm>>> {
        self.hash.as_deref().map(parse_digests).transpose()
    }

    /// What to do when a read fails.
    pub fn policy(&self) -> Result<Policy> {
        let (fill, replace_stored) = match self.fill.as_str() {
            "source" => (vec![0], Replace::Keep),
            "zero" => (vec![0], Replace::Replace),
            pattern => (parse_pattern(pattern)?, Replace::Replace),
        };
        Ok(Policy { retries: self.retries, max_errors: self.max_errors, fill, replace_stored, ..Policy::default() })
    }

    /// The fill, in words.
    pub fn fill_words(&self) -> String {
        match self.fill.as_str() {
            "source" => "what the source holds there, else zeros,".into(),
            "zero" => "zeros".into(),
            pattern => format!("repetitions of {pattern:?}"),
        }
    }
}

/// Parses `md5,sha256` or `none`.
pub fn parse_digests(text: &str) -> Result<Vec<Algorithm>> {
    if text == "none" {
        return Ok(Vec::new());
    }
    let mut list: Vec<Algorithm> = Vec::new();
    for name in text.split(',') {
        let algorithm = name.parse::<Algorithm>().map_err(|_| {
            let known: Vec<_> = Algorithm::ALL.iter().map(|a| a.name()).collect();
            Error::usage(format!("--hash {name}: there is no such digest; there are {}, or none", known.join(", ")))
        })?;
        if !list.contains(&algorithm) {
            list.push(algorithm);
        }
    }
    Ok(list)
}

fn parse_pattern(text: &str) -> Result<Vec<u8>> {
    let bad = || {
        Error::usage(format!("--fill {text}: it takes source, zero, a text, or 0x and an even number of hex digits"))
    };
    let pattern = match text.strip_prefix("0x") {
        Some(hex) if hex.is_ascii() && hex.len().is_multiple_of(2) => (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).map_err(|_| bad()))
            .collect::<Result<Vec<u8>>>()?,
        Some(_) => return Err(bad()),
        None => text.as_bytes().to_vec(),
    };
    match pattern.len() {
        1..=4096 => Ok(pattern),
        _ => Err(bad()),
    }
}

/// Whether what was written is read back.
#[derive(clap::Args)]
pub struct ProofArgs {
    /// Read back what was written, past the page cache, and compare
    #[arg(long, help_heading = "Content")]
    pub verify: bool,
}

impl ProofArgs {
    /// The same for the engine.
    pub fn proof(&self) -> Proof {
        if self.verify { Proof::ReadBack } else { Proof::None }
    }
}

/// The case.
#[derive(clap::Args)]
pub struct CaseArgs {
    /// Case number
    #[arg(long, value_name = "TEXT", help_heading = "Case")]
    pub case: Option<String>,
    /// Evidence number
    #[arg(long, value_name = "TEXT", help_heading = "Case")]
    pub evidence: Option<String>,
    /// Examiner
    #[arg(long, value_name = "TEXT", help_heading = "Case")]
    pub examiner: Option<String>,
    /// Description of the evidence
    #[arg(long, value_name = "TEXT", help_heading = "Case")]
    pub description: Option<String>,
    /// Notes
    #[arg(long, value_name = "TEXT", help_heading = "Case")]
    pub notes: Option<String>,
    /// Write the report to PREFIX.json and PREFIX.txt
    #[arg(long, value_name = "PREFIX", help_heading = "Case")]
    pub report: Option<String>,
}

impl CaseArgs {
    /// The case among facts.
    pub fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        let case = &mut facts.case;
        for (value, slot) in [
            (&self.case, &mut case.case),
            (&self.evidence, &mut case.evidence),
            (&self.examiner, &mut case.examiner),
            (&self.description, &mut case.description),
            (&self.notes, &mut case.notes),
        ] {
            *slot = value.clone().unwrap_or_default();
        }
        case.program = tintype_engine::report::program();
        case.system = "Linux".into();
        facts
    }
}
