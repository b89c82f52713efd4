//! Where a transfer goes: files in the making, a drive, or a stream.

use crate::identity::{SourceId, resembles};
use crate::journal::{self, Header, JOURNAL, Journal, Record};
use crate::report::{Report, now};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tintype_core::{
    Compression, CreateRequest, Error, Extent, Facts, Format, Locator, Options, Order, Outlet, PARTIAL, Partial,
};
use tintype_core::{Kind, Opener, Place, Result, Shape, Sink, Source};
use tintype_device::folder::{Folder, Reach};

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

/// A lock that ends with the process.
pub struct Lock {
    _file: std::fs::File,
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
    let path = locator.path()?;
    if let Ok(meta) = std::fs::metadata(path) {
        use std::os::unix::fs::FileTypeExt;
        if meta.file_type().is_block_device() {
            return Err(
                Error::denied("is a drive; an image goes into a file, and restore or clone write drives").in_path(path)
            );
        }
        if meta.is_dir() {
            return Err(Error::usage("is a folder; name the image inside it").in_path(path));
        }
        if !meta.is_file() {
            return Err(Error::denied("is no regular file and is left alone; name a new file").in_path(path));
        }
    } else if path.starts_with("/dev") && !path.starts_with("/dev/shm") {
        return Err(Error::denied("there is no such drive, and images do not belong in /dev").in_path(path));
    }
    let (folder, name) = Folder::of(path, Reach::Beside)?;
    let name = format.first_name.map_or_else(|| name.clone(), |first| first(&name));
    let path = &path.with_file_name(&name);
    let folder_path = folder.path().to_path_buf();
    let outlet: Arc<dyn Outlet> = Arc::new(folder);
    let mut header = Header {
        tintype_journal: journal::VERSION,
        program: crate::report::program(),
        started: now(),
        source: content.source.clone(),
        request: request(content, wish, format),
        replaces: Vec::new(),
    };
    let journal_name = format!("{name}{JOURNAL}");
    if outlet.exists(&journal_name)? {
        let lock = Lock::take(&folder_path.join(&journal_name))?;
        // Read under the lock: until then another run may have gone on, or finished.
        if let Some(found) = journal::read(&*outlet, &journal_name).map_err(|e| e.in_path(&folder_path))? {
            let why = match content.again {
                Again::Possible => same(&found.header, &header),
                Again::Never => Err("it was begun before, and a stream cannot be read again".into()),
            };
            match why {
                // What was written then is known to be wrong: it is made anew.
                Ok(()) if found.rejected() => discard(&*outlet, &folder_path, &name)?,
                Ok(()) => {
                    let again = create.clone();
                    match go_on(format, create, content, &folder_path, Arc::clone(&outlet), name.clone(), found, lock) {
                        Ok(begun) => return Ok(begun),
                        // Only --force gives up what may still be of use to somebody.
                        Err(e) if overwrite == Overwrite::Replace && e.kind() != Kind::Cancelled => {
                            discard(&*outlet, &folder_path, &name)?;
                            create = again;
                        }
                        Err(e) if matches!(e.kind(), Kind::Denied | Kind::Usage | Kind::Cancelled) => return Err(e),
                        Err(e) => {
                            let kind = e.kind();
                            let what = format!(
                                "{}; the unfinished image cannot be gone on with: give --force to start anew",
                                e.chain()
                            );
                            return Err(Error::new(kind, what));
                        }
                    }
                }
                Err(_) if overwrite == Overwrite::Replace => discard(&*outlet, &folder_path, &name)?,
                Err(why) => {
                    return Err(Error::denied(format!(
                        "{}{PARTIAL} was begun by another command: {why}. Repeat that command to finish it, or give \
                         --force to start anew",
                        path.display()
                    )));
                }
            }
        }
    }
    let mut replaces = Vec::new();
    if outlet.exists(&name)? {
        if overwrite == Overwrite::Refuse
            && let Some(done) = crate::report::read(report)
            && done.request == header.request
            && done.source.differs(content.source).is_none()
            && done.source.same_attachment(content.source)
            && done.files_are_there(&folder_path)
        {
            return Ok(Begun::Finished(Box::new(done)));
        }
        if overwrite == Overwrite::Refuse {
            return Err(Error::denied("exists already and was left as it is; choose another name, or give --force")
                .in_path(path));
        }
        replaces = older_files(path, &name);
        header.replaces.clone_from(&replaces);
    }
    if format.caps.split
        && overwrite == Overwrite::Refuse
        && let Some(stray) = same_set(&folder_path, &name)?
    {
        let what = format!(
            "{stray} lies here already and would be taken for a part of the image, or overwritten; move it away"
        );
        return Err(Error::denied(what).in_path(path));
    }
    for stale in [format!("{name}{PARTIAL}"), journal_name.clone()] {
        if outlet.exists(&stale)? {
            if overwrite == Overwrite::Refuse && !stale.ends_with(JOURNAL) {
                return Err(Error::denied(format!(
                    "{stale} is in the way and has no journal; remove it, or give --force"
                )));
            }
            outlet.remove(&stale)?;
        }
    }
    let journal = Journal::create(&*outlet, &journal_name, &header).map_err(|e| e.in_path(path))?;
    let lock = Lock::take(&folder_path.join(&journal_name))?;
    let partial = Arc::new(Partial::new(Arc::clone(&outlet), &replaces));
    create.outlet = Arc::clone(&partial) as _;
    create.name.clone_from(&name);
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
    let journal = format.resume.is_some().then_some(journal);
    let files = Files { format, folder: folder_path, outlet, partial, name, replaces, lock };
    Ok(ready(path.to_string_lossy().into_owned(), format, sink, journal, Spot::Files(files)))
}

