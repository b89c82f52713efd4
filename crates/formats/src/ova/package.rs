//! The files of a machine, in an archive or beside its descriptor.

use super::announced::{self, announced};
use super::envelope::{Disk, Envelope, File, LONGEST};
use super::manifest;
use super::names::{plain, unescaped};
use super::tar::{self, Member};
use std::collections::BTreeSet;
use std::sync::Arc;
use tintype_core::layers::{Concat, Slice};
use tintype_core::{Entry, Error, Finding, Format, Image, Kind, OpenRequest, Opener, Result, Source};

/// A machine, opened as far as its descriptor.
pub(super) struct Package {
    pub(super) envelope: Envelope,
    /// The request for the descriptor: its opener knows the machine's files.
    pub(super) request: OpenRequest,
    /// Whether it is one file.
    pub(super) archive: bool,
    /// The name and the text of the manifest.
    pub(super) manifest: Option<(String, String)>,
    pub(super) warnings: Vec<String>,
}

/// The files of an archive.
struct Archive {
    bytes: Arc<dyn Source>,
    members: Vec<Member>,
}

impl Opener for Archive {
    fn open(&self, name: &str) -> Result<Arc<dyn Source>> {
        let name = name.strip_prefix("./").unwrap_or(name);
        let member = self.members.iter().find(|m| m.name == name).ok_or_else(|| {
            Error::io("is not in the archive", std::io::Error::from(std::io::ErrorKind::NotFound)).in_path(name)
        })?;
        Ok(Arc::new(Slice::new(Arc::clone(&self.bytes), member.offset, member.len)?))
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.members.iter().map(|m| m.name.clone()).collect())
    }
}

impl Package {
    pub(super) fn open(request: &OpenRequest) -> Result<Self> {
        let source = request.entry.source()?;
        let own = &request.entry.name;
        let mut head = [0; tar::BLOCK as usize];
        let have = source.len().min(tar::BLOCK) as usize;
        source.read_at(&mut head[..have], 0)?;
        let archive = tar::first_name(&head[..have]).is_some();
        let mut warnings = Vec::new();
        let request = if archive {
            let members = tar::members(&**source, &request.limits).map_err(|e| e.in_path(own))?;
            let is = |name: &str, ending: &str| name.to_ascii_lowercase().ends_with(ending);
            let found = members.iter().position(|m| is(&m.name, ".ovf"));
            let found = found.ok_or_else(|| Error::corrupt("has no OVF descriptor in it").in_path(own))?;
            if found > 0 {
                warnings.push(format!("the descriptor {} is not the first file of the archive", members[found].name));
            }
            if members.iter().filter(|m| is(&m.name, ".ovf")).count() > 1 {
                warnings
                    .push(format!("there are several descriptors; {} is the one that is read", members[found].name));
            }
            let name = members[found].name.clone();
            let opener = Arc::new(Archive { bytes: Arc::clone(source), members });
            let mut above = request.above.clone();
            above.push(own.clone());
            let entry = Entry::bytes(name.clone(), opener.open(&name)?);
            OpenRequest { entry, opener, sidecars: None, above, ..request.clone() }
        } else {
            request.clone()
        };
        let name = request.entry.name.clone();
        let text = text(&**request.entry.source()?, LONGEST).map_err(|e| e.in_path(&name))?;
        let envelope = Envelope::parse(&text).map_err(|e| e.in_path(&name))?;
        let stem = name.rsplit_once('.').map_or(&name[..], |(stem, _)| stem);
        let manifest = match manifest_of(&request, &format!("{stem}.mf"))? {
            Some((name, source)) => {
                let text = self::text(&*source, manifest::LONGEST).map_err(|e| e.in_path(&name))?;
                Some((name, text))
            }
            None => None,
        };
        Ok(Package { envelope, request, archive, manifest, warnings })
    }

