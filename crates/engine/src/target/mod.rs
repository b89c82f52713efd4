//! Where a transfer goes: files in the making, a drive, or a stream.

mod nowhere;
mod site;
mod standing;

pub use site::{Lock, check_name};
pub use standing::{Progress, Standing, look};

use crate::identity::SourceId;
use crate::journal::{Header, JOURNAL, Journal};
use crate::open::{Inputs, Medium};
use crate::report::Report;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tintype_core::{
    Backing, Compression, CreateRequest, Error, Extent, Facts, Format, Options, Order, Outlet, PARTIAL, Partial,
    Result, Shape, Sink, Source,
};

/// What was asked for a target.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The locator.
    pub locator: String,
    /// The format, instead of what the extension says.
    pub to: Option<String>,
    /// `NAME=VALUE` options of the format.
    pub options: Vec<String>,
    /// How to compress.
    pub compression: Option<Compression>,
    /// Most bytes of one segment.
    pub split: Option<u64>,
    /// What the new image stands on.
    pub backing: Option<Backing>,
}

/// What happens to files that are in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// They stay, and the work is refused.
    Refuse,
    /// They are replaced once the new ones are whole.
    Replace,
}

/// What is written into targets, as far as creating them needs to know.
pub struct Content<'a> {
    /// The verb, for the journal.
    pub verb: &'static str,
    /// What is read.
    pub source: &'a SourceId,
    /// Bytes, if known.
    pub len: Option<u64>,
    /// The source's sectors.
    pub shape: Shape,
    /// What is known about the medium and the case.
    pub facts: &'a Facts,
    /// Digests that will be computed.
    pub digests: &'a [String],
    /// Whatever else decides what the finished image looks like.
    pub request: serde_json::Value,
    /// Whether the same bytes can be read again.
    pub again: Again,
    /// The bytes, where they can be read by position.
    pub bytes: Option<&'a Arc<dyn Source>>,
}

/// Whether the same bytes can be read again, so that interrupted work can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Drives and files.
    Possible,
    /// Streams.
    Never,
}

/// A target that can be written.
pub struct Prepared {
    /// What to call it.
    pub name: String,
    /// Its format, for files.
    pub format: &'static str,
    /// The sink, positioned.
    pub sink: Box<dyn Sink>,
    /// It holds everything before this offset.
    pub from: u64,
    /// What it holds, if anything.
    pub stored: Option<Arc<dyn Source>>,
    /// What was lost before `from`.
    pub lost: Vec<Extent>,
    /// When, and from where, it was taken up again.
    pub resumptions: Vec<(String, u64)>,
    /// Its journal.
    pub journal: Option<Journal>,
    /// Where it lies.
    pub place: Spot,
}

/// Where a target lies.
pub enum Spot {
    /// Files in a folder.
    Files(Files),
    /// A drive, or an existing file written in place.
    Disk {
        /// Its path.
        path: PathBuf,
        /// Where its journal lies.
        state: PathBuf,
        /// Keeps a second run away.
        lock: Lock,
    },
    /// Standard output.
    Stream,
}

/// Files that are being made.
pub struct Files {
    /// The format.
    pub format: &'static Format,
    /// The folder.
    pub folder: PathBuf,
    /// The folder, to write to.
    pub outlet: Arc<dyn Outlet>,
    /// The partial files in it.
    pub partial: Arc<Partial>,
    /// The name of the first file.
    pub name: String,
    /// Files of an older image that go away when the new one gets its names.
    pub replaces: Vec<String>,
    /// Keeps a second run away.
    pub lock: Lock,
}

/// How a target can be begun.
pub enum Begun {
    /// It has to be written, from some offset.
    Ready(Box<Prepared>),
    /// Everything was written before; only the names and the report are missing.
    Sealed {
        /// The final names.
        files: Vec<String>,
        /// Files of an older image that go away.
        replaces: Vec<String>,
        /// The report that was to be written.
        report: Box<Report>,
        /// The folder.
        outlet: Arc<dyn Outlet>,
        /// The name of the first file.
        name: String,
        /// Keeps a second run away.
        lock: Lock,
    },
    /// The same command finished it before.
    Finished(Box<Report>),
}

/// The format that `wish` is written in.
pub fn format_of(wish: &Wish) -> Result<&'static Format> {
    let format = match &wish.to {
        Some(name) => tintype_formats::by_name(name)?,
        None if wish.locator == "-" => tintype_formats::by_name("raw")?,
        None if wish.split.is_some()
            && tintype_formats::by_extension(&wish.locator).is_none_or(|f| f.name == "raw") =>
        {
            tintype_formats::by_name("split")?
        }
        None => tintype_formats::by_extension(&wish.locator).ok_or_else(|| {
            let all: Vec<_> = tintype_formats::FORMATS
                .iter()
                .filter(|f| f.create.is_some())
                .map(|f| format!(".{}", f.extensions[0]))
                .collect();
            Error::usage(format!(
                "{}: the ending says no format; use one of {}, or say it with --to",
                wish.locator,
                all.join(" ")
            ))
        })?,
    };
    if format.create.is_none() {
        return Err(Error::unsupported(format!("{} images cannot be written", format.title)));
    }
    if wish.split.is_some() && !format.caps.split {
        return Err(Error::usage(format!(
            "{} images cannot be split; --split works with {}",
            format.title,
            able(|f| f.caps.split)
        )));
    }
    if wish.backing.is_some() && !format.caps.backing {
        return Err(Error::usage(format!(
            "{} images cannot stand on a backing file; --backing works with {}",
            format.title,
            able(|f| f.caps.backing)
        )));
    }
    Ok(format)
}

