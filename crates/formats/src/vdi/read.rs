//! The reader.

use super::layout::{ABSENT, Header, Kind, MAGIC, SECTOR, ZERO};
use crate::blocks::{BlockMap, Entry, HostFile, Mapped, Place, Run, Table, relative};
use crate::uuid;
use std::sync::Arc;
use tintype_core::{Checksums, Error, Facts, Finding, Image, OpenRequest, Result, Source};

/// What an image says about itself, and its map.
pub(super) struct Parsed {
    pub(super) header: Header,
    pub(super) table: Table,
    pub(super) host: HostFile,
}

/// Reads the header of an image.
pub(super) fn parse(request: &OpenRequest) -> Result<Parsed> {
    let name = &request.entry.name;
    let source = request.entry.source()?;
    let header = header(&**source).map_err(|e| e.in_path(name))?;
    let (at, blocks) = (header.offset_blocks.get().into(), header.blocks.get().into());
    let host = HostFile::new(name, source);
    let table = Table::new("the block map", host.clone(), at, blocks, Entry::Le32)?;
    Ok(Parsed { header, table, host })
}

fn header(source: &dyn Source) -> Result<Header> {
    let mut bytes = [0; size_of::<Header>()];
    let len = (source.len().min(bytes.len() as u64)) as usize;
    source.read_at(&mut bytes[..len], 0)?;
    Header::parse(&bytes[..len])
}

impl Parsed {
    /// Where the block with this entry lies, with what stands in front of it, and how long that is together.
    pub(super) fn place(&self, entry: u64) -> (u64, u64) {
        let stride = u64::from(self.header.block_size.get()) + u64::from(self.header.block_extra.get());
        (u64::from(self.header.offset_data.get()) + entry * stride, stride)
    }
}

impl BlockMap for Parsed {
    fn run_at(&self, offset: u64, most: u64) -> Result<Run> {
        let block = u64::from(self.header.block_size.get());
        let extra = u64::from(self.header.block_extra.get());
        let (n, inside) = (offset / block, offset % block);
        let same = |first: u64, i: u64, value: u64| match first {
            ABSENT | ZERO => value == first,
            _ => extra == 0 && value == first.wrapping_add(i),
        };
        let (first, count) = self.table.run(n, most.div_ceil(block).saturating_add(1), same)?;
        let place = match first {
            ABSENT => Place::Absent,
            ZERO => Place::Zero,
            _ => Place::At(self.place(first).0 + extra + inside),
        };
        Ok(Run::new(count * block - inside, place))
    }
}

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let parsed = parse(request)?;
    let header = parsed.header;
    let kind = header.kind()?;
    // The field says where the disk ends; half a sector there was never meant.
    let len = header.disk_size.get();
    let mut warnings = Vec::new();
    if !len.is_multiple_of(SECTOR) {
        warnings.push(format!("the disk of {len} bytes ends within a sector"));
    }
    let host = parsed.host.clone();
    let block = header.block_size.get().into();
    let mut mapped = Mapped::new(parsed, host, len, block).with_facts(facts(&header, kind));
    let parent = kind.stands_on_another().then(|| parent(request, &header)).transpose()?;
    mapped = mapped.standing_on(parent.as_ref().map(|(_, image, _)| Arc::clone(&image.disk)));
    let files = vec![request.entry.name.clone()];
    let mut image =
        Image { warnings, checksums: Checksums::Structure, ..Image::new(kind.name(), Arc::new(mapped), files) };
    if let Some((parent, below, modified)) = parent {
        image.stand_on(&parent, &super::FORMAT, &below);
        if modified != header.uuid_parent_modify {
            let what = format!(
                "the parent, {}, was written to after this image was made; what is read may be neither",
                parent.entry.name
            );
            image.damage.push(Finding::damage(what).in_file(&request.entry.name, 0x1b8));
        }
    }
    Ok(image)
}

fn facts(header: &Header, kind: Kind) -> Facts {
    let mut facts = Facts::default();
    let mut field = |name: &str, value: String| drop(facts.fields.insert(name.to_owned(), value));
    field("kind", kind.name().into());
    field("block_size", header.block_size.to_string());
    field("blocks", header.blocks.to_string());
    field("blocks_allocated", header.blocks_allocated.to_string());
    field("uuid", uuid::text(&header.uuid_create));
    field("uuid_modified", uuid::text(&header.uuid_modify));
    if kind.stands_on_another() {
        field("uuid_parent", uuid::text(&header.uuid_parent));
        field("uuid_parent_modified", uuid::text(&header.uuid_parent_modify));
    }
    for (name, bytes) in [("made_by", &header.text[..]), ("comment", &header.comment[..])] {
        let text = String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap_or_default());
        let text = text.trim().trim_start_matches("<<<").trim_end_matches(">>>").trim();
        if !text.is_empty() {
            facts.fields.insert(name.to_owned(), text.to_owned());
        }
    }
    facts
}

/// The image that this one stands on, after the request that opened it, and the identifier of its last change. The image says only its identifier: it is
/// looked for among the files beside it.
fn parent(request: &OpenRequest, header: &Header) -> Result<(OpenRequest, Image, [u8; 16])> {
    let wanted = header.uuid_parent;
    let mut names: Vec<String> =
        request.opener.list()?.into_iter().filter(|n| n.to_ascii_lowercase().ends_with(".vdi")).collect();
    names.sort_unstable();
    let own = request.entry.name.rsplit('/').next().unwrap_or_default();
    for name in names.iter().filter(|n| *n != own).take(request.limits.files as usize) {
        // What cannot be opened or is no VDI is not the one.
        let Ok(source) = request.open_beside(name) else { continue };
        let mut magic = [0; 4];
        if source.len() < 0x48 || source.read_at(&mut magic, 0x40).is_err() || u32::from_le_bytes(magic) != MAGIC {
            continue;
        }
        match self::header(&*source) {
            Ok(found) if found.uuid_create == wanted => {
                let below = request.backing(&relative(name))?;
                let image = open(&below)?;
                return Ok((below, image, found.uuid_modify));
            }
            _ => {}
        }
    }
    let what = format!(
        "stands on the image with the identifier {}, which is none of the {} other .vdi files beside it; put it there",
        uuid::text(&wanted),
        names.iter().filter(|n| *n != own).count()
    );
    Err(Error::corrupt(what).in_path(&request.entry.name))
}
