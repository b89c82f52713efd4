//! What an image stands on.

use super::read;
use std::sync::Arc;
use tintype_core::{Backing, Error, Format, Image, Kind, OpenRequest, Result, Source};

/// Longest name of a backing file, as in QEMU.
pub(crate) const LONGEST_NAME: u32 = 1023;

/// An image that another one stands on.
pub(crate) struct Below {
    /// What opened it.
    pub(crate) request: OpenRequest,
    pub(crate) format: &'static Format,
    pub(crate) image: Image,
}

/// Opens what an image calls `name` and says to be of `format`, where it says that.
pub(crate) fn backing(request: &OpenRequest, name: &str, format: Option<&str>) -> Result<Below> {
    let below = request.backing(name).map_err(|e| e.met_in(&request.entry.name))?;
    let format = match format {
        Some(format) => named(format).map_err(|e| e.in_path(&request.entry.name))?,
        None => guessed(request, &below)?,
    };
    let (format, image) = crate::open(&below, Some(format)).map_err(|e| e.met_in(&below.entry.name))?;
    Ok(Below { request: below, format, image })
}

/// The format that is called `name` in images.
fn named(name: &str) -> Result<&'static Format> {
    let ours = match name {
        "file" => "raw",
        "vpc" => "vhd",
        other => other,
    };
    crate::by_name(ours)
        .map_err(|_| Error::unsupported(format!("the image stands on one of format {name:?}, which is not known here")))
}

/// The format of an image below that nothing is said about.
///
/// Bytes that a guest wrote must not decide how they are read, so a container is only believed if its name says the same.
fn guessed(request: &OpenRequest, below: &OpenRequest) -> Result<&'static Format> {
    let found = crate::probe(below)?;
    let name = below.entry.name.to_ascii_lowercase();
    let agrees = found.extensions.iter().any(|e| name.ends_with(&format!(".{e}")));
    if std::ptr::eq(found, &crate::raw::FORMAT) || agrees {
        return Ok(found);
    }
    let what = format!(
        "the image does not say what format {} has: it looks like {}, but a guest could have written that onto a raw disk; \
         write the format down with qemu-img rebase -u -F, or give the file a name that ends in .{}",
        below.entry.name,
        found.title,
        found.extensions.first().unwrap_or(&found.name)
    );
    Err(Error::denied(what).in_path(&request.entry.name))
}

/// The name of a backing file that has `len` bytes at `at` of `file`.
pub(crate) fn backing_name(file: &dyn Source, at: u64, len: u32) -> Result<String> {
    if len > LONGEST_NAME {
        return Err(Error::corrupt(format!("the name of the backing file has {len} bytes")).at(at));
    }
    let mut name = vec![0; len as usize];
    read(file, "the name of the backing file", &mut name, at)?;
    String::from_utf8(name).map_err(|_| Error::unsupported("the name of the backing file is no UTF-8"))
}

/// What QEMU calls the formats that an image of its own can stand on, after what they are called here.
const BELOW: &[(&str, &str)] = &[
    ("raw", "raw"),
    ("qcow2", "qcow2"),
    ("qcow", "qcow"),
    ("qed", "qed"),
    ("vmdk", "vmdk"),
    ("vhd", "vpc"),
    ("vhdx", "vhdx"),
    ("vdi", "vdi"),
    ("parallels", "parallels"),
    ("bochs", "bochs"),
    ("cloop", "cloop"),
];

/// What a new image stands on, in the words that QEMU reads.
#[derive(Clone)]
pub(crate) struct Footing {
    /// Its name, which nobody takes for a protocol.
    pub(crate) name: String,
    /// What QEMU calls its format.
    pub(crate) format: &'static str,
    pub(crate) source: Arc<dyn Source>,
}

impl Footing {
    /// `Unsupported` for formats that QEMU does not know.
    pub(crate) fn of(backing: &Backing) -> Result<Self> {
        let Some((_, format)) = BELOW.iter().find(|(ours, _)| *ours == backing.format) else {
            let known: Vec<_> = BELOW.iter().map(|(ours, _)| *ours).collect();
            let what = format!(
                "has the format {}, which QEMU does not know, so that no image can stand on it; convert it first to one of {}",
                backing.format,
                known.join(", ")
            );
            return Err(Error::unsupported(what).in_path(&backing.name));
        };
        Ok(Footing { name: relative(&backing.name), format, source: Arc::clone(&backing.source) })
    }
}

/// The name of a file as images say it: what is before a colon, where no slash comes first, would be a protocol.
pub(crate) fn relative(name: &str) -> String {
    match name.find([':', '/']) {
        Some(at) if name[at..].starts_with(':') => format!("./{name}"),
        _ => name.to_owned(),
    }
}

/// What a file turned out to be that may be the parent of an image.
pub(crate) enum Candidate {
    Parent(Box<(OpenRequest, Image)>),
    /// Another one, or changed since: why, for people.
    Other(String),
}

/// Opens the parent of an image by the first of the names it may have, with the request that did. `Corrupt` where none of them is it; `Denied` where
/// one lies where nobody may look.
pub(crate) fn parent(
    request: &OpenRequest,
    names: Vec<String>,
    open: impl Fn(&str) -> Result<Candidate>,
) -> Result<(OpenRequest, Image)> {
    let mut tried: Vec<String> = Vec::new();
    let mut denied = None;
    for name in names {
        match open(&name) {
            Ok(Candidate::Parent(parent)) => return Ok(*parent),
            Ok(Candidate::Other(why)) => tried.push(format!("{name} ({why})")),
            Err(e) if e.kind() == Kind::Denied => {
                tried.push(format!("{name} ({})", e.what()));
                denied.get_or_insert(e);
            }
            Err(e) if e.io_kind() == Some(std::io::ErrorKind::NotFound) => tried.push(name),
            // It is there, and cannot be read: that is what is wrong.
            Err(e) => return Err(e.in_path(&name)),
        }
    }
    Err(denied.unwrap_or_else(|| {
        let what = format!("the parent of this differencing disk is missing; looked for {}", tried.join(", "));
        Error::corrupt(what).in_path(&request.entry.name)
    }))
}