/// A file that would be taken for a part of the set that begins with `name`: the same name but for the digits of its ending.
fn same_set(folder: &Path, name: &str) -> Result<Option<String>> {
    let Some((stem, ending)) = name.rsplit_once('.') else { return Ok(None) };
    let folder = Folder::open(folder, Reach::Beside)?;
    let alike = |other: &String| {
        other.rsplit_once('.').is_some_and(|(s, e)| {
            s == stem
                && e != ending
                && e.len() == ending.len()
                && ending.bytes().any(|b| b.is_ascii_digit())
                && e.bytes().zip(ending.bytes()).all(|(x, y)| x == y || (x.is_ascii_digit() && y.is_ascii_digit()))
        })
    };
    Ok(Opener::list(&folder)?.into_iter().find(alike))
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

#[allow(clippy::too_many_arguments, reason = "everything that was found about the target, used once")]
fn go_on(
    format: &'static Format,
    mut create: CreateRequest,
    content: &Content<'_>,
    folder: &Path,
    outlet: Arc<dyn Outlet>,
    name: String,
    found: journal::Found,
    lock: Lock,
) -> Result<Begun> {
    let journal_name = format!("{name}{JOURNAL}");
    if let Some((files, replaces, report)) = found.sealed() {
        let report = serde_json::from_value(report.clone())
            .map_err(|e| Error::corrupt("the journal's report cannot be read").in_path(&journal_name).because(e))?;
        return Ok(Begun::Sealed {
            files: files.to_vec(),
            replaces: replaces.to_vec(),
            report: Box::new(report),
            outlet,
            name,
            lock,
        });
    }
    let replaces = found.header.replaces.clone();
    if !replaces.contains(&name) && outlet.exists(&name)? {
        let what =
            "has come to exist since this image was begun, and was left as it is; move it away, and repeat the command";
        return Err(Error::denied(what).in_path(folder.join(&name)));
    }
    let partial = Arc::new(Partial::new(Arc::clone(&outlet), &replaces));
    create.outlet = Arc::clone(&partial) as _;
    create.name.clone_from(&name);
    let checkpoints = found.checkpoints()?;
    let mut journal = Journal::reopen(&*outlet, &journal_name, &found)?;
    let mut resumptions = found.resumptions();
    let (sink, from, stored) = match format.resume {
        Some(resume) if !checkpoints.is_empty() => {
            let resumed = resume(&create, &checkpoints).map_err(|e| e.in_path(folder.join(&name)))?;
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
    let files = Files { format, folder: folder.to_path_buf(), outlet, partial, name, replaces, lock };
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

/// Removes an unfinished image: its files, as far as their names tell, and its journal.
fn discard(outlet: &dyn Outlet, folder: &Path, name: &str) -> Result<()> {
    let mut stale = vec![format!("{name}{PARTIAL}"), format!("{name}{JOURNAL}")];
    while let Some(segment) = same_set_partial(folder, name, &stale)? {
        stale.push(segment);
    }
    for file in stale {
        if outlet.exists(&file)? {
            outlet.remove(&file)?;
        }
    }
    Ok(())
}

/// A further partial segment of the set that begins with `name`, which is not in `known`.
fn same_set_partial(folder: &Path, name: &str, known: &[String]) -> Result<Option<String>> {
    let Some((stem, ending)) = name.rsplit_once('.') else { return Ok(None) };
    let names = Opener::list(&Folder::open(folder, Reach::Beside)?)?;
    Ok(names.into_iter().find(|other| {
        let inner = other.strip_suffix(PARTIAL).and_then(|n| n.rsplit_once('.'));
        inner.is_some_and(|(s, e)| s == stem && e.len() >= ending.len() && e.len() <= ending.len() + 3)
            && !known.contains(other)
    }))
}

/// The files of the image at `path`, which is about to be replaced; only itself if it cannot be opened.
fn older_files(path: &Path, name: &str) -> Vec<String> {
    let inputs = crate::open::Inputs {
        from: None,
        reach: Reach::Beside,
        map: None,
        sidecars: None,
        watch: Arc::new(tintype_core::Silent::default()),
    };
    let locator = if path.is_absolute() { path.to_path_buf() } else { Path::new(".").join(path) };
    match crate::open::open(&locator.to_string_lossy(), &inputs) {
        Ok(opened) if opened.image.files.len() > 1 => opened.image.files,
        _ => vec![name.to_owned()],
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

impl Lock {
    /// Locks the file at `path`, or says that another run has it.
    pub fn take(path: &Path) -> Result<Lock> {
        let file = std::fs::File::open(path).map_err(|e| Error::io("cannot open", e).in_path(path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => {
                Err(Error::denied("another run of tintype is working on this target; wait for it, or stop it")
                    .in_path(path))
            }
            // A file system without locks cannot keep a second run away; that is no reason to refuse the first.
            Err(std::fs::TryLockError::Error(_)) => Ok(Lock { _file: file }),
        }
    }
}