    /// The files that the descriptor names, each once however often it is named.
    pub(super) fn files(&self) -> impl Iterator<Item = &File> {
        let mut seen = BTreeSet::new();
        self.envelope.files.iter().filter(move |file| seen.insert((plain(&file.href), file.chunk, file.size)))
    }

    /// The file that holds a disk; none for an empty disk.
    pub(super) fn file_of(&self, disk: &Disk) -> Result<Option<&File>> {
        let Some(id) = &disk.file else { return Ok(None) };
        let file = self.envelope.files.iter().find(|f| f.id == *id);
        let what = || format!("the disk {:?} is in a file {id:?}, which the descriptor does not know", disk.id);
        file.map(Some).ok_or_else(|| Error::corrupt(what()).in_path(&self.request.entry.name))
    }

    /// The name beside the descriptor under which there is the file that the machine calls `name`, and the file; `ending` follows
    /// the name. Names are URIs: where there is no such file, the one is meant that it stands for when its escapes are resolved.
    ///
    /// The errors of the opener, which is asked for either name: escapes lead nowhere that the characters would not.
    pub(super) fn spelled(&self, name: &str, ending: &str) -> Result<(String, Arc<dyn Source>)> {
        let open = |name: &str| Ok((name.to_owned(), self.request.open_beside(&format!("{name}{ending}"))?));
        let literal = match open(plain(name)) {
            Err(e) if is_missing(&e) => e,
            other => return other,
        };
        match unescaped(name).map(|name| open(plain(&name))) {
            None => Err(literal),
            Some(Err(e)) if is_missing(&e) => Err(literal),
            Some(other) => other,
        }
    }

