//! Where a transfer goes: files in the making, a drive, or a stream.

mod site;

pub use site::Lock;

use self::site::Site;
use crate::identity::{SourceId, resembles};
use crate::journal::{self, Header, JOURNAL, Journal, Record};
use crate::report::{Report, now};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tintype_core::{
    Compression, CreateRequest, Error, Extent, Facts, Format, Locator, Options, Order, Outlet, PARTIAL, Partial,
};
use tintype_core::{Kind, Place, Result, Shape, Sink, Source};

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
    Ok(format)
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
    })
}

/// Prepares a target that is a new image, or goes on with an unfinished one.
pub fn prepare(wish: &Wish, content: &Content<'_>, overwrite: Overwrite, report: &Path) -> Result<Begun> {
    let format = format_of(wish)?;
    let mut create = create_request(wish, content, format)?;
    let locator = Locator::parse(&wish.locator)?;
    if locator.part.is_some() {
        return Err(Error::usage(format!("{}: an image cannot be written into a part of another", wish.locator)));
    }
    if content.len.is_none() && !format.caps.unknown_len {
        return Err(Error::usage(format!(
            "{} images need to know the length before they start; give --size, or write {}",
            format.title,
            able(|f| f.caps.unknown_len)
        )));
    }
    if locator.place == Place::Stdio {
        if !format.caps.stream {
            return Err(Error::usage(format!(
                "{} images cannot be written to a stream; streams take {}",
                format.title,
                able(|f| f.caps.stream)
            )));
        }
        create.name = "-".into();
        create.order = Order::Ascending;
        return Ok(ready("-".into(), format, begin(format, &create)?, None, Spot::Stream));
    }
    let site = Site::of(locator.path()?, format)?;
    let mut header = Header {
        tintype_journal: journal::VERSION,
        program: crate::report::program(),
        started: now(),
        source: content.source.clone(),
        request: request(content, wish, format),
        replaces: Vec::new(),
    };
    create.name.clone_from(&site.name);
    if site.outlet.exists(&site.journal())?
        && let Some(begun) = unfinished(&site, format, &create, content, &header, overwrite)?
    {
        return Ok(begun);
    }
    if site.outlet.exists(&site.name)? {
        if overwrite == Overwrite::Refuse {
            return finished(&site, content, &header, report);
        }
        header.replaces = site.older_files();
    }
    if overwrite == Overwrite::Refuse
        && format.caps.split
        && let Some(stray) = site.same_set()?
    {
        let what = "lies here already and would be taken for a part of the image, or overwritten; move it away";
        return Err(Error::denied(format!("{stray} {what}")).in_path(&site.path));
    }
    fresh(site, format, create, content, &header, overwrite)
}

/// What becomes of an unfinished image that lies there; `None` if it was given up.
fn unfinished(
    site: &Site,
    format: &'static Format,
    create: &CreateRequest,
    content: &Content<'_>,
    header: &Header,
    overwrite: Overwrite,
) -> Result<Option<Begun>> {
    let lock = site.lock()?;
    // Read under the lock: until then another run may have gone on, or finished.
    let Some(found) = journal::read(&*site.outlet, &site.journal()).map_err(|e| e.in_path(&site.folder))? else {
        return Ok(None);
    };
    let force = overwrite == Overwrite::Replace;
    let why = match content.again {
        Again::Possible => same(&found.header, header).err().map(|why| {
            format!(
                "was begun by another command: {why}. Repeat that command to finish it, or give --force to start anew"
            )
        }),
        Again::Never => Some("is of a stream, which cannot be read again; give --force to start anew".into()),
    };
    if let Some(why) = why
        && !force
    {
        return Err(Error::denied(format!("the unfinished image there {why}")).in_path(&site.path));
    } else if content.again == Again::Possible && same(&found.header, header).is_ok() && !found.rejected() {
        match go_on(format, create.clone(), content, site, &found, lock) {
            Ok(begun) => return Ok(Some(begun)),
            Err(e) if matches!(e.kind(), Kind::Denied | Kind::Usage | Kind::Cancelled) && !force => return Err(e),
            Err(e) if e.kind() == Kind::Cancelled => return Err(e),
            Err(e) if !force => {
                let what =
                    format!("{}; the unfinished image cannot be gone on with: give --force to start anew", e.chain());
                return Err(Error::new(e.kind(), what));
            }
            // Only --force gives up what may still be of use to somebody.
            Err(_) => {}
        }
    }
    site.discard()?;
    Ok(None)
}

/// The report of the same command, if it finished the image that lies there.
fn finished(site: &Site, content: &Content<'_>, header: &Header, report: &Path) -> Result<Begun> {
    match crate::report::read(report) {
        Some(done)
            if done.request == header.request
                && done.source.differs(content.source).is_none()
                && done.source.same_attachment(content.source)
                && done.files_are_there(&site.folder) =>
        {
            Ok(Begun::Finished(Box::new(done)))
        }
        _ => {
            let what = "exists already and was left as it is; choose another name, or give --force";
            Err(Error::denied(what).in_path(&site.path))
        }
    }
}

