//! What is to be written, from what a person asked for.

use super::StreamWriter;
use super::descriptor::{Access, Descriptor, ExtentKind, ExtentLine, Geometry, LONGEST, NO_PARENT};
use super::layout::SECTOR;
use super::write::{flat, sparse};
use crate::blocks::relative;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use tintype_codec::deflate::Level;
use tintype_codec::digest::Hasher;
use tintype_core::{Backing, Compression, CreateRequest, Error, File, Order, Result, Sink};

/// Sectors of an extent where a disk is cut into several: 2047 MiB, as VMware does it.
const SPLIT: u64 = 2047 * 2048;

/// The kinds of VMDK that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subformat {
    MonolithicSparse,
    MonolithicFlat,
    TwoGbMaxExtentSparse,
    TwoGbMaxExtentFlat,
    StreamOptimized,
}

impl Subformat {
    const ALL: [Subformat; 5] = [
        Subformat::MonolithicSparse,
        Subformat::MonolithicFlat,
        Subformat::TwoGbMaxExtentSparse,
        Subformat::TwoGbMaxExtentFlat,
        Subformat::StreamOptimized,
    ];

    /// Its name in descriptors and on the command line.
    fn name(self) -> &'static str {
        match self {
            Subformat::MonolithicSparse => "monolithicSparse",
            Subformat::MonolithicFlat => "monolithicFlat",
            Subformat::TwoGbMaxExtentSparse => "twoGbMaxExtentSparse",
            Subformat::TwoGbMaxExtentFlat => "twoGbMaxExtentFlat",
            Subformat::StreamOptimized => "streamOptimized",
        }
    }

    fn asked(request: &CreateRequest) -> Result<Self> {
        let packed = !matches!(request.compression, None | Some(Compression::None));
        let Some(word) = request.options.get("subformat") else {
            return Ok(if packed { Subformat::StreamOptimized } else { Subformat::MonolithicSparse });
        };
        let found = Self::ALL.into_iter().find(|s| s.name().eq_ignore_ascii_case(word));
        let found = found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|s| s.name()).collect();
            Error::usage(format!("--option subformat={word}: it takes {}", names.join(", ")))
        })?;
        match (found, packed, &request.compression) {
            (Subformat::StreamOptimized, _, Some(Compression::None)) => {
                Err(Error::usage("a streamOptimized VMDK is always compressed; leave --compression none away"))
            }
            (Subformat::StreamOptimized, ..) | (_, false, _) => Ok(found),
            _ => Err(Error::usage(format!("only a streamOptimized VMDK is compressed, not {}", found.name()))),
        }
    }
}

/// How hard grains are compressed unless somebody wants something else: a hundredth larger than zlib's level 6 makes them, in a fifth of its
/// time.
fn default_level() -> Level {
    Level::number(3).expect("3 is one of the levels")
}

/// How hard grains are compressed.
fn level(compression: Option<&Compression>) -> Result<Level> {
    let wrong = || Error::usage("--compression takes fast, best, or zlib:N with N from 1 to 12");
    match compression {
        None => Ok(default_level()),
        Some(Compression::Fast) => Ok(Level::Fast),
        Some(Compression::Best) => Ok(Level::Best),
        Some(Compression::Codec { name, level: None }) if name == "zlib" => Ok(default_level()),
        Some(Compression::Codec { name, level: Some(n) }) if name == "zlib" => {
            u8::try_from(*n).ok().and_then(Level::number).ok_or_else(wrong)
        }
        Some(_) => Err(wrong()),
    }
}

/// What is to be written.
pub(super) struct Plan {
    pub(super) subformat: Subformat,
    /// Bytes of the disk.
    pub(super) len: u64,
    /// Entries may say that a grain is zeros.
    pub(super) zeroed: bool,
    pub(super) backing: Option<Backing>,
    /// Name and bytes of every extent, in order.
    pub(super) extents: Vec<(String, u64)>,
    /// The descriptor's text.
    pub(super) descriptor: String,
}