    /// The pieces that a file is cut into. `Corrupt` unless all but the last have `chunk` bytes and none has more, unless they
    /// are together as long as the descriptor says, and where one is missing before another.
    pub(super) fn pieces(&self, file: &File, chunk: u64) -> Result<Pieces> {
        self.request.beneath(&file.href)?;
        let (base, _) = self.spelled(&file.href, ".000000000")?;
        let mut list: Vec<(String, Arc<dyn Source>)> = Vec::new();
        let mut len = 0u64;
        loop {
            let name = format!("{base}.{:09}", list.len());
            let wrong = |what: String| Error::corrupt(what).in_path(&name);
            let last = list.last().map(|(name, source)| (name, source.len()));
            let source = match self.request.open_beside(&name) {
                Ok(source) => source,
                Err(e) if is_missing(&e) => match (file.size, last) {
                    (Some(size), Some((name, last))) if len < size && last < chunk => {
                        let what = format!("has {last} bytes, and no piece follows: {} are missing", size - len);
                        return Err(Error::corrupt(what).in_path(name));
                    }
                    (Some(size), _) if len < size => return Err(e),
                    _ => break,
                },
                Err(e) => return Err(e),
            };
            if list.len() as u64 >= u64::from(self.request.limits.files) {
                return Err(Error::limit("a file in too many pieces").in_path(name));
            }
            if let Some((name, last)) = last.filter(|(_, last)| *last < chunk) {
                let what = format!("has {last} bytes, but every piece before the last one has {chunk}");
                return Err(Error::corrupt(what).in_path(name));
            }
            let own = source.len();
            if own == 0 || own > chunk {
                return Err(wrong(format!("is a piece of {own} bytes; pieces have 1 to {chunk}")));
            }
            len = len.saturating_add(own);
            if let Some(size) = file.size.filter(|size| *size < len) {
                return Err(wrong(format!("makes the file {len} bytes long; the descriptor says {size}")));
            }
            list.push((name, source));
        }
        let path = self.request.beside(&base)?;
        let number = |name: &str| -> Option<usize> {
            let digits = name.strip_prefix(&path)?.strip_prefix('.')?;
            (digits.len() == 9 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
        };
        // A folder that may not be listed tells nothing, and a gap shows as a disk that is too short.
        let names = self.request.opener.list().unwrap_or_default();
        match names.into_iter().find(|name| number(name).is_some_and(|n| n > list.len())) {
            Some(name) => {
                Err(Error::corrupt(format!("is a piece, but the piece {base}.{:09} is missing", list.len()))
                    .in_path(name))
            }
            None => Ok(Pieces { base, list }),
        }
    }

    /// The request to open the file that is called `name` after [`Self::spelled`]: a colon in it is a letter.
    fn below(&self, name: &str) -> Result<OpenRequest> {
        match name.starts_with('/') {
            true => self.request.backing(name),
            false => self.request.backing(&format!("./{name}")),
        }
    }

    /// What is in a file, unpacked if the descriptor says that it is packed.
    pub(super) fn inside(&self, file: &File) -> Result<Inside> {
        let (request, files) = match file.chunk {
            None => {
                self.request.beneath(&file.href)?;
                let request = self.below(&self.spelled(&file.href, "")?.0)?;
                let files = vec![request.entry.name.clone()];
                (request, files)
            }
            Some(chunk) => {
                let Pieces { base, list } = self.pieces(file, chunk)?;
                let (names, sources): (Vec<_>, Vec<_>) = list.into_iter().unzip();
                let entry = Entry::bytes(self.request.beside(&base)?, Arc::new(Concat::new(sources)?));
                let files = names.iter().map(|name| self.request.beside(name)).collect::<Result<_>>()?;
                (OpenRequest { entry, ..self.below(&names[0])? }, files)
            }
        };
        let stored = request.entry.source()?.len();
        let mut inside = Inside { request, files, warnings: Vec::new(), damage: Vec::new() };
        if file.gzip {
            let image = crate::open(&inside.request, Some(&crate::gzip::FORMAT))?.1;
            inside.request.entry = Entry::bytes(inside.request.entry.name.clone(), image.disk);
            inside.warnings = image.warnings;
            inside.damage = image.damage;
        }
        if let Some(said) = file.size.filter(|said| *said != stored) {
            let what = format!("{} has {stored} bytes; the descriptor says {said}", file.href);
            inside.damage.push(Finding::damage(what).in_file(file.href.clone(), stored));
        }
        Ok(inside)
    }

    /// Opens what is in the file of a disk as that disk.
    pub(super) fn disk(&self, disk: &Disk, file: &File) -> Result<Opened> {
        let Inside { request, files, warnings, damage } = self.inside(file)?;
        let (format, mut image) = match announced(disk) {
            Some(format) => crate::open(&request, Some(format))?,
            None => {
                let found = crate::probe(&request)?;
                if std::ptr::eq(found, &super::FORMAT) {
                    let what = "a machine inside a machine is no disk";
                    return Err(Error::unsupported(what).in_path(&request.entry.name));
                }
                if announced::is_packed(found) {
                    let what = format!(
                        "begins like {}, but the descriptor does not say that it is packed: a disk may begin so by chance, and it is \
                         not unpacked",
                        found.title
                    );
                    return Err(Error::unsupported(what).in_path(&request.entry.name));
                }
                crate::open(&request, None)?
            }
        };
        if image.chain.is_empty() {
            disk.stands_alone().map_err(|e| e.in_path(&request.entry.name))?;
        }
        image.warnings.extend(warnings);
        image.damage.extend(damage);
        match disk.capacity.map(|said| (said, image.disk.len())) {
            // A length that is no whole number of sectors is not known to the descriptor.
            Some((said, found)) if said != found.next_multiple_of(512) => {
                let what = format!("the descriptor gives the disk {:?} {said} bytes; it has {found}", disk.id);
                match found < said {
                    true => image.damage.push(Finding::damage(what)),
                    false => image.warnings.push(what),
                }
            }
            _ => {}
        }
        Ok(Opened { format, image, request, files })
    }

    /// The files that the manifest has a digest of, as the opener knows them if they are there under these very names.
    pub(super) fn listed(&self) -> BTreeSet<String> {
        let lines = self.manifest.iter().flat_map(|(_, text)| manifest::parse(text).0);
        lines.filter_map(|line| self.request.beside(plain(&line.name)).ok()).collect()
    }

    /// The files, and pieces of files, that the descriptor names and the manifest has no digest of.
    pub(super) fn unlisted(&self) -> Vec<String> {
        let listed = self.listed();
        let is_listed = |name: &str| self.request.beside(name).is_ok_and(|path| listed.contains(&path));
        // A line may spell the name in either way, so long as it means the same file.
        let means = |line: &str, name: &str| self.spelled(line, "").is_ok_and(|(found, _)| found == name);
        let mut unlisted = Vec::new();
        for file in self.files() {
            let href = plain(&file.href);
            let names: Vec<(String, String)> = match file.chunk.map(|chunk| self.pieces(file, chunk)) {
                None => {
                    let name = self.spelled(href, "").map_or_else(|_| href.to_owned(), |(name, _)| name);
                    vec![(href.to_owned(), name)]
                }
                Some(Ok(pieces)) => {
                    let names = pieces.names().into_iter().enumerate();
                    names.map(|(i, name)| (format!("{href}.{i:09}"), name)).collect()
                }
                Some(Err(_)) => {
                    unlisted.push(href.to_owned());
                    continue;
                }
            };
            let not =
                names.into_iter().filter(|(line, name)| !(is_listed(name) || is_listed(line) && means(line, name)));
            unlisted.extend(not.map(|(_, name)| name));
        }
        unlisted
    }
}

/// The pieces of a file, by their names beside the descriptor.
pub(super) struct Pieces {
    /// What their names begin with.
    base: String,
    list: Vec<(String, Arc<dyn Source>)>,
}

impl Pieces {
    pub(super) fn names(self) -> Vec<String> {
        self.list.into_iter().map(|(name, _)| name).collect()
    }
}

/// What is in a file.
pub(super) struct Inside {
    request: OpenRequest,
    /// The file or its pieces, as the opener knows them.
    files: Vec<String>,
    warnings: Vec<String>,
    damage: Vec<Finding>,
}

/// A disk of the machine.
pub(super) struct Opened {
    pub(super) format: &'static Format,
    pub(super) image: Image,
    /// What it takes to open it again.
    pub(super) request: OpenRequest,
    /// The file that the descriptor names, or its pieces, as the opener knows them.
    pub(super) files: Vec<String>,
}

impl Opened {
    /// Its files that neither the descriptor names nor the manifest has a digest of: extents of another file.
    pub(super) fn unlisted(&self, listed: &BTreeSet<String>) -> Vec<String> {
        let own = &self.request.entry.name;
        let mut files = self.image.all_files();
        files.retain(|file| file != own && !self.files.contains(file) && !listed.contains(file));
        files
    }
}

fn is_missing(error: &Error) -> bool {
    error.io_kind() == Some(std::io::ErrorKind::NotFound)
}

/// The manifest, whose name may be in other letters; none if there is none.
fn manifest_of(request: &OpenRequest, name: &str) -> Result<Option<(String, Arc<dyn Source>)>> {
    match request.opener.open(name) {
        Ok(source) => return Ok(Some((name.to_owned(), source))),
        Err(e) if is_missing(&e) => {}
        Err(e) if e.kind() == Kind::Denied => return Ok(None),
        Err(e) => return Err(e),
    }
    // A folder that may not be listed has only what can be named.
    let names = request.opener.list().unwrap_or_default();
    match names.into_iter().filter(|other| other.eq_ignore_ascii_case(name)).min() {
        Some(other) => request.opener.open(&other).map(|source| Some((other, source))),
        None => Ok(None),
    }
}

fn text(source: &dyn Source, most: u64) -> Result<String> {
    if source.len() > most {
        return Err(Error::limit(format!("a text of {} bytes; {most} are the most", source.len())));
    }
    let mut bytes = vec![0; source.len() as usize];
    source.read_at(&mut bytes, 0)?;
    String::from_utf8(bytes).map_err(|_| Error::unsupported("is not written in UTF-8"))
}
