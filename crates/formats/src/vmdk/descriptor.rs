//! The descriptor: a small text that says what a disk is made of.

#[cfg(test)]
mod tests;
mod text;

use super::layout::SECTOR;
use std::collections::BTreeMap;
use std::fmt::Write;
use tintype_core::{Error, Limits, Result};

/// No parent.
pub(super) const NO_PARENT: u32 = u32::MAX;
/// Longest descriptor that is read: 8192 extents take a third of it.
pub(super) const LONGEST: u64 = 1 << 20;
/// Where we keep the length of a disk that is no whole number of sectors: a comment, which everybody else ignores.
const LENGTH: &str = "# tintype.length=";

/// What a descriptor says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) cid: u32,
    pub(super) parent_cid: u32,
    pub(super) create_type: String,
    /// The parent's path, as the maker saw it.
    pub(super) parent_file_name_hint: Option<String>,
    pub(super) extents: Vec<ExtentLine>,
    /// `ddb.` and what else is named.
    pub(super) fields: BTreeMap<String, String>,
    /// The length of the disk in bytes, where that is no whole number of sectors.
    pub(super) length: Option<u64>,
}

/// One line of extents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExtentLine {
    pub(super) access: Access,
    pub(super) sectors: u64,
    pub(super) kind: ExtentKind,
    /// The file; empty for zeros.
    pub(super) name: String,
    /// Where in the file it begins, in sectors; only for flat extents.
    pub(super) offset: u64,
}

/// What may be done with an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    ReadWrite,
    ReadOnly,
    None,
}

/// What an extent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExtentKind {
    Flat,
    Sparse,
    Zero,
    VmfsSparse,
    SeSparse,
    /// Anything else, by its name.
    Other(String),
}

impl ExtentKind {
    fn parse(word: &str) -> Self {
        match &word.to_ascii_uppercase()[..] {
            // The file system of ESX makes no difference to what is in the file.
            "FLAT" | "VMFS" => ExtentKind::Flat,
            "SPARSE" => ExtentKind::Sparse,
            "ZERO" => ExtentKind::Zero,
            "VMFSSPARSE" => ExtentKind::VmfsSparse,
            "SESPARSE" => ExtentKind::SeSparse,
            other => ExtentKind::Other(other.to_owned()),
        }
    }
}

