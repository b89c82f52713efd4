//! `info`: what an image is.

use crate::open::Opened;
use crate::report::Range;
use crate::walk::{lookups, runs};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tintype_core::layers::Slice;
use tintype_core::{Covers, Extent, Result, Source, State};

/// Everything `info` says.
#[derive(Debug, Serialize)]
pub struct Info {
    /// The locator.
    pub source: String,
    /// The format's name.
    pub format: String,
    /// The variant, in the format's own words.
    pub variant: String,
    /// `drive`, `file` or `folder`.
    pub medium: &'static str,
    /// Logical bytes.
    pub size: u64,
    /// Bytes the files take.
    pub stored: Option<u64>,
    /// Logical sector in bytes.
    pub sector: u32,
    /// Physical sector in bytes.
    pub physical_sector: u32,
    /// How it is compressed.
    pub compression: String,
    /// Its files.
    pub files: Vec<String>,
    /// Which drive it is of.
    pub drive: BTreeMap<&'static str, String>,
    /// The case.
    pub case: BTreeMap<&'static str, String>,
    /// Whatever else the format knows.
    pub facts: BTreeMap<String, String>,
    /// Stored digests.
    pub stored_digests: Vec<StoredDigest>,
    /// Bytes by state.
    pub extents: BTreeMap<String, u64>,
    /// Every extent, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extent_list: Option<Vec<ExtentEntry>>,
    /// Ranges that are lost.
    pub bad: Vec<Range>,
    /// Further disks inside.
    pub parts: Vec<PartEntry>,
    /// The images that it stands on, the nearest first.
    pub chain: Vec<LinkEntry>,
    /// The partition table.
    pub partition_table: Option<TableEntry>,
    /// The file system, where the whole is one.
    pub file_system: Option<String>,
    /// What is odd about it.
    pub warnings: Vec<String>,
}

/// A further disk inside an image.
#[derive(Debug, Serialize)]
pub struct PartEntry {
    /// What chooses it in a locator: `#snap=NAME`.
    pub part: String,
    /// What is known about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// An image that this one stands on.
#[derive(Debug, Serialize)]
pub struct LinkEntry {
    /// Its name, as seen from the image's folder.
    pub name: String,
    /// The format's name.
    pub format: &'static str,
    /// The variant, in the format's own words.
    pub variant: String,
    /// Logical bytes.
    pub size: u64,
}

/// A stored digest.
#[derive(Debug, Serialize)]
pub struct StoredDigest {
    /// Algorithm.
    pub algorithm: String,
    /// Value in hex.
    pub value: String,
    /// What it covers.
    pub covers: String,
}

/// One extent.
#[derive(Debug, Serialize)]
pub struct ExtentEntry {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// State.
    pub state: &'static str,
    /// The file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where in that file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_offset: Option<u64>,
}

/// A partition table.
#[derive(Debug, Serialize)]
pub struct TableEntry {
    /// `mbr` or `gpt`.
    pub kind: String,
    /// Disk identifier.
    pub id: String,
    /// Sector the table counts in.
    pub sector: u32,
    /// The partitions.
    pub partitions: Vec<PartitionEntry>,
    /// What is odd about it.
    pub warnings: Vec<String>,
}

/// A partition.
#[derive(Debug, Serialize)]
pub struct PartitionEntry {
    /// Number as Linux counts.
    pub number: u32,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// Type, as the table has it.
    pub type_id: String,
    /// Type in words.
    pub type_name: String,
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Identifier.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uuid: String,
    /// The file system inside, as far as its first blocks tell.
    pub file_system: Option<String>,
}

/// Whether every extent is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Only sums.
    Sums,
    /// Every extent.
    Extents,
}

/// Most extents or ranges that are listed: more help nobody and would fill the memory.
const MOST: usize = 1 << 19;

/// What a walk over the map of an image came to.
#[derive(Default)]
struct Walk {
    totals: BTreeMap<State, u64>,
    list: Vec<ExtentEntry>,
    bad: Vec<Range>,
    warnings: Vec<String>,
}

impl Walk {
    fn over(source: &dyn Source, most: u64, listing: Listing) -> Self {
        let mut walk = Walk::default();
        match runs(source, most, &mut |run| walk.add(source, listing, run)) {
            Ok(None) => {}
            Ok(Some(at)) => {
                let what =
                    format!("the map of the image has more than {most} parts: it was not looked at from byte {at} on");
                walk.warnings.push(what);
            }
            Err(e) => walk.warnings.push(format!("the extents from here on are not known: {}", e.chain())),
        }
        walk
    }

