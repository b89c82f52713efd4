//! The reader. All numbers are little-endian.
//!
//! Source: the chapter "Redologs" of the Bochs developers guide, and files of bximage looked at byte by byte.

use super::MAGIC;
use crate::blocks::{Bits, BlockMap, Entry, HostFile, Mapped, Place, Run, Table};
use std::sync::Arc;
use tintype_core::{Checksums, Error, Facts, Image, OpenRequest, Result};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// The catalog's entry of an extent that is not there.
pub(super) const ABSENT: u64 = 0xFFFF_FFFF;
/// Bytes of a sector.
const SECTOR: u64 = 512;
/// The version whose disk size comes first.
const VERSION_1: u32 = 0x0001_0000;
/// The version in use.
const VERSION_2: u32 = 0x0002_0000;

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 32],
    kind: [u8; 16],
    subtype: [u8; 16],
    version: U32,
    header: U32,
    catalog: U32,
    bitmap: U32,
    extent: U32,
    timestamp: U32,
    disk: U64,
}

/// What the file says about itself.
pub(super) struct Parsed {
    pub(super) table: Table,
    pub(super) host: HostFile,
    pub(super) len: u64,
    pub(super) extent: u64,
    /// Bytes of the bits in front of an extent, in whole sectors.
    lead: u64,
    /// Where extents begin.
    pub(super) base: u64,
    bits: Bits,
}

fn word(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

pub(super) fn parse(request: &OpenRequest) -> Result<Parsed> {
    let name = &request.entry.name;
    let source = request.entry.source()?;
    let wrong = |e: Error| e.in_path(name);
    let mut bytes = [0; SECTOR as usize];
    if source.len() < SECTOR {
        return Err(wrong(Error::corrupt("is too short for a disk of Bochs")));
    }
    source.read_at(&mut bytes, 0).map_err(wrong)?;
    let (header, _) = Header::read_from_prefix(&bytes).map_err(|_| Error::corrupt("the header is too short"))?;
    if !header.magic.starts_with(MAGIC) {
        return Err(wrong(Error::corrupt("is no disk of Bochs: its signature is missing")));
    }
    let (kind, subtype) = (word(&header.kind), word(&header.subtype));
    if (kind, subtype) != (b"Redolog", b"Growing") {
        let text = |word| String::from_utf8_lossy(word).into_owned();
        let what = format!("images of kind {} {} are not known, only Redolog Growing is", text(kind), text(subtype));
        return Err(wrong(Error::unsupported(what)));
    }
    let len = match header.version.get() {
        VERSION_2 => header.disk.get(),
        VERSION_1 => u64::from(header.timestamp.get()) | header.disk.get() << 32,
        other => return Err(wrong(Error::unsupported(format!("version {other:#010x} is not known")).at(0x40))),
    };
    let (extent, bitmap) = (u64::from(header.extent.get()), u64::from(header.bitmap.get()));
    let entries = u64::from(header.catalog.get());
    if extent == 0 || !extent.is_multiple_of(SECTOR) || bitmap * 8 * SECTOR < extent {
        let what = format!("extents of {extent} bytes with {bitmap} bytes of bits are none");
        return Err(wrong(Error::corrupt(what).at(0x4c)));
    }
    if len > entries * extent || len > i64::MAX as u64 {
        let what = format!("the disk of {len} bytes is larger than its {entries} extents of {extent}");
        return Err(wrong(Error::corrupt(what).at(0x48)));
    }
    let at = u64::from(header.header.get());
    let host = HostFile::new(name, source);
    let table = Table::new("the catalog", host.clone(), at, entries, Entry::Le32)?;
    let base = table.place(entries);
    let lead = bitmap.next_multiple_of(SECTOR);
    let bits = Bits::lsb_first(host.clone(), lead);
    Ok(Parsed { table, host, len, extent, lead, base, bits })
}

impl Parsed {
    /// Bytes from one extent to the next.
    pub(super) fn stride(&self) -> u64 {
        self.lead + self.extent.next_multiple_of(SECTOR)
    }

    /// Where the extent with this number, of which the disk has `len` bytes, has to end at least: its bits have to be there, and the
    /// sectors that have one.
    pub(super) fn end(&self, number: u64, len: u64) -> Result<u64> {
        let (at, file) = (self.place(number), self.host.source.len());
        let data = at.saturating_add(self.lead);
        if data > file || data.saturating_add(len) <= file {
            return Ok(data);
        }
        let sectors = len.div_ceil(SECTOR);
        let (mut sector, mut end) = (0, data);
        while sector < sectors {
            let (set, count) = self.bits.run(at, sector, sectors)?;
            sector += count;
            if set {
                end = data.saturating_add(sector * SECTOR);
            }
        }
        Ok(end)
    }

    /// Where the extent with this number begins, its bits first.
    pub(super) fn place(&self, number: u64) -> u64 {
        self.base.saturating_add(number.saturating_mul(self.stride()))
    }
}

impl BlockMap for Parsed {
    fn run_at(&self, offset: u64, _most: u64) -> Result<Run> {
        let (n, inside) = (offset / self.extent, offset % self.extent);
        // In front of each extent are its bits: no two lie together.
        let same = |first: u64, _: u64, value: u64| first == ABSENT && value == ABSENT;
        let (number, count) = self.table.run(n, u64::MAX, same)?;
        if number == ABSENT {
            return Ok(Run::new(count * self.extent - inside, Place::Absent));
        }
        let at = self.place(number);
        let (set, sectors) = self.bits.run(at, inside / SECTOR, self.extent / SECTOR)?;
        let place = if set { Place::At(at.saturating_add(self.lead + inside)) } else { Place::Absent };
        Ok(Run::new(sectors * SECTOR - inside % SECTOR, place))
    }
}

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let parsed = parse(request)?;
    let (host, len, extent) = (parsed.host.clone(), parsed.len, parsed.extent);
    let mut facts = Facts::default();
    facts.fields.insert("block_size".into(), extent.to_string());
    let disk = Arc::new(Mapped::new(parsed, host, len, extent).with_facts(facts));
    let image = Image::new("growing", disk, vec![request.entry.name.clone()]);
    Ok(Image { checksums: Checksums::Structure, ..image })
}