impl Descriptor {
    /// Reads a descriptor; what follows a NUL is padding.
    pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let bytes = bytes.split(|b| *b == 0).next().unwrap_or_default();
        let text = text::decode(bytes)?;
        let mut found = Descriptor { parent_cid: NO_PARENT, ..Descriptor::default() };
        let (mut version, mut cid) = (None, None);
        for line in text.lines().map(str::trim) {
            if let Some(length) = line.strip_prefix(LENGTH) {
                found.length = length.parse().ok();
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(extent) = ExtentLine::parse(line)? {
                if found.extents.len() as u64 >= u64::from(limits.files) {
                    return Err(Error::limit(format!("more than {} extents", limits.files)));
                }
                found.extents.push(extent);
                continue;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            let (key, value) = (key.trim(), unquoted(value.trim()));
            let number = |what: &str| {
                u32::from_str_radix(value, 16)
                    .map_err(|_| Error::corrupt(format!("the descriptor's {what} {value:?} is no hexadecimal number")))
            };
            match &key.to_ascii_lowercase()[..] {
                "version" => version = Some(value.to_owned()),
                "cid" => cid = Some(number("CID")?),
                "parentcid" => found.parent_cid = number("parentCID")?,
                "createtype" => found.create_type = value.to_owned(),
                "parentfilenamehint" => found.parent_file_name_hint = Some(value.to_owned()),
                _ => {
                    found.fields.insert(key.to_owned(), value.to_owned());
                }
            }
        }
        // Newer versions have changed nothing that a reader has to know.
        if let Some(version) = version
            && !matches!(version.parse(), Ok(1..=4))
        {
            return Err(Error::unsupported(format!("a descriptor of version {version:?}; versions 1 to 4 are known")));
        }
        found.cid = cid.ok_or_else(|| Error::corrupt("the descriptor has no CID: it is damaged, or it is none"))?;
        Ok(found)
    }

    /// The descriptor as text.
    pub(super) fn encode(&self, geometry: &Geometry) -> String {
        let mut text = String::from("# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\n");
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "CID={:08x}\nparentCID={:08x}\ncreateType=\"{}\"\n",
            self.cid, self.parent_cid, self.create_type
        );
        if let Some(hint) = &self.parent_file_name_hint {
            let _ = writeln!(text, "parentFileNameHint=\"{hint}\"");
        }
        if let Some(length) = self.length {
            let _ = write!(text, "\n{LENGTH}{length}\n");
        }
        text += "\n# Extent description\n";
        for extent in &self.extents {
            let (kind, offset) = match extent.kind {
                ExtentKind::Flat => ("FLAT", " 0"),
                _ => ("SPARSE", ""),
            };
            let _ = writeln!(text, "RW {} {kind} \"{}\"{offset}", extent.sectors, extent.name);
        }
        text += "\n# The Disk Data Base\n#DDB\n\n";
        let _ = write!(
            text,
            "ddb.virtualHWVersion = \"{}\"\nddb.geometry.cylinders = \"{}\"\nddb.geometry.heads = \"{}\"\n\
             ddb.geometry.sectors = \"63\"\nddb.adapterType = \"{}\"\n",
            geometry.hardware,
            geometry.cylinders(),
            geometry.heads(),
            geometry.adapter
        );
        text
    }
}

impl ExtentLine {
    /// The extent that a line tells of; none if the line is of another kind.
    fn parse(line: &str) -> Result<Option<Self>> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let access = match &word.to_ascii_uppercase()[..] {
            "RW" => Access::ReadWrite,
            "RDONLY" => Access::ReadOnly,
            "NOACCESS" => Access::None,
            _ => return Ok(None),
        };
        let wrong = || Error::corrupt(format!("the descriptor has an extent that cannot be understood: {line:?}"));
        let (sectors, rest) = rest.trim_start().split_once(char::is_whitespace).ok_or_else(wrong)?;
        let sectors: u64 = sectors.parse().map_err(|_| wrong())?;
        if sectors > i64::MAX as u64 / SECTOR {
            return Err(wrong());
        }
        let rest = rest.trim_start();
        let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let kind = ExtentKind::parse(kind);
        let (mut name, mut offset) = (String::new(), 0);
        if kind != ExtentKind::Zero {
            let quoted = rest.trim_start().strip_prefix('"').ok_or_else(wrong)?;
            // A name may have quotes in it, but what follows the name has none, except for devices.
            let (inside, after) = match kind {
                ExtentKind::Other(_) => quoted.split_once('"'),
                _ => quoted.rsplit_once('"'),
            }
            .ok_or_else(wrong)?;
            name = inside.to_owned();
            if kind == ExtentKind::Flat
                && let Some(word) = after.split_whitespace().next()
            {
                offset = word.parse().map_err(|_| wrong())?;
            }
            if name.is_empty() {
                return Err(wrong());
            }
        }
        Ok(Some(ExtentLine { access, sectors, kind, name, offset }))
    }
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value)
}

/// What the descriptor says of the drive that a machine sees.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub(super) sectors: u64,
    pub(super) adapter: &'static str,
    pub(super) hardware: u32,
}

impl Geometry {
    /// VMware gives IDE disks 16 heads, all others 255.
    fn heads(&self) -> u64 {
        if self.adapter == "ide" { 16 } else { 255 }
    }

    /// Whole cylinders; no IDE disk has more than 16383.
    fn cylinders(&self) -> u64 {
        let all = self.sectors / (63 * self.heads());
        if self.adapter == "ide" { all.min(16383) } else { all }
    }
}
