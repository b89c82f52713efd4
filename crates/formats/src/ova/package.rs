//! The files of a machine, in an archive or beside its descriptor.

use super::envelope::{Disk, Envelope, File, LONGEST};
use super::manifest;
use super::tar::{self, Member};
use std::sync::Arc;
use tintype_core::layers::{Concat, Slice};
use tintype_core::{Entry, Error, Format, Image, Kind, OpenRequest, Opener, Result, Source};

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
        let beside = format!("{stem}.mf");
        let manifest = match request.opener.open(&beside) {
            Ok(source) => {
                Some((beside.clone(), self::text(&*source, manifest::LONGEST).map_err(|e| e.in_path(beside))?))
            }
            Err(e) if e.io_kind() == Some(std::io::ErrorKind::NotFound) || e.kind() == Kind::Denied => None,
            Err(e) => return Err(e),
        };
        Ok(Package { envelope, request, archive, manifest, warnings })
    }

    /// The file that holds a disk; none for an empty disk.
    pub(super) fn file_of(&self, disk: &Disk) -> Result<Option<&File>> {
        let Some(id) = &disk.file else { return Ok(None) };
        let file = self.envelope.files.iter().find(|f| f.id == *id);
        let what = || format!("the disk {:?} is in a file {id:?}, which the descriptor does not know", disk.id);
        file.map(Some).ok_or_else(|| Error::corrupt(what()).in_path(&self.request.entry.name))
    }

    /// The request to open what is in a file.
    pub(super) fn inside(&self, file: &File) -> Result<OpenRequest> {
        let mut inside = match file.chunk {
            None => self.request.backing(&file.href)?,
            Some(_) => {
                let mut pieces: Vec<Arc<dyn Source>> = Vec::new();
                let mut first = None;
                let mut len = 0u64;
                while file.size.is_none_or(|size| len < size) {
                    let piece = format!("{}.{:09}", file.href, pieces.len());
                    let request = match self.request.backing(&piece) {
                        Ok(request) => request,
                        Err(e) if file.size.is_none() && !pieces.is_empty() && e.kind() == Kind::Io => break,
                        Err(e) => return Err(e),
                    };
                    let source = Arc::clone(request.entry.source()?);
                    if source.is_empty() || pieces.len() as u64 >= u64::from(self.request.limits.files) {
                        return Err(Error::corrupt("an empty piece of a file, or too many pieces").in_path(piece));
                    }
                    len = len.saturating_add(source.len());
                    pieces.push(source);
                    first.get_or_insert(request);
                }
                let first = first.ok_or_else(|| Error::corrupt("a file in pieces, of which there is none"))?;
                let entry = Entry::bytes(self.request.beneath(&file.href)?, Arc::new(Concat::new(pieces)?));
                OpenRequest { entry, ..first }
            }
        };
        if file.gzip {
            let image = crate::open(&inside, Some(&crate::gzip::FORMAT))?.1;
            inside.entry = Entry::bytes(inside.entry.name.clone(), image.disk);
        }
        Ok(inside)
    }

    /// Opens what is in a file as a disk.
    pub(super) fn disk(&self, file: &File) -> Result<(&'static Format, Image, OpenRequest)> {
        let inside = self.inside(file)?;
        if std::ptr::eq(crate::probe(&inside)?, &super::FORMAT) {
            return Err(Error::unsupported("a machine inside a machine is no disk").in_path(&inside.entry.name));
        }
        let (format, image) = crate::open(&inside, None)?;
        Ok((format, image, inside))
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
