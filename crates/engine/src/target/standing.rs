//! What stands where a target is to be made: looked at first, without touching anything, and begun only then.

use super::nowhere::Nowhere;
use super::site::Site;
use super::{Again, Begun, Content, Files, Lock, Overwrite, Prepared, Spot, Wish};
use super::{able, create_request, format_of, request, same};
use crate::identity::resembles;
use crate::journal::{self, Header, Journal, Record};
use crate::report::{self, Place as ReportPlace, Report, now};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tintype_core::{CreateRequest, Error, Format, Kind, Locator, Order, PARTIAL, Partial, Place, Result, Sink};

/// A target that was looked at. Nothing was made or changed so far; every refusal that can be known before the work
/// begins has been made.
pub struct Standing {
    format: &'static Format,
    what: What,
    /// Where its report goes, if anywhere.
    pub report: Option<ReportPlace>,
}

enum What {
    /// Standard output.
    Stream(Box<CreateRequest>),
    /// Nothing that counts.
    Free(Box<Fresh>),
    /// An unfinished image of the same command.
    Unfinished(Box<Unfinished>),
    /// An image that the same command finished.
    Finished(Box<Report>),
}

struct Unfinished {
    fresh: Fresh,
    found: journal::Found,
    lock: Lock,
    overwrite: Overwrite,
}

/// How far a target has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is begun.
    New,
    /// The same command began it, and goes on.
    GoesOn,
    /// The same command finished it, at this time.
    Finished(String),
}

/// What it takes to begin anew.
struct Fresh {
    site: Site,
    create: CreateRequest,
    header: Header,
    /// Of an unfinished image that is given up.
    given_up: Option<Lock>,
}

/// Looks at a target that is to be a new image, or one that goes on. `prefix` is where its report goes, without ending.
pub fn look(wish: &Wish, content: &Content<'_>, overwrite: Overwrite, prefix: Option<String>) -> Result<Standing> {
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
    let mut place = prefix.map(|prefix| ReportPlace { prefix, overwrite });
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
        attempt(format, &create)?;
        place.as_ref().map(|p| p.check(None)).transpose()?;
        return Ok(Standing { format, what: What::Stream(Box::new(create)), report: place });
    }
    let site = Site::of(locator.path()?, format)?;
    create.name.clone_from(&site.name);
    attempt(format, &create).map_err(|e| e.in_path(&site.path).in_folder(&site.folder))?;
    let header = Header {
        tintype_journal: journal::VERSION,
        program: report::program(),
        started: now(),
        source: content.source.clone(),
        request: request(content, wish, format),
        replaces: Vec::new(),
    };
    let mut fresh = Fresh { site, create, header, given_up: None };
    let mut again = false;
    if fresh.site.outlet.exists(&fresh.site.journal())? {
        match unfinished(&fresh, content, overwrite)? {
            Left::Torn => {}
            Left::Same(found, lock) => {
                if let Some(place) = &mut place {
                    place.check(Some(&fresh.header))?;
                    place.overwrite = Overwrite::Replace;
                }
                let unfinished = Unfinished { fresh, found: *found, lock, overwrite };
                return Ok(Standing { format, what: What::Unfinished(Box::new(unfinished)), report: place });
            }
            Left::GivenUp(lock, rejected) => {
                fresh.given_up = Some(lock);
                again = rejected;
            }
        }
    }
    let site = &fresh.site;
    if site.outlet.exists(&site.name)? {
        if overwrite == Overwrite::Refuse {
            let report = finished(&fresh, content, place.as_ref())?;
            let report_place = place.map(|p| ReportPlace { overwrite: Overwrite::Replace, ..p });
            return Ok(Standing { format, what: What::Finished(Box::new(report)), report: report_place });
        }
        fresh.header.replaces = site.older_files();
    }
    let site = &fresh.site;
    if overwrite == Overwrite::Refuse {
        if format.caps.split
            && let Some(stray) = site.same_set()?
        {
            let what = "lies here already and would be taken for a part of the image, or overwritten; move it away";
            return Err(Error::denied(what).in_path(site.folder.join(stray)));
        }
        let partial = format!("{}{PARTIAL}", site.name);
        if fresh.given_up.is_none() && site.outlet.exists(&partial)? {
            let what = "is in the way and has no journal; remove it, or give --force";
            return Err(Error::denied(what).in_path(site.folder.join(partial)));
        }
    }
    site.check_writable()?;
    if let Some(place) = &mut place {
        place.check(again.then_some(&fresh.header))?;
        if again {
            place.overwrite = Overwrite::Replace;
        }
    }
    Ok(Standing { format, what: What::Free(Box::new(fresh)), report: place })
}