impl Plan {
    fn new(request: &CreateRequest, subformat: Subformat) -> Result<Self> {
        let len = request.known_len()?;
        let sectors = len.div_ceil(SECTOR);
        let zeroed = switch(request, "zeroed_grain")?;
        let flat = matches!(subformat, Subformat::MonolithicFlat | Subformat::TwoGbMaxExtentFlat);
        if request.order == Order::Ascending && subformat != Subformat::StreamOptimized {
            let what =
                "only a streamOptimized VMDK can be written to a stream; give --option subformat=streamOptimized";
            return Err(Error::usage(what));
        }
        if zeroed && (flat || subformat == Subformat::StreamOptimized) {
            return Err(Error::usage(format!("a {} VMDK has no zeroed_grain", subformat.name())));
        }
        let backing = request.backing.clone();
        if backing.is_some() && (flat || subformat == Subformat::StreamOptimized) {
            return Err(Error::usage(format!("a {} VMDK cannot stand on a backing file", subformat.name())));
        }
        let extents: Vec<(String, u64)> = match subformat {
            Subformat::MonolithicSparse | Subformat::StreamOptimized => vec![(request.name.clone(), sectors)],
            Subformat::MonolithicFlat => vec![(beside(&request.name, "flat"), sectors)],
            Subformat::TwoGbMaxExtentSparse | Subformat::TwoGbMaxExtentFlat => {
                let letter = if flat { 'f' } else { 's' };
                let count = sectors.div_ceil(SPLIT).max(1);
                let size = |i: u64| SPLIT.min(sectors - i * SPLIT);
                if count * (request.name.len() as u64 + 40) > LONGEST / 2 {
                    let what =
                        format!("{} would be {count} files; choose another --option subformat", subformat.name());
                    return Err(Error::usage(what));
                }
                (0..count).map(|i| (beside(&request.name, &format!("{letter}{:03}", i + 1)), size(i))).collect()
            }
        };
        let kind = if flat { ExtentKind::Flat } else { ExtentKind::Sparse };
        let line = |(name, sectors): &(String, u64)| ExtentLine {
            access: Access::ReadWrite,
            sectors: *sectors,
            kind: kind.clone(),
            name: name.clone(),
            offset: 0,
        };
        let descriptor = Descriptor {
            cid: content_identifier(),
            parent_cid: backing.as_ref().map_or(Ok(NO_PARENT), parent_cid)?,
            create_type: subformat.name().to_owned(),
            parent_file_name_hint: backing.as_ref().map(|b| relative(&b.name)),
            extents: extents.iter().map(line).collect(),
            length: (!len.is_multiple_of(SECTOR)).then_some(len),
            ..Descriptor::default()
        };
        for name in [Some(&request.name), descriptor.parent_file_name_hint.as_ref()].into_iter().flatten() {
            if name.contains(['"', '\\']) || name.contains(char::is_control) {
                return Err(Error::usage(format!(
                    "a VMDK cannot have {name:?} in its descriptor; choose another name"
                )));
            }
        }
        let adapter = adapter(request, subformat)?;
        let hardware =
            match request.options.get("hwversion") {
                None => 4,
                Some(text) => text.parse().ok().filter(|n| (1..=99).contains(n)).ok_or_else(|| {
                    Error::usage(format!("--option hwversion={text}: it takes a number from 1 to 99"))
                })?,
            };
        let descriptor = descriptor.encode(&Geometry { sectors, adapter, hardware });
        let extents = extents.into_iter().map(|(name, sectors)| (name, sectors * SECTOR)).collect();
        Ok(Plan { subformat, len, zeroed, backing, extents, descriptor })
    }
}

fn switch(request: &CreateRequest, name: &str) -> Result<bool> {
    match request.options.get(name) {
        None | Some("off") => Ok(false),
        Some("on") => Ok(true),
        Some(other) => Err(Error::usage(format!("--option {name}={other}: it takes on or off"))),
    }
}

fn adapter(request: &CreateRequest, subformat: Subformat) -> Result<&'static str> {
    const ALL: [&str; 4] = ["ide", "lsilogic", "buslogic", "legacyESX"];
    match request.options.get("adapter_type") {
        None if subformat == Subformat::StreamOptimized => Ok("lsilogic"),
        None => Ok("ide"),
        Some(word) => ALL
            .into_iter()
            .find(|a| a.eq_ignore_ascii_case(word))
            .ok_or_else(|| Error::usage(format!("--option adapter_type={word}: it takes {}", ALL.join(", ")))),
    }
}

/// The content identifier of what a disk stands on.
fn parent_cid(backing: &Backing) -> Result<u32> {
    if backing.format != super::FORMAT.name {
        let what = format!("is {}; a VMDK stands on a VMDK only", backing.format);
        return Err(Error::usage(what).in_path(&backing.name));
    }
    let cid = backing.fields.get("cid").and_then(|cid| u32::from_str_radix(cid, 16).ok());
    cid.ok_or_else(|| Error::corrupt("has no content identifier").in_path(&backing.name))
}

/// A new content identifier: neither of the two values that mean something else.
fn content_identifier() -> u32 {
    let random = RandomState::new().hash_one(std::process::id());
    (random as u32) % 0xffff_fffe
}

/// `disk.vmdk` and `flat` make `disk-flat.vmdk`.
fn beside(name: &str, word: &str) -> String {
    match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => format!("{stem}-{word}.{ending}"),
        _ => format!("{name}-{word}"),
    }
}

pub(super) fn create(request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let subformat = Subformat::asked(request)?;
    match subformat {
        Subformat::MonolithicSparse | Subformat::TwoGbMaxExtentSparse => {
            sparse::create(request, Plan::new(request, subformat)?)
        }
        Subformat::MonolithicFlat | Subformat::TwoGbMaxExtentFlat => {
            flat::create(request, Plan::new(request, subformat)?)
        }
        Subformat::StreamOptimized => {
            // What is wrong with the request is to be known before there is a file.
            let stream = Stream::new(request)?;
            let writer = stream.into_file(request.outlet.create(&request.name)?, 0, None)?;
            Ok(super::write::stream::StreamSink::alone(writer, request.name.clone()))
        }
    }
}

/// A streamOptimized disk that is to be written, here or inside something else.
pub(crate) struct Stream {
    plan: Plan,
    level: Level,
}

impl Stream {
    /// The disk of `request`, whose name is that of the file that the disk is in.
    pub(crate) fn new(request: &CreateRequest) -> Result<Self> {
        let plan = Plan::new(request, Subformat::StreamOptimized)?;
        Ok(Stream { plan, level: level(request.compression.as_ref())? })
    }

    /// Begins to write it at `base` of `file`; `hasher` sees what is written.
    pub(crate) fn into_file(self, file: Arc<dyn File>, base: u64, hasher: Option<Hasher>) -> Result<StreamWriter> {
        StreamWriter::new(file, base, self.plan.len, &self.plan.descriptor, self.level, hasher)
    }
}