/// What lies at `path`, for an image at `target` to stand on. It is named relative to the target's folder where it lies in it
/// or below, else absolutely.
pub fn backing(path: &str, target: &str, inputs: &Inputs) -> Result<Backing> {
    let opened = crate::open::open(path, inputs)?;
    if opened.medium != Medium::File || !opened.part.is_empty() {
        return Err(Error::usage("cannot be stood on: it has to be a whole image in a file").in_path(&opened.path));
    }
    if opened.reads(Path::new(target)) {
        return Err(Error::denied("is what the new image would stand on; choose another name").in_path(target));
    }
    let full = |path: &Path| std::fs::canonicalize(path).map_err(|e| Error::io("cannot find", e).in_path(path));
    let folder = Path::new(target).parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let own = full(&opened.path)?;
    let name = own.strip_prefix(full(folder)?).unwrap_or(&own).to_str();
    let name = name.ok_or_else(|| Error::usage("the path is not valid UTF-8").in_path(&own))?.to_owned();
    let fields = opened.source.facts().fields.clone();
    let variant = opened.image.variant.clone();
    Ok(Backing { name, format: opened.format.name, variant, source: opened.source, fields })
}

fn able(can: impl Fn(&Format) -> bool) -> String {
    tintype_formats::FORMATS
        .iter()
        .filter(|f| f.create.is_some() && can(f))
        .map(|f| f.name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// What this very image would lose in the format of `wish`, one sentence each.
pub fn losses(wish: &Wish, content: &Content<'_>) -> Result<Vec<String>> {
    let format = format_of(wish)?;
    Ok(format
        .losses
        .map(|losses| create_request(wish, content, format).map(|r| losses(&r)))
        .transpose()?
        .unwrap_or_default())
}

/// What the format needs to know, but for the place.
fn create_request(wish: &Wish, content: &Content<'_>, format: &'static Format) -> Result<CreateRequest> {
    if let Some(compression) = &wish.compression
        && !format.caps.compression.contains(&compression.word())
    {
        return Err(Error::usage(format!(
            "{} images have no compression {:?}; they have {}",
            format.title,
            compression.word(),
            format.caps.compression.join(", ")
        )));
    }
    let name = Path::new(&wish.locator).file_name().map(|n| n.to_string_lossy().into_owned());
    Ok(CreateRequest {
        outlet: Arc::new(crate::stream::StreamOutlet),
        name: name.unwrap_or_default(),
        len: content.len,
        shape: content.shape,
        facts: content.facts.clone(),
        options: Options::parse(format.options, &wish.options)?,
        compression: wish.compression.clone(),
        split: wish.split,
        digests: content.digests.to_vec(),
        order: Order::Any,
        backing: wish.backing.clone(),
    })
}

/// Everything that decides what the finished image looks like, besides the source.
pub(crate) fn request(content: &Content<'_>, wish: &Wish, format: &Format) -> serde_json::Value {
    let case = &content.facts.case;
    serde_json::json!({
        "verb": content.verb,
        "format": format.name,
        "options": wish.options,
        "compression": wish.compression.as_ref().map(|c| format!("{c:?}")),
        "split": wish.split,
        "backing": wish.backing.as_ref().map(|b| (&b.name, b.format)),
        "digests": content.digests,
        "case": [case.case, case.evidence, case.examiner, case.description, case.notes],
        "more": content.request,
    })
}

/// Whether a journal belongs to what is asked now, or why not.
pub(crate) fn same(old: &Header, new: &Header) -> Result<(), String> {
    if let Some(why) = old.source.differs(&new.source) {
        return Err(format!("it read another source ({why})"));
    }
    let (Some(a), Some(b)) = (old.request.as_object(), new.request.as_object()) else {
        return Err("its journal does not say which".into());
    };
    match b.iter().find(|(key, value)| a.get(*key) != Some(*value)) {
        Some((key, value)) => {
            Err(format!("its {key} was {} and is {value}", a.get(key).unwrap_or(&serde_json::Value::Null)))
        }
        None => Ok(()),
    }
}

impl Prepared {
    /// Removes what was made for a target into which nothing was written yet, because the work will not begin after all.
    pub fn withdraw(self) -> Result<()> {
        let Prepared { sink, from, resumptions, place, .. } = self;
        drop(sink);
        if let Spot::Files(files) = place
            && from == 0
            && resumptions.is_empty()
        {
            for made in files.partial.names() {
                files.outlet.remove(&format!("{made}{PARTIAL}"))?;
            }
            files.outlet.remove(&format!("{}{JOURNAL}", files.name))?;
        }
        Ok(())
    }
}