/// Finds out whether the format would begin such an image at all.
fn attempt(format: &'static Format, create: &CreateRequest) -> Result<()> {
    let outlet = Arc::new(Partial::new(Arc::new(Nowhere::default()), &[]));
    begin(format, &CreateRequest { outlet, ..create.clone() }).map(drop)
}

/// What the journal of an unfinished image comes to.
enum Left {
    /// It was torn before it said anything.
    Torn,
    /// The same command goes on.
    Same(Box<journal::Found>, Lock),
    /// It is begun anew; true if that is because what the same command wrote was found to be wrong.
    GivenUp(Lock, bool),
}

fn unfinished(fresh: &Fresh, content: &Content<'_>, overwrite: Overwrite) -> Result<Left> {
    let site = &fresh.site;
    let lock = site.lock()?;
    // Read under the lock: until then another run may have gone on, or finished.
    let found = journal::read(&*site.outlet, &site.journal()).map_err(|e| e.in_folder(&site.folder))?;
    let Some(found) = found else { return Ok(Left::Torn) };
    let why = match content.again {
        Again::Possible => same(&found.header, &fresh.header).err().map(|why| {
            format!(
                "was begun by another command: {why}. Repeat that command to finish it, or give --force to start anew"
            )
        }),
        Again::Never => Some("is of a stream, which cannot be read again; give --force to start anew".into()),
    };
    match why {
        Some(why) if overwrite == Overwrite::Refuse => {
            Err(Error::denied(format!("the unfinished image there {why}")).in_path(&site.path))
        }
        Some(_) => Ok(Left::GivenUp(lock, false)),
        None if found.rejected() => Ok(Left::GivenUp(lock, true)),
        None => {
            let taken = !found.header.replaces.contains(&site.name) && site.outlet.exists(&site.name)?;
            // A sealed image may have its name already.
            if taken && found.sealed().is_none() {
                return Err(Error::denied(tintype_core::TAKEN).in_path(site.folder.join(&site.name)));
            }
            Ok(Left::Same(Box::new(found), lock))
        }
    }
}

/// The report of the same command, if it finished the image that lies there.
fn finished(fresh: &Fresh, content: &Content<'_>, place: Option<&ReportPlace>) -> Result<Report> {
    let path = &fresh.site.path;
    let Some(place) = place else {
        let compare = match content.again {
            Again::Possible => format!("; tintype compare {} {}", content.source.locator, path.display()),
            Again::Never => String::new(),
        };
        let told = if compare.is_empty() { "" } else { " tells whether it is finished" };
        let what = format!(
            "exists already and was left as it is: without --report nothing says which command made it. Choose another \
             name, or give --force to replace it{compare}{told}"
        );
        return Err(Error::denied(what).in_path(path));
    };
    match place.read() {
        Some(done)
            if done.is_of(&fresh.header)
                && is_about(&done, path, place)
                && done.source.same_attachment(content.source)
                && done.files_are_there(&fresh.site.folder) =>
        {
            Ok(done)
        }
        _ => {
            let what = "exists already and was left as it is; choose another name, or give --force";
            Err(Error::denied(what).in_path(path))
        }
    }
}