    fn add(&mut self, source: &dyn Source, listing: Listing, extent: Extent) {
        *self.totals.entry(extent.state).or_default() += extent.len;
        if extent.state.is_lost() && self.bad.len() < MOST {
            self.bad.push(Range::from(extent));
        }
        if listing == Listing::Extents && self.list.len() < MOST {
            let detail = source.detail_at(extent.offset).ok().flatten().unwrap_or_default();
            self.list.push(ExtentEntry {
                offset: extent.offset,
                len: extent.len,
                state: extent.state.name(),
                file: detail.file,
                host_offset: detail.host_offset,
            });
            if self.list.len() == MOST {
                self.warnings.push(format!("the first {MOST} extents are listed; there may be more"));
            }
        }
    }
}

/// Looks.
pub fn run(opened: &Opened, listing: Listing) -> Result<Info> {
    let source = &opened.source;
    let shape = source.shape();
    let facts = source.facts();
    let stored = (opened.medium == crate::open::Medium::File).then(|| opened.taken(&opened.image.files));
    let most = match opened.medium {
        crate::open::Medium::Drive => u64::MAX,
        _ => lookups(opened.stored()),
    };
    let Walk { totals, list, bad, warnings: found } = Walk::over(&**source, most, listing);
    let mut warnings = opened.image.notes();
    warnings.extend(found);
    let table = match tintype_volumes::tables::read(&**source) {
        Ok(table) => table,
        Err(e) => {
            warnings.push(format!("the partition table cannot be read: {}", e.chain()));
            None
        }
    };
    let partition_table = table.map(|table| TableEntry {
        kind: table.kind.name().to_owned(),
        id: table.id.clone(),
        sector: table.sector,
        warnings: table.warnings.clone(),
        partitions: table
            .partitions
            .iter()
            .map(|p| {
                let len = p.len.min(source.len().saturating_sub(p.offset));
                let inside = Slice::new(Arc::clone(source), p.offset, len).ok();
                PartitionEntry {
                    number: p.number,
                    offset: p.offset,
                    len: p.len,
                    type_id: p.type_id.clone(),
                    type_name: p.type_name.to_owned(),
                    name: p.name.clone(),
                    uuid: p.uuid.clone(),
                    file_system: inside.and_then(|s| tintype_volumes::recognise(&s)).map(str::to_owned),
                }
            })
            .collect(),
    });
    let file_system = match partition_table {
        None => tintype_volumes::recognise(&**source).map(str::to_owned),
        Some(_) => None,
    };
    let present = |rows: Vec<(&'static str, &String)>| -> BTreeMap<&'static str, String> {
        rows.into_iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k, v.clone())).collect()
    };
    let identity = &facts.identity;
    let case = &facts.case;
    Ok(Info {
        source: opened.locator.clone(),
        format: opened.format.name.to_owned(),
        variant: opened.image.variant.clone(),
        medium: opened.medium.name(),
        size: source.len(),
        stored,
        sector: shape.sector,
        physical_sector: shape.physical,
        compression: opened.image.compression.clone(),
        files: opened.image.files.clone(),
        drive: present(vec![
            ("model", &identity.model),
            ("serial", &identity.serial),
            ("firmware", &identity.firmware),
            ("transport", &identity.transport),
            ("wwn", &identity.wwn),
        ]),
        case: present(vec![
            ("case", &case.case),
            ("evidence", &case.evidence),
            ("examiner", &case.examiner),
            ("description", &case.description),
            ("notes", &case.notes),
            ("acquired", &case.acquired),
            ("system_time", &case.system_time),
            ("program", &case.program),
            ("system", &case.system),
        ]),
        facts: facts.fields.clone(),
        stored_digests: facts
            .digests
            .iter()
            .map(|d| StoredDigest {
                algorithm: d.algorithm.clone(),
                value: d.hex(),
                covers: match &d.covers {
                    Covers::Whole => "all logical bytes".into(),
                    Covers::Part(words) => words.clone(),
                },
            })
            .collect(),
        extents: crate::report::by_name(&totals),
        extent_list: (listing == Listing::Extents).then_some(list),
        bad,
        parts: opened
            .image
            .parts
            .iter()
            .map(|p| PartEntry { part: format!("#{}={}", p.kind, p.name), note: p.note.clone() })
            .collect(),
        chain: opened
            .image
            .chain
            .iter()
            .map(|l| LinkEntry {
                name: l.request.entry.name.clone(),
                format: l.format.name,
                variant: l.variant.clone(),
                size: l.len,
            })
            .collect(),
        partition_table,
        file_system,
        warnings,
    })
}
