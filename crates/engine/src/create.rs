//! `create`: an empty image.

use crate::identity::SourceId;
use crate::image::Run;
use crate::target::{self, Again, Begun, Content, Overwrite, Prepared, Spot, Wish};
use serde::Serialize;
use tintype_core::{Error, Facts, Partial, Piece, PieceBody, Result, Seal, Shape, State};

/// What to make.
pub struct Request {
    /// The image.
    pub wish: Wish,
    /// Logical bytes; `None`: those of the backing file.
    pub size: Option<u64>,
    /// What happens to files that are in the way.
    pub overwrite: Overwrite,
    /// Only say what would be done.
    pub run: Run,
}

/// What was made.
#[derive(Debug, Serialize)]
pub struct Created {
    /// The image.
    pub target: String,
    /// The format's name.
    pub format: &'static str,
    /// Logical bytes.
    pub size: u64,
    /// Bytes stored.
    pub written: u64,
    /// Its files.
    pub files: Vec<String>,
    /// What the person should know.
    pub notes: Vec<String>,
    /// True if nothing was made because only that was asked what would be.
    pub dry_run: bool,
}

/// Makes it. `Usage` for formats that are made from something (they store its digests), and without a size.
pub fn run(request: Request) -> Result<Created> {
    let Request { wish, size, overwrite, run } = request;
    let format = target::format_of(&wish)?;
    if !format.caps.digests.is_empty() || wish.locator == "-" {
        let what = format!("an empty image of {} is of no use; use image or convert", format.title);
        return Err(Error::usage(what).in_path(&wish.locator));
    }
    let size = size.or_else(|| wish.backing.as_ref().map(|b| b.source.len()));
    let size = size.ok_or_else(|| Error::usage("give --size, or --backing to have the size of that"))?;
    let source = SourceId { locator: "nothing".into(), size: Some(size), ..SourceId::default() };
    let shape = wish.backing.as_ref().map_or_else(Shape::default, |b| b.source.shape());
    let content = Content {
        verb: "create",
        source: &source,
        len: Some(size),
        shape,
        facts: &Facts::default(),
        digests: &[],
        request: serde_json::Value::Null,
        again: Again::Never,
        bytes: None,
    };
    let standing = target::look(&wish, &content, overwrite, None)?;
    let mut made = Created {
        target: wish.locator.clone(),
        format: format.name,
        size,
        written: 0,
        files: Vec::new(),
        notes: target::losses(&wish, &content)?,
        dry_run: run == Run::Dry,
    };
    if made.dry_run {
        return Ok(made);
    }
    let Begun::Ready(prepared) = standing.begin(&content)? else {
        return Err(Error::denied("exists; give --force to replace it").in_path(&wish.locator));
    };
    let Prepared { mut sink, place, journal, .. } = *prepared;
    let Spot::Files(files) = place else {
        return Err(Error::usage("an image is a file").in_path(&wish.locator));
    };
    if wish.backing.is_none() && size > 0 {
        sink.put(Piece { offset: 0, len: size, body: PieceBody::Run(State::Zero) })?;
    }
    let written = sink.finish(&Seal { len: size, ..Seal::default() })?;
    for old in files.replaces.iter().filter(|old| !written.files.contains(old)) {
        if files.outlet.exists(old)? {
            files.outlet.remove(old)?;
        }
    }
    Partial::commit(&*files.outlet, &written.files, &files.replaces)?;
    drop(journal);
    let journal = format!("{}{}", files.name, crate::journal::JOURNAL);
    if files.outlet.exists(&journal)? {
        files.outlet.remove(&journal)?;
    }
    files.outlet.sync()?;
    made.written = written.bytes;
    made.files = written.files;
    made.notes.extend(written.notes);
    Ok(made)
}