/// True if `report`, which lies at `place`, is about the image at `path`: it lies beside it, or names it.
fn is_about(report: &Report, path: &Path, place: &ReportPlace) -> bool {
    let folder = |path: &Path| {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        parent.canonicalize().ok()
    };
    let named = Path::new(&report.target);
    let here = folder(path);
    let near = folder(Path::new(&place.prefix)) == here || folder(named) == here;
    here.is_some() && near && named.file_name() == path.file_name()
}

fn begin(format: &'static Format, create: &CreateRequest) -> Result<Box<dyn Sink>> {
    (format.create.ok_or_else(|| Error::unsupported(format!("{} images cannot be written", format.title)))?)(create)
}

impl Standing {
    /// The path of the first file, to tell targets apart; `None` for standard output.
    pub fn path(&self) -> Option<PathBuf> {
        match &self.what {
            What::Stream(_) => None,
            What::Free(fresh) => Some(fresh.site.real_path()),
            What::Unfinished(unfinished) => Some(unfinished.fresh.site.real_path()),
            What::Finished(report) => Some(PathBuf::from(&report.target)),
        }
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        match &self.what {
            What::Stream(_) | What::Free(_) => Progress::New,
            What::Unfinished(_) => Progress::GoesOn,
            What::Finished(report) => Progress::Finished(report.ended.clone()),
        }
    }

    /// Makes the target, or takes it up where it ended.
    pub fn begin(self, content: &Content<'_>) -> Result<Begun> {
        let Standing { format, what, .. } = self;
        match what {
            What::Stream(create) => Ok(ready("-".into(), format, begin(format, &create)?, None, Spot::Stream)),
            What::Finished(report) => Ok(Begun::Finished(report)),
            What::Free(fresh) => anew(format, *fresh, content),
            What::Unfinished(unfinished) => {
                let Unfinished { mut fresh, found, lock, overwrite } = *unfinished;
                let (create, site) = (fresh.create.clone(), &fresh.site);
                match go_on(format, create, content, site, &found, lock) {
                    Ok(begun) => Ok(begun),
                    Err(e) if e.kind() == Kind::Cancelled => Err(e),
                    // Only --force gives up what may still be of use to somebody.
                    Err(_) if overwrite == Overwrite::Replace => {
                        fresh.given_up = Some(site.lock()?);
                        anew(format, fresh, content)
                    }
                    Err(e) if matches!(e.kind(), Kind::Denied | Kind::Usage) => Err(e),
                    Err(e) => {
                        Err(e.advising("the unfinished image cannot be gone on with: give --force to start anew"))
                    }
                }
            }
        }
    }
}

/// Begins anew.
fn anew(format: &'static Format, fresh: Fresh, content: &Content<'_>) -> Result<Begun> {
    let Fresh { site, mut create, header, given_up } = fresh;
    if given_up.is_some() {
        site.discard()?;
    }
    let Site { path, folder, outlet, name } = &site;
    let journal_name = site.journal();
    for stale in [format!("{name}{PARTIAL}"), journal_name.clone()] {
        if outlet.exists(&stale)? {
            outlet.remove(&stale)?;
        }
    }
    let journal = Journal::create(&**outlet, &journal_name, &header).map_err(|e| e.in_path(path))?;
    let lock = site.lock()?;
    drop(given_up);
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
            return Err(e.in_path(path).in_folder(folder));
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
        let report = serde_json::from_value(report.clone()).map_err(|e| {
            Error::corrupt("the journal's report cannot be read").in_path(folder.join(&journal_name)).because(e)
        })?;
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
    let partial = Arc::new(Partial::new(Arc::clone(outlet), &replaces));
    create.outlet = Arc::clone(&partial) as _;
    let checkpoints = found.checkpoints()?;
    let mut journal = Journal::reopen(&**outlet, &journal_name, found)?;
    let mut resumptions = found.resumptions();
    let (sink, from, stored) = match format.resume {
        Some(resume) if !checkpoints.is_empty() => {
            let resumed = resume(&create, &checkpoints).map_err(|e| e.in_path(folder.join(name)).in_folder(folder))?;
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
            (begin(format, &create).map_err(|e| e.in_path(folder.join(name)).in_folder(folder))?, 0, None)
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
