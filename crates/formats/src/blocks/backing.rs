//! What an image stands on.

use tintype_core::{Error, Format, Image, OpenRequest, Result};

/// An image that another one stands on.
pub(crate) struct Below {
    /// Its name, as the opener knows it.
    pub(crate) name: String,
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
    Ok(Below { name: below.entry.name, format, image })
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