/// Begins anew.
fn fresh(
    site: Site,
    format: &'static Format,
    mut create: CreateRequest,
    content: &Content<'_>,
    header: &Header,
    overwrite: Overwrite,
) -> Result<Begun> {
    let Site { path, folder, outlet, name } = &site;
    let journal_name = site.journal();
    for stale in [format!("{name}{PARTIAL}"), journal_name.clone()] {
        if outlet.exists(&stale)? {
            if overwrite == Overwrite::Refuse && stale != journal_name {
                let what = format!("{stale} is in the way and has no journal; remove it, or give --force");
                return Err(Error::denied(what).in_path(path));
            }
            outlet.remove(&stale)?;
        }
    }
    let journal = Journal::create(&**outlet, &journal_name, header).map_err(|e| e.in_path(path))?;
    let lock = site.lock()?;
    let partial = Arc::new(Partial::new(Arc::clone(outlet), &header.replaces));
    create.outlet = Arc::clone(&partial) as _;
    let sink = match begin(format, &create) {
        Ok(sink) => sink,
        Err(e) => {
            // Nothing was written yet, so nothing is worth keeping.
            for made in partial.names() {
                outlet.remove(&format!("{made}{PARTIAL}"))?;
            }
            outlet.remove(&journal_name)?;
            return Err(e.in_path(path));
        }
    };
    // Without checkpoints the journal only keeps other runs away.
    let journal = (format.resume.is_some() && content.again == Again::Possible).then_some(journal);
    let title = path.to_string_lossy().into_owned();
    let files = Files {
        format,
        folder: folder.clone(),
        outlet: Arc::clone(outlet),
        partial,
        name: name.clone(),
        replaces: header.replaces.clone(),
        lock,
    };
    Ok(ready(title, format, sink, journal, Spot::Files(files)))
}

fn begin(format: &'static Format, create: &CreateRequest) -> Result<Box<dyn Sink>> {
    (format.create.ok_or_else(|| Error::unsupported(format!("{} images cannot be written", format.title)))?)(create)
}

fn ready(name: String, format: &'static Format, sink: Box<dyn Sink>, journal: Option<Journal>, place: Spot) -> Begun {
    Begun::Ready(Box::new(Prepared {
        name,
        format: format.name,
        sink,
        from: 0,
        stored: None,
        lost: Vec::new(),
        resumptions: Vec::new(),
        journal,
        place,
    }))
}

/// Takes the unfinished image up where its journal ends.
fn go_on(
    format: &'static Format,
    mut create: CreateRequest,
    content: &Content<'_>,
    site: &Site,
    found: &journal::Found,
    lock: Lock,
) -> Result<Begun> {
    let Site { folder, outlet, name, .. } = site;
    let journal_name = site.journal();
    if let Some((files, replaces, report)) = found.sealed() {
        let report = serde_json::from_value(report.clone())
            .map_err(|e| Error::corrupt("the journal's report cannot be read").in_path(&journal_name).because(e))?;
        return Ok(Begun::Sealed {
            files: files.to_vec(),
            replaces: replaces.to_vec(),
            report: Box::new(report),
            outlet: Arc::clone(outlet),
            name: name.clone(),
            lock,
        });
    }
    let replaces = found.header.replaces.clone();
    if !replaces.contains(name) && outlet.exists(name)? {
        let what =
            "has come to exist since this image was begun, and was left as it is; move it away, and repeat the command";
        return Err(Error::denied(what).in_path(folder.join(name)));
    }
    let partial = Arc::new(Partial::new(Arc::clone(outlet), &replaces));
    create.outlet = Arc::clone(&partial) as _;
    let checkpoints = found.checkpoints()?;
    let mut journal = Journal::reopen(&**outlet, &journal_name, found)?;
    let mut resumptions = found.resumptions();
    let (sink, from, stored) = match format.resume {
        Some(resume) if !checkpoints.is_empty() => {
            let resumed = resume(&create, &checkpoints).map_err(|e| e.in_path(folder.join(name)))?;
            // A drive without a serial number that was attached anew may be another one.
            if !found.header.source.same_attachment(content.source)
                && let Some(bytes) = content.bytes
                && !resembles(&*resumed.stored, &**bytes, resumed.offset)
            {
                let what = "was begun from another drive: what it holds is not what the source has there";
                return Err(Error::denied(what).in_path(folder.join(format!("{name}{PARTIAL}"))));
            }
            (resumed.sink, resumed.offset, Some(resumed.stored))
        }
        _ => {
            // It was stopped before anything was safe.
            (begin(format, &create)?, 0, None)
        }
    };
    let at = now();
    journal.add(&Record::Resumed { at: at.clone(), offset: from })?;
    resumptions.push((at, from));
    let lost = found.lost(from);
    let files = Files {
        format,
        folder: folder.clone(),
        outlet: Arc::clone(outlet),
        partial,
        name: name.clone(),
        replaces,
        lock,
    };
    Ok(Begun::Ready(Box::new(Prepared {
        name: folder.join(&files.name).to_string_lossy().into_owned(),
        format: format.name,
        sink,
        from,
        stored,
        lost,
        resumptions,
        journal: Some(journal),
        place: Spot::Files(files),
    })))
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
